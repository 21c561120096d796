"""Training curves by epoch and by step; signal and gradient by layer."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from scipy.stats import gmean

from common.plots import style


def learning_curves(
    epochs: pd.DataFrame, loss_line: tuple = (), loss_name: str = "cross-entropy, nats"
) -> Figure:
    """Loss and accuracy on the test set by epoch: thin lines for seeds, a thick line for the mean.

    `loss_line` is a loss to mark with a horizontal line, and its label; `loss_name` has the unit.
    """
    title = "Loss and accuracy on the test set by epoch"
    figure, (loss, accuracy) = style.panels(title, style.caption(epochs), 2)
    epochs = epochs.assign(test_accuracy=100 * epochs["test_accuracy"])
    for axes, column in ((loss, "test_loss"), (accuracy, "test_accuracy")):
        curves(axes, epochs, "epoch", column)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
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


def curves(axes: Axes, frame: pd.DataFrame, x: str, y: str) -> None:
    """Plot column `y` against `x` for every design."""
    for number, (design, rows) in enumerate(frame.groupby("design", sort=False)):
        seeds_and_mean(axes, rows, x, y, number, label=design)
    axes.set_xlabel(x)


def seeds_and_mean(
    axes: Axes, rows: pd.DataFrame, x: str, y: str, number: int, **mean: str
) -> None:
    """Plot column `y` against `x`: thin lines for seeds, a thick line (`mean`) for the mean."""
    wide = rows.pivot(index=x, columns="seed", values=y)
    axes.plot(wide.index, wide, linewidth=0.5, alpha=0.6, **style.line(number))
    axes.plot(wide.index, wide.mean(axis=1), linewidth=2, **style.line(number), **mean)


def loss_curve(loss: pd.DataFrame) -> Figure:
    """Training loss by step; each point is the mean over the steps since the previous point."""
    figure, (axes,) = style.panels("Training loss", style.caption(loss))
    curves(axes, loss.assign(design=loss["design"] + ", mean"), "step", "train_loss")
    steps = f"training step (batches of {loss['batch_size'].iloc[0]} images)"
    axes.set(xlabel=steps, ylabel="training loss (cross-entropy, nats)")
    axes.legend(fontsize=8)
    return figure


def training_and_test_curves(epochs: pd.DataFrame, augmented: bool = False) -> Figure:
    """Training and test loss by epoch, one panel per design: seeds and means.

    Both losses high: underfitting. Training loss low and test loss rising: overfitting. Training
    images that are `augmented` are harder.
    """
    designs = epochs.groupby("design", sort=False)
    columns = min(4, len(designs))
    title = f"Loss in training (dashed{', of varied images' * augmented}) and on the test set"
    note, shared = style.caption(epochs), {"sharex": True, "sharey": True}
    figure, panels = style.panels(title, note, len(designs), columns, (2.1, 0.8), **shared)
    for axes, (design, rows) in zip(panels, designs, strict=True):
        seeds_and_mean(axes, rows, "epoch", "train_loss", 1, marker=".")
        seeds_and_mean(axes, rows, "epoch", "test_loss", 0, marker=".")
        axes.set_title(design, fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(5 if columns > 2 else 10, integer=True))
    for axes in panels[::columns]:
        axes.set_ylabel("loss (nats)")
    for axes in panels[-columns:]:  # with no panel below
        axes.set_xlabel("epoch")
        axes.tick_params(labelbottom=True)
    return figure


def signal_and_gradient(frame: pd.DataFrame, order: Sequence[str]) -> Figure:
    """Signal and gradient of every layer before training: seeds and geometric means.

    `frame` has one row per run and layer, in the order of the network: the key columns, layer,
    signal, gradient. `order` has the designs; designs that are not in `frame` are left out.
    """
    title = "Before training: what reaches each layer, forwards and backwards"
    figure, (signal, gradient) = style.panels(title, style.caption(frame), 2)
    signal.set_ylabel("spread of outputs over images")
    gradient.set_ylabel("gradient of the weights (rms)")
    designs = [design for design in order if design in set(frame["design"])]
    for axes, column in ((signal, "signal"), (gradient, "gradient")):
        for number, design in enumerate(designs):
            rows, line = frame[frame["design"] == design], style.line(number)
            wide = rows.pivot(index="layer", columns="seed", values=column)
            wide = wide.loc[rows["layer"].unique()]
            layers = range(1, len(wide) + 1)
            # Dashed lines are thinner and on top, so that a solid line below them stays visible.
            width = {"linewidth": 2.4, "zorder": 2} if line["linestyle"] == "-" else {"zorder": 3}
            axes.plot(layers, wide, linewidth=0.4, alpha=0.5, color=line["color"])
            axes.plot(layers, gmean(wide, axis=1), label=design, marker=".", **line, **width)
        axes.set(xlabel="layer with weights, from the input", yscale="log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    signal.legend(fontsize=7)
    return figure
