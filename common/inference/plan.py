"""The plan of the measurements, and variants of a network that may make inference cheaper."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from common import LabError

VARIANT_IMAGES = (1, 1000)  # images per call of variants; larger calls are not profiled


class Autocast(nn.Module):
    """Computes in bfloat16 where autocast considers it safe; the weights stay float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Scores, float32 (N, classes)."""
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.network(x).float()


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
