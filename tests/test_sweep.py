"""Sweeps in real worker processes: what is missing is trained, in parallel, and survives faults."""

import io
import math
import multiprocessing
import os
import re
import shutil
import signal
import struct
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from conftest import measured
from torch import nn

from common import LabError
from common.data.datasets import Dataset
from common.models.design import Design
from common.models.networks import LENET5_2017, MLP
from common.results.store import Results
from common.sweep import sweep as sweeps
from common.sweep.sweep import sweep, trained, write_all
from common.sweep.workers import cores, quota
from common.training.evaluation import evaluate
from common.training.loop import Epoch, Run, train
from common.training.recipes import Recipe

SMALL = Design("20", partial(MLP, 20))


def killed() -> nn.Module:
    """A network whose worker process is killed while it is built, as for want of memory."""
    if multiprocessing.parent_process():
        os.kill(os.getpid(), signal.SIGKILL)
    return MLP()


def failing() -> nn.Module:
    """A network that a worker finds not to fit the images."""
    return nn.Linear(3, 10) if multiprocessing.parent_process() else MLP()


def runs(recipe: Recipe, *designs: Design, seeds: int = 2) -> list[Run]:
    return [
        Run(design, recipe, "synthetic-digits", seed) for seed in range(seeds) for design in designs
    ]


def open_results(folder: Path) -> Results:
    return Results(folder, "experiment", extras=["confusion", "loss"])


class Terminal(io.StringIO):
    """What a terminal would be sent."""

    def isatty(self) -> bool:
        return True


class Swept(NamedTuple):
    """The folder of a sweep, and its output."""

    folder: Path
    out: str
    err: str


def swept(
    folder: Path, asked: list[Run], dataset: Dataset, jobs: int, screen: io.StringIO
) -> Swept:
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(screen):
        assert sweep(asked, open_results(folder), lambda: dataset, jobs) == []
    return Swept(folder, out.getvalue(), screen.getvalue())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, digits: Dataset, short: Recipe) -> Swept:
    """Four runs, one after another, without a terminal."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return swept(folder, runs(short, LENET5_2017, SMALL), digits, 1, io.StringIO())


@pytest.fixture(scope="module")
def three_at_once(
    tmp_path_factory: pytest.TempPathFactory, digits: Dataset, short: Recipe
) -> Swept:
    """The same four runs, three at once, on a terminal."""
    folder = tmp_path_factory.mktemp("three")
    return swept(folder, runs(short, LENET5_2017, SMALL), digits, 3, Terminal())


@pytest.fixture
def copied(tmp_path: Path, undisturbed: Swept) -> Path:
    """A copy of the undisturbed results."""
    return shutil.copytree(undisturbed.folder, tmp_path / "copied")


def no_data() -> Dataset:
    raise AssertionError("nothing is missing, so no data is needed")


def test_files_do_not_depend_on_how_many_runs_are_trained_at_once(
    undisturbed: Swept, three_at_once: Swept
) -> None:
    assert measured(three_at_once.folder) == measured(undisturbed.folder)
    assert len(measured(undisturbed.folder)) == 6
    table = open_results(three_at_once.folder).select()
    assert len(table) == 4
    assert set(table["threads"]) == {1}
    assert set(table["torch"]) == {torch.__version__}
    assert table["fingerprint"].nunique() == 2


def test_what_the_tables_hold_adds_up(undisturbed: Swept) -> None:
    results = open_results(undisturbed.folder)
    run = results.select().iloc[-1]
    epochs, classes, confusion, loss = (
        table[(table["design"] == run["design"]) & (table["seed"] == run["seed"])]
        for table in map(partial(results.select, None), ("epochs", "classes", "confusion", "loss"))
    )
    assert list(epochs["epoch"]) == [1, 2]
    assert epochs.iloc[-1]["test_loss"] == run["test_loss"]
    assert epochs["seconds"].sum() == pytest.approx(run["train_seconds"], rel=1e-4)
    assert classes["total"].sum() == confusion["count"].sum() == 100
    assert classes["correct"].sum() == round(run["test_accuracy"] * 100)
    right = confusion[confusion["class"] == confusion["predicted"]]
    assert list(right["count"]) == list(classes["correct"])
    assert list(loss["step"]) == [20]  # 2 epochs of 10 steps: one window, not full
    assert loss["train_loss"].iloc[0] == pytest.approx(epochs["train_loss"].mean(), 1e-4)


def test_only_what_is_missing_is_trained(
    copied: Path, undisturbed: Swept, digits: Dataset, short: Recipe
) -> None:
    asked = runs(short, LENET5_2017, SMALL)
    path = copied / "experiment.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    assert sum(run not in open_results(copied) for run in asked) == 1
    sweep(asked, open_results(copied), lambda: digits, jobs=2)
    assert measured(copied) == measured(undisturbed.folder)
    assert path.read_text().splitlines(keepends=True)[:-1] == lines[:-1]  # with their seconds
    assert sweep(asked, open_results(copied), no_data, jobs=2) == []


def test_an_edited_network_is_trained_and_the_old_runs_stay(
    copied: Path, digits: Dataset, short: Recipe
) -> None:
    edited = replace(SMALL, build=partial(MLP, 21))
    (run,) = runs(short, edited, seeds=1)
    before = (copied / "experiment.csv").read_text().splitlines()
    assert sweep([run], open_results(copied), lambda: digits, jobs=1) == []
    after = (copied / "experiment.csv").read_text().splitlines()
    assert len(after) == len(before) + 1 and set(before) < set(after)
    results = open_results(copied)
    for one in (run, *runs(short, SMALL, seeds=1)):
        assert trained(one, results).hidden.F1.out_features == (21 if one == run else 20)
    assert sweep(runs(short, SMALL), results, no_data, jobs=1) == []  # the edit is undone


def test_fresh_trains_again(
    copied: Path, undisturbed: Swept, digits: Dataset, short: Recipe
) -> None:
    path = copied / "experiment.csv"
    path.write_text(path.read_text().replace(torch.__version__, "another version"))
    asked = runs(short, SMALL, seeds=1)
    sweep(asked, open_results(copied), lambda: digits, 1, fresh=True)
    assert measured(copied) == measured(undisturbed.folder)
    versions = open_results(copied).select()["torch"]
    assert sorted(versions == torch.__version__) == [False, False, False, True]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("jobs", [pytest.param(1, marks=pytest.mark.faults), 2])
def test_a_worker_that_dies_is_named_and_the_others_go_on(
    tmp_path: Path,
    undisturbed: Swept,
    digits: Dataset,
    short: Recipe,
    jobs: int,
    capsys: pytest.CaptureFixture,
) -> None:
    doomed, wrong = Design("doomed", killed), Design("failing", failing)
    asked = [*runs(short, doomed, wrong, seeds=1), *runs(short, LENET5_2017, SMALL)]
    failed = sweep(asked, open_results(tmp_path), lambda: digits, jobs)
    assert sorted(map(str, failed)) == ["doomed seed 0", "failing seed 0"]
    said = capsys.readouterr().err
    assert "doomed seed 0 failed: its process ended by SIGKILL" in said
    assert "failing seed 0 failed: RuntimeError: " in said
    assert "shapes cannot be multiplied" in said
    (tmp_path / "experiment_layers.csv").unlink()
    expected = measured(undisturbed.folder)
    del expected["experiment_layers.csv"]  # it lists designs, trained or not
    assert measured(tmp_path) == expected


def test_the_weights_of_seed_0_are_those_that_the_run_ended_with(
    three_at_once: Swept, digits: Dataset, short: Recipe
) -> None:
    first, second = runs(short, LENET5_2017)
    results = open_results(three_at_once.folder)
    again = evaluate(trained(first, results), digits, digits.test)
    recorded = results.select([first], "confusion")
    recorded = recorded[recorded["seed"] == 0]["count"]
    assert list(recorded) == again.confusion.flatten().tolist()
    with pytest.raises(LabError, match="no weights of lenet5-2017 seed 1"):
        trained(second, results)


def test_weights_of_another_design_are_refused(copied: Path, short: Recipe) -> None:
    (run,) = runs(short, SMALL, seeds=1)
    results = open_results(copied)
    path = results.weights_path(run)
    other = replace(run, design=replace(SMALL, build=partial(MLP, 30)))
    with pytest.raises(LabError, match="no weights of 20 seed 0"):
        trained(other, results)
    shutil.copy(path, results.weights_path(other))
    with pytest.raises(LabError, match="has no weights of 20 seed 0"):
        trained(other, results)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(LabError, match="has no weights of 20 seed 0"):
        trained(run, results)


def test_a_second_sweep_at_the_same_time_is_refused(
    tmp_path: Path, digits: Dataset, short: Recipe
) -> None:
    first = open_results(tmp_path)
    with first.writing(), pytest.raises(LabError, match="another script writes experiment to"):
        sweep(runs(short, SMALL), open_results(tmp_path), lambda: digits, jobs=1)
    assert not (tmp_path / "experiment.csv").exists()


def test_a_sweep_keeps_what_another_has_written_meanwhile(
    tmp_path: Path, undisturbed: Swept, digits: Dataset, short: Recipe
) -> None:
    early = open_results(tmp_path)  # read before the other sweep
    shutil.copytree(undisturbed.folder, tmp_path, dirs_exist_ok=True)
    sweep(runs(short, SMALL, seeds=3), early, lambda: digits, jobs=1)
    designs = open_results(tmp_path).select()["design"]
    assert list(designs) == ["20", "20", "20", "lenet5-2017", "lenet5-2017"]


def test_a_terminal_sees_epochs_runs_in_progress_and_the_time_left(three_at_once: Swept) -> None:
    lines = three_at_once.err.split("\r")
    assert any("20 seed 1; 20 seed 0" in line or "20 seed 0; " in line for line in lines)
    assert any(
        re.search(r"[4-7]/8 epochs, \d\d:\d\d<\d\d:\d\d, .*seed \d [\d.]+ \d+\.\d %", line)
        for line in lines
    )


def epoch(accuracy: float) -> Epoch:
    return Epoch(1.3, 0.5, 1.3, accuracy, seconds=1.0)


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminal")
def test_progress_has_one_line_on_a_terminal_of_80_columns(
    tmp_path: Path, short: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    many = runs(short, LENET5_2017, seeds=9)
    with open(theirs, "w") as screen:
        monkeypatch.setattr(sys, "stderr", screen)
        happenings = [(run, None) for run in many] + [(many[8], epoch(0.531))]
        assert write_all(many, iter(happenings), open_results(tmp_path)) == []
    # Bytes cross a pseudo-terminal in pieces; EIO is its end.
    screen_text = b""
    with suppress(OSError):
        while piece := os.read(ours, 4096):
            screen_text += piece
    os.close(ours)
    lines = screen_text.decode().split("\r")
    assert max(map(len, lines)) < 80
    assert any("1/18 epochs" in line and "lenet5-2017 seed 8 1.3 53.1 %" in line for line in lines)


def test_output_that_is_no_terminal_has_a_line_a_run(undisturbed: Swept) -> None:
    assert undisturbed.err == ""
    lines = undisturbed.out.splitlines()
    assert len(lines) == 4
    assert re.fullmatch(r"\[1/4\] lenet5-2017 seed 0: \d+\.\d\d % in \d+ s", lines[0])


def test_output_that_is_no_terminal_shows_progress_now_and_then(
    tmp_path: Path,
    digits: Dataset,
    short: Recipe,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    assert sweeps.LINE_EVERY <= 60
    monkeypatch.setattr(sweeps, "LINE_EVERY", -1)  # every epoch is late
    (run,) = runs(short, SMALL, seeds=1)
    happenings: list = [(run, None)]
    outcome = train(run, digits, lambda epoch: happenings.append((run, epoch)))
    write_all([run], iter([*happenings, (run, outcome)]), open_results(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "20 seed 0"
    assert re.fullmatch(r"20 seed 0 [\d.]+ \d+\.\d %", lines[1])
    assert len(lines) == 4 and lines[3].startswith("[1/1] 20 seed 0: ")


QUOTAS = {
    "version 2": ({"cpu.max": "200000 100000\n"}, 2.0),
    "version 2, half a core": ({"cpu.max": "50000 100000\n"}, 0.5),
    "version 2, no limit": ({"cpu.max": "max 100000\n"}, math.inf),
    "version 1": ({"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1.5),
    "version 1, no limit": (
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        math.inf,
    ),
    "none": ({}, math.inf),
    "half": ({"cpu/cpu.cfs_quota_us": "150000\n"}, math.inf),
    "no number": ({"cpu.max": "many 100000\n"}, math.inf),
}


@pytest.mark.parametrize(("contents", "expected"), QUOTAS.values(), ids=QUOTAS)
def test_the_quota_of_a_container_is_read(
    tmp_path: Path, contents: dict[str, str], expected: float
) -> None:
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert quota(tmp_path) == expected


def test_a_quota_bounds_the_runs_at_once(tmp_path: Path) -> None:
    visible = cores(tmp_path)
    assert visible >= 1
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert cores(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("6400000 100000\n")
    assert cores(tmp_path) == visible
