"""Measure inference: all networks in all settings.

Times are measured in several rounds, and every round has another order of the networks. So a slow
phase of the machine does not affect only one network.
"""

import copy
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd
from torch import Tensor, nn
from tqdm import tqdm

from common.data.datasets import Dataset
from common.inference import profiling, timing
from common.inference.plan import Plan
from common.inference.processes import in_fresh_processes
from common.inference.profiling import Profile
from common.inference.variants import VARIANTS
from common.statistics.intervals import Mean
from common.training.evaluation import Evaluation, evaluate
from common.training.loop import Run

ROUNDS = 3


@dataclass(frozen=True)
class Network:
    """A trained network on the CPU, its run and its result on the test set.

    `accuracy` is the mean over all seeds of the run's design.
    """

    run: Run
    model: nn.Module
    test: Evaluation
    accuracy: Mean


@dataclass(frozen=True)
class Measured:
    """A variant of a network and its measurements.

    `rounds` has one row per setting and round: images, threads, seconds, p90_seconds, p99_seconds
    (the percentiles only for one image).
    """

    network: Network
    variant: str
    model: nn.Module
    test: Evaluation
    profile: Profile
    rounds: list[dict] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Design and variant: `300-100-compiled`; only the design for a plain network."""
        name = self.network.run.design.name
        return name if self.variant == "plain" else f"{name}-{self.variant}"


def measure(
    networks: Sequence[Network], dataset: Dataset, plan: Plan
) -> tuple[list[Measured], pd.DataFrame]:
    """Measure networks on the test images, and the peak performance of the machine.

    Prints which networks do not have a variant, with the reason.

    Returns:
        The measured networks, and the columns peak_flops and peak_bandwidth by number of threads.

    Raises:
        LabError: a network cannot be measured.
    """
    dataset = dataset.to(plan.device)
    measured, peaks = profile_all(networks, dataset, plan), []
    x = dataset.normalised(dataset.test.images[: max(plan.images)])
    # disable=None: no bar if the output is not a terminal.
    with tqdm(total=ROUNDS * len(measured), desc="time", disable=None, leave=False) as bar:
        for number in range(ROUNDS):
            for threads in plan.threads:
                peaks.append({"threads": threads, **timing.peaks(plan.device, threads)})
            for one in [*measured[number:], *measured[:number]]:
                add_round(one, x, plan)
                bar.update()
    return measured, pd.DataFrame(peaks).groupby("threads").median()


def profile_all(networks: Sequence[Network], dataset: Dataset, plan: Plan) -> list[Measured]:
    """Profile every variant of every network, each in its own process."""
    pairs = [(network, variant) for network in networks for variant in plan.variants]
    calls = [(network.model, network.run.design, variant, plan) for network, variant in pairs]
    profiles = in_fresh_processes(profiling.measure, calls, plan.processes)
    bar = tqdm(profiles, "memory and profiles", len(pairs), disable=None, leave=False)
    measured, missing = [], {}
    for (network, variant), profile in zip(pairs, bar, strict=True):
        if isinstance(profile, Profile):
            model = VARIANTS[variant](copy.deepcopy(network.model).to(plan.device).eval())
            test = network.test if variant == "plain" else evaluate(model, dataset, dataset.test)
            measured.append(Measured(network, variant, model, test, profile))
        elif variant == "plain":
            raise profile
        else:
            missing.setdefault((variant, str(profile)), []).append(network.run.design.name)
    for (variant, reason), names in missing.items():
        print(textwrap.fill(f"no {variant} of {', '.join(names)}: {reason}", 79))
    return measured


def add_round(measured: Measured, x: Tensor, plan: Plan) -> None:
    """Time a network once in each setting. `x` has the normalised images of the largest call."""
    model = measured.model
    for images in plan.images_of(measured.variant):
        for threads in plan.threads if measured.variant == "plain" else plan.threads[:1]:
            if images == 1:
                row = timing.latency(model, x[:1], threads, plan.calls)
            else:
                row = {"seconds": timing.median_seconds(model, x[:images], threads, plan.seconds)}
            measured.rounds.append({"images": images, "threads": threads, **row})
