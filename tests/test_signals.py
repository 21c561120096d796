"""Signal and gradient per layer before training, against a network written out by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from common.data.datasets import Dataset
from common.models.networks import cifar_design, mlp_design
from common.training.loop import Run, train
from common.training.recipes import TUTORIAL, Recipe, kaiming
from common.training.signals import initial_signals


def test_signal_and_gradient_of_a_small_network_by_hand(digits: Dataset) -> None:
    run = Run(mlp_design(5), TUTORIAL, digits.name, 3)
    torch.manual_seed(3)
    network = run.design.build()
    x = digits.normalised(digits.train.images).flatten(1).double()
    w1, b1, w2, b2 = (tensor.detach().double() for tensor in network.parameters())
    hidden = x @ w1.T + b1
    scores = hidden.relu() @ w2.T + b2
    error = (scores.softmax(1) - F.one_hot(digits.train.labels, 10)) / len(x)
    expected = [
        ("F1", hidden, (error @ w2 * (hidden > 0)).T @ x),
        ("output", scores, error.T @ hidden.relu()),
    ]
    for row, (layer, outputs, by_hand) in zip(initial_signals(run, digits), expected, strict=True):
        assert row["layer"] == layer
        spread = np.sqrt(outputs.numpy().var(axis=0, ddof=1).mean())
        assert row["signal"] == pytest.approx(spread, rel=1e-4)
        assert row["gradient"] == pytest.approx(by_hand.square().mean().sqrt().item(), rel=1e-4)


def test_the_weights_are_the_first_weights_of_the_run(objects: Dataset) -> None:
    """With a learning rate of nearly 0, a run ends with its initial weights."""
    still = Recipe("r", 1, 200, 1e-30, 0.0, initialise=kaiming)
    run = Run(cifar_design("baseline"), still, objects.name, 1)
    network = run.design.build()
    network.load_state_dict(train(run, objects).weights)
    outputs = network.C1(objects.normalised(objects.train.images)).detach()
    row = initial_signals(run, objects)[0]
    assert row["layer"] == "C1"
    assert row["signal"] == pytest.approx(outputs.std(0).square().mean().sqrt().item(), rel=1e-4)


def test_in_a_deep_network_signal_and_gradient_fade(objects: Dataset) -> None:
    rows = {
        layers: initial_signals(
            Run(cifar_design("d", layers=layers), TUTORIAL, objects.name), objects
        )
        for layers in (7, 13)
    }
    assert [row["layer"] for row in rows[13]][:5] == ["C1", "C1b", "C1c", "C1d", "C3"]
    assert rows[13][0]["gradient"] < rows[7][0]["gradient"] / 50
    assert rows[13][-1]["signal"] < rows[7][-1]["signal"] / 50
