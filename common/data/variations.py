"""Data sets made from others: shifted test images, permuted pixels, fewer training images.

They show what a network knows of the geometry of images. All are the same for every run and
machine: what is drawn comes from one fixed seed.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from common.data.datasets import (SPLIT_SEED, Dataset, Examples)

DIRECTIONS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # rows down and columns to the right


def with_shifts(dataset: Dataset, pixels: range) -> Dataset:
    """The data set and, as variations, its test images shifted by so many pixels: `shift-1`, ..."""
    images, labels = dataset.test
    parts = {f"shift-{count}": Examples(shifted(images, count), labels) for count in pixels}
    return replace(dataset, variations=parts)


def shifted(images: Tensor, pixels: int) -> Tensor:
    """Images shifted right, down, left and up in turn; what comes in is black, 0."""
    moved = torch.empty_like(images)
    for turn, (down, right) in enumerate(DIRECTIONS):
        down, right = down * pixels, right * pixels
        # Padding on one side, and as much less than nothing on the other.
        moved[turn::4] = F.pad(images[turn::4], (right, -right, down, -down))
    return moved


def permuted(dataset: Dataset) -> Dataset:
    """All images with their pixels in one other order: what was near is no longer."""
    _, _, height, width = dataset.train.images.shape
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    order = torch.randperm(height * width, generator=generator)

    def permute(part: Examples) -> Examples:
        images = part.images.flatten(2)[..., order].view_as(part.images)
        return part._replace(images=images)

    return replace(dataset.mapped(permute), name=f"{dataset.name}-permuted")


def fewer(dataset: Dataset, percent: int) -> Dataset:
    """So many per cent of the training images of each class; fewer are always among more."""
    images, labels = dataset.train
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    order = torch.randperm(len(labels), generator=generator)
    by_class = [order[labels[order] == index] for index in range(len(dataset.classes))]
    kept = torch.cat([chosen[: round(len(chosen) * percent / 100)] for chosen in by_class])
    kept = kept.sort().values
    train = Examples(images[kept], labels[kept])
    return replace(dataset, name=f"{dataset.name}-{percent}-percent", train=train)
