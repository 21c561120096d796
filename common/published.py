"""What others published of the same networks, and for MNIST the errors beside those here."""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from common.console import percent
from common.plots import accuracy as plotting
from common.results.files import alone_in
from common.results.store import RECIPE_KEY, Results, merge_csv
from common.statistics.intervals import Mean, converged, mean_or_wilson
from common.training.recipes import LECUN1998, LECUN1998_DISTORTED, MODERN, MODERN_DISTORTED, Recipe

TESTED = 10_000  # images

# The accuracy of the 60-minute tutorial's network as builds of its page printed it from 2019 to
# 2025, seeds and versions together: mean and standard deviation of 24, and by class of 21.
# https://docs.pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html
TUTORIAL_PAGES = (0.544, 0.0126)
CLASSES_OF_PAGES = {
    "plane": (0.588, 0.094),
    "car": (0.674, 0.077),
    "bird": (0.407, 0.082),
    "cat": (0.307, 0.081),
    "deer": (0.438, 0.078),
    "dog": (0.461, 0.091),
    "frog": (0.694, 0.089),
    "horse": (0.607, 0.077),
    "ship": (0.658, 0.129),
    "truck": (0.606, 0.111),
}


class Published(NamedTuple):
    """A network of the paper, its test error there, and which experiment trains it here, and how.

    LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86(11), 1998, figure 9.
    """

    network: str
    distortions: str
    published_error: float
    experiment: str
    design: str
    recipe: Recipe


PUBLISHED = [
    Published(network, distortions, error, experiment, design, recipe)
    for network, experiment, plain, distorted, trained in (
        ("784-300-10", "part2_mlp", 0.047, 0.036, [("300", MODERN, MODERN_DISTORTED)]),
        ("784-300-100-10", "part2_mlp", 0.0305, 0.025, [("300-100", MODERN, MODERN_DISTORTED)]),
        ("784-500-150-10", "part2_mlp", 0.0295, 0.0245, [("500-150", MODERN, MODERN_DISTORTED)]),
        (
            *("LeNet-5", "part2_lenet5", 0.0095, 0.008),
            [
                ("lenet5-1998", LECUN1998, LECUN1998_DISTORTED),
                ("lenet5", MODERN, MODERN_DISTORTED),
                ("lenet5-relu", MODERN, MODERN_DISTORTED),
            ],
        ),
    )
    for design, *recipes in trained
    for distortions, error, recipe in zip(("no", "yes"), (plain, distorted), recipes, strict=True)
]


def tabulate(folder: Path) -> pd.DataFrame:
    """The rows of PUBLISHED that the results in `folder` can stand beside.

    Columns: those of Published, and of Mean: accuracies as fractions. Runs with the recipe's own
    numbers, on the standard split of MNIST.
    """
    columns = {"part2_mlp": ["hidden"], "part2_lenet5": []}
    runs = {name: converged(Results(folder, name, key).frame()) for name, key in columns.items()}
    rows = []
    for row in PUBLISHED:
        found, recipe = runs[row.experiment], row.recipe
        wanted = {"dataset": "mnist", "design": row.design}
        wanted |= dict(zip(RECIPE_KEY, recipe.key, strict=True))
        for column, value in wanted.items():
            found = found[found[column] == value]
        if len(found):
            mean = mean_or_wilson(found["test_accuracy"], TESTED)
            rows.append((*row._replace(recipe=recipe.name), *mean))
    return pd.DataFrame(rows, columns=[*Published._fields, *Mean._fields])


def compare(options: argparse.Namespace) -> list[Path]:
    """Print, keep and draw the table; returns the figure. Only for MNIST's standard split."""
    if options.dataset != "mnist":
        return []
    path, key = options.results_dir / "part2_published.csv", len(Published._fields)
    with alone_in(options.results_dir):  # from reading on, or another script's newer rows go
        table = tabulate(options.results_dir)
        if table.empty:
            return []
        merge_csv(path, table.columns, key, table.itertuples(index=False))
    print(f"\n{'errors in %':<32} {'1998':>5}  {'here':>5} {'95 % interval':>16} {'n':>3}")
    for row in table.itertuples():
        distorted = ", distorted" if row.distortions == "yes" else ""
        interval = f"{percent(1 - row.high)} to {percent(1 - row.low)}"
        print(
            f"{row.design + distorted:<32} {percent(row.published_error):>5}  "
            f"{percent(1 - row.mean):>5} {interval:>16} {row.n:>3}"
        )
    return [plotting.save(draw(table), options.figures_dir / "part2_published.png")]


def draw(table: pd.DataFrame) -> Figure:
    """Published errors and ours, a line a network; with distortions and without."""
    n = plotting.spanned(table["n"])
    note = f"MNIST's test set; ours: mean and 95 % interval, n = {n} seeds"
    names = list(table["design"].unique())
    drawn = plotting.figure("The errors of 1998, and ours", note, height=0.5 * len(names) + 1.4)
    axes = drawn.subplots()
    for distortions, shift, fill in (("no", -0.12, "full"), ("yes", 0.12, "none")):
        rows = table[table["distortions"] == distortions]
        if rows.empty:
            continue
        places = np.array([names.index(name) for name in rows["design"]]) + shift
        how = "with distortions" if distortions == "yes" else "without"
        look = {"fillstyle": fill, "linestyle": ""}
        published = 100 * rows["published_error"]
        axes.plot(published, places, "s", color="black", label=f"1998, {how}", **look)
        half = [100 * (rows["high"] - rows["mean"]), 100 * (rows["mean"] - rows["low"])]
        errors = 100 * (1 - rows["mean"])
        look |= {"fmt": "o", "color": plotting.COLOURS[0], "capsize": 3}
        axes.errorbar(errors, places, xerr=half, label=f"here, {how}", **look)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xscale("log")
    ticks = [0.3, 0.5, 0.7, 1, 2, 3, 5]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("test error (%)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    return drawn
