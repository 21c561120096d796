"""Memory of a call, and its time by layer and operator, in a new process."""

import json
import math
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from operator import attrgetter
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from common.inference.plan import VARIANT_IMAGES, VARIANTS, Plan
from common.models.design import Design, leaves
from common.training.loop import synchronize

if sys.platform != "win32":
    import resource

PROFILED = 20  # calls; times by operator and layer are their means
TOP = 15  # operators in the profiler's own table
LAYER = "layer "  # the profiler's names of layers start with this


@dataclass(frozen=True)
class Profile:
    """The measurements of a network in a new process; `images` are those of a call.

    memory: images, activation_bytes (see `peak_of_allocations`), resident_bytes (growth of the
        process since the imports: weights, input, activations, and memory of libraries; only on
        the CPU).
    operators: images, threads, operator, seconds, share, calls (in one call of the network).
    layers: images, threads, layer, seconds, share.
    tables: the profiler's own tables by number of images.
    """

    memory: pd.DataFrame
    operators: pd.DataFrame
    layers: pd.DataFrame
    tables: dict[int, str]


def measure(network: nn.Module, design: Design, variant: str, plan: Plan) -> Profile:
    """Measure calls of a trained network on one thread. The process must be new.

    Calls with one image and with the most images are also profiled.

    Raises:
        LabError: the variant does not exist for this network or machine.
    """
    torch.set_num_threads(1)
    before = psutil.Process().memory_info().rss
    network = network.to(plan.device).eval()
    model = VARIANTS[variant](network)
    images, resident = plan.images_of(variant), []

    def random_images(count: int) -> Tensor:
        return torch.rand(count, *design.image, device=plan.device)

    for count in images:  # ascending: the largest resident set never shrinks
        call(model, random_images(count))
        growth = float(max(0, largest_resident_set() - before))
        resident.append(growth if plan.device == "cpu" else math.nan)
    peaks = [peak_of_allocations(model, random_images(count)) for count in images]
    memory = {"images": images, "activation_bytes": peaks, "resident_bytes": resident}

    # A wrapper, torch.compile's for example, hides the layers.
    record(leaves(model) if model is network else [("all", model)])
    trace = plan.traces and plan.traces / f"trace_{design.name}_{variant}.json"
    profiled = sorted({1, max(n for n in images if n <= max(VARIANT_IMAGES))})
    calls = [profile_calls(model, random_images(n), trace) for n in profiled]
    operators, layers, tables = zip(*calls, strict=True)
    by_images = dict(zip(profiled, tables, strict=True))
    return Profile(pd.DataFrame(memory), pd.concat(operators), pd.concat(layers), by_images)


def record(layers: Sequence[tuple[str, nn.Module]]) -> None:
    """Let the profiler record the modules under these names, until their work is done."""

    def recorded(name: str, forward: Callable[..., Tensor], *inputs: Any, **named: Any) -> Tensor:
        with record_function(LAYER + name):
            output = forward(*inputs, **named)
            synchronize(output.device)
        return output

    for name, module in layers:
        module.forward = partial(recorded, name, module.forward)


def profile_calls(
    model: nn.Module, x: Tensor, trace: Path | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Operators and layers (means of PROFILED calls), and the profiler's table, see Profile.

    Layers are the names of `record`; times of equal names are added.
    """
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if x.is_cuda else [])]
    call(model, x)
    with profile(activities=activities, profile_memory=True) as profiler:
        for _ in range(PROFILED):
            call(model, x)
    if trace is not None:
        profiler.export_chrome_trace(str(trace))
    averages = profiler.key_averages()
    # On a GPU the kernels are separate events; their times are the times of the operators.
    where = DeviceType.CUDA if x.is_cuda else DeviceType.CPU
    time = "self_device_time_total" if x.is_cuda else "self_cpu_time_total"  # microseconds
    operators = [
        {
            "operator": event.key,
            "calls": event.count // PROFILED,
            "seconds": getattr(event, time) / 1e6 / PROFILED,
        }
        for event in sorted(averages, key=attrgetter(time), reverse=True)
        if event.device_type == where and not event.key.startswith((LAYER, "[memory]"))
    ]
    layers = [
        {"layer": event.key.removeprefix(LAYER), "seconds": event.cpu_time_total / 1e6 / PROFILED}
        for event in averages
        if event.device_type == DeviceType.CPU and event.key.startswith(LAYER)
    ]
    frames = (pd.DataFrame(rows).assign(images=len(x), threads=1) for rows in (operators, layers))
    return (
        *(frame.assign(share=frame["seconds"] / frame["seconds"].sum()) for frame in frames),
        averages.table(sort_by=time, row_limit=TOP, max_name_column_width=30),
    )


def call(model: nn.Module, x: Tensor) -> Tensor:
    """Scores (N, classes), in inference mode."""
    with torch.inference_mode():
        return model(x)


def peak_of_allocations(model: nn.Module, x: Tensor) -> float:
    """The peak of the bytes that a call allocates: with the result, without weights and input.

    On a CPU we compute it from the profiler's memory events: sums by operator give no peak. On CUDA
    the allocator reports it. On other accelerators it is nan.
    """
    call(model, x)  # warm-up: memory that libraries allocate only once does not count
    if x.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call(model, x)
        return float(torch.cuda.max_memory_allocated() - before)
    if x.device.type != "cpu":
        return math.nan
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = call(model, x)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    del result  # not earlier: the result counts
    changes = [event for event in events if event["name"] == "[memory]"]
    changes.sort(key=lambda event: event["ts"])
    return float(max(accumulate((event["args"]["Bytes"] for event in changes), initial=0)))


def largest_resident_set() -> int:
    """The largest resident set of this process so far, in bytes."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    with suppress(OSError):  # Linux: getrusage would also count the parent process
        status = Path("/proc/self/status").read_text()
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: in bytes
