"""Data sets in memory-mapped files, so that all processes of a machine share one copy."""

import functools
import hashlib
import os
import tempfile
from pathlib import Path

import filelock
import torch

from common import LabError, one_line
from common.data import download
from common.data.datasets import Dataset, Examples, load, parse_name


def mapped_file(name: str, data_dir: Path, shifts: bool = False) -> Path:
    """The file with the decoded images of the data set `name`, written if it is not there yet.

    It is in this user's part of the temporary folder and can be deleted at any time. Its name has a
    checksum of the source files (or images) and of the code of common/data: it is never outdated.
    Arguments and errors as for `load`. LabError also if the file cannot be written.
    """
    source = parse_name(name)[0].source
    checksum = hashlib.sha256(repr((name, shifts)).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        checksum.update(path.read_bytes())
    dataset = None
    if source:
        data_dir = download.obtain(source(), data_dir.expanduser())  # compares the checksums
        checksum.update(repr([archive.files for archive in source().archives]).encode())
    else:
        dataset = load(name, data_dir, shifts)
        for tensor in (*dataset.train, *dataset.test):
            checksum.update(tensor.numpy())
    try:
        path = own_folder() / f"{name}-{checksum.hexdigest()[:16]}.pt"
        with filelock.FileLock(f"{path}.lock"):  # one process writes, the others wait
            if not path.exists():
                temporary = path.with_suffix(".tmp")
                torch.save(dataset or load(name, data_dir, shifts), temporary)
                os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch.save reports a full disk as RuntimeError
        raise LabError(
            f"cannot write {name} to {tempfile.gettempdir()} ({one_line(error)}): make room there, "
            "or set the variable TMPDIR to another folder"
        ) from error
    return path


def own_folder() -> Path:
    """A folder in the temporary folder that only this user can read and write."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir(), f"lab-data-{user}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and folder.lstat().st_uid != user:
        raise PermissionError(f"{folder} belongs to another user")
    folder.chmod(0o700)
    return folder


@functools.lru_cache(maxsize=1)
def read_mapped(path: Path, device: str) -> Dataset:
    """The data set in a file of `mapped_file`, on a device.

    On the CPU, the system reads a page of the file when it is first used.
    """
    with torch.serialization.safe_globals([Dataset, Examples]):
        return torch.load(path, mmap=True, weights_only=True).to(device)
