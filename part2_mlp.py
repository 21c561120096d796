"""Part 2: how well does a network without convolutions read handwritten digits?

    python part2_mlp.py                   one layer of 30 to 300, and 300-100
    python part2_mlp.py --grid            two layers of 100, 200, 300 each
    python part2_mlp.py --hidden 500 150  hidden layers of one's own
    python part2_mlp.py --against-lenet5  what convolution buys

Measured on MNIST's test set (torch 2.15.0+cu132, one thread of an AMD EPYC,
cpu AVX512):

    recipe    design   n  accuracy  95 % interval   test loss
    modern    30       5  97.43 %  97.29 to 97.58  0.0851
    modern    60       5  98.11 %  98.05 to 98.16  0.0613
    modern    120      5  98.39 %  98.32 to 98.46  0.0511
    modern    300      5  98.51 %  98.44 to 98.58  0.0462
    modern    300-100  5  98.64 %  98.58 to 98.70  0.0435

    modern-distorted    300      5  99.20 %  99.16 to 99.24  0.0275
    modern-distorted    300-100  5  99.35 %  99.27 to 99.43  0.0203

So 120 neurons do nearly what 300 do, a second layer of 100 removes a tenth of
the errors, and training on digits distorted anew in every epoch halves them.
And what convolution buys (5 seeds each):

On digits shifted by 2 pixels LeNet-5 errs on 3.2 % and an MLP of its size on
13.4 %; it needs 30 % of the images to err no more than the MLP does with all;
when the pixels are permuted, so that nothing tells what is near what, its
errors go from 0.7 to 2.4 % and the MLP's from 1.7 to 1.8 %.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from common import cli, convolution, published
from common import console as terminal
from common import experiment as experiments
from common.models.networks import mlp_design
from common.plots import accuracy as plotting
from common.plots import curves
from common.plots import factors as factor_figures
from common.results.store import Results
from common.statistics import comparison
from common.statistics.intervals import converged, summarise
from common.training.recipes import MODERN, MODERN_DISTORTED

EXPERIMENT = Path(__file__).stem

BASELINE = mlp_design(300, 100)  # of the paper of 1998
ONE_LAYER = [mlp_design(width) for width in range(30, 301, 30)]
GRID = [mlp_design(first, second) for first in (100, 200, 300) for second in (100, 200, 300)]

RECIPES = [MODERN, MODERN_DISTORTED]


def results_in(folder: Path) -> Results:
    """The result files of this experiment."""
    return Results(folder, EXPERIMENT, ["hidden"], ["variations"])


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Train what is missing, print what was measured, draw the figures."""
    parser = cli.parser(__doc__, RECIPES, dataset="mnist")
    add = parser.add_mutually_exclusive_group().add_argument
    add("--grid", action="store_true", help="two hidden layers of 100, 200, 300 each")
    width = cli.number(int, 1, 10_001)
    add("--hidden", type=width, nargs="+", metavar="N", help="one network with such hidden layers")
    add("--against-lenet5", action="store_true", help="LeNet-5 beside an MLP of its size")
    options = cli.parse(parser, argv)
    options.load = convolution.with_shifted_tests(options.load)
    results = results_in(options.results_dir)
    if options.against_lenet5:
        return convolution.against_lenet5(parser, options, results)
    designs, baseline = [*ONE_LAYER, BASELINE], BASELINE
    if options.grid:
        designs = GRID
        options.label += "-grid"
    elif options.hidden:
        designs = [baseline := mlp_design(*options.hidden)]
        options.label += f"-{baseline.name}"

    runs = experiments.runs(parser, options, designs)
    if options.list:
        terminal.print_list(runs, results, options)
        return 0
    frames, failed = experiments.measure(runs, results, options)
    comparison.report(frames, results, baseline.name)
    figures = {"accuracy": plotting.accuracy_by_design(frames["runs"], baseline.name)}
    trained = converged(frames["runs"])
    if not trained.empty:
        changed = options.recipe.augment is not None
        figures["curves"] = curves.training_and_test_curves(frames["epochs"], changed)
        if not options.hidden:
            figures |= (by_layers if options.grid else by_width)(trained, results)
    if options.classes:
        terminal.print_classes(frames["classes"])
    drawn = experiments.save(figures, EXPERIMENT, options)
    drawn += published.compare(options)
    terminal.print_closing(results, frames["runs"], drawn, failed, options)
    return 1 if failed else 0


def by_layers(runs: pd.DataFrame, results: Results) -> dict[str, Figure]:
    """What the widths of two hidden layers do, each and together: printed, kept and drawn."""
    layers = runs["hidden"].str.split("-", expand=True).astype(int)
    runs = runs.assign(first=layers[0], second=layers[1])
    comparison.report_shares(runs, results, ["first", "second"])
    return {"grid": factor_figures.heat_map(runs, "first", "second")}


def by_width(runs: pd.DataFrame, results: Results) -> dict[str, Figure]:
    """What the width of one hidden layer does, where there are several: printed, kept and drawn."""
    one = runs[~runs["hidden"].str.contains("-")]
    widths = dict(iter(one.groupby("hidden", sort=False)["test_accuracy"]))
    if len(widths) < 2:
        return {}
    comparison.report_width(one, results, widths)
    return {"width": accuracy_by_width(runs)}


def accuracy_by_width(runs: pd.DataFrame) -> Figure:
    """Accuracy against the neurons of one hidden layer; two hidden layers as a line across."""
    drawn = plotting.figure("Accuracy by width", plotting.caption(runs), height=3.4)
    axes = drawn.subplots()
    two = runs["hidden"].str.contains("-")
    one = runs[~two].astype({"hidden": int})
    means = summarise(one, ["hidden"], "test_accuracy").sort_values("hidden")
    axes.plot(one["hidden"], 100 * one["test_accuracy"], "o", color="0.6", markersize=3.5)
    look = {"fmt": "o-", "color": plotting.COLOURS[0], "capsize": 4, "markersize": 5}
    label = "one hidden layer: mean and 95 % interval"
    half = plotting.half_interval(means)
    axes.errorbar(means["hidden"], 100 * means["mean"], half, label=label, **look)
    for name, rows in runs[two].groupby("design"):
        mean = 100 * rows["test_accuracy"].mean()
        axes.axhline(mean, color=plotting.COLOURS[1], linestyle="--", label=f"{name}: {mean:.2f} %")
    axes.set_xlabel("neurons of the hidden layer (grey dots: seeds)")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    return drawn


if __name__ == "__main__":
    sys.exit(main())
