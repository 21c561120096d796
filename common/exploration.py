"""The explorations of Part 1: a factor varied from a baseline, and set beside the other factors.

Every exploration compares its designs with the baseline (`results/<experiment>_summary.csv`) and
draws `figures/part1_factors.png` again from whatever explorations the results hold.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from common import cli, factor_figures, models, plotting, terminal
from common.models import Design
from common.results import Results, merge_csv
from common.statistics import (
    Difference,
    Effect,
    Mean,
    converged,
    differences,
    effect,
    mean_interval,
    wilson,
)
from common.training import TUTORIAL, Recipe

RECIPES = [
    TUTORIAL,
    replace(TUTORIAL, name="tutorial-long", epochs=20),  # shows what is merely under-trained
]
DIFFERENCE = ("difference", "difference_low", "difference_high", "p", "correlation", "method")
COLUMNS = tuple(models.cifar_design("baseline").columns)

# The lab's factors: the experiment that varies each, its column and levels, and their order.
FACTORS = {
    "C1 maps": ("part1_explore_featuremaps", "c1", [6, 8, 10, 12], True),
    "C3 maps": ("part1_explore_featuremaps", "c3", [16, 20, 24, 28], True),
    "layers": ("part1_explore_depth", "layers", [7, 9, 11, 13], True),
    "activation": ("part1_explore_activation", "activation", ["relu", "sigmoid", "tanh"], False),
}


def parser(description: str) -> cli.Parser:
    """The options of a training script, and those that move the baseline."""
    made = cli.parser(description, RECIPES, dataset="cifar10")
    add = made.add_argument_group("the baseline that is varied from").add_argument
    add("--c1", type=cli.number(int, 1), default=6, metavar="N", help="maps (default: 6)")
    add("--c3", type=cli.number(int, 1), default=16, metavar="N", help="maps (default: 16)")
    add("--layers", type=int, choices=[7, 9, 11, 13], default=7, help="(default: 7)")
    add("--activation", choices=list(models.ACTIVATIONS), default="relu", help="(default: relu)")
    return made


def parse(made: cli.Parser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The options; `moved` says where the baseline was moved to, and is part of `label`."""
    options = cli.parse(made, argv)
    values = {column: getattr(options, column) for column in COLUMNS}
    options.moved = [f"{c}{v}" for c, v in values.items() if v != made.get_default(c)]
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
    runs = cli.runs(made, options, designs)
    results = Results(options.results_dir, experiment, COLUMNS)
    if options.list:
        terminal.print_list(runs, results, options)
        return 0
    failed = cli.train(runs, results, options)

    frames = cli.frames(runs, results)
    print(f"\n{experiment} on {options.dataset}\n{terminal.describe(options.recipe)}\n")
    terminal.print_summary(frames["runs"])
    table = compare(frames, results.key_columns[:-1], baseline)
    terminal.print_differences(table, baseline)
    key = len(results.key_columns) - 1
    merge_csv(results.path("summary"), table.columns, key, table.itertuples(index=False))
    if options.classes:
        terminal.print_classes(frames["classes"])

    figures = {
        "accuracy": plotting.accuracy_by_design(frames["runs"], baseline),
        "size": factor_figures.accuracy_by_size(frames["runs"]),
        "curves": factor_figures.training_and_test_curves(frames["epochs"]),
    }
    if getattr(options, "grid", False):
        figures["grid"] = factor_figures.heat_map(frames["runs"], "c1", "c3")
    drawn = cli.save(figures, experiment, options)
    drawn += side_by_side(options)
    terminal.print_closing(results, frames["runs"], drawn, failed)
    return 1 if failed else 0


def compare(frames: dict[str, pd.DataFrame], key: Sequence[str], baseline: str) -> pd.DataFrame:
    """A row a design: its mean over seeds, and its difference from the baseline.

    A design of one seed has the interval that its test images give (Wilson's), and no difference.

    Returns the columns `key`, those of Mean and those of Difference.
    """
    runs = frames["runs"]
    values = {
        design: rows.set_index("seed")["test_accuracy"]
        for design, rows in converged(runs).groupby("design", sort=False)
    }
    several = {design: rows for design, rows in values.items() if len(rows) > 1}
    found = differences(several, baseline) if baseline in several and len(several) > 1 else {}
    none = Difference(*[np.nan] * 5, method="")
    tested = int(frames["classes"].groupby([*key, "seed"])["total"].sum().iloc[0])
    rows = []
    for design, given in runs.groupby("design", sort=False):
        mean = mean_interval(values.get(design, []))
        if mean.n == 1:
            low, high = wilson(round(mean.mean * tested), tested)
            mean = mean._replace(low=low, high=high)
        rows.append((*given.iloc[0][list(key)], *mean, *found.get(design, none)))
    return pd.DataFrame(rows, columns=[*key, *Mean._fields, *DIFFERENCE])


def side_by_side(options: argparse.Namespace) -> list[Path]:
    """Draw the factors beside each other, for this baseline and each recipe that has results.

    Nothing where no factor has two levels of two seeds. With a recipe that options changed, the
    figure shows that one alone and is named so.
    """
    named = [recipe for recipe in options.recipes if recipe.name == options.recipe.name]
    changed = options.recipe not in named
    recipes = [options.recipe] if changed else options.recipes
    rows = [row for recipe in recipes for row in effects(recipe, options)]
    if not rows:
        return []
    key = ("dataset", *COLUMNS, "recipe", "epochs", "batch_size", "lr", "momentum", "factor")
    table = pd.DataFrame(rows, columns=[*key, *Effect._fields])
    merge_csv(options.results_dir / "part1_factors.csv", table.columns, len(key), rows)
    name = "-".join(["part1_factors", *([options.label] if changed else options.moved)])
    return [plotting.save(factor_figures.factors(table), options.figures_dir / f"{name}.png")]


def effects(recipe: Recipe, options: argparse.Namespace) -> list[tuple]:
    """The effect of each factor that has been varied from the baseline with `recipe`."""
    baseline = {column: getattr(options, column) for column in COLUMNS}
    numbers = {"epochs": recipe.epochs, "batch_size": recipe.batch_size}
    numbers |= {"lr": recipe.lr, "momentum": recipe.momentum}
    fixed = {"dataset": options.dataset, **baseline, "recipe": recipe.name, **numbers}
    rows = []
    for factor, (experiment, varied, levels, ordered) in FACTORS.items():
        runs = converged(Results(options.results_dir, experiment, COLUMNS).frame())
        for column, value in fixed.items():
            if column != varied:
                runs = runs[runs[column] == value]
        samples = {str(level): runs[runs[varied] == level]["test_accuracy"] for level in levels}
        samples = {level: rows for level, rows in samples.items() if len(rows) > 1}
        if len(samples) > 1:
            rows.append((*fixed.values(), factor, *effect(samples, ordered)))
    return rows
