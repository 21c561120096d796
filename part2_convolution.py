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
import torch
from torch import Tensor

from common import LabError, UsageError, cli, console
from common.data.datasets import SHIFTS
from common.experiment import Experiment, Tables
from common.models.design import Design, layer_outputs
from common.models.networks import LeNet5, mlp_design
from common.plots import style
from common.settings import Settings
from common.statistics.comparison import compare, test_images
from common.training.loop import Run
from common.training.recipes import MODERN, MODERN_DISTORTED

MLP = mlp_design(77)  # 61,225 parameters
LENET5 = Design("lenet5", LeNet5, {"hidden": "120-84"})  # 61,706
NAMES = {MLP.name: f"MLP {MLP.name}", LENET5.name: "LeNet-5"}
PERCENT = (1, 3, 10, 30)  # of the training images
# Each condition: kind, amount (pixels, %, or 0 and 1), suffix of the data set's name, and variation
# of the test images. Unchanged digits are a condition of each kind.
CONDITIONS = [
    ("shift", 0, "", "none"),
    *(("shift", pixels, "", f"shift-{pixels}") for pixels in SHIFTS),
    ("permuted", 0, "", "none"),
    ("permuted", 1, "-permuted", "none"),
    *(("images", percent, f"-{percent}-percent", "none") for percent in PERCENT),
    ("images", 100, "", "none"),
]
SHOWN = 2000  # digits in the figure of the last hidden layers
LINES = {"shift": "shifted, {} px", "images": "{} % of the images", "permuted": "pixels permuted"}


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Compare LeNet-5 with an MLP of its size. The runs are in the result files of part2_mlp."""
    args = cli.parser(__doc__, "mnist", [MODERN, MODERN_DISTORTED]).parse_args(argv)
    if args.designs:
        raise UsageError("--designs: this script always compares both networks")
    settings = Settings.of(args)
    names = dict.fromkeys(settings.dataset + suffix for _, _, suffix, _ in CONDITIONS)
    runs = [Run(design, settings.recipe, name) for name in names for design in (MLP, LENET5)]
    stored = {"columns": {"hidden": ""}, "extras": ("variations",), "store": "part2_mlp"}
    options = {"baseline": MLP.name, "shifts": True}
    return Experiment(Path(__file__).stem, settings, runs=runs, **options, **stored).run(report)


def report(lab: Experiment, tables: Tables) -> None:
    """Compare both networks in every condition, and draw; write `part2_convolution.csv`."""
    wide = pd.DataFrame()
    if not tables.converged.empty:
        table = table_of_means(lab, tables)
        lab.write("", table, list(table.columns[: table.columns.get_loc("n")]))
        wide = side_by_side(table, lab.settings.dataset)
        print_table(wide)
    try:
        lab.figure("pca", last_hidden_layers(lab))
    except LabError as error:
        print(f"\nfigure of the last hidden layers: {error}")
    if len(wide) == len(CONDITIONS):
        print("\n" + console.wrapped(sentence(wide), indent=0))
        lab.figure("accuracy", accuracy_by_condition(wide, style.caption(tables.converged)))
    else:
        print("\nno figure: it needs both networks in all conditions")


def table_of_means(lab: Experiment, tables: Tables) -> pd.DataFrame:
    """One row per data set, variation of its test images, and design: mean, and LeNet-5's gain.

    Columns: the key without the seed, variation, and the columns of `compare`. Shifts are only for
    networks that are trained on all unpermuted images.
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
    """One row (kind, amount) per condition with both networks, from `table_of_means`.

    The columns are (mean, design), (low, design), ...
    """
    conditions = pd.DataFrame(CONDITIONS, columns=["kind", "amount", "suffix", "variation"])
    rows = table.assign(suffix=table["dataset"].str.removeprefix(dataset)).merge(conditions)
    wide = rows.pivot(index=["kind", "amount"], columns="design")
    return wide[wide["mean"].reindex(columns=list(NAMES)).notna().all(axis="columns")]


def print_table(wide: pd.DataFrame) -> None:
    """Print one line per condition: both accuracies, and LeNet-5's gain with its interval."""
    names = " ".join(f"{name:>9}" for name in NAMES.values())
    print(f"\n{'':<20} {names} {'points':>8} {'95 % interval':>17}")
    for (kind, amount), row in wide.iterrows():
        if amount == 0:
            continue  # unchanged digits have a line already: 100 % of the images
        mlp, lenet5 = (row["mean", design] for design in NAMES)
        low, high = row["difference_low", LENET5.name], row["difference_high", LENET5.name]
        condition, gain = LINES[kind].format(amount), console.points(lenet5 - mlp)
        means = f"{100 * mlp:>7.2f} % {100 * lenet5:>7.2f} %"
        print(f"{condition:<20} {means} {gain:>8} {console.interval(low, high, signed=True):>17}")


def sentence(wide: pd.DataFrame) -> str:
    """The answer, from the table `side_by_side`."""
    error = 100 - 100 * wide["mean"]
    mlp, lenet5 = error[MLP.name], error[LENET5.name]
    enough = lenet5["images"].index[lenet5["images"] <= mlp["images", 100]]
    fewer = "With all training images, LeNet-5 is worse than the MLP."
    if len(enough):
        share = f"With {enough[0]} % of the training images"
        fewer = f"{share}, LeNet-5 is at least as good as the MLP with all."
    a, b = (f"{e['permuted', 1]:.1f} % instead of {e['permuted', 0]:.1f} %" for e in (lenet5, mlp))
    return (
        f"On digits shifted by 2 pixels, LeNet-5 misclassifies {lenet5['shift', 2]:.1f} %, an MLP "
        f"of its size {mlp['shift', 2]:.1f} %. {fewer} With permuted pixels, LeNet-5 misclassifies "
        f"{a}, the MLP {b}."
    )


def accuracy_by_condition(wide: pd.DataFrame, note: str) -> style.Figure:
    """Accuracy by shift, by the share of training images, and with permuted pixels."""
    title = "What convolution buys: LeNet-5 and an MLP of its size"
    figure, (shift, images, permuted) = style.panels(title, note, 3)
    for kind, axes in {"shift": shift, "images": images, "permuted": permuted}.items():
        for number, (design, name) in enumerate(NAMES.items()):
            rows = wide.loc[kind].xs(design, axis="columns", level=1)
            bars = {"marker": "so"[number], "ms": 4, "capsize": 3, "label": name}
            x = rows.index + 0.06 * number * (kind == "permuted")  # intervals do not overlap
            style.plot_means(axes, x, rows, **style.line(number), **bars)
    shift.set(xlabel="test digits shifted by (pixels)", ylabel="test accuracy (%)")
    shift.legend(fontsize=8)
    images.set(xlabel="training images (%)", xscale="log")
    images.set_xticks([*PERCENT, 100], [*map(str, PERCENT), "100"])
    images.minorticks_off()
    places = {"xticks": [0, 1], "xticklabels": ["in place", "permuted"], "xlim": (-0.4, 1.4)}
    permuted.set(xlabel="pixels of all digits", **places)
    return figure


def last_hidden_layers(lab: Experiment) -> style.Figure:
    """The outputs of the last hidden layer for test digits, in their two principal components."""
    dataset = lab.dataset()
    digits, labels = (part[:SHOWN] for part in dataset.test)
    title = "The last hidden layer: test digits in two principal components"
    note = f"the first {len(labels)} test digits; {console.describe(lab.settings.recipe)}; seed 0"
    figure, panels = style.panels(title, note, 2, height=(3.8, 0.4))
    for axes, run in zip(panels, lab.kinds, strict=False):  # unchanged digits come first
        *_, hidden, _ = layer_outputs(lab.trained(run), dataset.normalised(digits)).values()
        points, share = principal_components(hidden)  # of (N, 77) or (N, 84)
        for digit, name in enumerate(dataset.classes):
            x, y = points[labels == digit].T
            colour = style.COLOURS[digit % len(style.COLOURS)]
            axes.plot(x, y, "o^"[digit // len(style.COLOURS)], color=colour, ms=2, alpha=0.4)
            middle = {"ha": "center", "va": "center", "fontsize": 12, "fontweight": "bold"}
            axes.text(x.median(), y.median(), name, **middle)
        axes.set_title(f"{NAMES[run.design.name]}: {100 * share:.0f} % of the variance", fontsize=9)
        axes.set(xlabel="first component", ylabel="second component")
    return figure


def principal_components(values: Tensor) -> tuple[Tensor, float]:
    """The first two principal components of `values` (N, features), and their share of variance.

    The components are (N, 2). Pearson, On lines and planes of closest fit, 1901.
    """
    centred = values - values.mean(0)
    _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
    share = sizes[:2].square().sum() / sizes.square().sum()
    return centred @ directions[:2].T, share.item()


if __name__ == "__main__":
    sys.exit(main())
