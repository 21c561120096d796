"""Scripts and workers really killed, in the middle of a sweep: nothing finished is lost."""

import os
import random
import select
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import measured
from processes import SEEDS, Start, finish, wait_for_line, workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells a process's children")

SAID = "interrupted: finished runs are saved; the same command, without --fresh, carries on\n"


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
    assert len(pd.read_csv(tmp_path / "results" / "part2_mlp.csv")) >= 1
    assert not Path(f"/proc/{trainer}").exists()


TRAINING = pytest.param("[1/", marks=pytest.mark.faults)


@pytest.mark.parametrize("line", ["runs: 0, 100 to train here", TRAINING])
def test_ctrl_c_reaches_workers_too_and_says_one_line(line: str, start: Start) -> None:
    """As a terminal sends it: to the whole group, while workers start and while they train."""
    process = start(50)
    wait_for_line(process, line)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == SAID


@pytest.mark.faults
def test_a_script_killed_again_and_again_ends_at_the_same_files(
    tmp_path: Path, undisturbed_sweep: dict[str, str], start: Start
) -> None:
    """Killed while it starts workers, while they train, and while it writes."""
    moments = random.Random(0)
    kills = 0
    for _ in range(20):
        process = start(SEEDS)
        wait_for_line(process, "runs: ")
        try:
            process.wait(timeout=moments.uniform(0, 4))
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        process.communicate()
        for path in (tmp_path / "results").glob("*.csv"):
            assert path.read_text().endswith("\n")
            pd.read_csv(path)
    assert kills > 0
    finish(tmp_path)
    assert measured(tmp_path / "results") == undisturbed_sweep
    assert not list((tmp_path / "results").glob("*.tmp"))


@pytest.mark.faults
def test_workers_of_a_killed_script_end_too(start: Start) -> None:
    process = start(50, "--jobs", "2")
    wait_for_line(process, "[1/")
    trainers = [os.pidfd_open(pid) for pid in workers(process.pid)]
    assert len(trainers) == 2
    process.kill()
    process.communicate()
    for trainer in trainers:  # at most until the end of an epoch
        assert select.select([trainer], [], [], 60)[0]
        os.close(trainer)


@pytest.mark.faults
@pytest.mark.parametrize("killed", [1, 2])
def test_killed_workers_cost_their_runs_alone(
    tmp_path: Path, killed: int, undisturbed_sweep: dict[str, str], start: Start
) -> None:
    process = start(SEEDS, "--jobs", "2")
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
    table = pd.read_csv(tmp_path / "results" / "part2_mlp.csv")
    assert len(table) == 6 - killed
    finish(tmp_path)
    assert measured(tmp_path / "results") == undisturbed_sweep


@pytest.mark.faults
def test_any_number_of_jobs_ends_at_the_same_files(
    tmp_path: Path, undisturbed_sweep: dict[str, str]
) -> None:
    finish(tmp_path, "--jobs", "3")
    assert measured(tmp_path / "results") == undisturbed_sweep
