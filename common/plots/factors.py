"""The figures of the explorations: size, the grid, the factors side by side."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from common.plots import accuracy as plotting
from common.statistics.intervals import summarise

SIZES = {"parameters": "parameters", "macs": "multiply-accumulates"}


def accuracy_by_size(runs: pd.DataFrame, varied: Sequence[str]) -> Figure:
    """Accuracy against parameters and against multiply-accumulates: mean and 95 % interval.

    Where two columns are `varied`, every level of the first is a line through levels of the second.
    """
    drawn = plotting.figure("Is it the design, or its size?", plotting.caption(runs), height=3.4)
    for axes, size in zip(drawn.subplots(1, 2, sharey=True), SIZES, strict=True):
        if len(varied) == 2:
            first, second = varied
            for place, (level, rows) in enumerate(runs.groupby(first)):
                levels = ", ".join(map(str, sorted(rows[second].unique())))
                means_by_size(axes, rows, size, f"{first} {level}, {second} {levels}", place)
        else:
            for row in means_by_size(axes, runs, size, label=None, place=0, line="").itertuples():
                place = (getattr(row, size), 100 * row.mean)
                axes.annotate(row.design, place, (4, 3), textcoords="offset points", fontsize=7)
        axes.set_xlabel(f"{SIZES[size]} of an image" if size == "macs" else SIZES[size])
    drawn.axes[0].set_ylabel("test accuracy (%)")
    if len(varied) == 2:
        drawn.axes[0].legend(fontsize=7)
    return drawn


def means_by_size(
    axes: Axes, runs: pd.DataFrame, size: str, label: str | None, place: int, line: str = "-"
) -> pd.DataFrame:
    """Mean accuracy and interval of every design by its size, in the `place`-th look."""
    means = summarise(runs, ["design", size], "test_accuracy").sort_values(size)
    half = plotting.half_interval(means)
    look = {"color": plotting.COLOURS[place], "marker": "osD^v"[place], "linestyle": line}
    axes.errorbar(means[size], 100 * means["mean"], half, label=label, ms=4, capsize=3, **look)
    axes.xaxis.set_major_formatter(FuncFormatter(in_thousands))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.margins(x=0.08)
    axes.grid(alpha=0.3)
    return means


LEVELS = {
    "c1": "feature maps of C1",
    "c3": "feature maps of C3",
    "first": "neurons of the first hidden layer",
    "second": "neurons of the second hidden layer",
}


def in_thousands(value: float, _: int) -> str:
    """A count on an axis: `62 k`, `1.6 M`."""
    return f"{value / 1e6:g} M" if value >= 1e6 else f"{value / 1e3:g} k"


def heat_map(runs: pd.DataFrame, rows: str, columns: str) -> Figure:
    """Mean accuracy for each pair of levels of two factors."""
    title = "Accuracy on the test set (%), mean and standard deviation"
    drawn = plotting.figure(title, plotting.caption(runs), height=4.2)
    axes = drawn.subplots()
    grid = runs.pivot_table(index=rows, columns=columns, values="test_accuracy", aggfunc="mean")
    spread = runs.pivot_table(index=rows, columns=columns, values="test_accuracy", aggfunc="std")
    spread = spread.reindex(index=grid.index, columns=grid.columns)
    image = axes.imshow(100 * grid, cmap="viridis", aspect="auto")
    middle = 100 * np.nanmean(grid.to_numpy())
    digits = 1 if 100 * np.nanmax(grid) - 100 * np.nanmin(grid) > 1 else 2
    for (i, j), mean in np.ndenumerate(100 * grid.to_numpy()):
        if np.isfinite(mean):
            text = f"{mean:.{digits}f}\n{100 * spread.to_numpy()[i, j]:.{digits}f}"
            shade = "white" if mean < middle else "black"
            axes.text(j, i, text, ha="center", va="center", fontsize=9, color=shade)
    axes.set_xticks(range(len(grid.columns)), grid.columns)
    axes.set_yticks(range(len(grid.index)), grid.index)
    axes.set_xlabel(LEVELS[columns])
    axes.set_ylabel(LEVELS[rows])
    drawn.colorbar(image, label="test accuracy (%)")
    return drawn


def factors(effects: pd.DataFrame, levels: pd.DataFrame) -> Figure:
    """What each factor does, a row of panels a recipe.

    The range of its means, and, to tell the factor from the size that it brings, the accuracy of
    its levels against parameters and multiply-accumulates, where they differ in these: were it size
    alone, the lines would lie on one another.

    Args:
        effects: a row a recipe and factor: the columns of effects.Effect, and recipe, dataset,
            factor.
        levels: the runs behind it, with a column factor.
    """
    recipes = list(effects["recipe"].unique())
    drawn = plotting.figure(
        "Which factor matters most? From the worst level's mean to the best's, and by size",
        f"{effects['dataset'].iloc[0]}; n = {plotting.spanned(effects['n'])} seeds; 95 % "
        "intervals, of ranges by Tukey or Games-Howell; in brackets: eta squared by chance",
        height=2.7 * len(recipes) + 0.6,
    )
    names = list(levels["factor"].unique())
    panels = drawn.subplots(len(recipes), 3, squeeze=False)
    for (ranges, *sizes), recipe in zip(panels, recipes, strict=True):
        draw_ranges(ranges, effects[effects["recipe"] == recipe])
        ranges.set_ylabel("range of mean accuracy (points)")
        ranges.set_title(recipe, fontsize=9)
        runs = levels[levels["recipe"] == recipe]
        for axes, size in zip(sizes, SIZES, strict=True):
            sized = runs[runs.groupby("factor")[size].transform("nunique") > 1]
            if sized.empty:
                axes.set_axis_off()  # activations are of one size
                continue
            for factor, rows in sized.groupby("factor", sort=False):
                means_by_size(axes, rows, size, factor, names.index(factor))
            axes.set_xlabel(SIZES[size])
            axes.set_ylabel("test accuracy (%)")
            if axes is sizes[0]:
                axes.legend(fontsize=7)
    return drawn


def draw_ranges(axes: Axes, effects: pd.DataFrame) -> None:
    """A bar a factor: its range of means with the interval, its levels, its share of variance."""
    places, span = np.arange(len(effects)), 100 * effects["range"]
    error = [span - 100 * effects["low"], 100 * effects["high"] - span]
    axes.bar(places, span, color=plotting.COLOURS[5], edgecolor="black", width=0.6)
    axes.errorbar(places, span, error, fmt="none", color="black", capsize=4)
    for place, row in zip(places, effects.itertuples(), strict=True):
        text = f"{row.worst}\nto {row.best}\n$\\eta^2$ {row.eta_squared:.2f}\n({row.by_chance:.2f})"
        look = {"ha": "center", "fontsize": 6.5, "textcoords": "offset points"}
        axes.annotate(text, (place, 100 * row.high), (0, 2), **look)
    axes.set_xticks(places, effects["factor"].str.replace(" ", "\n"), fontsize=7.5)
    axes.margins(y=0.3)
    axes.grid(axis="y", alpha=0.3)
