"""The errors of 1998 and ours: which runs are compared."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from conftest import add_run

import part2_published
from common.models.networks import LENET5, mlp_design
from common.results.store import Results
from common.training.loop import Run
from common.training.recipes import MODERN, MODERN_DISTORTED


def main(folder: Path) -> int:
    folders = ["--results-dir", str(folder), "--figures-dir", str(folder / "figures")]
    return part2_published.main(folders)


def test_only_runs_of_the_recipes_own_numbers_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    lenets = Results(tmp_path, "part2_lenet5", extras=("confusion",))
    mlps = Results(tmp_path, "part2_mlp", {"hidden": ""}, ("variations",))
    for seed, accuracy in enumerate((0.99, 0.992)):
        add_run(lenets, Run(LENET5, MODERN, "mnist", seed), accuracy)
    add_run(lenets, Run(LENET5, MODERN, "mnist", 2), 0.1, train_loss=float("nan"))
    add_run(lenets, Run(LENET5, replace(MODERN, lr=0.02), "mnist"), 0.5)
    add_run(lenets, Run(LENET5, replace(MODERN, weight_decay=0.1), "mnist"), 0.5)  # an edit
    add_run(lenets, Run(LENET5, MODERN, "mnist-validation"), 0.5)
    add_run(mlps, Run(mlp_design(300, 100), MODERN_DISTORTED, "mnist"), 0.98)
    add_run(mlps, Run(mlp_design(77), MODERN, "mnist"), 0.5)
    assert main(tmp_path) == 0
    mlp, lenet5 = pd.read_csv(tmp_path / "part2_published.csv").to_dict("records")
    assert (lenet5["network"], lenet5["design"], lenet5["recipe"]) == (
        "LeNet-5",
        "lenet5",
        "modern",
    )
    assert (lenet5["mean"], lenet5["n"]) == (pytest.approx(0.991), 2)
    assert (lenet5["distortions"], lenet5["published_error"]) == ("no", 0.0095)
    assert (mlp["network"], mlp["design"]) == ("784-300-100-10", "300-100")
    assert (mlp["distortions"], mlp["published_error"]) == ("yes", 0.025)
    assert mlp["low"] < 0.98 < mlp["high"]  # one seed: Wilson's interval
    output = capsys.readouterr().out
    assert "lenet5                            0.95   0.90" in output
    assert "300-100, distorted                2.50   2.00" in output
    assert "1 run in" in output and "it is kept but not used" in " ".join(output.split())
    assert (tmp_path / "figures" / "part2_published.png").stat().st_size > 5000


def test_a_row_without_results_does_not_stay(tmp_path: Path) -> None:
    lenets = Results(tmp_path, "part2_lenet5", extras=("confusion",))
    add_run(lenets, Run(LENET5, MODERN, "mnist"), 0.99)
    assert main(tmp_path) == 0
    for path in tmp_path.glob("part2_lenet5*.csv"):
        path.unlink()
    mlps = Results(tmp_path, "part2_mlp", {"hidden": ""}, ("variations",))
    add_run(mlps, Run(mlp_design(300), MODERN, "mnist"), 0.98)
    assert main(tmp_path) == 0
    assert pd.read_csv(tmp_path / "part2_published.csv")["design"].tolist() == [300]


def test_nothing_to_compare_is_one_line_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(tmp_path) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{tmp_path} has no results on MNIST to compare: run part2_mlp.py" in error
    assert not list(tmp_path.iterdir())


def test_a_smaller_table_replaces_no_larger_one(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """As after an edit of a recipe: most comparisons then have no runs of today's code."""
    (tmp_path / "part2_published.csv").write_text("network\n" + "some\n" * 12)
    results = Results(tmp_path, "part2_lenet5", extras=("confusion",))
    add_run(results, Run(LENET5, MODERN, "mnist"), 0.99)
    folders = ["--results-dir", str(tmp_path), "--figures-dir", str(tmp_path / "figures")]
    assert part2_published.main(folders) == 1
    error = capsys.readouterr().err
    assert "only 1 of 12 comparisons" in error and error.count("\n") == 1
    assert len((tmp_path / "part2_published.csv").read_text().splitlines()) == 13
    assert not (tmp_path / "figures").exists()
