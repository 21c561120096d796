"""Part 2: how do our errors compare with those of 1998?

python part2_published.py  for three MLPs and LeNet-5

Reads the results of part2_mlp.py and part2_lenet5.py on MNIST; trains nothing.
The MLP 300-100 misclassifies 1.36 %, and 3.05 % in the paper of 1998. The
network of 1998 misclassifies 1.03 %, and 0.95 % in the paper: this is inside
our interval. With distorted digits it misclassifies 0.61 % instead of 0.8 %.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from common import LabError, cli, console
from common.models.design import Design
from common.models.lenet1998 import LENET5_1998
from common.models.networks import LENET5, LENET5_RELU, mlp_design
from common.plots import style
from common.plots.style import Figure
from common.results.columns import write_cell
from common.results.files import write_csv
from common.results.store import Results
from common.settings import Settings
from common.statistics.intervals import converged, mean_or_wilson
from common.training.loop import Run
from common.training.recipes import LECUN1998, LECUN1998_DISTORTED, MODERN, MODERN_DISTORTED

TEST_IMAGES = 10_000  # of MNIST


@dataclass(frozen=True)
class Published:
    """A network of the paper, its published test errors, and our designs of this network.

    The errors are fractions, after training without and with distorted digits. LeCun, Bottou,
    Bengio, Haffner, Proc. IEEE 86(11), 1998, figure 9.
    """

    network: str
    errors: tuple[float, float]
    experiment: str  # the script that trains our designs
    designs: Sequence[Design]


PUBLISHED = [
    Published("784-300-10", (0.047, 0.036), "part2_mlp", [mlp_design(300)]),
    Published("784-300-100-10", (0.0305, 0.025), "part2_mlp", [mlp_design(300, 100)]),
    Published("784-500-150-10", (0.0295, 0.0245), "part2_mlp", [mlp_design(500, 150)]),
    Published("LeNet-5", (0.0095, 0.008), "part2_lenet5", [LENET5_1998, LENET5, LENET5_RELU]),
]
RECIPES = (MODERN, MODERN_DISTORTED)
RECIPES_1998 = (LECUN1998, LECUN1998_DISTORTED)  # of LENET5_1998
KEY = ["network", "distortions", "published_error", "experiment", "design", "recipe"]


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Compare the errors: print, write `part2_published.csv`, draw."""
    settings = Settings.of(cli.reading_parser(__doc__, "mnist").parse_args(argv))
    table = error_table(settings.results_dir)
    if table.empty:
        raise LabError(
            f"{settings.results_dir} has no results on MNIST to compare: run part2_mlp.py or "
            "part2_lenet5.py --recipe modern first"
        )
    print_table(table)
    name = Path(__file__).stem
    path = settings.results_dir / f"{name}.csv"
    if path.exists() and len(pd.read_csv(path)) > len(table):
        every = len(list(comparisons()))
        raise LabError(
            f"only {len(table)} of {every} comparisons have runs of today's networks and recipes; "
            f"{path} has more and stays as it is"
        )
    rows = table.sort_values(KEY).to_dict("records")
    cells = [[write_cell(column, value) for column, value in row.items()] for row in rows]
    write_csv(path, [list(table.columns), *cells])
    figure = style.save(draw(table), settings.figures_dir / f"{name}.png")
    print(f"\nresults: {console.relative_path(path)}")
    print(f"figure:  {console.relative_path(figure)}")
    return 0


def comparisons() -> Iterator[tuple[dict[str, str | float], Run]]:
    """The key of each row of the table, and our run: on MNIST, with the recipe's own numbers."""
    for paper in PUBLISHED:
        for design in paper.designs:
            recipes = RECIPES_1998 if design is LENET5_1998 else RECIPES
            for distortions, error, recipe in zip(
                ("no", "yes"), paper.errors, recipes, strict=True
            ):
                names = (paper.network, distortions, error, paper.experiment)
                key = dict(zip(KEY, (*names, design.name, recipe.name), strict=True))
                yield key, Run(design, recipe, "mnist")


def error_table(folder: Path) -> pd.DataFrame:
    """One row per comparison with results of the current code: KEY and the fields of Mean.

    The means are accuracies.
    """
    stores = {
        "part2_mlp": Results(folder, "part2_mlp", {"hidden": ""}, ("variations",)),
        "part2_lenet5": Results(folder, "part2_lenet5", extras=("confusion",)),
    }
    for name, results in stores.items():
        runs = [run for key, run in comparisons() if key["experiment"] == name]
        console.print_others(results, runs)
    rows = []
    for key, run in comparisons():
        accuracies = converged(stores[key["experiment"]].select([run]))["test_accuracy"]
        if len(accuracies):
            rows.append(key | mean_or_wilson(accuracies, TEST_IMAGES)._asdict())
    return pd.DataFrame(rows)


def print_table(table: pd.DataFrame) -> None:
    """Print one line per row: the error in the paper, and ours with its interval."""
    print(f"{'test error in %':<32} {'1998':>5}  {'here':>5} {'95 % interval':>16} {'n':>3}")
    for row in table.itertuples():
        name = row.design + ", distorted" * (row.distortions == "yes")
        published, here = console.percent(row.published_error), console.percent(1 - row.mean)
        limits = console.interval(1 - row.high, 1 - row.low)
        print(f"{name:<32} {published:>5}  {here:>5} {limits:>16} {row.n:>3}")


def draw(table: pd.DataFrame) -> Figure:
    """Errors of the paper and ours, one line per design, with and without distortions."""
    n = style.count_range(table["n"])
    note = f"MNIST's test set; here: mean and 95 % interval, n = {n} seeds"
    names = list(table["design"].unique())
    figure = style.figure("The errors of 1998, and ours", note, height=0.5 * len(names) + 1.4)
    axes = figure.subplots()
    for distortions, shift, fill in (("no", -0.12, "full"), ("yes", 0.12, "none")):
        rows = table[table["distortions"] == distortions]
        if rows.empty:
            continue
        y = np.array([names.index(name) for name in rows["design"]]) + shift
        label = "with distortions" if distortions == "yes" else "without"
        points = {"fillstyle": fill, "linestyle": ""}
        published, errors = 100 * rows["published_error"], 100 * (1 - rows["mean"])
        axes.plot(published, y, "s", color="black", label=f"1998, {label}", **points)
        half = [100 * (rows["high"] - rows["mean"]), 100 * (rows["mean"] - rows["low"])]
        points |= {"fmt": "o", "color": style.COLOURS[0], "capsize": 3}
        axes.errorbar(errors, y, xerr=half, label=f"here, {label}", **points)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xscale("log")
    ticks = [0.3, 0.5, 0.7, 1, 2, 3, 5]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("test error (%)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    return figure


if __name__ == "__main__":
    sys.exit(main())
