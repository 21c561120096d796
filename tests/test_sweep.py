"""Sweeps in real worker processes: what is missing is trained, in parallel, and survives faults."""

import io
import multiprocessing
import os
import re
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from conftest import measured
from torch import nn

from common import LabError
from common.data.datasets import Dataset
from common.models.networks import Design, lenet5_2017, mlp
from common.results.store import Results
from common.sweep.runs import sweep, trained
from common.training.evaluation import evaluate
from common.training.loop import Run
from common.training.recipes import Recipe

MLP = Design("20", partial(mlp, 20))
LENET = Design("lenet5-2017", lenet5_2017)


def killed() -> nn.Module:
    """A network whose worker process is killed while it is built, as for want of memory."""
    if multiprocessing.parent_process():
        os.kill(os.getpid(), signal.SIGKILL)
    return mlp()


def failing() -> nn.Module:
    """A network that a worker finds not to fit the images."""
    return nn.Linear(3, 10) if multiprocessing.parent_process() else mlp()


def runs(recipe: Recipe, *designs: Design, seeds: int = 2) -> list[Run]:
    return [
        Run(design, recipe, "synthetic-digits", seed) for seed in range(seeds) for design in designs
    ]


def results(folder: Path) -> Results:
    return Results(folder, "experiment", extras=["confusion", "loss"])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, digits: Dataset, short: Recipe) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert sweep(runs(short, LENET, MLP), results(folder), lambda: digits, jobs=1) == []
    return folder


def test_files_do_not_depend_on_how_many_runs_are_trained_at_once(
    tmp_path: Path, undisturbed: Path, digits: Dataset, short: Recipe
) -> None:
    sweep(runs(short, LENET, MLP), results(tmp_path), lambda: digits, jobs=3)
    assert measured(tmp_path) == measured(undisturbed)
    assert len(measured(tmp_path)) == 6
    frame = results(tmp_path).frame()
    assert len(frame) == 4
    assert set(frame["threads"]) == {1}
    assert set(frame["torch"]) == {torch.__version__}


def test_what_the_tables_hold_adds_up(undisturbed: Path) -> None:
    made = results(undisturbed)
    run = made.frame().iloc[-1]
    epochs, classes, confusion = (
        frame[(frame["design"] == run["design"]) & (frame["seed"] == run["seed"])]
        for frame in (made.frame("epochs"), made.frame("classes"), made.frame("confusion"))
    )
    assert list(epochs["epoch"]) == [1, 2]
    assert epochs.iloc[-1]["test_loss"] == run["test_loss"]
    assert epochs["seconds"].sum() == pytest.approx(run["train_seconds"], rel=1e-4)
    assert classes["total"].sum() == confusion["count"].sum() == 100
    assert classes["correct"].sum() == round(run["test_accuracy"] * 100)
    right = confusion[confusion["class"] == confusion["predicted"]]
    assert list(right["count"]) == list(classes["correct"])
    loss = made.frame("loss")
    assert set(loss["step"]) == {20}  # 2 epochs of 10 steps: one window, not full
    mean = epochs["train_loss"].mean()
    assert loss[loss["design"] == run["design"]]["train_loss"].iloc[-1] == pytest.approx(mean, 1e-4)


def test_only_what_is_missing_is_trained(
    tmp_path: Path, undisturbed: Path, digits: Dataset, short: Recipe
) -> None:
    sweep(runs(short, LENET, seeds=1), results(tmp_path), lambda: digits, jobs=1)
    seconds = results(tmp_path).frame()["train_seconds"].iloc[0]
    sweep(runs(short, LENET, MLP), results(tmp_path), lambda: digits, jobs=2)
    assert measured(tmp_path) == measured(undisturbed)
    first = results(tmp_path).frame()
    kept = first[(first["design"] == "lenet5-2017") & (first["seed"] == 0)]
    assert kept["train_seconds"].iloc[0] == seconds

    def unneeded() -> Dataset:
        raise AssertionError("nothing is missing, so no data is needed")

    assert sweep(runs(short, LENET, MLP), results(tmp_path), unneeded, jobs=2) == []


def test_fresh_trains_again(tmp_path: Path, digits: Dataset, short: Recipe) -> None:
    for fresh in (False, True):
        sweep(runs(short, MLP, seeds=1), results(tmp_path), lambda: digits, 1, fresh=fresh)
        path = tmp_path / "experiment.csv"
        text = path.read_text()
        if not fresh:
            before = measured(tmp_path)
            path.write_text(text.replace(torch.__version__, "another version"))
    assert torch.__version__ in text
    assert measured(tmp_path) == before


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_worker_that_dies_is_named_and_the_others_go_on(
    tmp_path: Path,
    undisturbed: Path,
    digits: Dataset,
    short: Recipe,
    jobs: int,
    capsys: pytest.CaptureFixture,
) -> None:
    asked = runs(short, Design("doomed", killed), Design("failing", failing), LENET, MLP)
    failed = sweep(asked, results(tmp_path), lambda: digits, jobs)
    assert sorted(map(str, failed)) == [
        *("doomed seed 0", "doomed seed 1", "failing seed 0", "failing seed 1")
    ]
    said = capsys.readouterr().err
    assert "doomed seed 0 failed: its process ended by SIGKILL" in said
    assert "failing seed 1 failed: RuntimeError: " in said
    assert "shapes cannot be multiplied" in said
    (tmp_path / "experiment_layers.csv").unlink()
    expected = measured(undisturbed)
    del expected["experiment_layers.csv"]  # it lists designs, trained or not
    assert measured(tmp_path) == expected


def test_the_weights_of_seed_0_are_those_that_the_run_ended_with(
    tmp_path: Path, digits: Dataset, short: Recipe
) -> None:
    first, second = runs(short, LENET)
    made = results(tmp_path)
    sweep([first, second], made, lambda: digits, jobs=2)
    again = evaluate(trained(first, made), digits, digits.test)
    recorded = made.frame("confusion")
    recorded = recorded[recorded["seed"] == 0]["count"]
    assert list(recorded) == again.confusion.flatten().tolist()
    with pytest.raises(LabError, match="no weights of lenet5-2017 seed 1"):
        trained(second, made)


def test_weights_of_another_design_are_refused(
    tmp_path: Path, digits: Dataset, short: Recipe
) -> None:
    (mine,) = runs(short, MLP, seeds=1)
    made = results(tmp_path)
    sweep([mine], made, lambda: digits, jobs=1)
    path = made.weights_path(mine.key)
    other = replace(mine, design=Design("20", partial(mlp, 30)))
    with pytest.raises(LabError, match="does not hold weights of 20 seed 0"):
        trained(other, made)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(LabError, match="does not hold weights of 20 seed 0"):
        trained(mine, made)


def test_a_second_sweep_at_the_same_time_is_refused(
    tmp_path: Path, digits: Dataset, short: Recipe
) -> None:
    first = results(tmp_path)
    with first.writing(), pytest.raises(LabError, match="another sweep writes to"):
        sweep(runs(short, MLP), results(tmp_path), lambda: digits, jobs=1)
    assert not (tmp_path / "experiment.csv").exists()


def test_a_sweep_keeps_what_another_has_written_meanwhile(
    tmp_path: Path, digits: Dataset, short: Recipe
) -> None:
    early = results(tmp_path)  # read before the other sweep
    sweep(runs(short, LENET, seeds=1), results(tmp_path), lambda: digits, jobs=1)
    sweep(runs(short, MLP, seeds=1), early, lambda: digits, jobs=1)
    assert list(results(tmp_path).frame()["design"]) == ["20", "lenet5-2017"]


class Terminal(io.StringIO):
    """What a terminal would be sent."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_epochs_runs_in_progress_and_the_time_left(
    tmp_path: Path, digits: Dataset, short: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    sweep(runs(short, MLP), results(tmp_path), lambda: digits, jobs=2)
    lines = screen.getvalue().split("\r")
    assert any("20 seed 0, 20 seed 1" in line for line in lines)
    assert any(re.search(r"3/4 \[\d\d:\d\d<\d\d:\d\d, .*epoch", line) for line in lines)


def test_output_that_is_no_terminal_has_a_line_a_run(
    tmp_path: Path, digits: Dataset, short: Recipe, capsys: pytest.CaptureFixture
) -> None:
    sweep(runs(short, MLP), results(tmp_path), lambda: digits, jobs=1)
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert lines[0] == "2 of 2 runs to train, 1 at once"
    assert re.fullmatch(r"\[1/2\] 20 seed 0: \d+\.\d\d % in \d+ s", lines[1])
