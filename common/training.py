"""Train one network on one data set from one seed. Knows nothing of files."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.data import Dataset
from common.evaluation import Evaluation, evaluate
from common.models import Design

TINY = 4  # batches up to this size train faster without oneDNN: 0.65 to 0.78 ms a step; 16 slower
BLOCK = 1024  # images gathered and normalised at once; measured: 256 is as fast, 4,096 slower


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. The loss is cross-entropy, the optimiser SGD.

    Options may change epochs, batch size, lr and momentum; all else stands for the name.

    schedule: `constant`, or `one-cycle` (Smith and Topin, 2018): up to `lr` during the first 30 %
    of the steps and down to nearly zero, along cosines.
    """

    name: str
    epochs: int
    batch_size: int
    lr: float
    momentum: float
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: str = "constant"


# What PyTorch's 60-minute tutorial does; every script of Part 1 compares at this budget.
TUTORIAL = Recipe("tutorial", epochs=2, batch_size=4, lr=0.001, momentum=0.9)


@dataclass(frozen=True)
class Run:
    """One design, recipe, data set and seed: what is trained, stored and resumed as one."""

    design: Design
    recipe: Recipe
    dataset: str
    seed: int

    def __str__(self) -> str:
        return f"{self.design.name} seed {self.seed}"

    @property
    def key(self) -> tuple[str | int | float, ...]:
        """What names the run in the result files: the cells of its key columns."""
        recipe = self.recipe
        return (
            *(self.dataset, self.design.name, *self.design.columns.values()),
            *(recipe.name, recipe.epochs, recipe.batch_size, recipe.lr, recipe.momentum),
            self.seed,
        )


@dataclass(frozen=True)
class Epoch:
    """What an epoch measured: training as it went, then the test set; seconds of training."""

    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What a run measured. `step_losses` is float32 (steps,); `weights` lie on the CPU."""

    epochs: list[Epoch]
    test: Evaluation
    step_losses: Tensor
    weights: dict[str, Tensor]

    @property
    def train_seconds(self) -> float:
        """Seconds of training alone: evaluation and start-up excluded."""
        return sum(epoch.seconds for epoch in self.epochs)


def train(
    build: Callable[[], nn.Module],
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Outcome:
    """Train the network that `build` makes; the same seed gives the same numbers on one thread.

    Seeds torch's global random numbers, from which the initial weights and dropout draw. The order
    of the images has a stream of its own, so that designs can be compared over the same orders.

    Args:
        build: makes the network, with fresh weights.
        dataset: on the device to train on.
        recipe: how to train.
        seed: what all random draws derive from.
        on_epoch: called after each epoch.
    """
    order = image_order(seed)
    torch.manual_seed(seed)
    device = dataset.train.labels.device
    model = build().to(device)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov and recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    steps_per_epoch = -(-len(dataset.train.labels) // recipe.batch_size)
    schedule = scheduler(optimizer, recipe, recipe.epochs * steps_per_epoch)

    epochs, step_losses = [], []
    for _ in range(recipe.epochs):
        synchronize(device)
        started = time.perf_counter()
        with onednn(recipe.batch_size > TINY):
            given = batches(dataset, recipe.batch_size, order)
            losses, hits = train_epoch(model, given, steps_per_epoch, optimizer, schedule)
        losses = losses.cpu()  # waits for the device
        seconds = time.perf_counter() - started
        step_losses.append(losses)
        test = evaluate(model, dataset, dataset.test)
        epochs.append(
            Epoch(
                train_loss=losses.double().mean().item(),
                train_accuracy=hits.item() / len(dataset.train.labels),
                test_loss=test.loss,
                test_accuracy=test.accuracy,
                seconds=seconds,
            )
        )
        on_epoch(epochs[-1])
    weights = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
    return Outcome(epochs, test, torch.cat(step_losses), weights)


def train_epoch(
    model: nn.Module,
    batches: Iterator[tuple[Tensor, Tensor]],
    steps: int,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler | None,
) -> tuple[Tensor, Tensor]:
    """One pass over the batches, `steps` of them.

    Nothing in a step waits for a number. What is kept of a step goes into one tensor: thousands of
    small ones, kept, would scatter the memory until a worker takes gigabytes.

    Returns:
        The loss of every step, float32 (steps,), and the count of images classified correctly as
        they were trained, int64 ().
    """
    model.train()
    device = next(model.parameters()).device
    losses, hits = (
        torch.empty(steps, device=device),
        torch.zeros((), dtype=torch.int64, device=device),
    )
    for step, (x, y) in enumerate(batches):
        score = model(x)
        loss = F.cross_entropy(score, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        losses[step] = loss.detach()
        hits += (score.detach().argmax(1) == y).sum()
    return losses, hits


@contextmanager
def onednn(enabled: bool) -> Iterator[None]:
    """Whether oneDNN's code is used for convolutions on a CPU, or PyTorch's own."""
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = enabled
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


def image_order(seed: int) -> torch.Generator:
    """The random numbers that shuffle the images of a run; not those of its initial weights."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))


def batches(
    dataset: Dataset, batch_size: int, order: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """The training examples, shuffled: x float32 (batch_size, C, H, W), y int64 (batch_size,).

    The last batch may be smaller. Images are gathered and normalised a block of batches at a time:
    done for every batch of 4, that is a tenth of a training step.
    """
    images, labels = dataset.train
    block = batch_size * max(1, BLOCK // batch_size)
    shuffled = torch.randperm(len(labels), generator=order).to(labels.device)
    for chosen in shuffled.split(block):
        x = dataset.normalised(images[chosen])
        yield from zip(x.split(batch_size), labels[chosen].split(batch_size), strict=True)


def scheduler(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int
) -> torch.optim.lr_scheduler.LRScheduler | None:
    """The learning-rate schedule of the recipe, to be stepped after every batch."""
    if recipe.schedule == "constant":
        return None
    if recipe.schedule == "one-cycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=recipe.lr, total_steps=steps, cycle_momentum=False
        )
    raise ValueError(f"no schedule {recipe.schedule}")


def synchronize(device: torch.device) -> None:
    """Wait until an accelerator has done what it was given, so that a clock can be read."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
