"""Figures: what a network saw on a page, and accuracy by preparation."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from common.digits.samples import NOT_FOUND
from common.plots import style
from common.plots.images import image_grid

COLUMNS = 10  # of the digits below a page
MISREAD = 40  # digits in a figure, at most


def page_and_digits(
    page: np.ndarray, scale: float, images: Sequence[np.ndarray], rows: pd.DataFrame
) -> style.Figure:
    """The page with a box around each digit; below it what the network saw, in the same order.

    Args:
        page: float (H, W) in [0, 1], reduced by `scale`.
        scale: see `find.read`.
        images: the prepared digits, uint8 (28, 28).
        rows: the rows of the digits: box, label or "", predicted, probability.
    """
    top = min(4.5, style.WIDTH * page.shape[0] / page.shape[1])
    lines = -(-len(images) // COLUMNS)
    note = rows["image"].iloc[0].split("/")[-1]
    note += "; orange: another digit than the label" if rows["label"].all() else ""
    whole = style.figure("A page, and what the network saw", note, top + 0.95 * lines + 0.8)
    grid = whole.add_gridspec(1 + lines, COLUMNS, height_ratios=[top, *[0.95] * lines])
    axes = whole.add_subplot(grid[0, :])
    axes.set_axis_off()
    extent = (0, page.shape[1] / scale, page.shape[0] / scale, 0)  # boxes are in its pixels
    axes.imshow(page, cmap="gray", vmin=0, vmax=1, extent=extent)
    for number, (row, image) in enumerate(zip(rows.itertuples(), images, strict=True)):
        wrong = row.label not in ("", row.predicted)
        colour = style.COLOURS[int(wrong)]
        x, y = [row.x, row.x + row.width], [row.y, row.y + row.height]
        axes.plot([*x, *x[::-1], x[0]], np.repeat([*y, y[0]], 2)[:5], color=colour, linewidth=1)
        axes.text(x[0], y[0], row.predicted, fontsize=8, color=colour, va="bottom")
        digit = whole.add_subplot(grid[1 + number // COLUMNS, number % COLUMNS])
        digit.set_axis_off()
        digit.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        text = f"{row.predicted}, {100 * row.probability:.0f} %"
        text += f"\nlabel {row.label}" if wrong else ""
        digit.set_title(text, fontsize=7, pad=2, color=colour if wrong else "black")
    return whole


def by_preparation(table: pd.DataFrame) -> style.Figure:
    """Accuracy of every network on every kind of digits (a panel), by preparation.

    `table` has the columns digits, design, recipe, preparation, accuracy, low, high.
    """
    table = table.assign(network=table["design"] + "\n" + table["recipe"])
    kinds, names = table["digits"].unique(), list(table["network"].unique())[::-1]
    note = (
        "seed 0, 95 % intervals; thin strokes: as wide as on paper; by box: the middle of the box, "
        "not of the mass, is\nin the centre; corner: in the upper left corner; "
        "not inverted: dark digits on light ground"
    )
    height = (0.45 * len(names) + 0.6, 0.8)
    title = "Digits that are not MNIST's: accuracy by preparation"
    figure, panels = style.panels(title, note, len(kinds), height=height, sharey=True)
    preparations = list(table["preparation"].unique())
    for axes, kind in zip(panels, kinds, strict=True):
        for number, preparation in enumerate(preparations):
            rows = table[(table["digits"] == kind) & (table["preparation"] == preparation)]
            y = rows["network"].map(names.index) + 0.13 * (2 - number)
            sides = 100 * np.abs(rows[["low", "high"]].to_numpy().T - rows["accuracy"].to_numpy())
            marks = {"fmt": "os^Dv"[number], "color": style.COLOURS[number], "ms": 4, "capsize": 2}
            axes.errorbar(100 * rows["accuracy"], y, xerr=sides, label=preparation, **marks)
        axes.set(xlabel=f"accuracy on {kind} (%)", xlim=(-2, 102))
    panels[0].set_yticks(range(len(names)), names, fontsize=8)
    panels[0].legend(fontsize=7, loc="upper center")
    return figure


def misread(
    images: Sequence[np.ndarray], predicted: np.ndarray, labels: np.ndarray, note: str
) -> style.Figure:
    """The first digits that a network misreads, as it saw them, uint8 (28, 28), with their labels.

    Without digits that are not found.
    """
    wrong = np.flatnonzero((predicted != labels) & (labels != NOT_FOUND))[:MISREAD]
    captions = [f"{labels[i]} as {predicted[i]}" for i in wrong]
    pixels = np.array([images[i] for i in wrong]).reshape(-1, 1, 28, 28)
    return image_grid(pixels, captions, COLUMNS, "Digits that the network misreads", note)
