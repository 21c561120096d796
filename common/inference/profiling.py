"""Memory and time of calls by layer and operator, from PyTorch's profiler in a new process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from common.inference.memory import call, largest_resident_set, peak_of_allocations
from common.inference.plan import Plan
from common.inference.variants import VARIANTS
from common.models.design import Design, leaves
from common.training.loop import synchronize

PROFILED = 20  # calls; times by operator and layer are their means
TOP = 15  # operators in the profiler's own table
LAYER = "layer "  # the profiler's names of layers start with this


@dataclass(frozen=True)
class Calls:
    """Time of a call by operator and layer: rows of the result files, and the profiler's table."""

    operators: list[dict]  # operator, seconds, calls: of one call of the network
    layers: list[dict]  # layer, seconds
    table: str


@dataclass(frozen=True)
class Profile:
    """The measurements of a network in a new process, by number of images per call.

    activations: peak of the bytes that a call allocates: with the result, without weights and
        input.
    resident: growth of the process since the imports, in bytes: weights, input, activations, and
        memory of libraries. Only on the CPU.
    calls: time by operator and layer.
    """

    activations: dict[int, float]
    resident: dict[int, float]
    calls: dict[int, Calls]


def measure(network: nn.Module, design: Design, variant: str, plan: Plan) -> Profile:
    """Measure and profile calls of a trained network on one thread. The process must be new.

    Raises:
        UnavailableError: the variant does not exist for this network or machine.
    """
    torch.set_num_threads(1)
    before = psutil.Process().memory_info().rss
    network = network.to(plan.device).eval()
    model = VARIANTS[variant](network)
    # A wrapper, torch.compile's for example, hides the layers.
    layers = leaves(model) if model is network else [("all", model)]
    trace = plan.traces and plan.traces / f"trace_{design.name}_{variant}.json"
    images, resident = plan.images_of(variant), {}

    def random_images(count: int) -> Tensor:
        return torch.rand(count, *design.image, device=plan.device)

    for count in sorted(images):  # ascending: the largest resident set never shrinks
        call(model, random_images(count))
        if plan.device == "cpu":
            resident[count] = float(max(0, largest_resident_set() - before))
    return Profile(
        {count: peak_of_allocations(model, random_images(count)) for count in images},
        resident,
        {n: profile_calls(model, random_images(n), layers, trace) for n in plan.profiled(variant)},
    )


def profile_calls(
    model: nn.Module, x: Tensor, layers: Sequence[tuple[str, nn.Module]], trace: Path | None = None
) -> Calls:
    """Time of a call by operator and layer: means of PROFILED calls.

    `layers` are names and modules from `design.leaves`; times of equal names are added.
    """
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if x.is_cuda else [])]
    call(model, x)
    with profile(activities=activities, profile_memory=True) as profiler, recorded(layers):
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
            "seconds": getattr(event, time) / 1e6 / PROFILED,
            "calls": event.count // PROFILED,
        }
        for event in sorted(averages, key=attrgetter(time), reverse=True)
        if event.device_type == where and not event.key.startswith((LAYER, "[memory]"))
    ]
    layer_rows = [
        {"layer": event.key.removeprefix(LAYER), "seconds": event.cpu_time_total / 1e6 / PROFILED}
        for event in averages
        if event.device_type == DeviceType.CPU and event.key.startswith(LAYER)
    ]
    table = averages.table(sort_by=time, row_limit=TOP, max_name_column_width=30)
    return Calls(operators, layer_rows, table)


@contextmanager
def recorded(layers: Sequence[tuple[str, nn.Module]]) -> Iterator[None]:
    """Let the profiler record every layer under its name, until the layer's work is done."""
    running: list[record_function] = []

    def start(name: str, *_: object) -> None:
        running.append(record_function(LAYER + name))
        running[-1].__enter__()

    def end(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        synchronize(output.device)
        running.pop().__exit__(None, None, None)

    hooks = []
    for name, module in layers:
        hooks.append(module.register_forward_pre_hook(partial(start, name)))
        hooks.append(module.register_forward_hook(end))
    yield
    for hook in hooks:
        hook.remove()
