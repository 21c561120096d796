"""Random and fixed image transforms."""

import numpy as np
import pytest
import torch
from torch import Tensor

from common.data.datasets import Dataset
from common.data.transforms import (
    distort,
    fewer,
    flip_and_shift,
    permuted,
    shifted,
    smooth_noise,
    with_shifts,
)
from common.models.networks import cifar_design
from common.training.loop import Run, batches, image_random, train
from common.training.recipes import Recipe


def numbered(count: int = 1000, size: int = 8) -> Tensor:
    """Images in which all pixels differ, so that the origin of each pixel is known."""
    one = torch.arange(3 * size * size, dtype=torch.uint8).view(1, 3, size, size)
    return one.repeat(count, 1, 1, 1)


def test_every_image_is_a_shift_or_its_mirror_image_and_all_of_them_occur() -> None:
    images = numbered()
    varied = flip_and_shift(images, image_random(0), pixels=1)
    assert varied.dtype == torch.uint8 and varied.shape == images.shape
    assert torch.equal(images, numbered())
    one = images[0].numpy()
    padded = np.pad(one, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    shifts = [padded[:, y : y + 8, x : x + 8] for y in range(3) for x in range(3)]
    possible = {image.tobytes() for shift in shifts for image in (shift, shift[:, :, ::-1])}
    counts = np.unique([image.numpy().tobytes() for image in varied], return_counts=True)
    assert len(possible) == 18
    assert set(counts[0]) == possible
    assert counts[1].min() > 25  # 56 are to be expected of each


def test_images_vary_from_epoch_to_epoch_and_run_to_run_but_not_for_a_seed(
    objects: Dataset,
) -> None:
    random = image_random(1)

    def epoch(random: torch.Generator) -> Tensor:
        return torch.cat([x for x, _ in batches(objects, 32, random, flip_and_shift)])

    first, second = epoch(random), epoch(random)
    assert torch.equal(first, epoch(image_random(1)))
    assert not torch.equal(first, epoch(image_random(2)))
    assert sorted(map(bytes, first.numpy())) != sorted(map(bytes, second.numpy()))


def test_the_test_images_are_never_varied(objects: Dataset) -> None:
    before = objects.test.images.clone(), objects.train.images.clone()
    varied, plain = (
        train(Run(cifar_design("6-16"), recipe, objects.name), objects)
        for recipe in (
            Recipe("r", 1, 32, 0.01, 0.9, augment=flip_and_shift),
            Recipe("r", 1, 32, 0.01, 0.9),
        )
    )
    assert varied.epochs[0].train_loss != plain.epochs[0].train_loss
    assert torch.equal(objects.test.images, before[0])
    assert torch.equal(objects.train.images, before[1])


def centre(images: Tensor) -> Tensor:
    """Row and column of the centre of gravity of each image: (N, 2)."""
    weight = images.float().flatten(2).squeeze(1)
    place = torch.cartesian_prod(*(torch.arange(float(side)) for side in images.shape[2:]))
    return weight @ place / weight.sum(1, keepdim=True)


def test_distortion_by_nothing_changes_nothing(digits: Dataset) -> None:
    images = digits.train.images
    same = distort(images, image_random(0), shift=0, scale=0, squeeze=0, shear=0)
    assert torch.equal(same, images)


def test_distortions_have_the_sizes_of_their_arguments() -> None:
    block = torch.zeros(500, 1, 28, 28, dtype=torch.uint8)
    block[:, :, 10:18, 11:17] = 255
    before = block.clone()
    nothing = {"shift": 0.0, "scale": 0.0, "squeeze": 0.0, "shear": 0.0}
    moved = centre(distort(block, image_random(0), **{**nothing, "shift": 2.0})) - centre(block)
    assert 1.9 < moved.abs().amax() < 2.05
    assert moved.mean(0).abs().amax() < 0.2
    mass = distort(block, image_random(0), **{**nothing, "scale": 0.15}).float().sum((1, 2, 3))
    ratio = mass / block[0].float().sum()
    assert 0.85**2 - 0.02 < ratio.min() < 0.75 and 1.28 < ratio.max() < 1.15**2 + 0.02
    narrow = distort(block, image_random(0), **{**nothing, "squeeze": 0.1})
    assert (narrow.float().sum((1, 2, 3)) / block[0].float().sum() - 1).abs().max() < 0.02
    sheared = distort(block, image_random(0), **{**nothing, "shear": 0.2})
    slope = centre(sheared[:, :, 10:12])[:, 1] - centre(sheared[:, :, 16:18])[:, 1]
    assert 1.0 < slope.abs().max() < 0.2 * 6 + 0.1  # 6 rows apart
    assert torch.equal(block, before)
    assert torch.equal(distort(block, image_random(3)), distort(block, image_random(3)))


def test_waves_have_the_documented_size_and_smoothness() -> None:
    """Displacements are normal random numbers: white noise, smoothed by a Gaussian of 4 pixels."""
    fields = smooth_noise(4000, 28, 28, image_random(0))
    assert torch.allclose(fields.std(0), torch.ones(28, 28), atol=0.06)
    for apart in (2, 4, 8):  # two Gaussians of 4 overlap so far
        alike = (fields[:, 14, 10] * fields[:, 14, 10 + apart]).mean()
        assert alike == pytest.approx(np.exp(-(apart**2) / (4 * 4.0**2)), abs=0.08)
    dot = torch.zeros(2000, 1, 28, 32, dtype=torch.uint8)
    dot[:, :, 13:16, 15:18] = 255
    nothing = {"shift": 0.0, "scale": 0.0, "squeeze": 0.0, "shear": 0.0}
    moved = centre(distort(dot, image_random(1), **nothing, wave=1.0)) - centre(dot)
    assert moved.std(0).tolist() == pytest.approx([1, 1], abs=0.15)  # in pixels, both ways
    assert moved.mean(0).abs().max() < 0.1
    assert abs(np.corrcoef(moved.T.numpy())[0, 1]) < 0.1  # each way on its own


def test_images_are_shifted_in_four_directions_and_filled_with_black() -> None:
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
    assert same > 700  # nearly every pixel is identified by its values
    agreed = moved[:, order] == other.variations["shift-2"].images.flatten(1)
    assert agreed.float().mean() > 0.95
    assert np.unique(order).size == same


def test_fewer_images_are_of_all_classes_and_among_more(digits: Dataset) -> None:
    def examples(percent: int) -> set[tuple[bytes, int]]:
        images, labels = fewer(digits, percent).train
        return set(zip(map(bytes, images.numpy()), labels.tolist(), strict=True))

    ten = fewer(digits, 10)
    assert torch.bincount(ten.train.labels).tolist() == [3] * 10
    assert examples(10) < examples(30) < examples(100)
    assert ten.test is digits.test
