"""A script started in a process of its own, watched, and found with its workers."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from conftest import ROOT, heed_signals

SCRIPT = "part2_lenet5.py"
OPTIONS = ["--synthetic", "--epochs", "2", "--designs", "lenet5-2017", "lenet5-relu", "--seeds"]

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
    folders = ["--results-dir", folder / "results", "--figures-dir", folder / "figures"]

    return subprocess.Popen(
        [sys.executable, ROOT / SCRIPT, *OPTIONS, str(seeds), *folders, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_signals,
        env=environment or None,
    )


def finish(folder: Path, seeds: int, *more: str) -> None:
    """Run the script to its end."""
    process = launch(folder, seeds, *more)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said


def workers(pid: int) -> list[int]:
    """The processes that train: children that were spawned by multiprocessing."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def wait_for_line(process: subprocess.Popen, start: str) -> None:
    """Read what the script says until a line begins so."""
    for line in process.stdout:
        if line.startswith(start):
            return
    raise AssertionError(f"no line begins with {start}: {process.stderr.read()}")
