"""Part 2: which changes lead from LeNet-5 of 1998 to a network of today?

python part2_ablation.py              one change at a time
python part2_ablation.py --synthetic  on built-in images, no download

The network of 1998 misclassifies 1.03 %, the last one 0.65 %. The recipe is
the most important change: the error falls by 0.67 points. Softmax with the
recipe of 1998 costs 0.49 points. The other changes of the network matter less.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from common import cli, console
from common.experiment import Experiment, Tables
from common.models.design import Design
from common.models.lenet1998 import LENET5_1998, LeNet5_1998
from common.plots import style
from common.plots.style import Figure
from common.settings import NUMBERS, Settings
from common.statistics.comparison import Difference, test_images, welch
from common.statistics.intervals import Mean, mean_or_wilson
from common.training.loop import Run
from common.training.recipes import LECUN1998, MODERN

# Each change, its short name, and its arguments of the network; all earlier changes stay. Every
# network in this order learns. With these learning rates, softmax does not learn from the paper's
# small initial weights, and ReLU cannot output the -1 in the codes of radial basis functions.
CHANGES = [
    ("average pooling for sub-sampling", "average", {"subsampling": "average"}),
    ("max-pooling", "max", {"subsampling": "max"}),
    ("C3 that sees all maps", "full-c3", {"c3": "full"}),
    ("tanh a for 1.7159 tanh 2/3 a", "tanh", {"activation": "tanh"}),
    ("PyTorch's first weights", "first", {"initial": "pytorch"}),
    ("softmax for radial basis functions", "softmax", {"output": "linear"}),
    ("ReLU", "relu", {"activation": "relu"}),
]
DIFFERENCE = ("difference", "difference_low", "difference_high", "p")


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Compare each network with the previous one. The runs are in the files of part2_lenet5."""
    args = cli.parser(__doc__, "mnist", [LECUN1998]).parse_args(argv)
    settings = Settings.of(args)
    numbers = {name: getattr(args, name) for name in NUMBERS if getattr(args, name) is not None}
    steps = {
        change: Run(design, settings.recipe, settings.dataset)
        for change, design in networks().items()
    }
    *_, last = steps.values()
    steps[f"recipe {MODERN.name}"] = replace(last, recipe=replace(MODERN, **numbers))
    lab = Experiment(
        Path(__file__).stem,
        settings,
        runs=list(steps.values()),
        extras=("confusion",),
        store="part2_lenet5",
    )
    return lab.run(partial(report, steps))


def networks() -> dict[str, Design]:
    """The network of 1998, and the network after each of CHANGES."""
    designs, arguments = {"as published": LENET5_1998}, {}
    for change, name, added in CHANGES:
        arguments |= added
        designs[change] = Design(f"1998-{name}", partial(LeNet5_1998, **arguments))
    return designs


def report(steps: Mapping[str, Run], lab: Experiment, tables: Tables) -> None:
    """Compare the steps: print, write `part2_ablation.csv`, draw."""
    runs = tables.converged
    if not runs.empty:
        table = step_table(steps, runs, test_images(tables.classes))
        lab.write("", table, list(table.columns[: table.columns.get_loc("n")]))
        print_table(table)
        lab.figure("errors", errors_by_step(table, style.caption(runs)))


def step_table(steps: Mapping[str, Run], runs: pd.DataFrame, images: int) -> pd.DataFrame:
    """One row per step with runs: its mean accuracy, and the difference from the previous step.

    The differences have p-values by Welch's test with Holm's correction, and intervals with
    Bonferroni's correction for all steps. They need two seeds of both steps.

    Args:
        steps: a run for each change; its network has this change and all earlier changes.
        runs: converged runs.
        images: test images; with one seed the interval of the mean is Wilson's.

    Returns the key without the seed, step, change, and the columns of Mean and DIFFERENCE.
    """
    accuracies = {}
    for change, run in steps.items():
        same = (runs["design"] == run.design.name) & (runs["recipe"] == run.recipe.name)
        accuracies[change] = runs[same].set_index("seed")["test_accuracy"]
    pairs = {
        after: (accuracies[after], accuracies[before])
        for before, after in zip(accuracies, list(accuracies)[1:], strict=False)
        if min(len(accuracies[after]), len(accuracies[before])) > 1
    }
    differences = dict(zip(pairs, welch(list(pairs.values())), strict=True))
    rows = []
    for number, (change, run) in enumerate(steps.items()):
        if accuracies[change].empty:
            continue
        row = {**run.key, "step": number, "change": change}
        row |= mean_or_wilson(accuracies[change], images)._asdict()
        rows.append(row | differences.get(change, Difference())._asdict())
    key = [column for column in run.key if column != "seed"]
    return pd.DataFrame(rows)[[*key, "step", "change", *Mean._fields, *DIFFERENCE]]


def print_table(table: pd.DataFrame) -> None:
    """Print one line per step: error in per cent, difference from the previous step in points.

    A negative difference means fewer errors.
    """
    print(f"\n{'':<34} {'n':>2} {'error':>7}  {'points':>6} {'95 % interval':>16} {'p':>8}")
    for row in table.itertuples():
        line = f"{row.change:<34} {row.n:>2} {100 * (1 - row.mean):>5.2f} %"
        if pd.notna(row.difference):
            limits = console.interval(
                -row.difference_high, -row.difference_low, least=-1, signed=True
            )
            points, p = -100 * row.difference, console.p_value(row.p)
            line += f"  {points:>+6.2f} {limits:>16} {p:>8}"
        print(line)


def errors_by_step(table: pd.DataFrame, note: str) -> Figure:
    """The error of each step with its interval, from the first network down to the last."""
    figure = style.figure("What each change is worth", note, height=0.36 * len(table) + 1.1)
    axes = figure.subplots()
    y, errors = np.arange(len(table)), 100 * (1 - table["mean"])
    half = [100 * (table["high"] - table["mean"]), 100 * (table["mean"] - table["low"])]
    axes.errorbar(errors, y, xerr=half, fmt="o", color=style.COLOURS[0], capsize=4)
    for position, row in zip(y, table.itertuples(), strict=True):
        text = "" if pd.isna(row.p) else f"{-100 * row.difference:+.2f}"
        text += " *" if row.p < 0.05 else ""
        at_the_right = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        axes.annotate(text, (1, position), (4, -3), fontsize=8, **at_the_right)
    axes.set_yticks(y, table["change"], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("test error (%); at the right: points from the step before, * if p < 0.05")
    axes.grid(alpha=0.3)
    return figure


if __name__ == "__main__":
    sys.exit(main())
