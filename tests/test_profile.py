"""The script that profiles: its tables, its verdict, its figures, its errors."""

import hashlib
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Hostile

import part2_profile
from common.data.datasets import load
from common.inference import measurement
from common.inference.summary import verdict
from common.inference.tables import read, select
from common.models.networks import mlp_design
from common.results.store import Results
from common.training.loop import Run
from common.training.recipes import MODERN

SHORT = replace(MODERN, epochs=2)
ARGV = ["--synthetic", "--quick", "--jobs", "1", "--designs", "30", "300-100"]


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Two epochs of training; the built-in images once; the machine's peaks by small arrays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part2_profile, "MLPS", dict.fromkeys(part2_profile.MLPS, SHORT))
        patch.setattr(part2_profile, "load", cache(load))
        patch.setattr(measurement, "MATRIX", 256)
        patch.setattr(measurement, "COPY", 1 << 20)
        yield


@pytest.fixture(scope="module")
def measured(quick: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which two small networks were trained and measured."""
    folder = tmp_path_factory.mktemp("measured")
    folders = ["--results-dir", str(folder), "--figures-dir", str(folder / "figures")]
    assert part2_profile.main([*ARGV, "--batch-sizes", "16", "--trace", *folders]) == 0
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
    small = rows[rows["design"] == "30"]
    values = (784 + 30) + (30 + 10)  # read and written by F1 and by the output
    assert (small["traffic_bytes"] == 4 * (small["images"] * values + 23860)).all()
    assert (rows["resident_bytes"] >= rows["activation_bytes"]).all()
    assert (rows["images_per_second"] * rows["seconds"] / rows["images"] - 1).abs().max() < 1e-4
    assert (rows["least_seconds"] <= rows["seconds"]).all()
    assert (rows["seconds"] <= rows["most_seconds"]).all()
    one = rows[rows["images"] == 1]
    assert (one["seconds"] <= one["p90_seconds"]).all()
    assert rows.loc[rows["images"] > 1, "p90_seconds"].isna().all()
    assert (rows["noisy"] == np.where(rows["spread"] > 0.1, "yes", "no")).all()
    trained = pd.read_csv(measured / "part2_mlp.csv", dtype={"design": str})
    accuracy = trained.set_index("design")["test_accuracy"]
    assert (rows["test_accuracy"] == rows["design"].map(accuracy)).all()
    layers = pd.read_csv(measured / "part2_profile_quick_layers.csv", dtype={"design": str})
    assert layers.groupby(["design", "images"])["share"].sum().to_numpy() == pytest.approx(
        1, abs=1e-5
    )  # of shares with six digits
    assert "aten::addmm" in (measured / "part2_profile_quick_30.txt").read_text()
    for design, images in product(("30", "300-100"), (1, 16)):
        trace = measured / f"trace_{design}_plain_{images}.json"
        assert "aten::addmm" in trace.read_text()
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
    output = " ".join(capsys.readouterr().out.split())
    assert "The most accurate network is" in output and "of the weights" in output
    for path in (measured / "figures").iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
        assert path.name not in alone  # figures of fewer networks have other names


def test_missing_weights_are_named_with_the_command_that_trains_them(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for path in measured.glob("part2_mlp*.csv"):
        shutil.copy(path, tmp_path)
    argv = ["--synthetic", "--results-dir", str(tmp_path), "--designs", "30"]
    assert part2_profile.main(argv) == 1
    command = "part2_mlp.py --seeds 1 --recipe modern --designs 30 --fresh trains it"
    message = f"no weights of 30 seed 0 in {tmp_path / 'weights'}: {command}"
    assert message in capsys.readouterr().err


def rows_of(**changes: dict[str, float]) -> pd.DataFrame:
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


def test_the_verdict_is_computed_and_names_overlapping_intervals() -> None:
    assert verdict(rows_of(c={"seconds": 1e-4, "parameter_bytes": 250})) == (
        "The most accurate network is a: 1.00 % errors (its interval overlaps with b). The fastest "
        "for one image is c: 1/2.0 of the time, 4.00 % errors, 4.0 times as many. The smallest is "
        "c: 1/4.0 of the weights, 4.00 % errors, 4.0 times as many."
    )
    assert "a is also the fastest for one image." in verdict(rows_of(a={"seconds": 1e-5}))
    perfect = rows_of(a={"mean_accuracy": 1.0, "seconds": 1.0})
    assert "times as many" not in verdict(perfect)
    assert "no comparison is possible" in verdict(perfect[:1])


def test_measurements_of_another_processor_are_not_mixed_in(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for path in measured.glob("part2_*.csv"):
        shutil.copy(path, tmp_path)
    path = tmp_path / "part2_profile_quick.csv"
    here = pd.read_csv(path, dtype=str, keep_default_na=False)
    elsewhere = here.assign(device="cpu Z80")
    pd.concat([elsewhere, here]).to_csv(path, index=False)
    runs = [Run(mlp_design(30), SHORT, "synthetic-digits")]
    rows = select(read(tmp_path, "part2_profile_quick"), runs, "cpu")
    assert set(rows["device"]) == set(here["device"])
    elsewhere.to_csv(path, index=False)
    argv = ["--synthetic", "--quick", "--plot-only", "--results-dir", str(tmp_path)]
    assert part2_profile.main([*argv, "--figures-dir", str(tmp_path / "figures")]) == 0
    output = capsys.readouterr().out
    assert "cpu Z80" in output and output.count("300-100 ") >= 1


def test_a_damaged_table_is_named_with_its_line(
    measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    lines = (measured / "part2_profile_quick.csv").read_text().splitlines()
    damaged = tmp_path / "part2_profile_quick.csv"
    damaged.write_text("\n".join([*lines[:2], lines[2].replace(",plain,", ",plain,many"), ""]))
    argv = ["--synthetic", "--quick", "--plot-only", "--results-dir", str(tmp_path)]
    assert part2_profile.main(argv) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{damaged}, line 3" in error


@pytest.mark.parametrize("damage", ["another design", "half", "pickle", "other numbers"])
def test_weights_of_another_design_are_refused_by_name(
    damage: str, measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    results = Results(measured, "part2_mlp", {"hidden": ""}, ["variations"])
    """Also if somebody has adapted the checksum beside the weights."""
    (path,) = (measured / "weights").glob("*_30_*.pt")
    (other,) = (measured / "weights").glob("*_300-100_*.pt")
    before, mark, record = path.read_bytes(), tmp_path / "mark", path.with_suffix(".json")
    assert len(results.select()) == 2
    if damage == "another design":
        path.write_bytes(other.read_bytes())
    elif damage == "half":
        path.write_bytes(before[: len(before) // 2])
    elif damage == "pickle":
        path.write_bytes(pickle.dumps(Hostile(mark)))
    else:
        weights = torch.load(path, weights_only=True)
        weights["output.weight"] *= -1
        torch.save(weights, path)
    text = record.read_text()
    adapted = hashlib.sha256(path.read_bytes()).hexdigest()
    record.write_text(text.replace(hashlib.sha256(before).hexdigest(), adapted))
    argv = ["--synthetic", "--quick", "--designs", "30", "--results-dir", str(measured)]
    try:
        assert part2_profile.main([*argv, "--figures-dir", str(tmp_path)]) == 1
    finally:
        path.write_bytes(before)
        record.write_text(text)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert path.name in error
    assert not mark.exists()


@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        (["--batch-sizes", "3000"], 2, "there are 2000 test images"),
        (["--batch-sizes", "0"], 2, "0 is not at least 1"),
        (["--designs", "31"], 2, "there are 30 300 300-100 lenet5"),
        (["--device", "tpu"], 2, "choose from"),
        (["--figure", "paretto"], 2, "no paretto; there are pareto latency"),
        (["--plot-only"], 1, "no measurements yet"),
    ],
)
def test_wrong_options(
    argv: list[str], status: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folders = ["--results-dir", str(tmp_path), "--figures-dir", str(tmp_path)]
    try:
        exit_status = part2_profile.main(["--synthetic", *argv, *folders])
    except SystemExit as error:
        exit_status = error.code
    assert exit_status == status
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_no_data_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    (tmp_path / "MNIST").touch()  # so that nothing can be downloaded to it
    folders = ["--data-dir", str(tmp_path), "--results-dir", str(tmp_path)]
    assert part2_profile.main(folders) == 1
    error = capfd.readouterr().err
    assert error.count("\n") == 1, error
