"""Evaluate a network on examples: scores, loss, accuracy, confusion matrix."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.data.datasets import Dataset, Examples
from common.training.recipes import Loss


@dataclass(frozen=True)
class Evaluation:
    """The result of a network on examples. Counts of images are int64, on the CPU."""

    loss: float  # mean
    accuracy: float  # fraction of correctly classified images
    confusion: Tensor  # (classes, classes): [t, p] images of class t are classified as p
    correct: Tensor  # (classes,): correctly classified images per class
    total: Tensor  # (classes,): images per class


def predict(model: nn.Module, dataset: Dataset, images: Tensor) -> Tensor:
    """Scores, float32 (N, classes), for uint8 images (N, C, H, W). The model's mode stays."""
    training = model.training
    model.eval()
    with torch.inference_mode():
        # The 2017 report's test batch.
        scores = [model(dataset.normalised(part)) for part in images.split(1000)]
    model.train(training)
    return torch.cat(scores)


def evaluate(
    model: nn.Module, dataset: Dataset, examples: Examples, loss: Loss = F.cross_entropy
) -> Evaluation:
    """Loss, accuracy and confusion of `model` on `examples`, normalised like `dataset`."""
    scores = predict(model, dataset, examples.images)
    classes = len(dataset.classes)
    pairs = examples.labels * classes + scores.argmax(1)
    confusion = torch.bincount(pairs, minlength=classes**2).view(classes, classes).cpu()
    correct, total = confusion.diagonal(), confusion.sum(1)
    accuracy = correct.sum().item() / len(scores)
    return Evaluation(loss(scores, examples.labels).item(), accuracy, confusion, correct, total)
