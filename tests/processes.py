"""A script started in a process of its own, watched, and found with its workers.

Its runs take less than a second, so that tests wait for the start of processes, not for training.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from conftest import ROOT, heed_signals

import part2_mlp

SCRIPT = "part2_mlp.py"
OPTIONS = ["--synthetic", "--epochs", "1", "--designs", "30", "300-100", "--seeds"]
SEEDS = 3  # of the undisturbed sweep that others are compared with: six runs

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
