"""The settings of a script: its options as typed, constant values."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from common import ROOT, UsageError
from common.data.datasets import dataset_name
from common.sweep.sweep import Engine
from common.training.device import available, cores
from common.training.recipes import NUMBERS, Recipe, label

SYNTHETIC = {"mnist": "synthetic-digits", "cifar10": "synthetic-objects"}


@dataclass(frozen=True)
class Settings:
    """The options of a command.

    `dataset` is the name in the results. `recipe` contains the changes by options. `seeds` is None
    without --seeds. `label` is part of the figures' names.
    """

    dataset: str
    data_dir: Path
    results_dir: Path
    figures_dir: Path
    recipe: Recipe | None
    seeds: int | None
    designs: tuple[str, ...]
    figures: tuple[str, ...]  # to draw; none: all
    jobs: int
    device: str
    cluster: str
    label: str
    synthetic: bool
    classes: bool
    evaluate: bool
    fresh: bool
    plot_only: bool
    list: bool

    @classmethod
    def of(cls, args: argparse.Namespace, *labels: str) -> "Settings":
        """The settings of parsed options. A script's own options add `labels` to `label`.

        Raises:
            UsageError: options contradict each other.
            LabError: this machine does not have the device.
        """
        if args.fresh + args.evaluate + args.plot_only > 1:
            raise UsageError("--fresh, --evaluate and --plot-only: use one of them")
        recipe = chosen_recipe(args)
        if args.synthetic and args.base not in SYNTHETIC:
            raise UsageError(f"--synthetic: there are no built-in images instead of {args.base}")
        base = SYNTHETIC[args.base] if args.synthetic else args.base
        below = "synthetic" if args.synthetic else ""
        designs = tuple(args.designs or ())
        results = folder(args.results_dir, ROOT / "results" / below)
        figures = results / "figures" if args.results_dir else ROOT / "figures" / below
        parts = [label(recipe, args.recipes)] if recipe else []
        parts += [args.split] if args.split != "standard" else []
        parts += [f"seeds{args.seeds}"] if args.seeds else []
        if args.cluster and not (":" in args.cluster or Path(args.cluster).is_file()):
            raise UsageError(
                f"--cluster: {args.cluster} is no file of a scheduler, and no address: an example "
                "is tcp://localhost:8786"
            )
        device = args.device
        # Drawing the results of a GPU needs no GPU; the workers of a cluster have their own device.
        idle = args.plot_only or args.evaluate or args.list
        if not args.cluster and (device == "auto" or not idle):
            device = available(device)
        return cls(
            dataset=dataset_name(base, args.split),
            data_dir=folder(args.data_dir or os.environ.get("LAB_DATA_DIR"), ROOT / "data"),
            results_dir=results,
            figures_dir=folder(args.figures_dir, figures),
            recipe=recipe,
            seeds=args.seeds,
            designs=designs,
            figures=tuple(args.figure or ()),
            jobs=args.jobs or (cores() if device == "cpu" else 1),
            device=device,
            cluster=args.cluster,
            label="-".join([*parts, *designs, *labels]),
            **{name: getattr(args, name) for name in FLAGS},
        )

    def draws(self, figure: str) -> bool:
        """Whether to draw a figure; --figure names those to draw."""
        return not self.figures or figure in self.figures

    def check_figures(self, names: Sequence[str]) -> None:
        """Raise a UsageError if --figure names a figure that is not one of `names`."""
        unknown = " ".join(sorted(set(self.figures) - set(names)))
        if unknown:
            raise UsageError(f"--figure: no {unknown}; there are {' '.join(names)}")

    def engine(self, shifts: bool = False) -> Engine:
        """The workers of a sweep."""
        return Engine(self.data_dir, self.jobs, self.device, self.cluster, shifts)


FLAGS = [field.name for field in fields(Settings) if field.type is bool]


def folder(name: str | None, default: Path) -> Path:
    """The folder `name` with `~` expanded, or the default."""
    return Path(name).expanduser() if name else default


def chosen_recipe(args: argparse.Namespace) -> Recipe | None:
    """The recipe with the numbers from the options."""
    options = vars(args)
    numbers = {name: options[name] for name in NUMBERS if options.get(name) is not None}
    if args.recipe is None and numbers:
        raise UsageError("--epochs, --batch-size, --lr and --momentum need --recipe here")
    if args.recipe is None:
        return None
    named = next(recipe for recipe in args.recipes if recipe.name == args.recipe)
    if "momentum" in numbers and named.momentum is None:
        raise UsageError(f"--momentum: the optimiser of recipe {named.name} has no momentum")
    return replace(named, **numbers)
