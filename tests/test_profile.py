"""The script that profiles: its tables, its verdict, its figures, its errors."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Hostile, Script

import part2_profile
from common.results.store import Results


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which two small networks were trained and measured."""
    folder = tmp_path_factory.mktemp("measured")
    argv = ["--synthetic", "--quick", "--designs", "30", "300-100", "--batch-sizes", "16"]
    argv += ["--results-dir", str(folder), "--figures-dir", str(folder / "figures")]
    assert part2_profile.main(argv) == 0
    return folder


def test_a_profile_from_training_to_figures(measured: Path) -> None:
    rows = pd.read_csv(measured / "part2_profile_quick.csv", dtype={"design": str})
    assert set(zip(rows["design"], rows["images"], strict=True)) == {
        ("30", 1),
        ("30", 16),
        ("300-100", 1),
        ("300-100", 16),
    }
    assert (rows["parameter_bytes"] == 4 * rows["parameters"]).all()
    assert (rows["input_bytes"] == 4 * 784 * rows["images"]).all()
    assert set(rows.loc[rows["design"] == "300-100", "macs"]) == {266200}
    assert (rows["flops"] == 2 * rows["macs"] * rows["images"]).all()
    assert (rows["resident_bytes"] >= rows["activation_bytes"]).all()
    assert (rows["images_per_second"] * rows["seconds"] / rows["images"] - 1).abs().max() < 1e-4
    one = rows[rows["images"] == 1]
    assert (one["seconds"] <= one["p90_seconds"]).all()
    assert (rows["noisy"] == np.where(rows["spread"] > 0.1, "yes", "no")).all()
    trained = pd.read_csv(measured / "part2_mlp.csv", dtype={"design": str})
    accuracy = trained.set_index("design")["test_accuracy"]
    assert (rows["test_accuracy"] == rows["design"].map(accuracy)).all()
    layers = pd.read_csv(measured / "part2_profile_quick_layers.csv", dtype={"design": str})
    assert layers.groupby(["design", "images"])["share"].sum().to_numpy() == pytest.approx(
        1, abs=1e-5
    )  # of shares with six digits
    assert "aten::addmm" in (measured / "part2_profile_quick_30.txt").read_text()
    names = {path.name.split("_")[3] for path in (measured / "figures").iterdir()}
    assert names == {"pareto", "latency", "memory", "roofline", "operators"}


def test_figures_of_the_profile_come_from_the_csv_alone(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    argv = ["--synthetic", "--quick", "--plot-only", "--results-dir", str(measured)]
    argv += ["--figures-dir", str(tmp_path)]
    assert part2_profile.main([*argv, "--designs", "30"]) == 0
    alone = {path.name for path in tmp_path.iterdir()}
    capsys.readouterr()
    assert part2_profile.main([*argv, "--designs", "30", "300-100"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Most accurate is" in said and "of the weights of" in said
    for path in (measured / "figures").iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
        assert path.name not in alone  # what shows fewer networks takes no other's place


def test_ranks_side_by_side_do_not_measure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0")
    assert part2_profile.main(["--synthetic"]) == 1
    assert "do without torchrun" in capsys.readouterr().err


def hand_made(**changes: dict[str, float]) -> pd.DataFrame:
    """Rows of three networks on one thread, one image a call."""
    common = {"images": 1, "threads": 1, "variant": "plain", "parameter_bytes": 1000}
    rows = [
        {"design": "a", "mean_accuracy": 0.99, "low_accuracy": 0.989, "high_accuracy": 0.991},
        {"design": "b", "mean_accuracy": 0.9895, "low_accuracy": 0.989, "high_accuracy": 0.99},
        {"design": "c", "mean_accuracy": 0.96, "low_accuracy": 0.95, "high_accuracy": 0.97},
    ]
    return pd.DataFrame(
        [{**common, "seconds": 2e-4, **row, **changes.get(str(row["design"]), {})} for row in rows]
    )


def test_the_verdict_is_computed_and_ranks_nothing_within_the_noise() -> None:
    rows = hand_made(c={"seconds": 1e-4, "parameter_bytes": 250})
    assert part2_profile.verdict(rows) == (
        "Most accurate is a, with 1.00 % errors (not told apart from it: b); fastest for one "
        "image c: 1/2.0 of the time of a, with 4.00 % errors, 4.0 times as many; smallest c: "
        "1/4.0 of the weights of a, with 4.00 % errors, 4.0 times as many."
    )
    assert "fastest for one image it too" in part2_profile.verdict(hand_made(a={"seconds": 1e-5}))
    perfect = hand_made(a={"mean_accuracy": 1.0, "seconds": 1.0})
    assert "times as many" not in part2_profile.verdict(perfect)


def test_measurements_of_another_processor_are_not_mixed_in(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for path in measured.glob("part2_*.csv"):
        shutil.copy(path, tmp_path)
    path = tmp_path / "part2_profile_quick.csv"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    elsewhere = rows.assign(device="cpu Z80")
    pd.concat([rows, elsewhere]).to_csv(path, index=False)
    argv = ["--synthetic", "--quick", "--plot-only", "--results-dir", str(tmp_path)]
    argv += ["--figures-dir", str(tmp_path / "figures")]
    assert part2_profile.main(argv) == 0
    said = capsys.readouterr().out
    assert "Z80" not in said and said.count("300-100 ") >= 1
    elsewhere.to_csv(path, index=False)
    assert part2_profile.main(argv) == 0
    assert "cpu Z80" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["another design", "half", "pickle", "other numbers"])
def test_weights_that_are_not_the_designs_are_refused_by_name(
    damage: str, measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    results = Results(measured, "part2_mlp", ["hidden"], ["variations"])
    (path,) = (measured / "weights").glob("*_30_30_*")
    (other,) = (measured / "weights").glob("*_300-100_*")
    before, harmed = path.read_bytes(), tmp_path / "harmed"
    assert len(results.frame()) == 2
    if damage == "another design":
        path.write_bytes(other.read_bytes())
    elif damage == "half":
        path.write_bytes(before[: len(before) // 2])
    elif damage == "pickle":
        path.write_bytes(pickle.dumps(Hostile(harmed)))
    else:
        saved = torch.load(path, weights_only=True)
        saved["weights"]["F1.weight"] = -saved["weights"]["F1.weight"]
        torch.save(saved, path)
    argv = ["--synthetic", "--quick", "--designs", "30", "--results-dir", str(measured)]
    try:
        assert part2_profile.main([*argv, "--figures-dir", str(tmp_path)]) == 1
    finally:
        path.write_bytes(before)
    captured = capsys.readouterr().err
    assert captured.count("\n") == 1
    assert path.name in captured
    assert not harmed.exists()


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (["--batch-sizes", "3000"], 2, "there are 2000 test images"),
        (["--batch-sizes", "0"], 2, "0 is not at least 1"),
        (["--designs", "31"], 2, "there are 30, 300, 300-100, lenet5"),
        (["--device", "tpu"], 2, "choose from"),
        (["--plot-only"], 1, "nothing is measured yet"),
    ],
)
def test_wrong_options(
    argv: list[str], status: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folders = ["--results-dir", str(tmp_path), "--figures-dir", str(tmp_path)]
    try:
        ended = part2_profile.main(["--synthetic", *argv, *folders])
    except SystemExit as error:
        ended = error.code
    assert ended == status
    captured = capsys.readouterr().err
    assert captured.count("\n") == 1
    assert said in captured


def test_no_data_is_one_line(tmp_path: Path, script: Script) -> None:
    (tmp_path / "MNIST").touch()  # so that nothing can be downloaded to it
    done = script("part2_profile.py", "--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
