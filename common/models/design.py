"""A design (one network architecture with a name) and its table of layers."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from common import LabError, one_line


@dataclass(frozen=True)
class Design:
    """A network architecture with a short name."""

    name: str
    build: Callable[[], nn.Module]  # initial weights use torch's global random numbers
    columns: dict[str, int | str] = field(default_factory=dict, hash=False)  # of the result files
    image: tuple[int, int, int] = (1, 28, 28)  # (C, H, W) of an input image


@dataclass
class Layer:
    """One row of the layer table. The counts are for one image."""

    layer: str
    kind: str = ""
    output: str = ""
    parameters: int = 0
    macs: int = 0  # multiply-accumulates of convolutions and linear layers, without bias


def leaves(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules without children, in the order of construction, each with its layer's name."""
    return [
        (name.split(".")[-1].split("_")[0], module)  # C1_act: C1, C1_deeper.C1b: C1b
        for name, module in model.named_modules()
        if not list(module.children()) and not isinstance(module, nn.Sequential)
    ]


def check_design(design: Design) -> None:
    """Build the network of a design and run it once: a typo is a LabError with the line of code."""
    try:
        layer_table(design)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)[2:]  # after this call and its own
        own = [frame for frame in frames if "site-packages" not in frame.filename]
        line = f"{own[-1].filename}, line {own[-1].lineno}" if own else "its code"
        raise LabError(f"design {design.name} fails in {line}: {one_line(error)}") from error


def layer_table(design: Design) -> list[Layer]:
    """The layers of a design, in the order of the forward pass."""
    with torch.random.fork_rng(devices=[]):
        model = design.build().eval()
    layers: dict[str, Layer] = {}
    names = {module: name for name, module in leaves(model)}

    def add(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        layer = layers.setdefault(names[module], Layer(names[module]))
        layer.kind = ", ".join(filter(None, (layer.kind, kind(module))))
        layer.output = "x".join(map(str, output.shape[1:]))
        layer.parameters += sum(parameter.numel() for parameter in module.parameters())
        layer.macs += counter.get_total_flops() // 2  # one is two floating-point operations

    for module in names:
        module.register_forward_pre_hook(lambda *_: counter.flop_counts.clear())
        module.register_forward_hook(add)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, *design.image))
    return list(layers.values())


@torch.no_grad()
def layer_outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The output of every layer after its activation, by its name, in the order of the layers.

    `x` are normalised images, float32 (N, C, H, W); dropout is off. The last output are the scores.
    """
    outputs: dict[str, Tensor] = {}

    def hook(name: str) -> Callable[..., None]:
        return lambda _, __, output: outputs.update({name: output})

    handles = [module.register_forward_hook(hook(name)) for name, module in leaves(model)]
    training = model.training
    model.eval()(x)
    model.train(training)
    for handle in handles:
        handle.remove()
    return outputs


def totals(design: Design) -> tuple[int, int]:
    """Parameters and multiply-accumulates of a design."""
    layers = layer_table(design)
    return sum(layer.parameters for layer in layers), sum(layer.macs for layer in layers)


def kind(module: nn.Module) -> str:
    """A short name of a module: `Conv2d 5x5`; empty if it computes nothing."""
    if isinstance(module, nn.Identity | nn.Flatten):
        return ""
    name = getattr(module, "kind", type(module).__name__)
    if size := getattr(module, "kernel_size", None):
        height, width = size if isinstance(size, tuple) else (size, size)
        return f"{name} {height}x{width}"
    return f"{name} {module.p}" if isinstance(module, nn.Dropout | nn.Dropout2d) else name
