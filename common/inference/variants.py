"""What a user would try next to make inference cheaper: each a change to a trained network."""

import logging
import shutil
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from common import LabError


class UnavailableError(LabError):
    """A variant cannot be had here; its text says why."""


class Autocast(nn.Module):
    """A network whose convolutions and products are computed in bfloat16."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Scores, float32 (N, classes)."""
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.network(x).float()


def plain(network: nn.Module) -> nn.Module:
    """As it was trained: eager, float32."""
    return network


def compiled(network: nn.Module) -> nn.Module:
    """Compiled by torch.compile, anew for every shape."""
    if shutil.which("g++") is None and shutil.which("cl") is None:
        raise UnavailableError("torch.compile needs a C++ compiler, and there is none")
    # Its search for compilers warns that there is no CUDA, which nobody asked of it.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    # Networks share the code that is compiled, that of Sequential, for each of them and each shape.
    torch._dynamo.config.recompile_limit = 1000
    return torch.compile(network, dynamic=False)


def bfloat16(network: nn.Module) -> nn.Module:
    """Computed in bfloat16 where autocast thinks it safe; the weights stay float32."""
    return Autocast(network)


def channels_last(network: nn.Module) -> nn.Module:
    """With the channels of a pixel side by side in memory, as some convolutions like it."""
    if not any(isinstance(module, nn.Conv2d) for module in network.modules()):
        raise UnavailableError("a network without convolutions has no channels to move")
    return network.to(memory_format=torch.channels_last)


def int8(network: nn.Module) -> nn.Module:
    """Full connections with 8-bit weights, by PyTorch's own dynamic quantisation."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        try:
            from torch.ao.quantization import quantize_dynamic

            return quantize_dynamic(network, {nn.Linear}, dtype=torch.qint8)
        except (DeprecationWarning, ImportError) as error:
            reason = str(error).strip().partition("\n")[0].strip(" .")
            raise UnavailableError(f"PyTorch gives int8 up: {reason}") from error


VARIANTS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "plain": plain,
    "compiled": compiled,
    "bfloat16": bfloat16,
    "channels-last": channels_last,
    "int8": int8,
}
