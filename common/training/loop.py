"""Train one network on one data set from one seed. Knows nothing of files."""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from common.data.datasets import Dataset
from common.models.networks import Design
from common.training import cuda_graph, recipes
from common.training.cuda_graph import Step
from common.training.evaluation import Evaluation, Loss, evaluate
from common.training.recipes import Recipe

TINY = 4  # batches up to this size train faster without oneDNN: 0.65 to 0.78 ms a step; 16 slower
BLOCK = 1024  # images gathered and normalised at once; measured: 256 is as fast, 4,096 slower


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
        design = (self.design.name, *self.design.columns.values())
        return (self.dataset, *design, *self.recipe.key, self.seed)


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
    """What a run measured, at its end on the test set and on the data set's variations of it.

    `step_losses` is float32 (steps,); `weights` lie on the CPU; `classes` are the data set's;
    `place` and `torch` tell the processor and the version that trained.
    """

    epochs: list[Epoch]
    test: Evaluation
    variations: dict[str, Evaluation]
    step_losses: Tensor
    weights: dict[str, Tensor]
    classes: tuple[str, ...]
    place: str
    torch: str

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

    Seeds torch's global random numbers, from which the initial weights and dropout draw. The images
    have a stream of their own, so that designs are compared over the same orders and variations.

    Args:
        build: makes the network, with fresh weights.
        dataset: on the device to train on.
        recipe: how to train.
        seed: what all random draws derive from.
        on_epoch: called after each epoch.
    """
    random = image_random(seed)
    device = dataset.train.labels.device
    model = first_weights(build, recipe, seed).to(device)
    steps_per_epoch = -(-len(dataset.train.labels) // recipe.batch_size)
    step, schedule = prepared(model, recipe, steps_per_epoch, device)

    epochs, step_losses = [], []
    for _ in range(recipe.epochs):
        synchronize(device)
        started = time.perf_counter()
        model.train()
        with onednn(recipe.batch_size > TINY):
            given = batches(dataset, recipe.batch_size, random, recipe.augment)
            losses, hits = train_epoch(step, given, steps_per_epoch, schedule, device)
        losses = losses.cpu()  # waits for the device
        seconds = time.perf_counter() - started
        step_losses.append(losses)
        test = evaluate(model, dataset, dataset.test, recipe.loss)
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
    variations = {
        name: evaluate(model, dataset, examples, recipe.loss)
        for name, examples in dataset.variations.items()
    }
    return Outcome(
        *(epochs, test, variations, torch.cat(step_losses), weights),
        *(dataset.classes, place(device.type), torch.__version__),
    )


def first_weights(build: Callable[[], nn.Module], recipe: Recipe, seed: int) -> nn.Module:
    """The network of a run before training, on the CPU."""
    torch.manual_seed(seed)
    model = build()
    if recipe.initialise:
        recipe.initialise(model)
    return model


def prepared(
    model: nn.Module, recipe: Recipe, steps_per_epoch: int, device: torch.device
) -> tuple[Step, torch.optim.lr_scheduler.LRScheduler | None]:
    """What trains `model`: a step, on a GPU captured as a graph, and the schedule of its rate."""
    if device.type == "cuda":
        torch.cuda.set_device(device)  # streams and graphs are those of the current one
        torch.backends.cudnn.allow_tf32 = False  # float32, as on the CPU
    optimizer = recipes.optimizer(recipe, model)
    schedule = recipes.scheduler(recipe, optimizer, recipe.epochs * steps_per_epoch)
    step = training_step(model, optimizer, recipe.loss)
    if device.type == "cuda":
        step = cuda_graph.Captured(step, recipe.batch_size)
    return step, schedule


def training_step(model: nn.Module, optimizer: torch.optim.Optimizer, loss_of: Loss) -> Step:
    """What moves the weights by a batch x, y, and returns its mean loss () and hits, int64 ()."""

    def step(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        score = model(x)
        loss = loss_of(score, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach(), (score.detach().argmax(1) == y).sum()

    return step


def train_epoch(
    step: Step,
    batches: Iterator[tuple[Tensor, Tensor]],
    steps: int,
    schedule: torch.optim.lr_scheduler.LRScheduler | None,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """One pass over the batches, `steps` of them.

    Nothing in a step waits for a number. What is kept of a step goes into one tensor: thousands of
    small ones, kept, would scatter the memory until a worker takes gigabytes.

    Returns:
        The loss of every step, float32 (steps,), and the count of images classified correctly as
        they were trained, int64 ().
    """
    losses = torch.empty(steps, device=device)
    hits = torch.zeros((), dtype=torch.int64, device=device)
    for done, (x, y) in enumerate(batches):
        losses[done], right = step(x, y)
        hits += right
        if schedule is not None:
            schedule.step()
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


def image_random(seed: int) -> torch.Generator:
    """The random numbers that order and vary the images of a run; not those of its weights."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))


def batches(
    dataset: Dataset,
    batch_size: int,
    random: torch.Generator,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The training examples, shuffled: x float32 (batch_size, C, H, W), y int64 (batch_size,).

    The last batch may be smaller. Images are gathered, varied and normalised a block of batches at
    a time: done for every batch of 4, that is a tenth of a training step.
    """
    images, labels = dataset.train
    block = batch_size * max(1, BLOCK // batch_size)
    shuffled = torch.randperm(len(labels), generator=random).to(labels.device, non_blocking=True)
    for chosen in shuffled.split(block):
        given = images[chosen] if augment is None else augment(images[chosen], random)
        x = dataset.normalised(given)
        yield from zip(x.split(batch_size), labels[chosen].split(batch_size), strict=True)


def synchronize(device: torch.device) -> None:
    """Wait until an accelerator has done what it was given, so that a clock can be read."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


@cache
def place(device: str) -> str:
    """The device's kind and type: `cpu AVX512`. Other types may round the last digits otherwise."""
    if device == "cuda" and torch.cuda.is_available():
        return f"cuda {torch.cuda.get_device_name()}"
    detail = torch.backends.cpu.get_cpu_capability() if device == "cpu" else platform.machine()
    return f"{device} {detail}"
