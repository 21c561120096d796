"""The explorations of Part 1, from the command line to their summaries."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Script, listed
from scipy import stats

import part1_explore_activation
import part1_explore_depth
import part1_explore_featuremaps
from common import console as terminal
from common.models import networks as models
from common.plots import factors as factor_figures
from common.results.store import Results
from common.statistics import comparison
from common.training.loop import Run
from common.training.recipes import TUTORIAL

SCRIPTS = [part1_explore_featuremaps, part1_explore_depth, part1_explore_activation]


def test_the_designs_are_the_labs(capsys: pytest.CaptureFixture) -> None:
    one_at_a_time = ["6-16", "6-20", "6-24", "6-28", "8-16", "10-16", "12-16"]
    assert listed(part1_explore_featuremaps, capsys) == one_at_a_time
    assert len(listed(part1_explore_featuremaps, capsys, "--grid")) == 16
    assert listed(part1_explore_depth, capsys) == ["7", "9", "11", "13"]
    assert listed(part1_explore_activation, capsys) == ["relu", "sigmoid", "tanh"]
    modern = ["leaky-relu", "elu", "gelu", "silu"]
    assert listed(part1_explore_activation, capsys, "--all")[3:] == modern


def test_the_baseline_can_be_moved(capsys: pytest.CaptureFixture) -> None:
    assert part1_explore_depth.main(["--list", "--c1", "12", "--c3", "28"]) == 0
    said = capsys.readouterr().out
    assert "12x28x28" in said and "28x10x10" in said
    assert "12-28" in listed(part1_explore_featuremaps, capsys, "--c1", "12", "--c3", "28")
    assert "7-16" in listed(part1_explore_featuremaps, capsys, "--c1", "7")
    assert "gelu" in listed(part1_explore_activation, capsys, "--activation", "gelu")


@pytest.mark.parametrize(
    ("script", "argv", "said"),
    [
        (part1_explore_depth, ["--layers", "8"], "7, 9, 11, 13"),
        (part1_explore_activation, ["--activation", "step"], "'relu', 'sigmoid', 'tanh'"),
        (part1_explore_featuremaps, ["--c1", "0"], "0 is not at least 1"),
        (part1_explore_featuremaps, ["--designs", "6-17"], "6-16, 6-20"),
        (part1_explore_depth, ["--recipe", "quick"], "'tutorial', 'tutorial-long'"),
    ],
)
def test_wrong_options(
    script: object, argv: list[str], said: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended:
        script.main(argv)
    assert ended.value.code == 2
    captured = capsys.readouterr().err
    assert captured.count("\n") == 1
    assert said in captured


def test_an_exploration_from_the_command_line(script: Script, tmp_path: Path) -> None:
    options = ("--synthetic", "--epochs", "1", "--batch-size", "64", "--seeds", "2")
    done = script("part1_explore_activation.py", *options)
    assert done.returncode == 0, done.stderr
    assert "against relu" in done.stdout
    summary = pd.read_csv(tmp_path / "my results" / "part1_explore_activation_summary.csv")
    runs = pd.read_csv(tmp_path / "my results" / "part1_explore_activation.csv")
    assert list(summary["design"]) == ["relu", "sigmoid", "tanh"]
    means = runs.groupby("design")["test_accuracy"].mean()
    assert list(summary["mean"]) == pytest.approx([means[name] for name in summary["design"]])
    assert summary["difference"].iloc[2] == pytest.approx(means["tanh"] - means["relu"], abs=1e-5)
    assert pd.isna(summary["difference"].iloc[0])
    table = pd.read_csv(tmp_path / "my results" / "part1_factors.csv")
    assert list(table["factor"]) == ["activation"]
    assert table["range"].iloc[0] == pytest.approx(means.max() - means.min(), abs=1e-5)
    label = "tutorial-epochs1-batchsize64"
    names = {path.name for path in (tmp_path / "my figures").glob("*.png")}
    whats = [f"part1_explore_activation_{what}" for what in ("accuracy", "curves", "gradients")]
    assert names == {*(f"{what}_{label}.png" for what in whats), f"part1_factors-{label}.png"}

    gradients = tmp_path / "my results" / "part1_explore_activation_gradients.csv"
    measured, figure = gradients.read_bytes(), tmp_path / "my figures" / f"{whats[2]}_{label}.png"
    drawn = figure.read_bytes()
    assert len(pd.read_csv(gradients)) == 3 * 2 * 5  # activations, seeds, layers
    folders = ["--results-dir", str(tmp_path / "my results")]
    folders += ["--figures-dir", str(tmp_path / "my figures")]
    assert part1_explore_activation.main(["--plot-only", *options[:-2], *folders]) == 0
    assert (gradients.read_bytes(), figure.read_bytes()) == (measured, drawn)


def test_a_design_at_chance_is_named_whatever_its_seeds(capsys: pytest.CaptureFixture) -> None:
    table = pd.DataFrame(
        {
            "design": ["7", "9", "11", "13"],
            "mean": [0.55, 0.108, 0.1, np.nan],  # guessing on 10,000 images gives 0.094 to 0.106
            "low": [np.nan, -0.2, np.nan, np.nan],
        }
    )
    comparison.print_untrained(table, classes=10, tested=10_000)
    assert capsys.readouterr().out == "\nnot trained by this recipe, at chance (10 %): 11\n"


def add_runs(results: Results, **levels: list[float]) -> None:
    """Runs of the depth exploration with given accuracies, by design."""
    for layers, accuracies in levels.items():
        number = int(layers.removeprefix("layers"))
        size = models.size(models.cifar_design(str(number), layers=number))
        for seed, accuracy in enumerate(accuracies):
            design = ("cifar10", str(number), 6, 16, number, "relu")
            key = (*design, "tutorial", 2, 4, 0.001, 0.9, seed)
            measured = (1.2, 0.5, 1.3, accuracy)
            results.add(
                key,
                {
                    "runs": [(*size, *measured, 20.0, 1, "cpu", "2.6.0")],
                    "epochs": [(1, *measured, 10.0), (2, *measured, 10.0)],
                    "classes": [(name, 500, 1000, 0.5) for name in "abcdefghij"],
                },
            )


def test_the_time_told_is_that_of_the_same_network(tmp_path: Path) -> None:
    """Not of a narrower one, which has the same name."""
    results = Results(tmp_path, "part1_explore_depth", models.CIFAR_COLUMNS)
    add_runs(results, layers9=[0.5, 0.5])
    narrow, wide = (
        Run(models.cifar_design("9", c1, layers=9), TUTORIAL, "cifar10", 7) for c1 in (6, 12)
    )
    assert terminal.recorded_seconds(narrow, results) == pytest.approx(20)
    assert terminal.recorded_seconds(wide, results) is None


def test_the_factors_stand_beside_each_other(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    add_runs(
        Results(tmp_path, "part1_explore_depth", models.CIFAR_COLUMNS),
        layers7=[0.54, 0.55, 0.53],
        layers9=[0.48, 0.47, 0.49],
        layers13=[0.1, 0.1, 0.1],
    )
    folders = ["--results-dir", str(tmp_path), "--figures-dir", str(tmp_path / "figures")]
    assert part1_explore_depth.main(["--plot-only", *folders]) == 0
    said = capsys.readouterr().out
    (effect,) = pd.read_csv(tmp_path / "part1_factors.csv").to_dict("records")
    assert (effect["factor"], effect["best"], effect["worst"]) == ("layers", 7, 13)
    assert effect["range"] == pytest.approx(0.44)
    assert effect["low"] < 0.44 < effect["high"]
    assert effect["eta_squared"] > 0.99
    sizes = pd.read_csv(tmp_path / "part1_sizes.csv").set_index("size")
    assert set(sizes.index) == {"parameters", "macs"} and set(sizes["factor"]) == {"layers"}
    places, accuracies = np.repeat([62006, 64656, 69956], 3), [0.54, 0.55, 0.53, 0.48, 0.47, 0.49]
    line = stats.linregress(places, [*accuracies, 0.1, 0.1, 0.1])
    assert sizes["slope"]["parameters"] == pytest.approx(line.slope, rel=1e-5)
    assert sizes["low"]["macs"] < sizes["slope"]["macs"] < sizes["high"]["macs"] < 0
    assert sizes["p"].isna().all()  # there is no other factor
    assert (tmp_path / "figures" / "part1_factors.png").stat().st_size > 5000
    (line,) = [line for line in said.splitlines() if line.startswith("layers")]
    assert line.split()[1:6] == ["13", "to", "7", "44.00", f"{100 * effect['low']:.2f}"]


def test_one_seed_shows_no_difference_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    results = Results(tmp_path, "part1_explore_depth", models.CIFAR_COLUMNS)
    add_runs(results, layers7=[0.54], layers9=[0.48])
    folders = ["--results-dir", str(tmp_path), "--figures-dir", str(tmp_path / "figures")]
    assert part1_explore_depth.main(["--plot-only", *folders]) == 0
    summary = pd.read_csv(tmp_path / "part1_explore_depth_summary.csv")
    assert summary["difference"].isna().all()
    half = (summary["high"] - summary["low"]) / 2
    assert half.iloc[0] == pytest.approx(0.0098, abs=2e-4)  # Wilson's, of 10,000 images
    assert "too few seeds to tell" in capsys.readouterr().out
    assert not (tmp_path / "part1_factors.csv").exists()


def test_the_grid_is_a_heat_map_with_its_numbers() -> None:
    key = {"dataset": "cifar10", "recipe": "tutorial", "epochs": 2, "batch_size": 4}
    key |= {"lr": 0.001, "momentum": 0.9, "train_loss": 1.0}
    runs = pd.DataFrame(
        [
            {**key, "design": f"{c1}-{c3}", "c1": c1, "c3": c3, "seed": s}
            | {"test_accuracy": c1 / 100 + c3 / 1000 + s / 100}
            for c1 in (6, 8)
            for c3 in (16, 20)
            for s in (0, 1)
        ]
    )
    axes = factor_figures.heat_map(runs, "c1", "c3").axes[0]
    assert [text.get_text().split("\n")[0] for text in axes.texts] == ["8.1", "8.5", "10.1", "10.5"]
    assert {text.get_text().split("\n")[1] for text in axes.texts} == {"0.7"}
    np.testing.assert_array_equal(
        [label.get_text() for label in axes.get_xticklabels()], ["16", "20"]
    )
