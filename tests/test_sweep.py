"""Sweeps in real worker processes: missing runs are trained, in parallel, and survive faults."""

import hashlib
import io
import json
import multiprocessing
import os
import re
import shutil
import signal
import struct
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from conftest import ROOT, measured
from torch import Tensor, nn

from common import LabError
from common.data.datasets import Dataset, load
from common.models.design import Design
from common.models.networks import LENET5_2017, MLP
from common.results.outcome import trained
from common.results.store import Results
from common.sweep import sweep as sweeps
from common.sweep.sweep import Engine, Event, sweep, write_all
from common.training import recipes
from common.training.evaluation import evaluate
from common.training.loop import Epoch, Run, train
from common.training.recipes import Recipe

SMALL = Design("20", partial(MLP, 20))


def killed() -> nn.Module:
    """A network whose worker process is killed while it is built, as for want of memory."""
    if multiprocessing.parent_process():
        os.kill(os.getpid(), signal.SIGKILL)
    return MLP()


def failing_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """A loss that does not fit the network's outputs."""
    return nn.functional.cross_entropy(scores[:, :3], labels)


DATA = "synthetic-digits-1-percent"


def runs(recipe: Recipe, *designs: Design, seeds: int = 2) -> list[Run]:
    return [Run(design, recipe, DATA, seed) for seed in range(seeds) for design in designs]


def here(jobs: int) -> Engine:
    """Workers on this machine."""
    return Engine(ROOT / "data", jobs)


@pytest.fixture
def shared(cluster: str) -> Engine:
    """Workers that tests share."""
    return Engine(ROOT / "data", cluster=cluster)


def open_results(folder: Path) -> Results:
    return Results(folder, "experiment", extras=["confusion", "loss"])


write = Results.write


class Terminal(io.StringIO):
    """What a terminal would be sent."""

    def isatty(self) -> bool:
        return True


class Swept(NamedTuple):
    """The folder of a sweep, and its output."""

    folder: Path
    out: str
    err: str


def swept(folder: Path, asked: list[Run], jobs: int, screen: io.StringIO) -> Swept:
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(screen):
        assert sweep(asked, open_results(folder), here(jobs)) == []
    return Swept(folder, out.getvalue(), screen.getvalue())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, short: Recipe) -> Swept:
    """Four runs, one after another, without a terminal."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return swept(folder, runs(short, LENET5_2017, SMALL), 1, io.StringIO())


@pytest.fixture(scope="module")
def three_at_once(tmp_path_factory: pytest.TempPathFactory, short: Recipe) -> Swept:
    """The same four runs, three at once, on a terminal."""
    folder = tmp_path_factory.mktemp("three")
    return swept(folder, runs(short, LENET5_2017, SMALL), 3, Terminal())


@pytest.fixture
def copied(tmp_path: Path, undisturbed: Swept) -> Path:
    """A copy of the undisturbed results."""
    return shutil.copytree(undisturbed.folder, tmp_path / "copied")


NOWHERE = Engine(ROOT / "data", cluster="tcp://127.0.0.1:1")  # nothing listens there


def test_files_do_not_depend_on_how_many_runs_are_trained_at_once(
    undisturbed: Swept, three_at_once: Swept, shared: Engine, tmp_path: Path, short: Recipe
) -> None:
    assert measured(three_at_once.folder) == measured(undisturbed.folder)
    assert sweep(runs(short, LENET5_2017, SMALL), open_results(tmp_path), shared) == []
    assert measured(tmp_path) == measured(undisturbed.folder)
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
    assert classes["total"].sum() == confusion["count"].sum() == 2000
    assert classes["correct"].sum() == round(run["test_accuracy"] * 2000)
    right = confusion[confusion["class"] == confusion["predicted"]]
    assert list(right["count"]) == list(classes["correct"])
    assert list(loss["step"]) == [8]  # 2 epochs of 4 steps: one window, not full
    assert loss["train_loss"].iloc[0] == pytest.approx(epochs["train_loss"].mean(), 1e-4)


def test_only_what_is_missing_is_trained(
    copied: Path, undisturbed: Swept, shared: Engine, short: Recipe
) -> None:
    asked = runs(short, LENET5_2017, SMALL)
    path = copied / "experiment.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    assert sum(run not in open_results(copied) for run in asked) == 1
    sweep(asked, open_results(copied), shared)
    assert measured(copied) == measured(undisturbed.folder)
    assert path.read_text().splitlines(keepends=True)[:-1] == lines[:-1]  # with their seconds
    assert sweep(asked, open_results(copied), NOWHERE) == []


def test_an_edited_network_is_trained_and_the_old_runs_stay(
    copied: Path, shared: Engine, short: Recipe
) -> None:
    edited = replace(SMALL, build=partial(MLP, 21))
    (run,) = runs(short, edited, seeds=1)
    before = (copied / "experiment.csv").read_text().splitlines()
    assert sweep([run], open_results(copied), shared) == []
    after = (copied / "experiment.csv").read_text().splitlines()
    assert len(after) == len(before) + 1 and set(before) < set(after)
    results = open_results(copied)
    for one in (run, *runs(short, SMALL, seeds=1)):
        assert trained(one, results).hidden.F1.out_features == (21 if one == run else 20)
    assert sweep(runs(short, SMALL), results, NOWHERE) == []  # the edit is undone


def test_fresh_trains_again(
    copied: Path, undisturbed: Swept, shared: Engine, short: Recipe
) -> None:
    path = copied / "experiment.csv"
    path.write_text(path.read_text().replace(torch.__version__, "another version"))
    asked = runs(short, SMALL, seeds=1)
    sweep(asked, open_results(copied), shared, fresh=True)
    assert measured(copied) == measured(undisturbed.folder)
    versions = open_results(copied).select()["torch"]
    assert sorted(versions == torch.__version__) == [False, False, False, True]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_run_that_fails_or_kills_its_workers_is_named_and_the_others_go_on(
    tmp_path: Path, undisturbed: Swept, short: Recipe, capsys: pytest.CaptureFixture
) -> None:
    wrong = Run(Design("failing", MLP), replace(short, loss=failing_loss), DATA)
    doomed = Run(Design("doomed", killed), short, DATA)
    asked = [doomed, wrong, *runs(short, LENET5_2017, SMALL)]
    failed = sweep(asked, open_results(tmp_path), here(2))
    assert sorted(map(str, failed)) == ["doomed seed 0", "failing seed 0"]
    err = capsys.readouterr().err
    assert re.search(r"doomed seed 0 failed: its worker died each time \(killed, perhaps", err)
    assert re.search(r"failing seed 0 failed: IndexError: Target \d is out of bounds", err)
    expected = measured(undisturbed.folder)
    expected["experiment_layers.csv"] = measured(tmp_path)["experiment_layers.csv"]  # of all runs
    assert measured(tmp_path) == expected


def test_the_weights_of_seed_0_are_those_that_the_run_ended_with(
    three_at_once: Swept, short: Recipe
) -> None:
    digits = load(DATA, ROOT / "data")
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
    for suffix in (".pt", ".json"):
        copy = results.weights_path(other).with_suffix(suffix)
        shutil.copy(path.with_suffix(suffix), copy)
    with pytest.raises(LabError, match="is not of 20 seed 0, or is damaged"):
        trained(other, results)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LabError, match="is not of 20 seed 0, or is damaged"):
        trained(run, results)


def test_saved_weights_have_a_readable_name_and_load_as_readme_says(
    copied: Path, short: Recipe
) -> None:
    (run,) = runs(short, SMALL, seeds=1)
    path = copied / "weights" / f"experiment_20_short-{DATA}_seed0.pt"
    assert open_results(copied).weights_path(run) == path
    MLP(20).load_state_dict(torch.load(path, weights_only=True))
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (record["design"], record["fingerprint"]) == ("20", run.fingerprint)
    shorter = replace(run, recipe=replace(recipes.MODERN, epochs=1, lr=0.5), dataset="mnist-2-1")
    assert open_results(copied).weights_path(shorter).stem == (
        "experiment_20_modern-epochs1-lr0.5-2-1_seed0"
    )


def test_a_second_sweep_at_the_same_time_is_refused(tmp_path: Path, short: Recipe) -> None:
    first = open_results(tmp_path)
    with first.writing(), pytest.raises(LabError, match="another script writes experiment to"):
        sweep(runs(short, SMALL), open_results(tmp_path), NOWHERE)
    assert not (tmp_path / "experiment.csv").exists()


def test_a_sweep_keeps_what_another_has_written_meanwhile(
    tmp_path: Path, undisturbed: Swept, shared: Engine, short: Recipe
) -> None:
    early = open_results(tmp_path)  # read before the other sweep
    shutil.copytree(undisturbed.folder, tmp_path, dirs_exist_ok=True)
    sweep(runs(short, SMALL, seeds=3), early, shared)
    designs = open_results(tmp_path).select()["design"]
    assert list(designs) == ["20", "20", "20", "lenet5-2017", "lenet5-2017"]


def test_a_terminal_sees_epochs_runs_in_progress_and_the_time_left(three_at_once: Swept) -> None:
    lines = three_at_once.err.split("\r")
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
    assert any("0/18 epochs" in line and "seed 8; lenet5-2017 seed 7" in line for line in lines)
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


def test_runs_wait_for_each_other_if_writing_takes_long(
    tmp_path: Path, digits: Dataset, short: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs end faster than files are written: they are written together, and all at the end."""
    many = runs(short, SMALL, seeds=30)
    outcome, written = train(many[0], digits), []
    monkeypatch.setattr(Results, "write", lambda self: written.append(1) or write(self))
    results = open_results(tmp_path)
    with results.writing():
        assert write_all(many, ((run, outcome) for run in many), results) == []
    assert len(open_results(tmp_path).select()) == 30
    assert 1 < len(written) < 10


@pytest.mark.parametrize("error", [KeyboardInterrupt, LabError("the scheduler has ended")])
def test_finished_runs_are_written_when_a_sweep_stops(
    tmp_path: Path, digits: Dataset, short: Recipe, monkeypatch: pytest.MonkeyPatch, error: object
) -> None:
    monkeypatch.setattr(sweeps, "WRITING", -1)  # not before the end
    many = runs(short, SMALL, seeds=3)
    outcome = train(many[0], digits)

    def happenings() -> Iterator[tuple[Run, Event]]:
        yield from ((run, outcome) for run in many[:2])
        raise error

    results = open_results(tmp_path)
    with pytest.raises((KeyboardInterrupt, LabError)), results.writing():
        write_all(many, happenings(), results)
    assert len(open_results(tmp_path).select()) == 2
