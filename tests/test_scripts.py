"""The scripts as a user runs them, from the command line to the files."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, Script, add_run

import part1_cifar_tutorial
import part2_lenet5
from common.models.networks import LENET5, LENET5_RELU
from common.results.store import Results
from common.training.loop import Run
from common.training.recipes import REPORT2017

SHORT = ["--synthetic", "--epochs", "1", "--batch-size", "250", "--jobs", "1"]
IMAGES = ("filters", "predictions", "misread", "examples")


def sums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def check_results(name: str, folder: Path, output: str, runs: int) -> None:
    """The tables of a first try are whole, and the output says what they say."""
    rows = pd.read_csv(folder / f"{name}.csv", dtype={"fingerprint": str})
    assert len(rows) == runs
    assert rows["dataset"].str.startswith("synthetic-").all()
    assert rows["test_accuracy"].between(0, 1).all()
    assert rows["parameters"].isin([62006, 44426]).all()
    assert rows["fingerprint"].str.fullmatch("[0-9a-f]{8}").all()
    classes = pd.read_csv(folder / f"{name}_classes.csv")
    assert len(classes) == runs * 10
    assert len(pd.read_csv(folder / f"{name}_confusion.csv")) == runs * 100
    for what in ("epochs", "layers"):
        assert (folder / f"{name}_{what}.csv").exists()
    # What was reached, and what to run next.
    assert f"runs: 0, {runs} to train " in output
    line = re.search(rf"^{rows['design'].iloc[0]} +{runs} +([\d.]+) %", output, re.MULTILINE)
    assert float(line[1]) == pytest.approx(100 * rows["test_accuracy"].mean(), abs=0.006)
    first = classes[classes["seed"] == 0].iloc[0]
    assert any(
        line.split()[:3] == [str(first["class"]), str(first["correct"]), str(first["total"])]
        for line in output.splitlines()
    )
    assert output.splitlines()[-1].startswith("next, on ")


def test_a_first_try_of_the_tutorial(
    script: Script, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    name, options = "part1_cifar_tutorial", [*SHORT, "--seeds", "2"]
    done = script(f"{name}.py", *options)
    assert (done.returncode, done.stderr) == (0, "")
    results, figures = tmp_path / "my results", tmp_path / "my figures"
    check_results(name, results, done.stdout, runs=2)
    last = done.stdout.splitlines()[-1]
    assert "--synthetic" not in last and "--epochs 1" in last
    before = sums(figures)
    whats = ("loss", "classes", "confusion", "filters", "predictions", "maps")
    label = "tutorial-epochs1-batchsize250-seeds2"
    assert set(before) == {f"{name}_{what}_{label}.png" for what in whats}
    assert all(path.stat().st_size > 5000 for path in figures.iterdir())

    # The same command again trains nothing; the figures are the same.
    shutil.rmtree(figures)
    folders = ["--results-dir", str(results), "--figures-dir", str(figures)]
    assert part1_cifar_tutorial.main([*options, *folders]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "runs: 2 from" in output and "0 to train here" in output
    assert sums(figures) == before

    # Only the figures that are named.
    shutil.rmtree(figures)
    assert part1_cifar_tutorial.main([*options, *folders, "--figure", "loss", "filters"]) == 0
    assert set(sums(figures)) == {f"{name}_{what}_{label}.png" for what in ("loss", "filters")}
    capsys.readouterr()
    assert part1_cifar_tutorial.main([*options, *folders, "--figure", "los"]) == 2
    assert "--figure: no los; there are loss classes confusion" in capsys.readouterr().err

    # The saved network is tested again: the same counts, or which class differs.
    assert part1_cifar_tutorial.main([*options, *folders, "--evaluate"]) == 0
    output = capsys.readouterr().out
    assert "saved networks tested: 1, of which 0 differ" in output and "overall" in output
    classes = pd.read_csv(results / f"{name}_classes.csv", dtype={"fingerprint": str})
    classes.loc[4, "correct"] += 3
    classes.to_csv(results / f"{name}_classes.csv", index=False)
    assert part1_cifar_tutorial.main([*options, *folders, "--evaluate"]) == 1
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "differs" in line)
    assert line.split()[0] == classes.loc[4, "class"]
    shutil.rmtree(results / "weights")
    assert part1_cifar_tutorial.main([*options, *folders, "--evaluate"]) == 1
    assert "not tested (no saved network): baseline" in capsys.readouterr().out


def test_a_first_try_of_lenet5(tmp_path: Path, cluster: str, capsys: pytest.CaptureFixture) -> None:
    """Figures go below the results folder where no other is named."""
    name, options = "part2_lenet5", ["--seeds", "2", "--designs", "lenet5-2017", "--classes"]
    folder = ["--results-dir", str(tmp_path)]
    assert part2_lenet5.main([*SHORT, *options, *folder, "--cluster", cluster]) == 0
    check_results(name, tmp_path, capsys.readouterr().out, runs=2)
    label = "report2017-epochs1-batchsize250-seeds2-lenet5-2017"
    drawn = {f"{name}_{what}_{label}.png" for what in ("curves", "accuracy", "confusion")}
    images = {f"{name}_{what}_{label}.png" for what in ("misread", "filters", "maps")}
    images.add(f"{name}_examples_synthetic-digits.png")
    assert set(sums(tmp_path / "figures")) == drawn | images

    # From results of real data, on a machine that has neither data nor weights.
    shutil.rmtree(tmp_path / "figures")
    shutil.rmtree(tmp_path / "weights")
    for path in tmp_path.glob("*.csv"):
        path.write_text(path.read_text().replace("synthetic-digits", "mnist"))
    data = ["--plot-only", "--data-dir", str(tmp_path / "none")]
    assert part2_lenet5.main([*SHORT[1:], *options, *folder, *data]) == 0
    assert set(sums(tmp_path / "figures")) == drawn
    assert "figures of digits and layers: no mnist in" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_list_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folders = ["--results-dir", str(tmp_path / "results")]
    assert part2_lenet5.main(["--list", "--seeds", "2", *folders]) == 0
    output = capsys.readouterr().out
    assert "lenet5-2017: 44,426 parameters, 281,640 multiply-accumulates" in output
    assert "6 runs, 6 to train: lenet5 seed 0" in output
    assert "no recorded time for 6 of them" in output
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("tensors", "share memory: tensor([2., 2., 2., 2., 2.]) and [2. 2. 2. 2. 2.]"),
        ("autograd", "dQ/da by autograd [36.0, 81.0], by hand 9a^2 = [36.0, 81.0]"),
        ("networks", "total: 62,006 parameters"),
    ],
)
def test_a_section_of_the_tutorial_alone(
    section: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folders = ["--results-dir", str(tmp_path / "results")]
    assert part1_cifar_tutorial.main(["--section", section, *folders]) == 0
    output = capsys.readouterr().out
    assert line in output
    assert output.count("== ") == 1
    assert not (tmp_path / "results").exists()


def test_statements_of_the_tutorial_are_checked_without_assertions_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """`python -O` removes assertions: a false statement must still stop the script."""
    monkeypatch.setattr(part1_cifar_tutorial.torch, "allclose", lambda *_: False)
    assert part1_cifar_tutorial.main(["--section", "networks"]) == 1
    assert "the tutorial's statement" in capsys.readouterr().err
    assert "assert" not in Path(part1_cifar_tutorial.__file__).read_text()


def test_runs_that_diverge_or_learn_nothing_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    results = Results(tmp_path, "part2_lenet5", extras=("confusion",))
    add_run(results, Run(LENET5_RELU, REPORT2017, "mnist"), 0.1, train_loss=float("inf"))
    add_run(results, Run(LENET5, REPORT2017, "mnist"), 0.101, test_loss=201.0)
    argv = ["--plot-only", "--results-dir", str(tmp_path), "--data-dir", str(tmp_path)]
    assert part2_lenet5.main(argv) == 0
    output = capsys.readouterr().out
    assert "diverged (the loss became infinite): lenet5-relu seed 0" in output
    assert "did not learn (guessing): lenet5\n" in output


def test_a_notebook_and_a_script_without_main_guard(tmp_path: Path) -> None:
    """A notebook's `!python mine.py`: its backend is unknown here, and workers import mine.py."""
    script = tmp_path / "mine.py"
    argv = ["--synthetic", "--epochs", "1", "--batch-size", "250", "--seeds", "1"]
    argv += ["--designs", "30", "--results-dir", "results", "--figures-dir", "figures"]
    script.write_text(f"import part2_mlp\nprint('status', part2_mlp.main({argv}))\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "status 0"
    assert len(pd.read_csv(tmp_path / "results" / "part2_mlp.csv")) == 1


@pytest.mark.skipif(os.name == "nt", reason="the commands are POSIX")
def test_readme_opens_with_the_two_commands() -> None:
    set_up = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"
    text = (ROOT / "README.txt").read_text()
    first = text.index(f"{set_up} && .venv/bin/python part2_lenet5.py --synthetic --seeds 2\n")
    second = text.index(f"{set_up} && .venv/bin/python -m pytest\n")
    assert first < second
    assert "$" not in text[:second]
