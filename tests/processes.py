"""A script started in a process of its own, watched, and found with its workers.

Its runs take less than a second, so that tests wait for the start of processes, not for training.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from conftest import ROOT, heed_signals

import part2_mlp

SCRIPT = "part2_mlp.py"
OPTIONS = ["--synthetic", "--epochs", "1", "--designs", "30", "300-100", "--seeds"]
SEEDS = 3  # of the undisturbed sweep that others are compared with: six runs

SAID = "interrupted: finished runs are saved; the same command, without --fresh, carries on\n"

Start = Callable[..., subprocess.Popen]


def launch(
    folder: Path,
    seeds: int,
    *more: str,
    **environment: str,
) -> subprocess.Popen:
    """The script, in a process group of its own as a shell would put it.

    Args:
        folder: what results and figures go below.
        seeds: how many of each of the two designs.
        more: further options.
        environment: all of it; without it, this process's.
    """
    return subprocess.Popen(
        [sys.executable, ROOT / SCRIPT, *options(folder, seeds), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_signals,
        env=environment or None,
    )


def options(folder: Path, seeds: int = SEEDS) -> list[str]:
    """The script's options, with results and figures below `folder`."""
    folders = ["--results-dir", str(folder / "results"), "--figures-dir", str(folder / "figures")]
    return [*OPTIONS, str(seeds), *folders]


def finish(folder: Path, *more: str) -> None:
    """Run the script to its end, in this process: only its one worker is another."""
    assert part2_mlp.main([*options(folder), "--jobs", "1", *more]) == 0


def workers(pid: int) -> list[psutil.Process]:
    """The processes that train: children that were spawned by multiprocessing."""
    found = []
    with suppress(psutil.NoSuchProcess):  # the script has ended
        for child in psutil.Process(pid).children():
            with suppress(psutil.NoSuchProcess):  # this worker has ended
                if any("spawn_main" in word for word in child.cmdline()):
                    found.append(child)
    return found


def kill(process: psutil.Process) -> None:
    """Kill a process, if it has not ended meanwhile."""
    with suppress(psutil.NoSuchProcess):
        process.kill()


def group(pid: int) -> list[psutil.Process]:
    """The processes of the group that `pid` leads."""
    members = []
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if os.getpgid(process.pid) == pid and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
    return members


def assert_group_ends(pid: int) -> None:
    """No process of the script's group outlives it by more than ten seconds."""
    _, alive = psutil.wait_procs(group(pid), timeout=10)
    assert alive == []


def wait_for_line(process: subprocess.Popen, text: str) -> str:
    """Read what a process prints until a line has the text; returns the line."""
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"no line has {text}: {process.stderr and process.stderr.read()}")
