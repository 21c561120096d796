"""What reaches a layer before training: the image forwards, the gradient of the loss backwards.

Networks where these fade on their way were seen to learn late, or not at all.
"""

import argparse
from collections.abc import Sequence

import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import gmean
from torch import Tensor

from common.data.datasets import Dataset
from common.plots import accuracy as plotting
from common.results.store import Results, merge_csv, read_csv
from common.training.loop import Run, first_weights

IMAGES = 1000  # the first of the training set
COLUMNS = {
    "signal": "spread of outputs over images",
    "gradient": "gradient of the weights (rms)",
}


def at_start(run: Run, dataset: Dataset) -> list[tuple[str, float, float]]:
    """The layers of a run that have weights, with its first weights: name, signal, gradient.

    The signal is the standard deviation of a layer's outputs over images, before the activation:
    zero where the layer says the same of every image. The gradient is the root mean square over a
    layer's weights of the derivative of the mean loss. After Glorot, Bengio, Understanding the
    difficulty of training deep feedforward neural networks, 2010.
    """
    network = first_weights(run.design.build, run.recipe, run.seed)
    x = dataset.normalised(dataset.train.images[:IMAGES]).cpu()
    outputs: dict[str, Tensor] = {}
    for name, layer in network.named_children():
        x = layer(x)
        if getattr(layer, "weight", None) is not None:
            outputs[name] = x
    run.recipe.loss(x, dataset.train.labels[:IMAGES].cpu()).backward()
    return [
        (
            name,
            output.detach().std(0).square().mean().sqrt().item(),
            network.get_submodule(name).weight.grad.square().mean().sqrt().item(),
        )
        for name, output in outputs.items()
    ]


def table(runs: Sequence[Run], results: Results, options: argparse.Namespace) -> pd.DataFrame:
    """`at_start` of the runs, measured where `<experiment>_gradients.csv` lacks it, and kept there.

    Columns: those of the key, then layer, signal, gradient; of all seeds that are there. With
    --plot-only nothing is measured.
    """
    path, key = results.path("gradients"), len(results.key_columns)
    columns = [*results.key_columns, "layer", *COLUMNS]
    found = {tuple(values[:key]) for values, _ in read_csv(path, columns, key + 1)}
    missing = [run for run in runs if options.fresh or run.key not in found]
    missing = [] if options.plot_only else missing
    if missing:
        torch.set_num_threads(1)  # as in training, or the last digit depends on the machine
        dataset = options.load()
        rows = [(*run.key, *row) for run in missing for row in at_start(run, dataset)]
        merge_csv(path, columns, key, rows, unique=key + 1)
    cells = {run.key[:-1] for run in runs}
    rows = [values for values, _ in read_csv(path, columns, key + 1)]
    return pd.DataFrame([row for row in rows if tuple(row[: key - 1]) in cells], columns=columns)


def draw(frame: pd.DataFrame, order: Sequence[str]) -> Figure:
    """Signal and gradient of every layer, from the input on: geometric means, and every seed.

    Of the designs in `order` that `frame` has.
    """
    designs = [design for design in order if design in set(frame["design"])]
    title = "Before training: what reaches each layer, forwards and backwards"
    drawn = plotting.figure(title, plotting.caption(frame), height=3.4)
    for axes, (column, label) in zip(drawn.subplots(1, 2), COLUMNS.items(), strict=True):
        for design, look in plotting.styles(designs).items():
            rows = frame[frame["design"] == design]
            wide = rows.pivot(index="layer", columns="seed", values=column)
            wide = wide.loc[rows["layer"].unique()]  # in the order of the network
            places = range(1, len(wide) + 1)
            # Lines that lie on one another are all seen: a broken one is thinner, and above.
            above = {"linewidth": 2.4, "zorder": 2} if look["linestyle"] == "-" else {"zorder": 3}
            axes.plot(places, wide, linewidth=0.4, alpha=0.5, color=look["color"])
            axes.plot(places, gmean(wide, axis=1), label=design, marker=".", **look, **above)
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("layer with weights, from the input")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    drawn.axes[0].legend(fontsize=7)
    return drawn
