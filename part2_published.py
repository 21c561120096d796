"""Part 2: how do our errors compare with those of 1998?

python part2_published.py  for three MLPs and LeNet-5

Reads the results of part2_mlp.py and part2_lenet5.py on MNIST; trains nothing.
The MLP 300-100 misclassifies 1.36 %, and 3.05 % in the paper of 1998. The
network of 1998 misclassifies 1.03 %, and 0.95 % in the paper: this is inside
our interval. With distorted digits it misclassifies 0.61 % instead of 0.8 %.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from common import LabError, cli, console
from common.models.lenet1998 import LENET5_1998
from common.models.networks import LENET5, LENET5_RELU, mlp_design
from common.plots import style
from common.results.files import replacing
from common.results.store import Results
from common.settings import Settings
from common.statistics.intervals import converged, mean_or_wilson
from common.training.loop import Run
from common.training.recipes import LECUN1998, LECUN1998_DISTORTED, MODERN, MODERN_DISTORTED

TEST_IMAGES = 10_000  # of MNIST

# Figure 9 of LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86(11), 1998: a network, its test errors
# (fractions) after training without and with distorted digits; then the script that trains our
# designs of this network, and these designs.
PUBLISHED = [
    ("784-300-10", (0.047, 0.036), "part2_mlp", [mlp_design(300)]),
    ("784-300-100-10", (0.0305, 0.025), "part2_mlp", [mlp_design(300, 100)]),
    ("784-500-150-10", (0.0295, 0.0245), "part2_mlp", [mlp_design(500, 150)]),
    ("LeNet-5", (0.0095, 0.008), "part2_lenet5", [LENET5_1998, LENET5, LENET5_RELU]),
]
KEY = ["network", "distortions", "published_error", "experiment", "design", "recipe"]


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Compare the errors: print, write `part2_published.csv`, draw."""
    settings = Settings.of(cli.reading_parser(__doc__, "mnist").parse_args(argv))
    folder, name = settings.results_dir, Path(__file__).stem
    table = error_table(folder)
    if table.empty:
        raise LabError(
            f"{folder} has no results on MNIST to compare: run part2_mlp.py or "
            "part2_lenet5.py --recipe modern first"
        )
    print_table(table)
    path = folder / f"{name}.csv"
    if path.exists() and len(pd.read_csv(path)) > len(table):
        raise LabError(
            f"only {len(table)} of {len(list(comparisons()))} comparisons have runs of today's "
            f"networks and recipes; {path} has more and stays as it is"
        )
    with replacing(path) as temporary:
        table.sort_values(KEY).to_csv(
            temporary, index=False, na_rep="nan", float_format="%.6g", lineterminator="\n"
        )
    figure = style.save(draw(table), settings.figures_dir / f"{name}.png")
    print(f"\nresults: {console.relative_path(path)}")
    print(f"figure:  {console.relative_path(figure)}")
    return 0


def comparisons() -> Iterator[tuple[dict[str, str | float], Run]]:
    """The key of each row of the table, and our run: on MNIST, with the recipe's own numbers."""
    for network, errors, experiment, designs in PUBLISHED:
        for design in designs:
            recipes = (MODERN, MODERN_DISTORTED)
            if design is LENET5_1998:
                recipes = (LECUN1998, LECUN1998_DISTORTED)
            for distortions, error, recipe in zip(("no", "yes"), errors, recipes, strict=True):
                key = (network, distortions, error, experiment, design.name, recipe.name)
                yield dict(zip(KEY, key, strict=True)), Run(design, recipe, "mnist")


def error_table(folder: Path) -> pd.DataFrame:
    """KEY and mean accuracy, a Mean, of each comparison that has results of the current code."""
    rows = []
    for results in (
        Results(folder, "part2_mlp", {"hidden": ""}, ("variations",)),
        Results(folder, "part2_lenet5", extras=("confusion",)),
    ):
        ours = [pair for pair in comparisons() if pair[0]["experiment"] == results.experiment]
        console.print_others(results, [run for _, run in ours])
        for key, run in ours:
            accuracies = converged(results.select([run]))["test_accuracy"]
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


def draw(table: pd.DataFrame) -> style.Figure:
    """Errors of the paper and ours, one line per design, with and without distortions."""
    n = style.count_range(table["n"])
    note = f"MNIST's test set; here: mean and 95 % interval, n = {n} seeds"
    names = list(table["design"].unique())
    height = (0.5 * len(names), 1.4)
    figure, (axes,) = style.panels("The errors of 1998, and ours", note, height=height)
    for distortions, rows in table.groupby("distortions"):
        distorted = distortions == "yes"
        y = rows["design"].map(names.index) + (0.12 if distorted else -0.12)
        label = "with distortions" if distorted else "without"
        points = {"fillstyle": "none" if distorted else "full", "linestyle": ""}
        published = 100 * rows["published_error"]
        axes.plot(published, y, "s", color="black", label=f"1998, {label}", **points)
        points |= {"fmt": "o", "color": style.COLOURS[0], "capsize": 3}
        style.plot_errors(axes, rows, y, label=f"here, {label}", **points)
    axes.set_yticks(range(len(names)), names)
    axes.set(ylim=(len(names) - 0.5, -0.5), xscale="log", xlabel="test error (%)")
    ticks = [0.3, 0.5, 0.7, 1, 2, 3, 5]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.legend(fontsize=7)
    return figure


if __name__ == "__main__":
    sys.exit(main())
