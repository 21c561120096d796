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
from conftest import measured
from processes import Start, finish, wait_for_line, workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells a process's children")

SAID = "interrupted: finished runs are kept; the same command, without --fresh, carries on\n"


MORE = [pytest.param(name, marks=pytest.mark.faults) for name in ("SIGINT", "SIGHUP")]


@pytest.mark.parametrize("name", ["SIGTERM", *MORE])
def test_an_interrupted_sweep_keeps_what_is_finished(
    tmp_path: Path, name: str, start: Start
) -> None:
    process = start(50, "--jobs", "1")
    wait_for_line(process, "[1/")
    (trainer,) = workers(process.pid)
    process.send_signal(getattr(signal, name))
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == SAID
    assert len(pd.read_csv(tmp_path / "results" / "part2_lenet5.csv")) >= 1
    assert not Path(f"/proc/{trainer}").exists()


TRAINING = pytest.param("[1/", marks=pytest.mark.faults)


@pytest.mark.parametrize("line", ["100 of 100 runs to train", TRAINING])
def test_ctrl_c_reaches_workers_too_and_says_one_line(line: str, start: Start) -> None:
    """As a terminal sends it: to the whole group, while workers start and while they train."""
    process = start(50)
    wait_for_line(process, line)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == SAID


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(folder, 3, "--jobs", "1")
    return measured(folder / "results")


@pytest.mark.faults
def test_a_script_killed_again_and_again_ends_at_the_same_files(
    tmp_path: Path, undisturbed: dict[str, str], start: Start
) -> None:
    moments = random.Random(0)
    kills = 0
    for _ in range(20):
        process = start(3)
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
    assert measured(tmp_path / "results") == undisturbed
    assert not list((tmp_path / "results").glob("*.tmp"))


@pytest.mark.faults
def test_workers_of_a_killed_script_end_too(start: Start) -> None:
    process = start(50, "--jobs", "2")
    wait_for_line(process, "[1/")
    trainers = workers(process.pid)
    assert len(trainers) == 2
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in trainers):  # at most until the end of an epoch
        assert time.monotonic() < deadline
        os.sched_yield()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.faults
@pytest.mark.parametrize("killed", [1, 2])
def test_killed_workers_cost_their_runs_alone(
    tmp_path: Path, killed: int, undisturbed: dict[str, str], start: Start
) -> None:
    process = start(3, "--jobs", "2")
    wait_for_line(process, "[1/6]")
    for victim in workers(process.pid)[:killed]:
        os.kill(victim, signal.SIGKILL)
    out, said = process.communicate(timeout=300)
    assert process.returncode == 1
    assert said.count("failed: its process ended by SIGKILL") == killed
    assert "the same command tries again" in out
    (failed,) = [line for line in out.splitlines() if line.startswith("failed: ")]
    runs = failed.removeprefix("failed: ").split(";")[0].split(", ")
    assert len(runs) == killed and all(run in said for run in runs)
    frame = pd.read_csv(tmp_path / "results" / "part2_lenet5.csv")
    assert len(frame) == 6 - killed
    finish(tmp_path, 3)
    assert measured(tmp_path / "results") == undisturbed


@pytest.mark.faults
@pytest.mark.parametrize("jobs", ["1", "3"])
def test_any_number_of_jobs_ends_at_the_same_files(
    tmp_path: Path, jobs: str, undisturbed: dict[str, str]
) -> None:
    finish(tmp_path, 3, "--jobs", jobs)
    assert measured(tmp_path / "results") == undisturbed
