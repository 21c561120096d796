"""The measurement of inference as a whole: which networks and settings, in what order, what rows.

Everything is measured in several rounds, each in another order of the networks, so that what slows
the machine for a while slows no network alone; rows give the median over rounds and their spread.
"""

import copy
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from common import LabError, profiling, timing, workers
from common.data import Dataset
from common.evaluation import Evaluation, evaluate
from common.files import replacing
from common.models import Layer, layer_table, size
from common.profiling import Profile
from common.results import TRAINING_KEY, merge_csv, read_csv
from common.statistics import Mean
from common.timing import FLOAT, Latency, Peaks
from common.training import Run, place
from common.variants import VARIANTS

ROUNDS = 3
NOISY = 0.1  # a spread over the rounds, relative to their median, that is told
OVERHEAD = 0.2  # a call that reaches less of what the machine can do is bound by neither
VARIED_IMAGES = (1, 1000)  # the calls that variants are measured in

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


class Effort(NamedTuple):
    """How much is measured: images of a call, threads, calls of a latency, seconds of the rest.

    `processes`: how many networks are profiled at once; more than one disturb each other's times.
    """

    images: Sequence[int]
    threads: Sequence[int]
    calls: int
    seconds: float
    processes: int = 1


class Network(NamedTuple):
    """A trained network on the CPU, the run that trained it, and what it does on the test set.

    `accuracy` is that of all seeds of the run's design.
    """

    run: Run
    model: nn.Module
    test: Evaluation
    accuracy: Mean


class Measured(NamedTuple):
    """A variant of a network, and what was measured of it."""

    network: Network
    variant: str
    model: nn.Module
    test: Evaluation
    profile: Profile
    seconds: dict[tuple[int, int], list[Latency]]  # by images and threads, one a round


def measure(
    networks: Sequence[Network],
    dataset: Dataset,
    effort: Effort,
    variants: Sequence[str],
    device: str,
    traces: Path | None,
) -> tuple[list[Measured], dict[int, Peaks]]:
    """Measure networks, and what the machine can do with each number of threads.

    Args:
        networks: what to measure.
        dataset: whose test images to use, on the CPU.
        effort: how much to measure.
        variants: keys of VARIANTS; one that a network does not have is told and left out.
        device: where to measure.
        traces: a folder for a trace of each network, for Perfetto.
    """
    dataset = dataset.to(device)
    wanted = [(network, variant) for network in networks for variant in variants]
    profiles = workers.in_fresh_processes(
        profiling.measure,
        [profiling_of(*one, effort, device, traces) for one in wanted],
        effort.processes,
    )
    found, lacking = [], {}
    # disable=None: no bar where the output is no terminal.
    bar = tqdm(profiles, "memory and profiles", len(wanted), disable=None, leave=False)
    for (network, variant), profile in zip(wanted, bar, strict=True):
        if not isinstance(profile, LabError):
            found.append(prepare(network, variant, profile, dataset, device))
        elif variant == "plain":
            raise profile
        else:
            lacking.setdefault((variant, str(profile)), []).append(network.run.design.name)
    for (variant, reason), names in lacking.items():
        print(textwrap.fill(f"no {variant} of {', '.join(names)}: {reason}", 79))
    peaks = {threads: [] for threads in effort.threads}
    x = dataset.normalised(dataset.test.images[: max(effort.images)])
    with tqdm(total=ROUNDS * len(found), desc="time", disable=None, leave=False) as bar:
        for turn in range(ROUNDS):
            for threads in effort.threads:
                peaks[threads].append(timing.peaks(device, threads))
            for one in [*found[turn:], *found[:turn]]:
                add_round(one, x, effort)
                bar.update()
    medians = {
        threads: Peaks(*np.median(rounds, axis=0).tolist()) for threads, rounds in peaks.items()
    }
    return found, medians


def profiling_of(
    network: Network, variant: str, effort: Effort, device: str, traces: Path | None
) -> tuple:
    """The arguments of `profiling.measure` for a variant of a network."""
    design, images = network.run.design, images_of(variant, effort)
    profiled = sorted({min(images), max(n for n in images if n <= max(VARIED_IMAGES))})
    trace = traces and traces / f"trace_{design.name}_{variant}.json"
    return network.model, design.image, variant, images, profiled, device, trace


def prepare(
    network: Network, variant: str, profile: Profile, dataset: Dataset, device: str
) -> Measured:
    """A variant of a network in this process, to be timed."""
    model = VARIANTS[variant](copy.deepcopy(network.model).to(device).eval())
    test = network.test if variant == "plain" else evaluate(model, dataset, dataset.test)
    return Measured(network, variant, model, test, profile, {})


def images_of(variant: str, effort: Effort) -> list[int]:
    """The numbers of images of the calls that a variant is measured in."""
    return [n for n in effort.images if variant == "plain" or n in VARIED_IMAGES]


def add_round(one: Measured, x: Tensor, effort: Effort) -> None:
    """Time a network once in each setting."""
    threads = effort.threads if one.variant == "plain" else effort.threads[:1]
    for images in images_of(one.variant, effort):
        for count in threads:
            if images == 1:
                found = timing.latency(one.model, x[:1], count, effort.calls)
            else:
                seconds = timing.seconds_of_a_call(one.model, x[:images], count, effort.seconds)
                found = Latency(seconds, np.nan, np.nan)
            one.seconds.setdefault((images, count), []).append(found)


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
