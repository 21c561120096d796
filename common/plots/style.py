"""The style of all figures: colours, title, caption, and writing to a file.

Colour-blind readers can distinguish the colours (Okabe and Ito). Line styles distinguish the lines
in black and white.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.results.files import replacing

__all__ = ["Axes", "Figure"]  # scripts import them from here, after MPLBACKEND is set

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":")
SOFTWARE = f"matplotlib {matplotlib.__version__}"  # it is in every figure's file
WIDTH = 7.2  # inches: text is legible at the width of a page
Size = tuple[float, float]  # inches


def caption(frame: pd.DataFrame) -> str:
    """The caption of a figure: data set, arguments that all designs share, recipes, seeds.

    `cifar10 (c1 6, c3 16, activation relu), tutorial: 2 epochs, ...; n = 10 seeds`. The arguments
    are the columns between `design` and `recipe`. A single argument is the name of the design.
    """
    arguments = frame.loc[:, "design":"recipe"].columns[1:-1]
    shared = [f"{name} {frame[name].iloc[0]}" for name in arguments if frame[name].nunique() == 1]
    data = frame["dataset"].iloc[0]
    if shared and len(arguments) > 1:
        data += f" ({', '.join(shared)})"
    recipes = [
        f"{row.recipe}: {row.epochs} epochs, batch {row.batch_size}, lr {row.lr:g}, "
        f"momentum {row.momentum:g}"
        for row in frame.drop_duplicates("recipe").itertuples()
    ]
    n = count_range(frame.groupby(["dataset", "design"])["seed"].nunique())
    return f"{data}, {'; '.join(recipes)}; n = {n} seed{'s' * (n != '1')}"


def count_range(counts: pd.Series) -> str:
    """The range of counts: `3`, or `3 to 10`."""
    return " to ".join(map(str, sorted({counts.min(), counts.max()})))


def figure(title: str, note: str, height: float) -> Figure:
    """An empty figure with a title and, below it in grey, a note; `height` is in inches.

    The style is matplotlib's default: a user's matplotlibrc has no effect.
    """
    matplotlib.rcdefaults()
    empty = Figure(figsize=(WIDTH, height), layout="constrained")
    empty.suptitle(title, fontsize=11)
    empty.supxlabel(note, fontsize=7.5, color="0.35")
    return empty


def panels(
    title: str, note: str, count: int = 1, columns: int = 0, height: Size = (3.4, 0), **shared: bool
) -> tuple[Figure, np.ndarray]:
    """A figure with `count` panels (Axes) with grids, in rows of `columns` (default: one row).

    `height` is that of a row and of title and note. `shared`: arguments of `Figure.subplots`.
    """
    columns = min(columns or count, count)
    rows = math.ceil(count / columns)
    whole = figure(title, note, rows * height[0] + height[1])
    axes = whole.subplots(rows, columns, squeeze=False, **shared).ravel()
    for panel in axes[:count]:
        panel.grid(alpha=0.3)
    for panel in axes[count:]:
        panel.set_axis_off()
    return whole, axes[:count]


def save(figure: Figure, path: Path) -> Path:
    """Write a figure to a PNG file; returns `path`. Equal figures give equal files.

    The file names the version of matplotlib: another one draws other pixels.
    """
    matplotlib.rcdefaults()
    with replacing(path) as temporary_path:
        figure.savefig(temporary_path, format="png", dpi=150, metadata={"Software": SOFTWARE})
    return path


def line(number: int) -> dict[str, str]:
    """The colour and the line style of the line `number`, from 0: arguments of `Axes.plot`."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number % len(LINES)]}


def plot_means(axes: Axes, x: Sequence[float], means: pd.DataFrame, **line: Any) -> None:
    """Plot mean accuracies in per cent with 95 % intervals, for rows of `summarise`.

    No interval for two seeds: it is 9 times as wide as their difference and would fill the figure.
    """
    half = (100 * (means["high"] - means["mean"])).where(means["n"] > 2, 0)
    axes.errorbar(x, 100 * means["mean"], half, **line)


def plot_errors(axes: Axes, means: pd.DataFrame, y: Sequence[float], **points: Any) -> None:
    """Plot test errors in per cent with 95 % intervals, from mean accuracies, at heights `y`."""
    half = [100 * (means["high"] - means["mean"]), 100 * (means["mean"] - means["low"])]
    axes.errorbar(100 * (1 - means["mean"]), y, xerr=half, **points)
