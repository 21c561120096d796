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
from conftest import ROOT, Script

import part1_cifar_tutorial
import part2_lenet5

FIGURES = {
    "part1_cifar_tutorial": ["loss", "classes", "confusion", "filters", "predictions"],
    "part2_lenet5": ["curves", "accuracy", "confusion", "misread"],
}
LABELS = {
    "part1_cifar_tutorial": "tutorial-epochs1-batchsize250-seeds2",
    "part2_lenet5": "report2017-epochs1-batchsize250-seeds2",
}
OF_DATA = {
    "part1_cifar_tutorial": set(),
    "part2_lenet5": {"part2_lenet5_examples_synthetic-digits.png"},
}
IMAGES = ("filters", "predictions", "misread")


def sums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("name", FIGURES)
def test_a_first_try(
    name: str, script: Script, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    options = ["--synthetic", "--epochs", "1", "--batch-size", "250", "--seeds", "2", "--jobs", "1"]
    options += ["--classes"] if name == "part2_lenet5" else []
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
    assert runs["fingerprint"].str.fullmatch("[0-9a-f]{8}").all()
    assert runs["fingerprint"].nunique() == designs
    classes = pd.read_csv(results / f"{name}_classes.csv")
    assert len(classes) == 2 * designs * 10
    assert len(pd.read_csv(results / f"{name}_confusion.csv")) == 2 * designs * 100
    for what in ("epochs", "layers"):
        assert (results / f"{name}_{what}.csv").exists()

    # What was reached, where it is, and what to run next, without --synthetic.
    assert f"runs: 0, {2 * designs} to train here" in done.stdout
    first = 100 * runs.loc[runs["design"] == runs["design"].iloc[0], "test_accuracy"]
    line = re.search(rf"^{runs['design'].iloc[0]} +2 +([\d.]+) %", done.stdout, re.MULTILINE)
    assert float(line[1]) == pytest.approx(first.mean(), abs=0.006)
    row = classes[classes["seed"] == 0].iloc[0]
    assert any(
        line.split()[:3] == [str(row["class"]), str(row["correct"]), str(row["total"])]
        for line in done.stdout.splitlines()
    )
    last = done.stdout.splitlines()[-1]
    assert last.startswith("next, on ") and "--synthetic" not in last and "--epochs 1" in last

    # The same command again trains nothing; the figures are the same.
    before = sums(figures)
    shutil.rmtree(figures)
    folders = ["--results-dir", str(results), "--figures-dir", str(figures)]
    main = {"part1_cifar_tutorial": part1_cifar_tutorial, "part2_lenet5": part2_lenet5}[name].main
    assert main([*options, *folders]) == 0
    output = capsys.readouterr().out
    assert f"runs: {2 * designs} from" in output and "0 to train here" in output
    assert sums(figures) == before


def test_figures_are_drawn_without_data_and_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """From results of real data, on a machine that has neither data nor weights."""
    folders = ["--results-dir", str(tmp_path), "--figures-dir", str(tmp_path / "figures")]
    options = ["--epochs", "1", "--batch-size", "250", "--designs", "lenet5-2017", "--seeds", "1"]
    assert part2_lenet5.main(["--synthetic", *options, *folders]) == 0
    shutil.rmtree(tmp_path / "figures")
    shutil.rmtree(tmp_path / "weights")
    for path in tmp_path.glob("*.csv"):
        path.write_text(path.read_text().replace("synthetic-digits", "mnist"))
    capsys.readouterr()
    data = ["--data-dir", str(tmp_path / "none")]
    assert part2_lenet5.main([*options, *folders, "--plot-only", *data]) == 0
    label = LABELS["part2_lenet5"].replace("seeds2", "seeds1-lenet5-2017")
    expected = {f"part2_lenet5_{what}_{label}.png" for what in FIGURES["part2_lenet5"]}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        name for name in expected if not any(image in name for image in IMAGES)
    }
    assert "figures that show digits: no mnist in" in capsys.readouterr().out
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
        ("networks", "together 62,006 parameters"),
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


def test_what_the_tutorial_says_is_checked_without_assertions_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """`python -O` removes assertions: a false sentence must still end the script."""
    monkeypatch.setattr(part1_cifar_tutorial.torch, "allclose", lambda *_: False)
    assert part1_cifar_tutorial.main(["--section", "networks"]) == 1
    assert "the tutorial says" in capsys.readouterr().err
    assert "assert" not in Path(part1_cifar_tutorial.__file__).read_text()


def test_runs_that_diverge_or_learn_nothing_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folders = ["--results-dir", str(tmp_path), "--figures-dir", str(tmp_path / "figures")]
    options = ["--synthetic", "--epochs", "1", "--seeds", "1", "--designs", "lenet5-relu", *folders]
    options += ["--batch-size", "100", "--jobs", "1"]
    assert part2_lenet5.main([*options, "--lr", "1e20"]) == 0
    output = capsys.readouterr().out
    assert "diverged (the loss became infinite): lenet5-relu seed 0" in output
    run = pd.read_csv(tmp_path / "part2_lenet5.csv").iloc[0]
    assert pd.isna(run["train_loss"])
    assert 0 <= run["test_accuracy"] <= 1
    assert part2_lenet5.main([*options, "--lr", "3"]) == 0
    assert "did not learn (guessing): lenet5-relu" in capsys.readouterr().out


def test_weights_of_a_run_that_diverged_are_not_tested(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    argv = ["--synthetic", "--section", "classifier", "--epochs", "1", "--seeds", "2"]
    argv += [
        "--jobs",
        "1",
        "--batch-size",
        "250",
        "--results-dir",
        str(tmp_path),
        "--figures-dir",
        str(tmp_path),
    ]
    assert part1_cifar_tutorial.main(argv) == 0
    assert "the saved weights of seed 0 reach the same" in capsys.readouterr().out
    path = tmp_path / "part1_cifar_tutorial.csv"
    runs = pd.read_csv(path, dtype=str)
    runs.loc[runs["seed"] == "0", "train_loss"] = "nan"
    runs.to_csv(path, index=False)
    assert part1_cifar_tutorial.main([*argv, "--plot-only"]) == 0
    output = capsys.readouterr().out
    assert "saved weights" not in output
    assert "diverged (the loss became infinite): baseline seed 0" in output


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
