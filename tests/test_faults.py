"""Scripts and workers really killed, in the middle of a sweep: nothing finished is lost."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells a process's children")

SCRIPT = "part2_lenet5.py"
OPTIONS = ["--synthetic", "--epochs", "2", "--designs", "lenet5-2017", "lenet5-relu", "--seeds"]
PLACE_AND_TIME = ["train_seconds", "seconds", "threads", "device", "torch"]


def start(folder: Path, seeds: int, *more: str) -> subprocess.Popen:
    folders = ["--results-dir", folder / "results", "--figures-dir", folder / "figures"]
    return subprocess.Popen(
        [sys.executable, ROOT / SCRIPT, *OPTIONS, str(seeds), *folders, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(folder: Path, seeds: int, *more: str) -> None:
    process = start(folder, seeds, *more)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said


def measured(folder: Path) -> dict[str, str]:
    """Every CSV file without the columns of time and place."""
    return {
        path.name: pd.read_csv(path, dtype=str)
        .drop(columns=PLACE_AND_TIME, errors="ignore")
        .to_csv(index=False)
        for path in sorted((folder / "results").glob("*.csv"))
    }


def workers(pid: int) -> list[int]:
    """The processes that train: children that were spawned by multiprocessing."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def wait_for_line(process: subprocess.Popen, start: str) -> None:
    for line in process.stdout:
        if line.startswith(start):
            return
    raise AssertionError(f"no line begins with {start}: {process.stderr.read()}")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_sweep_keeps_what_is_finished(tmp_path: Path, signum: int) -> None:
    process = start(tmp_path, 50, "--jobs", "1")
    wait_for_line(process, "[1/")
    trainers = workers(process.pid)
    assert len(trainers) == 1
    process.send_signal(signum)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == "interrupted: finished runs are kept, the same command carries on\n"
    assert len(pd.read_csv(tmp_path / "results" / "part2_lenet5.csv")) >= 1
    assert not any(Path(f"/proc/{pid}").exists() for pid in trainers)


@pytest.mark.faults
def test_ctrl_c_reaches_the_whole_group_and_says_one_line(tmp_path: Path) -> None:
    """As a terminal sends it: to the script and its workers alike."""
    folders = ["--results-dir", tmp_path / "results", "--figures-dir", tmp_path / "figures"]
    process = subprocess.Popen(
        [sys.executable, ROOT / SCRIPT, *OPTIONS, "50", *folders],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for_line(process, "[1/")
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == "interrupted: finished runs are kept, the same command carries on\n"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(folder, 3, "--jobs", "1")
    return measured(folder)


@pytest.mark.faults
def test_a_script_killed_again_and_again_ends_at_the_same_files(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    moments = random.Random(0)
    kills = 0
    for _ in range(8):
        process = start(tmp_path, 3)
        try:
            process.wait(timeout=moments.uniform(3, 12))
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        process.communicate()
        for path in (tmp_path / "results").glob("*.csv"):
            assert path.read_text().endswith("\n")
            pd.read_csv(path)
    assert kills > 0
    finish(tmp_path, 3)
    assert measured(tmp_path) == undisturbed
    assert not list((tmp_path / "results").glob("*.tmp"))


@pytest.mark.faults
def test_workers_of_a_killed_script_end_too(tmp_path: Path) -> None:
    process = start(tmp_path, 50)
    wait_for_line(process, "[1/")
    trainers = workers(process.pid)
    assert len(trainers) == 2 or os.cpu_count() != 2
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in trainers):  # at most until the end of an epoch
        assert time.monotonic() < deadline


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.faults
def test_a_killed_worker_costs_its_run_alone(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    process = start(tmp_path, 3, "--jobs", "2")
    wait_for_line(process, "[1/6]")
    victim = workers(process.pid)[0]
    os.kill(victim, signal.SIGKILL)
    out, said = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "failed: its process ended by SIGKILL" in said
    assert "the same command tries again" in out
    (failed,) = [line for line in out.splitlines() if line.startswith("failed: ")]
    run = failed.removeprefix("failed: ").split(";")[0]
    assert run in said
    frame = pd.read_csv(tmp_path / "results" / "part2_lenet5.csv")
    assert len(frame) == 5
    finish(tmp_path, 3)
    assert measured(tmp_path) == undisturbed


@pytest.mark.faults
@pytest.mark.parametrize("jobs", ["1", "3"])
def test_any_number_of_jobs_ends_at_the_same_files(
    tmp_path: Path, jobs: str, undisturbed: dict[str, str]
) -> None:
    finish(tmp_path, 3, "--jobs", jobs)
    assert measured(tmp_path) == undisturbed
