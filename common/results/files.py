"""Write complete files or nothing, and lock files."""

import csv
import errno
import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from common import LabError

PATIENCE = 5.0  # seconds to retry while another program, perhaps a virus scanner, uses the file
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}  # errors of disks without locks


def write_csv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write rows of cells, header first; the file is complete or unchanged."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


@contextmanager
def locked(path: Path, wait: float = 0) -> Iterator[None]:
    """Hold a lock file; the system releases it when the process ends, also after a crash.

    Raises:
        LabError: another process still holds it after `wait` seconds, or it cannot be created.
    """
    lock = filelock.FileLock(path, timeout=wait)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            # filelock warns, then uses a file that would stay locked if the process is killed.
            warnings.simplefilter("error", UserWarning)
            lock.acquire()
    except filelock.Timeout as error:
        raise LabError(
            f"another script writes {path.stem} to {path.parent}: wait for it, or name another "
            "folder with --results-dir"
        ) from error
    except (OSError, NotImplementedError, UserWarning) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise cannot_write(path, error) from error
        message = "this disk has no locks: run only one script at a time that writes here"
        print(f"{path.parent}: {message}", file=sys.stderr)
    try:
        yield
    finally:
        lock.release()


def cannot_write(path: Path, error: OSError) -> LabError:
    """The error for a file that cannot be written."""
    return LabError(
        f"cannot write {path}: {error.strerror or error}; fix this, or use other folders "
        "with --results-dir and --figures-dir"
    )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to. The complete file then replaces `path`.

    Raises:
        LabError: the file cannot be written; `path` is unchanged.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())  # before the rename: a power cut must not lose both files
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise cannot_write(path, error) from error
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            os.replace(temporary, path)
            return
        except PermissionError as error:
            if time.monotonic() > deadline:
                rest = f"the new content is in {temporary}"
                raise LabError(f"{cannot_write(path, error)}; {rest}") from error
            time.sleep(0.1)
        except OSError as error:
            raise cannot_write(path, error) from error
