"""The data sets as tensors: what is in them, how they are split and normalised."""

import hashlib
import pickle
import struct
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import Hostile
from torchvision import transforms

from common import LabError
from common.data import datasets as data
from common.data import synthetic
from common.data.datasets import Dataset, Examples, load, stratified
from common.data.download import Source
from common.models.networks import cifar_cnn, lenet5, mlp
from common.training.loop import train
from common.training.recipes import Recipe


def identities(count: int) -> Examples:
    """Images that say which they are, so that a split can be checked image by image."""
    numbers = torch.arange(count)
    digits = [numbers // 65536, numbers // 256 % 256, numbers % 256]
    return Examples(torch.stack(digits, 1).to(torch.uint8).view(-1, 1, 1, 3), numbers % 10)


@pytest.mark.parametrize(("every", "tested"), [(4, 17500), (3, 23333), (6, 11666)])
def test_a_split_is_stratified_whole_and_without_overlap(every: int, tested: int) -> None:
    examples = identities(70000)
    train, test = stratified(examples, every)
    assert len(test.labels) == tested
    both = torch.cat([train.images, test.images]).view(-1, 3).long()
    numbers = (both * torch.tensor([65536, 256, 1])).sum(1)
    assert torch.equal(numbers.sort().values, torch.arange(70000))
    counts = torch.bincount(test.labels)
    assert counts.max() - counts.min() <= 1
    again, _ = stratified(examples, every)
    assert torch.equal(again.images, train.images)


def test_normalised_is_what_torchvision_gives(objects: Dataset) -> None:
    image = objects.train.images[0]
    compose = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    )
    assert torch.equal(objects.normalised(image), compose(image.permute(1, 2, 0).numpy()))


def test_built_in_images_come_from_their_seed() -> None:
    for draw, shape in ((synthetic.digits, (1, 28, 28)), (synthetic.objects, (3, 32, 32))):
        (images, labels), (test_images, test_labels) = draw(seed=1, train=50, test=20)
        assert images.shape == (50, *shape)
        assert images.dtype == torch.uint8
        assert torch.bincount(labels).tolist() == [5] * 10
        assert torch.bincount(test_labels).tolist() == [2] * 10
        assert torch.equal(images, draw(seed=1, train=50, test=20)[0][0])
        assert not torch.equal(images, draw(seed=2, train=50, test=20)[0][0])
        for image in test_images:
            assert not (images == image).all((1, 2, 3)).any()


def test_built_in_digits_need_more_than_a_linear_classifier(tmp_path: Path) -> None:
    dataset = load("synthetic-digits", "standard", tmp_path)
    recipe = Recipe("r", epochs=4, batch_size=64, lr=0.03, momentum=0.9, schedule="one-cycle")
    linear = train(mlp, dataset, recipe, seed=0).test.accuracy
    convolutional = train(lenet5, dataset, recipe, seed=0).test.accuracy
    assert convolutional > 0.95
    assert linear < convolutional - 0.1


def test_built_in_objects_can_be_learnt(tmp_path: Path) -> None:
    dataset = load("synthetic-objects", "standard", tmp_path)
    recipe = Recipe("r", epochs=5, batch_size=32, lr=0.03, momentum=0.9, schedule="one-cycle")
    assert train(cifar_cnn, dataset, recipe, seed=0).test.accuracy > 0.6


def test_no_data_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers the proxies
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    for base, title in (("mnist", "MNIST"), ("cifar10", "CIFAR-10")):
        assert not data.present(base, tmp_path)
        with pytest.raises(LabError, match=f"{title} is not in .*--data-dir.*--synthetic"):
            load(base, "standard", tmp_path)


@pytest.mark.real_data
def test_mnist(data_dir: Path) -> None:
    dataset = load("mnist", "standard", data_dir)
    assert dataset.train.images.shape == (60000, 1, 28, 28)
    assert dataset.test.images.shape == (10000, 1, 28, 28)
    assert dataset.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert dataset.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    pixels = dataset.train.images.double() / 255
    assert (
        round(pixels.mean().item(), 4),
        round(pixels.std().item(), 4),
    ) == data.MNIST_NORMALISATION
    # No test image is a training image.
    assert not set(map(bytes, dataset.train.images.numpy())) & set(
        map(bytes, dataset.test.images.numpy())
    )


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("split", "train", "test"),
    [("75-25", 52500, 17500), ("2-1", 46667, 23333), ("validation", 50000, 10000)],
)
def test_mnist_splits(data_dir: Path, split: str, train: int, test: int) -> None:
    dataset = load("mnist", split, data_dir)
    assert dataset.name == f"mnist-{split}"
    assert (len(dataset.train.labels), len(dataset.test.labels)) == (train, test)
    shares = [
        torch.bincount(part.labels) / len(part.labels) for part in (dataset.train, dataset.test)
    ]
    assert (shares[0] - shares[1]).abs().max() < 2e-4


@pytest.mark.real_data
def test_validation_never_sees_the_test_set(data_dir: Path) -> None:
    standard, held_out = (load("mnist", split, data_dir) for split in ("standard", "validation"))
    tested = set(map(bytes, standard.test.images.numpy()))
    for part in (held_out.train, held_out.test):
        assert not tested & set(map(bytes, part.images.numpy()))


@pytest.mark.real_data
def test_cifar10(data_dir: Path) -> None:
    dataset = load("cifar10", "standard", data_dir)
    assert dataset.train.images.shape == (50000, 3, 32, 32)
    assert torch.bincount(dataset.train.labels).tolist() == [5000] * 10
    assert torch.bincount(dataset.test.labels).tolist() == [1000] * 10
    names = [dataset.classes[label] for label in dataset.test.labels[:4]]
    assert names == ["cat", "ship", "ship", "plane"]  # the tutorial's first test batch
    assert not set(map(bytes, dataset.train.images.numpy())) & set(
        map(bytes, dataset.test.images.numpy())
    )


@pytest.mark.real_data
def test_a_damaged_byte_is_found_before_torchvision_opens_the_file(
    data_dir: Path, tmp_path: Path
) -> None:
    for file in data.mnist_source().files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        whole = bytearray((data_dir / file).read_bytes())
        if "t10k-labels" in file:
            whole[-1] ^= 1
        (tmp_path / file).write_bytes(whole)
    with pytest.raises(LabError, match="t10k-labels-idx1-ubyte is damaged"):
        load("mnist", "standard", tmp_path)


IMAGES = struct.pack(">IIII", 2051, 10000, 28, 28)  # magic, count, rows, columns
LABELS = struct.pack(">II", 2049, 60000)
DAMAGED = {
    "magic": ("t10k-images-idx3", struct.pack(">IIII", 2049, 10000, 28, 28)),
    "count": ("t10k-images-idx3", struct.pack(">IIII", 2051, 1 << 31, 28, 28)),
    "sides": ("t10k-images-idx3", struct.pack(">IIII", 2051, 10000, 1 << 16, 1 << 16)),
    "truncated": ("t10k-images-idx3", IMAGES + bytes(783)),
    "half a header": ("t10k-images-idx3", IMAGES[:7]),
    "empty": ("t10k-images-idx3", b""),
    "too long": ("t10k-images-idx3", IMAGES + bytes(10000 * 784 + 1)),
    "compressed": ("t10k-images-idx3", b"\x1f\x8b" + bytes(100)),
    "labels out of range": ("train-labels-idx1", LABELS + bytes([10]) * 60000),
}


@pytest.mark.parametrize(("name", "whole"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_mnist_file_is_refused_by_name(
    name: str, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = f"MNIST/raw/{name}-ubyte"
    source = fill(tmp_path, data.mnist_source(), damaged)
    monkeypatch.setattr(data, "mnist_source", lambda: source)
    (tmp_path / damaged).write_bytes(whole)
    with pytest.raises(LabError, match=f"{damaged} is damaged: its MD5 sum is"):
        load("mnist", "standard", tmp_path)


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
def test_a_hostile_pickle_is_refused_before_it_is_opened(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, hostile = tmp_path / "mark", f"cifar-10-batches-py/{name}"
    whole = pickle.dumps(Hostile(mark))
    pickle.loads(whole)
    mark.unlink()  # it would have been made
    source = fill(tmp_path, data.cifar10_source(), hostile)
    monkeypatch.setattr(data, "cifar10_source", lambda: source)
    (tmp_path / hostile).write_bytes(whole)
    with pytest.raises(LabError, match=f"{hostile} is damaged"):
        load("cifar10", "standard", tmp_path)
    assert not mark.exists()


def fill(folder: Path, source: Source, but: str) -> Source:
    """Files of a few bytes in the place of a data set's; their sums, of one the published."""
    for file in source.files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"few bytes")
    few = hashlib.md5(b"few bytes").hexdigest()
    return replace(source, files=dict.fromkeys(source.files, few) | {but: source.files[but]})
