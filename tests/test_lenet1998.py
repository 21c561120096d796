"""The network of 1998 against the paper's own numbers, and against plainer computations."""

import math

import pytest
import torch
import torch.nn.functional as F

from common.data.datasets import MNIST_NORMALISATION
from common.models import lenet1998
from common.models.design import layer_table
from common.models.lenet1998 import LENET5_1998, LeNet5_1998
from common.training import recipes


def test_parameters_are_the_papers_layer_by_layer() -> None:
    counts = {
        layer.layer: layer.parameters for layer in layer_table(LENET5_1998) if layer.parameters
    }
    assert counts == {"C1": 156, "S2": 12, "C3": 1516, "S4": 32, "C5": 48120, "F6": 10164}
    assert sum(counts.values()) == 60000


def test_connections_are_the_papers() -> None:
    """Every output has the parameters of its layer; sub-sampling has one weight for four inputs."""
    counts = {}
    for row in layer_table(LENET5_1998):
        maps, *sides = map(int, row.output.split("x"))
        positions = math.prod(sides)
        counts[row.layer] = row.parameters * positions
        if row.layer in ("S2", "S4"):
            counts[row.layer] = maps * positions * (4 + 1)
    counts["output"] = 10 * 84  # the codes are no parameters
    assert [counts[name] for name in ("C1", "S2", "C3", "S4")] == [122304, 5880, 151600, 2000]
    assert sum(counts.values()) == 340908
    text = lenet1998.connections_text()
    assert "340,908 connections" in text
    assert "240,000 multiply-accumulates" in text and "150,000 are between" in text


def test_multiply_accumulates_as_executed() -> None:
    """The partial convolution also multiplies zeros: 2,400 instead of 1,500."""
    macs = {layer.layer: layer.macs for layer in layer_table(LENET5_1998) if layer.macs}
    assert macs == {"C1": 117600, "C3": 240000, "C5": 48000, "F6": 10080, "output": 840}


def test_shapes_are_the_papers() -> None:
    shapes = {layer.layer: layer.output for layer in layer_table(LENET5_1998)}
    assert shapes["input"] == "1x32x32"
    assert shapes["C1"] == "6x28x28" and shapes["S2"] == "6x14x14"
    assert shapes["C3"] == "16x10x10" and shapes["S4"] == "16x5x5"
    assert (shapes["C5"], shapes["F6"], shapes["output"]) == ("120", "84", "10")


def test_each_map_of_c3_is_the_sum_over_its_connected_maps() -> None:
    torch.manual_seed(0)
    layer, x = LeNet5_1998().C3, torch.rand(2, 6, 14, 14)
    output = layer(x)
    kernels = iter(layer.weight)
    for number, seen in enumerate(lenet1998.C3_SEES):
        expected = layer.bias[number] + sum(
            F.conv2d(x[:, [int(i)]], next(kernels)[None, None])[:, 0] for i in seen
        )
        torch.testing.assert_close(output[:, number], expected)


def test_unconnected_maps_change_nothing() -> None:
    layer = LeNet5_1998().C3
    x = torch.rand(1, 6, 14, 14)
    other = x.clone()
    other[:, 5] += 1
    same = (layer(x) == layer(other)).flatten(2).all(2)[0].tolist()
    assert same == ["5" not in seen for seen in lenet1998.C3_SEES]


def test_subsampling_is_a_coefficient_times_the_sum_plus_a_bias() -> None:
    layer = lenet1998.Subsampling(1)
    with torch.no_grad():
        layer.weight.fill_(0.5)
        layer.bias.fill_(0.25)
    x = torch.tensor([[[[1.0, 2.0, 0.0, 0.0], [3.0, 4.0, 0.0, 1.0]]]])
    assert layer(x).tolist() == [[[[0.5 * 10 + 0.25, 0.5 * 1 + 0.25]]]]


def test_the_score_is_minus_the_squared_distance_to_the_code() -> None:
    layer, x = lenet1998.RadialBasis(), 1.7 * torch.randn(5, 84)
    expected = -torch.cdist(x, layer.codes).square()
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-3)


def test_the_codes_are_ten_bitmaps_that_differ() -> None:
    codes = lenet1998.RadialBasis().codes
    assert codes.shape == (10, 84)
    assert set(codes.unique().tolist()) == {-1.0, 1.0}
    distance = torch.cdist(codes, codes).square() + 1000 * torch.eye(10)
    assert distance.min() > 4 * 7.5  # any two differ in 8 dots or more
    one = codes[1].view(12, 7)
    assert one[1:11, 4].eq(1).all() and one[3:11, :4].eq(-1).all()


def test_squashing_takes_one_to_one() -> None:
    values = lenet1998.Squash()(torch.tensor([-1e9, -1.0, 0.0, 1.0, 1e9]))
    torch.testing.assert_close(
        values, torch.tensor([-1.7159, -1.0, 0.0, 1.0, 1.7159]), rtol=0, atol=1e-4
    )


def test_the_input_is_the_papers() -> None:
    mean, deviation = MNIST_NORMALISATION
    black_and_ink = (torch.tensor([0.0, 1.0]) - mean) / deviation
    image = black_and_ink[0].repeat(1, 1, 28, 28)
    image[0, 0, 3, 4] = black_and_ink[1]
    output = lenet1998.Ink()(image)
    assert output.shape == (1, 1, 32, 32)
    assert output[0, 0, 5, 6].item() == pytest.approx(1.175, abs=1e-5)
    assert output[0, 0, 0, 0].item() == pytest.approx(-0.1, abs=1e-6)
    assert (output + 0.1).abs().lt(1e-5).sum() == 32 * 32 - 1


def test_initial_weights_are_within_the_papers_bounds() -> None:
    torch.manual_seed(0)
    network = LeNet5_1998()
    for weights, fan_in in (
        (network.C1.weight, 25),
        (network.S2.weight, 4),
        (network.C3.weight[:3], 75),
        (network.C3.weight[-6:], 150),
        (network.C5.weight, 400),
        (network.F6.weight, 120),
    ):
        bound = 2.4 / fan_in
        assert weights.abs().max() <= bound
        assert weights.abs().max() > 0.6 * bound  # and fill them


@pytest.mark.parametrize("paper", [{"subsampling": "trained"}, {"c3": "partial"}])
def test_layers_of_the_paper_have_no_first_weights_of_pytorch(paper: dict[str, str]) -> None:
    arguments = {"subsampling": "max", "c3": "full", "initial": "pytorch"}
    with pytest.raises(ValueError, match="PyTorch has no first weights"):
        LeNet5_1998(**arguments | paper)
    LeNet5_1998(**arguments)


def test_the_loss_with_competing_classes_is_equation_9() -> None:
    distances = torch.tensor([[1.0, 4.0, 9.0], [5.0, 2.0, 0.5]])
    labels = torch.tensor([0, 1])
    right = torch.tensor([1.0, 2.0])
    rivals = torch.log(torch.exp(torch.tensor(-3.0)) + torch.exp(-distances).sum(1))
    expected = (right + rivals).mean()
    torch.testing.assert_close(recipes.competing(-distances, labels, rubbish=3.0), expected)
