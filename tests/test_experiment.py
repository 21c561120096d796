"""Only runs of the current code are shown, with their origin."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from conftest import add_run
from torch import Tensor, nn

import part1_explore_depth
from common import LabError
from common.models.design import Design, check_design
from common.models.networks import CIFAR_COLUMNS, cifar_design
from common.results.store import Results
from common.training.loop import Run
from common.training.recipes import TUTORIAL, Recipe

NAME = "part1_explore_depth"


def add(folder: Path, accuracies: dict[int, list[float]], recipe: Recipe = TUTORIAL) -> None:
    """Runs of the depth exploration on CIFAR-10 with given accuracies, by layers and seed."""
    results = Results(folder, NAME, CIFAR_COLUMNS)
    for layers, values in accuracies.items():
        design = cifar_design(str(layers), layers=layers)
        for seed, accuracy in enumerate(values):
            add_run(results, Run(design, recipe, "cifar10", seed), accuracy)


@pytest.fixture
def plot(tmp_path: Path, capsys: pytest.CaptureFixture) -> object:
    """Run the script with --plot-only; returns exit status and output."""

    def run(*options: str) -> tuple[int, str]:
        folders = ["--results-dir", str(tmp_path), "--figures-dir", str(tmp_path / "figures")]
        status = part1_explore_depth.main(["--plot-only", *options, *folders])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return run


EDITED = replace(TUTORIAL, weight_decay=0.001)  # as if the recipe were edited


def test_the_first_line_says_where_the_runs_come_from(tmp_path: Path, plot: object) -> None:
    add(tmp_path, {7: [0.54, 0.55], 9: [0.47, 0.48]})
    status, output = plot()
    assert status == 0
    first = " ".join(output.split("\n\n")[0].split())
    assert first.startswith("runs: 4 from ") and first.endswith(
        "(torch 2.6.0, cpu), 0 to train here"
    )


def test_runs_of_other_code_are_not_used(tmp_path: Path, plot: object) -> None:
    add(tmp_path, {7: [0.54, 0.55, 0.53], 9: [0.47, 0.48, 0.49]})
    add(tmp_path, {7: [0.91, 0.92, 0.93], 9: [0.81, 0.82, 0.83]}, EDITED)
    status, output = plot()
    assert status == 0
    said = " ".join(output.split())
    assert f"6 runs in {tmp_path / NAME}.csv were trained with another network or recipe" in said
    assert "they are kept but not used" in said
    assert "54.00 %" in output and "92.00" not in output
    for table in ("", "_epochs", "_classes"):
        rows = pd.read_csv(tmp_path / f"{NAME}{table}.csv")
        assert rows["fingerprint"].nunique() == 4  # two networks, two recipes
    summary = pd.read_csv(tmp_path / f"{NAME}_summary.csv")
    assert summary["mean"].tolist() == pytest.approx([0.54, 0.48])


def test_nothing_but_runs_of_other_code_is_status_1(tmp_path: Path, plot: object) -> None:
    add(tmp_path, {7: [0.91, 0.92]}, EDITED)
    status, output = plot()
    assert status == 1
    assert "has 2 runs of another network or recipe: train again" in output
    assert not (tmp_path / "figures").exists()


def test_seeds_reports_only_these_and_leaves_the_summary_alone(
    tmp_path: Path, plot: object
) -> None:
    add(tmp_path, {7: [0.50, 0.52, 0.70, 0.71, 0.72], 9: [0.40, 0.41, 0.60, 0.61, 0.62]})
    assert plot()[0] == 0
    before = (tmp_path / f"{NAME}_summary.csv").read_bytes()
    status, output = plot("--seeds", "2")
    assert status == 0
    line = next(line for line in output.splitlines() if line.startswith("7 "))
    assert line.split()[:3] == ["7", "2", "51.00"]
    assert (tmp_path / f"{NAME}_summary.csv").read_bytes() == before
    assert plot("--designs", "7", "9")[0] == 0
    assert (tmp_path / f"{NAME}_summary.csv").read_bytes() == before
    figures = {path.name for path in (tmp_path / "figures").iterdir()}
    for label in ("tutorial", "tutorial-seeds2", "tutorial-7-9"):
        assert f"{NAME}_accuracy_{label}.png" in figures


def test_impossible_intervals_are_not_printed(tmp_path: Path, plot: object) -> None:
    add(tmp_path, {7: [0.1, 0.55], 9: [0.47, 0.48]})
    _, output = plot()
    assert "(too few seeds)" in output
    assert not [line for line in output.splitlines() if line.startswith("7 ") and "-" in line]


def test_an_added_argument_does_not_mix_with_another_factor(tmp_path: Path) -> None:
    """A network with batch norm has one more argument: it does not count as 7 layers."""
    columns = {**CIFAR_COLUMNS, "norm": "none"}
    add(tmp_path, {7: [0.54, 0.55]})
    design = cifar_design("7-bn")
    design = replace(design, columns={**design.columns, "norm": "batch"})
    wider = Results(tmp_path, NAME, columns)
    add_run(wider, Run(design, TUTORIAL, "cifar10"), 0.6)
    rows = Results(tmp_path, NAME, columns).select()
    assert dict(zip(rows["design"], rows["norm"], strict=True)) == {"7": "none", "7-bn": "batch"}
    plain = Run(cifar_design("7"), TUTORIAL, "cifar10")
    selected = Results(tmp_path, NAME, columns).select([plain])
    assert set(selected["design"]) == {"7"}
    undone = Results(tmp_path, NAME, CIFAR_COLUMNS)  # the argument is removed from the code again
    assert set(undone.select([plain])["design"]) == {"7"} and plain in undone


class Typo(nn.Module):
    """A student's network with a typo in `forward`."""

    def forward(self, x: Tensor) -> Tensor:
        return self.F5(x)


def test_a_typo_in_a_network_is_one_line_with_its_place() -> None:
    with pytest.raises(LabError) as failure:
        check_design(Design("typo", Typo))
    message = str(failure.value)
    assert message.startswith(f"design typo fails in {__file__}, line ")
    assert "AttributeError: 'Typo' object has no attribute 'F5'" in message
    assert "\n" not in message
