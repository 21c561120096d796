"""Code that the explorations of Part 1 share: options of the baseline network, and figures."""

import argparse
from collections.abc import Sequence

import pandas as pd

from common import cli
from common.experiment import Experiment, Tables
from common.models.design import Design
from common.models.networks import ACTIVATIONS, CIFAR_COLUMNS, DEPTHS
from common.plots.curves import signal_and_gradient, training_and_test_curves
from common.results.tables import merge_table, read_table
from common.settings import Settings
from common.training.recipes import TUNED, TUTORIAL, TUTORIAL_KAIMING, TUTORIAL_LONG
from common.training.signals import initial_signals

RECIPES = [TUTORIAL, TUTORIAL_LONG, TUTORIAL_KAIMING, TUNED]


def parser(description: str) -> cli.Parser:
    """The options of a training script and of the baseline network."""
    parser = cli.parser(description, "cifar10", RECIPES)
    add_baseline_options(parser)
    return parser


def add_baseline_options(parser: cli.Parser) -> None:
    """An option for each argument of the baseline network."""
    add = parser.add_argument_group("baseline network").add_argument
    maps = cli.number(int, 1, 1001)
    add("--c1", type=maps, default=6, metavar="N", help="feature maps of C1 (default: 6)")
    add("--c3", type=maps, default=16, metavar="N", help="feature maps of C3 (default: 16)")
    add("--layers", type=int, choices=list(DEPTHS), default=7, help="(default: 7)")
    choices = {"metavar": "NAME", "help": "%(choices)s (default: %(default)s)"}
    add("--activation", choices=list(ACTIVATIONS), default="relu", **choices)


def baseline(args: argparse.Namespace) -> dict[str, int | str]:
    """The arguments of the baseline network."""
    return {column: vars(args).get(column, value) for column, value in CIFAR_COLUMNS.items()}


def baseline_labels(args: argparse.Namespace) -> list[str]:
    """The changed arguments of the baseline network, for the names of figures: `c1-12`."""
    changes = baseline(args).items() - CIFAR_COLUMNS.items()
    return [f"{column}-{value}" for column, value in sorted(changes)]


def experiment(
    name: str, args: argparse.Namespace, designs: Sequence[Design], baseline: str, *labels: str
) -> Experiment:
    """The experiment of a script. `labels` name figures of the script's own options."""
    settings = Settings.of(args, *baseline_labels(args), *labels)
    return Experiment(name, settings, designs, baseline=baseline, columns=CIFAR_COLUMNS)


def figure_of_curves(lab: Experiment, tables: Tables) -> None:
    """The figure of loss by epoch, in training and on the test set."""
    if not tables.converged.empty:
        augmented = lab.settings.recipe.augment is not None
        lab.figure("curves", training_and_test_curves(tables.epochs, augmented))


def figure_of_signals(lab: Experiment, tables: Tables) -> None:
    """Draw signal and gradient per layer before training."""
    signals = signal_table(lab)
    if signals.empty:
        print("\nno figure of gradients: the same command without --plot-only computes them")
    elif not tables.converged.empty:
        designs = tables.converged["design"].unique()
        lab.figure("gradients", signal_and_gradient(signals, designs))


def signal_table(lab: Experiment) -> pd.DataFrame:
    """Signal and gradient per layer of the runs, from `<experiment>_gradients.csv`.

    Missing runs are computed and added to the file, except with --plot-only.
    """
    results, settings = lab.results, lab.settings
    path, identity = results.path("gradients"), list(results.kinds)
    kinds = {**results.kinds, "layer": str, "signal": float, "gradient": float}
    unique = [*identity, "layer"]
    saved = read_table(path, kinds, unique, results.defaults)[identity]
    saved = set(saved.itertuples(index=False, name=None))
    missing = [run for run in lab.runs if settings.fresh or results.identity(run) not in saved]
    if missing and not settings.plot_only:
        dataset = lab.dataset()
        rows = [
            dict(zip(identity, results.identity(run), strict=True)) | row
            for run in missing
            for row in initial_signals(run, dataset)
        ]
        merge_table(path, identity, pd.DataFrame(rows), unique, results.defaults)
    table = read_table(path, kinds, unique, results.defaults)
    return table.merge(lab.selected("runs")[identity], on=identity)
