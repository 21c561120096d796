"""The command line: shared options, error messages and exit status."""

import argparse
import functools
import math
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from common import LabError, UsageError, interrupts
from common.data.datasets import SPLITS
from common.training.recipes import Recipe

DATA_DIR_HELP = (
    "folder with MNIST/raw and cifar-10-batches-py; missing data is downloaded there "
    "(default: $LAB_DATA_DIR if set, else data/ in the repository)"
)
SPLIT_HELP = (
    "how to split the images into training and test set; validation tests on held-out training "
    "images, to choose hyperparameters (default: %(default)s)"
)
SEEDS_HELP = (
    "train each design with seeds 0 to N-1 and report only these seeds "
    "(default: train 5 seeds, report all saved seeds)"
)


class Parser(argparse.ArgumentParser):
    """An argument parser with one-line errors."""

    def __init__(self, description: str, **defaults: object) -> None:
        super().__init__(
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        nothing = ("recipe", "recipes", "seeds", "designs", "figure", "data_dir", "jobs")
        no = ("classes", "evaluate", "fresh", "plot_only", "list", "synthetic")
        self.set_defaults(
            **dict.fromkeys(nothing),
            **dict.fromkeys(no, False),
            split="standard",
            device="cpu",
            cluster="",
        )
        self.set_defaults(**defaults)

    def error(self, message: str) -> NoReturn:
        """Print the error in one line and exit with status 2."""
        self.exit(2, usage_line(message, self.prog))


def usage_line(message: str, script: str = "") -> str:
    """The error message for a wrong command line, in one line."""
    script = script or os.path.basename(sys.argv[0])
    message = " ".join(message.split())  # a value may have line breaks
    return f"{script}: error: {message} (--help lists the options)\n"


def number(
    kind: type[int] | type[float], low: float, high: float = math.inf, *, open_low: bool = False
) -> Callable[[str], int | float]:
    """An argparse type: low <= number < high; with `open_low`, low < number < high."""

    def parse(text: str) -> int | float:
        value = kind(text)
        if not (low <= value < high) or (open_low and value == low):
            bounds = f"{'above' if open_low else 'at least'} {low}"
            bounds += f" and below {high}" if high < math.inf else ""
            raise argparse.ArgumentTypeError(f"{text} is not {bounds}")
        return value

    parse.__name__ = "whole number" if kind is int else "number"
    return parse


def reading_parser(description: str, dataset: str) -> Parser:
    """The options of every script: built-in images, folders of results and figures.

    Args:
        description: the script's docstring.
        dataset: `mnist` or `cifar10`.
    """
    parser = Parser(description, base=dataset)
    add = parser.add_argument
    add("--synthetic", action="store_true", help="use the built-in images: no download")
    add("--results-dir", metavar="DIR", help="folder for CSV files (default: results/)")
    figures_help = "folder for figures (default: figures/, or DIR/figures of --results-dir)"
    add("--figures-dir", metavar="DIR", help=figures_help)
    return parser


def plain_parser(description: str, dataset: str) -> Parser:
    """The options of `reading_parser`, plus data, designs, processes and device."""
    parser = reading_parser(description, dataset)
    add = parser.add_argument
    add("--data-dir", metavar="DIR", help=DATA_DIR_HELP)
    add("--designs", nargs="+", metavar="NAME", help="only these designs")
    add("--figure", nargs="+", metavar="NAME", help="only these figures, for example: accuracy")
    jobs_help = "runs trained in parallel (default: number of CPU cores; 1 on a GPU)"
    add("--jobs", type=number(int, 1), metavar="N", help=jobs_help)
    devices = ["cpu", "auto", "cuda", "mps"]
    add("--device", choices=devices, default="cpu", help="(default: %(default)s)")
    plot_help = "print tables and draw figures from saved results; train nothing"
    add("--plot-only", action="store_true", help=plot_help)
    return parser


def add_recipe_options(parser: Parser, recipes: Sequence[Recipe]) -> None:
    """Options for the recipe, its numbers and the split."""
    parser.set_defaults(recipes=recipes)
    add = parser.add_argument
    names = [recipe.name for recipe in recipes]
    recipe_help = "training recipe: %(choices)s (default: %(default)s)"
    add("--recipe", choices=names, default=names[0], metavar="NAME", help=recipe_help)
    for option, kind in {
        "--epochs": number(int, 1),
        "--batch-size": number(int, 1),
        "--lr": number(float, 0, open_low=True),
        "--momentum": number(float, 0, 1),
    }.items():
        mark = "N" if kind.__name__ == "whole number" else "X"
        add(option, type=kind, metavar=mark, help="replaces the recipe's value")
    splits = ["standard", *(SPLITS if parser.get_default("base") == "mnist" else ["validation"])]
    add("--split", choices=splits, default="standard", help=SPLIT_HELP)


def parser(
    description: str, dataset: str, recipes: Sequence[Recipe], classes: bool = True
) -> Parser:
    """The options of a training script.

    Args:
        description: the script's docstring.
        dataset: `mnist` or `cifar10`.
        recipes: the script's recipes; the first is the default.
        classes: whether --classes is an option.
    """
    parser = plain_parser(description, dataset)
    add_recipe_options(parser, recipes)
    add = parser.add_argument
    add("--seeds", type=number(int, 1), metavar="N", help=SEEDS_HELP)
    cluster_help = "train on a running Dask cluster: address of its scheduler, or scheduler file"
    add("--cluster", default="", metavar="ADDR", help=cluster_help)
    if classes:
        add("--classes", action="store_true", help="print the per-class table of every design")
    add("--fresh", action="store_true", help="retrain saved runs")
    evaluate_help = "test the saved networks, and compare with the recorded numbers; train nothing"
    add("--evaluate", action="store_true", help=evaluate_help)
    add("--list", action="store_true", help="print designs, runs and expected time; train nothing")
    return parser


def command(main: Callable[..., int]) -> Callable[..., int]:
    """Wrap a script's main: errors are one line and an exit status, without a traceback.

    Exit status: 0 success, 1 failure, 2 wrong command line, 130 interrupted (Ctrl-C, SIGTERM, a
    closed terminal).
    """

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    @functools.wraps(main)
    def guarded(argv: Sequence[str] | None = None) -> int:
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            return 0  # a worker process imports a script without a main guard: do not run it again
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # the output's encoding may lack letters of a path
                stream.reconfigure(errors="backslashreplace")
        try:
            with interrupts.handled(interrupt, "SIGTERM", "SIGHUP"):
                return main(argv)
        except BrokenPipeError:  # the reader, for example `head`, has closed the pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except UsageError as error:
            sys.stderr.write(usage_line(str(error)))
            return 2
        except (LabError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            message = "finished runs are saved; the same command, without --fresh, carries on"
            print(f"interrupted: {message}", file=sys.stderr)
            return 130

    return guarded
