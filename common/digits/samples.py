"""Digits of the experiment with preparations: ink with labels, from pages and from scikit-learn."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from PIL import Image

from common import LabError
from common.data.datasets import Examples
from common.digits.find import find
from common.digits.pages import compose

TUNING = 897  # images of load_digits for choosing constants; the other 900 are for reporting
NOT_FOUND = -1  # as a label: no prediction is right


class Samples(NamedTuple):
    """Digits: ink as `prepare` takes it, and labels."""

    inks: list[np.ndarray]  # float (H, W)
    labels: np.ndarray  # int64 (N,)


def on_pages(examples: Examples, sizes: list[int], seed: int) -> Samples:
    """Write random examples on pages with `sizes` digits, save these as JPEG, find the digits.

    A digit that is not found has no ink and the label NOT_FOUND. Prints how many are not found, and
    how many things that are no digits.
    """
    chosen = np.split(
        np.random.default_rng(seed).permutation(len(examples.labels)), np.cumsum(sizes)
    )
    inks, labels, more = [], [], 0
    with TemporaryDirectory() as folder:
        path = Path(folder) / "page.jpg"
        for number, rows in enumerate(chosen[: len(sizes)]):
            page = compose(
                examples.images[rows, 0].numpy(), examples.labels[rows].numpy(), seed + number
            )
            Image.fromarray(page.image).save(path, quality=85)
            found = find(path)[2]
            overlap = overlaps(page.boxes, np.array([digit.box for digit in found]))
            for row, label in zip(overlap, page.labels, strict=True):
                seen = row.max() > 0.5
                inks.append(found[row.argmax()].ink if seen else np.zeros((1, 1)))
                labels.append(label if seen else NOT_FOUND)
            more += int((overlap.max(0) <= 0.5).sum())
    lost = labels.count(NOT_FOUND)
    print(
        f"{len(sizes)} pages: {lost} of {len(labels)} digits not found, {more} other things found"
    )
    return Samples(inks, np.array(labels))


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Common area / area of both together, float64 (N, M), of boxes: x, y, width, height."""
    a, b = boxes[:, None], others[None]
    ends = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    common = (ends - np.maximum(a[..., :2], b[..., :2])).clip(0).prod(-1)
    return common / (a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - common)


def of_scikit_learn(tuning: bool = False) -> Samples:
    """The 8 x 8 images of `load_digits` for reporting, or for tuning: other hands than MNIST's.

    Alpaydin, Kaynak, Optical recognition of handwritten digits, UCI repository, 1998.

    Raises:
        LabError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise LabError("load_digits needs scikit-learn: pip install scikit-learn") from error
    data = load_digits()
    part = slice(TUNING) if tuning else slice(TUNING, None)
    return Samples(list(data.images[part] / 16), data.target[part])
