"""Training and evaluation, against a plain loop and against hand computation."""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.data.datasets import Dataset, load
from common.models.design import Design
from common.models.networks import LENET5_2017, MLP, CifarCNN, LeNet5_2017, cifar_design
from common.training.evaluation import evaluate
from common.training.loop import Run, batches, image_random, train
from common.training.recipes import REPORT2017, TUTORIAL, Recipe

SMALL = Design("20", partial(MLP, 20))


def digit_run(design: Design, recipe: Recipe, seed: int = 0) -> Run:
    return Run(design, recipe, "synthetic-digits", seed)


class Fixed(nn.Module):
    """Predicts the class from the top left pixel, with confidence."""

    def forward(self, x: Tensor) -> Tensor:
        return 3.0 * F.one_hot(x[:, 0, 0, 0].round().long(), 10).float()


def labelled(predicted: list[int], true: list[int], dataset: Dataset) -> tuple:
    images = torch.zeros(len(true), 1, 28, 28, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.tensor(predicted)
    plain = replace(dataset, normalisation=(0.0, 1 / 255))  # pixels come as they are
    return plain, dataset.test._replace(images=images, labels=torch.tensor(true))


def test_training_agrees_with_the_plain_loop(digits: Dataset, short: Recipe) -> None:
    """The usual loop of tutorials, on the same batches, ends with the same weights."""
    outcome = train(digit_run(LENET5_2017, short, seed=3), digits)

    order = image_random(3)
    torch.manual_seed(3)
    model = LeNet5_2017()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.5)
    for epoch in range(2):
        model.train()
        losses, correct = [], 0
        for chosen in torch.randperm(300, generator=order).split(32):
            x = (digits.train.images[chosen] / 255 - 0.1307) / 0.3081
            y = digits.train.labels[chosen]
            optimizer.zero_grad()
            scores = model(x)
            loss = F.nll_loss(F.log_softmax(scores, dim=1), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            correct += (scores.argmax(1) == y).sum().item()
        assert outcome.epochs[epoch].train_loss == pytest.approx(sum(losses) / 10, rel=1e-4)
        assert outcome.epochs[epoch].train_accuracy == pytest.approx(correct / 300, abs=0.01)
    for name, weights in model.state_dict().items():
        torch.testing.assert_close(outcome.weights[name], weights, rtol=1e-3, atol=1e-5)


def test_a_seed_gives_the_same_numbers_and_another_others(digits: Dataset, short: Recipe) -> None:
    first, same, other = (train(digit_run(LENET5_2017, short, seed), digits) for seed in (1, 1, 2))
    for name, weights in first.weights.items():
        assert torch.equal(weights, same.weights[name])
        assert not torch.equal(weights, other.weights[name])
    assert torch.equal(first.step_losses, same.step_losses)
    assert torch.equal(first.test.confusion, same.test.confusion)


def test_designs_see_the_images_in_the_same_order(digits: Dataset) -> None:
    def labels(seed: int) -> Tensor:
        return torch.cat([y for _, y in batches(digits, 32, image_random(seed))])

    assert torch.equal(labels(1), labels(1))
    assert not torch.equal(labels(1), labels(2))


@pytest.mark.parametrize("batch_size", [1, 4, 64, 299, 300, 5000])
def test_an_epoch_shows_every_image_once(digits: Dataset, batch_size: int) -> None:
    parts = list(batches(digits, batch_size, image_random(0)))
    assert all(len(x) == len(y) == min(batch_size, 300) for x, y in parts[:-1])
    assert sum(len(y) for _, y in parts) == 300
    shown = sorted(map(bytes, torch.cat([x for x, _ in parts]).numpy()))
    assert shown == sorted(map(bytes, digits.normalised(digits.train.images).numpy()))


def test_evaluate_agrees_with_a_count_by_hand(digits: Dataset) -> None:
    dataset, examples = labelled([0, 1, 1, 2], [0, 1, 2, 2], digits)
    result = evaluate(Fixed(), dataset, examples)
    assert result.accuracy == 0.75
    expected = torch.zeros(10, 10, dtype=torch.int64)
    expected[0, 0] = expected[1, 1] = expected[2, 2] = expected[2, 1] = 1
    assert torch.equal(result.confusion, expected)
    normaliser = math.log(math.exp(3) + 9)
    assert result.loss == pytest.approx((3 * (normaliser - 3) + normaliser) / 4)


def test_evaluate_does_not_depend_on_its_batches(digits: Dataset) -> None:
    dataset, examples = labelled([3] * 2500, [3] * 2499 + [4], digits)
    result = evaluate(Fixed(), dataset, examples)
    assert result.accuracy == 2499 / 2500
    assert result.confusion.sum() == 2500


@pytest.mark.parametrize("training", [True, False])
def test_evaluate_changes_nothing(digits: Dataset, training: bool) -> None:
    torch.manual_seed(0)
    model = LeNet5_2017().train(training)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.random.get_rng_state()
    first = evaluate(model, digits, digits.test)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert model.training is training
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert first.loss == evaluate(model, digits, digits.test).loss  # no dropout


def test_a_run_reports_its_last_epoch(digits: Dataset, short: Recipe) -> None:
    seen = []
    outcome = train(digit_run(SMALL, short), digits, on_epoch=seen.append)
    assert seen == outcome.epochs
    assert len(seen) == short.epochs
    model = MLP(20)
    model.load_state_dict(outcome.weights)
    again = evaluate(model, digits, digits.test)
    assert (again.loss, again.accuracy) == (seen[-1].test_loss, seen[-1].test_accuracy)
    assert len(outcome.step_losses) == 2 * 10
    assert outcome.train_seconds == sum(epoch.seconds for epoch in seen)


def test_a_diverging_run_ends_without_an_error(digits: Dataset) -> None:
    recipe = Recipe("r", epochs=3, batch_size=32, lr=1e9, momentum=0.9)
    outcome = train(digit_run(SMALL, recipe), digits)
    assert not math.isfinite(outcome.epochs[-1].train_loss)
    assert 0 <= outcome.epochs[-1].test_accuracy <= 1


def test_momentum_zero_turns_nesterov_off(digits: Dataset) -> None:
    recipe = Recipe("r", epochs=1, batch_size=32, lr=0.1, momentum=0.0, nesterov=True)
    assert len(train(digit_run(SMALL, recipe), digits).epochs) == 1


def test_the_baseline_has_the_same_numbers_under_any_name(objects: Dataset) -> None:
    """Four scripts of Part 1 train it and must get the same numbers."""
    recipe = replace(TUTORIAL, epochs=1)
    designs = (Design("direct", CifarCNN), cifar_design("7", layers=7), cifar_design("relu"))
    runs = [Run(design, recipe, "synthetic-objects") for design in designs]
    direct, *others = (train(run, objects) for run in runs)
    for outcome in others:
        assert torch.equal(outcome.step_losses, direct.step_losses)
        assert outcome.test.loss == direct.test.loss
    assert len({run.fingerprint for run in runs}) == 1


@pytest.mark.real_data
def test_lenet5_2017_reads_mnist_after_an_epoch(data_dir: Path) -> None:
    run = Run(LENET5_2017, replace(REPORT2017, epochs=1), "mnist")
    outcome = train(run, load("mnist", data_dir))
    assert outcome.test.accuracy >= 0.92


@pytest.mark.real_data
def test_the_tutorial_learns_cifar10(data_dir: Path) -> None:
    run = Run(cifar_design("baseline"), replace(TUTORIAL, epochs=1), "cifar10")
    outcome = train(run, load("cifar10", data_dir))
    assert outcome.test.accuracy > 0.4
    assert outcome.step_losses[-2000:].mean() < outcome.step_losses[:2000].mean() - 0.4
