"""The factors that Part 1 varies from a baseline, side by side: what each does, and by its size.

`results/part1_factors.csv`, `part1_sizes.csv` and `figures/part1_factors.png` are written again by
every exploration, from what all of them have measured.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from common.models.networks import CIFAR_COLUMNS
from common.plots import accuracy as plotting
from common.plots import factors as factor_figures
from common.results.files import alone_in
from common.results.store import RECIPE_KEY, Results, merge_csv
from common.statistics import comparison
from common.statistics.effects import Effect, Gain, effect, gain, gains_differ
from common.statistics.intervals import converged
from common.training.recipes import Recipe

CELL = ("dataset", *CIFAR_COLUMNS, *RECIPE_KEY)


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


def side_by_side(options: argparse.Namespace) -> list[Path]:
    """Print, keep and draw what each factor does, for this baseline and each recipe with results.

    Nothing where no factor has two levels of two seeds. With a recipe that options changed, the
    figure shows that one alone and is named so.
    """
    changed = options.recipe != options.named
    with alone_in(options.results_dir):  # from reading on, or another script's newer rows go
        found = []
        for recipe in [options.recipe] if changed else options.recipes:
            found += [(recipe, *varied) for varied in variations(recipe, options)]
        if not found:
            return []
        table = keep_effects(found, options)
        keep_gains(found, options)
    comparison.print_effects(table)
    levels = pd.concat([runs.assign(factor=factor) for _, factor, runs in found])
    split = [] if options.split == "standard" else [options.split]
    name = "-".join(["part1_factors", *([options.label] if changed else [*options.moved, *split])])
    figure = factor_figures.factors(table, levels)
    return [plotting.save(figure, options.figures_dir / f"{name}.png")]


def keep_effects(
    found: Sequence[tuple[Recipe, str, pd.DataFrame]], options: argparse.Namespace
) -> pd.DataFrame:
    """A row a recipe and factor, from its runs: as they go into `part1_factors.csv`."""
    rows = [
        (
            *cell(recipe, options),
            *(factor, *effect(samples(runs, factor), FACTORS[factor].ordered)),
        )
        for recipe, factor, runs in found
    ]
    table = pd.DataFrame(rows, columns=[*CELL, "factor", *Effect._fields])
    merge_csv(options.results_dir / "part1_factors.csv", table.columns, len(CELL) + 1, rows)
    return table


def keep_gains(
    found: Sequence[tuple[Recipe, str, pd.DataFrame]], options: argparse.Namespace
) -> None:
    """What a parameter and a multiply-accumulate bring by each factor: `part1_sizes.csv`.

    With the p-value that they bring as much by the recipe's first factor (nan of that one). Factors
    whose levels are of one size have no row.
    """
    rows = []
    for size in factor_figures.SIZES:
        first: dict[str, Gain] = {}
        for recipe, factor, runs in found:
            if runs[size].nunique() == 1:
                continue
            here = gain(runs[size], runs["test_accuracy"])
            p = gains_differ(first[recipe.name], here) if recipe.name in first else np.nan
            first.setdefault(recipe.name, here)
            rows.append((*cell(recipe, options), factor, size, *here, p))
    columns = (*CELL, "factor", "size", *Gain._fields, "p")
    merge_csv(options.results_dir / "part1_sizes.csv", columns, len(CELL) + 2, rows)


def cell(recipe: Recipe, options: argparse.Namespace) -> tuple[str | int | float, ...]:
    """Where a row of these tables stands: the data, the baseline, the recipe and its numbers."""
    baseline = (getattr(options, column) for column in CIFAR_COLUMNS)
    return (options.dataset, *baseline, *recipe.key)


def variations(recipe: Recipe, options: argparse.Namespace) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each factor varied from the baseline with `recipe`, and its runs, level by level.

    Only levels of two seeds or more, and factors of two levels or more.
    """
    fixed = dict(zip(CELL, cell(recipe, options), strict=True))
    for name, factor in FACTORS.items():
        runs = converged(Results(options.results_dir, factor.experiment, CIFAR_COLUMNS).frame())
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
