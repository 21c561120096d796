"""The measurement of inference as a whole: which networks and settings, in what order.

Times are measured in several rounds, each in another order of the networks, so that what slows the
machine for a while slows no network alone. What is found goes into `inference_tables`.
"""

import copy
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn
from tqdm import tqdm

from common import LabError
from common.data.datasets import Dataset
from common.inference import profiling, timing
from common.inference.profiling import Profile
from common.inference.timing import Latency, Peaks
from common.inference.variants import VARIANTS
from common.statistics.intervals import Mean
from common.sweep import workers
from common.training.evaluation import Evaluation, evaluate
from common.training.loop import Run

ROUNDS = 3
VARIED_IMAGES = (1, 1000)  # the calls that variants are measured in


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
