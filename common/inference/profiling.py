"""Variants of a network; in a new process: memory of a call, and time by layer and operator."""

import math
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from common import LabError
from common.models.design import Design, leaves
from common.training.device import synchronize

PROFILED = 20  # calls; times by operator and layer are their means
VARIANT_IMAGES = (1, 1000)  # images per call of variants; larger calls are not profiled
LAYER = "layer "  # the profiler's names of layers start with this


class Autocast(nn.Sequential):
    """Computes in bfloat16 where autocast considers it safe; the weights stay float32."""

    def forward(self, x: Tensor) -> Tensor:
        """Scores, float32 (N, classes)."""
        with torch.autocast(x.device.type, torch.bfloat16):
            return super().forward(x).float()


def compiled(network: nn.Module) -> nn.Module:
    """Compiled by torch.compile, separately for every input shape."""
    if shutil.which("g++") is None and shutil.which("cl") is None:
        raise LabError("torch.compile needs a C++ compiler, and there is none")
    # Networks of one class share a `forward`, which is compiled for each network and shape.
    torch._dynamo.config.recompile_limit = 1000
    return torch.compile(network, dynamic=False)


def channels_last(network: nn.Module) -> nn.Module:
    """The channels of a pixel are adjacent in memory: some convolutions are faster."""
    if not any(isinstance(module, nn.Conv2d) for module in network.modules()):
        raise LabError("the network has no convolutions")
    return network.to(memory_format=torch.channels_last)


# A variant that does not exist for a network or this machine raises a LabError.
VARIANTS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "plain": lambda network: network,  # as it was trained: eager mode, float32
    "compiled": compiled,
    "bfloat16": Autocast,
    "channels-last": channels_last,
}


@dataclass(frozen=True)
class Plan:
    """The plan of the measurements."""

    device: str  # cpu, cuda or mps
    variants: Sequence[str]  # keys of VARIANTS
    images: Sequence[int]  # per call, ascending from 1; for variants only VARIANT_IMAGES
    threads: Sequence[int]  # for variants only the first
    calls: int  # with one image, in a round
    seconds: float  # duration of the calls with more images, in a round
    processes: int = 1  # that profile in parallel; they slow each other down
    traces: Path | None = None  # a folder for a Perfetto trace of each network

    def images_of(self, variant: str) -> list[int]:
        """The numbers of images per call of a variant."""
        return [n for n in self.images if variant == "plain" or n in VARIANT_IMAGES]


@dataclass(frozen=True)
class Profile:
    """The measurements of a network in a new process; `images` are those of a call."""

    memory: pd.DataFrame  # images, activation_bytes, resident_bytes
    times: pd.DataFrame  # images, threads, operator or layer, seconds, share, calls
    texts: dict[int, str]  # the profiler's own tables by number of images


def measure(network: nn.Module, design: Design, variant: str, plan: Plan) -> Profile:
    """Measure calls of a trained network on one thread. The process must be new.

    Calls with one image and with the most images are also profiled. resident_bytes is the growth of
    the process since the imports (weights, input, activations, memory of libraries), on the CPU.
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
    memory = pd.DataFrame({"images": images, "resident_bytes": resident})
    memory["activation_bytes"] = [peak_of_allocations(model, random_images(n)) for n in images]

    # A wrapper, torch.compile's for example, hides the layers.
    record(leaves(model) if model is network else [("all", model)])
    prefix = plan.traces and plan.traces / f"trace_{design.name}_{variant}"
    profiled = sorted({1, max(n for n in images if n <= max(VARIANT_IMAGES))})
    calls = {n: profile_calls(model, random_images(n), prefix) for n in profiled}
    times = pd.concat([times for times, _ in calls.values()])
    return Profile(memory, times, {n: text for n, (_, text) in calls.items()})


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
    model: nn.Module, x: Tensor, trace_prefix: Path | None = None
) -> tuple[pd.DataFrame, str]:
    """Times of operators and layers (means of PROFILED calls), and the profiler's table.

    Layers are the names of `record`; times of equal names are added.
    """
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if x.is_cuda else [])]
    call(model, x)
    with profile(activities=activities, profile_memory=True) as profiler:
        for _ in range(PROFILED):
            call(model, x)
    if trace_prefix is not None:
        profiler.export_chrome_trace(f"{trace_prefix}_{len(x)}.json")
    averages = profiler.key_averages()
    # On a GPU the kernels are separate events; their times are the times of the operators.
    where = DeviceType.CUDA if x.is_cuda else DeviceType.CPU
    own = "self_device_time_total" if x.is_cuda else "self_cpu_time_total"  # microseconds
    kinds = {"operator": (where, own), "layer": (DeviceType.CPU, "cpu_time_total")}
    tables = []
    for kind, (device, time) in kinds.items():
        rows = [
            {
                kind: event.key.removeprefix(LAYER),
                "calls": event.count // PROFILED,
                "seconds": getattr(event, time) / 1e6 / PROFILED,
            }
            for event in averages
            if event.device_type == device and event.key != "[memory]"
            if event.key.startswith(LAYER) == (kind == "layer")
        ]
        table = pd.DataFrame(rows)
        tables.append(table.assign(share=table["seconds"] / table["seconds"].sum()))
    text = averages.table(own, row_limit=15, max_name_column_width=30)
    return pd.concat(tables).assign(images=len(x), threads=1), text


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
    del result  # not earlier: the result counts
    events = profiler.profiler.kineto_results.events()
    changes = [event for event in events if event.name() == "[memory]"]
    changes.sort(key=lambda event: event.start_ns())
    return float(max(accumulate((event.nbytes() for event in changes), initial=0)))


def largest_resident_set() -> int:
    """The largest resident set of this process so far, in bytes."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    with suppress(OSError):  # Linux: getrusage would also count the parent process
        status = Path("/proc/self/status").read_text()
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
    import resource  # Windows does not have it

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: in bytes
