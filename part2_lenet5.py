"""Part 2: how well does LeNet-5 read handwritten digits?

    python part2_lenet5.py                  the 2017 report's recipe, 3 seeds
    python part2_lenet5.py --recipe modern  what a good schedule makes of them
    python part2_lenet5.py --ablation       from 1998 to today, a change a step
    python part2_lenet5.py --synthetic      on built-in images, no download

Measured on MNIST's test set (torch 2.15.0+cu132, one thread of an AMD EPYC,
cpu AVX512):

    recipe               design       n  accuracy  95 % interval   test loss
    report2017           lenet5       10  98.32 %  98.21 to 98.42  0.0546
    report2017           lenet5-relu  10  98.86 %  98.78 to 98.94  0.0348
    report2017           lenet5-2017  10  98.26 %  98.14 to 98.38  0.0544
    modern               lenet5        5  99.26 %  99.23 to 99.30  0.0226
    modern               lenet5-relu   5  99.37 %  99.31 to 99.43  0.0199
    modern               lenet5-2017   5  98.95 %  98.86 to 99.05  0.0354
    modern-distorted     lenet5        5  99.45 %  99.36 to 99.54  0.0166
    modern-distorted     lenet5-relu   5  99.56 %  99.51 to 99.61  0.0135
    modern-elastic       lenet5-relu   5  99.58 %  99.55 to 99.62  0.0125
    lecun1998            lenet5-1998   5  98.97 %  98.80 to 99.15  0.5427
    lecun1998-distorted  lenet5-1998   5  99.39 %  99.35 to 99.43  0.3127

So the 2017 report's accuracy (up to 98 %) is reached; its loss (below 0.05) by
one of ten seeds of its network, not by their mean. By that recipe ReLU with
max-pooling makes a third fewer errors than tanh with average pooling, by a
good schedule a seventh; and that schedule about halves the errors of all. The
network of 1998, to its last parameter, errs on 1.03 % here, and on 0.95 % in
its paper, which the interval covers. From there to today's (--ablation) the
way of training is worth more than any change of the network.
"""

import argparse
import functools
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import nn

from common import LabError, ablation, cli, published
from common import console as terminal
from common import experiment as experiments
from common.data.datasets import Dataset
from common.models import lenet1998
from common.models import networks as models
from common.models.lenet1998 import lenet5_1998
from common.models.networks import Design
from common.plots import accuracy as plotting
from common.plots import curves
from common.results.store import Results
from common.sweep.runs import trained
from common.training.evaluation import predict
from common.training.loop import Run
from common.training.recipes import (
    LECUN1998,
    LECUN1998_DISTORTED,
    MODERN,
    MODERN_DISTORTED,
    MODERN_ELASTIC,
    Recipe,
)

EXPERIMENT = Path(__file__).stem

PAPER = Design("lenet5-1998", lenet5_1998)
# 32x32, tanh and average pooling: the paper's network as it is taught today.
TANH = Design("lenet5", models.lenet5)
RELU = Design("lenet5-relu", functools.partial(models.lenet5, "relu", nn.MaxPool2d))
# 28x28 with dropout, as in the 2017 report.
DROPOUT = Design("lenet5-2017", models.lenet5_2017)
TODAYS = [TANH, RELU, DROPOUT]
DESIGNS = [*TODAYS, PAPER]

REPORT2017 = Recipe("report2017", epochs=10, batch_size=64, lr=0.01, momentum=0.5)
# What each recipe trains, unless --designs names others. The steps of `modern` are too long
# where scores are distances: with it the paper's network stays at chance.
RECIPES = {
    REPORT2017: TODAYS,
    MODERN: TODAYS,
    MODERN_DISTORTED: [TANH, RELU],
    MODERN_ELASTIC: [RELU],
    LECUN1998: [PAPER],
    LECUN1998_DISTORTED: [PAPER],
}

# From the paper's network to today's: each change, its short name, and the arguments it adds. In an
# order in which every step can learn: at these rates softmax stays at chance from the paper's small
# first weights, and ReLU cannot give the -1 of the radial basis functions' codes.
CHANGES = [
    ("average pooling for sub-sampling", "average", {"subsampling": "average"}),
    ("max-pooling", "max", {"subsampling": "max"}),
    ("C3 that sees all maps", "full-c3", {"c3": "full"}),
    ("tanh a for 1.7159 tanh 2/3 a", "tanh", {"activation": "tanh"}),
    ("PyTorch's first weights", "first", {"initial": "pytorch"}),
    ("softmax for radial basis functions", "softmax", {"output": "linear"}),
    ("ReLU", "relu", {"activation": "relu"}),
]

REPORTED_LOSS = 0.05  # 'the loss of the model can be lower than 0.05', the 2017 report
MISREAD = 8  # digits shown of each design


def results_in(folder: Path) -> Results:
    """The result files of this experiment."""
    return Results(folder, EXPERIMENT, extras=["confusion"])


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Train what is missing, print what was measured, draw the figures."""
    parser = cli.parser(__doc__, list(RECIPES), dataset="mnist")
    ablation_help = "from lenet5-1998 to today's network, a change at a time"
    parser.add_argument("--ablation", action="store_true", help=ablation_help)
    options = cli.parse(parser, argv)
    results = results_in(options.results_dir)
    if options.ablation:
        if options.designs or options.recipe.name != REPORT2017.name:
            parser.error("--ablation has designs and recipes of its own")
        cli.use(LECUN1998, options)
        return ablation.measure(chain(options), results, options)
    designs = DESIGNS if options.designs else RECIPES[options.named]
    runs = experiments.runs(parser, options, designs)
    if options.list:
        terminal.print_list(runs, results, options)
        if any(run.design is PAPER for run in runs):
            print("\n" + textwrap.fill(lenet1998.told(), 79))
        return 0
    frames, failed = experiments.measure(runs, results, options)
    if options.recipe.loss is F.cross_entropy:
        print_reported_loss(frames["epochs"])
    if options.classes:
        terminal.print_classes(frames["classes"])
    figures = experiments.save(draw(frames, options), EXPERIMENT, options)
    figures += save_digits(runs, results, options)
    figures += published.compare(options)
    terminal.print_closing(results, frames["runs"], figures, failed, options)
    return 1 if failed else 0


def chain(options: argparse.Namespace) -> list[ablation.Step]:
    """The steps of the ablation, by the options' recipe, and last by `modern`."""
    arguments = {}
    steps = [("as published", PAPER, options.recipe)]
    for change, name, added in CHANGES:
        arguments |= added
        design = Design(f"1998-{name}", functools.partial(lenet5_1998, **arguments))
        steps.append((change, design, options.recipe))
    steps.append((f"recipe {MODERN.name}", design, cli.changed(MODERN, options)))
    return [
        ablation.Step(change, [Run(*run, options.dataset, seed) for seed in range(options.seeds)])
        for change, *run in steps
    ]


def print_reported_loss(epochs: pd.DataFrame) -> None:
    """Whether and when the mean test loss of each design falls below the 2017 report's."""
    print(f"\nthe 2017 report's test loss below {REPORTED_LOSS}, by the mean over seeds:")
    for design, rows in epochs.groupby("design", sort=False):
        mean = rows.groupby("epoch")["test_loss"].mean()
        below, above = mean.index[mean < REPORTED_LOSS], mean.index[mean >= REPORTED_LOSS]
        when = "never"
        if len(below):
            good = above.max() + 1 if len(above) else 1
            end = "not at the end" if good > mean.index[-1] else f"for good after epoch {good}"
            when = f"first after epoch {below[0]}, {end}"
        print(f"  {design:<12} {when}; least {mean.min():.4f}, last {mean.iloc[-1]:.4f}")


def draw(frames: dict[str, pd.DataFrame], options: argparse.Namespace) -> dict[str, Figure]:
    """The figures of what was measured."""
    told = {"loss_name": "equation 9 of the paper"}
    if options.recipe.loss is F.cross_entropy:  # as in the report of 2017
        told = {"loss_line": (REPORTED_LOSS, f"report of 2017: {REPORTED_LOSS}")}
    return {
        "curves": curves.learning_curves(frames["epochs"], **told),
        "accuracy": plotting.accuracy_by_design(frames["runs"]),
        "confusion": plotting.confusion_matrices(frames["confusion"]),
    }


def save_digits(runs: Sequence[Run], results: Results, options: argparse.Namespace) -> list[Path]:
    """The figures that show digits, where data (and weights) are at hand: examples and misread.

    The examples are those of the data set, whatever the recipe.
    """
    saved = []
    try:
        dataset = options.load()
        path = options.figures_dir / f"{EXPERIMENT}_examples_{dataset.name}.png"
        saved.append(plotting.save(draw_examples(dataset), path))
        first = [run for run in runs if run.seed == 0]
        misread = draw_misread(first, dataset, results)
        saved += experiments.save({"misread": misread}, EXPERIMENT, options)
    except LabError as error:
        print(f"\nfigures that show digits: {error}")
    return saved


def draw_examples(dataset: Dataset) -> Figure:
    """The first training image of each digit: Figure 1 of the lab."""
    images, labels = dataset.train
    first = [int((labels == digit).nonzero()[0]) for digit in range(10)]
    note = f"{dataset.name}: the first training image of each class"
    return plotting.image_grid(images[first].numpy(), dataset.classes, 10, "Digits", note)


def draw_misread(runs: Sequence[Run], dataset: Dataset, results: Results) -> Figure:
    """The test images that each design misread with the highest probability, a row a design."""
    images, captions = [], []
    labels = dataset.test.labels
    for run in runs:
        scores = predict(trained(run, results), dataset, dataset.test.images)
        confidence, predicted = scores.softmax(1).max(1)
        wrong = (predicted != labels).nonzero().squeeze(1)
        wrong = wrong[confidence[wrong].argsort(descending=True)][:MISREAD]
        blank = MISREAD - len(wrong)  # a good network has fewer to show
        shown = dataset.test.images[wrong]
        images += [shown, shown.new_zeros(blank, *shown.shape[1:])]
        captions += [
            f"{labels[i]} as {predicted[i]}, {100 * confidence[i]:.0f} %" for i in wrong
        ] + [""] * blank
    names = ", ".join(run.design.name for run in runs)
    title = f"Digits misread with most confidence, a row a design: {names}"
    note = f"{dataset.name}, test images; {terminal.describe(runs[0].recipe)}; seed 0"
    return plotting.image_grid(torch.cat(images).numpy(), captions, MISREAD, title, note)


if __name__ == "__main__":
    sys.exit(main())
