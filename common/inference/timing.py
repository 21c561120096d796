"""The time of a call, its memory traffic, and the peak performance of the machine.

torch.utils.benchmark measures times in eval and inference mode, after warm-up calls, without the
profiler (it slows calls down).
"""

import logging
import math
from timeit import default_timer

import numpy as np
import torch
from torch import Tensor, nn

from common.models.design import Design, layer_table

FLOAT = 4  # bytes
WARM_UP = 3  # calls
MATRIX, COPY = 2048, 1 << 26  # for the peaks: rows of the matrices, elements of the copy


def latency(model: nn.Module, x: Tensor, threads: int, calls: int) -> dict[str, float]:
    """Seconds of single calls with `x`: the median, and the 90th and 99th percentile.

    MLPerf's SingleStream reports the 90th.
    """
    timer = timer_of_calls(model, x, threads)
    timer.timeit(WARM_UP)
    seconds = [timer.timeit(1).median for _ in range(calls)]
    p50, p90, p99 = np.quantile(seconds, [0.5, 0.9, 0.99]).tolist()
    return {"seconds": p50, "p90_seconds": p90, "p99_seconds": p99}


def median_seconds(model: nn.Module, x: Tensor, threads: int, at_least: float) -> float:
    """Median seconds of calls with `x`, repeated for `at_least` seconds."""
    # blocked_autorange first makes calls to estimate their time: the warm-up.
    return timer_of_calls(model, x, threads).blocked_autorange(min_run_time=at_least).median


def timer_of_calls(model: nn.Module, x: Tensor, threads: int) -> "torch.utils.benchmark.Timer":
    """PyTorch's timer of a call."""
    names = {"model": model, "x": x, "inference_mode": torch.inference_mode}
    return make_timer("with inference_mode(): model(x)", names, threads, x.device.type)


def make_timer(
    statement: str, names: dict[str, object], threads: int, device: str
) -> "torch.utils.benchmark.Timer":
    """PyTorch's timer of a statement. On an accelerator it waits for the result."""
    # The import searches for compilers. Without CUDA it would warn in every worker.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    from torch.utils.benchmark import Timer
    from torch.utils.benchmark import timer as waiting_clock

    # On a CPU there is no accelerator to wait for, even if the machine has one.
    clock = default_timer if device == "cpu" else waiting_clock
    return Timer(statement, timer=clock, globals=names, num_threads=threads)


def peaks(device: str, threads: int) -> dict[str, float]:
    """Peak performance of this machine: floating-point operations and memory bytes per second.

    Measured with a large matrix product and a large copy.
    """
    a, source = torch.rand(MATRIX, MATRIX, device=device), torch.rand(COPY, device=device)
    names = {"a": a, "source": source, "target": torch.empty_like(source)}

    def seconds(statement: str) -> float:
        timer = make_timer(statement, names, threads, device)
        return timer.blocked_autorange(min_run_time=0.2).median

    return {
        "peak_flops": 2 * MATRIX**3 / seconds("a @ a"),
        "peak_bandwidth": 2 * FLOAT * COPY / seconds("target.copy_(source)"),
    }


def traffic(design: Design, images: int) -> int:
    """Bytes of memory traffic of a call, if no cache keeps data between layers.

    Every layer reads its input and its weights once and writes its output once.
    """
    layers = layer_table(design)
    outputs = [math.prod(map(int, layer.output.split("x"))) for layer in layers]
    inputs = [math.prod(design.image), *outputs[:-1]]
    weights = sum(layer.parameters for layer in layers)
    return FLOAT * (images * (sum(inputs) + sum(outputs)) + weights)
