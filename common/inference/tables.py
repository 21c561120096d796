"""The result files of inference: a row a setting, the time of each layer and of each operator."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from common.inference import timing
from common.inference.measurement import Measured
from common.inference.timing import FLOAT, Latency, Peaks
from common.models.networks import Layer, layer_table, size
from common.results.files import replacing
from common.results.store import TRAINING_KEY, merge_csv, read_csv
from common.training.loop import Run, place

NOISY = 0.1  # a spread over the rounds, relative to their median, that is told
OVERHEAD = 0.2  # a call that reaches less of what the machine can do is bound by neither

KEY = ("dataset", "design", "hidden", *TRAINING_KEY)
SETTING = ("device", "variant", "images", "threads")
MEASURED = (
    *("seconds", "p90_seconds", "p99_seconds", "least_seconds", "most_seconds"),
    *("images_per_second", "spread", "noisy"),
    *("test_accuracy", "test_loss", "n", "mean_accuracy", "low_accuracy", "high_accuracy"),
    *("parameters", "macs", "flops"),
    *("parameter_bytes", "input_bytes", "activation_bytes", "resident_bytes", "traffic_bytes"),
    *("intensity", "flops_per_second", "peak_flops", "peak_bandwidth", "bound", "share_of_bound"),
    "torch",
)
# The files, and their columns after KEY.
TABLES = {
    "": (*SETTING, *MEASURED),
    "_layers": (*SETTING, "layer", "seconds", "share", "parameters", "macs"),
    "_operators": (*SETTING, "operator", "seconds", "share", "calls"),
}
ROW_NAMES = {"": 0, "_layers": 1, "_operators": 1}  # columns after SETTING that name a row


def write(
    found: Sequence[Measured], peaks: dict[int, Peaks], device: str, folder: Path, experiment: str
) -> None:
    """Write `<experiment>.csv`, `_layers`, `_operators`, and a text table for each network."""
    rows: dict[str, list[tuple]] = {table: [] for table in TABLES}
    for one in found:
        key = key_of(one.network.run)
        for (images, threads), rounds in one.seconds.items():
            row = row_of(one, images, rounds, peaks[threads])
            rows[""].append((*key, place(device), one.variant, images, threads, *row))
        layers = {layer.layer: layer for layer in layer_table(one.network.run.design)}
        for images, calls in one.profile.calls.items():
            setting = (*key, place(device), one.variant, images, 1)
            whole = sum(seconds for _, seconds in calls.layers)
            rows["_layers"] += [
                (*setting, name, seconds, seconds / whole, *counts(layers.get(name)))
                for name, seconds in calls.layers
            ]
            whole = sum(seconds for _, seconds, _ in calls.operators)
            rows["_operators"] += [
                (*setting, name, seconds, seconds / whole, times)
                for name, seconds, times in calls.operators
                if times
            ]
        name = "-".join([one.network.run.design.name, *([one.variant] * (one.variant != "plain"))])
        tables = [
            f"{name}, {images} images a call, {place(device)}\n{calls.table}"
            for images, calls in one.profile.calls.items()
        ]
        with replacing(folder / f"{experiment}_{name}.txt") as beside:
            beside.write_text("\n\n".join(tables), encoding="utf-8")
    for table, columns in TABLES.items():
        # All rows of a network on a device go together: those of two sessions are not compared.
        whole = len(KEY) + 1
        path = folder / f"{experiment}{table}.csv"
        unique = len(KEY) + len(SETTING) + ROW_NAMES[table]
        merge_csv(path, (*KEY, *columns), whole, rows[table], unique)


def key_of(run: Run) -> tuple:
    """The cells of KEY: an MLP has hidden layers, a LeNet-5 none that count."""
    names = ("dataset", "design", *run.design.columns, *TRAINING_KEY)
    cells = dict(zip(names, run.key, strict=True))
    return tuple(cells.get(column, "") for column in KEY)


def counts(layer: Layer | None) -> tuple[int, int]:
    """Parameters and multiply-accumulates of a layer; padding has none."""
    return (layer.parameters, layer.macs) if layer else (0, 0)


def row_of(one: Measured, images: int, rounds: list[Latency], peak: Peaks) -> tuple:
    """The cells of MEASURED.

    `share_of_bound` is that of the lower of the two roofs, of arithmetic and of memory. As the
    latter is that of memory outside the caches, a network that fits into them may pass 1.
    """
    seconds, p90, p99 = np.median(rounds, axis=0).tolist()
    every = [latency.p50 for latency in rounds]
    spread = (max(every) - min(every)) / seconds
    design, accuracy = one.network.run.design, one.network.accuracy
    parameters, macs = size(design)
    flops, traffic = 2 * macs * images, timing.traffic(design, images)
    attainable = min(peak.flops, flops / traffic * peak.bandwidth)
    share = flops / seconds / attainable
    bound = "arithmetic" if attainable == peak.flops else "memory"
    return (
        *(seconds, p90, p99, min(every), max(every)),
        *(images / seconds, spread, "yes" if spread > NOISY else "no"),
        *(one.test.accuracy, one.test.loss, accuracy.n, accuracy.mean, accuracy.low, accuracy.high),
        *(parameters, macs, flops),
        *(FLOAT * parameters, FLOAT * images * math.prod(design.image)),
        *(one.profile.activations[images], one.profile.resident.get(images, np.nan), traffic),
        *(flops / traffic, flops / seconds, peak.flops, peak.bandwidth),
        *("overhead" if share < OVERHEAD else bound, share),
        torch.__version__,
    )


def read(folder: Path, experiment: str, table: str) -> pd.DataFrame:
    """A table as it was written; empty without a file."""
    columns = (*KEY, *TABLES[table])
    unique = len(KEY) + len(SETTING) + ROW_NAMES[table]
    rows = read_csv(folder / f"{experiment}{table}.csv", columns, unique)
    return pd.DataFrame([values for values, _ in rows], columns=list(columns))
