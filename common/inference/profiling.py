"""Where the memory and the time of a call go, by PyTorch's profiler, in a fresh process."""

import json
import math
import re
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.autograd.profiler_util import FunctionEventAvg
from torch.profiler import ProfilerActivity, profile, record_function

from common.inference.variants import VARIANTS
from common.training.loop import synchronize

if sys.platform != "win32":
    import resource

PROFILED = 20  # calls that a time by operator or layer is the mean of
TOP = 15  # operators in a table
LAYER = "layer "  # what the profiler's names of layers begin with


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

    To be called in a fresh process, see `workers.in_fresh_processes`.

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
