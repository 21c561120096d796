"""Training on a GPU, against the same on the CPU; skipped where there is none."""

from dataclasses import replace

import pytest
import torch

from common.data.datasets import Dataset
from common.data.transforms import distort, flip_and_shift
from common.models.lenet1998 import LENET5_1998
from common.models.networks import LENET5, LENET5_2017, LENET5_RELU, mlp_design
from common.training.loop import Run, batches, image_random, train
from common.training.recipes import LECUN1998, MODERN_ELASTIC, Recipe, one_cycle

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same kernels every time."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


# 300 images: nine batches of 32 and one of 12.
SHORT = Recipe("short", epochs=2, batch_size=32, lr=0.02, momentum=0.9, nesterov=True)
ONE_CYCLE = replace(SHORT, schedule=one_cycle, weight_decay=5e-4)
ADAM = Recipe("adam", 2, 32, lr=1e-4, momentum=None, optimizer=torch.optim.Adam)
CASES = {
    "constant": Run(LENET5, SHORT, "synthetic-digits"),
    "one-cycle": Run(LENET5_RELU, ONE_CYCLE, "synthetic-digits"),
    "distorted": Run(mlp_design(300, 100), replace(ONE_CYCLE, augment=distort), "synthetic-digits"),
    "adam": Run(LENET5, ADAM, "synthetic-digits"),
    "1998": Run(
        LENET5_1998, replace(LECUN1998, epochs=2, batch_size=32, lr=0.0003), "synthetic-digits"
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_gpu_trains_what_the_cpu_trains(case: str, digits: Dataset) -> None:
    """The losses of every step."""
    cpu = train(CASES[case], digits)
    gpu = train(CASES[case], digits.to("cuda"))
    torch.testing.assert_close(gpu.step_losses, cpu.step_losses, rtol=1e-3, atol=1e-3)
    for ours, theirs in zip(gpu.epochs, cpu.epochs, strict=True):
        assert ours.train_accuracy == pytest.approx(theirs.train_accuracy, abs=0.011)
    assert gpu.device.startswith("cuda ")
    assert all(weight.device.type == "cpu" for weight in gpu.weights.values())


def test_a_seed_gives_the_same_numbers_on_a_gpu(digits: Dataset) -> None:
    """Dropout has random numbers of the GPU."""
    run = Run(LENET5_2017, SHORT, "synthetic-digits", seed=1)
    first, same = (train(run, digits.to("cuda")) for _ in range(2))
    torch.testing.assert_close(first.step_losses, same.step_losses, rtol=1e-4, atol=1e-4)
    other = train(replace(run, seed=2), digits.to("cuda"))
    assert not torch.allclose(first.step_losses, other.step_losses, rtol=1e-2)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one CUDA device here")
def test_a_second_gpu_trains_the_same(digits: Dataset) -> None:
    """As the second worker of a machine does."""
    first, second = (train(CASES["one-cycle"], digits.to(f"cuda:{n}")) for n in (0, 1))
    torch.testing.assert_close(second.step_losses, first.step_losses, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("augment", [None, distort, MODERN_ELASTIC.augment, flip_and_shift])
def test_a_gpu_sees_the_images_that_the_cpu_sees(augment: object, digits: Dataset) -> None:
    cpu = batches(digits, 32, image_random(0), augment)
    gpu = batches(digits.to("cuda"), 32, image_random(0), augment)
    for (x, y), (on_gpu, labels) in zip(cpu, gpu, strict=True):
        assert torch.equal(labels.cpu(), y)
        # Interpolation rounds: a pixel differs by at most one grey level.
        torch.testing.assert_close(on_gpu.cpu(), x, rtol=0, atol=1.01 / 255 / 0.3081)
