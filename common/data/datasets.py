"""Data sets as tensors in memory: load by name, split, normalise.

Images stay 8-bit until a batch needs them: a quarter of the memory of float32, faster training.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from common import LabError
from common.data import download, synthetic

# Torchvision is imported inside the functions that read files: processes that only receive tensors
# start a second faster without it.

# (mean, standard deviation) of a pixel in [0, 1], for normalisation.
# The tutorial's numbers stretch [0, 1] to [-1, 1].
TUTORIAL_NORMALISATION = (0.5, 0.5)
# MNIST's numbers are measured over all pixels of the 60,000 training images, to four digits.
MNIST_NORMALISATION = (0.1307, 0.3081)

DIGITS = tuple("0123456789")
# The tutorial's short names of airplane, automobile, ...
CIFAR10_CLASSES = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# A split uses every k-th image of each class for testing. `validation` splits only the training
# images, to choose hyperparameters without the test set; the other splits use all images.
SPLITS = {"75-25": 4, "2-1": 3, "validation": 6}
SPLIT_SEED = 1998
SHIFTS = range(1, 7)  # pixels


class Examples(NamedTuple):
    """Images and their labels."""

    images: Tensor  # uint8 (N, C, H, W), 0 is black
    labels: Tensor  # int64 (N,), an index into Dataset.classes

    def rows(self, mask: Tensor) -> "Examples":
        """The examples that `mask`, bool (N,), selects."""
        return Examples(self.images[mask], self.labels[mask])


Parts = tuple[Examples, Examples]  # training and test part


@dataclass(frozen=True)
class Dataset:
    """A data set, split for training and testing."""

    name: str
    classes: tuple[str, ...]
    normalisation: tuple[float, float]  # (mean, standard deviation) of a pixel in [0, 1]
    train: Examples
    test: Examples
    variations: dict[str, Examples] = field(default_factory=dict)  # other test sets, by name

    def normalised(self, images: Tensor) -> Tensor:
        """uint8 images of any shape as float32: the same numbers as ToTensor and Normalize."""
        mean, deviation = self.normalisation
        return images.float().div_(255).sub_(mean).div_(deviation)

    def to(self, device: str | torch.device) -> "Dataset":
        """The data set with all its tensors on `device`."""
        return self.mapped(lambda part: Examples(*(tensor.to(device) for tensor in part)))

    def mapped(self, change: Callable[[Examples], Examples]) -> "Dataset":
        """The data set with `change` applied to training part, test part and variations."""
        others = {name: change(part) for name, part in self.variations.items()}
        return replace(self, train=change(self.train), test=change(self.test), variations=others)


def read_mnist(data_dir: Path, folder: str = "MNIST/raw") -> Parts:
    """Four files in MNIST's format as uint8 images (N, 1, H, W)."""
    from torchvision.datasets.mnist import read_image_file, read_label_file

    def read(part: str) -> Examples:
        path = f"{data_dir / folder / part}"
        images = read_image_file(f"{path}-images-idx3-ubyte").unsqueeze(1)
        return Examples(images, read_label_file(f"{path}-labels-idx1-ubyte"))

    return read("train"), read("t10k")


def read_cifar10(data_dir: Path) -> Parts:
    """The 50,000 training and 10,000 test images, uint8 (N, 3, 32, 32)."""
    from torchvision.datasets import CIFAR10

    def read(train: bool) -> Examples:
        part = CIFAR10(data_dir, train=train)
        images = torch.from_numpy(part.data).permute(0, 3, 1, 2)  # channels first
        return Examples(images.contiguous(), torch.tensor(part.targets))

    return read(train=True), read(train=False)


class Base(NamedTuple):
    """A data set before it is split or changed."""

    classes: tuple[str, ...]
    normalisation: tuple[float, float]
    read: Callable[[Path], Parts]  # from the data folder
    source: Callable[[], download.Source] | None = None  # None: nothing is downloaded


BASES = {
    "mnist": Base(DIGITS, MNIST_NORMALISATION, read_mnist, download.mnist_source),
    "cifar10": Base(CIFAR10_CLASSES, TUTORIAL_NORMALISATION, read_cifar10, download.cifar10_source),
    "synthetic-digits": Base(DIGITS, MNIST_NORMALISATION, lambda _: synthetic.digits()),
    "synthetic-objects": Base(
        synthetic.OBJECTS, TUTORIAL_NORMALISATION, lambda _: synthetic.objects()
    ),
}


def dataset_name(base: str, split: str = "standard") -> str:
    """The name of a data set in the results: `mnist`, `mnist-75-25`, ..."""
    return base if split == "standard" else f"{base}-{split}"


def parse_name(name: str) -> tuple[Base, str | None, str | None]:
    """A name's base, split or None, and change (`permuted`, `10-percent`) or None."""
    bases, splits = "|".join(BASES), "|".join(SPLITS)
    changes = r"permuted|(?:[1-9]\d?|100)-percent"
    match = re.fullmatch(f"({bases})(?:-({splits}))?(?:-({changes}))?", name)
    if not match:
        raise ValueError(f"no data set {name}")
    return BASES[match[1]], match[2], match[3]


def normalisation_of(name: str) -> tuple[float, float]:
    """(mean, standard deviation) of a pixel in [0, 1] of the data set `name`."""
    return parse_name(name)[0].normalisation


def present(name: str, data_dir: Path) -> bool:
    """Whether the data set `name` can be loaded without a download."""
    source = parse_name(name)[0].source
    return source is None or source().folder(data_dir.expanduser()) is not None


def load(name: str, data_dir: Path, shifts: bool = False) -> Dataset:
    """The data set `name`, for example `mnist`, `mnist-75-25`, `cifar10-validation-permuted`.

    Missing files are downloaded to `data_dir`. `shifts` adds variations: the test images shifted by
    SHIFTS pixels. LabError: data is missing and cannot be downloaded, or is damaged. ValueError:
    there is no such data set.
    """
    from common.data.transforms import fewer, permuted, with_shifts  # this module imports Dataset

    base, split, change = parse_name(name)
    folder = data_dir.expanduser()
    if base.source:
        folder = download.obtain(base.source(), folder)
    train, test = (Examples(*part) for part in base.read(folder))
    label = max(int(part.labels.max()) for part in (train, test))
    if label >= len(base.classes):
        raise LabError(f"{name} has the label {label}, but only {len(base.classes)} classes")
    if split:
        if split != "validation":
            train = Examples(*map(torch.cat, zip(train, test, strict=True)))
        train, test = stratified(train, SPLITS[split])
    dataset = Dataset(name, base.classes, base.normalisation, train, test)
    if shifts:
        dataset = with_shifts(dataset, SHIFTS)
    if change == "permuted":
        dataset = permuted(dataset)
    elif change:
        dataset = fewer(dataset, int(change.removesuffix("-percent")))
    return dataset


def stratified(examples: Examples, every: int) -> Parts:
    """Split into training and test part: every `every`-th example of each class is for testing."""
    is_test = torch.zeros(len(examples.labels), dtype=torch.bool)
    is_test[torch.cat(by_class(examples.labels))[every - 1 :: every]] = True
    return examples.rows(~is_test), examples.rows(is_test)


def fixed_order(count: int) -> Tensor:
    """The numbers below `count` in a random order, the same for every run and machine."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(SPLIT_SEED))


def by_class(labels: Tensor) -> tuple[Tensor, ...]:
    """The rows of each class, in the fixed random order."""
    order = fixed_order(len(labels))
    return order[labels[order].argsort(stable=True)].split(labels.bincount().tolist())
