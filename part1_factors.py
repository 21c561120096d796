"""Part 1: which factor matters most: feature maps, depth or activation?

python part1_factors.py                 for the tutorial's network
python part1_factors.py --c1 12         for another baseline network
python part1_factors.py --recipe tuned  for one recipe

This script reads the results of the three explorations and trains nothing.
With two epochs, depth and activation matter most, because some settings fail:
13 layers and sigmoid learn nothing. With the recipe tuned, sigmoid costs most;
every other level is within 3 points of the best.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from common import LabError, cli, console, exploration
from common.models.networks import CIFAR_COLUMNS, DEPTHS, cifar_design
from common.plots import style
from common.plots.factors import SIZES, means_by_size
from common.plots.style import Axes, Figure
from common.results.columns import RECIPE_KEY
from common.results.store import Results
from common.results.tables import merge_table
from common.settings import Settings
from common.statistics.effects import Gain, effect, gain, gains_differ
from common.statistics.intervals import converged
from common.training.loop import Run
from common.training.recipes import Recipe

KEY = ["dataset", *CIFAR_COLUMNS, *RECIPE_KEY]


@dataclass(frozen=True)
class Factor:
    """A factor of an exploration: its column, its levels, and the name of a design."""

    experiment: str
    column: str
    levels: Sequence[int | str]
    name: Callable[[dict[str, int | str]], str]


def maps_name(network: dict[str, int | str]) -> str:
    """The name of a design in the exploration of feature maps."""
    return f"{network['c1']}-{network['c3']}"


FACTORS = {
    "C1 maps": Factor("part1_explore_featuremaps", "c1", (6, 8, 10, 12), maps_name),
    "C3 maps": Factor("part1_explore_featuremaps", "c3", (16, 20, 24, 28), maps_name),
    "layers": Factor(
        "part1_explore_depth", "layers", tuple(DEPTHS), lambda network: str(network["layers"])
    ),
    "activation": Factor(
        "part1_explore_activation",
        "activation",
        ("relu", "sigmoid", "tanh"),
        lambda network: network["activation"],
    ),
}


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Compare the factors: print, write the tables, draw."""
    parser = cli.reading_parser(__doc__, "cifar10")
    cli.add_recipe_options(parser, exploration.RECIPES)
    parser.set_defaults(recipe=None)
    exploration.add_baseline_options(parser)
    args = parser.parse_args(argv)
    settings = Settings.of(args, *exploration.baseline_labels(args))
    recipes = [settings.recipe] if settings.recipe else exploration.RECIPES
    network, tables = exploration.baseline(args), []
    for recipe in recipes:
        for factor, runs in levels(settings, recipe, network):
            tables.append(runs.assign(factor=factor))
    if not tables:
        raise LabError(
            f"{settings.results_dir} has no factor with two seeds at two levels: run the three "
            "scripts part1_explore_*.py first"
        )
    runs = pd.concat(tables, ignore_index=True)
    effects = effect_table(runs, network)
    console.print_effects(effects)
    path = settings.results_dir / "part1_factors.csv"
    merge_table(path, [*KEY, "factor"], effects)
    merge_table(
        path.with_name("part1_factors_sizes.csv"),
        [*KEY, "factor", "size"],
        gain_table(runs, network),
    )
    name = "-".join(filter(None, ("part1_factors", settings.label)))
    figure = settings.figures_dir / f"{name}.png"
    style.save(draw(effects, runs), figure)
    print(f"\nresults: {console.relative_path(path)}, also part1_factors_sizes.csv")
    print(f"figure:  {console.relative_path(figure)}")
    return 0


def levels(
    settings: Settings, recipe: Recipe, network: dict[str, int | str]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each factor and its runs by one recipe, level by level.

    Only levels with at least two seeds, and factors with at least two such levels.
    """
    for name, factor in FACTORS.items():
        results = Results(settings.results_dir, factor.experiment, CIFAR_COLUMNS)
        seeds = []
        for level in factor.levels:
            level_network = {**network, factor.column: level}
            design = cifar_design(factor.name(level_network), **level_network)
            run = Run(design, recipe, settings.dataset)
            seeds.append(converged(results.select([run])))
        seeds = [runs for runs in seeds if len(runs) > 1]
        if len(seeds) > 1:
            yield name, pd.concat(seeds)


def cells(runs: pd.DataFrame, network: dict[str, int | str]) -> dict[str, int | float | str]:
    """The key of a row of these tables: data set, baseline, recipe and its numbers."""
    return {column: network.get(column, runs[column].iloc[0]) for column in KEY}


def effect_table(runs: pd.DataFrame, network: dict[str, int | str]) -> pd.DataFrame:
    """One row per recipe and factor: the effect of the factor."""
    rows = []
    for (_, name), group in runs.groupby(["recipe", "factor"], sort=False):
        column = FACTORS[name].column
        accuracies = {
            str(v): rows["test_accuracy"] for v, rows in group.groupby(column, sort=False)
        }
        result = effect(accuracies, ordered=column != "activation")
        rows.append({**cells(group, network), "factor": name, **result._asdict()})
    return pd.DataFrame(rows)


def gain_table(runs: pd.DataFrame, network: dict[str, int | str]) -> pd.DataFrame:
    """The gain per parameter and per multiply-accumulate: one row per recipe, factor and size.

    `p` tests for a difference from the gain of the recipe's first factor. Factors that do not
    change the size have no row.
    """
    rows, first = [], {}
    for size in SIZES:
        for (recipe, name), group in runs.groupby(["recipe", "factor"], sort=False):
            if group[size].nunique() == 1:
                continue
            result = gain(group[size], group["test_accuracy"])
            other = first.setdefault((recipe, size), result)
            p = np.nan if other is result else gains_differ(other, result)
            key = {**cells(group, network), "factor": name, "size": size}
            rows.append({**key, **result._asdict(), "p": p})
    return pd.DataFrame(rows, columns=[*KEY, "factor", "size", *Gain._fields, "p"])


def draw(effects: pd.DataFrame, levels: pd.DataFrame) -> Figure:
    """The effect of each factor, one row of panels per recipe: ranges, and accuracy by size.

    The panels by size separate the effects of factor and size: if only size mattered, the lines
    would coincide. Factors that do not change the size are not in these panels.

    Args:
        effects: one row per recipe and factor: dataset, recipe, factor, and the fields of Effect.
        levels: the runs of all factors, with a column `factor`.
    """
    recipes = list(effects["recipe"].unique())
    figure = style.figure(
        "Which factor matters most? From the worst level's mean to the best's, and by size",
        f"{effects['dataset'].iloc[0]}; n = {style.count_range(effects['n'])} seeds; 95 % "
        "intervals, of ranges by Tukey or Games-Howell; in brackets: eta squared by chance",
        height=2.7 * len(recipes) + 0.6,
    )
    names = list(levels["factor"].unique())
    panels = figure.subplots(len(recipes), 3, squeeze=False)
    for (ranges, *sizes), recipe in zip(panels, recipes, strict=True):
        draw_ranges(ranges, effects[effects["recipe"] == recipe])
        ranges.set_title(recipe, fontsize=9)
        runs = levels[levels["recipe"] == recipe]
        for axes, size in zip(sizes, SIZES, strict=True):
            sized = runs[runs.groupby("factor")[size].transform("nunique") > 1]
            if sized.empty:
                axes.set_axis_off()
                continue
            for factor, rows in sized.groupby("factor", sort=False):
                means_by_size(axes, rows, size, factor, names.index(factor))
            axes.set(xlabel=SIZES[size], ylabel="test accuracy (%)")
            if axes is sizes[0]:
                axes.legend(fontsize=7)
    return figure


def draw_ranges(axes: Axes, effects: pd.DataFrame) -> None:
    """One bar per factor: range of means with its interval, levels, share of variance."""
    x, height = np.arange(len(effects)), 100 * effects["range"]
    error = [height - 100 * effects["low"], 100 * effects["high"] - height]
    axes.bar(x, height, color=style.COLOURS[5], edgecolor="black", width=0.6)
    axes.errorbar(x, height, error, fmt="none", color="black", capsize=4)
    for position, row in zip(x, effects.itertuples(), strict=True):
        text = f"{row.worst}\nto {row.best}\n$\\eta^2$ {row.eta_squared:.2f}\n({row.by_chance:.2f})"
        font = {"ha": "center", "fontsize": 6.5, "textcoords": "offset points"}
        axes.annotate(text, (position, 100 * row.high), (0, 2), **font)
    axes.set_xticks(x, effects["factor"].str.replace(" ", "\n"), fontsize=7.5)
    axes.set_ylabel("range of mean accuracy (points)")
    axes.margins(y=0.3)
    axes.grid(axis="y", alpha=0.3)


if __name__ == "__main__":
    sys.exit(main())
