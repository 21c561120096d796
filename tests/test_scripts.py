"""The scripts as a user runs them, from the command line to the files."""

import argparse
import hashlib
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, Script

import part1_cifar_tutorial
from common import console as terminal
from common.models.networks import Design, mlp
from common.results.store import Results
from common.training.loop import Run
from common.training.recipes import Recipe

FIGURES = {
    "part1_cifar_tutorial": ["loss", "classes", "confusion", "filters", "predictions"],
    "part2_lenet5": ["curves", "accuracy", "confusion", "misread"],
}
LABELS = {"part1_cifar_tutorial": "tutorial-epochs1", "part2_lenet5": "report2017-epochs1"}
OF_DATA = {
    "part1_cifar_tutorial": set(),
    "part2_lenet5": {"part2_lenet5_examples_synthetic-digits.png"},
}
IMAGES = {"filters", "predictions", "misread"}


def sums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("name", FIGURES)
def test_a_first_try(name: str, script: Script, tmp_path: Path) -> None:
    options = ("--synthetic", "--epochs", "1", "--seeds", "2", "--classes")
    done = script(f"{name}.py", *options)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""

    results, figures = tmp_path / "my results", tmp_path / "my figures"
    names = {f"{name}_{what}_{LABELS[name]}.png" for what in FIGURES[name]}
    assert set(sums(figures)) == names | OF_DATA[name]
    assert all(path.stat().st_size > 5000 for path in figures.iterdir())
    runs = pd.read_csv(results / f"{name}.csv")
    designs = runs["design"].nunique()
    assert len(runs) == 2 * designs
    assert runs["dataset"].str.startswith("synthetic-").all()
    assert runs["test_accuracy"].between(0, 1).all()
    assert runs["parameters"].isin([62006, 61706, 44426]).all()
    classes = pd.read_csv(results / f"{name}_classes.csv")
    assert len(classes) == 2 * designs * 10
    assert len(pd.read_csv(results / f"{name}_confusion.csv")) == 2 * designs * 100
    for what in ("epochs", "layers"):
        assert (results / f"{name}_{what}.csv").exists()

    # The last lines: what was reached, where it is, and what to run next, without --synthetic.
    first = 100 * runs.loc[runs["design"] == runs["design"].iloc[0], "test_accuracy"]
    told = re.search(rf"^{runs['design'].iloc[0]} +2 +([\d.]+) %", done.stdout, re.MULTILINE)
    assert float(told[1]) == pytest.approx(first.mean(), abs=0.006)
    assert "synthetic" in done.stdout
    row = classes[classes["seed"] == 0].iloc[0]
    assert any(
        line.split()[:3] == [str(row["class"]), str(row["correct"]), str(row["total"])]
        for line in done.stdout.splitlines()
    )
    last = done.stdout.splitlines()[-1]
    assert last.startswith("next, on ") and "--synthetic" not in last and "--epochs 1" in last

    # The same command again trains nothing; nor does --plot-only; the figures are the same.
    before = sums(figures)
    for more in ((), ("--plot-only",)):
        shutil.rmtree(figures)
        again = script(f"{name}.py", *options, *more, cwd=ROOT)
        assert again.returncode == 0, again.stderr
        assert "to train" not in again.stdout
        assert sums(figures) == before


def test_figures_are_redrawn_without_data_and_weights(script: Script, tmp_path: Path) -> None:
    """On real data's results, on a machine that holds neither data nor weights."""
    name = "part2_lenet5"
    design = ("--epochs", "1", "--designs", "lenet5-2017")
    done = script(f"{name}.py", "--synthetic", *design, "--seeds", "1")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "my figures")
    shutil.rmtree(tmp_path / "my results" / "weights")
    for path in (tmp_path / "my results").glob("*.csv"):
        path.write_text(path.read_text().replace("synthetic-digits", "mnist"))
    again = script(f"{name}.py", *design, "--plot-only", "--data-dir", str(tmp_path / "none"))
    assert again.returncode == 0, again.stderr
    drawn = {path.name for path in (tmp_path / "my figures").iterdir()}
    expected = [what for what in FIGURES[name] if what not in IMAGES]
    assert drawn == {f"{name}_{what}_{LABELS[name]}-lenet5-2017.png" for what in expected}
    assert "figures that show digits: no mnist in" in again.stdout
    assert not (tmp_path / "none").exists()


def test_list_trains_nothing(script: Script, tmp_path: Path) -> None:
    done = script("part2_lenet5.py", "--list", "--seeds", "2")
    assert done.returncode == 0, done.stderr
    assert "lenet5-2017: 44,426 parameters, 281,640 multiply-accumulates" in done.stdout
    assert "6 runs, 6 to train: lenet5 seed 0" in done.stdout
    assert "no recorded time for 6 of them" in done.stdout
    assert not (tmp_path / "my results").exists()


def test_list_tells_the_time_from_recorded_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    recipe = Recipe("r", epochs=4, batch_size=64, lr=0.1, momentum=0.9)
    asked = [Run(Design("d", mlp), recipe, "mnist", seed) for seed in range(3)]
    results = Results(tmp_path, "experiment")
    recorded = Run(Design("d", mlp), replace(recipe, epochs=2), "mnist", 0)  # half as long
    row = (*(7850, 7840, 0.1, 0.99, 0.1, 0.98), 120.0, *(1, "cpu", "2.6.0"))
    results.add(recorded.key, {"runs": [row], "epochs": [], "classes": []})
    options = argparse.Namespace(fresh=False, dataset="mnist", recipe=recipe, jobs=2)
    terminal.print_list(asked, results, options)
    said = capsys.readouterr().out
    assert "3 runs, 3 to train" in said
    assert "about 6 min with --jobs 2" in said  # 3 runs of 4 minutes, 2 at once


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("tensors", "share memory: tensor([2., 2., 2., 2., 2.]) and [2. 2. 2. 2. 2.]"),
        ("autograd", "dQ/da by autograd [36.0, 81.0], by hand 9a^2 = [36.0, 81.0]"),
        ("networks", "together 62,006 parameters"),
    ],
)
def test_a_section_of_the_tutorial_by_itself(
    section: str, says: str, script: Script, tmp_path: Path
) -> None:
    done = script("part1_cifar_tutorial.py", "--section", section)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
    assert done.stdout.count("== ") == 1
    assert not (tmp_path / "my results").exists()


def test_a_run_that_diverges_is_named_in_the_last_lines(script: Script, tmp_path: Path) -> None:
    options = ("--synthetic", "--epochs", "1", "--seeds", "1", "--designs", "lenet5-relu")
    done = script("part2_lenet5.py", *options, "--lr", "1e20")
    assert done.returncode == 0, done.stderr
    assert "diverged (its loss became infinite): lenet5-relu seed 0" in done.stdout
    run = pd.read_csv(tmp_path / "my results" / "part2_lenet5.csv").iloc[0]
    assert pd.isna(run["train_loss"])
    assert 0 <= run["test_accuracy"] <= 1


def test_where_seed_0_diverged_its_weights_are_not_held_against_it(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    argv = ["--synthetic", "--section", "classifier", "--epochs", "1", "--seeds", "2"]
    argv += ["--results-dir", str(tmp_path), "--figures-dir", str(tmp_path)]
    assert part1_cifar_tutorial.main(argv) == 0
    assert "the weights of seed 0, read again, reach the same" in capsys.readouterr().out
    path = tmp_path / "part1_cifar_tutorial.csv"
    runs = pd.read_csv(path, dtype=str)
    runs.loc[runs["seed"] == "0", "train_loss"] = "nan"
    runs.to_csv(path, index=False)
    assert part1_cifar_tutorial.main([*argv, "--plot-only"]) == 0
    said = capsys.readouterr().out
    assert "read again" not in said
    assert "diverged (its loss became infinite): baseline seed 0" in said


@pytest.mark.skipif(os.name == "nt", reason="the commands are POSIX")
def test_readme_opens_with_the_two_commands() -> None:
    set_up = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"
    text = (ROOT / "README.txt").read_text()
    first = text.index(f"{set_up} && .venv/bin/python part2_lenet5.py --synthetic\n")
    second = text.index(f"{set_up} && .venv/bin/python -m pytest\n")
    assert first < second
    assert "$" not in text[:second]
