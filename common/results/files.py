"""Files that are never seen half written, and that one process at a time writes."""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch import Tensor

from common import LabError


def write_csv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write rows of cells, the header among them, in one piece."""
    with replacing(path) as beside, open(beside, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def save_weights(path: Path, key: Sequence[str | int | float], weights: dict[str, Tensor]) -> None:
    """Write a state dict, and the run it is of, in one piece; `sweep.trained` reads it."""
    whole = io.BytesIO()
    # Given a path, torch.save would report a full disk as a RuntimeError.
    torch.save({"run": list(key), "weights": weights}, whole)
    with replacing(path) as beside:
        beside.write_bytes(whole.getvalue())


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file; the system lets go of it when the process ends, however it ends.

    Raises:
        LabError: another process holds it, or it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a")  # noqa: SIM115
    except OSError as error:
        raise cannot_write(path, error) from error
    with file:
        try:
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LabError(
                f"another sweep writes to {path.with_suffix('.csv')}: wait for it, or name "
                "another folder with --results-dir"
            ) from error
        yield


_held: set[Path] = set()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait for the turn to change what scripts that run at the same time share in a folder.

    A lock of the folder itself, which leaves nothing behind; it may be taken again within. Windows
    has none, nor have some file systems of networks: there two scripts that end in the same moment
    may disturb each other.
    """
    folder = folder.resolve()
    if os.name == "nt" or folder in _held:
        yield
        return
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        _held.add(folder)
        yield
    finally:
        _held.discard(folder)
        os.close(handle)


def cannot_write(path: Path, error: OSError) -> LabError:
    """The one line for a file that cannot be written."""
    return LabError(
        f"cannot write {path}: {error.strerror or error}; mend that, or name other folders "
        "with --results-dir and --figures-dir"
    )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, which takes the place of `path` once it is whole.

    Raises:
        LabError: it cannot be written; `path` is as it was.
    """
    beside = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())  # before the name points to it, or a power cut loses both
        os.replace(beside, path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise cannot_write(path, error) from error
