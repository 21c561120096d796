"""The training loop: train one network on one data set with one seed."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from common.data.datasets import Dataset, normalisation_of
from common.models.design import Design
from common.training.device import device_name, synchronize
from common.training.evaluation import Evaluation, evaluate
from common.training.fingerprint import fingerprint
from common.training.recipes import Augment, Recipe, make_optimizer

TINY = 4  # batches up to this size train faster without oneDNN: 0.65 instead of 0.78 ms per step
BLOCK = 1024  # images to gather and normalise in one call; 256 is as fast, 4,096 is slower


@dataclass(frozen=True)
class Run:
    """One design, recipe, data set and seed: the unit that is trained, stored and resumed."""

    design: Design
    recipe: Recipe
    dataset: str
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.design.name} seed {self.seed}"

    @property
    def key(self) -> dict[str, str | int | float]:
        """The values of the key columns, which identify the run in the result files."""
        return {
            "dataset": self.dataset,
            "design": self.design.name,
            **self.design.columns,
            "recipe": self.recipe.name,
            "epochs": self.recipe.epochs,
            "batch_size": self.recipe.batch_size,
            "lr": self.recipe.lr,
            "momentum": self.recipe.momentum or 0.0,
            "seed": self.seed,
        }

    @property
    def fingerprint(self) -> str:
        """Eight hex digits: the fingerprint of the current network and recipe."""
        return fingerprint(self.design, self.recipe, normalisation_of(self.dataset))


@dataclass(frozen=True)
class Epoch:
    """The result of an epoch: means during training, then the test. `seconds`: only training."""

    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """The result of a run after its last epoch."""

    epochs: list[Epoch]
    test: Evaluation
    variations: dict[str, Evaluation]  # of the test set
    step_losses: Tensor  # float32 (steps,)
    weights: dict[str, Tensor]  # on the CPU
    classes: tuple[str, ...]
    device: str  # its type and model
    torch: str  # PyTorch's version

    @property
    def train_seconds(self) -> float:
        """Seconds of training alone, without evaluation and start-up."""
        return sum(epoch.seconds for epoch in self.epochs)


def train(
    run: Run, dataset: Dataset, on_epoch: Callable[[Epoch], None] = lambda epoch: None
) -> Outcome:
    """Train a run on the device of its data set. `on_epoch` is called after each epoch.

    The same seed gives the same numbers on one thread.
    """
    recipe, image_count = run.recipe, len(dataset.train.labels)
    device = dataset.train.labels.device
    torch.backends.cudnn.allow_tf32 = False  # full float32 on a GPU too
    steps = math.ceil(image_count / recipe.batch_size)
    random = image_random(run.seed)
    model = initial_model(run).to(device)
    optimizer = make_optimizer(recipe, model)
    schedule = None
    if recipe.schedule:
        schedule = recipe.schedule(optimizer, lr=recipe.lr, steps=recipe.epochs * steps)

    epochs, step_losses = [], []
    for _ in range(recipe.epochs):
        synchronize(device)
        start = time.perf_counter()
        model.train()
        # One tensor for all losses: thousands of small tensors would fragment the memory.
        losses = torch.empty(steps, device=device)
        correct = torch.zeros((), dtype=torch.int64, device=device)
        shuffled = batches(dataset, recipe.batch_size, random, recipe.augment)
        with onednn(recipe.batch_size > TINY):
            for step, (x, y) in enumerate(shuffled):
                scores = model(x)
                loss = recipe.loss(scores, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if schedule:
                    schedule.step()
                losses[step] = loss.detach()
                correct += (scores.detach().argmax(1) == y).sum()
        step_losses.append(losses.cpu())  # waits for the device
        seconds = time.perf_counter() - start

        test = evaluate(model, dataset, dataset.test, recipe.loss)
        loss, accuracy = step_losses[-1].double().mean().item(), correct.item() / image_count
        epochs.append(Epoch(loss, accuracy, test.loss, test.accuracy, seconds))
        on_epoch(epochs[-1])

    return Outcome(
        epochs=epochs,
        test=test,
        variations={
            name: evaluate(model, dataset, part, recipe.loss)
            for name, part in dataset.variations.items()
        },
        step_losses=torch.cat(step_losses),
        weights={name: tensor.cpu() for name, tensor in model.state_dict().items()},
        classes=dataset.classes,
        device=device_name(device.type),
        torch=torch.__version__,
    )


def initial_model(run: Run) -> nn.Module:
    """The network of a run before training, on the CPU. Seeds torch's global random numbers."""
    torch.manual_seed(run.seed)
    model = run.design.build()
    if run.recipe.initialise:
        run.recipe.initialise(model)
    return model


def image_random(seed: int) -> torch.Generator:
    """The random numbers for order and augmentation of a run's images, the same for all designs."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))


def batches(
    dataset: Dataset, batch_size: int, random: torch.Generator, augment: Augment | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """The training examples, shuffled: x float32 (batch_size, C, H, W), y int64 (batch_size,).

    The last batch may be smaller. Images are gathered, augmented and normalised in blocks of many
    batches: for single batches of 4 this would take a tenth of the training time.
    """
    images, labels = dataset.train
    block = batch_size * max(1, BLOCK // batch_size)
    order = torch.randperm(len(labels), generator=random).to(labels.device)
    for chosen in order.split(block):
        x = images[chosen] if augment is None else augment(images[chosen], random)
        x = dataset.normalised(x)
        yield from zip(x.split(batch_size), labels[chosen].split(batch_size), strict=True)


@contextmanager
def onednn(enabled: bool) -> Iterator[None]:
    """Turn oneDNN's convolutions on a CPU on or off; PyTorch has its own."""
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = enabled
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before
