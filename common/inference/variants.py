"""Variants of a trained network that may make inference cheaper."""

import logging
import shutil
from collections.abc import Callable

import torch
from torch import Tensor, nn

from common import LabError


class UnavailableError(LabError):
    """A variant does not exist for this network or machine; the message says why."""


class Autocast(nn.Module):
    """A network with convolutions and matrix products in bfloat16."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Scores, float32 (N, classes)."""
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.network(x).float()


def plain(network: nn.Module) -> nn.Module:
    """The network as it was trained: eager mode, float32."""
    return network


def compiled(network: nn.Module) -> nn.Module:
    """Compiled by torch.compile, separately for every input shape."""
    if shutil.which("g++") is None and shutil.which("cl") is None:
        raise UnavailableError("torch.compile needs a C++ compiler, and there is none")
    # The search for compilers warns without CUDA, which is not needed here.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    # Networks of one class share a `forward`, which is compiled for each network and shape.
    torch._dynamo.config.recompile_limit = 1000
    return torch.compile(network, dynamic=False)


def bfloat16(network: nn.Module) -> nn.Module:
    """Computed in bfloat16 where autocast considers it safe; the weights stay float32."""
    return Autocast(network)


def channels_last(network: nn.Module) -> nn.Module:
    """The channels of a pixel are adjacent in memory: some convolutions are faster."""
    if not any(isinstance(module, nn.Conv2d) for module in network.modules()):
        raise UnavailableError("the network has no convolutions")
    return network.to(memory_format=torch.channels_last)


VARIANTS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "plain": plain,
    "compiled": compiled,
    "bfloat16": bfloat16,
    "channels-last": channels_last,
}
