"""Data sets made from others."""

import numpy as np
import torch

from common.data.datasets import Dataset
from common.data.variations import fewer, permuted, shifted, with_shifts


def test_images_move_in_four_directions_and_leave_black_behind() -> None:
    one = torch.arange(1, 10, dtype=torch.uint8).view(1, 1, 3, 3)
    right, down, left, up, again = shifted(one.repeat(5, 1, 1, 1), 1)[:, 0].tolist()
    assert right == [[0, 1, 2], [0, 4, 5], [0, 7, 8]]
    assert down == [[0, 0, 0], [1, 2, 3], [4, 5, 6]]
    assert left == [[2, 3, 0], [5, 6, 0], [8, 9, 0]]
    assert up == [[4, 5, 6], [7, 8, 9], [0, 0, 0]]
    assert again == right
    assert torch.equal(shifted(one, 0), one)


def test_shifts_are_of_the_test_images_alone(digits: Dataset) -> None:
    given = with_shifts(digits, range(1, 4))
    assert list(given.variations) == ["shift-1", "shift-2", "shift-3"]
    assert given.train is digits.train and given.test is digits.test
    for part in given.variations.values():
        assert torch.equal(part.labels, digits.test.labels)
        assert part.images.float().mean() <= digits.test.images.float().mean()


def test_one_permutation_for_all_images(digits: Dataset) -> None:
    other = permuted(with_shifts(digits, range(2, 3)))
    assert other.name == "synthetic-digits-permuted"
    before = torch.cat([digits.train.images, digits.test.images]).flatten(1)
    after = torch.cat([other.train.images, other.test.images]).flatten(1)
    assert not torch.equal(before, after)
    # The columns are the same, in another order: each pixel keeps its values over all images.
    for pixels in (before, after):
        assert pixels.shape == (400, 784)
    assert sorted(map(bytes, before.T.numpy())) == sorted(map(bytes, after.T.numpy()))
    moved = with_shifts(digits, range(2, 3)).variations["shift-2"].images.flatten(1)
    place = {bytes(column): i for i, column in enumerate(before.T.contiguous().numpy())}
    order = [place[bytes(column)] for column in after.T.contiguous().numpy()]
    same = before.T.unique(dim=0).shape[0]
    assert same > 700  # so that nearly every pixel can be told by its values
    agreed = moved[:, order] == other.variations["shift-2"].images.flatten(1)
    assert agreed.float().mean() > 0.95
    assert np.unique(order).size == same


def test_fewer_images_are_of_all_classes_and_among_more(digits: Dataset) -> None:
    def examples(percent: int) -> set[tuple[bytes, int]]:
        images, labels = fewer(digits, percent).train
        return set(zip(map(bytes, images.numpy()), labels.tolist(), strict=True))

    ten = fewer(digits, 10)
    assert ten.name == "synthetic-digits-10-percent"
    assert torch.bincount(ten.train.labels).tolist() == [3] * 10
    assert examples(10) < examples(30) < examples(100)
    assert ten.test is digits.test
