"""Part 2: what does convolution buy? LeNet-5 against an MLP of its size.

python part2_convolution.py  shifted digits, permuted pixels, fewer images

On digits shifted by 2 pixels, LeNet-5 misclassifies 3.2 %, an MLP of its size
13.4 %. With 30 % of the training images, LeNet-5 is at least as good as the
MLP with all. With permuted pixels, LeNet-5 misclassifies 2.4 % instead of
0.7 %, the MLP 1.8 % instead of 1.7 %.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from common import UsageError, cli, console
from common.data.datasets import SHIFTS
from common.experiment import Experiment, Tables
from common.models.design import Design
from common.models.networks import LeNet5, mlp_design
from common.plots import style
from common.plots.style import Figure
from common.settings import Settings
from common.statistics.comparison import compare, test_images
from common.training.loop import Run
from common.training.recipes import MODERN, MODERN_DISTORTED

MLP = mlp_design(77)  # 61,225 parameters
LENET5 = Design("lenet5", LeNet5, {"hidden": "120-84"})  # 61,706
NAMES = {MLP.name: f"MLP {MLP.name}", LENET5.name: "LeNet-5"}
PERCENT = (1, 3, 10, 30)  # of the training images
# Suffixes of the data sets' names: unchanged, permuted pixels, fewer training images.
SUFFIXES = ("", "-permuted", *(f"-{percent}-percent" for percent in PERCENT))
LINES = {
    "shift": "shifted, {} px",
    "images": "{} % of the images",
    "permuted": "pixels permuted",
}
AXES = {
    "shift": "test digits shifted by (pixels)",
    "images": "training images (%)",
    "permuted": "pixels of all digits",
}


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Compare LeNet-5 with an MLP of its size. The runs are in the result files of part2_mlp."""
    args = cli.parser(__doc__, "mnist", [MODERN, MODERN_DISTORTED]).parse_args(argv)
    if args.designs:
        raise UsageError("--designs: this script always compares both networks")
    settings = Settings.of(args)
    runs = [
        Run(design, settings.recipe, settings.dataset + suffix)
        for suffix in SUFFIXES
        for design in (MLP, LENET5)
    ]
    lab = Experiment(
        Path(__file__).stem,
        settings,
        runs=runs,
        baseline=MLP.name,
        columns={"hidden": ""},
        extras=("variations",),
        store="part2_mlp",
        shifts=True,
    )
    return lab.run(report)


def report(lab: Experiment, tables: Tables) -> None:
    """Compare both networks in every condition, and draw; write `part2_convolution.csv`."""
    wide = pd.DataFrame()
    if not tables.converged.empty:
        table = table_of_means(lab, tables)
        lab.write("", table, list(table.columns[: table.columns.get_loc("n")]))
        wide = side_by_side(table, lab.settings.dataset)
        wide = wide.dropna(subset=[("mean", MLP.name), ("mean", LENET5.name)])
        print_table(wide)
    if len(wide) == len(SUFFIXES) + len(SHIFTS) + 2:  # unchanged digits have three rows
        print("\n" + console.wrapped(sentence(wide), indent=0))
        lab.figure("accuracy", accuracy_by_condition(wide, style.caption(tables.converged)))
    else:
        print("\nno figure: it needs both networks in all conditions")


def table_of_means(lab: Experiment, tables: Tables) -> pd.DataFrame:
    """One row per data set, variation of its test images, and design: mean, and LeNet-5's gain.

    Columns: the key without the seed, variation (`none`: unchanged), and the columns of `compare`.
    Shifts are only for networks that are trained on all unpermuted images.
    """
    key = [*lab.results.key_columns[:-1], "variation"]
    runs, identity = tables.converged.assign(variation="none"), list(lab.results.kinds)
    shifts = tables.on(lab.settings.dataset).variations
    shifts = shifts.merge(runs[[*identity, "train_loss"]], on=identity)
    conditions = pd.concat([runs, shifts]).groupby(["dataset", "variation"], sort=False)
    images = test_images(tables.classes)
    parts = [compare(rows, key, MLP.name, images) for _, rows in conditions]
    return pd.concat(parts, ignore_index=True)


def side_by_side(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """One row per condition, from `table_of_means`, with the columns of both designs.

    The index is (kind, amount): `shift` by 0 to 6 pixels, `images` in per cent, `permuted` 0 or 1.
    Unchanged digits have one row of each kind. Columns: (mean, design), (low, design), ...
    """
    rows = []
    for row in table.to_dict("records"):
        suffix, variation = row["dataset"].removeprefix(dataset), row["variation"]
        if suffix == "-permuted":
            conditions = [("permuted", 1)]
        elif suffix:
            conditions = [("images", int(suffix.split("-")[1]))]
        elif variation != "none":
            conditions = [("shift", int(variation.removeprefix("shift-")))]
        else:
            conditions = [("shift", 0), ("images", 100), ("permuted", 0)]
        rows += [{**row, "kind": kind, "amount": amount} for kind, amount in conditions]
    wide = pd.DataFrame(rows).pivot(index=["kind", "amount"], columns="design")
    both = pd.MultiIndex.from_product([["mean"], [MLP.name, LENET5.name]])
    return wide.reindex(columns=wide.columns.union(both, sort=False))


def print_table(wide: pd.DataFrame) -> None:
    """Print one line per condition: both accuracies, and LeNet-5's gain with its interval."""
    names = " ".join(f"{name:>9}" for name in NAMES.values())
    print(f"\n{'':<20} {names} {'points':>8} {'95 % interval':>17}")
    for (kind, amount), row in wide.iterrows():
        if (kind, amount) in (("shift", 0), ("permuted", 0)):
            continue  # unchanged digits have a line already: 100 % of the images
        mlp, lenet5 = (100 * row["mean", design] for design in NAMES)
        low, high = row["difference_low", LENET5.name], row["difference_high", LENET5.name]
        limits = console.interval(low, high, least=-1, signed=True)
        condition, gain = LINES[kind].format(amount), lenet5 - mlp
        print(f"{condition:<20} {mlp:>7.2f} % {lenet5:>7.2f} % {gain:>+8.2f} {limits:>17}")


def sentence(wide: pd.DataFrame) -> str:
    """The answer, from the table `side_by_side`."""
    error = 100 - 100 * wide["mean"]
    mlp, lenet5 = error[MLP.name], error[LENET5.name]
    enough = [p for p in (*PERCENT, 100) if lenet5["images", p] <= mlp["images", 100]]
    fewer = "With all training images, LeNet-5 is worse than the MLP."
    if enough:
        share = f"With {enough[0]} % of the training images"
        fewer = f"{share}, LeNet-5 is at least as good as the MLP with all."
    return (
        f"On digits shifted by 2 pixels, LeNet-5 misclassifies {lenet5['shift', 2]:.1f} %, an MLP "
        f"of its size {mlp['shift', 2]:.1f} %. {fewer} With permuted pixels, "
        f"LeNet-5 misclassifies {lenet5['permuted', 1]:.1f} % instead of "
        f"{lenet5['permuted', 0]:.1f} %, the MLP {mlp['permuted', 1]:.1f} % instead of "
        f"{mlp['permuted', 0]:.1f} %."
    )


def accuracy_by_condition(wide: pd.DataFrame, note: str) -> Figure:
    """Accuracy by shift, by the share of training images, and with permuted pixels."""
    figure = style.figure("What convolution buys: LeNet-5 and an MLP of its size", note, 3.4)
    panels = figure.subplots(1, 3)
    lines = style.styles(list(NAMES))
    for axes, (kind, label) in zip(panels, AXES.items(), strict=True):
        for number, (design, name) in enumerate(NAMES.items()):
            rows = wide.loc[kind].xs(design, axis="columns", level=1)
            bars = {"marker": "so"[number], "ms": 4, "capsize": 3, "label": name}
            x = rows.index + 0.06 * number * (kind == "permuted")  # intervals do not overlap
            half = style.half_interval(rows)
            axes.errorbar(x, 100 * rows["mean"], half, **lines[design], **bars)
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
    shift, images, permuted = panels
    shift.set_ylabel("test accuracy (%)")
    shift.legend(fontsize=8)
    images.set_xscale("log")
    images.set_xticks([*PERCENT, 100], [*map(str, PERCENT), "100"])
    images.minorticks_off()
    permuted.set_xticks([0, 1], ["in place", "permuted"])
    permuted.set_xlim(-0.4, 1.4)
    return figure


if __name__ == "__main__":
    sys.exit(main())
