"""What a network costs at inference: time, memory, work, and what the machine could do.

Time is measured outside the profiler, which slows what it watches. Everything is measured in eval
and inference mode, after calls that warm up.
"""

import json
import logging
import math
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from timeit import default_timer
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import psutil
import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.autograd.profiler_util import FunctionEventAvg
from torch.profiler import ProfilerActivity, profile, record_function

from common import LabError
from common.models import Design, layer_table
from common.training import synchronize
from common.variants import VARIANTS, UnavailableError
from common.workers import ending, spawn

if sys.platform != "win32":
    import resource
if TYPE_CHECKING:
    from torch.utils.benchmark import Timer

FLOAT = 4  # bytes
WARM_UP = 3  # calls
PROFILED = 20  # calls that a time by operator or layer is the mean of
TOP = 15  # operators in a table
LAYER = "layer "  # what the profiler's names of layers begin with
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


class Calls(NamedTuple):
    """Where the time of calls with some number of images goes, by the profiler; seconds of a call.

    operators: name, seconds, calls; layers: name, seconds; table: the profiler's own.
    """

    operators: list[tuple[str, float, int]]
    layers: list[tuple[str, float]]
    table: str


class Profile(NamedTuple):
    """What a fresh process measured of a network, by the number of images of a call.

    activations: the most bytes alive at once of what a call allocates: results included, weights
        and input not.
    resident: by how many bytes the largest resident set of the process grew over that after the
        imports: weights, input, activations, and what libraries keep. Empty off the CPU.
    calls: where the time goes.
    """

    activations: dict[int, float]
    resident: dict[int, int]
    calls: dict[int, Calls]


def latency(model: nn.Module, x: Tensor, threads: int, calls: int) -> Latency:
    """Latency of single calls with `x` (MLPerf's SingleStream reports p90)."""
    calls_of = timer_of(model, x, threads)
    calls_of.timeit(WARM_UP)
    seconds = [calls_of.timeit(1).median for _ in range(calls)]
    return Latency(*np.quantile(seconds, [0.5, 0.9, 0.99]).tolist())


def seconds_of_a_call(model: nn.Module, x: Tensor, threads: int, at_least: float) -> float:
    """Median seconds of a call with `x`, measured for `at_least` so many seconds."""
    calls_of = timer_of(model, x, threads)
    calls_of.timeit(1)
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
        return timer(statement, names, threads, device).blocked_autorange(min_run_time=0.5).median

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


def measure(
    network: nn.Module,
    image: tuple[int, int, int],
    variant: str,
    images: Sequence[int],
    profiled: Sequence[int],
    device: str,
    trace: Path | None,
) -> Profile:
    """What calls allocate, and where their time goes; on one thread.

    To be called in a fresh process, see `in_fresh_process`.

    Args:
        network: trained, on the CPU.
        image: the input's (C, H, W).
        variant: a key of VARIANTS.
        images: numbers of images of the calls whose memory to measure.
        profiled: those of the calls to profile.
        device: where to measure.
        trace: where to write a trace of the largest profiled call.

    Raises:
        UnavailableError: there is no such variant of this network here.
    """
    torch.set_num_threads(1)
    before = psutil.Process().memory_info().rss
    model = VARIANTS[variant](network.to(device).eval())

    def given(count: int) -> Tensor:
        return torch.rand(count, *image, device=device)

    resident = {}
    for count in sorted(images):  # upwards: the largest resident set so far is this count's
        call(model, given(count))
        if device == "cpu":
            resident[count] = max(0, largest_resident_set() - before)
    return Profile(
        {count: peak_of_allocations(model, given(count)) for count in images},
        resident,
        {count: profile_calls(model, given(count), trace) for count in sorted(profiled)},
    )


def profile_calls(model: nn.Module, x: Tensor, trace: Path | None) -> Calls:
    """Where the time of a call goes, as a mean of PROFILED calls."""
    # A variant wraps the network, and may have no layers to be called one by one.
    layers = list(model.named_children()) if type(model) is nn.Sequential else [("all", model)]
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if x.is_cuda else [])]
    call(model, x)
    with torch.inference_mode(), profile(activities=activities, profile_memory=True) as seen:
        for _ in range(PROFILED):
            values = x
            for name, layer in layers:
                with record_function(LAYER + name.split("_")[0]):
                    values = layer(values)
                    synchronize(x.device)
    if trace is not None:
        seen.export_chrome_trace(str(trace))
    averages = seen.key_averages()
    # Off the CPU, kernels are events of their own: theirs is the time of the operators.
    where = DeviceType.CUDA if x.is_cuda else DeviceType.CPU
    operators = [
        event
        for event in averages
        if event.device_type == where and not event.key.startswith(LAYER)
    ]
    return Calls(
        [
            (event.key, self_time(event) / PROFILED, event.count // PROFILED)
            for event in sorted(operators, key=self_time, reverse=True)
        ],
        [
            (event.key.removeprefix(LAYER), event.cpu_time_total / 1e6 / PROFILED)
            for event in averages
            if event.device_type == DeviceType.CPU and event.key.startswith(LAYER)
        ],
        averages.table(
            sort_by="self_device_time_total" if x.is_cuda else "self_cpu_time_total",
            row_limit=TOP,
            max_name_column_width=30,
        ),
    )


def self_time(event: FunctionEventAvg) -> float:
    """Seconds of an operator, or of a kernel, itself."""
    on_cpu = event.device_type == DeviceType.CPU
    return (event.self_cpu_time_total if on_cpu else event.self_device_time_total) / 1e6


def call(model: nn.Module, x: Tensor) -> Tensor:
    """A call as inference makes it."""
    with torch.inference_mode():
        return model(x)


def peak_of_allocations(model: nn.Module, x: Tensor) -> float:
    """The most bytes that were alive at once of what a call allocates, results included.

    Cumulated from the profiler's events of the allocator; a sum by operator is no peak. On CUDA
    the allocator's own peak; nan on other accelerators, which have none.
    """
    call(model, x)  # what libraries allocate once is none of the network's
    if x.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call(model, x)
        return torch.cuda.max_memory_allocated() - before
    if x.device.type != "cpu":
        return math.nan
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        result = call(model, x)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        seen.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    del result  # alive until here, so that it is counted
    alive = peak = 0
    for event in sorted(
        (event for event in events if event["name"] == "[memory]"), key=lambda event: event["ts"]
    ):
        alive += event["args"]["Bytes"]
        peak = max(peak, alive)
    return peak


def largest_resident_set() -> int:
    """The largest resident set of this process so far, in bytes."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    with suppress(OSError):  # Linux; there getrusage's is that of the parent before the start
        status = Path("/proc/self/status").read_text()
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: in bytes


def in_fresh_process(function: Callable[..., object], *arguments: object) -> object:
    """What `function` returns in a spawned process that has done nothing else.

    The profiler's own messages to the terminal are switched off in it.

    Raises:
        UnavailableError: as raised there.
        LabError: the process ended without an answer, or with another error.
    """
    with environment(KINETO_LOG_LEVEL="99", TORCH_CPP_LOG_LEVEL="ERROR"):
        ours, process = spawn(answer, function, arguments)
    try:
        found = ours.recv()
    except EOFError as error:
        process.join()
        raise LabError(f"the measuring process ended {ending(process.exitcode)}") from error
    process.join()
    if isinstance(found, Exception):
        raise found
    return found


def answer(connection: Connection, function: Callable[..., object], arguments: tuple) -> None:
    """Send what `function` returns, or what went wrong."""
    try:
        connection.send(function(*arguments))
    except UnavailableError as error:
        connection.send(error)
    except Exception as error:  # whatever it is, it is told in one line
        connection.send(LabError(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"))


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Environment variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
