"""The cores and devices of a machine."""

import ctypes
import math
import os
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch

from common import LabError


def cores(control_groups: Path = Path("/sys/fs/cgroup")) -> int:
    """The CPU cores that this process may use, also in a container with a quota."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, int(min(count, quota(control_groups))))


def quota(folder: Path) -> float:
    """The cores that a container may use by its control group (version 2 or 1), or infinity."""
    with suppress(OSError, ValueError):
        limit, period = (folder / "cpu.max").read_text().split()
        return math.inf if limit == "max" else int(limit) / int(period)
    with suppress(OSError, ValueError):
        limit = int((folder / "cpu" / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu" / "cpu.cfs_period_us").read_text())
        return math.inf if limit < 0 else limit / period
    return math.inf


def available(device: str) -> str:
    """The device to train on; LabError if this machine does not have it."""
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return next(name for name, is_there in there.items() if is_there)
    if not there[device]:
        raise LabError(f"no {device} device is available here; use --device cpu, or auto")
    return device


def keep_freed_memory() -> None:
    """Let this process reuse freed memory up to 32 MB a block, as processes do by default.

    Dask sets MALLOC_TRIM_THRESHOLD_ for its workers, so that glibc returns freed memory to the
    system at once. Training then takes two to three times as long.
    """
    if platform.libc_ver()[0] == "glibc":
        trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
        ctypes.CDLL(None).mallopt(mmap_threshold, 2**25)
        ctypes.CDLL(None).mallopt(trim_threshold, 2**26)


def synchronize(device: torch.device) -> None:
    """Wait for an accelerator, so that measured times are correct."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


@cache
def device_name(device: str) -> str:
    """Type and model of a device: `cpu AVX512`. Last digits of results may depend on it."""
    if device == "cuda" and torch.cuda.is_available():
        return f"cuda {torch.cuda.get_device_name()}"
    detail = torch.backends.cpu.get_cpu_capability() if device == "cpu" else platform.machine()
    return f"{device} {detail}"
