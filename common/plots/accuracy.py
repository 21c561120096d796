"""Accuracy by design and by class, and confusion matrices."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.plots import style
from common.statistics.intervals import converged, summarise


def accuracy_by_design(runs: pd.DataFrame, baseline: str | None = None) -> Figure:
    """Accuracy of every design: dots for seeds, mean and 95 % interval, a line at the baseline."""
    finite, names = converged(runs), list(runs["design"].unique())
    note = style.caption(runs if finite.empty else finite)
    figure, axes = dots_and_intervals(finite, "design", names, note, height=3.2)
    if baseline in set(finite["design"]):
        level = 100 * finite.loc[finite["design"] == baseline, "test_accuracy"].mean()
        label = f"baseline {baseline}: {level:.2f} %"
        axes.axhline(level, color="0.3", linewidth=1, linestyle="--", label=label)
    diverged = [names.index(design) for design in runs.drop(finite.index)["design"]]
    if diverged:
        crosses = {"color": style.COLOURS[1], "label": "diverged, not in the mean"}
        crosses["transform"] = axes.get_xaxis_transform()  # heights from 0 to 1
        axes.plot(diverged, [0.04] * len(diverged), "x", **crosses)
    if diverged or baseline in names:
        axes.legend(fontsize=8)
    return figure


def accuracy_by_class(classes: pd.DataFrame) -> Figure:
    """Accuracy of every class of one design: dots for seeds, mean and 95 % interval."""
    by_class = classes.rename(columns={"accuracy": "test_accuracy"})
    names, note = list(classes["class"].unique()), style.caption(classes)
    figure, axes = dots_and_intervals(by_class, "class", names, note)
    overall = 100 * classes["correct"].sum() / classes["total"].sum()
    axes.axhline(overall, color="0.3", linewidth=1, label=f"all classes: {overall:.1f} %")
    axes.set_ylim(-3, 103)
    axes.legend(fontsize=8)
    return figure


def dots_and_intervals(
    frame: pd.DataFrame, by: str, names: list[str], note: str, height: float = 3.4
) -> tuple[Figure, Axes]:
    """A figure of `test_accuracy` for each of `names`, which are values of the column `by`."""
    title = f"Accuracy on the test set by {by}"
    figure, (axes,) = style.panels(title, note, height=(height, 0))
    axes.grid(visible=False, axis="x")
    for position, name in enumerate(names):
        values = 100 * frame.loc[frame[by] == name, "test_accuracy"]
        x = position + np.linspace(-0.2, -0.08, len(values))  # equal values do not overlap
        axes.plot(x, values, "o", color="0.55", markersize=3.5)
    means = summarise(frame, [by], "test_accuracy").set_index(by).reindex(names)
    bars = {"fmt": "_", "color": style.COLOURS[0], "capsize": 4, "ms": 12}
    style.plot_means(axes, np.arange(len(means)) + 0.08, means, **bars)
    crowded = sum(map(len, names)) > 60
    axes.set_xticks(range(len(names)), names, rotation=45 if crowded else 0)
    if len(names) < 3:  # without this, dots and bar are far from their tick
        axes.set_xlim(-1, len(names))
    label = f"{by} (dots: seeds; bar: mean and 95 % interval)"
    axes.set(xlabel=label, ylabel="test accuracy (%)")
    return figure, axes


def confusion_matrices(confusion: pd.DataFrame) -> Figure:
    """True class against predicted class, one panel per design: mean counts over the seeds.

    Colours show errors only: correct answers are too frequent.
    """
    designs, names = confusion.groupby("design", sort=False), list(confusion["class"].unique())
    height = (4.0, 0.4) if len(designs) > 1 else (6.4, 0)
    title, note = "Confusion on the test set: mean count over seeds", style.caption(confusion)
    figure, panels = style.panels(title, note, len(designs), columns=2, height=height)
    if len(designs) > 1:
        figure.set_figwidth(8.2)
    for axes, (design, rows) in zip(panels, designs, strict=True):
        mean = rows.pivot_table(index="class", columns="predicted", values="count")
        mean = mean.loc[names, names].to_numpy()
        errors = np.where(np.eye(len(names)), np.nan, mean)
        axes.grid(visible=False)
        axes.imshow(errors, cmap="Oranges", vmin=0)
        for (row, column), count in np.ndenumerate(mean):
            if count > 0:
                colour = "white" if row != column and count > 0.7 * np.nanmax(errors) else "black"
                text = f"{count:.0f}" if count >= 10 or row == column else f"{count:.1f}"
                axes.text(column, row, text, fontsize=6.5, color=colour, ha="center", va="center")
        rotation = 45 if max(map(len, names)) > 1 else 0
        axes.set_xticks(range(len(names)), names, fontsize=7, rotation=rotation)
        axes.set_yticks(range(len(names)), names, fontsize=7)
        axes.set(xlabel="predicted class", ylabel="true class")
        axes.set_title(design, fontsize=9)
    return figure
