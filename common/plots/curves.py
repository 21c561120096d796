"""Curves of training: loss and accuracy by epoch, loss by step."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from common.plots import accuracy as plotting


def learning_curves(
    epochs: pd.DataFrame,
    loss_line: tuple[float, str] | None = None,
    loss_name: str = "cross-entropy, nats",
) -> Figure:
    """Loss and accuracy on the test set by epoch: every seed thin, the mean thick.

    Args:
        epochs: rows of the epochs table.
        loss_line: a loss to mark, and what it is.
        loss_name: what loss it is that was measured.
    """
    title = "Loss and accuracy on the test set by epoch"
    drawn = plotting.figure(title, plotting.caption(epochs), height=3.4)
    for axes, column, scale in zip(
        drawn.subplots(1, 2), ("test_loss", "test_accuracy"), (1, 100), strict=True
    ):
        for design, look in plotting.styles(epochs["design"].unique()).items():
            rows = epochs[epochs["design"] == design]
            wide = scale * rows.pivot(index="epoch", columns="seed", values=column)
            axes.plot(wide.index, wide, linewidth=0.5, alpha=0.6, **look)
            axes.plot(wide.index, wide.mean(axis=1), linewidth=2, label=design, **look)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    loss, accuracy = drawn.axes
    loss.set_ylabel(f"test loss ({loss_name})")
    loss.set_yscale("log")
    loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss.yaxis.set_major_formatter("{x:g}")  # 0.05 rather than 5 x 10^-2
    loss.yaxis.set_minor_formatter(NullFormatter())
    if loss_line:
        loss.axhline(loss_line[0], color="0.3", linewidth=1, label=loss_line[1])
        loss.legend(fontsize=8)
    accuracy.set_ylabel("test accuracy (%)")
    low = 100 * epochs.loc[epochs["epoch"] > 1, "test_accuracy"].min()
    if low > 90:  # the first epoch would leave no room for the others
        accuracy.set_ylim(low - 0.5, 100)
    accuracy.legend(fontsize=8, loc="lower right")
    return drawn


def loss_curve(loss: pd.DataFrame) -> Figure:
    """Training loss by step, each point the mean of the steps since the one before."""
    batch = loss["batch_size"].iloc[0]
    drawn = plotting.figure("Training loss", plotting.caption(loss), height=3.4)
    axes = drawn.subplots()
    for design, look in plotting.styles(loss["design"].unique()).items():
        wide = loss[loss["design"] == design].pivot(
            index="step", columns="seed", values="train_loss"
        )
        axes.plot(wide.index, wide, linewidth=0.5, alpha=0.6, **look)
        axes.plot(wide.index, wide.mean(axis=1), linewidth=2, label=f"{design}, mean", **look)
    axes.set_xlabel(f"training step (batches of {batch} images)")
    axes.set_ylabel("training loss (cross-entropy, nats)")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return drawn


def training_and_test_curves(epochs: pd.DataFrame, augmented: bool = False) -> Figure:
    """Loss by epoch in training and on the test set, a panel a design: means, and every seed.

    Both high: under-trained. Training low and test rising: overfitted. The loss in training is of
    the images as they were trained with, which are harder where they are `augmented`.
    """
    designs = list(epochs["design"].unique())
    columns = min(4, len(designs))
    lines = -(-len(designs) // columns)
    varied = ", of varied images" if augmented else ""
    title = f"Loss in training (dashed{varied}) and on the test set"
    drawn = plotting.figure(title, plotting.caption(epochs), height=2.1 * lines + 0.8)
    panels = drawn.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for design, axes in zip(designs, panels.flat, strict=False):
        rows = epochs[epochs["design"] == design]
        for column, colour, line in (
            ("train_loss", plotting.COLOURS[1], "--"),
            ("test_loss", plotting.COLOURS[0], "-"),
        ):
            wide = rows.pivot(index="epoch", columns="seed", values=column)
            axes.plot(wide.index, wide, line, color=colour, linewidth=0.5, alpha=0.6)
            axes.plot(wide.index, wide.mean(axis=1), line, color=colour, linewidth=2, marker=".")
        axes.set_title(design, fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(5 if columns > 2 else 10, integer=True))
        axes.grid(alpha=0.3)
    for axes in panels.flat[len(designs) :]:
        axes.set_axis_off()
    for axes in panels[:, 0]:
        axes.set_ylabel("loss (nats)")
    for axes in panels.flat[max(0, len(designs) - columns) : len(designs)]:  # with none below
        axes.set_xlabel("epoch")
        axes.tick_params(labelbottom=True)
    return drawn
