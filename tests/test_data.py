"""The data sets as tensors: what is in them, how they are split and normalised."""

import hashlib
import os
import pickle
import struct
import tempfile
import urllib.request
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from conftest import Hostile
from torchvision import transforms

from common import LabError
from common.data import datasets as data
from common.data import download, synthetic
from common.data.datasets import BASES, Base, Dataset, Examples, load, read_mnist, stratified
from common.data.download import Archive, Source
from common.data.mapped import mapped_file, read_mapped
from common.data.transforms import fewer, permuted, with_shifts
from common.models.networks import LENET5, cifar_design, mlp_design
from common.training.loop import Run, train
from common.training.recipes import Recipe, one_cycle


def identities(count: int) -> Examples:
    """Images that encode their numbers, so that a split can be checked image by image."""
    numbers = torch.arange(count)
    digits = [numbers // 65536, numbers // 256 % 256, numbers % 256]
    return Examples(torch.stack(digits, 1).to(torch.uint8).view(-1, 1, 1, 3), numbers % 10)


@pytest.mark.parametrize(("every", "tested"), [(4, 17500), (3, 23333), (6, 11666)])
def test_a_split_is_stratified_complete_and_without_overlap(every: int, tested: int) -> None:
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


def test_normalised_agrees_with_torchvision(objects: Dataset) -> None:
    image = objects.train.images[0]
    compose = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    )
    assert torch.equal(objects.normalised(image), compose(image.permute(1, 2, 0).numpy()))


def test_built_in_images_depend_on_the_seed() -> None:
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
    dataset = load("synthetic-digits", tmp_path)
    recipe = Recipe("r", epochs=3, batch_size=64, lr=0.03, momentum=0.9, schedule=one_cycle)
    linear, convolutional = (
        train(Run(design, recipe, dataset.name), dataset).test.accuracy
        for design in (mlp_design(), LENET5)
    )
    assert convolutional > 0.95
    assert linear < convolutional - 0.1


def test_built_in_objects_can_be_learnt(tmp_path: Path) -> None:
    dataset = load("synthetic-objects", tmp_path)
    recipe = Recipe("r", epochs=4, batch_size=32, lr=0.03, momentum=0.9, schedule=one_cycle)
    run = Run(cifar_design("6-16"), recipe, dataset.name)
    assert train(run, dataset).test.accuracy > 0.6


def same(one: Dataset, other: Dataset) -> bool:
    """Whether two data sets have the same parts."""
    parts = [[d.train, d.test, *d.variations.values()] for d in (one, other)]
    return [*one.variations] == [*other.variations] and all(
        torch.equal(mine, yours)
        for pair in zip(*parts, strict=True)
        for mine, yours in zip(*pair, strict=True)
    )


def test_a_name_says_how_the_data_set_is_split_and_changed(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Base(digits.classes, digits.normalisation, lambda _: (digits.train, digits.test))
    monkeypatch.setitem(BASES, "synthetic-digits", base)
    whole = Examples(*map(torch.cat, zip(digits.train, digits.test, strict=True)))
    splits = {
        "": (digits.train, digits.test),
        "-75-25": stratified(whole, 4),
        "-2-1": stratified(whole, 3),
        "-validation": stratified(digits.train, 6),
    }
    for split, (train_part, test_part) in splits.items():
        plain = replace(digits, train=train_part, test=test_part)
        for expected in (plain, with_shifts(plain, range(1, 7))):
            shifts = bool(expected.variations)
            for suffix, dataset in (
                ("", expected),
                ("-permuted", permuted(expected)),
                ("-3-percent", fewer(expected, 3)),
                ("-100-percent", expected),
            ):
                name = f"synthetic-digits{split}{suffix}"
                loaded = load(name, tmp_path, shifts)
                assert (loaded.name, loaded.classes) == (name, data.DIGITS)
                assert same(loaded, dataset)
                assert data.normalisation_of(name) == data.MNIST_NORMALISATION
                assert data.present(name, tmp_path)


def test_names_and_splits() -> None:
    assert data.dataset_name("mnist") == "mnist"
    assert data.dataset_name("mnist", "2-1") == "mnist-2-1"
    assert data.normalisation_of("cifar10-validation") == data.TUTORIAL_NORMALISATION


@pytest.mark.parametrize(
    "name",
    [
        *("", "letters", "MNIST", "mnist-", "mnist-75", "mnist-standard", "cifar100"),
        *("mnist-permuted-75-25", "mnist-0-percent", "mnist-101-percent", "mnist-03-percent"),
        *("mnist-permuted-3-percent", "mnist\n", "synthetic", "mnist-shift-1"),
    ],
)
def test_a_name_of_no_data_set_is_refused(name: str, tmp_path: Path) -> None:
    for refused in (
        lambda: load(name, tmp_path),
        lambda: data.present(name, tmp_path),
        lambda: data.normalisation_of(name),
    ):
        with pytest.raises(ValueError, match="no data set"):
            refused()


def write_letters(folder: Path) -> Source:
    """A data set in MNIST's format: 3 images to train on, 2 to test on."""
    folder.mkdir(parents=True)
    for part, count in (("train", 3), ("t10k", 2)):
        header = struct.pack(">IIII", 2051, count, 4, 5)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + bytes(range(20 * count)))
        labels = struct.pack(">II", 2049, count) + bytes(range(count))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    files = {
        str(path.relative_to(folder.parent.parent)): hashlib.md5(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
    }
    return Source("Letters", (Archive("letters.tar.gz", "", (), files),))


@pytest.mark.parametrize("checked", [False, True])
def test_another_data_set_in_mnists_format_and_a_path_with_a_tilde(
    checked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_letters(tmp_path / "my data/letters/raw")
    read = partial(read_mnist, folder="letters/raw")
    base = Base(("a", "b", "c"), (0.5, 0.25), read, (lambda: source) if checked else None)
    monkeypatch.setitem(BASES, "letters", base)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    folder = Path("~/my data")
    assert data.present("letters", folder)
    dataset = load("letters-permuted", folder)
    assert (dataset.name, dataset.classes) == ("letters-permuted", ("a", "b", "c"))
    images, labels = load("letters", folder).train
    assert torch.equal(images, torch.arange(60, dtype=torch.uint8).view(3, 1, 4, 5))
    assert labels.dtype == torch.int64 and labels.tolist() == [0, 1, 2]
    monkeypatch.setitem(BASES, "letters", base._replace(classes=("a", "b")))
    with pytest.raises(LabError, match="letters has the label 2, but only 2 classes"):
        load("letters", folder)


NAMES = [
    ("synthetic-digits-10-percent", True),
    pytest.param("mnist-2-1-permuted", False, marks=pytest.mark.real_data),
    pytest.param("cifar10-validation", False, marks=pytest.mark.real_data),
]


@pytest.mark.parametrize(("name", "shifts"), NAMES)
def test_a_mapped_file_has_the_data_set(
    name: str, shifts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data_dir = Path(os.environ.get("LAB_DATA_DIR", tmp_path))
    file = mapped_file(name, data_dir, shifts)
    assert same(read_mapped(file, "cpu"), load(name, data_dir, shifts))
    assert file.parent.parent == tmp_path and file.parent.stat().st_mode & 0o077 == 0
    written = file.stat().st_mtime_ns
    assert mapped_file(name, data_dir, shifts) == file  # it is written once
    assert file.stat().st_mtime_ns == written
    assert mapped_file(name, data_dir, not shifts) != file


def test_the_mapped_file_of_changed_images_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data set without checksums: a user has replaced its files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    images = torch.zeros(10, 1, 28, 28, dtype=torch.uint8), torch.arange(10)
    base = BASES["synthetic-digits"]._replace(read=lambda _: (images, images))
    monkeypatch.setitem(BASES, "mine", base)
    before = mapped_file("mine", tmp_path)
    images[0][3] = 1
    after = mapped_file("mine", tmp_path)
    assert after != before
    assert read_mapped(after, "cpu").train.images[3].min() == 1


def test_a_mapped_file_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.raises(
        LabError, match=r"cannot write synthetic-digits to .* set the variable TMPDIR"
    ):
        mapped_file("synthetic-digits", tmp_path)


def test_no_data_and_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers the proxies
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    for base, title in (("mnist", "MNIST"), ("cifar10", "CIFAR-10")):
        assert not data.present(base, tmp_path)
        with pytest.raises(LabError, match=f"{title} is not in .*--data-dir.*--synthetic"):
            load(base, tmp_path)


@pytest.mark.real_data
def test_mnist(data_dir: Path) -> None:
    dataset = load("mnist", data_dir)
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
    dataset = load(f"mnist-{split}", data_dir)
    assert dataset.name == f"mnist-{split}"
    assert (len(dataset.train.labels), len(dataset.test.labels)) == (train, test)
    shares = [
        torch.bincount(part.labels) / len(part.labels) for part in (dataset.train, dataset.test)
    ]
    assert (shares[0] - shares[1]).abs().max() < 2e-4


@pytest.mark.real_data
def test_validation_never_sees_the_test_set(data_dir: Path) -> None:
    standard, held_out = (load(name, data_dir) for name in ("mnist", "mnist-validation"))
    tested = set(map(bytes, standard.test.images.numpy()))
    for part in (held_out.train, held_out.test):
        assert not tested & set(map(bytes, part.images.numpy()))


@pytest.mark.real_data
def test_cifar10(data_dir: Path) -> None:
    dataset = load("cifar10", data_dir)
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
    for file in files_of(download.mnist_source()):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        whole = bytearray((data_dir / file).read_bytes())
        if "t10k-labels" in file:
            whole[-1] ^= 1
        (tmp_path / file).write_bytes(whole)
    with pytest.raises(LabError, match="t10k-labels-idx1-ubyte is damaged"):
        load("mnist", tmp_path)


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
    source = fill(tmp_path, download.mnist_source(), damaged)
    monkeypatch.setitem(BASES, "mnist", BASES["mnist"]._replace(source=lambda: source))
    (tmp_path / damaged).write_bytes(whole)
    with pytest.raises(LabError, match=f"{damaged} is damaged: its MD5 sum is"):
        load("mnist", tmp_path)


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
def test_a_hostile_pickle_is_refused_before_it_is_opened(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, hostile = tmp_path / "mark", f"cifar-10-batches-py/{name}"
    whole = pickle.dumps(Hostile(mark))
    pickle.loads(whole)
    mark.unlink()  # it would have been made
    source = fill(tmp_path, download.cifar10_source(), hostile)
    monkeypatch.setitem(BASES, "cifar10", BASES["cifar10"]._replace(source=lambda: source))
    (tmp_path / hostile).write_bytes(whole)
    with pytest.raises(LabError, match=f"{hostile} is damaged"):
        load("cifar10", tmp_path)
    assert not mark.exists()


def files_of(source: Source) -> dict[str, str]:
    """All files of a data set, with their sums."""
    return {file: md5 for archive in source.archives for file, md5 in archive.files.items()}


def fill(folder: Path, source: Source, but: str) -> Source:
    """Write files of a few bytes instead of a data set's; with their sums, but for one file."""
    for file in files_of(source):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"few bytes")
    few = hashlib.md5(b"few bytes").hexdigest()
    archives = [
        replace(archive, files={**dict.fromkeys(archive.files, few), **some})
        for archive in source.archives
        for some in [{but: archive.files[but]} if but in archive.files else {}]
    ]
    return replace(source, archives=tuple(archives))
