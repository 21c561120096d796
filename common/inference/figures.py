"""The figures of inference: accuracy against time and memory, and what limits a network.

The figures show plain networks on one thread, except `latency_by_images` and `variants`.
"""

from collections.abc import Iterator
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from common.plots.style import COLOURS, panels

MARKERS = "osD^vPX"
HATCHES = ("", "//", "..", "xx", "\\", "++", "oo")
MEMORY = ["parameter_bytes", "input_bytes", "activation_bytes"]
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


def bars(
    table: pd.DataFrame, title: str, note: str, height: float, ylabel: str, stacked: bool = True
) -> Figure:
    """Bars of every design, one panel for each number of images.

    `table` has the index (images, design). Its columns are stacked, or next to each other.
    """
    calls, width = table.groupby("images"), 0.8 / len(table.columns)
    fig, all_axes = panels(title, note, len(calls), height=(height, 0))
    for axes, (images, call) in zip(all_axes, calls, strict=True):
        x = np.arange(len(call))
        for i, (name, heights) in enumerate(call.items()):
            style = {"color": COLOURS[i % 7], "hatch": HATCHES[i % 7], "label": name}
            if stacked:
                bottom = call.iloc[:, :i].sum(axis=1)
                axes.bar(x, heights, bottom=bottom, edgecolor="white", **style)
            else:
                axes.bar(x - 0.4 + (i + 0.5) * width, heights, 0.9 * width, **style)
        axes.set_title(f"{images} image{'s' * (images > 1)}", fontsize=9)
        designs = call.index.get_level_values("design")
        axes.set_xticks(x, designs, rotation=30, ha="right", fontsize=8)
        axes.set_ylabel(ylabel)
        axes.grid(False, axis="x")
    return fig


def accuracy_and_cost(rows: pd.DataFrame) -> Figure:
    """Error against latency and against memory, with the Pareto front."""
    one = rows[rows["images"] == 1]
    kilobytes = one[MEMORY].sum(axis=1, skipna=False) / 1e3
    costs = {
        "latency of one image (µs)": 1e6 * one["seconds"],
        "weights, input, activations of one image (kB)": kilobytes,
    }
    text = note(rows, "one thread; dashed: the Pareto front; error: mean and interval over seeds")
    fig, both = panels("What accuracy costs at inference", text, 2, sharey=True)
    error = 100 - 100 * one["mean_accuracy"]
    interval = [error - 100 + 100 * one["high_accuracy"], 100 - 100 * one["low_accuracy"] - error]
    for axes, (label, cost) in zip(both, costs.items(), strict=True):
        axes.errorbar(cost, error, interval, fmt="none", color="0.6", capsize=3, zorder=0)
        for design, style in by_design(one):
            axes.plot(cost[design.index], error[design.index], linestyle="", **style)
        front = pareto(cost.to_numpy(), error.to_numpy())
        axes.step(cost.iloc[front], error.iloc[front], "--", where="post", color="0.5", zorder=0)
        axes.set(xscale="log", xlabel=label)
        axes.margins(x=0.2, y=0.15)
        axes.grid(alpha=0.3, which="both")
    both[0].set_ylabel("test error (%)")
    both[0].legend(fontsize=7)
    return fig


def pareto(cost: np.ndarray, error: np.ndarray) -> list[int]:
    """Positions on the Pareto front, by rising cost: no other has lower cost and lower error."""
    order = np.lexsort((error, cost))
    least_before = np.minimum.accumulate([np.inf, *error[order][:-1]])
    return order[error[order] < least_before].tolist()


def latency_by_images(rows: pd.DataFrame) -> Figure:
    """Time of a call against its number of images, one panel per number of threads."""
    text = note(rows, "medians of 3 rounds, bars from the least to the most")
    title, groups = "Time of a call by its number of images", rows.groupby("threads")
    fig, all_axes = panels(title, text, len(groups), height=(3.6, 0), sharey=True)
    for axes, (threads, on_threads) in zip(all_axes, groups, strict=True):
        axes.set_title(f"{threads} thread{'s' * (threads > 1)}", fontsize=9)
        for design, style in by_design(on_threads):
            ms = 1e3 * design[["least_seconds", "seconds", "most_seconds"]].to_numpy().T
            axes.errorbar(design["images"], ms[1], np.diff(ms, axis=0), ms=4, capsize=2, **style)
        # Where throughput is saturated, twice the images take twice the time.
        images = on_threads["images"].max()
        slowest = 1e3 * on_threads.loc[on_threads["images"] == images, "seconds"].max()
        ends = np.array([images / 1000, images])
        axes.plot(ends, slowest / images * ends * 1.6, ":", color="0.3", label="slope 1")
        axes.set(xscale="log", yscale="log", xlabel="images of a call")
    all_axes[0].set_ylabel("time of a call (ms)")
    all_axes[0].legend(fontsize=7)
    return fig


def memory(rows: pd.DataFrame) -> Figure:
    """Stacked bars of weights, input and peak of activations, for one image and for many."""
    many = rows.loc[rows["images"] <= BATCH, "images"].max()
    calls = rows[rows["images"].isin([1, many])].set_index(["images", "design"])
    names = ["weights", "input", "activations, at their peak"]
    table = calls[MEMORY].set_axis(names, axis=1) / 1e6
    fig = bars(table, "Memory of a call", note(rows, "one thread"), 3.4, "MB")
    fig.axes[-1].margins(y=0.35)
    fig.axes[-1].legend(fontsize=7, loc="upper left")
    return fig


def time_by_operator(operators: pd.DataFrame) -> Figure:
    """The operators' shares of the profiler's time, for one image and for many."""
    text = note(operators, "one thread, under the profiler, which adds to small operators")
    operators = operators.assign(operator=operators["operator"].str.removeprefix("aten::"))
    largest = operators.groupby("operator")["share"].sum().nlargest(OPERATORS).index
    index = ["images", "design"]
    shares = operators.pivot_table("share", index, "operator", fill_value=0, sort=False)[largest]
    shares = 100 * shares.assign(others=1 - shares.sum(axis=1))
    fig = bars(shares, "Where the time of a call goes", text, 3.8, "share of the time (%)")
    fig.axes[-1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return fig


def roofline(rows: pd.DataFrame) -> Figure:
    """Operations per second against arithmetic intensity, below the limits of the machine.

    Williams, Waterman, Patterson, Roofline: an insightful visual performance model, 2009.
    """
    text = note(rows, "one thread; from 1 image a call (small) to many; roofs measured")
    title = "What binds a network: arithmetic, memory, or overhead"
    fig, (axes,) = panels(title, text, height=(3.8, 0))
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
    calls = rows[rows["images"].isin(rows.loc[rows["variant"] != "plain", "images"])]
    seconds = calls.pivot_table("seconds", ["images", "design"], "variant", sort=False)
    plain = seconds.pop("plain")
    text, label = note(rows, "one thread"), "time relative to the plain network"
    table = seconds.div(plain, axis=0)
    fig = bars(table, "Variants of the same networks", text, 3.6, label, stacked=False)
    for axes in fig.axes:
        axes.axhline(1, color="black", linewidth=1)
        axes.set_title(f"{axes.get_title()} a call", fontsize=9)
    fig.axes[0].legend(fontsize=7)
    return fig
