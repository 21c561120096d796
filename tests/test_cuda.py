"""Training on a GPU, against the same on the CPU; skipped where there is none."""

import functools
from dataclasses import replace

import pytest
import torch
from torch import nn

from common.data.augmentation import distort, flip_and_shift
from common.data.datasets import Dataset
from common.models import networks as models
from common.models.lenet1998 import lenet5_1998
from common.training import cuda_graph, recipes
from common.training.loop import batches, image_random, train, train_epoch, training_step
from common.training.recipes import LECUN1998, Recipe

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Float32 as it is, and the same kernels every time."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


# 300 images: nine batches of 32 and one of 12.
SHORT = Recipe("short", epochs=2, batch_size=32, lr=0.02, momentum=0.9, nesterov=True)
ONE_CYCLE = replace(SHORT, schedule="one-cycle", weight_decay=5e-4)
CASES = {
    "constant": (models.lenet5, SHORT),
    "one-cycle": (functools.partial(models.lenet5, "relu", nn.MaxPool2d), ONE_CYCLE),
    "distorted": (models.mlp, replace(ONE_CYCLE, augment=distort)),
    "1998": (lenet5_1998, replace(LECUN1998, epochs=2, batch_size=32, lr=0.0003)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_gpu_trains_what_the_cpu_trains(case: str, digits: Dataset) -> None:
    """The losses of every step, of captured ones and of those before and between them."""
    build, recipe = CASES[case]
    expected = train(build, digits, recipe, seed=0)
    found = train(build, digits.to("cuda"), recipe, seed=0)
    torch.testing.assert_close(found.step_losses, expected.step_losses, rtol=1e-3, atol=1e-3)
    for theirs, ours in zip(expected.epochs, found.epochs, strict=True):
        assert ours.train_accuracy == pytest.approx(theirs.train_accuracy, abs=0.011)
    assert found.place.startswith("cuda ")


def test_a_captured_step_is_the_step(digits: Dataset) -> None:
    """The same losses with the graph and without, to float32's accuracy, on one device."""
    on_gpu = digits.to("cuda")
    losses = []
    for captured in (False, True):
        torch.manual_seed(0)
        model = models.lenet5().to("cuda").train()
        optimizer = recipes.optimizer(ONE_CYCLE, model)
        schedule = recipes.scheduler(ONE_CYCLE, optimizer, 30)
        step = training_step(model, optimizer, ONE_CYCLE.loss)
        if captured:
            step = cuda_graph.Captured(step, 32)
        random = image_random(0)
        for _ in range(3):
            given = batches(on_gpu, 32, random)
            found, _ = train_epoch(step, given, 10, schedule, torch.device("cuda"))
            losses.append(found.cpu())
        assert not captured or step.graph is not None
    torch.testing.assert_close(torch.cat(losses[3:]), torch.cat(losses[:3]), rtol=1e-5, atol=1e-6)


def test_dropout_is_drawn_anew_in_every_replay(digits: Dataset) -> None:
    still = replace(SHORT, lr=1e-30, momentum=0.0, nesterov=False)
    model = models.lenet5_2017().to("cuda").train()
    step = training_step(model, recipes.optimizer(still, model), still.loss)
    step = cuda_graph.Captured(step, 32)
    images, labels = digits.to("cuda").train
    batch = digits.normalised(images[:32]), labels[:32]
    losses = [step(*batch)[0].item() for _ in range(cuda_graph.WARM_UP + 5)]
    assert len(set(losses)) == len(losses)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one CUDA device here")
def test_a_second_gpu_trains_the_same(digits: Dataset) -> None:
    """As a rank of torchrun does on its own."""
    first, second = (
        train(models.lenet5, digits.to(f"cuda:{number}"), ONE_CYCLE, seed=0) for number in (0, 1)
    )
    torch.testing.assert_close(second.step_losses, first.step_losses, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("augment", [None, distort, recipes.MODERN_ELASTIC.augment, flip_and_shift])
def test_nothing_waits_for_the_gpu_within_an_epoch(augment: object, digits: Dataset) -> None:
    on_gpu = digits.to("cuda")
    model = models.lenet5().to("cuda").train()
    optimizer = recipes.optimizer(ONE_CYCLE, model)
    schedule = recipes.scheduler(ONE_CYCLE, optimizer, 20)
    step = cuda_graph.Captured(training_step(model, optimizer, ONE_CYCLE.loss), 32)
    random, device = image_random(0), torch.device("cuda")
    train_epoch(step, batches(on_gpu, 32, random, augment), 10, schedule, device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        train_epoch(step, batches(on_gpu, 32, random, augment), 10, schedule, device)
    finally:
        torch.cuda.set_sync_debug_mode("default")
