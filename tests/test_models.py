"""The networks: their published sizes, layer by layer, and that every part of them learns."""

import pytest
import torch
import torch.nn.functional as F

from common.data.datasets import Dataset
from common.models.design import Design, layer_outputs, layer_table
from common.models.networks import (
    DEPTHS,
    LENET5,
    LENET5_2017,
    LENET5_RELU,
    MLP,
    LeNet5,
    LeNet5_2017,
    cifar_design,
    mlp_design,
)

DESIGNS = [
    cifar_design("baseline"),
    cifar_design("wide", c1=12, c3=28),
    *(cifar_design(str(layers), layers=layers) for layers in (9, 11, 13)),
    cifar_design("sigmoid", activation="sigmoid"),
    cifar_design("tanh", activation="tanh"),
    LENET5,
    LENET5_RELU,
    LENET5_2017,
    mlp_design(300, 100),
    mlp_design(30),
]


def by_name(name: str) -> Design:
    return next(design for design in DESIGNS if design.name == name)


def counts(name: str, column: str) -> dict[str, int]:
    rows = layer_table(by_name(name))
    return {row.layer: getattr(row, column) for row in rows if getattr(row, column)}


def test_parameters_are_the_published_ones() -> None:
    baseline = {"C1": 456, "C3": 2416, "F5": 48120, "F6": 10164, "F7": 850}
    assert counts("baseline", "parameters") == baseline
    assert sum(counts("baseline", "parameters").values()) == 62006
    for name in ("lenet5", "lenet5-relu"):
        layers = {"C1": 156, "C3": 2416, "C5": 48120, "F6": 10164, "output": 850}
        assert counts(name, "parameters") == layers
        assert sum(counts(name, "parameters").values()) == 61706
    assert sum(counts("lenet5-2017", "parameters").values()) == 44426
    assert sum(counts("300-100", "parameters").values()) == 266610
    assert sum(p.numel() for p in MLP(77).parameters()) == 61225


def test_multiply_accumulates_are_those_computed_by_hand() -> None:
    assert counts("baseline", "macs") == {
        "C1": 28 * 28 * 6 * 5 * 5 * 3,
        "C3": 10 * 10 * 16 * 5 * 5 * 6,
        "F5": 400 * 120,
        "F6": 120 * 84,
        "F7": 84 * 10,
    }
    assert sum(counts("baseline", "macs").values()) == 651720
    assert sum(counts("lenet5", "macs").values()) == 416520
    assert sum(counts("lenet5-2017", "macs").values()) == 281640
    assert sum(counts("300-100", "macs").values()) == 266200
    assert counts("9", "macs")["C1b"] == 28 * 28 * 6 * 6 * 9
    assert counts("9", "macs")["C3b"] == 10 * 10 * 16 * 16 * 9


@pytest.mark.parametrize("layers", DEPTHS)
def test_layers_are_counted_as_the_lab_does(layers: int) -> None:
    assert len(layer_table(cifar_design("d", layers=layers))) == layers


@pytest.mark.parametrize("layers", [0, 6, 8, 15])
def test_a_depth_without_a_network_is_refused(layers: int) -> None:
    with pytest.raises(ValueError, match=f"no network of {layers} layers: 7, 9, 11, 13"):
        cifar_design(str(layers), layers=layers)


def test_output_shapes_are_those_of_the_2017_report() -> None:
    shapes = {row.layer: row.output for row in layer_table(by_name("lenet5-2017"))}
    expected = {"C1": "6x24x24", "S2": "6x12x12", "C3": "16x8x8", "S4": "16x4x4"}
    assert shapes.items() >= expected.items()


def test_a_layer_table_draws_no_random_numbers() -> None:
    before = torch.random.get_rng_state()
    layer_table(by_name("lenet5-2017"))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_gradients_reach_every_parameter(design: Design) -> None:
    torch.manual_seed(0)
    model = design.build()
    scores = model(torch.randn(16, *design.image))
    assert scores.shape == (16, 10)
    F.cross_entropy(scores, torch.arange(16) % 10).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    "design",
    # By default, sigmoid and the deepest do not start to learn in so few steps.
    [design for design in DESIGNS if design.name not in ("sigmoid", "13")],
    ids=lambda design: design.name,
)
def test_a_design_can_memorise_32_images(design: Design, digits: Dataset, objects: Dataset) -> None:
    dataset = objects if design.image[0] == 3 else digits
    x, y = dataset.normalised(dataset.train.images[:32]), dataset.train.labels[:32]
    torch.manual_seed(0)
    model = design.build()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(400):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.01:
            break
    model.eval()  # dropout off
    assert (model(x).argmax(1) == y).all()


def test_lenet5_pads_with_the_background(digits: Dataset) -> None:
    model = LeNet5()
    images = digits.test.images[:5]
    padded = digits.normalised(F.pad(images, (2, 2, 2, 2)))  # black, then normalised
    torch.testing.assert_close(model.pad(digits.normalised(images)), padded)


def test_outputs_of_layers_are_those_after_the_activation() -> None:
    model, x = LENET5_2017.build(), torch.randn(2, 1, 28, 28)
    model.train()
    outputs = layer_outputs(model, x)
    assert list(outputs) == ["C1", "S2", "C3", "S4", "F5", "F6", "output"]
    assert torch.equal(outputs["C1"], model.C1(x).relu())
    model.eval()  # dropout was off
    assert torch.equal(outputs["output"], model(x))
    assert torch.equal(outputs["F6"], model.F6(outputs["F5"]).relu())


def test_dropout_acts_in_training_only() -> None:
    model = LeNet5_2017()
    x = torch.randn(4, 1, 28, 28)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
    maps = model.train().C3_dropout(torch.ones(8, 16, 8, 8))
    assert set(maps.sum((2, 3)).flatten().tolist()) == {0.0, 128.0}  # whole maps, kept ones doubled
