"""LeNet-5 as published in 1998, with exactly its 60,000 parameters.

LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition, Proc. IEEE
86(11), 1998, section II-B. Comments name all differences from the paper.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.data.datasets import MNIST_NORMALISATION
from common.models.design import Design
from common.models.networks import ACTIVATIONS

BACKGROUND, INK = -0.1, 1.175  # input pixels: the mean of an image is about 0, the variance 1

# Table I: the maps of S2 that are connected to each of the 16 maps of C3.
C3_SEES = (
    "012", "123", "234", "345", "045", "015",
    "0123", "1234", "2345", "0345", "0145", "0125", "0134", "1245", "0235", "012345",
)  # fmt: skip

# The output codes: each digit as a 7 x 12 bitmap, redrawn from the paper's figure 3.
BITMAPS = """
..###.. ...##.. .#####. .#####. .....#. ####### ..####. ####### .#####. .#####.
.#...#. ..###.. #.....# #.....# ....##. #...... .#..... ......# #.....# #.....#
#.....# .##.#.. ......# ......# ...###. #...... #...... ......# #.....# #.....#
#.....# ....#.. ......# ......# ..#.##. #...... #...... .....#. #.....# #.....#
#.....# ....#.. .....#. ......# .#..##. ######. #.####. .....#. #.....# #.....#
#.....# ....#.. ....#.. ..####. #...##. ......# ##....# ....#.. .#####. .######
#.....# ....#.. ...#... ......# ####### ......# #.....# ....#.. #.....# ......#
#.....# ....#.. ..#.... ......# ....##. ......# #.....# ...#... #.....# ......#
#.....# ....#.. .#..... ......# ....##. ......# #.....# ...#... #.....# ......#
#.....# ....#.. #...... ......# ....##. ......# #.....# ..#.... #.....# ......#
.#...#. ....#.. #...... #.....# ....##. #.....# .#...#. ..#.... #.....# .....#.
..###.. .#####. ####### .#####. ....##. .#####. ..###.. .#..... .#####. .####..
"""


class Squash(nn.Module):
    """A tanh(S a), with f(1) = 1 and f(-1) = -1: at the targets its curvature is largest."""

    def forward(self, a: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 / 3 * a)


class Ink(nn.Module):
    """Scale normalised images to the paper's: background -0.1, ink 1.175; pad to 32 x 32."""

    def forward(self, x: Tensor) -> Tensor:  # (N, 1, 28, 28) to (N, 1, 32, 32)
        mean, deviation = MNIST_NORMALISATION
        x = (x * deviation + mean) * (INK - BACKGROUND) + BACKGROUND
        return F.pad(x, (2, 2, 2, 2), value=BACKGROUND)


class Subsampling(nn.Module):
    """The sum of each 2 x 2 field times a weight, plus a bias; both are trained, one per map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(maps))
        self.bias = nn.Parameter(torch.empty(maps))

    def forward(self, x: Tensor) -> Tensor:  # (N, maps, H, W) to (N, maps, H / 2, W / 2)
        sums = 4 * F.avg_pool2d(x, 2)
        return sums * self.weight[:, None, None] + self.bias[:, None, None]


class PartialConvolution(nn.Module):
    """A 5 x 5 convolution in which each map is connected to some of the input maps, see C3_SEES.

    It is computed as a full convolution with zero kernels between unconnected maps: 1.6 times the
    multiply-accumulates, but one call. Only the kernels of connected maps are parameters.
    """

    kind = "60 of 96 Conv2d 5x5"  # in the layer table
    maps_in, maps = 6, 16

    def __init__(self) -> None:
        super().__init__()
        pairs = [6 * out + int(i) for out, seen in enumerate(C3_SEES) for i in seen]
        self.pairs = nn.Buffer(torch.tensor(pairs), persistent=False)
        self.inputs = nn.Buffer(torch.tensor([len(seen) for seen in C3_SEES]), persistent=False)
        self.weight = nn.Parameter(torch.empty(len(pairs), 5, 5))
        self.bias = nn.Parameter(torch.empty(self.maps))

    def forward(self, x: Tensor) -> Tensor:  # (N, maps_in, H, W) to (N, maps, H - 4, W - 4)
        kernels = self.weight.new_zeros(self.maps * self.maps_in, 5, 5)
        kernels = kernels.index_copy(0, self.pairs, self.weight)
        return F.conv2d(x, kernels.view(self.maps, self.maps_in, 5, 5), self.bias)


class RadialBasis(nn.Module):
    """Minus the squared distance to the code of each digit: the nearest has the highest score."""

    def __init__(self) -> None:
        super().__init__()
        # Row by row, +1 for ink and -1 for background: float32 (10, 84).
        ink = torch.tensor([[dot == "#" for dot in row] for row in BITMAPS.split()])
        codes = 2.0 * ink.view(12, 10, 7).transpose(0, 1).reshape(10, 84) - 1
        self.codes = nn.Buffer(codes, persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, 84) to (N, 10)
        # |x - w|^2 = |x|^2 - 2 x w + |w|^2, and every |w|^2 is 84.
        return 2 * x @ self.codes.T - x.square().sum(1, keepdim=True) - self.codes.shape[1]


class LeNet5_1998(nn.Module):
    """The paper's network for normalised 28 x 28 images. Each argument replaces a part of it."""

    def __init__(
        self,
        subsampling: str = "trained",  # or `average`, `max`: no weights, no activation
        c3: str = "partial",  # or `full`: sees every map of S2
        activation: str = "squash",  # or one of ACTIVATIONS
        output: str = "radial",  # or `linear`: ten weighted sums, for a softmax
        initial: str = "paper",  # or `pytorch`: not with `trained` or `partial`
    ) -> None:
        super().__init__()
        act = Squash if activation == "squash" else ACTIVATIONS[activation]
        pooling = {"average": nn.AvgPool2d, "max": nn.MaxPool2d}
        trained = subsampling == "trained"
        self.input = Ink()
        self.C1 = nn.Conv2d(1, 6, 5)
        self.C1_act = act()
        self.S2 = Subsampling(6) if trained else pooling[subsampling](2)
        self.S2_act = act() if trained else nn.Identity()
        self.C3 = PartialConvolution() if c3 == "partial" else nn.Conv2d(6, 16, 5)
        self.C3_act = act()
        self.S4 = Subsampling(16) if trained else pooling[subsampling](2)
        self.S4_act = act() if trained else nn.Identity()
        self.C5 = nn.Conv2d(16, 120, 5)  # on maps of 5 x 5, as in the paper
        self.C5_act = act()
        self.C5_flat = nn.Flatten()
        self.F6 = nn.Linear(120, 84)
        self.F6_act = act()
        self.output = RadialBasis() if output == "radial" else nn.Linear(84, 10)
        if initial == "paper":
            self.reset_parameters()
        elif trained or c3 == "partial":
            raise ValueError("PyTorch has no first weights for layers of the paper")

    def reset_parameters(self) -> None:
        """The paper's initial weights: uniform from -2.4 / fan-in to 2.4 / fan-in."""
        for module in self.modules():
            for parameter, fan_in in parameters_with_fan_in(module):
                with torch.no_grad():
                    parameter.copy_((2 * torch.rand_like(parameter) - 1) * (2.4 / fan_in))

    def forward(self, x: Tensor) -> Tensor:
        x = self.C1_act(self.C1(self.input(x)))  # (N, 1, 32, 32), then (N, 6, 28, 28)
        x = self.S2_act(self.S2(x))  # (N, 6, 14, 14)
        x = self.C3_act(self.C3(x))  # (N, 16, 10, 10)
        x = self.S4_act(self.S4(x))  # (N, 16, 5, 5)
        x = self.C5_flat(self.C5_act(self.C5(x)))  # (N, 120, 1, 1), then (N, 120)
        x = self.F6_act(self.F6(x))  # (N, 84)
        return self.output(x)  # (N, 10)


def parameters_with_fan_in(module: nn.Module) -> Iterator[tuple[nn.Parameter, Tensor | float]]:
    """A layer's own parameters, each with its fan-in (the number of inputs of a unit)."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        fan_in = module.weight[0].numel()
        yield from ((parameter, fan_in) for parameter in (module.weight, module.bias))
    elif isinstance(module, Subsampling):
        yield from ((parameter, 4) for parameter in (module.weight, module.bias))
    elif isinstance(module, PartialConvolution):
        fan_in = 25 * module.inputs
        yield module.weight, fan_in.repeat_interleave(module.inputs)[:, None, None]
        yield module.bias, fan_in


LENET5_1998 = Design("lenet5-1998", LeNet5_1998)


def connections_text() -> str:
    """Sentences on the number of connections, and on the multiply-accumulates of C3."""
    return (
        "lenet5-1998 has 340,908 connections, biases included, as in the paper. C3 executes "
        "240,000 multiply-accumulates: 150,000 are between connected maps; the others multiply "
        "zeros."
    )
