"""The figures of the explorations: size, learning curves, the grid, the factors side by side."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from common import plotting
from common.statistics import converged, summarise


def accuracy_by_size(runs: pd.DataFrame) -> Figure:
    """Accuracy against parameters and against multiply-accumulates: mean and 95 % interval."""
    kept = converged(runs)
    kept = runs if kept.empty else kept
    drawn = plotting.figure("Is it the design, or its size?", plotting.caption(kept), height=3.4)
    sizes = {"parameters": "parameters", "macs": "multiply-accumulates an image"}
    for axes, (column, label) in zip(drawn.subplots(1, 2, sharey=True), sizes.items(), strict=True):
        means = summarise(kept, ["design", column], "test_accuracy")
        half = (100 * (means["high"] - means["mean"])).fillna(0)
        look = {"fmt": "o", "color": plotting.COLOURS[0], "capsize": 3, "markersize": 4}
        axes.errorbar(means[column], 100 * means["mean"], half, **look)
        for row in means.itertuples():
            place = (getattr(row, column), 100 * row.mean)
            axes.annotate(row.design, place, (4, 3), textcoords="offset points", fontsize=7)
        axes.set_xlabel(label)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.tick_params(axis="x", labelsize=7)
        axes.grid(alpha=0.3)
    drawn.axes[0].set_ylabel("test accuracy (%)")
    return drawn


def training_and_test_curves(epochs: pd.DataFrame) -> Figure:
    """Loss by epoch in training and on the test set, a panel a design: means, and every seed.

    Both high: under-trained. Training low and test rising: overfitted.
    """
    designs = list(epochs["design"].unique())
    columns = min(4, len(designs))
    lines = -(-len(designs) // columns)
    title = "Loss in training (dashed) and on the test set"
    drawn = plotting.figure(title, plotting.caption(epochs), height=2.1 * lines + 0.8)
    panels = drawn.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for design, axes in zip(designs, panels.flat, strict=False):
        rows = epochs[epochs["design"] == design]
        for column, colour, line in (
            ("train_loss", plotting.COLOURS[1], "--"),
            ("test_loss", plotting.COLOURS[0], "-"),
        ):
            wide = rows.pivot(index="epoch", columns="seed", values=column)
            axes.plot(wide.index, wide, line, color=colour, linewidth=0.5, alpha=0.6)
            axes.plot(wide.index, wide.mean(axis=1), line, color=colour, linewidth=2, marker=".")
        axes.set_title(design, fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    for axes in panels.flat[len(designs) :]:
        axes.set_axis_off()
    for axes in panels[:, 0]:
        axes.set_ylabel("loss (nats)")
    for axes in panels[-1]:
        axes.set_xlabel("epoch")
    return drawn


def heat_map(runs: pd.DataFrame, rows: str, columns: str) -> Figure:
    """Mean accuracy for each pair of levels of two factors."""
    kept = converged(runs)
    kept = runs if kept.empty else kept
    title = "Accuracy on the test set (%), mean and standard deviation"
    drawn = plotting.figure(title, plotting.caption(kept), height=4.2)
    axes = drawn.subplots()
    grid = kept.pivot_table(index=rows, columns=columns, values="test_accuracy", aggfunc="mean")
    spread = kept.pivot_table(index=rows, columns=columns, values="test_accuracy", aggfunc="std")
    spread = spread.reindex(index=grid.index, columns=grid.columns)
    image = axes.imshow(100 * grid, cmap="viridis", aspect="auto")
    middle = 100 * np.nanmean(grid.to_numpy())
    for (i, j), mean in np.ndenumerate(100 * grid.to_numpy()):
        if np.isfinite(mean):
            text = f"{mean:.1f}\n{100 * spread.to_numpy()[i, j]:.1f}"
            shade = "white" if mean < middle else "black"
            axes.text(j, i, text, ha="center", va="center", fontsize=9, color=shade)
    axes.set_xticks(range(len(grid.columns)), grid.columns)
    axes.set_yticks(range(len(grid.index)), grid.index)
    axes.set_xlabel(f"{columns.upper()} feature maps")
    axes.set_ylabel(f"{rows.upper()} feature maps")
    drawn.colorbar(image, label="test accuracy (%)")
    return drawn


def factors(effects: pd.DataFrame) -> Figure:
    """The range of means of each factor, with its interval, a panel a recipe.

    Args:
        effects: a row a recipe and factor: the columns of statistics.Effect, and recipe, dataset,
            factor.
    """
    recipes = list(effects["recipe"].unique())
    n = effects["n"]
    counts = f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
    drawn = plotting.figure(
        "Which factor matters most? From the worst level's mean to the best's",
        f"{effects['dataset'].iloc[0]}; n = {counts} seeds; 95 % intervals, Tukey or Games-Howell",
        height=3.6,
    )
    panels = drawn.subplots(1, len(recipes), squeeze=False, sharey=True)[0]
    for axes, recipe in zip(panels, recipes, strict=True):
        rows = effects[effects["recipe"] == recipe]
        places, span = np.arange(len(rows)), 100 * rows["range"]
        error = [span - 100 * rows["low"], 100 * rows["high"] - span]
        axes.bar(places, span, color=plotting.COLOURS[5], edgecolor="black", width=0.6)
        axes.errorbar(places, span, error, fmt="none", color="black", capsize=4)
        for place, row in zip(places, rows.itertuples(), strict=True):
            text = f"{row.worst} to {row.best}\n$\\eta^2$ = {row.eta_squared:.2f}"
            axes.annotate(
                text,
                (place, 100 * row.high),
                (0, 2),
                ha="center",
                fontsize=7,
                textcoords="offset points",
            )
        axes.set_xticks(places, rows["factor"])
        axes.set_title(recipe, fontsize=9)
        axes.margins(y=0.2)
        axes.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("range of mean accuracy (points)")
    return drawn
