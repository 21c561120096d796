"""Evaluate a network on examples: scores, loss, accuracy, confusion matrix."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.data.datasets import Dataset, Examples
from common.training.recipes import Loss

TEST_BATCH = 1000  # the 2017 report's test batch


@dataclass(frozen=True)
class Evaluation:
    """The result of a network on examples: the mean loss and the confusion matrix.

    `confusion[t, p]`, int64, counts the images of class t that are classified as p.
    """

    loss: float
    confusion: Tensor

    @property
    def correct(self) -> Tensor:
        """Number of correctly classified images per class, int64 (classes,)."""
        return self.confusion.diagonal()

    @property
    def total(self) -> Tensor:
        """Number of images per class, int64 (classes,)."""
        return self.confusion.sum(1)

    @property
    def accuracy(self) -> float:
        """Fraction of correctly classified images."""
        return self.correct.sum().item() / self.total.sum().item()


def predict(model: nn.Module, dataset: Dataset, images: Tensor) -> Tensor:
    """Scores, float32 (N, classes), for uint8 images (N, C, H, W). The model's mode stays."""
    training = model.training
    model.eval()
    with torch.inference_mode():
        scores = [model(dataset.normalised(part)) for part in images.split(TEST_BATCH)]
    model.train(training)
    return torch.cat(scores)


def evaluate(
    model: nn.Module, dataset: Dataset, examples: Examples, loss: Loss = F.cross_entropy
) -> Evaluation:
    """Loss, accuracy and confusion of `model` on `examples`, normalised like `dataset`."""
    scores = predict(model, dataset, examples.images)
    classes = len(dataset.classes)
    pairs = examples.labels * classes + scores.argmax(1)
    return Evaluation(
        loss=loss(scores, examples.labels).item(),
        confusion=torch.bincount(pairs, minlength=classes**2).view(classes, classes).cpu(),
    )
