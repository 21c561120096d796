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
from itertools import pairwise
from pathlib import Path

import pandas as pd

from common import cli, console
from common.experiment import Experiment, Tables
from common.models.design import Design
from common.models.lenet1998 import LENET5_1998, LeNet5_1998
from common.plots import style
from common.settings import Settings
from common.statistics.comparison import Difference, test_images, welch
from common.statistics.intervals import mean_or_wilson
from common.training.loop import Run
from common.training.recipes import LECUN1998, MODERN, NUMBERS

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


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Compare each network with the previous one. The runs are in the files of part2_lenet5."""
    args = cli.parser(__doc__, "mnist", [LECUN1998]).parse_args(argv)
    settings = Settings.of(args)
    numbers = {name: getattr(args, name) for name in NUMBERS if getattr(args, name) is not None}
    designs = networks().items()
    steps = {step: Run(design, settings.recipe, settings.dataset) for step, design in designs}
    *_, last = steps.values()
    steps[f"recipe {MODERN.name}"] = replace(last, recipe=replace(MODERN, **numbers))
    stored = {"extras": ("confusion",), "store": "part2_lenet5"}
    lab = Experiment(Path(__file__).stem, settings, runs=list(steps.values()), **stored)
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
    """One row per step with converged runs: its mean, and its difference from the previous step.

    The differences have p-values by Welch's test with Holm's correction, and intervals with
    Bonferroni's correction for all steps. They need two seeds of both steps. With one seed the
    interval of the mean is Wilson's, for `images` test images.
    """
    saved = dict(iter(runs.set_index("seed").groupby(["design", "recipe"])["test_accuracy"]))
    accuracies = {
        change: saved.get((run.design.name, run.recipe.name), ()) for change, run in steps.items()
    }
    pairs = {after: (accuracies[after], accuracies[before]) for before, after in pairwise(steps)}
    pairs = {change: pair for change, pair in pairs.items() if min(map(len, pair)) > 1}
    differences = dict(zip(pairs, welch(list(pairs.values())), strict=True))
    rows = []
    for number, (change, run) in enumerate(steps.items()):
        if len(accuracies[change]):
            mean = mean_or_wilson(accuracies[change], images)._asdict()
            difference = differences.get(change, Difference())._asdict()
            rows.append({**run.key, "step": number, "change": change, **mean, **difference})
    return pd.DataFrame(rows).drop(columns=["seed", "correlation", "method"])


def print_table(table: pd.DataFrame) -> None:
    """Print the error of each step in per cent, and its change in points (-: fewer errors)."""
    print(f"\n{'':<34} {'n':>2} {'error':>7}  {'points':>6} {'95 % interval':>16} {'p':>8}")
    for row in table.itertuples():
        line = f"{row.change:<34} {row.n:>2} {100 * (1 - row.mean):>5.2f} %"
        if pd.notna(row.difference):
            limits = console.interval(-row.difference_high, -row.difference_low, signed=True)
            change = console.points(-row.difference)
            line += f"  {change:>6} {limits:>16} {console.p_value(row.p):>8}"
        print(line)


def errors_by_step(table: pd.DataFrame, note: str) -> style.Figure:
    """The error of each step with its interval, from the first network down to the last."""
    height = (0.36 * len(table), 1.1)
    figure, (axes,) = style.panels("What each change is worth", note, height=height)
    y = range(len(table))
    style.plot_errors(axes, table, y, fmt="o", color=style.COLOURS[0], capsize=4)
    for position, row in enumerate(table.itertuples()):
        text = console.points(-row.difference) + (" *" if row.p < 0.05 else "")
        at_the_right = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        axes.annotate(text, (1, position), (4, -3), fontsize=8, **at_the_right)
    axes.set_yticks(y, table["change"], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("test error (%); at the right: points from the step before, * if p < 0.05")
    return figure


if __name__ == "__main__":
    sys.exit(main())
