"""The settings of a script: its options as typed values that nothing changes afterwards."""

import argparse
import os
from dataclasses import dataclass, fields, replace
from pathlib import Path

from common import ROOT, UsageError
from common.data.datasets import dataset_name
from common.sweep import ranks, workers
from common.training.recipes import Recipe

SYNTHETIC = {"mnist": "synthetic-digits", "cifar10": "synthetic-objects"}
NUMBERS = ("epochs", "batch_size", "lr", "momentum")  # of a recipe; options may change them


@dataclass(frozen=True)
class Settings:
    """What the command line asks for. Nothing changes it afterwards.

    `dataset` is the name in the results; `recipe` has the numbers of the options; `seeds` is None
    without --seeds; `label` names the figures of this command.
    """

    dataset: str
    data_dir: Path
    results_dir: Path
    figures_dir: Path
    recipe: Recipe | None
    seeds: int | None
    designs: tuple[str, ...]
    jobs: int
    device: str
    label: str
    synthetic: bool
    classes: bool
    fresh: bool
    plot_only: bool
    list: bool

    @classmethod
    def of(cls, args: argparse.Namespace, *labels: str) -> "Settings":
        """The settings of parsed options. `labels` are what a script's own options add to `label`.

        Raises:
            UsageError: options contradict each other.
            LabError: the device is not there.
        """
        if args.fresh and args.plot_only:
            raise UsageError("--fresh trains and --plot-only trains nothing: use one of them")
        recipe, changes = chosen_recipe(args)
        if args.synthetic and args.base not in SYNTHETIC:
            raise UsageError(f"--synthetic: there are no built-in images instead of {args.base}")
        base = SYNTHETIC[args.base] if args.synthetic else args.base
        below = "synthetic" if args.synthetic else ""
        designs = tuple(args.designs or ())
        parts = [recipe.name] if recipe else []
        parts += [f"{name.replace('_', '')}{value}" for name, value in changes.items()]
        parts += [args.split] if args.split != "standard" else []
        parts += [f"seeds{args.seeds}"] if args.seeds else []
        computes = not (args.plot_only or args.list)
        device = args.device
        if computes or device == "auto":  # results of a GPU can be drawn without one
            device = ranks.device_of_rank(workers.available(device))
        on_cores = device == "cpu" and not ranks.launched()
        return cls(
            dataset=dataset_name(base, args.split),
            data_dir=folder(args.data_dir or os.environ.get("LAB_DATA_DIR"), ROOT / "data"),
            results_dir=folder(args.results_dir, ROOT / "results" / below),
            figures_dir=folder(args.figures_dir, ROOT / "figures" / below),
            recipe=recipe,
            seeds=args.seeds,
            designs=designs,
            jobs=args.jobs or (workers.cores() if on_cores else 1),
            device=device,
            label="-".join([*parts, *designs, *labels]),
            **{name: getattr(args, name) for name in FLAGS},
        )


FLAGS = [field.name for field in fields(Settings) if field.type is bool]


def folder(name: str | None, default: Path) -> Path:
    """A folder that an option names, `~` expanded."""
    return Path(name).expanduser() if name else default


def chosen_recipe(args: argparse.Namespace) -> tuple[Recipe | None, dict[str, int | float]]:
    """The recipe with the numbers that the options give, and those that differ from its own."""
    options = vars(args)
    numbers = {name: options[name] for name in NUMBERS if options.get(name) is not None}
    if args.recipe is None and numbers:
        raise UsageError("--epochs, --batch-size, --lr and --momentum need --recipe here")
    if args.recipe is None:
        return None, {}
    named = next(recipe for recipe in args.recipes if recipe.name == args.recipe)
    if "momentum" in numbers and named.momentum is None:
        raise UsageError(f"--momentum: the optimiser of recipe {named.name} has no momentum")
    changes = {name: value for name, value in numbers.items() if value != getattr(named, name)}
    return replace(named, **changes), changes
