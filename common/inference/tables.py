"""The result files of inference: one row per setting; time by layer and by operator."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from common.inference.measurement import Measured
from common.inference.timing import FLOAT, traffic
from common.inference.variants import VARIANTS
from common.models.design import Layer, layer_table, totals
from common.results.columns import RECIPE_KINDS, Kinds, Value
from common.results.files import replacing
from common.results.tables import merge_table, read_table
from common.training.loop import device_name

NOISY = 0.1  # a row is noisy if the rounds' range, relative to the median, is larger
OVERHEAD = 0.2  # below this share of the machine's limit, overhead limits a call

KEY: Kinds = {"dataset": str, "design": str, "hidden": str, **RECIPE_KINDS, "seed": int}
SETTING: Kinds = {"device": str, "variant": str, "images": int, "threads": int}

# The files (`_layers`: part2_profile_layers.csv), and their columns after KEY and SETTING.
TABLES: dict[str, Kinds] = {
    "": {
        "seconds": float,  # of a call: the median
        "p90_seconds": float,
        "p99_seconds": float,
        "least_seconds": float,  # of the rounds
        "most_seconds": float,
        "images_per_second": float,
        "spread": float,  # range of the rounds, relative to their median
        "noisy": str,
        "test_accuracy": float,  # of seed 0
        "test_loss": float,
        "n": int,  # seeds
        "mean_accuracy": float,
        "low_accuracy": float,
        "high_accuracy": float,
        "parameters": int,
        "macs": int,  # multiply-accumulates of an image
        "flops": int,  # floating-point operations of a call
        "parameter_bytes": int,
        "input_bytes": int,
        "activation_bytes": float,
        "resident_bytes": float,
        "traffic_bytes": int,
        "intensity": float,  # flops / traffic_bytes
        "flops_per_second": float,
        "peak_flops": float,  # limits of the machine
        "peak_bandwidth": float,
        "bound": str,
        "share_of_bound": float,
        "torch": str,
    },
    "_layers": {"layer": str, "seconds": float, "share": float, "parameters": int, "macs": int},
    "_operators": {"operator": str, "seconds": float, "share": float, "calls": int},
}
# The columns that identify a row within a setting.
ROW_NAMES = {"": [], "_layers": ["layer"], "_operators": ["operator"]}

Row = dict[str, Value]


def write(
    networks: Sequence[Measured],
    peaks: pd.DataFrame,
    device: str,
    folder: Path,
    experiment: str,
) -> None:
    """Write `<experiment>.csv`, `_layers`, `_operators`, and a text file for each network."""
    rows: dict[str, list[Row]] = {table: [] for table in TABLES}
    for measured in networks:
        run, calls = measured.network.run, measured.profile.calls
        start = {"hidden": "", **run.key, "device": device_name(device)}
        start["variant"] = measured.variant
        for names, rounds in pd.DataFrame(measured.rounds).groupby(["images", "threads"]):
            setting = start | dict(zip(("images", "threads"), names, strict=True))
            rows[""].append(setting | row_of(measured, rounds, peaks.loc[setting["threads"]]))
        layers = {layer.layer: layer for layer in layer_table(run.design)}
        for images in calls:
            setting = start | {"images": images, "threads": 1}
            for row in with_shares(calls[images].layers):
                layer = layers.get(row["layer"], Layer("all"))
                counts = {"parameters": layer.parameters, "macs": layer.macs}
                rows["_layers"].append(setting | row | counts)
            operators = with_shares(calls[images].operators)
            rows["_operators"] += [setting | row for row in operators if row["calls"]]
        with replacing(folder / f"{experiment}_{measured.name}.txt") as temporary_path:
            title = f"{measured.name}, %d images a call, {start['device']}\n"
            texts = [title % images + calls[images].table for images in calls]
            temporary_path.write_text("\n\n".join(texts), encoding="utf-8")
    for table, table_rows in rows.items():
        # Replace all rows of a network on a device: times of different days are not comparable.
        path = folder / f"{experiment}{table}.csv"
        frame = pd.DataFrame(table_rows, columns=[*KEY, *SETTING, *TABLES[table]])
        merge_table(path, [*KEY, "device"], frame, [*KEY, *SETTING, *ROW_NAMES[table]])


def with_shares(rows: Sequence[Row]) -> list[Row]:
    """The rows with their shares of the total time."""
    whole = sum(row["seconds"] for row in rows)
    return [row | {"share": row["seconds"] / whole} for row in rows]


def row_of(measured: Measured, rounds: pd.DataFrame, peak: pd.Series) -> Row:
    """The row of a setting, from its rounds and the peak performance of the machine.

    `bound` is the limit of a call: arithmetic, memory, or overhead. `share_of_bound` can be above
    1: the peak bandwidth is measured outside the caches, but a small network fits into the caches.
    """
    images, seconds = int(rounds["images"].iloc[0]), rounds["seconds"].median()
    least, most = rounds["seconds"].min(), rounds["seconds"].max()
    design, accuracy = measured.network.run.design, measured.network.accuracy
    parameters, macs = totals(design)
    flops, traffic_bytes = 2 * macs * images, traffic(design, images)
    attainable = min(peak["peak_flops"], flops / traffic_bytes * peak["peak_bandwidth"])
    share = flops / seconds / attainable
    bound = "arithmetic" if attainable == peak["peak_flops"] else "memory"
    return {
        "seconds": seconds,
        "p90_seconds": rounds["p90_seconds"].median(),
        "p99_seconds": rounds["p99_seconds"].median(),
        "least_seconds": least,
        "most_seconds": most,
        "images_per_second": images / seconds,
        "spread": (most - least) / seconds,
        "noisy": "yes" if most - least > NOISY * seconds else "no",
        "test_accuracy": measured.test.accuracy,
        "test_loss": measured.test.loss,
        "n": accuracy.n,
        "mean_accuracy": accuracy.mean,
        "low_accuracy": accuracy.low,
        "high_accuracy": accuracy.high,
        "parameters": parameters,
        "macs": macs,
        "flops": flops,
        "parameter_bytes": FLOAT * parameters,
        "input_bytes": FLOAT * images * math.prod(design.image),
        "activation_bytes": measured.profile.activations[images],
        "resident_bytes": measured.profile.resident.get(images, math.nan),
        "traffic_bytes": traffic_bytes,
        "intensity": flops / traffic_bytes,
        "flops_per_second": flops / seconds,
        **peak,
        "bound": "overhead" if share < OVERHEAD else bound,
        "share_of_bound": share,
        "torch": torch.__version__,
    }


def read(folder: Path, experiment: str, table: str = "") -> pd.DataFrame:
    """A table of TABLES with its types; empty if there is no file.

    Raises:
        LabError: the file is damaged.
    """
    kinds = {**KEY, **SETTING, **TABLES[table]}
    unique = [*KEY, *SETTING, *ROW_NAMES[table]]
    return read_table(folder / f"{experiment}{table}.csv", kinds, unique)


def select(rows: pd.DataFrame, dataset: str, designs: Sequence[str], device: str) -> pd.DataFrame:
    """The rows of a data set and of designs, in the order of the designs, from one device.

    This is the current device. If it has no rows: another device of the same type (`cpu`, `cuda`).
    """
    kind = device.partition(":")[0]
    rows = rows[(rows["dataset"] == dataset) & rows["design"].isin(designs)]
    devices = sorted(name for name in rows["device"].unique() if name.startswith(kind))
    this = device_name(kind) if device_name(kind) in devices else next(iter(devices), "")
    order = {name: number for number, name in enumerate([*designs, *VARIANTS])}
    return rows[rows["device"] == this].sort_values(
        ["design", "variant", "images", "threads"], key=lambda cells: cells.replace(order)
    )
