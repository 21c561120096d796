"""The command line of the scripts: the options they share, their errors and exit status."""

import argparse
import functools
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from common import LabError
from common.data import datasets as data
from common.models.networks import Design
from common.sweep import ranks, workers
from common.training.recipes import Recipe

ROOT = Path(__file__).resolve().parent.parent
SYNTHETIC = {"mnist": "synthetic-digits", "cifar10": "synthetic-objects"}
DATA_DIR_HELP = (
    "root of MNIST/raw and cifar-10-batches-py; downloaded there if missing "
    "(default: $LAB_DATA_DIR if set, else data/ in the repository)"
)
SPLIT_HELP = (
    "what to train on and what to test on; validation holds out training images, for choosing "
    "hyperparameters (default: %(default)s)"
)
JOBS_HELP = "runs trained at once (default: the number of CPU cores; 1 on a GPU)"
RECIPE_OPTIONS = ("epochs", "batch_size", "lr", "momentum")


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line and exit with status 2."""
        message = " ".join(message.split())  # a value may have line breaks
        self.exit(2, f"{self.prog}: error: {message} (--help lists the options)\n")


def number(
    kind: type[int] | type[float], low: float, high: float = math.inf, *, open_low: bool = False
) -> Callable[[str], int | float]:
    """An argparse type: a finite number with low <= number < high, or low < number."""

    def parse(text: str) -> int | float:
        value = kind(text)
        if not (low <= value < high) or (open_low and value == low):
            bounds = f"{'above' if open_low else 'at least'} {low}"
            bounds += f" and below {high}" if high < math.inf else ""
            raise argparse.ArgumentTypeError(f"{text} is not {bounds}")
        return value

    parse.__name__ = "whole number" if kind is int else "number"
    return parse


def plain_parser(description: str, dataset: str) -> Parser:
    """The options that every script takes: data, results, designs, where to compute.

    Args:
        description: the script's docstring.
        dataset: `mnist` or `cifar10`.
    """
    made = Parser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.set_defaults(base=dataset, split="standard")
    add = made.add_argument
    add("--data-dir", type=Path, metavar="DIR", help=DATA_DIR_HELP)
    add("--synthetic", action="store_true", help="use the built-in images: no download")
    add("--results-dir", type=Path, metavar="DIR", help="of CSV files (default: results/)")
    add("--figures-dir", type=Path, metavar="DIR", help="(default: figures/)")
    add("--designs", nargs="+", metavar="NAME", help="only these designs")
    add("--jobs", type=number(int, 1), metavar="N", help=JOBS_HELP)
    devices = ["cpu", "auto", "cuda", "mps"]
    add("--device", choices=devices, default="cpu", help="(default: %(default)s)")
    add("--plot-only", action="store_true", help="tables and figures again; train nothing")
    return made


def parser(description: str, recipes: Sequence[Recipe], dataset: str) -> Parser:
    """The options that every training script takes.

    Args:
        description: the script's docstring.
        recipes: the script's recipes; the first is the default.
        dataset: `mnist` or `cifar10`.
    """
    made = plain_parser(description, dataset)
    made.set_defaults(recipes=recipes)
    add = made.add_argument
    splits = ["standard", *(data.SPLITS if dataset == "mnist" else ["validation"])]
    add("--split", choices=splits, default="standard", help=SPLIT_HELP)
    names = [recipe.name for recipe in recipes]
    recipe_help = "how to train: %(choices)s (default: %(default)s)"
    add("--recipe", choices=names, default=names[0], metavar="NAME", help=recipe_help)
    add("--epochs", type=number(int, 1), metavar="N", help="instead of the recipe's")
    add("--batch-size", type=number(int, 1), metavar="N", help="instead of the recipe's")
    add("--lr", type=number(float, 0, open_low=True), metavar="X", help="instead of the recipe's")
    add("--momentum", type=number(float, 0, 1), metavar="X", help="instead of the recipe's")
    seeds_help = "train each design with seeds 0 to N-1 (default: %(default)s)"
    add("--seeds", type=number(int, 1), default=3, metavar="N", help=seeds_help)
    add("--classes", action="store_true", help="print the per-class table of every design")
    add("--fresh", action="store_true", help="train again what the results hold")
    add("--list", action="store_true", help="print designs, runs and time; train nothing")
    return made


def parse(parser: Parser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The options, with what they leave open filled in, see also `use` and `fill`."""
    options = fill(parser.parse_args(argv))
    use(next(recipe for recipe in options.recipes if recipe.name == options.recipe), options)
    return options


def use(named: Recipe, options: argparse.Namespace) -> None:
    """Take a recipe, changed as the options say.

    `recipe` becomes that, `named` the recipe as it was; `label` names it, its changes, the split
    and chosen designs in the names of figures, so that one command's do not replace another's.
    """
    options.named, options.recipe = named, changed(named, options)
    values = {name: getattr(options.recipe, name) for name in RECIPE_OPTIONS}
    parts = [named.name]
    parts += [
        f"{name.replace('_', '')}{value}"
        for name, value in values.items()
        if value != getattr(named, name)
    ]
    parts += [] if options.split == "standard" else [options.split]
    options.label = "-".join([*parts, *(options.designs or ())])


def changed(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    """A recipe with the numbers that the options give instead of its own."""
    given = {name: getattr(options, name) for name in RECIPE_OPTIONS}
    return replace(recipe, **{name: value for name, value in given.items() if value is not None})


def fill(options: argparse.Namespace) -> argparse.Namespace:
    """The options of every script, with what they leave open filled in.

    `dataset` is the data set's name in the results; `load()` gives it, once, and with --plot-only
    downloads nothing.
    """
    below = ""
    if options.synthetic:
        options.base, below = SYNTHETIC[options.base], "synthetic"
    options.dataset = data.dataset_name(options.base, options.split)
    options.data_dir = options.data_dir or Path(os.environ.get("LAB_DATA_DIR") or ROOT / "data")
    options.results_dir = options.results_dir or ROOT / "results" / below
    options.figures_dir = options.figures_dir or ROOT / "figures" / below

    @functools.cache
    def load() -> data.Dataset:
        if options.plot_only and not data.present(options.base, options.data_dir):
            raise LabError(f"no {options.base} in {options.data_dir}")
        return data.load(options.base, options.split, options.data_dir)

    options.load = load
    computes = not (options.plot_only or getattr(options, "list", False))
    if computes or options.device == "auto":  # what a GPU measured is drawn without one too
        options.device = ranks.device_of_rank(workers.available(options.device))
    at_once = len(workers.cores()) if options.device == "cpu" and not ranks.launched() else 1
    options.jobs = options.jobs or at_once
    return options


def chosen(parser: Parser, options: argparse.Namespace, designs: Sequence[Design]) -> list[Design]:
    """The designs that --designs names, or all."""
    names = [design.name for design in designs]
    unknown = sorted(set(options.designs or ()) - set(names))
    if unknown:
        parser.error(f"--designs: no {', '.join(unknown)}; there are {', '.join(names)}")
    return [design for design in designs if design.name in (options.designs or names)]


def command(main: Callable[..., int]) -> Callable[..., int]:
    """Let a script's main end as every script does: one line and an exit status, no traceback.

    0 done, 1 something failed, 2 the command line is wrong, 130 interrupted (Ctrl-C, a request to
    terminate, a closed terminal).
    """

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    @functools.wraps(main)
    def guarded(argv: Sequence[str] | None = None) -> int:
        handled = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
        # A signal that is ignored (nohup) stays ignored.
        handled = [
            number for number in handled if number and signal.getsignal(number) != signal.SIG_IGN
        ]
        before = {number: signal.signal(number, interrupt) for number in handled}
        try:
            # Of many ranks, the first tells what there is to tell.
            with (
                open(os.devnull, "w") as nothing,
                redirect_stdout(nothing if ranks.rank() > 0 else sys.stdout),
            ):
                return main(argv)
        except BrokenPipeError:  # whoever read the output, head perhaps, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except (LabError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt as stop:
            print(": ".join(["interrupted", *map(str, stop.args)]), file=sys.stderr)
            return 130
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    return guarded
