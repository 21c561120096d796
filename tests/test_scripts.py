"""The scripts as a user runs them, from the command line to the files."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, Script

FIGURES = {
    "part1_cifar_tutorial": ["loss", "classes", "confusion", "filters", "predictions"],
    "part2_lenet5": ["curves", "accuracy", "confusion", "examples", "misread"],
}
LABELS = {"part1_cifar_tutorial": "tutorial-epochs1", "part2_lenet5": "report2017-epochs1"}
IMAGES = {"filters", "predictions", "examples", "misread"}


def sums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("name", FIGURES)
def test_a_first_try(name: str, script: Script, tmp_path: Path) -> None:
    options = ("--synthetic", "--epochs", "1", "--seeds", "2", "--classes")
    done = script(f"{name}.py", *options)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""

    results, figures = tmp_path / "results", tmp_path / "figures"
    names = {f"{name}_{what}_{LABELS[name]}.png" for what in FIGURES[name]}
    assert set(sums(figures)) == names
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
    mean = runs.groupby("design")["test_accuracy"].mean().iloc[0]
    assert f"{100 * mean:.2f} %" in done.stdout
    assert "synthetic" in done.stdout
    row = classes[classes["seed"] == 0].iloc[0]
    assert any(
        line.split()[:3] == [str(row["class"]), str(row["correct"]), str(row["total"])]
        for line in done.stdout.splitlines()
    )
    last = done.stdout.splitlines()[-1]
    assert last.startswith("next, on ") and "--synthetic" not in last and "--epochs 1" in last

    # The same command again trains nothing, and without the data the rest is still drawn.
    before = sums(figures)
    csv_before = sums(results) if not (results / "weights").is_dir() else None
    shutil.rmtree(figures)
    again = script(f"{name}.py", *options, "--plot-only", cwd=ROOT)
    assert again.returncode == 0, again.stderr
    assert "to train" not in again.stdout
    assert sums(figures) == before
    del csv_before


def test_figures_are_redrawn_without_data_and_weights(script: Script, tmp_path: Path) -> None:
    """On real data's results, on a machine that holds neither data nor weights."""
    name = "part2_lenet5"
    done = script(f"{name}.py", "--synthetic", "--epochs", "1", "--seeds", "1")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "figures")
    shutil.rmtree(tmp_path / "results" / "weights")
    for path in (tmp_path / "results").glob("*.csv"):
        path.write_text(path.read_text().replace("synthetic-digits", "mnist"))
    again = script(
        f"{name}.py", "--epochs", "1", "--plot-only", "--data-dir", str(tmp_path / "none")
    )
    assert again.returncode == 0, again.stderr
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    expected = [what for what in FIGURES[name] if what not in IMAGES]
    assert drawn == {f"{name}_{what}_{LABELS[name]}.png" for what in expected}
    assert "figures that show digits: no mnist in" in again.stdout
    assert not (tmp_path / "none").exists()


def test_paths_with_spaces(tmp_path: Path) -> None:
    folder = tmp_path / "my results"
    options = ["--synthetic", "--epochs", "1", "--seeds", "1", "--designs", "lenet5-2017"]
    folders = ["--results-dir", folder, "--figures-dir", "my figures"]
    done = subprocess.run(
        [sys.executable, ROOT / "part2_lenet5.py", *options, *folders],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "part2_lenet5.csv").exists()
    assert len(list((tmp_path / "my figures").iterdir())) == 5


def test_list_trains_nothing(script: Script, tmp_path: Path) -> None:
    done = script("part2_lenet5.py", "--list", "--seeds", "2")
    assert done.returncode == 0, done.stderr
    assert "lenet5-2017: 44,426 parameters, 281,640 multiply-accumulates" in done.stdout
    assert "6 runs, 6 to train: lenet5 seed 0" in done.stdout
    assert "no recorded time for 6 of them" in done.stdout
    assert not (tmp_path / "results").exists()


def test_list_tells_the_time_from_recorded_runs(script: Script, tmp_path: Path) -> None:
    options = ("--synthetic", "--designs", "lenet5-2017", "--epochs")
    assert script("part2_lenet5.py", *options, "1", "--seeds", "1").returncode == 0
    path = tmp_path / "results" / "part2_lenet5.csv"
    frame = pd.read_csv(path)
    frame["train_seconds"] = 60.0
    frame.to_csv(path, index=False)
    done = script("part2_lenet5.py", *options, "4", "--seeds", "3", "--list", "--jobs", "2")
    assert "3 runs, 3 to train" in done.stdout
    assert "about 6 min with --jobs 2" in done.stdout  # 3 runs of 4 epochs of a minute


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
    assert not (tmp_path / "results").exists()


def test_a_run_that_diverges_is_named_in_the_last_lines(script: Script, tmp_path: Path) -> None:
    options = ("--synthetic", "--epochs", "1", "--seeds", "1", "--designs", "lenet5-relu")
    done = script("part2_lenet5.py", *options, "--lr", "1e20")
    assert done.returncode == 0, done.stderr
    assert "diverged (its loss became infinite): lenet5-relu seed 0" in done.stdout
    run = pd.read_csv(tmp_path / "results" / "part2_lenet5.csv").iloc[0]
    assert pd.isna(run["train_loss"])
    assert 0 <= run["test_accuracy"] <= 1


@pytest.mark.skipif(os.name == "nt", reason="the commands are POSIX")
def test_readme_opens_with_the_two_commands() -> None:
    set_up = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"
    text = (ROOT / "README.txt").read_text()
    first = text.index(f"{set_up} && .venv/bin/python part2_lenet5.py --synthetic\n")
    second = text.index(f"{set_up} && .venv/bin/python -m pytest\n")
    assert first < second
    assert "$" not in text[:second]
