"""The MLPs of Part 2, and LeNet-5 beside one of its size."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from conftest import Script, listed

import part2_mlp
from common import convolution
from common.models.networks import size
from common.results.store import Results


def test_the_designs_are_the_labs(capsys: pytest.CaptureFixture) -> None:
    widths = [str(width) for width in range(30, 301, 30)]
    assert listed(part2_mlp, capsys) == [*widths, "300-100"]
    pairs = [f"{first}-{second}" for first in (100, 200, 300) for second in (100, 200, 300)]
    assert listed(part2_mlp, capsys, "--grid") == pairs
    assert listed(part2_mlp, capsys, "--hidden", "500", "150") == ["500-150"]
    assert listed(part2_mlp, capsys, "--hidden", "7") == ["7"]
    assert listed(part2_mlp, capsys, "--against-lenet5") == ["77", "lenet5"]


def test_the_two_that_are_compared_are_of_one_size() -> None:
    assert size(convolution.MLP)[0] == 61225
    assert size(convolution.LENET5)[0] == 61706


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--hidden", "0"], "0 is not at least 1"),
        (["--hidden", "300", "10001"], "10001 is not at least 1 and below 10001"),
        (["--hidden", "300", "many"], "invalid whole number value: 'many'"),
        (["--hidden"], "expected at least one argument"),
        (["--hidden", "30", "--grid"], "not allowed with"),
        (["--against-lenet5", "--designs", "300"], "compares both of its networks"),
        (["--seeds", "0"], "0 is not at least 1"),
        (["--recipe", "tutorial"], "choose from"),
    ],
)
def test_wrong_options(argv: list[str], said: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        part2_mlp.main(argv)
    assert ended.value.code == 2
    captured = capsys.readouterr().err
    assert captured.count("\n") == 1
    assert said in captured


def test_mlps_from_the_command_line(script: Script, tmp_path: Path) -> None:
    options = ("--synthetic", "--epochs", "1", "--seeds", "2", "--designs", "30", "60", "300-100")
    done = script("part2_mlp.py", *options)
    assert done.returncode == 0, done.stderr
    assert "against 300-100" in done.stdout
    runs = pd.read_csv(tmp_path / "my results" / "part2_mlp.csv", dtype={"hidden": str})
    assert list(runs["hidden"].unique()) == ["30", "300-100", "60"]
    summary = pd.read_csv(tmp_path / "my results" / "part2_mlp_summary.csv")
    assert len(summary) == 3
    shifts = pd.read_csv(tmp_path / "my results" / "part2_mlp_variations.csv")
    assert len(shifts) == 6 * len(runs)
    mean = shifts.groupby("variation")["test_accuracy"].mean()
    assert mean["shift-1"] > mean["shift-3"] > mean["shift-6"]
    whats = {path.name.split("_")[2] for path in (tmp_path / "my figures").iterdir()}
    assert whats == {"accuracy", "curves", "width"}
    again = script("part2_mlp.py", *options)
    assert again.returncode == 0, again.stderr
    assert "to train" not in again.stdout  # shifts included, nothing is missing


def add(
    results: Results,
    dataset: str,
    design: str,
    accuracies: list[float],
    lost: Sequence[int] = (),
) -> None:
    """Runs of a design with given accuracies, those on shifted images each a tenth less.

    Seeds that are `lost` have diverged.
    """
    for seed, accuracy in enumerate(accuracies):
        hidden = "120-84" if design == "lenet5" else design
        key = (dataset, design, hidden, "modern", 20, 64, 0.05, 0.9, seed)
        measured = (float("nan") if seed in lost else 0.1, 0.99, 0.1, accuracy)
        shifts = [(f"shift-{i}", 0.2, accuracy - i / 10) for i in convolution.SHIFTS]
        results.add(
            key,
            {
                "runs": [(61225, 61000, *measured, 20.0, 1, "cpu", "2.6.0")],
                "epochs": [(1, *measured, 10.0)],
                "classes": [(name, 500, 1000, 0.5) for name in "0123456789"],
                "variations": shifts,
            },
        )


def test_a_comparison_needs_both_networks(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    results = Results(tmp_path, "part2_mlp", ["hidden"], ["variations"])
    add(results, "mnist", "77", [0.97])
    folders = ["--results-dir", str(tmp_path), "--figures-dir", str(tmp_path / "figures")]
    assert part2_mlp.main(["--against-lenet5", "--plot-only", *folders]) == 0
    assert "not all conditions are measured" in capsys.readouterr().out
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize("lost", [[0], [0, 1, 2]])
def test_diverged_mlps_are_named_and_left_out(
    lost: list[int], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    results = Results(tmp_path, "part2_mlp", ["hidden"], ["variations"])
    add(results, "mnist", "30", [0.97, 0.96, 0.98], lost)
    folders = ["--results-dir", str(tmp_path), "--figures-dir", str(tmp_path / "figures")]
    assert part2_mlp.main(["--designs", "30", "--plot-only", *folders]) == 0
    said = capsys.readouterr().out
    for seed in range(3):
        assert (f"diverged (its loss became infinite): 30 seed {seed}" in said) == (seed in lost)
    summary = said.split("train s\n")[1].splitlines()[0].split()
    assert summary[:2] == ["30", str(3 - len(lost))]
    drawn = {path.name.split("_")[2] for path in (tmp_path / "figures").iterdir()}
    assert drawn == ({"accuracy"} if len(lost) == 3 else {"accuracy", "curves"})


def test_a_grid_has_shares_and_a_heat_map(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    results = Results(tmp_path, "part2_mlp", ["hidden"], ["variations"])
    for first in (100, 200, 300):
        for second in (100, 200, 300):
            middle = 0.9 + first / 1e4 + second / 1e5
            add(results, "mnist", f"{first}-{second}", [middle - 0.001, middle, middle + 0.001])
    folders = ["--results-dir", str(tmp_path), "--figures-dir", str(tmp_path / "figures")]
    assert part2_mlp.main(["--grid", "--plot-only", *folders]) == 0
    (shares,) = pd.read_csv(tmp_path / "part2_mlp_grid.csv").to_dict("records")
    assert shares["share_first"] == pytest.approx(100 * shares["share_second"])
    assert shares["share_interaction"] == pytest.approx(0, abs=1e-6)
    assert "shares of the variance in the grid: first 98 %" in capsys.readouterr().out
    assert (tmp_path / "figures" / "part2_mlp_grid_modern-grid.png").exists()


def test_what_convolution_buys_is_computed_from_the_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    results = Results(tmp_path, "part2_mlp", ["hidden"], ["variations"])
    for suffix, mlp, lenet5 in (
        ("", 0.97, 0.99),
        ("-permuted", 0.97, 0.96),
        ("-1-percent", 0.86, 0.85),
        ("-3-percent", 0.90, 0.94),
        ("-10-percent", 0.93, 0.972),
        ("-30-percent", 0.95, 0.98),
    ):
        add(results, f"mnist{suffix}", "77", [mlp - 0.001, mlp, mlp + 0.001])
        add(results, f"mnist{suffix}", "lenet5", [lenet5 - 0.001, lenet5, lenet5 + 0.001])
    folders = ["--results-dir", str(tmp_path), "--figures-dir", str(tmp_path / "figures")]
    assert part2_mlp.main(["--against-lenet5", "--plot-only", *folders]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "shifted by 2 pixels LeNet-5 errs on 21.0 % and an MLP of its size on 23.0 %" in said
    assert "needs 10 % of the images" in said
    assert "go from 1.0 to 4.0 % and the MLP's from 3.0 to 3.0 %" in said
    table = pd.read_csv(tmp_path / "part2_mlp_against.csv")
    assert len(table) == 2 * (6 + 6)
    row = table[(table["dataset"] == "mnist-permuted") & (table["design"] == "lenet5")].iloc[0]
    assert row["difference"] == pytest.approx(-0.01)
    assert row["difference_low"] < -0.01 < row["difference_high"] < 0
    shifted = table[table["variation"] == "shift-3"]
    assert set(shifted["dataset"]) == {"mnist"}
    (figure,) = (tmp_path / "figures").iterdir()
    assert figure.name == "part2_mlp_against-lenet5_modern.png"
