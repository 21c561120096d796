"""The result files of inference: one row per setting; time by layer and by operator."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from common.inference.measurement import Network
from common.inference.profiling import VARIANTS
from common.models.design import layer_table
from common.results.columns import RECIPE_KINDS, Kinds
from common.results.files import replacing
from common.results.tables import merge_table, read_table
from common.training.device import device_name
from common.training.loop import Run

FLOAT = 4  # bytes
NOISY = 0.1  # a row is noisy if the rounds' range, relative to the median, is larger
OVERHEAD = 0.2  # below this share of the machine's limit, overhead limits a call

KEY: Kinds = {"dataset": str, "design": str, "hidden": str, **RECIPE_KINDS, "seed": int}
SETTING: Kinds = {"device": str, "variant": str, "images": int, "threads": int}

# The files (`_layers`: part2_profile_layers.csv), and their columns after KEY and SETTING.
TABLES: dict[str, Kinds] = {
    "": {
        # of a call: the median; percentiles only for one image; least and most of the rounds
        **dict.fromkeys(("seconds", "p90_seconds", "p99_seconds"), float),
        **dict.fromkeys(("least_seconds", "most_seconds", "images_per_second"), float),
        "spread": float,  # range of the rounds, relative to their median
        "noisy": str,
        **dict.fromkeys(("test_accuracy", "test_loss"), float),  # of seed 0
        "n": int,  # seeds
        **dict.fromkeys(("mean_accuracy", "low_accuracy", "high_accuracy"), float),
        # multiply-accumulates of an image, floating-point operations of a call
        **dict.fromkeys(("parameters", "macs", "flops", "parameter_bytes", "input_bytes"), int),
        **dict.fromkeys(("activation_bytes", "resident_bytes"), float),
        "traffic_bytes": int,
        # flops / traffic_bytes; flops_per_second and peaks, which are limits of the machine
        **dict.fromkeys(("intensity", "flops_per_second", "peak_flops", "peak_bandwidth"), float),
        "bound": str,
        "share_of_bound": float,
        "torch": str,
    },
    "_layers": {"layer": str, "seconds": float, "share": float, "parameters": int, "macs": int},
    "_operators": {"operator": str, "seconds": float, "share": float, "calls": int},
}
# The columns that identify a row within a setting.
ROW_NAMES = {"": [], "_layers": ["layer"], "_operators": ["operator"]}


def write(networks: Sequence[Network], device: str, folder: Path, experiment: str) -> None:
    """Write `<experiment>.csv`, `_layers`, `_operators`, and a text file for each network."""
    parts: dict[str, list[pd.DataFrame]] = {table: [] for table in TABLES}
    for network in networks:
        run, variant, profile = network.run, network.variant, network.profile
        start = {"hidden": "", **run.key, "device": device_name(device), "variant": variant}
        counts = pd.DataFrame(layer_table(run.design))
        # A variant that wraps the network is one layer, "all", without counts.
        layers = profile.times.dropna(subset="layer").merge(counts, how="left", on="layer")
        operators = profile.times.dropna(subset="operator").query("calls > 0")
        operators = operators.sort_values(["images", "seconds"], ascending=[True, False])
        parts[""].append(settings_of(network, counts).assign(**start))
        parts["_layers"].append(layers.fillna({"parameters": 0, "macs": 0}).assign(**start))
        parts["_operators"].append(operators.assign(**start))
        name = f"{run.design.name}-{variant}".removesuffix("-plain")
        with replacing(folder / f"{experiment}_{name}.txt") as temporary_path:
            title = f"{name}, %d images a call, {start['device']}\n"
            texts = [title % images + text for images, text in profile.texts.items()]
            temporary_path.write_text("\n\n".join(texts), encoding="utf-8")
    for table, kinds in TABLES.items():
        # Replace all rows of a network on a device: times of different days are not comparable.
        path = folder / f"{experiment}{table}.csv"
        frame = pd.concat(parts[table])[[*KEY, *SETTING, *kinds]].astype(kinds)
        merge_table(path, [*KEY, "device"], frame, [*KEY, *SETTING, *ROW_NAMES[table]])


def settings_of(network: Network, layers: pd.DataFrame) -> pd.DataFrame:
    """The rows of a network: one per setting, from its rounds. `layers` is its layer table.

    `bound` is the limit of a call: arithmetic, memory, or overhead. `share_of_bound` can be above
    1: the peak bandwidth is measured outside the caches, but a small network fits into the caches.
    `traffic_bytes` is the memory traffic if no cache keeps data between layers: every layer reads
    its input and its weights once and writes its output once.
    """
    rounds = pd.DataFrame(network.rounds).groupby(["images", "threads"])
    least, most = rounds["seconds"].min(), rounds["seconds"].max()
    rows = rounds.median().assign(least_seconds=least, most_seconds=most).reset_index()
    rows = rows.merge(network.profile.memory, on="images")
    images, seconds, peak = rows["images"], rows["seconds"], rows["peak_flops"]
    rows["images_per_second"] = images / seconds
    rows["spread"] = (rows["most_seconds"] - rows["least_seconds"]) / seconds
    rows["noisy"] = np.where(rows["spread"] > NOISY, "yes", "no")
    rows["parameters"], rows["macs"] = layers["parameters"].sum(), layers["macs"].sum()
    rows["flops"] = 2 * rows["macs"] * images
    rows["parameter_bytes"] = FLOAT * rows["parameters"]
    rows["input_bytes"] = FLOAT * images * math.prod(network.run.design.image)
    outputs = [math.prod(map(int, size.split("x"))) for size in layers["output"]]
    between = FLOAT * images * (sum(outputs) + sum(outputs[:-1]))
    rows["traffic_bytes"] = rows["parameter_bytes"] + rows["input_bytes"] + between
    rows["intensity"] = rows["flops"] / rows["traffic_bytes"]
    rows["flops_per_second"] = rows["flops"] / seconds
    attainable = np.minimum(peak, rows["intensity"] * rows["peak_bandwidth"])
    rows["share_of_bound"] = rows["flops_per_second"] / attainable
    rows["bound"] = np.where(attainable == peak, "arithmetic", "memory")
    rows.loc[rows["share_of_bound"] < OVERHEAD, "bound"] = "overhead"
    rows["test_accuracy"], rows["test_loss"] = network.test.accuracy, network.test.loss
    accuracy = network.accuracy
    rows["n"], rows["mean_accuracy"] = accuracy.n, accuracy.mean
    rows["low_accuracy"], rows["high_accuracy"] = accuracy.low, accuracy.high
    return rows.assign(torch=torch.__version__)


def read(folder: Path, experiment: str, table: str = "") -> pd.DataFrame:
    """A table of TABLES with its types; empty if there is no file. LabError: it is damaged."""
    path, kinds = folder / f"{experiment}{table}.csv", {**KEY, **SETTING, **TABLES[table]}
    return read_table(path, kinds, [*KEY, *SETTING, *ROW_NAMES[table]])


def select(rows: pd.DataFrame, runs: Sequence[Run], device: str) -> pd.DataFrame:
    """The rows of the designs and the data set of `runs`, in their order, from one device.

    This is the current device. If it has no rows: another device of the same type (`cpu`, `cuda`).
    """
    designs, kind = [run.design.name for run in runs], device.partition(":")[0]
    rows = rows[(rows["dataset"] == runs[0].dataset) & rows["design"].isin(designs)]
    devices = sorted(name for name in rows["device"].unique() if name.startswith(kind))
    this = max(devices, key=lambda name: name == device_name(kind), default="")
    order = {name: number for number, name in enumerate([*designs, *VARIANTS])}
    return rows[rows["device"] == this].sort_values(
        ["design", "variant", "images", "threads"], key=lambda cells: cells.replace(order)
    )
