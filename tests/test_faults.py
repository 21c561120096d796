"""Scripts and workers really killed, in the middle of a sweep: nothing finished is lost."""

import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from conftest import measured
from processes import SAID, SEEDS, Start, assert_group_ends, finish, kill, wait_for_line, workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells a process's children")


MORE = [pytest.param(name, marks=pytest.mark.faults) for name in ("SIGINT", "SIGHUP")]


@pytest.mark.parametrize("name", ["SIGTERM", *MORE])
def test_an_interrupted_sweep_keeps_what_is_finished(
    tmp_path: Path, name: str, start: Start
) -> None:
    process = start(50, "--jobs", "1")
    wait_for_line(process, "[1/")
    assert len(workers(process.pid)) == 1
    process.send_signal(getattr(signal, name))
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said == SAID
    assert len(pd.read_csv(tmp_path / "results" / "part2_mlp.csv")) >= 1
    assert_group_ends(process.pid)


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
    assert_group_ends(process.pid)


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
        assert_group_ends(process.pid)
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
    assert len(workers(process.pid)) == 2
    process.kill()
    process.communicate()
    assert_group_ends(process.pid)


@pytest.mark.faults
@pytest.mark.parametrize("kills", [["[1/6]"] * 2, ["[1/6]", "[3/6]"]], ids=["both", "one, one"])
def test_killed_workers_are_replaced(
    tmp_path: Path, kills: list[str], undisturbed_sweep: dict[str, str], start: Start
) -> None:
    """Their runs start again, and all runs end."""
    process = start(SEEDS, "--jobs", "2")
    victims = []
    for line in dict.fromkeys(kills):
        wait_for_line(process, line)
        alive = [worker for worker in workers(process.pid) if worker not in victims]
        victims += alive[: kills.count(line)]
        for victim in victims[-kills.count(line) :]:
            kill(victim)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    assert set(err.splitlines()) <= {
        f"{design} seed {seed} starts again on another worker"
        for design in ("30", "300-100")
        for seed in range(SEEDS)
    }
    assert measured(tmp_path / "results") == undisturbed_sweep
    assert_group_ends(process.pid)


KILLED_AT_START = "error: a worker was killed while it started: try again\n"


@pytest.mark.faults
def test_a_worker_killed_while_it_starts_is_one_line(start: Start) -> None:
    process = start(SEEDS, "--jobs", "1")
    wait_for_line(process, "runs: ")
    while not (starting := workers(process.pid)):
        assert process.poll() is None
    kill(starting[0])
    _, said = process.communicate(timeout=100)
    assert (process.returncode, said) == (1, KILLED_AT_START)
    assert_group_ends(process.pid)


@pytest.mark.faults
def test_a_worker_killed_at_random_moments_ten_times(
    tmp_path: Path, undisturbed_sweep: dict[str, str], start: Start
) -> None:
    """A run is given up after three deaths of its worker; the same command trains it."""
    moments = random.Random(1)
    process = start(SEEDS, "--jobs", "2")
    wait_for_line(process, "runs: ")
    for _ in range(10):
        with suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0.2, 1.5))
        for victim in moments.sample(running := workers(process.pid), min(1, len(running))):
            kill(victim)
    out, err = process.communicate(timeout=300)
    if err != KILLED_AT_START:
        given_up = err.count("failed: its worker died each time")
        assert process.returncode == (1 if given_up else 0), out + err
        assert len(pd.read_csv(tmp_path / "results" / "part2_mlp.csv")) == 2 * SEEDS - given_up
    finish(tmp_path)
    assert measured(tmp_path / "results") == undisturbed_sweep
    assert_group_ends(process.pid)


@pytest.mark.faults
def test_any_number_of_jobs_ends_at_the_same_files(
    tmp_path: Path, undisturbed_sweep: dict[str, str]
) -> None:
    finish(tmp_path, "--jobs", "3")
    assert measured(tmp_path / "results") == undisturbed_sweep
