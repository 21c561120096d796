"""The explorations of Part 1: a factor varied from a baseline, and set beside the other factors.

Every exploration compares its designs with the baseline (`results/<experiment>_summary.csv`) and
draws `figures/part1_factors.png` again from whatever explorations the results hold.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from common import (
    cli,
    comparison,
    experiments,
    factor_figures,
    gradients,
    models,
    plotting,
    terminal,
)
from common.augmentation import flip_and_shift
from common.effects import Effect, Gain, effect, per_doubling
from common.files import alone_in
from common.models import Design
from common.recipes import TUTORIAL, Recipe, kaiming
from common.results import Results, merge_csv
from common.statistics import converged

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
COLUMNS = tuple(models.cifar_design("baseline").columns)


class Factor(NamedTuple):
    """What the lab varies: the experiment that does, its column there, the levels."""

    experiment: str
    column: str
    levels: Sequence[int | str]
    ordered: bool


FACTORS = {
    "C1 maps": Factor("part1_explore_featuremaps", "c1", [6, 8, 10, 12], True),
    "C3 maps": Factor("part1_explore_featuremaps", "c3", [16, 20, 24, 28], True),
    "layers": Factor("part1_explore_depth", "layers", [7, 9, 11, 13], True),
    "activation": Factor(
        "part1_explore_activation", "activation", ["relu", "sigmoid", "tanh"], False
    ),
}


def parser(description: str) -> cli.Parser:
    """The options of a training script, and those that move the baseline."""
    made = cli.parser(description, RECIPES, dataset="cifar10")
    add = made.add_argument_group("the baseline that is varied from").add_argument
    add("--c1", type=cli.number(int, 1), default=6, metavar="N", help="maps (default: 6)")
    add("--c3", type=cli.number(int, 1), default=16, metavar="N", help="maps (default: 16)")
    add("--layers", type=int, choices=[7, 9, 11, 13], default=7, help="(default: 7)")
    names = list(models.ACTIVATIONS)
    named = {"metavar": "NAME", "help": "%(choices)s (default: %(default)s)"}
    add("--activation", choices=names, default="relu", **named)
    return made


def parse(made: cli.Parser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The options; `moved` says where the baseline was moved to, and is part of `label`."""
    options = cli.parse(made, argv)
    values = {column: getattr(options, column) for column in COLUMNS}
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
    results = Results(options.results_dir, experiment, COLUMNS)
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
    varied = [column for column in COLUMNS if frames["runs"][column].nunique() > 1]
    figures = {"accuracy": plotting.accuracy_by_design(frames["runs"], baseline)}
    if not kept.empty:
        changed = options.recipe.augment is not None
        curves = factor_figures.training_and_test_curves(frames["epochs"], changed)
        figures["curves"] = curves
        if kept["parameters"].nunique() > 1:
            figures["size"] = factor_figures.accuracy_by_size(kept, varied)
        if grid:
            figures["grid"] = factor_figures.heat_map(kept, "c1", "c3")
        if {"layers", "activation"} & set(varied):
            measured = gradients.table(runs, results, options)
            if measured.empty:
                print("\nno figure of gradients: nothing is measured yet, without --plot-only")
            else:
                figures["gradients"] = gradients.draw(measured, kept["design"].unique())
    drawn = experiments.save(figures, experiment, options)
    drawn += side_by_side(options)
    terminal.print_closing(results, frames["runs"], drawn, failed)
    return 1 if failed else 0


def side_by_side(options: argparse.Namespace) -> list[Path]:
    """Print, keep and draw what each factor does, for this baseline and each recipe with results.

    Nothing where no factor has two levels of two seeds. With a recipe that options changed, the
    figure shows that one alone and is named so.
    """
    named = [recipe for recipe in options.recipes if recipe.name == options.recipe.name]
    changed = options.recipe not in named
    with alone_in(options.results_dir):  # from reading on, or another script's newer rows go
        found = []
        for recipe in [options.recipe] if changed else options.recipes:
            found += [(recipe, *varied) for varied in variations(recipe, options)]
        if not found:
            return []
        table = keep_effects(found, options)
    comparison.print_effects(table)
    levels = pd.concat([runs.assign(factor=factor) for _, factor, runs in found])
    split = [] if options.split == "standard" else [options.split]
    name = "-".join(["part1_factors", *([options.label] if changed else [*options.moved, *split])])
    figure = factor_figures.factors(table, levels)
    return [plotting.save(figure, options.figures_dir / f"{name}.png")]


def keep_effects(
    found: Sequence[tuple[Recipe, str, pd.DataFrame]], options: argparse.Namespace
) -> pd.DataFrame:
    """A row a recipe and factor, from its runs: as they go into `part1_factors.csv`.

    With the gain for a doubling of the parameters, and of the multiply-accumulates, that come with
    the levels.
    """
    sizes = ("parameters", "macs")
    gains = [f"{size}_{field}" for size in sizes for field in Gain._fields]
    baseline = [getattr(options, column) for column in COLUMNS]
    rows = [
        (
            *(options.dataset, *baseline, recipe.name),
            *(recipe.epochs, recipe.batch_size, recipe.lr, recipe.momentum),
            *(factor, *effect(samples(runs, factor), FACTORS[factor].ordered)),
            *(x for size in sizes for x in per_doubling(runs[size], runs["test_accuracy"])),
        )
        for recipe, factor, runs in found
    ]
    key = ("dataset", *COLUMNS, "recipe", "epochs", "batch_size", "lr", "momentum", "factor")
    table = pd.DataFrame(rows, columns=[*key, *Effect._fields, *gains])
    merge_csv(options.results_dir / "part1_factors.csv", table.columns, len(key), rows)
    return table


def variations(recipe: Recipe, options: argparse.Namespace) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each factor varied from the baseline with `recipe`, and its runs, level by level.

    Only levels of two seeds or more, and factors of two levels or more.
    """
    fixed = {"dataset": options.dataset, **{column: getattr(options, column) for column in COLUMNS}}
    fixed |= {"recipe": recipe.name, "epochs": recipe.epochs, "batch_size": recipe.batch_size}
    fixed |= {"lr": recipe.lr, "momentum": recipe.momentum}
    for name, factor in FACTORS.items():
        runs = converged(Results(options.results_dir, factor.experiment, COLUMNS).frame())
        for column, value in fixed.items():
            if column != factor.column:
                runs = runs[runs[column] == value]
        seeds = [runs[runs[factor.column] == level] for level in factor.levels]
        seeds = [rows for rows in seeds if len(rows) > 1]
        if len(seeds) > 1:
            yield name, pd.concat(seeds)


def samples(runs: pd.DataFrame, factor: str) -> dict[str, pd.Series]:
    """The accuracies at each level of a factor, in the order of the levels."""
    groups = runs.groupby(FACTORS[factor].column, sort=False)["test_accuracy"]
    return {str(level): values for level, values in groups}
