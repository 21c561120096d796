"""Measure inference: the trained networks in all settings.

torch.utils.benchmark measures times in inference mode, after warm-up calls, without the profiler
(it slows calls down). Every one of several rounds has another order of the networks. So a slow
phase of the machine does not affect only one network.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import product
from multiprocessing import active_children, get_context
from timeit import default_timer

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import benchmark
from tqdm import tqdm

from common import LabError, interrupts, one_line
from common.console import wrapped
from common.data.datasets import Dataset
from common.inference import profiling
from common.inference.profiling import VARIANTS, Plan, Profile
from common.statistics.intervals import Mean
from common.training.evaluation import Evaluation, evaluate
from common.training.loop import Run

ROUNDS = 3
MATRIX, COPY = 2048, 1 << 26  # for the peaks: rows of the matrices, elements of the copy


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


def measure(networks: Sequence[Network], dataset: Dataset, plan: Plan) -> list[Network]:
    """The networks and their variants, measured on the test images.

    Prints which networks do not have a variant, and why. LabError: a network cannot be measured.
    """
    dataset = dataset.to(plan.device)
    measured = profile_all(networks, dataset, plan)
    x = dataset.normalised(dataset.test.images[: max(plan.images)])
    for number in range(ROUNDS):
        peaks = {t: peaks_of(plan.device, t) for t in plan.threads}
        order = [*measured[number:], *measured[:number]]
        # disable=None: no bar if the output is not a terminal.
        for network in tqdm(order, f"time, round {number + 1}", disable=None, leave=False):
            threads = plan.threads if network.variant == "plain" else plan.threads[:1]
            for n, t in product(plan.images_of(network.variant), threads):
                times = times_of(network.model, x[:n], t, plan)
                network.rounds.append({"images": n, "threads": t, **times, **peaks[t]})
    return measured


def profile_all(networks: Sequence[Network], dataset: Dataset, plan: Plan) -> list[Network]:
    """Profile every variant of every network, each in its own process."""
    pairs = list(product(networks, plan.variants))
    calls = [(network.model, network.run.design, variant, plan) for network, variant in pairs]
    profiles = in_fresh_processes(profiling.measure, calls, plan.processes)
    bar = tqdm(profiles, "memory and profiles", len(pairs), disable=None, leave=False)
    measured, missing = [], {}
    for (network, variant), profile in zip(pairs, bar, strict=True):
        if not isinstance(profile, LabError):
            model = VARIANTS[variant](deepcopy(network.model).to(plan.device).eval())
            test = evaluate(model, dataset, dataset.test)
            measured.append(Network(network.run, model, test, network.accuracy, variant, profile))
        elif variant == "plain":
            raise profile
        else:
            missing.setdefault((variant, str(profile)), []).append(network.run.design.name)
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

    def result(arguments: tuple) -> object:
        with interrupts.blocked(), ProcessPoolExecutor(1, get_context("spawn")) as process:
            try:
                return process.submit(function, *arguments).result()
            except BrokenProcessPool:
                reason = "perhaps it was killed because memory was full"
                return LabError(f"the measuring process ended without a result: {reason}")
            except Exception as error:  # any error becomes one line
                return LabError(one_line(error))

    os.environ.update(KINETO_LOG_LEVEL="99", TORCH_CPP_LOG_LEVEL="ERROR")  # for new processes
    threads = ThreadPoolExecutor(jobs)
    try:
        yield from threads.map(result, calls)
    finally:
        for process in active_children():  # only after Ctrl-C or an error
            process.kill()
        threads.shutdown(cancel_futures=True)


def times_of(model: nn.Module, x: Tensor, threads: int, plan: Plan) -> dict[str, float]:
    """Seconds of a call with `x`: `seconds` is the median of calls during `plan.seconds`.

    For one image: median and percentiles of `plan.calls` calls, as MLPerf's SingleStream.
    """
    timer = timer_of(model, x, threads)
    if len(x) > 1:
        # blocked_autorange first makes calls to estimate their time: the warm-up.
        return {"seconds": timer.blocked_autorange(min_run_time=plan.seconds).median}
    timer.timeit(3)  # the warm-up
    seconds = [timer.timeit(1).median for _ in range(plan.calls)]
    median, p90, p99 = np.quantile(seconds, [0.5, 0.9, 0.99])
    return {"seconds": median, "p90_seconds": p90, "p99_seconds": p99}


def timer_of(model: Callable[[Tensor], Tensor], x: Tensor, threads: int) -> benchmark.Timer:
    """PyTorch's timer of a call. On an accelerator it waits for the result."""
    # On a CPU there is no accelerator to wait for, even if the machine has one.
    clock = default_timer if x.device.type == "cpu" else benchmark.timer
    names = {"model": model, "x": x, "inference_mode": torch.inference_mode}
    statement = "with inference_mode(): model(x)"
    return benchmark.Timer(statement, timer=clock, globals=names, num_threads=threads)


def peaks_of(device: str, threads: int) -> dict[str, float]:
    """Floating-point operations a second of a large matrix product, bytes a second of a copy."""
    a, source = torch.rand(MATRIX, MATRIX, device=device), torch.rand(COPY, device=device)
    product = timer_of(a.matmul, a, threads).blocked_autorange(min_run_time=0.2).median
    timer = timer_of(torch.empty_like(source).copy_, source, threads)
    copy = timer.blocked_autorange(min_run_time=0.2).median
    return {"peak_flops": 2 * MATRIX**3 / product, "peak_bandwidth": 2 * source.nbytes / copy}
