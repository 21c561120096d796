"""The networks, but for that of 1998 (`lenet1998`), and what each consists of, layer by layer.

All take normalised images, float32 (N, C, H, W), and return scores, float32 (N, 10), whose softmax
are the probabilities. Modules are named after the layers of the paper on LeNet-5:
C a convolution, S sub-sampling (pooling), F a full connection; `C1_relu` belongs to layer C1.

Source of LeNet-5: LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document
recognition, Proc. IEEE 86(11), 1998.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from common.data.datasets import MNIST_NORMALISATION

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky-relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


@dataclass(frozen=True)
class Design:
    """A network architecture with a short name.

    `build` makes the network with fresh weights from torch's global random numbers; `columns` are
    the design's arguments as the result files show them; `image` is the input's (C, H, W).
    """

    name: str
    build: Callable[[], nn.Module]
    columns: dict[str, int | str] = field(default_factory=dict)
    image: tuple[int, int, int] = (1, 28, 28)


class Layer(NamedTuple):
    """A row of the layer table; counts are for one image."""

    layer: str
    kind: str
    output: str
    parameters: int
    macs: int  # multiply-accumulates


CIFAR_COLUMNS = ("c1", "c3", "layers", "activation")  # the arguments of the next, but for a name


def cifar_design(
    name: str, c1: int = 6, c3: int = 16, layers: int = 7, activation: str = "relu"
) -> Design:
    """A design of Part 1; the defaults are the tutorial's network, the baseline.

    Raises:
        ValueError: `layers` is not 7, 9, 11 or 13.
    """
    if layers not in (7, 9, 11, 13):
        raise ValueError(f"no network of {layers} layers: 7, 9, 11 or 13")
    return Design(
        name,
        partial(cifar_cnn, c1, c3, (layers - 5) // 2, activation),
        dict(zip(CIFAR_COLUMNS, (c1, c3, layers, activation), strict=True)),
        image=(3, 32, 32),
    )


def cifar_cnn(
    c1: int = 6, c3: int = 16, convs_per_stage: int = 1, activation: str = "relu"
) -> nn.Module:
    """The 60-minute tutorial's network for 32 x 32 colour images, made wider or deeper.

    Two stages of convolutions, the first 5x5, further ones 3x3 with padding 1, each stage closed by
    2x2 max-pooling, then full connections of 120, 84 and 10. 62,006 parameters by default.

    Args:
        c1: feature maps of the first stage.
        c3: feature maps of the second stage.
        convs_per_stage: 1, 2, 3, 4 make 7, 9, 11, 13 layers, pooling counted as the paper does.
        activation: a key of ACTIVATIONS.
    """
    act = ACTIVATIONS[activation]
    modules: dict[str, nn.Module] = {}
    for layer, maps_in, maps, pooling in (("C1", 3, c1, "S2"), ("C3", c1, c3, "S4")):
        modules[layer] = nn.Conv2d(maps_in, maps, 5)
        modules[f"{layer}_{activation}"] = act()
        for letter in "bcd"[: convs_per_stage - 1]:
            modules[layer + letter] = nn.Conv2d(maps, maps, 3, padding=1)
            modules[f"{layer}{letter}_{activation}"] = act()
        modules[pooling] = nn.MaxPool2d(2)  # (N, c1, 14, 14), then (N, c3, 5, 5)
    modules["F5_flat"] = nn.Flatten()
    modules["F5"] = nn.Linear(c3 * 5 * 5, 120)
    modules[f"F5_{activation}"] = act()
    modules["F6"] = nn.Linear(120, 84)
    modules[f"F6_{activation}"] = act()
    modules["F7"] = nn.Linear(84, 10)
    return nn.Sequential(OrderedDict(modules))


def lenet5(activation: str = "tanh", pooling: type[nn.Module] = nn.AvgPool2d) -> nn.Module:
    """LeNet-5 as it is taught today, for 28 x 28 images padded to the paper's 32 x 32.

    Full C3, pooling without weights, softmax output: 61,706 parameters.
    """
    act = ACTIVATIONS[activation]
    mean, deviation = MNIST_NORMALISATION
    return nn.Sequential(
        OrderedDict(
            {
                # With the background's value, not the normalised zero, which is a grey.
                "pad": nn.ConstantPad2d(2, -mean / deviation),  # (N, 1, 32, 32)
                "C1": nn.Conv2d(1, 6, 5),
                f"C1_{activation}": act(),
                "S2": pooling(2),  # (N, 6, 14, 14)
                "C3": nn.Conv2d(6, 16, 5),
                f"C3_{activation}": act(),
                "S4": pooling(2),  # (N, 16, 5, 5)
                # The paper's convolution C5: 5x5 on maps of 5x5 is a full connection.
                "C5_flat": nn.Flatten(),
                "C5": nn.Linear(400, 120),
                f"C5_{activation}": act(),
                "F6": nn.Linear(120, 84),
                f"F6_{activation}": act(),
                "output": nn.Linear(84, 10),
            }
        )
    )


def lenet5_2017() -> nn.Module:
    """The form of the 2017 report for 28 x 28 images, with dropout: 44,426 parameters.

    The report's log-softmax with negative log-likelihood is cross-entropy on these scores.
    """
    return nn.Sequential(
        OrderedDict(
            {
                "C1": nn.Conv2d(1, 6, 5),
                "C1_relu": nn.ReLU(),
                "S2": nn.MaxPool2d(2),  # (N, 6, 12, 12)
                "C3": nn.Conv2d(6, 16, 5),
                "C3_dropout": nn.Dropout2d(0.5),  # whole maps
                "C3_relu": nn.ReLU(),
                "S4": nn.MaxPool2d(2),  # (N, 16, 4, 4)
                "F5_flat": nn.Flatten(),
                "F5": nn.Linear(256, 120),
                "F5_relu": nn.ReLU(),
                "F5_dropout": nn.Dropout(0.5),
                "F6": nn.Linear(120, 84),
                "F6_relu": nn.ReLU(),
                "output": nn.Linear(84, 10),
            }
        )
    )


def mlp(*hidden: int) -> nn.Module:
    """784 pixels, hidden layers of so many ReLU neurons, 10 scores: 266,610 for (300, 100)."""
    modules: dict[str, nn.Module] = {"F1_flat": nn.Flatten()}
    width_in = 784
    for number, width in enumerate(hidden, start=1):
        modules[f"F{number}"] = nn.Linear(width_in, width)
        modules[f"F{number}_relu"] = nn.ReLU()
        width_in = width
    modules["output"] = nn.Linear(width_in, 10)
    return nn.Sequential(OrderedDict(modules))


def mlp_design(*hidden: int) -> Design:
    """The design of an MLP, named after its hidden layers: `300-100`."""
    name = "-".join(map(str, hidden))
    return Design(name, partial(mlp, *hidden), {"hidden": name})


def layer_table(design: Design) -> list[Layer]:
    """The layers of a design, with output shapes, parameters and multiply-accumulates.

    Multiply-accumulates are torch's FLOP count halved: those of convolutions and full connections;
    bias, activation and pooling count nothing.
    """
    with torch.random.fork_rng(devices=[]):
        network = design.build().eval()
    x = torch.zeros(1, *design.image)
    rows: dict[str, Layer] = {}
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        for name, module in network.named_children():
            before = counter.get_total_flops()
            x = module(x)
            layer = name.split("_")[0]
            _, kind, _, parameters, macs = rows.get(layer, Layer(layer, "", "", 0, 0))
            rows[layer] = Layer(
                layer,
                ", ".join(filter(None, [kind, _kind(module)])),
                "x".join(str(side) for side in x.shape[1:]),
                parameters + sum(p.numel() for p in module.parameters()),
                macs + (counter.get_total_flops() - before) // 2,
            )
    return list(rows.values())


def size(design: Design) -> tuple[int, int]:
    """Parameters and multiply-accumulates of a design."""
    layers = layer_table(design)
    return sum(layer.parameters for layer in layers), sum(layer.macs for layer in layers)


def _kind(module: nn.Module) -> str:
    """A module in a word or two: `Conv2d 5x5`."""
    if isinstance(module, nn.Flatten):
        return ""
    kind = getattr(module, "kind", type(module).__name__)
    if isinstance(module, nn.Conv2d):
        return f"{kind} {module.kernel_size[0]}x{module.kernel_size[1]}"
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        return f"{kind} {module.kernel_size}x{module.kernel_size}"
    if isinstance(module, nn.Dropout | nn.Dropout2d):
        return f"{kind} {module.p}"
    return kind
