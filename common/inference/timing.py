"""How long a call takes, what it must move, and what the machine could do.

Measured outside the profiler, which slows what it watches, in eval and inference mode, after calls
that warm up; torch.utils.benchmark does the timing.
"""

import logging
import math
from timeit import default_timer
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from common.models.networks import Design, layer_table

if TYPE_CHECKING:
    from torch.utils.benchmark import Timer

FLOAT = 4  # bytes
WARM_UP = 3  # calls
MATRIX, COPY = 2048, 1 << 26  # side of the matrices, and elements, of the machine's peaks


class Latency(NamedTuple):
    """Seconds of a call: the median, and those that 90 and 99 % of the calls stay below."""

    p50: float
    p90: float
    p99: float


class Peaks(NamedTuple):
    """What the machine can do: floating-point operations and bytes of memory traffic a second."""

    flops: float
    bandwidth: float


def latency(model: nn.Module, x: Tensor, threads: int, calls: int) -> Latency:
    """Latency of single calls with `x` (MLPerf's SingleStream reports p90)."""
    calls_of = timer_of(model, x, threads)
    calls_of.timeit(WARM_UP)
    seconds = [calls_of.timeit(1).median for _ in range(calls)]
    return Latency(*np.quantile(seconds, [0.5, 0.9, 0.99]).tolist())


def seconds_of_a_call(model: nn.Module, x: Tensor, threads: int, at_least: float) -> float:
    """Median seconds of a call with `x`, measured for `at_least` so many seconds, or once."""
    calls_of = timer_of(model, x, threads)
    # It begins with calls that tell how many to measure at once, and so warms up.
    return calls_of.blocked_autorange(min_run_time=at_least).median


def timer_of(model: nn.Module, x: Tensor, threads: int) -> "Timer":
    """A timer of a call; on an accelerator it waits until the work is done."""
    names = {"model": model, "x": x, "inference_mode": torch.inference_mode}
    return timer("with inference_mode(): model(x)", names, threads, x.device.type)


def timer(statement: str, names: dict[str, object], threads: int, device: str) -> "Timer":
    """PyTorch's timer of a statement."""
    # Imported here: it looks for compilers, and would warn in every worker that there is no CUDA.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    from torch.utils.benchmark import Timer
    from torch.utils.benchmark import timer as waiting_clock

    # On a CPU there is no accelerator to wait for, even if the machine has one.
    clock = default_timer if device == "cpu" else waiting_clock
    return Timer(statement, timer=clock, globals=names, num_threads=threads)


def peaks(device: str, threads: int) -> Peaks:
    """What this machine does at its best, in a large product of matrices and a large copy."""
    a, source = torch.rand(MATRIX, MATRIX, device=device), torch.rand(COPY, device=device)
    names = {"a": a, "source": source, "target": torch.empty_like(source)}

    def seconds(statement: str) -> float:
        return timer(statement, names, threads, device).blocked_autorange(min_run_time=0.2).median

    return Peaks(
        flops=2 * MATRIX**3 / seconds("a @ a"),
        bandwidth=2 * FLOAT * COPY / seconds("target.copy_(source)"),
    )


def traffic(design: Design, images: int) -> int:
    """Bytes that a call must move if no cache held anything between two layers.

    Every layer reads its input and its weights once and writes its output once.
    """
    layers = layer_table(design)
    outputs = [math.prod(map(int, layer.output.split("x"))) for layer in layers]
    inputs = [math.prod(design.image), *outputs[:-1]]
    weights = sum(layer.parameters for layer in layers)
    return FLOAT * (images * (sum(inputs) + sum(outputs)) + weights)
