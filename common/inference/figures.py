"""The figures of inference: accuracy against time and memory, and what limits a network.

The figures show plain networks on one thread, except `latency_by_images` and `variants`.
"""

from collections.abc import Iterator, Sequence

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
    for i, (name, design) in enumerate(rows.groupby("design", sort=False)):
        yield design, {"color": COLOURS[i % 7], "marker": MARKERS[i % 7], "label": name}


def panels(
    fig: Figure, rows: pd.DataFrame, column: str, **options: bool
) -> Iterator[tuple[Axes, pd.DataFrame]]:
    """One panel with its rows for each number in `column` (images or threads)."""
    counts = sorted(rows[column].unique())
    axes_of = fig.subplots(1, len(counts), squeeze=False, **options)[0]
    for axes, count in zip(axes_of, counts, strict=True):
        axes.set_title(f"{count} {column if count > 1 else column[:-1]}", fontsize=9)
        yield axes, rows[rows[column] == count]


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
    error = 100 * (1 - one["mean_accuracy"])
    interval = [
        100 * (one["high_accuracy"] - one["mean_accuracy"]),
        100 * (one["mean_accuracy"] - one["low_accuracy"]),
    ]
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
    front, least = [], np.inf
    for i in np.lexsort((error, cost)):
        if error[i] < least:
            front.append(int(i))
            least = error[i]
    return front


def latency_by_images(rows: pd.DataFrame) -> Figure:
    """Time of a call against its number of images, one panel per number of threads."""
    text = note(rows, "medians of 3 rounds, bars from the least to the most")
    fig = figure("Time of a call by its number of images", text, height=3.6)
    for axes, on_threads in panels(fig, rows, "threads", sharey=True):
        for design, style in by_design(on_threads):
            seconds = design["seconds"]
            bars = [seconds - design["least_seconds"], design["most_seconds"] - seconds]
            bars = [1e3 * bar for bar in bars]
            axes.errorbar(design["images"], 1e3 * seconds, bars, ms=4, capsize=2, **style)
        # Where throughput is saturated, twice the images take twice the time.
        largest = on_threads[on_threads["images"] == on_threads["images"].max()]
        ends = np.array([largest["images"].max() / 1000, largest["images"].max()])
        slope = 1e3 * largest["seconds"].max() / ends[1] * ends * 1.6
        axes.plot(ends, slope, ":", color="0.3", label="slope 1")
        axes.set(xscale="log", yscale="log", xlabel="images of a call")
        axes.grid(alpha=0.3)
    fig.axes[0].set_ylabel("time of a call (ms)")
    fig.axes[0].legend(fontsize=7)
    return fig


def memory(rows: pd.DataFrame) -> Figure:
    """Stacked bars of weights, input and peak of activations, for one image and for many."""
    fig = figure("Memory of a call", note(rows, "one thread"), height=3.4)
    many = rows.loc[rows["images"] <= BATCH, "images"].max()
    rows = rows[rows["images"].isin([rows["images"].min(), many])]
    for axes, call in panels(fig, rows, "images"):
        parts = {
            "weights": call["parameter_bytes"] / 1e6,
            "input": call["input_bytes"] / 1e6,
            "activations, at their peak": call["activation_bytes"] / 1e6,
        }
        stacked_bars(axes, call["design"], parts)
        axes.set_ylabel("MB")
    axes.margins(y=0.35)
    axes.legend(fontsize=7, loc="upper left")
    return fig


def stacked_bars(axes: Axes, names: Sequence[str], parts: dict[str, pd.Series]) -> None:
    """One bar per name; the parts of a bar differ in colour and hatching."""
    bottom = np.zeros(len(names))
    for i, (label, values) in enumerate(parts.items()):
        style = {"color": COLOURS[i % 7], "hatch": HATCHES[i % 7], "edgecolor": "white"}
        axes.bar(range(len(names)), values, bottom=bottom, label=label, **style)
        bottom += values.to_numpy()
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    axes.grid(axis="y", alpha=0.3)


def time_by_operator(operators: pd.DataFrame) -> Figure:
    """The operators' shares of the profiler's time, for one image and for many."""
    text = note(operators, "one thread, under the profiler, which adds to small operators")
    fig = figure("Where the time of a call goes", text, height=3.8)
    sums = operators.groupby("operator")["share"].sum().sort_values(ascending=False)
    largest = list(sums.index[:OPERATORS])
    for axes, call in panels(fig, operators, "images"):
        shares = call.pivot_table(index="design", columns="operator", values="share", sort=False)
        shares = shares.fillna(0)
        parts = {
            name.removeprefix("aten::"): 100 * shares[name] for name in largest if name in shares
        }
        parts["others"] = 100 - sum(parts.values())
        stacked_bars(axes, list(shares.index), parts)
        axes.set_ylabel("share of the time (%)")
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
        seconds = call.pivot(index="design", columns="variant", values="seconds")
        seconds = seconds.loc[call["design"].unique()]
        names = [name for name in call["variant"].unique() if name != "plain"]
        width = 0.8 / len(names)
        for i, name in enumerate(names):
            x = np.arange(len(seconds)) + (i - (len(names) - 1) / 2) * width
            style = {"color": COLOURS[i % 7], "hatch": HATCHES[i % 7], "label": name}
            axes.bar(x, seconds[name] / seconds["plain"], 0.9 * width, **style)
        axes.axhline(1, color="black", linewidth=1)
        axes.set_xticks(range(len(seconds)), seconds.index, rotation=30, ha="right", fontsize=8)
        axes.set_title(f"{axes.get_title()} a call", fontsize=9)
        axes.set_ylabel("time relative to the plain network")
        axes.grid(axis="y", alpha=0.3)
    fig.axes[0].legend(fontsize=7)
    return fig
