"""The explorations of Part 1: a factor varied from a baseline, and compared with it.

The comparison is `results/<experiment>_summary.csv`; `factors` sets the factors side by side.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace

from common import cli, factors, gradients
from common import console as terminal
from common import experiment as experiments
from common.data.augmentation import flip_and_shift
from common.models import networks as models
from common.models.networks import CIFAR_COLUMNS, Design
from common.plots import accuracy as plotting
from common.plots import curves
from common.plots import factors as factor_figures
from common.results.store import Results
from common.statistics import comparison
from common.statistics.intervals import converged
from common.training.recipes import TUTORIAL, Recipe, kaiming

# Chosen on held-out training images of the baseline and of one larger network, see README.txt.
TUNED = Recipe(
    "tuned",
    epochs=40,
    batch_size=64,
    lr=0.03,
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-3,
    schedule="one-cycle",
    initialise=kaiming,
    augment=flip_and_shift,
)

RECIPES = [
    TUTORIAL,
    replace(TUTORIAL, name="tutorial-long", epochs=20),  # shows what is merely under-trained
    replace(TUTORIAL, name="tutorial-kaiming", initialise=kaiming),  # and what is badly begun
    TUNED,
]


def parser(description: str) -> cli.Parser:
    """The options of a training script, and those that move the baseline."""
    made = cli.parser(description, RECIPES, dataset="cifar10")
    add = made.add_argument_group("the baseline that is varied from").add_argument
    maps = cli.number(int, 1, 1001)
    add("--c1", type=maps, default=6, metavar="N", help="maps (default: 6)")
    add("--c3", type=maps, default=16, metavar="N", help="maps (default: 16)")
    add("--layers", type=int, choices=[7, 9, 11, 13], default=7, help="(default: 7)")
    names = list(models.ACTIVATIONS)
    named = {"metavar": "NAME", "help": "%(choices)s (default: %(default)s)"}
    add("--activation", choices=names, default="relu", **named)
    return made


def parse(made: cli.Parser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The options; `moved` says where the baseline was moved to, and is part of `label`."""
    options = cli.parse(made, argv)
    values = {column: getattr(options, column) for column in CIFAR_COLUMNS}
    options.moved = [f"{c}-{v}" for c, v in values.items() if v != made.get_default(c)]
    options.label = "-".join([options.label, *options.moved])
    return options


def explore(
    experiment: str,
    made: cli.Parser,
    options: argparse.Namespace,
    designs: Sequence[Design],
    baseline: str,
) -> int:
    """Train what is missing of an exploration, compare, draw; returns the exit status.

    Args:
        experiment: the script's name.
        made: the parser, for errors.
        options: what it parsed.
        designs: the designs, the baseline among them.
        baseline: its name.
    """
    runs = experiments.runs(made, options, designs)
    results = Results(options.results_dir, experiment, CIFAR_COLUMNS)
    if options.list:
        terminal.print_list(runs, results, options)
        return 0
    frames, failed = experiments.measure(runs, results, options)
    comparison.report(frames, results, baseline)
    grid = getattr(options, "grid", False)
    if grid:
        comparison.report_shares(frames["runs"], results, ["c1", "c3"])
    if options.classes:
        terminal.print_classes(frames["classes"])

    kept = converged(frames["runs"])
    varied = [column for column in CIFAR_COLUMNS if frames["runs"][column].nunique() > 1]
    figures = {"accuracy": plotting.accuracy_by_design(frames["runs"], baseline)}
    if not kept.empty:
        changed = options.recipe.augment is not None
        figures["curves"] = curves.training_and_test_curves(frames["epochs"], changed)
        if kept["parameters"].nunique() > 1:
            figures["size"] = factor_figures.accuracy_by_size(kept, varied)
        if grid:
            figures["grid"] = factor_figures.heat_map(kept, "c1", "c3")
        if {"layers", "activation"} & set(varied):
            measured = gradients.table(runs, results, options)
            if measured.empty:
                print("\nno figure of gradients: the same command without --plot-only measures")
            else:
                figures["gradients"] = gradients.draw(measured, kept["design"].unique())
    drawn = experiments.save(figures, experiment, options)
    drawn += factors.side_by_side(options)
    terminal.print_closing(results, frames["runs"], drawn, failed, options)
    return 1 if failed else 0
