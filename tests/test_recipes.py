"""Recipes: augmentation, initialisation, schedule, and what they leave alone."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from common.data.augmentation import distort, flip_and_shift, smooth
from common.data.datasets import Dataset
from common.exploration import RECIPES
from common.models.networks import cifar_cnn, mlp
from common.training.loop import batches, image_random, train
from common.training.recipes import Recipe, kaiming, optimizer, scheduler


def numbered(count: int = 1000, size: int = 8) -> Tensor:
    """Images whose pixels all differ, so that each tells where it came from."""
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
    recipe = Recipe("r", 1, 32, 0.01, 0.9, augment=flip_and_shift)
    plain = replace(recipe, augment=None)
    assert train(cifar_cnn, objects, recipe, 0).epochs != train(cifar_cnn, objects, plain, 0).epochs
    assert torch.equal(objects.test.images, before[0])
    assert torch.equal(objects.train.images, before[1])


def test_kaiming_keeps_the_signals_scale_where_pytorchs_own_lets_it_fade() -> None:
    """He's own experiment: the activations of a deep ReLU network at its first weights."""
    torch.manual_seed(0)
    x = torch.randn(256, 784)
    scales = {}
    for name, initialise in (("kaiming", kaiming), ("pytorch", lambda model: None)):
        model = mlp(*[400] * 8)
        initialise(model)
        scales[name] = model[:-1](x.view(256, 1, 28, 28)).square().mean().sqrt().item()
    assert 0.5 < scales["kaiming"] < 2
    assert scales["pytorch"] < 0.05


def test_kaiming_by_its_numbers() -> None:
    torch.manual_seed(0)
    model = cifar_cnn(c1=12, c3=28)
    kaiming(model)
    assert model.C3.weight.std().item() == pytest.approx(math.sqrt(2 / (12 * 25)), rel=0.03)
    assert model.F5.weight.std().item() == pytest.approx(math.sqrt(2 / 700), rel=0.03)
    assert all(not module.bias.any() for module in (model.C1, model.C3, model.F5, model.F7))


def test_a_recipe_initialises_every_design_and_the_weights_follow_the_seed(
    objects: Dataset,
) -> None:
    still = Recipe("r", 1, 200, 1e-30, 0.0, initialise=kaiming)
    one, same, other = (train(cifar_cnn, objects, still, seed).weights for seed in (0, 0, 1))
    torch.manual_seed(0)
    expected = cifar_cnn()
    kaiming(expected)
    assert torch.equal(one["F5.weight"], expected.F5.weight)
    assert torch.equal(one["F5.weight"], same["F5.weight"])
    assert not torch.equal(one["F5.weight"], other["F5.weight"])


def test_one_cycle_rises_to_the_rate_of_the_recipe_and_falls_to_nothing() -> None:
    recipe = Recipe("r", epochs=5, batch_size=10, lr=0.2, momentum=0.9, schedule="one-cycle")
    steps = optimizer(recipe, mlp())
    schedule = scheduler(recipe, steps, steps=100)
    rates = []
    for _ in range(100):
        rates.append(steps.param_groups[0]["lr"])
        assert steps.param_groups[0]["momentum"] == 0.9
        steps.step()
        schedule.step()
    assert max(rates) == pytest.approx(0.2)
    assert 25 <= rates.index(max(rates)) <= 33
    assert rates[-1] < 1e-4


def test_an_unknown_schedule_is_refused(digits: Dataset) -> None:
    with pytest.raises(ValueError, match="no schedule"):
        train(mlp, digits, Recipe("r", 1, 32, 0.1, 0.0, schedule="cosine"), seed=0)


def test_the_recipes_of_part_1_differ_in_what_the_lab_says() -> None:
    tutorial, long, begun_well, tuned = RECIPES
    assert replace(long, name="tutorial", epochs=2) == tutorial
    assert replace(begun_well, name="tutorial", initialise=None) == tutorial
    assert begun_well.initialise is kaiming
    assert (tutorial.schedule, tutorial.augment, tutorial.initialise) == ("constant", None, None)
    assert tuned.epochs <= 40 and tuned.augment and tuned.initialise


def centre(images: Tensor) -> Tensor:
    """Row and column of the centre of gravity of each image: (N, 2)."""
    weight = images.float().flatten(2).squeeze(1)
    place = torch.cartesian_prod(*(torch.arange(float(side)) for side in images.shape[2:]))
    return weight @ place / weight.sum(1, keepdim=True)


def test_distortion_by_nothing_changes_nothing(digits: Dataset) -> None:
    images = digits.train.images
    same = distort(images, image_random(0), shift=0, scale=0, squeeze=0, shear=0)
    assert torch.equal(same, images)


def test_distortions_are_as_large_as_they_say() -> None:
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


def test_waves_are_as_large_and_as_smooth_as_they_say() -> None:
    """Moved by normal random numbers that are alike nearby: white noise under a Gaussian of 4."""
    fields = smooth(4000, 28, 28, image_random(0))
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
