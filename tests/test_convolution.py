"""LeNet-5 against an MLP of its size, from the runs to the answer."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import add_run, listed

import part2_convolution
from common.data import synthetic
from common.data.datasets import BASES
from common.models.design import Design, totals
from common.results.store import Results
from common.training.loop import Run
from common.training.recipes import MODERN, Recipe
from part2_convolution import LENET5, MLP, principal_components

Main = Callable[..., str]


@pytest.fixture
def main(tmp_path: Path, capsys: pytest.CaptureFixture) -> Main:
    """Run the script in temporary folders; returns the output with single spaces, in one line."""

    def run(*options: str) -> str:
        folders = ["--results-dir", str(tmp_path), "--figures-dir", str(tmp_path / "figures")]
        assert part2_convolution.main([*options, *folders]) == 0
        return " ".join(capsys.readouterr().out.split())

    return run


def add(
    folder: Path,
    dataset: str,
    accuracies: dict[Design, list[float]],
    diverged: Sequence[int] = (),
    recipe: Recipe = MODERN,
) -> None:
    """Runs with these accuracies by seed; a tenth less per pixel of shift."""
    results = Results(folder, "part2_mlp", {"hidden": ""}, ("variations",))
    for design, values in accuracies.items():
        for seed, accuracy in enumerate(values):
            loss = {"train_loss": float("nan")} if seed in diverged else {}
            add_run(results, Run(design, recipe, dataset, seed), accuracy, **loss)


def add_all(folder: Path) -> None:
    """Runs of both networks in all conditions."""
    for suffix, mlp, lenet5 in (
        ("", 0.97, 0.99),
        ("-permuted", 0.97, 0.96),
        ("-1-percent", 0.86, 0.85),
        ("-3-percent", 0.90, 0.94),
        ("-10-percent", 0.93, 0.972),
        ("-30-percent", 0.95, 0.98),
    ):
        means = {MLP: mlp, LENET5: lenet5}
        accuracies = {design: [m - 0.001, m, m + 0.001] for design, m in means.items()}
        add(folder, f"mnist{suffix}", accuracies)


def test_both_networks_have_the_same_size(capsys: pytest.CaptureFixture) -> None:
    assert listed(part2_convolution, capsys) == ["77", "lenet5"]
    assert totals(MLP)[0] == 61225
    assert totals(LENET5)[0] == 61706


def test_designs_are_refused(capsys: pytest.CaptureFixture) -> None:
    assert part2_convolution.main(["--designs", "77"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "always compares both networks" in error


def test_the_answer_is_computed_from_the_runs(main: Main, tmp_path: Path) -> None:
    add_all(tmp_path)
    output = main("--plot-only", "--classes")
    assert (
        "On digits shifted by 2 pixels, LeNet-5 misclassifies 21.0 %, an MLP of its size 23.0 %. "
        "With 10 % of the training images, LeNet-5 is at least as good as the MLP with all. With "
        "permuted pixels, LeNet-5 misclassifies 4.0 % instead of 1.0 %, the MLP 3.0 % instead of "
        "3.0 %."
    ) in output
    # Summary and classes are those of the unchanged digits.
    assert "77 3 97.00 %" in output and "lenet5 3 99.00 %" in output
    assert output.count("by class: seed 0, then mean and sd of 3 seeds") == 2

    table = pd.read_csv(tmp_path / "part2_convolution.csv")
    assert len(table) == 2 * (6 + 6)  # data sets and shifts
    row = table[(table["dataset"] == "mnist-permuted") & (table["design"] == "lenet5")].iloc[0]
    assert row["difference"] == pytest.approx(-0.01)
    assert row["difference_low"] < -0.01 < row["difference_high"] < 0
    assert set(table.loc[table["variation"] == "shift-3", "dataset"]) == {"mnist"}
    (figure,) = (tmp_path / "figures").iterdir()
    assert figure.name == "part2_convolution_accuracy_modern.png"


def test_the_answer_is_also_that_more_images_are_needed(main: Main, tmp_path: Path) -> None:
    add_all(tmp_path)
    add(tmp_path, "mnist", {MLP: [0.992, 0.993, 0.994]})
    assert "With all training images, LeNet-5 is worse than the MLP." in main("--plot-only")


def test_seeds_leaves_the_table_alone(main: Main, tmp_path: Path) -> None:
    add_all(tmp_path)
    output = main("--plot-only", "--seeds", "1")
    assert "77 1 96.90 %" in output
    assert "1 % of the images 85.90 % 84.90 % -1.00 (too few seeds)" in output
    assert not (tmp_path / "part2_convolution.csv").exists()


@pytest.mark.parametrize(
    ("dataset", "diverged"), [("mnist", []), ("mnist", [0]), ("mnist-permuted", [])]
)
def test_a_comparison_needs_both_networks(
    dataset: str, diverged: list[int], main: Main, tmp_path: Path
) -> None:
    add(tmp_path, dataset, {MLP: [0.97]}, diverged)
    assert "no figure: it needs both networks in all conditions" in main("--plot-only")
    assert not (tmp_path / "figures").exists()


def test_diverged_runs_are_not_in_the_means(main: Main, tmp_path: Path) -> None:
    add_all(tmp_path)
    add(tmp_path, "mnist", {LENET5: [0.1, 0.989, 0.991]}, diverged=[0])
    output = main("--plot-only")
    assert "LeNet-5 misclassifies 21.0 %" in output
    assert "diverged (the loss became infinite): lenet5 seed 0" in output


def test_principal_components_are_those_of_the_covariance() -> None:
    values = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [3, 2, 1, 1]
    )
    points, share = principal_components(values)
    variances, directions = np.linalg.eigh(np.cov(values.T))  # ascending
    assert share == pytest.approx(variances[-2:].sum() / variances.sum())
    expected = (values - values.mean(0)).numpy() @ directions[:, :-3:-1]
    assert np.abs(points.numpy()) == pytest.approx(np.abs(expected), abs=1e-5)  # either sign


def test_missing_runs_are_trained_on_their_data_sets(
    main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = BASES["synthetic-digits"]._replace(
        read=lambda _: synthetic.digits(train=2000, test=200)
    )
    monkeypatch.setitem(BASES, "synthetic-digits", small)
    suffixes = ("", "-1-percent", "-3-percent", "-10-percent", "-30-percent", "-permuted")
    recipe = replace(MODERN, epochs=1)
    for suffix in suffixes[:-2]:
        dataset = f"synthetic-digits{suffix}"
        add(tmp_path, dataset, {MLP: [0.9], LENET5: [0.95]}, recipe=recipe)
    add(tmp_path, "synthetic-digits-permuted", {MLP: [0.9]}, recipe=recipe)
    add(tmp_path, "synthetic-digits-30-percent", {LENET5: [0.94]}, recipe=recipe)
    options = ("--synthetic", "--epochs", "1", "--seeds", "1")
    assert "runs: 10 from" in main(*options)
    runs = pd.read_csv(tmp_path / "part2_mlp.csv")
    assert set(runs["dataset"]) == {f"synthetic-digits{suffix}" for suffix in suffixes}
    assert len(pd.read_csv(tmp_path / "part2_mlp_variations.csv")) == 6 * len(runs) == 6 * 12
    trained = runs[runs["torch"] == torch.__version__].set_index("dataset")["design"]
    assert dict(trained) == {
        "synthetic-digits-30-percent": "77",
        "synthetic-digits-permuted": "lenet5",
    }
