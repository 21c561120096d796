"""MNIST and CIFAR-10 as whole tensors in memory: read, split, normalise.

Images stay 8-bit until they are used (a quarter of the memory of float32, and measured faster in
training: blocks of images are gathered and normalised at once, see `training.batches`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from common import LabError
from common.data import synthetic
from common.data.download import (cifar10_source, mnist_source, obtain)

# Torchvision is imported where files are read: worker processes, which are handed tensors, start
# a second sooner without it.

# (mean, standard deviation) that normalise a pixel in [0, 1].
# The tutorial's are chosen, not measured: they stretch [0, 1] to [-1, 1].
TUTORIAL_NORMALISATION = (0.5, 0.5)
# MNIST's are measured: over all pixels of the 60,000 training images, rounded to four digits.
MNIST_NORMALISATION = (0.1307, 0.3081)

DIGITS = tuple("0123456789")
# The tutorial's short names of airplane, automobile, ...
CIFAR10_CLASSES = (
    *("plane", "car", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)

# A split takes every k-th image of each class for testing: of all the images, or, to choose
# hyperparameters without the test set, of the training images alone.
SPLITS = {"75-25": 4, "2-1": 3, "validation": 6}
SPLIT_SEED = 1998


class Examples(NamedTuple):
    """Images and their labels."""

    images: Tensor  # uint8 (N, C, H, W), 0 is black
    labels: Tensor  # int64 (N,), an index into Dataset.classes


@dataclass(frozen=True)
class Dataset:
    """A data set, split for training and testing.

    `normalisation` is the (mean, standard deviation) of a pixel in [0, 1]; `variations` are
    further sets to test on, by name.
    """

    name: str
    classes: tuple[str, ...]
    normalisation: tuple[float, float]
    train: Examples
    test: Examples
    variations: dict[str, Examples] = field(default_factory=dict)

    def normalised(self, images: Tensor) -> Tensor:
        """uint8 images of any shape as float32: the same numbers as ToTensor and Normalize."""
        mean, deviation = self.normalisation
        return images.float().div_(255).sub_(mean).div_(deviation)

    def to(self, device: str | torch.device) -> "Dataset":
        """The data set with all its tensors on `device`."""
        return self.mapped(lambda part: Examples(*(tensor.to(device) for tensor in part)))

    def mapped(self, change: Callable[[Examples], Examples]) -> "Dataset":
        """The data set with every part of it changed alike."""
        return replace(
            self,
            train=change(self.train),
            test=change(self.test),
            variations={name: change(part) for name, part in self.variations.items()},
        )

    def share_memory(self) -> "Dataset":
        """Move the tensors to shared memory, so that worker processes hold no copies."""
        try:
            for part in (self.train, self.test, *self.variations.values()):
                for tensor in part:
                    tensor.share_memory_()
        except RuntimeError as error:
            raise LabError(
                f"shared memory has no room for {self.name} ({str(error).splitlines()[0]}); "
                "enlarge /dev/shm (docker run --shm-size=1g)"
            ) from error
        return self


def dataset_name(base: str, split: str = "standard") -> str:
    """The name of a data set in the results: `mnist`, `mnist-75-25`, ..."""
    return base if split == "standard" else f"{base}-{split}"


def present(base: str, data_dir: Path) -> bool:
    """Whether the data set can be loaded without a download."""
    sources = {"mnist": mnist_source, "cifar10": cifar10_source}
    return base not in sources or not sources[base]().missing(data_dir)


def load(base: str, split: str, data_dir: Path) -> Dataset:
    """The data set `base` (mnist, cifar10, synthetic-digits, synthetic-objects), split.

    Args:
        base: what `dataset_name` starts with.
        split: `standard`, or one of SPLITS.
        data_dir: root of MNIST/raw and cifar-10-batches-py; downloaded there if missing.

    Raises:
        LabError: the data is missing and cannot be downloaded, or a file is damaged.
    """
    if base == "mnist":
        classes, normalisation = DIGITS, MNIST_NORMALISATION
        train, test = read_mnist(data_dir)
    elif base == "cifar10":
        classes, normalisation = CIFAR10_CLASSES, TUTORIAL_NORMALISATION
        train, test = read_cifar10(data_dir)
    elif base == "synthetic-digits":
        classes, normalisation = DIGITS, MNIST_NORMALISATION
        train, test = (Examples(*part) for part in synthetic.digits())
    elif base == "synthetic-objects":
        classes, normalisation = synthetic.OBJECTS, TUTORIAL_NORMALISATION
        train, test = (Examples(*part) for part in synthetic.objects())
    else:
        raise ValueError(f"no data set {base}")
    if split == "validation":
        train, test = stratified(train, SPLITS[split])
    elif split != "standard":
        everything = Examples(*(torch.cat(parts) for parts in zip(train, test, strict=True)))
        train, test = stratified(everything, SPLITS[split])
    return Dataset(dataset_name(base, split), classes, normalisation, train, test)


def stratified(examples: Examples, every: int) -> tuple[Examples, Examples]:
    """Training and test part: every `every`-th example of each class, at random, is for testing.

    The same images for every run and machine: the order comes from a fixed seed, not a run's.
    """
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    order = torch.randperm(len(examples.labels), generator=generator)
    by_class = order[examples.labels[order].argsort(stable=True)]
    tested = torch.arange(len(order)) % every == every - 1
    train, test = by_class[~tested].sort().values, by_class[tested].sort().values
    return (
        Examples(examples.images[train], examples.labels[train]),
        Examples(examples.images[test], examples.labels[test]),
    )


def read_mnist(data_dir: Path) -> tuple[Examples, Examples]:
    """The 60,000 training and 10,000 test images, uint8 (N, 1, 28, 28)."""
    from torchvision.datasets import MNIST

    obtain(mnist_source(), data_dir)
    legacy = data_dir / "MNIST" / "processed"
    if legacy.exists():
        raise LabError(f"{legacy} would be read instead of the checked files: move it away")
    train, test = (MNIST(data_dir, train=train) for train in (True, False))
    return (
        Examples(train.data.unsqueeze(1), train.targets),
        Examples(test.data.unsqueeze(1), test.targets),
    )


def read_cifar10(data_dir: Path) -> tuple[Examples, Examples]:
    """The 50,000 training and 10,000 test images, uint8 (N, 3, 32, 32)."""
    from torchvision.datasets import CIFAR10

    obtain(cifar10_source(), data_dir)
    train, test = (CIFAR10(data_dir, train=train) for train in (True, False))
    return tuple(
        Examples(
            torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(),  # channels first
            torch.tensor(part.targets),
        )
        for part in (train, test)
    )
