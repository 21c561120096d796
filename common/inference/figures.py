"""The figures of inference: accuracy against time and memory, and what limits a network.

The figures show plain networks on one thread, except `latency_by_images` and `variants`.
"""

from collections.abc import Iterator
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.plots.style import COLOURS, figure

MARKERS = "osD^vPX"
HATCHES = ("", "//", "..", "xx", "\\", "++", "oo")
OPERATORS = 6  # operators with a name in the figure; the other operators are one part
BATCH = 1000  # images of the larger call in the figure of memory


def note(rows: pd.DataFrame, more: str) -> str:
    """The note below a figure: data, device, and `more`."""
    row, recipes = rows.iloc[0], ", ".join(rows["recipe"].unique())
    return f"{row['dataset']}, {recipes}, weights of seed 0; {row['device']}; {more}"


def by_design(rows: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, dict[str, str]]]:
    """The rows of every design, with its colour, marker and label."""
    designs = rows.groupby("design", sort=False)
    for (name, design), colour, marker in zip(designs, cycle(COLOURS), cycle(MARKERS)):
        yield design, {"color": colour, "marker": marker, "label": name}


def panels(
    fig: Figure, rows: pd.DataFrame, column: str, sharey: bool = False
) -> Iterator[tuple[Axes, pd.DataFrame]]:
    """One panel with its rows for each number in `column` (images or threads)."""
    counts = sorted(rows[column].unique())
    all_axes = fig.subplots(1, len(counts), squeeze=False, sharey=sharey)[0]
    for axes, count in zip(all_axes, counts, strict=True):
        axes.set_title(f"{count} {column if count > 1 else column[:-1]}", fontsize=9)
        yield axes, rows[rows[column] == count]


def bars(axes: Axes, table: pd.DataFrame, ylabel: str, stacked: bool = True) -> None:
    """Bars of every row, one for each column: stacked, or next to each other."""
    count, x = len(table.columns), np.arange(len(table))
    for i, (name, heights) in enumerate(table.items()):
        style = {"color": COLOURS[i % 7], "hatch": HATCHES[i % 7], "label": name}
        if stacked:
            bottom = table.iloc[:, :i].sum(axis=1)
            axes.bar(x, heights, bottom=bottom, edgecolor="white", **style)
        else:
            axes.bar(x + (i - (count - 1) / 2) * 0.8 / count, heights, 0.9 * 0.8 / count, **style)
    axes.set_xticks(x, table.index, rotation=30, ha="right", fontsize=8)
    axes.set_ylabel(ylabel)
    axes.grid(axis="y", alpha=0.3)


def accuracy_and_cost(rows: pd.DataFrame) -> Figure:
    """Error against latency and against memory, with the Pareto front."""
    one = rows[rows["images"] == 1]
    memory = one["parameter_bytes"] + one["input_bytes"] + one["activation_bytes"]
    costs = {
        "latency of one image (µs)": 1e6 * one["seconds"],
        "weights, input, activations of one image (kB)": memory / 1e3,
    }
    text = note(rows, "one thread; dashed: the Pareto front; error: mean and interval over seeds")
    fig = figure("What accuracy costs at inference", text, height=3.4)
    accuracy = 100 * one["mean_accuracy"]
    error = 100 - accuracy
    interval = [100 * one["high_accuracy"] - accuracy, accuracy - 100 * one["low_accuracy"]]
    for axes, (label, cost) in zip(fig.subplots(1, 2, sharey=True), costs.items(), strict=True):
        axes.errorbar(cost, error, interval, fmt="none", color="0.6", capsize=3, zorder=0)
        for design, style in by_design(one):
            axes.plot(cost[design.index], error[design.index], linestyle="", **style)
        front = pareto(cost.to_numpy(), error.to_numpy())
        axes.step(cost.iloc[front], error.iloc[front], "--", where="post", color="0.5", zorder=0)
        axes.set(xscale="log", xlabel=label)
        axes.margins(x=0.2, y=0.15)
        axes.grid(alpha=0.3, which="both")
    fig.axes[0].set_ylabel("test error (%)")
    fig.axes[0].legend(fontsize=7)
    return fig


def pareto(cost: np.ndarray, error: np.ndarray) -> list[int]:
    """Positions on the Pareto front, by rising cost: no other has lower cost and lower error."""
    order = np.lexsort((error, cost))
    least_before = np.minimum.accumulate([np.inf, *error[order][:-1]])
    return order[error[order] < least_before].tolist()


def latency_by_images(rows: pd.DataFrame) -> Figure:
    """Time of a call against its number of images, one panel per number of threads."""
    text = note(rows, "medians of 3 rounds, bars from the least to the most")
    fig = figure("Time of a call by its number of images", text, height=3.6)
    for axes, on_threads in panels(fig, rows, "threads", sharey=True):
        for design, style in by_design(on_threads):
            least_to_most = design[["least_seconds", "seconds", "most_seconds"]]
            ms = 1e3 * least_to_most.to_numpy().T
            axes.errorbar(design["images"], ms[1], np.diff(ms, axis=0), ms=4, capsize=2, **style)
        # Where throughput is saturated, twice the images take twice the time.
        images = on_threads["images"].max()
        slowest = 1e3 * on_threads.loc[on_threads["images"] == images, "seconds"].max()
        ends = np.array([images / 1000, images])
        axes.plot(ends, slowest / images * ends * 1.6, ":", color="0.3", label="slope 1")
        axes.set(xscale="log", yscale="log", xlabel="images of a call")
        axes.grid(alpha=0.3)
    fig.axes[0].set_ylabel("time of a call (ms)")
    fig.axes[0].legend(fontsize=7)
    return fig


def memory(rows: pd.DataFrame) -> Figure:
    """Stacked bars of weights, input and peak of activations, for one image and for many."""
    fig = figure("Memory of a call", note(rows, "one thread"), height=3.4)
    many = rows.loc[rows["images"] <= BATCH, "images"].max()
    parts = {
        "parameter_bytes": "weights",
        "input_bytes": "input",
        "activation_bytes": "activations, at their peak",
    }
    for axes, call in panels(fig, rows[rows["images"].isin([1, many])], "images"):
        bars(axes, call.set_index("design")[list(parts)].rename(columns=parts) / 1e6, "MB")
    axes.margins(y=0.35)
    axes.legend(fontsize=7, loc="upper left")
    return fig


def time_by_operator(operators: pd.DataFrame) -> Figure:
    """The operators' shares of the profiler's time, for one image and for many."""
    text = note(operators, "one thread, under the profiler, which adds to small operators")
    fig = figure("Where the time of a call goes", text, height=3.8)
    largest = operators.groupby("operator")["share"].sum().nlargest(OPERATORS).index
    for axes, call in panels(fig, operators, "images"):
        parts = call.pivot_table("share", "design", "operator", fill_value=0, sort=False)
        parts = 100 * parts[[name for name in largest if name in parts]]
        parts = parts.rename(columns=lambda name: name.removeprefix("aten::"))
        bars(axes, parts.assign(others=100 - parts.sum(axis=1)), "share of the time (%)")
    fig.axes[-1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return fig


def roofline(rows: pd.DataFrame) -> Figure:
    """Operations per second against arithmetic intensity, below the limits of the machine.

    Williams, Waterman, Patterson, Roofline: an insightful visual performance model, 2009.
    """
    text = note(rows, "one thread; from 1 image a call (small) to many; roofs measured")
    fig = figure("What binds a network: arithmetic, memory, or overhead", text, 3.8)
    axes = fig.subplots()
    peak, bandwidth = rows["peak_flops"].median(), rows["peak_bandwidth"].median()
    lowest, highest = rows["intensity"].min(), max(rows["intensity"].max(), peak / bandwidth)
    intensity = np.geomspace(lowest / 3, 3 * highest)
    roof = np.minimum(peak, intensity * bandwidth) / 1e9
    label = f"{peak / 1e9:.0f} GFLOP/s, {bandwidth / 1e9:.0f} GB/s"
    axes.plot(intensity, roof, color="black", label=label)
    for design, style in by_design(rows):
        x, y = design["intensity"], design["flops_per_second"] / 1e9
        axes.plot(x, y, linewidth=0.8, ms=3, **style)
        axes.plot(x.iloc[-1:], y.iloc[-1:], **{**style, "label": None}, ms=8)
    axes.set(xscale="log", yscale="log", ylabel="GFLOP/s")
    axes.set_xlabel("arithmetic intensity (operations a byte of weights, inputs and outputs)")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=7, loc="lower right")
    return fig


def variants(rows: pd.DataFrame) -> Figure:
    """The time of each variant relative to the plain network, for one image and for many."""
    fig = figure("Variants of the same networks", note(rows, "one thread"), height=3.6)
    rows = rows[rows["images"].isin(rows.loc[rows["variant"] != "plain", "images"])]
    for axes, call in panels(fig, rows, "images"):
        seconds = call.pivot_table("seconds", "design", "variant", sort=False)
        plain = seconds.pop("plain")
        bars(axes, seconds.div(plain, axis=0), "time relative to the plain network", stacked=False)
        axes.axhline(1, color="black", linewidth=1)
        axes.set_title(f"{axes.get_title()} a call", fontsize=9)
    fig.axes[0].legend(fontsize=7)
    return fig
