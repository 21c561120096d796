"""Part 1: which factor matters most: feature maps, depth or activation?

python part1_factors.py                 for the tutorial's network
python part1_factors.py --c1 12         for another baseline network
python part1_factors.py --recipe tuned  for one recipe

This script reads the results of the three explorations and trains nothing.
With two epochs, depth and activation matter most, because some settings fail:
13 layers and sigmoid learn nothing. With the recipe tuned, sigmoid costs most;
every other level is within 3 points of the best.
"""

import itertools
import sys
from collections.abc import Sequence

import pandas as pd

from common import LabError, cli, console, exploration
from common.models.networks import CIFAR_COLUMNS, DEPTHS, cifar_design
from common.plots import style
from common.plots.factors import SIZES, means_by_size
from common.results.columns import RECIPE_KEY
from common.results.store import Results
from common.results.tables import merge_table
from common.settings import Settings
from common.statistics.effects import Gain, effect, gain, gains_differ
from common.statistics.intervals import converged
from common.training.loop import Run
from common.training.recipes import Recipe

KEY = ["dataset", *CIFAR_COLUMNS, *RECIPE_KEY]
ACTIVATIONS = ("relu", "sigmoid", "tanh")
# Each factor: the exploration with its runs, the names of its designs, its column, its levels.
FACTORS = {
    "C1 maps": ("part1_explore_featuremaps", "{c1}-{c3}", "c1", (6, 8, 10, 12)),
    "C3 maps": ("part1_explore_featuremaps", "{c1}-{c3}", "c3", (16, 20, 24, 28)),
    "layers": ("part1_explore_depth", "{layers}", "layers", DEPTHS),
    "activation": ("part1_explore_activation", "{activation}", "activation", ACTIVATIONS),
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
    folder, network = settings.results_dir, exploration.baseline(args)
    recipes = [settings.recipe] if settings.recipe else exploration.RECIPES
    pairs = itertools.product(recipes, FACTORS)
    runs = pd.concat([runs_of(*pair, settings, network) for pair in pairs], ignore_index=True)
    if runs.empty:
        raise LabError(
            f"{folder} has no factor with two seeds at two levels: run the three "
            "scripts part1_explore_*.py first"
        )
    effects, gains = tables_of(runs, network)
    console.print_effects(effects)
    merge_table(folder / "part1_factors.csv", [*KEY, "factor"], effects)
    merge_table(folder / "part1_factors_sizes.csv", [*KEY, "factor", "size"], gains)
    name = "-".join(filter(None, ("part1_factors", settings.label)))
    figure = style.save(draw(effects, runs), settings.figures_dir / f"{name}.png")
    path = console.relative_path(folder / "part1_factors.csv")
    print(f"\nresults: {path}, also part1_factors_sizes.csv")
    print(f"figure:  {console.relative_path(figure)}")
    return 0


def runs_of(recipe: Recipe, factor: str, settings: Settings, network: dict) -> pd.DataFrame:
    """The runs of a factor by one recipe, level by level, with a column `factor`.

    Only levels with at least two seeds; empty if there are fewer than two such levels.
    """
    experiment, name, column, levels = FACTORS[factor]
    networks = [network | {column: level} for level in levels]
    designs = [cifar_design(name.format(**changed), **changed) for changed in networks]
    runs = [Run(design, recipe, settings.dataset) for design in designs]
    rows = Results(settings.results_dir, experiment, CIFAR_COLUMNS).select(runs)
    rows = converged(rows).sort_values(column, kind="stable").assign(factor=factor)
    rows = rows[rows.groupby(column)["seed"].transform("size") > 1]
    return rows if rows[column].nunique() > 1 else rows.head(0)


def tables_of(runs: pd.DataFrame, network: dict) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The effect of each factor (a row per recipe and factor), and its gains (also per size).

    Gains are per parameter and per multiply-accumulate; `p` tests for a difference from the gain of
    the recipe's first factor. Factors that do not change the size have no gain.
    """
    effects, gains, first = [], [], {}
    for (recipe, factor), group in runs.groupby(["recipe", "factor"], sort=False):
        key = {**group.iloc[0][[*KEY, "factor"]], **network}
        _, _, column, _ = FACTORS[factor]
        effects.append(key | effect(group, column, ordered=column != "activation")._asdict())
        for size in SIZES:
            if group[size].nunique() > 1:
                result = gain(group[size], group["test_accuracy"])
                other = first.setdefault((recipe, size), result)
                p = float("nan") if other is result else gains_differ(other, result)
                gains.append(key | {"size": size, **result._asdict(), "p": p})
    columns = [*KEY, "factor", "size", *Gain._fields, "p"]
    return pd.DataFrame(effects), pd.DataFrame(gains, columns=columns)


def draw(effects: pd.DataFrame, levels: pd.DataFrame) -> style.Figure:
    """The effect of each factor, one row of panels per recipe: ranges, and accuracy by size.

    If only size mattered, the lines by size would coincide. Factors that do not change the size
    have no line. `levels` has the runs of all factors, with a column `factor`.
    """
    recipes, names = effects["recipe"].unique(), list(levels["factor"].unique())
    title = "Which factor matters most? From the worst level's mean to the best's, and by size"
    note = (
        f"{effects['dataset'].iloc[0]}; n = {style.count_range(effects['n'])} seeds; 95 % "
        "intervals, of ranges by Tukey or Games-Howell; in brackets: eta squared by chance"
    )
    figure, panels = style.panels(title, note, 3 * len(recipes), columns=3, height=(2.7, 0.6))
    for (ranges, *sizes), recipe in zip(panels.reshape(-1, 3), recipes, strict=True):
        draw_ranges(ranges, effects[effects["recipe"] == recipe])
        ranges.set_title(recipe, fontsize=9)
        runs = levels[levels["recipe"] == recipe]
        sized = runs[runs.groupby("factor")["parameters"].transform("nunique") > 1]
        for axes, size in zip(sizes, SIZES, strict=True):
            for factor, rows in sized.groupby("factor", sort=False):
                means_by_size(axes, rows, size, factor, names.index(factor))
            axes.set_ylabel("test accuracy (%)")
            if sized.empty:
                axes.set_axis_off()
        if not sized.empty:
            sizes[0].legend(fontsize=7)
    return figure


def draw_ranges(axes: style.Axes, effects: pd.DataFrame) -> None:
    """One bar per factor: range of means with its interval, levels, share of variance."""
    x, height = range(len(effects)), 100 * effects["range"]
    error = [height - 100 * effects["low"], 100 * effects["high"] - height]
    axes.bar(x, height, color=style.COLOURS[5], edgecolor="black", width=0.6)
    axes.errorbar(x, height, error, fmt="none", color="black", capsize=4)
    for position, row in enumerate(effects.itertuples()):
        text = f"{row.worst}\nto {row.best}\n$\\eta^2$ {row.eta_squared:.2f}\n({row.by_chance:.2f})"
        font = {"ha": "center", "fontsize": 6.5, "textcoords": "offset points"}
        axes.annotate(text, (position, 100 * row.high), (0, 2), **font)
    axes.set_xticks(x, effects["factor"].str.replace(" ", "\n"), fontsize=7.5)
    axes.set_ylabel("range of mean accuracy (points)")
    axes.margins(y=0.3)
    axes.grid(visible=False, axis="x")


if __name__ == "__main__":
    sys.exit(main())
