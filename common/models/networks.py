"""The networks of the lab. The network of 1998, and its paper, are in `lenet1998.py`.

All networks take normalised images, float32 (N, C, H, W), and return scores, float32 (N, 10): their
softmax gives the probabilities. Layers have the names of the LeNet-5 paper: C is a convolution, S
sub-sampling (pooling), F a fully connected layer. `C1_act` belongs to layer C1. The initial weights
of a layer depend on the order of construction.
"""

from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from common.data.datasets import MNIST_NORMALISATION
from common.models.design import Design

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky-relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}

# Number of layers of a CIFAR-10 network (pooling counts): extra convolutions after C1 and after C3.
DEPTHS = {7: "", 9: "b", 11: "bc", 13: "bcd"}

# The arguments of CifarCNN (c1 and c3: maps) and their defaults: columns of the result files.
CIFAR_COLUMNS: dict[str, int | str] = {"c1": 6, "c3": 16, "layers": 7, "activation": "relu"}


class CifarCNN(nn.Module):
    """The 60-minute tutorial's network for 32 x 32 colour images; 62,006 parameters by default."""

    def __init__(
        self, c1: int = 6, c3: int = 16, layers: int = 7, activation: str = "relu"
    ) -> None:
        super().__init__()
        act = ACTIVATIONS[activation]
        self.C1 = nn.Conv2d(3, c1, 5)
        self.C1_act = act()
        self.C1_deeper = extra_convolutions("C1", c1, layers, act)
        self.S2 = nn.MaxPool2d(2)
        self.C3 = nn.Conv2d(c1, c3, 5)
        self.C3_act = act()
        self.C3_deeper = extra_convolutions("C3", c3, layers, act)
        self.S4 = nn.MaxPool2d(2)
        self.F5 = nn.Linear(c3 * 5 * 5, 120)
        self.F5_act = act()
        self.F6 = nn.Linear(120, 84)
        self.F6_act = act()
        self.F7 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.C1_act(self.C1(x))  # (N, c1, 28, 28)
        x = self.C1_deeper(x)  # (N, c1, 28, 28)
        x = self.S2(x)  # (N, c1, 14, 14)
        x = self.C3_act(self.C3(x))  # (N, c3, 10, 10)
        x = self.C3_deeper(x)  # (N, c3, 10, 10)
        x = self.S4(x)  # (N, c3, 5, 5)
        x = x.flatten(1)  # (N, c3 * 25)
        x = self.F5_act(self.F5(x))  # (N, 120)
        x = self.F6_act(self.F6(x))  # (N, 84)
        return self.F7(x)  # (N, 10)


def extra_convolutions(stage: str, maps: int, layers: int, act: type[nn.Module]) -> nn.Sequential:
    """The 3 x 3 convolutions that make a stage deeper; padding 1 keeps the size of the maps."""
    modules = nn.Sequential()
    for letter in DEPTHS[layers]:
        modules.add_module(f"{stage}{letter}", nn.Conv2d(maps, maps, 3, padding=1))
        modules.add_module(f"{stage}{letter}_act", act())
    return modules


class LeNet5(nn.Module):
    """LeNet-5 as it is taught today, for 28 x 28 images that are padded to the paper's 32 x 32.

    C3 is a full convolution, pooling has no weights, the output is for softmax: 61,706 parameters.
    """

    def __init__(self, activation: str = "tanh", pooling: type[nn.Module] = nn.AvgPool2d) -> None:
        super().__init__()
        act = ACTIVATIONS[activation]
        mean, deviation = MNIST_NORMALISATION
        # Pad with the background's value: a normalised 0 would be grey.
        self.pad = nn.ConstantPad2d(2, -mean / deviation)
        self.C1 = nn.Conv2d(1, 6, 5)
        self.C1_act = act()
        self.S2 = pooling(2)
        self.C3 = nn.Conv2d(6, 16, 5)
        self.C3_act = act()
        self.S4 = pooling(2)
        # The paper's C5, a 5x5 convolution on 5x5 maps, is a fully connected layer.
        self.C5 = nn.Linear(400, 120)
        self.C5_act = act()
        self.F6 = nn.Linear(120, 84)
        self.F6_act = act()
        self.output = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.C1_act(self.C1(self.pad(x)))  # (N, 1, 32, 32), then (N, 6, 28, 28)
        x = self.S2(x)  # (N, 6, 14, 14)
        x = self.S4(self.C3_act(self.C3(x)))  # (N, 16, 10, 10), then (N, 16, 5, 5)
        x = x.flatten(1)  # (N, 400)
        x = self.C5_act(self.C5(x))  # (N, 120)
        x = self.F6_act(self.F6(x))  # (N, 84)
        return self.output(x)  # (N, 10)


class LeNet5_2017(nn.Module):
    """LeNet-5 of the 2017 report, for 28 x 28 images, with dropout: 44,426 parameters.

    The report's log-softmax with negative log-likelihood is cross-entropy on these scores.
    """

    def __init__(self) -> None:
        super().__init__()
        self.C1 = nn.Conv2d(1, 6, 5)
        self.C1_act = nn.ReLU()
        self.S2 = nn.MaxPool2d(2)
        self.C3 = nn.Conv2d(6, 16, 5)
        self.C3_dropout = nn.Dropout2d(0.5)  # whole maps
        self.C3_act = nn.ReLU()
        self.S4 = nn.MaxPool2d(2)
        self.F5 = nn.Linear(256, 120)
        self.F5_act = nn.ReLU()
        self.F5_dropout = nn.Dropout(0.5)
        self.F6 = nn.Linear(120, 84)
        self.F6_act = nn.ReLU()
        self.output = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.S2(self.C1_act(self.C1(x)))  # (N, 6, 24, 24), then (N, 6, 12, 12)
        x = self.C3_act(self.C3_dropout(self.C3(x)))  # (N, 16, 8, 8)
        x = self.S4(x)  # (N, 16, 4, 4)
        x = x.flatten(1)  # (N, 256)
        x = self.F5_dropout(self.F5_act(self.F5(x)))  # (N, 120)
        x = self.F6_act(self.F6(x))  # (N, 84)
        return self.output(x)  # (N, 10)


class MLP(nn.Module):
    """784 pixels, hidden layers of ReLU neurons, 10 scores: 266,610 parameters for (300, 100)."""

    def __init__(self, *hidden: int) -> None:
        super().__init__()
        widths = (784, *hidden)
        self.hidden = nn.Sequential()
        for number, (inputs, outputs) in enumerate(pairwise(widths), 1):
            self.hidden.add_module(f"F{number}", nn.Linear(inputs, outputs))
            self.hidden.add_module(f"F{number}_act", nn.ReLU())
        self.output = nn.Linear(widths[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)  # (N, 784)
        x = self.hidden(x)  # (N, last width)
        return self.output(x)  # (N, 10)


def cifar_design(name: str, **arguments: int | str) -> Design:
    """A design of Part 1: CifarCNN with `arguments`. ValueError: no such number of layers."""
    columns = {**CIFAR_COLUMNS, **arguments}
    if columns["layers"] not in DEPTHS:
        raise ValueError(f"no network of {columns['layers']} layers: {', '.join(map(str, DEPTHS))}")
    return Design(name, partial(CifarCNN, **columns), columns, image=(3, 32, 32))


def mlp_design(*hidden: int) -> Design:
    """The design of an MLP. Its name is its hidden layers: `300-100`."""
    name = "-".join(map(str, hidden))
    return Design(name, partial(MLP, *hidden), {"hidden": name})


LENET5 = Design("lenet5", LeNet5)
LENET5_RELU = Design("lenet5-relu", partial(LeNet5, "relu", nn.MaxPool2d))
LENET5_2017 = Design("lenet5-2017", LeNet5_2017)
