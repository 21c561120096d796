"""Part 2: how well does a network without convolutions read handwritten digits?

python part2_mlp.py                   one layer of 30 to 300, and 300-100
python part2_mlp.py --grid            two layers of 100, 200 or 300 each
python part2_mlp.py --hidden 500 150  one network with hidden layers you choose

One layer of 30 neurons reaches 97.43 %, of 120 98.39 %, of 300 98.51 %.
A second layer of 100 neurons helps: 300-100 reaches 98.64 %.
With digits that are distorted in training, 300-100 reaches 99.35 %.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from common import cli, console, exploration
from common.experiment import Experiment, Tables
from common.models.networks import mlp_design
from common.plots import style
from common.plots.accuracy import accuracy_by_design
from common.settings import Settings
from common.statistics.effects import effect
from common.statistics.intervals import summarise
from common.training.recipes import MODERN, MODERN_DISTORTED

BASELINE = mlp_design(300, 100)  # of the paper of 1998
ONE_LAYER = [mlp_design(width) for width in range(30, 301, 30)]
GRID = [mlp_design(first, second) for first in (100, 200, 300) for second in (100, 200, 300)]


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Compare MLPs of different widths."""
    parser = cli.parser(__doc__, "mnist", [MODERN, MODERN_DISTORTED])
    add = parser.add_mutually_exclusive_group().add_argument
    add("--grid", action="store_true", help="two hidden layers of 100, 200 or 300 neurons each")
    width = cli.number(int, 1, 10_001)
    add("--hidden", type=width, nargs="+", metavar="N", help="one network with these hidden layers")
    args = parser.parse_args(argv)
    designs, baseline, labels, report = [*ONE_LAYER, BASELINE], BASELINE, [], report_widths
    if args.grid:
        designs, labels, report = GRID, ["grid"], report_grid
    elif args.hidden:
        baseline = mlp_design(*args.hidden)
        designs, labels, report = [baseline], [baseline.name], report_designs
    settings = Settings.of(args, *labels)
    options = {"baseline": baseline.name, "shifts": True}
    stored = {"columns": {"hidden": ""}, "extras": ("variations",)}
    return Experiment(Path(__file__).stem, settings, designs, **options, **stored).run(report)


def report_designs(lab: Experiment, tables: Tables) -> None:
    """Compare the designs, and draw."""
    lab.compare(tables)
    lab.figure("accuracy", accuracy_by_design(tables.runs, lab.baseline))
    exploration.figure_of_curves(lab, tables)


def report_grid(lab: Experiment, tables: Tables) -> None:
    """`report_designs`, and the share of the variance that each hidden layer explains."""
    report_designs(lab, tables)
    runs = tables.converged
    if not runs.empty:
        layers = runs["hidden"].str.split("-", expand=True).astype(int)
        labels = {n: f"neurons of the {n} hidden layer" for n in ("first", "second")}
        lab.grid(runs.assign(first=layers[0], second=layers[1]), labels)


def report_widths(lab: Experiment, tables: Tables) -> None:
    """`report_designs`, and the effect of the width of one hidden layer."""
    report_designs(lab, tables)
    several_layers = tables.converged["hidden"].str.contains("-")
    one_layer, others = tables.converged[~several_layers], tables.converged[several_layers]
    repeated = one_layer[one_layer.groupby("hidden")["seed"].transform("size") > 1]
    if repeated["hidden"].nunique() > 1:
        key = [c for c in lab.results.key_columns[:-1] if c not in ("design", "hidden")]
        row = {**repeated.iloc[0][key], **effect(repeated, "hidden", ordered=True)._asdict()}
        table = pd.DataFrame([row])
        console.print_effects(table.assign(factor="neurons"))
        lab.write("_width", table, key)
    if one_layer["hidden"].nunique() > 1:
        note = style.caption(tables.converged)
        lab.figure("width", accuracy_by_width(one_layer.astype({"hidden": int}), others, note))


def accuracy_by_width(one_layer: pd.DataFrame, others: pd.DataFrame, note: str) -> style.Figure:
    """Accuracy by neurons of one hidden layer; a line for each design with two hidden layers."""
    figure, (axes,) = style.panels("Accuracy by width", note)
    axes.plot(one_layer["hidden"], 100 * one_layer["test_accuracy"], "o", color="0.6", ms=3.5)
    means = summarise(one_layer, ["hidden"], "test_accuracy").sort_values("hidden")
    label = "one hidden layer: mean and 95 % interval"
    bars = {"fmt": "o-", "color": style.COLOURS[0], "capsize": 4, "ms": 5, "label": label}
    style.plot_means(axes, means["hidden"], means, **bars)
    for name, rows in others.groupby("design"):
        mean = 100 * rows["test_accuracy"].mean()
        axes.axhline(mean, color=style.COLOURS[1], linestyle="--", label=f"{name}: {mean:.2f} %")
    axes.set(xlabel="neurons of the hidden layer (grey dots: seeds)", ylabel="test accuracy (%)")
    axes.legend(fontsize=8, loc="lower right")
    return figure


if __name__ == "__main__":
    sys.exit(main())
