"""What `python -m common.report --check` verifies: it accepts the repository, and finds edits."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import ROOT
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import part1_explore_depth
import part2_mlp
from common.report import __main__ as report
from common.report.check import (
    NETWORKS,
    Check,
    networks_agree,
    report_agrees,
    retrained,
    runs_agree,
)
from common.report.redraw import commands, recomputed

RESULTS, FIGURES = ROOT / "results", ROOT / "figures"
TEXT = {"design": str, "fingerprint": str}
DEPTH = "part1_explore_depth"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A copy of some results that a test may edit."""
    folder = tmp_path / "results"
    folder.mkdir()
    for path in RESULTS.glob(f"{DEPTH}*.csv"):
        shutil.copy(path, folder)
    return folder


def problems(checks: list[Check]) -> list[str]:
    return [problem for check in checks for problem in check.problems]


def test_every_run_agrees_with_its_tables_and_with_the_current_code() -> None:
    checks = runs_agree(RESULTS)
    assert problems(checks) == []
    epochs, classes = (next(c for c in checks if what in c.what) for what in ("epoch", "classes"))
    assert epochs.verified == classes.verified >= 816


def edit(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> None:
    """Read a CSV file as text, change the table, write it."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    changed = change(table)
    (table if changed is None else changed).to_csv(path, index=False, lineterminator="\n")


def number(table: pd.DataFrame) -> None:
    table.loc[len(table) - 1, "test_accuracy"] = "0.9955"


def count(table: pd.DataFrame) -> None:
    table.loc[3, "correct"] = str(int(table.loc[3, "correct"]) + 1)


def swapped_seeds(table: pd.DataFrame) -> None:
    table.loc[[0, 1], "seed"] = table.loc[[1, 0], "seed"].tolist()


def removed_row(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(index=3)


def other_recipe(table: pd.DataFrame) -> None:
    table.loc[3, "recipe"] = "tutorial-kaiming"


def fingerprint(table: pd.DataFrame) -> None:
    table.loc[3, "fingerprint"] = "12345678"


def duplicated_row(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table.loc[:3], table.loc[3:]])


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("", number),
        ("_epochs", number),
        ("_classes", count),
        ("", swapped_seeds),
        ("", removed_row),
        ("_epochs", removed_row),
        ("_classes", removed_row),
        ("", other_recipe),
        ("", fingerprint),
        ("_classes", fingerprint),
        ("", duplicated_row),
        ("_epochs", duplicated_row),
    ],
)
def test_an_edited_table_is_found_and_named(table: str, change: Callable, results: Path) -> None:
    path = results / f"{DEPTH}{table}.csv"
    edit(path, change)
    found = problems(runs_agree(results))
    assert found and all(f"{results / DEPTH}" in problem for problem in found)


def test_a_recipe_that_nobody_knows_is_named_and_the_other_checks_go_on(results: Path) -> None:
    for suffix in ("", "_epochs", "_classes"):
        path = results / f"{DEPTH}{suffix}.csv"
        edit(path, lambda table: table.replace({"recipe": {"tuned": "unknown"}}))
    named = problems(runs_agree(results))
    assert named and all("no recipe unknown" in problem for problem in named)
    assert networks_agree(results, results, []).problems == []


def test_an_edited_confusion_matrix_is_found(results: Path) -> None:
    for path in RESULTS.glob("part2_lenet5*.csv"):
        shutil.copy(path, results)
    edit(results / "part2_lenet5_confusion.csv", lambda table: table.replace({"count": {"1": "2"}}))
    assert "its confusion matrix does not add up" in problems(runs_agree(results))[0]


def test_the_sentence_that_was_edited_is_named(tmp_path: Path) -> None:
    text = (ROOT / "REPORT.md").read_text(encoding="utf-8")
    assert not report_agrees(RESULTS, ROOT / "REPORT.md").problems
    edited = tmp_path / "REPORT.md"
    lines = text.splitlines()
    lines[20] = lines[20].replace("e", "E") + " Or not."
    edited.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (problem,) = report_agrees(RESULTS, edited).problems
    assert problem.startswith(f"{edited}, line 21: it says '{lines[20]}', the results give '")
    assert problem.endswith(f"{text.splitlines()[20]}'")


def test_edited_means_layers_and_figures_are_found(tmp_path: Path, results: Path) -> None:
    """One command draws all figures of this folder; it has drawn them with this matplotlib."""
    figures = tmp_path / "figures"
    folders = ["--results-dir", str(results), "--figures-dir", str(figures)]
    assert part1_explore_depth.main(["--plot-only", *folders]) == 0
    edit(results / f"{DEPTH}_summary.csv", lambda t: t.replace({"n": {"10": "9"}}))
    edit(results / f"{DEPTH}_layers.csv", lambda t: t.replace({"kind": {"MaxPool2d 2x2": "-"}}))
    accuracy, curves, size = (
        figures / f"{DEPTH}_{what}_tutorial.png" for what in ("accuracy", "curves", "size")
    )
    with Image.open(accuracy) as image:
        details = PngInfo()
        details.add_text("Software", image.info["Software"])
        image.putpixel((400, 200), (0, 200, 0))
    image.save(accuracy, pnginfo=details)
    shutil.copy(curves, figures / "more.png")
    size.unlink()
    checks = recomputed(results, figures, tmp_path, [[f"{DEPTH}.py"]], tmp_path / "scratch")
    assert problems(checks) == [
        f"{results / DEPTH}_layers.csv: differs from what the runs give",
        f"{results / DEPTH}_summary.csv: differs from what the runs give",
        f"{accuracy}: differs from the figure of the results",
        f"{size} is missing",
    ]
    assert checks[1].skipped == [f"more.png: MNIST or CIFAR-10 is not in {tmp_path}"]
    drawn_elsewhere = PngInfo()
    drawn_elsewhere.add_text("Software", "matplotlib 0.1")
    image.save(accuracy, pnginfo=drawn_elsewhere)
    *_, pictures = recomputed(results, figures, tmp_path, [[f"{DEPTH}.py"]], tmp_path / "again")
    assert pictures.skipped[-1].startswith(f"{accuracy.name}: drawn with matplotlib 0.1, not with")
    image.save(accuracy)  # as another program
    *_, pictures = recomputed(results, figures, tmp_path, [[f"{DEPTH}.py"]], tmp_path / "third")
    assert f"{accuracy}: none of our scripts wrote this file" in pictures.problems


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a network that was trained here, on built-in images."""
    folder = tmp_path_factory.mktemp("trained")
    options = ["--synthetic", "--epochs", "1", "--seeds", "1", "--designs", "30", "--jobs", "1"]
    folders = ["--results-dir", str(folder), "--figures-dir", str(folder / "figures")]
    assert part2_mlp.main([*options, *folders]) == 0
    return folder


def test_saved_networks_are_tested_and_an_edited_weight_is_found(
    trained: Path, tmp_path: Path
) -> None:
    check = networks_agree(trained, ROOT / "data", [])
    assert (check.verified, check.problems) == (1, [])
    (reason,) = check.skipped
    assert reason == "0 runs without a saved network: --retrain N trains N of them"
    copy = shutil.copytree(trained, tmp_path / "copy")
    (path,) = copy.glob("weights/*.pt")
    weights = torch.load(path, weights_only=True)
    weights["hidden.F1.weight"][0, 0] += 1
    torch.save(weights, path)
    shutil.copy(path, path.with_stem("mine"))
    missing = copy / "weights" / "part2_mlp_300_modern_seed0.pt"
    weight, mine, lost = networks_agree(copy, ROOT / "data", ["part2_mlp_300_modern"]).problems
    assert weight.startswith(
        f"{path} or the .json file beside it is not of 30 seed 0, or is damaged"
    )
    assert mine == f"{path.with_stem('mine')} belongs to no run of today's networks"
    assert lost == f"{missing} is missing"


def test_networks_without_data_are_named_as_not_tested(trained: Path, tmp_path: Path) -> None:
    for path in trained.glob("*.csv"):
        text = path.read_text().replace("synthetic-digits", "mnist")
        (tmp_path / path.name).write_text(text)
    (path,) = trained.glob("weights/*.pt")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / path.name.replace("-synthetic-digits", "")).touch()
    check = networks_agree(tmp_path, tmp_path / "none", [])
    assert check.problems == []
    reason, _ = check.skipped
    assert reason.endswith(f"no mnist in {tmp_path / 'none'}")


def test_runs_are_trained_again(trained: Path, tmp_path: Path) -> None:
    check = retrained(trained, ROOT / "data", 5, tmp_path)  # there is only one
    assert (check.verified, check.problems) == (1, [])
    edited = shutil.copytree(trained, tmp_path / "edited")
    edit(edited / "part2_mlp.csv", lambda t: t.assign(test_accuracy="0.9955"))
    (problem,) = retrained(edited, ROOT / "data", 1, tmp_path / "again").problems
    where = f"{edited / 'part2_mlp.csv'}, 30 seed 0, recipe modern"
    assert problem.startswith(f"{where}: recorded 0.9955, today 0.")
    edit(edited / "part2_mlp.csv", lambda t: t.assign(torch="another"))
    (reason,) = retrained(edited, ROOT / "data", 1, tmp_path / "other").skipped
    assert reason == f"{where}: one seed, and another processor or version of torch"


def test_the_command_prints_what_is_verified_and_what_is_false(
    trained: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A repository with one network, no figures, and a report that needs other results."""
    shutil.copytree(trained, tmp_path / "results")
    (tmp_path / "README.txt").write_text("no commands")
    monkeypatch.setattr(report, "ROOT", tmp_path)
    assert report.main(["--check"]) == 1
    output, error = capsys.readouterr()
    lines = {line.split("  ")[0]: line.split()[-3:] for line in output.splitlines()}
    count = str(len(NETWORKS))  # the repository's are missing here
    assert lines["saved networks give the recorded counts"] == ["1", count, "1"]
    assert lines["last epoch equals the run"] == ["1", "0", "0"]
    assert lines["REPORT.md is its template, filled"] == ["0", "1", "0"]
    assert "false: common/report/report.md.jinja" in output or "the report needs" in output
    assert error.startswith("error: ") and error.count("\n") == 1


def test_readmes_commands_are_those_of_the_report() -> None:
    words = commands((ROOT / "README.txt").read_text(encoding="utf-8"))
    assert ["part2_lenet5.py", "--split", "75-25"] in words
    assert ["part1_explore_activation.py", "--all"] in words
    assert not any({"--seeds", "validation"} & set(command) for command in words)
    assert len(words) == len({" ".join(command) for command in words}) >= 25
