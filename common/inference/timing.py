"""The time of a call, its memory traffic, and the peak performance of the machine.

torch.utils.benchmark measures times in inference mode, after warm-up calls, without the profiler
(it slows calls down).
"""

import math
from collections.abc import Callable
from timeit import default_timer

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils import benchmark

from common.models.design import Design, layer_table

FLOAT = 4  # bytes
WARM_UP = 3  # calls
MATRIX, COPY = 2048, 1 << 26  # for the peaks: rows of the matrices, elements of the copy

Call = Callable[[Tensor], Tensor]  # a network, for example


def times(model: Call, x: Tensor, threads: int, calls: int, at_least: float) -> dict[str, float]:
    """Seconds of calls with `x`: `seconds`, the median of calls repeated for `at_least` seconds.

    For one image: the median of `calls` single calls, and p90_seconds and p99_seconds (MLPerf's
    SingleStream reports the 90th percentile).
    """
    timer = timer_of(model, x, threads)
    if len(x) > 1:
        # blocked_autorange first makes calls to estimate their time: the warm-up.
        return {"seconds": timer.blocked_autorange(min_run_time=at_least).median}
    timer.timeit(WARM_UP)
    seconds = np.quantile([timer.timeit(1).median for _ in range(calls)], [0.5, 0.9, 0.99])
    return dict(zip(("seconds", "p90_seconds", "p99_seconds"), seconds.tolist(), strict=True))


def timer_of(model: Call, x: Tensor, threads: int) -> benchmark.Timer:
    """PyTorch's timer of a call. On an accelerator it waits for the result."""
    # On a CPU there is no accelerator to wait for, even if the machine has one.
    clock = default_timer if x.device.type == "cpu" else benchmark.timer
    names = {"model": model, "x": x, "inference_mode": torch.inference_mode}
    statement = "with inference_mode(): model(x)"
    return benchmark.Timer(statement, timer=clock, globals=names, num_threads=threads)


def peaks(device: str, threads: int) -> dict[str, float]:
    """Peak performance of this machine: floating-point operations and memory bytes per second.

    Measured with a large matrix product and a large copy.
    """
    a, source = torch.rand(MATRIX, MATRIX, device=device), torch.rand(COPY, device=device)
    product, copy = (
        timer_of(call, x, threads).blocked_autorange(min_run_time=0.2).median
        for call, x in ((a.matmul, a), (torch.empty_like(source).copy_, source))
    )
    return {"peak_flops": 2 * MATRIX**3 / product, "peak_bandwidth": 2 * FLOAT * COPY / copy}


def traffic(design: Design, images: int | pd.Series) -> int | pd.Series:
    """Bytes of memory traffic of a call with `images`, if no cache keeps data between layers.

    Every layer reads its input and its weights once and writes its output once.
    """
    layers = layer_table(design)
    outputs = [math.prod(map(int, layer.output.split("x"))) for layer in layers]
    inputs = [math.prod(design.image), *outputs[:-1]]
    weights = sum(layer.parameters for layer in layers)
    return FLOAT * (images * (sum(inputs) + sum(outputs)) + weights)
