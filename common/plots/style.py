"""The style of all figures: colours, title, caption, and writing to a file.

Colour-blind readers can distinguish the colours (Okabe and Ito). Line styles distinguish the lines
in black and white.
"""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.results.files import replacing

__all__ = ["Axes", "Figure"]  # scripts import them from here, after MPLBACKEND is set

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":")
WIDTH = 7.2  # inches: text is legible at the width of a page


def caption(frame: pd.DataFrame) -> str:
    """The caption of a figure: data set, arguments that all designs share, recipes, seeds.

    `cifar10 (c1 6, c3 16, activation relu), tutorial: 2 epochs, ...; n = 10 seeds`. The arguments
    are the columns between `design` and `recipe`. A single argument is left out: it is the name
    of the design.
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
    smallest, largest = counts.min(), counts.max()
    return f"{smallest}" if smallest == largest else f"{smallest} to {largest}"


def figure(title: str, note: str, height: float, width: float = WIDTH) -> Figure:
    """An empty figure with a title and, below it in grey, a note; sizes are in inches.

    The style is matplotlib's default: a user's matplotlibrc has no effect.
    """
    matplotlib.rcdefaults()
    empty = Figure(figsize=(width, height), layout="constrained")
    empty.suptitle(title, fontsize=11)
    empty.supxlabel(note, fontsize=7.5, color="0.35")
    return empty


def save(figure: Figure, path: Path) -> Path:
    """Write a figure to a PNG file; returns `path`. Equal figures give equal files.

    Raises:
        LabError: the file cannot be written.
    """
    matplotlib.rcdefaults()
    with replacing(path) as temporary_path:
        figure.savefig(temporary_path, format="png", dpi=150, metadata={"Software": None})
    return path


def styles(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """A colour and a line style for each name: arguments of `Axes.plot`."""
    pairs = zip(names, cycle(COLOURS), cycle(LINES))
    return {name: {"color": colour, "linestyle": line} for name, colour, line in pairs}


def half_interval(means: pd.DataFrame) -> pd.Series:
    """Half of the 95 % interval, in points, for rows of `summarise`.

    0 for two seeds: the interval is 9 times as wide as their difference and would fill the figure.
    """
    return (100 * (means["high"] - means["mean"])).where(means["n"] > 2, 0)
