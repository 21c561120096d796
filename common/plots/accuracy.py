"""Figures, drawn from results (and, where they show images or filters, from data or weights).

Colours are those of Okabe and Ito, told apart by colour-blind readers; line styles say the same in
black and white. Every figure names its data set, recipe and n.
"""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.models.networks import CIFAR_COLUMNS
from common.results.files import alone_in, replacing
from common.statistics.intervals import converged, summarise

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":")
WIDTH = 7.2  # inches: a figure at the width of a page keeps its letters legible


def caption(frame: pd.DataFrame) -> str:
    """Data set, what designs have in common, recipes with their numbers, and n, of a figure's rows.

    `cifar10 (c1 6, c3 16, activation relu), tutorial: 2 epochs, ...; n = 10 seeds`.
    """
    alike = [
        f"{column} {frame[column].iloc[0]}"
        for column in CIFAR_COLUMNS
        if column in frame and frame[column].nunique() == 1
    ]
    shown = frame["dataset"].iloc[0] + (f" ({', '.join(alike)})" if alike else "")
    told = [
        f"{row.recipe}: {row.epochs} epochs, batch {row.batch_size}, lr {row.lr:g}, "
        f"momentum {row.momentum:g}"
        for row in frame.drop_duplicates("recipe").itertuples()
    ]
    counts = frame.groupby(["dataset", "design"])["seed"].nunique()
    n = spanned(counts)
    return f"{shown}, {'; '.join(told)}; n = {n} seed{'s' * (n != '1')}"


def spanned(counts: pd.Series) -> str:
    """The least and the greatest of some numbers: `3`, or `3 to 10`."""
    least, most = counts.min(), counts.max()
    return f"{least}" if least == most else f"{least} to {most}"


def figure(title: str, note: str, height: float, width: float = WIDTH) -> Figure:
    """An empty figure with its title and, below it in grey, a note."""
    made = Figure(figsize=(width, height), layout="constrained")
    made.suptitle(title, fontsize=11)
    made.supxlabel(note, fontsize=7.5, color="0.35")
    return made


def save(drawn: Figure, path: Path) -> Path:
    """Write a figure in one piece, without the version of matplotlib in it; returns `path`."""
    with alone_in(path.parent), replacing(path) as beside:
        drawn.savefig(beside, format="png", dpi=150, metadata={"Software": None})
    return path


def styles(names: Sequence[str]) -> dict[str, dict]:
    """For each name a colour and a line style."""
    looks = zip(names, cycle(COLOURS), cycle(LINES))
    return {name: {"color": colour, "linestyle": line} for name, colour, line in looks}


def accuracy_by_design(runs: pd.DataFrame, baseline: str | None = None) -> Figure:
    """Accuracy of every design: seeds as dots, mean and 95 % interval; a line at the baseline."""
    kept = converged(runs)
    note = caption(runs if kept.empty else kept)
    drawn = figure("Accuracy on the test set by design", note, height=3.2)
    axes = drawn.subplots()
    names = list(runs["design"].unique())
    dots_and_intervals(axes, kept, "design", "test_accuracy", names)
    if baseline in set(kept["design"]):
        level = 100 * kept.loc[kept["design"] == baseline, "test_accuracy"].mean()
        label = f"baseline {baseline}: {level:.2f} %"
        axes.axhline(level, color="0.3", linewidth=1, linestyle="--", label=label)
    lost = [names.index(design) for design in runs.drop(kept.index)["design"]]
    if lost:
        bottom = axes.get_xaxis_transform()
        look = {"color": COLOURS[1], "label": "diverged, not in the mean"}
        axes.plot(lost, [0.04] * len(lost), "x", transform=bottom, **look)
    if lost or baseline in names:
        axes.legend(fontsize=8)
    axes.set_xlabel("design (dots: seeds; bar: mean and 95 % interval)")
    axes.set_ylabel("test accuracy (%)")
    return drawn


def accuracy_by_class(classes: pd.DataFrame) -> Figure:
    """Accuracy of every class of one design: seeds as dots, mean and 95 % interval."""
    drawn = figure("Accuracy on the test set by class", caption(classes), height=3.4)
    axes = drawn.subplots()
    dots_and_intervals(axes, classes, "class", "accuracy", list(classes["class"].unique()))
    overall = 100 * classes["correct"].sum() / classes["total"].sum()
    axes.axhline(overall, color="0.3", linewidth=1, label=f"all classes: {overall:.1f} %")
    axes.set_xlabel("class (dots: seeds; bar: mean and 95 % interval)")
    axes.set_ylabel("test accuracy (%)")
    axes.set_ylim(-3, 103)
    axes.legend(fontsize=8)
    return drawn


def dots_and_intervals(
    axes: Axes, frame: pd.DataFrame, by: str, column: str, names: Sequence[str]
) -> None:
    """`column`, a fraction, in per cent for each of `names`, the values of `by`."""
    means = summarise(frame, [by], column).set_index(by).reindex(names)
    for place, name in enumerate(names):
        values = 100 * frame.loc[frame[by] == name, column]
        beside = place + np.linspace(-0.2, -0.08, len(values))  # so that equal ones are all seen
        axes.plot(beside, values, "o", color="0.55", markersize=3.5)
    half = half_interval(means)
    place = np.arange(len(means)) + 0.08
    look = {"fmt": "_", "color": COLOURS[0], "capsize": 4, "ms": 12}
    axes.errorbar(place, 100 * means["mean"], half, **look)
    crowded = sum(map(len, names)) > 60
    axes.set_xticks(range(len(names)), names, rotation=45 if crowded else 0)
    if len(names) < 3:  # or dots and bar lie far from their tick
        axes.set_xlim(-1, len(names))
    axes.grid(axis="y", alpha=0.3)


def half_interval(means: pd.DataFrame) -> pd.Series:
    """Half the 95 % interval, in points, of rows of `summarise`.

    Of two seeds it is 9 times as wide as they are apart, and would hide all else: 0 then.
    """
    return (100 * (means["high"] - means["mean"])).where(means["n"] > 2, 0)


def confusion_matrices(confusion: pd.DataFrame) -> Figure:
    """What each class was taken for, a panel a design: mean counts over the seeds."""
    designs = list(confusion["design"].unique())
    columns = min(2, len(designs))
    lines = -(-len(designs) // columns)
    drawn = figure(
        "Confusion on the test set: mean count over seeds",
        caption(confusion),
        height=(4.0 if columns == 2 else 6.0) * lines + 0.4,
        width=8.2 if columns == 2 else WIDTH,
    )
    panels = drawn.subplots(lines, columns, squeeze=False).flat
    for design, axes in zip(designs, panels, strict=False):
        rows = confusion[confusion["design"] == design]
        names = list(rows["class"].unique())
        mean = rows.pivot_table(index="class", columns="predicted", values="count")
        mean = mean.loc[names, names].to_numpy()
        wrong = mean.copy()
        np.fill_diagonal(wrong, np.nan)  # else the right answers hide all others
        axes.imshow(wrong, cmap="Oranges", vmin=0)
        for (row, column), count in np.ndenumerate(mean):
            shade = "white" if row != column and count > 0.7 * np.nanmax(wrong) else "black"
            text = f"{count:.0f}" if count >= 10 or row == column else f"{count:.1f}"
            look = {"fontsize": 6.5, "color": shade, "ha": "center", "va": "center"}
            axes.text(column, row, "" if count == 0 else text, **look)
        slant = 45 if max(map(len, names)) > 1 else 0
        axes.set_xticks(range(len(names)), names, fontsize=7, rotation=slant)
        axes.set_yticks(range(len(names)), names, fontsize=7)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        axes.set_title(design, fontsize=9)
    for axes in panels:
        axes.set_axis_off()
    return drawn


def image_grid(
    images: np.ndarray, captions: Sequence[str], columns: int, title: str, note: str
) -> Figure:
    """Images in rows of `columns`, each below its caption.

    Args:
        images: uint8 (N, C, H, W) with one or three channels, or float in [0, 1].
        captions: N texts; one that ends in `!` is set in orange, without it.
        columns: images in a row.
        title: of the figure.
        note: below it: data set and the rest.
    """
    lines = -(-len(images) // columns)
    drawn = figure(title, note, height=lines * (WIDTH / columns + 0.35) + 0.7)
    panels = drawn.subplots(lines, columns, squeeze=False).flat
    for axes in panels:
        axes.set_axis_off()
    for axes, image, text in zip(drawn.axes, images, captions, strict=False):
        if len(image) == 1:
            axes.imshow(image[0], cmap="gray_r")
        else:
            axes.imshow(image.transpose(1, 2, 0))
        axes.set_title(
            text.rstrip("!"),
            fontsize=7.5,
            pad=2,
            color=COLOURS[1] if text.endswith("!") else "black",
        )
    return drawn
