"""Sweeps under torchrun, on loopback: equal files, whatever the ranks, and whoever dies."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from conftest import ROOT, measured

pytestmark = pytest.mark.faults

SWEEP = ["--synthetic", "--designs", "30", "60", "--seeds", "4", "--epochs", "4"]


def command(folder: Path) -> list[str]:
    """The script and its options, with results and figures below `folder`."""
    folders = ["--results-dir", str(folder), "--figures-dir", str(folder / "figures")]
    return [str(ROOT / "part2_mlp.py"), *SWEEP, *folders]


def torchrun(folder: Path, ranks: int, restarts: int = 0) -> subprocess.Popen:
    """Start the sweep with so many ranks on this machine."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launcher += ["--nproc-per-node", str(ranks), "--max-restarts", str(restarts)]
    return subprocess.Popen(
        [*launcher, *command(folder)],
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


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of the sweep without a launcher."""
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run([sys.executable, *command(folder)], check=True, capture_output=True)
    return measured(folder)


@pytest.mark.parametrize("ranks", [2, 3])
def test_any_number_of_ranks_ends_at_the_same_files(
    ranks: int, tmp_path: Path, alone: dict[str, str]
) -> None:
    process = torchrun(tmp_path, ranks)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert measured(tmp_path) == alone
    assert said.count("accuracy    95 % interval") == 1  # rank 0 alone speaks
    assert said.count("] 30 seed 0:") == 1
    again = torchrun(tmp_path, ranks)
    said, _ = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert "to train" not in said
    assert measured(tmp_path) == alone


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_costs_nothing_that_was_finished(
    victim: int, tmp_path: Path, alone: dict[str, str]
) -> None:
    process = torchrun(tmp_path, ranks=2, restarts=1)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("[3/8]"):
            rank_of(process, victim).kill()
    said = "".join(lines)
    assert process.wait(timeout=300) == 0, said
    assert measured(tmp_path) == alone
    # What was finished before is not trained again.
    assert "of 8 runs to train" in said.split("[3/8]")[1]
    assert "8 of 8 runs to train" not in said.split("[3/8]")[1]


def test_without_restarts_a_killed_rank_ends_the_sweep_and_the_next_carries_on(
    tmp_path: Path, alone: dict[str, str]
) -> None:
    process = torchrun(tmp_path, ranks=2)
    for line in process.stdout:
        if line.startswith("[2/8]"):
            rank_of(process, 1).kill()
    assert process.wait(timeout=300) != 0
    subprocess.run([sys.executable, *command(tmp_path)], check=True, capture_output=True)
    assert measured(tmp_path) == alone


def test_a_rank_without_data_is_told(tmp_path: Path) -> None:
    (tmp_path / "MNIST").touch()  # so that nothing can be downloaded to it
    arguments = [argument for argument in command(tmp_path) if argument != "--synthetic"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*launcher, "--nproc-per-node", "2", *arguments, "--data-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode != 0
    assert "error: " in done.stderr
