"""The explorations of Part 1 and their factors, from the command line to the tables."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import add_run, listed
from scipy import stats

import part1_explore_activation
import part1_explore_depth
import part1_explore_featuremaps
import part1_factors
from common import console
from common.models.networks import CIFAR_COLUMNS, cifar_design
from common.results.store import Results
from common.training.loop import Run
from common.training.recipes import TUTORIAL


def test_the_designs_are_the_labs(capsys: pytest.CaptureFixture) -> None:
    one_at_a_time = ["6-16", "6-20", "6-24", "6-28", "8-16", "10-16", "12-16"]
    assert listed(part1_explore_featuremaps, capsys) == one_at_a_time
    assert len(listed(part1_explore_featuremaps, capsys, "--grid")) == 16
    assert listed(part1_explore_depth, capsys) == ["7", "9", "11", "13"]
    assert listed(part1_explore_activation, capsys) == ["relu", "sigmoid", "tanh"]
    newer = ["leaky-relu", "elu", "gelu", "silu"]
    assert listed(part1_explore_activation, capsys, "--all")[3:] == newer


def test_options_change_the_baseline(capsys: pytest.CaptureFixture) -> None:
    assert part1_explore_depth.main(["--list", "--c1", "12", "--c3", "28"]) == 0
    output = capsys.readouterr().out
    assert "12x28x28" in output and "28x10x10" in output
    assert "12-28" in listed(part1_explore_featuremaps, capsys, "--c1", "12", "--c3", "28")
    assert "7-16" in listed(part1_explore_featuremaps, capsys, "--c1", "7")
    assert "gelu" in listed(part1_explore_activation, capsys, "--activation", "gelu")


@pytest.mark.parametrize(
    ("script", "argv", "message"),
    [
        (part1_explore_depth, ["--layers", "8"], "7, 9, 11, 13"),
        (part1_explore_depth, ["--layers", "15"], "7, 9, 11, 13"),
        (part1_explore_activation, ["--activation", "step"], "'relu', 'sigmoid', 'tanh'"),
        (part1_explore_featuremaps, ["--c1", "0"], "0 is not at least 1"),
        (part1_explore_featuremaps, ["--designs", "6-17"], "6-16 6-20"),
        (part1_explore_depth, ["--recipe", "quick"], "'tutorial', 'tutorial-long'"),
        (part1_factors, ["--epochs", "1"], "need --recipe"),
    ],
)
def test_wrong_options(
    script: object, argv: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    try:
        status = script.main(argv)
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_an_exploration_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    results = Results(tmp_path, "part1_explore_activation", CIFAR_COLUMNS)
    for name, accuracy in (("relu", 0.5), ("sigmoid", 0.1), ("tanh", 0.6)):
        for seed in range(2):
            design = cifar_design(name, activation=name)
            run = Run(design, TUTORIAL, "synthetic-objects", seed)
            add_run(results, run, accuracy + seed / 100)
    options = ["--synthetic", "--results-dir", str(tmp_path)]
    assert part1_explore_activation.main([*options, "--seeds", "2"]) == 0
    assert not (tmp_path / "part1_explore_activation_summary.csv").exists()
    assert part1_explore_activation.main([*options, "--plot-only"]) == 0
    output = capsys.readouterr().out
    assert "against relu" in output and "did not learn (guessing): sigmoid" in output
    summary = pd.read_csv(tmp_path / "part1_explore_activation_summary.csv")
    runs = pd.read_csv(tmp_path / "part1_explore_activation.csv", dtype={"fingerprint": str})
    assert list(summary["design"]) == ["relu", "sigmoid", "tanh"]
    means = runs.groupby("design")["test_accuracy"].mean()
    assert list(summary["mean"]) == pytest.approx([means[name] for name in summary["design"]])
    assert summary["difference"].iloc[2] == pytest.approx(means["tanh"] - means["relu"], abs=1e-5)
    assert pd.isna(summary["difference"].iloc[0])
    names = {path.name for path in (tmp_path / "figures").glob("*.png")}
    figures = [f"part1_explore_activation_{what}" for what in ("accuracy", "curves", "gradients")]
    ends = ("tutorial", "tutorial-seeds2")
    assert names == {f"{name}_{end}.png" for name in figures for end in ends}
    path = tmp_path / "part1_explore_activation_gradients.csv"
    gradients = pd.read_csv(path, dtype={"fingerprint": str})
    assert len(gradients) == 3 * 2 * 5  # activations, seeds, layers
    assert set(gradients["fingerprint"]) == set(runs["fingerprint"])


def add_runs(folder: Path, **levels: list[float]) -> None:
    """Runs of the depth exploration with given accuracies, by design."""
    results = Results(folder, "part1_explore_depth", CIFAR_COLUMNS)
    for name, accuracies in levels.items():
        layers = int(name.removeprefix("layers"))
        design = cifar_design(str(layers), layers=layers)
        for seed, accuracy in enumerate(accuracies):
            add_run(results, Run(design, TUTORIAL, "cifar10", seed), accuracy)


def test_the_expected_time_is_that_of_the_same_network(tmp_path: Path) -> None:
    """A wider network of the same name takes longer."""
    add_runs(tmp_path, layers9=[0.5, 0.5])
    results = Results(tmp_path, "part1_explore_depth", CIFAR_COLUMNS)
    narrow, wide = (
        Run(cifar_design("9", c1=c1, layers=9), TUTORIAL, "cifar10", 7) for c1 in (6, 12)
    )
    assert console.recorded_seconds(narrow, results) == pytest.approx(20)
    assert math.isnan(console.recorded_seconds(wide, results))


def test_factors_are_compared_in_one_table(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    add_runs(
        tmp_path,
        layers7=[0.54, 0.55, 0.53],
        layers9=[0.48, 0.47, 0.49],
        layers13=[0.1, 0.1, 0.1],
    )
    folders = ["--results-dir", str(tmp_path), "--figures-dir", str(tmp_path / "figures")]
    assert part1_factors.main(folders) == 0
    output = capsys.readouterr().out
    (effect,) = pd.read_csv(tmp_path / "part1_factors.csv").to_dict("records")
    assert (effect["factor"], effect["best"], effect["worst"]) == ("layers", 7, 13)
    assert effect["range"] == pytest.approx(0.44)
    assert effect["low"] < 0.44 < effect["high"]
    assert effect["eta_squared"] > 0.99
    sizes = pd.read_csv(tmp_path / "part1_factors_sizes.csv").set_index("size")
    assert set(sizes.index) == {"parameters", "macs"} and set(sizes["factor"]) == {"layers"}
    x, accuracies = np.repeat([62006, 64656, 69956], 3), [0.54, 0.55, 0.53, 0.48, 0.47, 0.49]
    line = stats.linregress(x, [*accuracies, 0.1, 0.1, 0.1])
    assert sizes["slope"]["parameters"] == pytest.approx(line.slope, rel=1e-5)
    assert sizes["low"]["macs"] < sizes["slope"]["macs"] < sizes["high"]["macs"] < 0
    assert sizes["p"].isna().all()  # there is no other factor
    assert (tmp_path / "figures" / "part1_factors.png").stat().st_size > 5000
    (line,) = [line for line in output.splitlines() if line.startswith("layers")]
    assert line.split()[1:6] == ["13", "to", "7", "44.00", f"{100 * effect['low']:.2f}"]


def test_one_seed_shows_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    add_runs(tmp_path, layers7=[0.54], layers9=[0.48])
    folders = ["--results-dir", str(tmp_path), "--figures-dir", str(tmp_path / "figures")]
    assert part1_explore_depth.main(["--plot-only", *folders]) == 0
    summary = pd.read_csv(tmp_path / "part1_explore_depth_summary.csv")
    assert summary["difference"].isna().all()
    half = (summary["high"] - summary["low"]) / 2
    assert half.iloc[0] == pytest.approx(0.0098, abs=2e-4)  # Wilson's, of 10,000 images
    assert "too few seeds to compare" in capsys.readouterr().out
    assert part1_factors.main(folders) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert not (tmp_path / "part1_factors.csv").exists()
