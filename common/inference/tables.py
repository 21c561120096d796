"""The result files of inference: one row per setting; time by layer and by operator."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from common.inference.measurement import Network
from common.inference.plan import VARIANTS
from common.inference.timing import FLOAT, traffic
from common.models.design import layer_table, totals
from common.results.columns import RECIPE_KINDS, Kinds
from common.results.files import replacing
from common.results.tables import merge_table, read_table
from common.training.loop import Run, device_name

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
        "parameters": int,
        "macs": int,  # multiply-accumulates of an image
        "flops": int,  # floating-point operations of a call
        **dict.fromkeys(("parameter_bytes", "input_bytes"), int),
        **dict.fromkeys(("activation_bytes", "resident_bytes"), float),
        "traffic_bytes": int,
        "intensity": float,  # flops / traffic_bytes
        # of a call, then limits of the machine
        **dict.fromkeys(("flops_per_second", "peak_flops", "peak_bandwidth"), float),
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
        start = {"hidden": "", **network.run.key, "variant": network.variant}
        start["device"] = device_name(device)
        profile, counts = network.profile, pd.DataFrame(layer_table(network.run.design))
        layers = profile.layers.merge(counts[["layer", "parameters", "macs"]], "left", "layer")
        # A variant that wraps the network is one layer, "all", without counts.
        layers = layers.fillna({"parameters": 0, "macs": 0})
        operators = profile.operators.query("calls > 0")
        for table, rows in zip(TABLES, (settings_of(network), layers, operators), strict=True):
            parts[table].append(rows.assign(**start))
        with replacing(folder / f"{experiment}_{network.name}.txt") as temporary_path:
            title = f"{network.name}, %d images a call, {start['device']}\n"
            texts = [title % images + text for images, text in profile.tables.items()]
            temporary_path.write_text("\n\n".join(texts), encoding="utf-8")
    for table, kinds in TABLES.items():
        # Replace all rows of a network on a device: times of different days are not comparable.
        path = folder / f"{experiment}{table}.csv"
        frame = pd.concat(parts[table])[[*KEY, *SETTING, *kinds]].astype(kinds)
        merge_table(path, [*KEY, "device"], frame, [*KEY, *SETTING, *ROW_NAMES[table]])


def settings_of(network: Network) -> pd.DataFrame:
    """The rows of a network: one per setting, from its rounds.

    `bound` is the limit of a call: arithmetic, memory, or overhead. `share_of_bound` can be above
    1: the peak bandwidth is measured outside the caches, but a small network fits into the caches.
    """
    design, accuracy = network.run.design, network.accuracy
    parameters, macs = totals(design)
    rounds = pd.DataFrame(network.rounds).groupby(["images", "threads"])
    least, most = rounds["seconds"].min(), rounds["seconds"].max()
    rows = rounds.median().assign(least_seconds=least, most_seconds=most).reset_index()
    rows = rows.merge(network.profile.memory, on="images")
    images, seconds, peak = rows["images"], rows["seconds"], rows["peak_flops"]
    flops, traffic_bytes = 2 * macs * images, traffic(design, images)
    attainable = np.minimum(peak, flops / traffic_bytes * rows["peak_bandwidth"])
    share = flops / seconds / attainable
    bound = np.where(attainable == peak, "arithmetic", "memory")
    spread = (rows["most_seconds"] - rows["least_seconds"]) / seconds
    return rows.assign(
        images_per_second=images / seconds,
        spread=spread,
        noisy=np.where(spread > NOISY, "yes", "no"),
        test_accuracy=network.test.accuracy,
        test_loss=network.test.loss,
        n=accuracy.n,
        mean_accuracy=accuracy.mean,
        low_accuracy=accuracy.low,
        high_accuracy=accuracy.high,
        parameters=parameters,
        macs=macs,
        flops=flops,
        parameter_bytes=FLOAT * parameters,
        input_bytes=FLOAT * images * math.prod(design.image),
        traffic_bytes=traffic_bytes,
        intensity=flops / traffic_bytes,
        flops_per_second=flops / seconds,
        bound=np.where(share < OVERHEAD, "overhead", bound),
        share_of_bound=share,
        torch=torch.__version__,
    )


def read(folder: Path, experiment: str, table: str = "") -> pd.DataFrame:
    """A table of TABLES with its types; empty if there is no file.

    Raises:
        LabError: the file is damaged.
    """
    kinds = {**KEY, **SETTING, **TABLES[table]}
    unique = [*KEY, *SETTING, *ROW_NAMES[table]]
    return read_table(folder / f"{experiment}{table}.csv", kinds, unique)


def select(rows: pd.DataFrame, runs: Sequence[Run], device: str) -> pd.DataFrame:
    """The rows of the designs and the data set of `runs`, in their order, from one device.

    This is the current device. If it has no rows: another device of the same type (`cpu`, `cuda`).
    """
    designs, kind = [run.design.name for run in runs], device.partition(":")[0]
    rows = rows[(rows["dataset"] == runs[0].dataset) & rows["design"].isin(designs)]
    devices = sorted(name for name in rows["device"].unique() if name.startswith(kind))
    this = device_name(kind) if device_name(kind) in devices else next(iter(devices), "")
    order = {name: number for number, name in enumerate([*designs, *VARIANTS])}
    return rows[rows["device"] == this].sort_values(
        ["design", "variant", "images", "threads"], key=lambda cells: cells.replace(order)
    )
