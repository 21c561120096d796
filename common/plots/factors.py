"""Accuracy by a network's size, by two factors, and by factor."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from common.plots import style
from common.statistics.intervals import summarise

SIZES = {"parameters": "parameters", "macs": "multiply-accumulates"}


def accuracy_by_size(runs: pd.DataFrame, varied: Sequence[str]) -> Figure:
    """Accuracy against parameters and against multiply-accumulates: mean and 95 % interval.

    With two columns in `varied`, each level of the first has a line through levels of the second.
    """
    title, note = "Is it the design, or its size?", style.caption(runs)
    figure, (parameters, macs) = style.panels(title, note, 2, sharey=True)
    for axes, size in ((parameters, "parameters"), (macs, "macs")):
        if len(varied) == 2:
            first, second = varied
            for number, (level, rows) in enumerate(runs.groupby(first)):
                levels = ", ".join(map(str, sorted(rows[second].unique())))
                means_by_size(axes, rows, size, f"{first} {level}, {second} {levels}", number)
        else:
            for row in means_by_size(axes, runs, size, line="").itertuples():
                point = (getattr(row, size), 100 * row.mean)
                axes.annotate(row.design, point, (4, 3), textcoords="offset points", fontsize=7)
    macs.set_xlabel(f"{SIZES['macs']} of an image")
    parameters.set_ylabel("test accuracy (%)")
    if len(varied) == 2:
        parameters.legend(fontsize=7)
    return figure


def means_by_size(
    axes: Axes, runs: pd.DataFrame, size: str, label: str = "", number: int = 0, line: str = "-"
) -> pd.DataFrame:
    """Mean accuracy and interval of every design by its size; `number` is colour and marker."""
    means = summarise(runs, ["design", size], "test_accuracy").sort_values(size)
    bars = {"color": style.COLOURS[number], "marker": "osD^v"[number], "linestyle": line}
    style.plot_means(axes, means[size], means, label=label, ms=4, capsize=3, **bars)
    axes.set_xlabel(SIZES[size])
    axes.xaxis.set_major_formatter(EngFormatter())  # 62 k, 1.6 M
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.margins(x=0.08)
    return means


def heat_map(runs: pd.DataFrame, factors: Mapping[str, str]) -> Figure:
    """Mean accuracy and standard deviation for each pair of levels of two factors.

    `factors` has two columns of `runs`, the rows and the columns of the map, with their labels.
    """
    title = "Accuracy on the test set (%), mean and standard deviation"
    figure, (axes,) = style.panels(title, style.caption(runs), height=(4.2, 0))
    axes.grid(visible=False)
    cells = 100 * runs.groupby(list(factors))["test_accuracy"].agg(["mean", "std"]).unstack()
    means, deviations = cells["mean"], cells["std"].to_numpy()
    image = axes.imshow(means, cmap="viridis", aspect="auto")
    middle = np.nanmean(means.to_numpy())
    digits = 1 if np.nanmax(means) - np.nanmin(means) > 1 else 2
    for cell, mean in np.ndenumerate(means.to_numpy()):
        if np.isfinite(mean):
            text = f"{mean:.{digits}f}\n{deviations[cell]:.{digits}f}"
            colour = "white" if mean < middle else "black"
            axes.text(*cell[::-1], text, ha="center", va="center", fontsize=9, color=colour)
    axes.set_xticks(range(len(means.columns)), means.columns)
    axes.set_yticks(range(len(means.index)), means.index)
    row_label, column_label = factors.values()
    axes.set(xlabel=column_label, ylabel=row_label)
    figure.colorbar(image, label="test accuracy (%)")
    return figure
