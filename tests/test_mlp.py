"""The MLPs of Part 2, from the command line to tables and figures."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest
from conftest import add_run, listed

import part2_mlp
from common.models.networks import mlp_design
from common.results.store import Results
from common.training.loop import Run
from common.training.recipes import MODERN

Main = Callable[..., str]


@pytest.fixture
def main(tmp_path: Path, capsys: pytest.CaptureFixture) -> Main:
    """Run the script with folders of its own; returns the output."""

    def run(*options: str) -> str:
        folders = ["--results-dir", str(tmp_path), "--figures-dir", str(tmp_path / "figures")]
        assert part2_mlp.main([*options, *folders]) == 0
        return capsys.readouterr().out

    return run


def add(folder: Path, hidden: str, accuracies: list[float], diverged: Sequence[int] = ()) -> None:
    """Runs of an MLP on MNIST with these accuracies, by seed."""
    results = Results(folder, "part2_mlp", {"hidden": ""}, ("variations",))
    design = mlp_design(*map(int, hidden.split("-")))
    for seed, accuracy in enumerate(accuracies):
        loss = {"train_loss": float("nan")} if seed in diverged else {}
        add_run(results, Run(design, MODERN, "mnist", seed), accuracy, **loss)


def figures(folder: Path) -> set[str]:
    """What the figures show: `accuracy`, `curves`, ..."""
    return {path.name.split("_")[2] for path in (folder / "figures").iterdir()}


def test_the_designs_are_the_labs(capsys: pytest.CaptureFixture) -> None:
    widths = [str(width) for width in range(30, 301, 30)]
    assert listed(part2_mlp, capsys) == [*widths, "300-100"]
    pairs = [f"{first}-{second}" for first in (100, 200, 300) for second in (100, 200, 300)]
    assert listed(part2_mlp, capsys, "--grid") == pairs
    assert listed(part2_mlp, capsys, "--hidden", "500", "150") == ["500-150"]
    assert listed(part2_mlp, capsys, "--hidden", "7") == ["7"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--hidden", "0"], "0 is not at least 1"),
        (["--hidden", "300", "10001"], "10001 is not at least 1 and below 10001"),
        (["--hidden", "300", "many"], "invalid whole number value: 'many'"),
        (["--hidden"], "expected at least one argument"),
        (["--hidden", "30", "--grid"], "not allowed with"),
        (["--seeds", "0"], "0 is not at least 1"),
        (["--recipe", "tutorial"], "choose from"),
    ],
)
def test_wrong_options(argv: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        part2_mlp.main(argv)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_mlps_are_trained_and_tested_on_shifted_digits(
    main: Main, cluster: str, tmp_path: Path
) -> None:
    options = ("--synthetic", "--epochs", "1", "--seeds", "2", "--designs", "30", "60", "300-100")
    options += ("--cluster", cluster)
    output = main(*options)
    assert "against 300-100" in output and "30 to 60" in output
    runs = pd.read_csv(tmp_path / "part2_mlp.csv", dtype={"hidden": str})
    assert list(runs["hidden"].unique()) == ["30", "300-100", "60"]
    shifts = pd.read_csv(tmp_path / "part2_mlp_variations.csv")
    assert len(shifts) == 6 * len(runs)
    mean = shifts.groupby("variation")["test_accuracy"].mean()
    assert mean["shift-1"] > mean["shift-3"] > mean["shift-6"]
    assert figures(tmp_path) == {"accuracy", "curves", "width"}
    # Only the command for all designs and seeds writes the tables of means.
    means = [tmp_path / f"part2_mlp_{table}.csv" for table in ("summary", "width")]
    assert not any(path.exists() for path in means)
    assert "runs: 6 from" in main("--synthetic", "--epochs", "1", "--plot-only")
    assert [len(pd.read_csv(path)) for path in means] == [3, 1]
    assert "0 to train here" in " ".join(main(*options).split())  # no shift is missing


@pytest.mark.parametrize("diverged", [[0], [0, 1, 2]])
def test_diverged_mlps_are_named_and_not_in_the_mean(
    diverged: list[int], main: Main, tmp_path: Path
) -> None:
    add(tmp_path, "30", [0.97, 0.96, 0.98], diverged)
    output = main("--designs", "30", "--plot-only")
    for seed in range(3):
        message = f"diverged (the loss became infinite): 30 seed {seed}"
        assert (message in output) == (seed in diverged)
    summary = output.split("train s\n")[1].splitlines()[0].split()
    assert summary[:2] == ["30", str(3 - len(diverged))]
    expected = {"accuracy"} if len(diverged) == 3 else {"accuracy", "curves"}
    assert figures(tmp_path) == expected


def test_the_effect_of_the_width_is_that_of_one_layer(main: Main, tmp_path: Path) -> None:
    add(tmp_path, "30", [0.93, 0.94, 0.95])
    add(tmp_path, "120", [0.95, 0.96, 0.97])
    add(tmp_path, "300", [0.99])  # one seed does not count
    add(tmp_path, "300-100", [0.98, 0.98, 0.99])
    assert "neurons 30 to 120" in " ".join(main("--plot-only").split())
    (row,) = pd.read_csv(tmp_path / "part2_mlp_width.csv").to_dict("records")
    assert (row["levels"], row["n"], row["worst"], row["best"]) == (2, 3, 30, 120)
    assert row["range"] == pytest.approx(0.02)
    assert row["slope"] == pytest.approx(0.02)
    assert figures(tmp_path) == {"accuracy", "curves", "width"}


def test_hidden_layers_of_your_choice(main: Main, tmp_path: Path) -> None:
    add(tmp_path, "500-150", [0.98, 0.99])
    main("--hidden", "500", "150", "--plot-only")
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {f"part2_mlp_{what}_modern-500-150.png" for what in ("accuracy", "curves")}


def test_a_grid_has_shares_and_a_heat_map(main: Main, tmp_path: Path) -> None:
    for first in (100, 200, 300):
        for second in (100, 200, 300):
            middle = 0.9 + first / 1e4 + second / 1e5
            add(tmp_path, f"{first}-{second}", [middle - 0.001, middle, middle + 0.001])
    output = main("--grid", "--plot-only")
    (shares,) = pd.read_csv(tmp_path / "part2_mlp_grid.csv").to_dict("records")
    assert shares["share_first"] == pytest.approx(100 * shares["share_second"])
    assert shares["share_interaction"] == pytest.approx(0, abs=1e-6)
    assert "shares of the variance in the grid: first 98 %" in output
    assert (tmp_path / "figures" / "part2_mlp_grid_modern-grid.png").exists()
