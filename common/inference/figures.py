"""The figures of inference: what accuracy costs in time and memory, and what binds a network."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.plots import accuracy as plotting

MARKERS = "osD^vPX"
HATCHES = ("", "//", "..", "xx", "\\", "++", "oo")
OPERATORS = 6  # named in the figure; the others are one
BATCH = 1000  # images of the calls whose memory and operators are drawn


def draw(rows: pd.DataFrame, operators: pd.DataFrame) -> dict[str, Figure]:
    """All figures, of the plain networks on one thread unless it says otherwise.

    Args:
        rows: the measurement's table.
        operators: that of the profiler's operators.
    """
    plain = rows[(rows["variant"] == "plain")]
    single = plain[plain["threads"] == 1]
    figures = {
        "pareto": accuracy_and_cost(single),
        "latency": latency_by_images(plain),
        "memory": memory(single),
        "roofline": roofline(single),
        "operators": time_by_operator(operators[operators["variant"] == "plain"]),
    }
    if set(rows["variant"]) != {"plain"}:
        figures["variants"] = variants(rows[rows["threads"] == 1])
    return figures


def note(rows: pd.DataFrame, more: str) -> str:
    """What stands below a figure: data, device, and `more`."""
    row, recipes = rows.iloc[0], ", ".join(rows["recipe"].unique())
    return f"{row['dataset']}, {recipes}, weights of seed 0; {row['device']}; {more}"


def plural(count: int, name: str) -> str:
    """A count with its noun."""
    return f"{count} {name}{'' if count == 1 else 's'}"


def looks(rows: pd.DataFrame) -> list[tuple[str, dict]]:
    """Every design with its colour and marker."""
    names = rows["design"].unique()
    return [
        (name, {"color": plotting.COLOURS[i % 7], "marker": MARKERS[i % 7], "label": name})
        for i, name in enumerate(names)
    ]


def accuracy_and_cost(rows: pd.DataFrame) -> Figure:
    """Error against latency and against memory; a line joins those that none beats in both."""
    one = rows[rows["images"] == 1]
    memory = (one["parameter_bytes"] + one["input_bytes"] + one["activation_bytes"]) / 1e3
    costs = {
        "latency of one image (µs)": 1e6 * one["seconds"],
        "weights, input, activations of one image (kB)": memory,
    }
    text = note(rows, "one thread; dashed: the Pareto front; error: mean and interval over seeds")
    drawn = plotting.figure("What accuracy costs at inference", text, height=3.4)
    error = 100 * (1 - one["mean_accuracy"])
    half = [100 * (one["high_accuracy"] - one["mean_accuracy"])]
    half += [100 * (one["mean_accuracy"] - one["low_accuracy"])]
    for axes, (label, cost) in zip(drawn.subplots(1, 2, sharey=True), costs.items(), strict=True):
        axes.errorbar(cost, error, half, fmt="none", color="0.6", capsize=3, zorder=0)
        for (_, look), x, y in zip(looks(one), cost, error, strict=True):
            axes.plot(x, y, linestyle="", **look)
        front = pareto(cost.to_numpy(), error.to_numpy())
        axes.step(cost.iloc[front], error.iloc[front], "--", where="post", color="0.5", zorder=0)
        axes.set_xscale("log")
        axes.margins(x=0.2, y=0.15)
        axes.set_xlabel(label)
        axes.grid(alpha=0.3, which="both")
    drawn.axes[0].set_ylabel("test error (%)")
    drawn.axes[0].legend(fontsize=7)
    return drawn


def pareto(cost: np.ndarray, error: np.ndarray) -> list[int]:
    """Who is on the front, by rising cost: nobody has both less cost and less error."""
    front, least = [], np.inf
    for i in np.lexsort((error, cost)):
        if error[i] < least:
            front.append(int(i))
            least = error[i]
    return front


def latency_by_images(rows: pd.DataFrame) -> Figure:
    """Seconds of a call against its images, a panel a number of threads."""
    threads = sorted(rows["threads"].unique())
    text = note(rows, "medians of 3 rounds, bars from the least to the most")
    drawn = plotting.figure("Time of a call by its number of images", text, height=3.6)
    panels = drawn.subplots(1, len(threads), squeeze=False, sharey=True)[0]
    for axes, count in zip(panels, threads, strict=True):
        chosen = rows[rows["threads"] == count]
        for name, look in looks(chosen):
            one = chosen[chosen["design"] == name]
            ends = [one["seconds"] - one["least_seconds"], one["most_seconds"] - one["seconds"]]
            bars = [1e3 * end for end in ends]
            axes.errorbar(one["images"], 1e3 * one["seconds"], bars, ms=4, capsize=2, **look)
        # Where throughput is saturated, twice the images take twice the time.
        most = chosen[chosen["images"] == chosen["images"].max()]
        ends = np.array([most["images"].max() / 1000, most["images"].max()])
        slope = 1e3 * most["seconds"].max() / ends[1] * ends * 1.6
        axes.plot(ends, slope, ":", color="0.3", label="slope 1")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("images of a call")
        axes.set_title(plural(count, "thread"), fontsize=9)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("time of a call (ms)")
    panels[0].legend(fontsize=7)
    return drawn


def memory(rows: pd.DataFrame) -> Figure:
    """Weights, input and peak of activations, stacked, of one image and of many."""
    drawn = plotting.figure("Memory of a call", note(rows, "one thread"), height=3.4)
    counts = sorted({rows["images"].min(), largest(rows)})
    for axes, count in zip(drawn.subplots(1, len(counts), squeeze=False)[0], counts, strict=True):
        chosen = rows[rows["images"] == count]
        parts = {
            "weights": chosen["parameter_bytes"],
            "input": chosen["input_bytes"],
            "activations, at their peak": chosen["activation_bytes"],
        }
        stack(axes, chosen["design"], {name: part / 1e6 for name, part in parts.items()})
        axes.set_title(plural(count, "image"), fontsize=9)
        axes.set_ylabel("MB")
    axes.margins(y=0.35)
    axes.legend(fontsize=7, loc="upper left")
    return drawn


def largest(rows: pd.DataFrame) -> int:
    """The largest number of images up to BATCH."""
    return int(rows.loc[rows["images"] <= BATCH, "images"].max())


def stack(axes: Axes, names: Sequence[str], parts: dict[str, pd.Series]) -> None:
    """Bars of parts on one another, told apart by colour and hatching."""
    bottom = np.zeros(len(names))
    for i, (name, values) in enumerate(parts.items()):
        look = {"color": plotting.COLOURS[i % 7], "hatch": HATCHES[i % 7], "edgecolor": "white"}
        axes.bar(range(len(names)), values, bottom=bottom, label=name, **look)
        bottom += values.to_numpy()
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    axes.grid(axis="y", alpha=0.3)


def time_by_operator(operators: pd.DataFrame) -> Figure:
    """The share of the operators in the profiler's time, of one image and of many."""
    counts = sorted(operators["images"].unique())
    text = note(operators, "one thread, under the profiler, which adds to small operators")
    drawn = plotting.figure("Where the time of a call goes", text, height=3.8)
    sums = operators.groupby("operator")["share"].sum().sort_values(ascending=False)
    named = list(sums.index[:OPERATORS])
    for axes, count in zip(drawn.subplots(1, len(counts), squeeze=False)[0], counts, strict=True):
        chosen = operators[operators["images"] == count]
        wide = chosen.pivot_table(index="design", columns="operator", values="share", sort=False)
        wide = wide.fillna(0)
        parts = {name.removeprefix("aten::"): 100 * wide[name] for name in named if name in wide}
        parts["others"] = 100 - sum(parts.values())
        stack(axes, list(wide.index), parts)
        axes.set_title(plural(count, "image"), fontsize=9)
        axes.set_ylabel("share of the time (%)")
    drawn.axes[-1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return drawn


def roofline(rows: pd.DataFrame) -> Figure:
    """Achieved operations a second against arithmetic intensity, below what the machine can do.

    Williams, Waterman, Patterson, Roofline: an insightful visual performance model, 2009.
    """
    text = note(rows, "one thread; from 1 image a call (small) to many; roofs measured")
    drawn = plotting.figure("What binds a network: arithmetic, memory, or overhead", text, 3.8)
    axes = drawn.subplots()
    peak, bandwidth = rows["peak_flops"].median(), rows["peak_bandwidth"].median()
    x = np.geomspace(
        rows["intensity"].min() / 3, 3 * max(rows["intensity"].max(), peak / bandwidth)
    )
    roof = np.minimum(peak, x * bandwidth) / 1e9
    axes.plot(x, roof, color="black", label=f"{peak / 1e9:.0f} GFLOP/s, {bandwidth / 1e9:.0f} GB/s")
    for name, look in looks(rows):
        one = rows[rows["design"] == name]
        achieved = one["flops_per_second"] / 1e9
        axes.plot(one["intensity"], achieved, linewidth=0.8, ms=3, **look)
        axes.plot(one["intensity"].iloc[-1:], achieved.iloc[-1:], **{**look, "label": None}, ms=8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("arithmetic intensity (operations a byte of weights, inputs and outputs)")
    axes.set_ylabel("GFLOP/s")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=7, loc="lower right")
    return drawn


def variants(rows: pd.DataFrame) -> Figure:
    """Latency of one image and time of many, of each variant, relative to the plain network."""
    counts = sorted(set(rows.loc[rows["variant"] != "plain", "images"]))
    drawn = plotting.figure("Variants of the same networks", note(rows, "one thread"), height=3.6)
    for axes, count in zip(drawn.subplots(1, len(counts), squeeze=False)[0], counts, strict=True):
        chosen = rows[rows["images"] == count]
        wide = chosen.pivot(index="design", columns="variant", values="seconds")
        wide = wide.loc[chosen["design"].unique()]
        names = [name for name in chosen["variant"].unique() if name != "plain"]
        width = 0.8 / len(names)
        for i, name in enumerate(names):
            places = np.arange(len(wide)) + (i - (len(names) - 1) / 2) * width
            look = {"color": plotting.COLOURS[i % 7], "hatch": HATCHES[i % 7], "label": name}
            axes.bar(places, wide[name] / wide["plain"], 0.9 * width, **look)
        axes.axhline(1, color="black", linewidth=1)
        axes.set_xticks(range(len(wide)), wide.index, rotation=30, ha="right", fontsize=8)
        axes.set_ylabel("time relative to the plain network")
        axes.set_title(f"{plural(count, 'image')} a call", fontsize=9)
        axes.grid(axis="y", alpha=0.3)
    drawn.axes[0].legend(fontsize=7)
    return drawn
