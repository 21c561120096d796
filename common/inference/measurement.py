"""Measure inference: the trained networks in all settings.

Times are measured in several rounds, and every round has another order of the networks. So a slow
phase of the machine does not affect only one network.
"""

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from multiprocessing import Process
from multiprocessing.connection import Connection

from torch import nn
from tqdm import tqdm

from common import LabError, one_line
from common.console import relative_path, wrapped
from common.data.datasets import Dataset
from common.inference import profiling, timing
from common.inference.plan import VARIANTS, Plan
from common.inference.profiling import Profile
from common.results.store import Results
from common.statistics.intervals import Mean, converged, mean_or_wilson
from common.sweep.sweep import sweep, trained
from common.sweep.workers import ending, spawn
from common.training.evaluation import Evaluation, evaluate
from common.training.loop import Run

ROUNDS = 3


@dataclass(frozen=True)
class Network:
    """A trained network or a variant of it, and its measurements."""

    run: Run
    model: nn.Module
    test: Evaluation
    accuracy: Mean  # over all seeds of the run's design
    variant: str = "plain"
    profile: Profile | None = None
    # Rows of one setting in one round: images, threads, times, peaks of the machine.
    rounds: list[dict] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Design and variant: `300-100-compiled`; only the design for a plain network."""
        name = self.run.design.name
        return name if self.variant == "plain" else f"{name}-{self.variant}"


def trained_networks(
    runs: Sequence[Run], results: Results, again: Results, dataset: Dataset, jobs: int
) -> list[Network]:
    """The networks of one script's runs, seed 0. Runs without weights are trained first.

    A run in `results` without weights is retrained in `again`, so that `results` do not change.

    Raises:
        LabError: a run fails, or the weights file belongs to another run.
    """
    stores = {
        run: again if run in results and not results.weights_path(run).exists() else results
        for run in runs
    }
    for store in (results, again):
        missing = [r for r in runs if stores[r] is store and not store.weights_path(r).exists()]
        if missing:
            print(f"{len(missing)} of {len(runs)} networks to train", flush=True)
            if sweep(missing, store, lambda: dataset, jobs, fresh=True):
                raise LabError("not all networks could be trained")
    return [trained_network(run, store, results, dataset) for run, store in stores.items()]


def trained_network(run: Run, store: Results, results: Results, dataset: Dataset) -> Network:
    """The network of a run in `store`, with the mean accuracy over its seeds in `results`."""
    model = trained(run, store)
    test = evaluate(model, dataset, dataset.test)
    recorded = store.select([run]).set_index("seed")["test_accuracy"].get(run.seed, -1)
    if abs(test.accuracy - recorded) > 0.001:
        path = relative_path(store.weights_path(run))
        raise LabError(f"{path} does not give the accuracy of {run}: delete it")
    seeds = converged(results.select([run]))["test_accuracy"]
    return Network(run, model, test, mean_or_wilson(seeds, len(dataset.test.labels)))


def measure(networks: Sequence[Network], dataset: Dataset, plan: Plan) -> list[Network]:
    """The networks and their variants, measured on the test images.

    Prints which networks do not have a variant, with the reason.

    Raises:
        LabError: a network cannot be measured.
    """
    dataset = dataset.to(plan.device)
    measured = profile_all(networks, dataset, plan)
    x = dataset.normalised(dataset.test.images[: max(plan.images)])
    # disable=None: no bar if the output is not a terminal.
    with tqdm(total=ROUNDS * len(measured), desc="time", disable=None, leave=False) as bar:
        for number in range(ROUNDS):
            peaks = {t: timing.peaks(plan.device, t) for t in plan.threads}
            for network in [*measured[number:], *measured[:number]]:
                threads = plan.threads if network.variant == "plain" else plan.threads[:1]
                for n, t in product(plan.images_of(network.variant), threads):
                    times = timing.times(network.model, x[:n], t, plan.calls, plan.seconds)
                    network.rounds.append({"images": n, "threads": t, **times, **peaks[t]})
                bar.update()
    return measured


def profile_all(networks: Sequence[Network], dataset: Dataset, plan: Plan) -> list[Network]:
    """Profile every variant of every network, each in its own process."""
    pairs = [(network, variant) for network in networks for variant in plan.variants]
    calls = [(network.model, network.run.design, variant, plan) for network, variant in pairs]
    profiles = in_fresh_processes(profiling.measure, calls, plan.processes)
    bar = tqdm(profiles, "memory and profiles", len(pairs), disable=None, leave=False)
    measured, missing = [], {}
    for (network, variant), profile in zip(pairs, bar, strict=True):
        if isinstance(profile, LabError):
            if variant == "plain":
                raise profile
            missing.setdefault((variant, str(profile)), []).append(network.name)
            continue
        model = VARIANTS[variant](copy.deepcopy(network.model).to(plan.device).eval())
        test = network.test if variant == "plain" else evaluate(model, dataset, dataset.test)
        changes = {"model": model, "test": test, "variant": variant, "profile": profile}
        measured.append(replace(network, **changes, rounds=[]))
    for (variant, reason), names in missing.items():
        print(wrapped(f"no {variant} of {', '.join(names)}: {reason}"))
    return measured


def in_fresh_processes(
    function: Callable[..., object], calls: Sequence[tuple], jobs: int
) -> Iterator[object]:
    """The results of `function` for the arguments of each call, in the order of the calls.

    Every call has a new process, so that earlier calls do not affect it; `jobs` processes run in
    parallel. After an exception, or if the process ends without a result, the result is a LabError.
    The profiler prints no messages.
    """
    os.environ.update(KINETO_LOG_LEVEL="99", TORCH_CPP_LOG_LEVEL="ERROR")  # for new processes
    processes: list[tuple[Connection, Process]] = []
    for number in range(len(calls)):
        for arguments in calls[len(processes) : number + jobs]:
            processes.append(spawn(answer, function, arguments))
        connection, process = processes[number]
        try:
            result = connection.recv()
        except EOFError:
            process.join()
            result = LabError(f"the measuring process ended {ending(process.exitcode)}")
        yield result
    for _, process in processes:
        process.join()


def answer(connection: Connection, function: Callable[..., object], arguments: tuple) -> None:
    """Send the result of `function`, or its error."""
    try:
        connection.send(function(*arguments))
    except Exception as error:  # any error becomes one line
        connection.send(error if isinstance(error, LabError) else LabError(one_line(error)))
