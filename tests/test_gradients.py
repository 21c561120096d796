"""What reaches each layer before training, against a network written out by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from common import gradients
from common.data.datasets import Dataset
from common.models.networks import cifar_design, mlp_design
from common.training.loop import Run, train
from common.training.recipes import TUTORIAL, Recipe, kaiming


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
    for (name, signal, gradient), (layer, outputs, by_hand) in zip(
        gradients.at_start(run, digits), expected, strict=True
    ):
        assert name == layer
        spread = np.sqrt(outputs.numpy().var(axis=0, ddof=1).mean())
        assert signal == pytest.approx(spread, rel=1e-4)
        assert gradient == pytest.approx(by_hand.square().mean().sqrt().item(), rel=1e-4)


def test_the_weights_are_those_that_the_run_begins_with(objects: Dataset) -> None:
    """Trained at a rate of nearly nothing, the run ends with the weights that it began with."""
    still = Recipe("r", 1, 200, 1e-30, 0.0, initialise=kaiming)
    run = Run(cifar_design("baseline"), still, objects.name, 1)
    trained = train(run.design.build, objects, still, 1).weights
    network = run.design.build()
    network.load_state_dict(trained)
    outputs = network[:1](objects.normalised(objects.train.images)).detach()
    layer, signal, _ = gradients.at_start(run, objects)[0]
    assert layer == "C1"
    assert signal == pytest.approx(outputs.std(0).square().mean().sqrt().item(), rel=1e-4)


def test_a_deep_network_hears_less_of_the_image_and_of_the_loss(objects: Dataset) -> None:
    first, last = {}, {}
    for layers in (7, 13):
        rows = gradients.at_start(
            Run(cifar_design("d", layers=layers), TUTORIAL, objects.name, 0), objects
        )
        first[layers], last[layers] = rows[0][2], rows[-1][1]
    assert first[13] < first[7] / 50
    assert last[13] < last[7] / 50
