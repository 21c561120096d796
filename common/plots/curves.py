"""Training curves by epoch and by step; signal and gradient by layer."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from scipy.stats import gmean

from common.plots import style


def learning_curves(
    epochs: pd.DataFrame,
    loss_line: tuple[float, str] | None = None,
    loss_name: str = "cross-entropy, nats",
) -> Figure:
    """Loss and accuracy on the test set by epoch: thin lines for seeds, a thick line for the mean.

    Args:
        epochs: rows of the epochs table.
        loss_line: a loss to mark with a horizontal line, and its label.
        loss_name: name and unit of the loss.
    """
    title = "Loss and accuracy on the test set by epoch"
    figure = style.figure(title, style.caption(epochs), height=3.4)
    loss, accuracy = figure.subplots(1, 2)
    epochs = epochs.assign(test_accuracy=100 * epochs["test_accuracy"])
    for axes, column in ((loss, "test_loss"), (accuracy, "test_accuracy")):
        for design, line in style.styles(epochs["design"].unique()).items():
            rows = epochs[epochs["design"] == design]
            seeds_and_mean(axes, rows, "epoch", column, line, label=design)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    loss.set(ylabel=f"test loss ({loss_name})", yscale="log")
    loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss.yaxis.set_major_formatter("{x:g}")  # 0.05 instead of 5 x 10^-2
    loss.yaxis.set_minor_formatter(NullFormatter())
    if loss_line:
        loss.axhline(loss_line[0], color="0.3", linewidth=1, label=loss_line[1])
        loss.legend(fontsize=8)
    accuracy.set_ylabel("test accuracy (%)")
    lowest = epochs.loc[epochs["epoch"] > 1, "test_accuracy"].min()
    if lowest > 90:  # the first epoch would compress the others
        accuracy.set_ylim(lowest - 0.5, 100)
    accuracy.legend(fontsize=8, loc="lower right")
    return figure


def seeds_and_mean(
    axes: Axes, rows: pd.DataFrame, x: str, y: str, line: dict[str, str], **mean: str
) -> None:
    """Plot column `y` against `x`: thin lines for seeds, a thick line (`mean`) for the mean."""
    wide = rows.pivot(index=x, columns="seed", values=y)
    axes.plot(wide.index, wide, linewidth=0.5, alpha=0.6, **line)
    axes.plot(wide.index, wide.mean(axis=1), linewidth=2, **line, **mean)


def loss_curve(loss: pd.DataFrame) -> Figure:
    """Training loss by step; each point is the mean over the steps since the previous point."""
    figure = style.figure("Training loss", style.caption(loss), height=3.4)
    axes = figure.subplots()
    for design, line in style.styles(loss["design"].unique()).items():
        rows = loss[loss["design"] == design]
        seeds_and_mean(axes, rows, "step", "train_loss", line, label=f"{design}, mean")
    axes.set_xlabel(f"training step (batches of {loss['batch_size'].iloc[0]} images)")
    axes.set_ylabel("training loss (cross-entropy, nats)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def training_and_test_curves(epochs: pd.DataFrame, augmented: bool = False) -> Figure:
    """Training and test loss by epoch, one panel per design: seeds and means.

    Both losses high: underfitting. Training loss low and test loss rising: overfitting. With
    `augmented`, training images are augmented, which makes them harder.
    """
    designs = list(epochs["design"].unique())
    columns = min(4, len(designs))
    lines = math.ceil(len(designs) / columns)
    title = f"Loss in training (dashed{', of varied images' * augmented}) and on the test set"
    figure = style.figure(title, style.caption(epochs), height=2.1 * lines + 0.8)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    training, test = ({"color": style.COLOURS[i], "linestyle": style.LINES[i]} for i in (1, 0))
    for design, axes in zip(designs, panels.flat, strict=False):
        rows = epochs[epochs["design"] == design]
        seeds_and_mean(axes, rows, "epoch", "train_loss", training, marker=".")
        seeds_and_mean(axes, rows, "epoch", "test_loss", test, marker=".")
        axes.set_title(design, fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(5 if columns > 2 else 10, integer=True))
        axes.grid(alpha=0.3)
    for axes in panels.flat[len(designs) :]:
        axes.set_axis_off()
    for axes in panels[:, 0]:
        axes.set_ylabel("loss (nats)")
    for axes in panels.flat[max(0, len(designs) - columns) : len(designs)]:  # with no panel below
        axes.set_xlabel("epoch")
        axes.tick_params(labelbottom=True)
    return figure


def signal_and_gradient(frame: pd.DataFrame, order: Sequence[str]) -> Figure:
    """Signal and gradient of every layer before training: seeds and geometric means.

    Args:
        frame: one row per run and layer, in the order of the network: the key columns, layer,
            signal, gradient.
        order: the designs to show; designs that are not in `frame` are left out.
    """
    designs = [design for design in order if design in set(frame["design"])]
    title = "Before training: what reaches each layer, forwards and backwards"
    figure = style.figure(title, style.caption(frame), height=3.4)
    signal, gradient = figure.subplots(1, 2)
    for axes, column in ((signal, "signal"), (gradient, "gradient")):
        for design, line in style.styles(designs).items():
            rows = frame[frame["design"] == design]
            wide = rows.pivot(index="layer", columns="seed", values=column)
            wide = wide.loc[rows["layer"].unique()]
            layers = range(1, len(wide) + 1)
            # Dashed lines are thinner and on top, so that a solid line below them stays visible.
            width = {"linewidth": 2.4, "zorder": 2} if line["linestyle"] == "-" else {"zorder": 3}
            axes.plot(layers, wide, linewidth=0.4, alpha=0.5, color=line["color"])
            axes.plot(layers, gmean(wide, axis=1), label=design, marker=".", **line, **width)
        axes.set(xlabel="layer with weights, from the input", yscale="log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    signal.set_ylabel("spread of outputs over images")
    gradient.set_ylabel("gradient of the weights (rms)")
    signal.legend(fontsize=7)
    return figure
