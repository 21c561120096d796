"""Sweeps under torchrun, on loopback: equal files, whatever the ranks, and whoever dies."""

import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from conftest import ROOT, measured
from processes import SCRIPT, finish, options

pytestmark = pytest.mark.faults


def torchrun(folder: Path, ranks: int, restarts: int = 0) -> subprocess.Popen:
    """Start the sweep with so many ranks on this machine."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launcher += ["--nproc-per-node", str(ranks), "--max-restarts", str(restarts)]
    return subprocess.Popen(
        [*launcher, str(ROOT / SCRIPT), *options(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def rank_of(launcher: subprocess.Popen, rank: int) -> psutil.Process:
    """The process of a rank."""
    for process in psutil.Process(launcher.pid).children():
        if process.environ().get("RANK") == str(rank):
            return process
    raise AssertionError(f"no rank {rank}")


def test_any_number_of_ranks_ends_at_the_same_files(
    tmp_path: Path, undisturbed_sweep: dict[str, str]
) -> None:
    process = torchrun(tmp_path, ranks=3)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert measured(tmp_path / "results") == undisturbed_sweep
    assert said.count(" train s\n") == 1  # only rank 0 prints
    assert said.count("] 30 seed 0:") == 1
    again = torchrun(tmp_path, ranks=2)
    said, _ = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert "0 to train here" in said and "] 30 seed" not in said
    assert measured(tmp_path / "results") == undisturbed_sweep


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_costs_nothing_that_was_finished(
    victim: int, tmp_path: Path, undisturbed_sweep: dict[str, str]
) -> None:
    process = torchrun(tmp_path, ranks=2, restarts=1)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("[2/6]"):
            rank_of(process, victim).kill()
    said = "".join(lines)
    assert process.wait(timeout=300) == 0, said
    assert measured(tmp_path / "results") == undisturbed_sweep
    # What was finished before is not trained again.
    after = " ".join(said.split("[2/6]")[1].split())
    assert re.search(r"runs: [2-6] from .* [0-4] to train here", after), said


def test_without_restarts_a_killed_rank_ends_the_sweep_and_the_next_carries_on(
    tmp_path: Path, undisturbed_sweep: dict[str, str]
) -> None:
    process = torchrun(tmp_path, ranks=2)
    for line in process.stdout:
        if line.startswith("[2/6]"):
            rank_of(process, 1).kill()
    assert process.wait(timeout=300) != 0
    finish(tmp_path)
    assert measured(tmp_path / "results") == undisturbed_sweep


def test_a_rank_without_data_is_told(tmp_path: Path) -> None:
    (tmp_path / "MNIST").touch()  # so that nothing can be downloaded to it
    arguments = [option for option in options(tmp_path) if option != "--synthetic"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [
            *launcher,
            "--nproc-per-node",
            "2",
            str(ROOT / SCRIPT),
            *arguments,
            "--data-dir",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode != 0
    assert "error: " in done.stderr
