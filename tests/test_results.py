"""The result files: what is written is read again, and nothing is ever torn or lost."""

import multiprocessing
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import LabError
from common.plots.accuracy import figure, save
from common.results.files import replacing
from common.results.store import Key, Results, merge_csv, read_cell, write_cell

HEADER = "dataset,design,hidden,recipe,epochs,batch_size,lr,momentum,seed"


def key(seed: int = 0, hidden: str = "300-100", lr: float = 0.1) -> Key:
    return ("mnist", hidden, hidden, "r", 2, 64, lr, 0.9, seed)


def rows(accuracy: float = 0.98, loss: float = 0.123456789) -> dict[str, list[tuple]]:
    return {
        "runs": [(266610, 266200, loss, 0.99, 0.05, accuracy, 12.5, 1, "cpu AVX2", "2.6.0")],
        "epochs": [(1, 0.5, 0.9, 0.4, 0.92, 6.0), (2, loss, 0.99, 0.05, accuracy, 6.5)],
        "classes": [(str(digit), 98, 100, 0.98) for digit in range(10)],
    }


def make(folder: Path) -> Results:
    return Results(folder, "part2_mlp", ["hidden"])


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.csv")}


def test_what_is_added_is_there_when_read_again(tmp_path: Path) -> None:
    make(tmp_path).add(key(), rows())
    again = make(tmp_path)
    assert key() in again
    assert key(seed=1) not in again
    run = again.frame().iloc[0]
    assert (run["hidden"], run["lr"], run["seed"], run["macs"]) == ("300-100", 0.1, 0, 266200)
    assert run["train_loss"] == 0.123457  # six digits
    assert list(again.frame("epochs")["epoch"]) == [1, 2]
    assert again.frame("classes")["total"].sum() == 1000
    first, second = (tmp_path / "part2_mlp.csv").read_text().splitlines()
    assert first.startswith(HEADER + ",parameters,macs,train_loss,train_accuracy,test_loss")
    assert second.startswith("mnist,300-100,300-100,r,2,64,0.1,0.9,0,266610,266200,0.123457,0.99")


def test_rows_are_sorted_by_key_whatever_the_order_of_arrival(tmp_path: Path) -> None:
    keys = [key(seed, hidden) for hidden in ("30", "300-100") for seed in (0, 2, 10)]
    for folder, order in (("a", keys), ("b", keys[::-1])):
        results = make(tmp_path / folder)
        for one in order:
            results.add(one, rows())
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert list(make(tmp_path / "a").frame()["seed"]) == [0, 2, 10, 0, 2, 10]  # as numbers


def test_only_a_run_of_the_same_key_replaces_a_row(tmp_path: Path) -> None:
    results = make(tmp_path)
    for seed in range(3):
        results.add(key(seed), rows(accuracy=0.9))
    make(tmp_path).add(key(1), rows(accuracy=0.95))
    assert list(make(tmp_path).frame()["test_accuracy"]) == [0.9, 0.95, 0.9]
    assert len(make(tmp_path).frame("epochs")) == 6


def test_rows_of_an_uncommitted_run_are_dropped(tmp_path: Path) -> None:
    make(tmp_path).add(key(0), rows())
    before = files(tmp_path)
    make(tmp_path).add(key(1), rows())
    # As if the last file had not been written: what SIGKILL between two files leaves.
    (tmp_path / "part2_mlp.csv").write_text(before["part2_mlp.csv"])
    results = make(tmp_path)
    assert key(1) not in results
    assert len(results.frame("epochs")) == 2
    results.add(key(2), rows())
    assert set(pd.read_csv(tmp_path / "part2_mlp_epochs.csv")["seed"]) == {0, 2}


def test_a_run_without_its_epochs_is_trained_again(tmp_path: Path) -> None:
    make(tmp_path).add(key(), rows())
    (tmp_path / "part2_mlp_epochs.csv").unlink()
    results = make(tmp_path)
    assert key() not in results
    results.add(key(1), rows())
    assert list(make(tmp_path).frame()["seed"]) == [0, 1]  # until then its row stays


def test_a_diverged_run_is_stored_as_what_it_is(tmp_path: Path) -> None:
    make(tmp_path).add(key(), rows(loss=float("nan"), accuracy=0.098))
    run = make(tmp_path).frame().iloc[0]
    assert pd.isna(run["train_loss"])
    assert run["test_accuracy"] == 0.098


def test_a_spreadsheet_may_have_saved_the_file(tmp_path: Path) -> None:
    make(tmp_path).add(key(), rows())
    path = tmp_path / "part2_mlp.csv"
    original = path.read_bytes()
    path.write_bytes(b"\xef\xbb\xbf" + original.replace(b"\n", b"\r\n"))
    results = make(tmp_path)
    assert key() in results
    results.add(key(), rows())
    assert path.read_bytes() == original


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda text: text.replace("0.98,12.5", "good,12.5"), 2),
        (lambda text: text.replace(",0,266610", ",zero,266610"), 2),
        (lambda text: text[: len(text) - 30] + "\n", 2),
        (lambda text: text + "<<<<<<< HEAD\n", 3),
        (lambda text: text + text.splitlines()[1] + "\n", 3),  # both sides of a merge
        (lambda text: text.replace("macs", "flops"), 1),
        (lambda text: "", 1),
        (lambda text: "<html>\n", 1),
    ],
)
def test_a_damaged_file_is_named_with_its_line_and_left_alone(
    tmp_path: Path, damage: Callable[[str], str], line: int
) -> None:
    make(tmp_path).add(key(), rows())
    path = tmp_path / "part2_mlp.csv"
    damaged = damage(path.read_text())
    assert damaged != path.read_text()
    path.write_text(damaged)
    with pytest.raises(LabError, match=f"part2_mlp.csv, line {line}:") as failure:
        make(tmp_path)
    assert "\n" not in str(failure.value)
    assert path.read_text() == damaged


@given(st.data())
def test_any_damage_is_read_or_told_in_one_line(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder).add(key(), rows())
        path = folder / data.draw(st.sampled_from(sorted(files(folder))))
        whole = path.read_bytes()
        start = data.draw(st.integers(0, len(whole)))
        end = data.draw(st.integers(start, min(len(whole), start + 40)))
        path.write_bytes(whole[:start] + data.draw(st.binary(max_size=20)) + whole[end:])
        damaged = path.read_bytes()
        try:
            results = make(folder)
        except LabError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
        else:
            for table in results.tables:
                results.frame(table)
        assert path.read_bytes() == damaged


def test_a_binary_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "part2_mlp.csv").write_bytes(bytes(range(256)))
    with pytest.raises(LabError, match=r"part2_mlp\.csv"):
        make(tmp_path)


def test_an_old_file_stays_whole_while_a_new_one_is_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as beside:
        beside.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with replacing(path) as beside:
        beside.write_text("new")
    assert [other.name for other in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "new"


def test_a_read_only_folder_is_told_before_training(folder: Path, read_only: Callable) -> None:
    make(folder).add(key(), rows())
    before = files(folder)
    read_only(folder)
    with pytest.raises(LabError, match=r"cannot write .*Permission denied.*--results-dir"):
        make(folder).writing().__enter__()
    with pytest.raises(LabError, match="cannot write"):
        make(folder).add(key(1), rows())
    assert files(folder) == before


def test_layers_of_other_designs_stay(tmp_path: Path) -> None:
    make(tmp_path).add_layers({("30", "30"): [("F1", "Linear", "30", 23550, 23520)]})
    make(tmp_path).add_layers({("100", "100"): [("F1", "Linear", "100", 78500, 78400)]})
    make(tmp_path).add_layers({("30", "30"): [("F1", "Linear, ReLU", "30", 23550, 23520)]})
    frame = pd.read_csv(tmp_path / "part2_mlp_layers.csv")
    assert list(frame["design"]) == [100, 30]
    assert list(frame["kind"]) == ["Linear", "Linear, ReLU"]


def merge_and_draw(folder: Path, name: str) -> None:
    for i in range(20):
        merge_csv(folder / "shared.csv", ("design", "n"), 1, [(f"{name}-{i}", i)])
        save(figure(name, "", height=1), folder / "shared.png")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no lock of a folder")
def test_scripts_that_end_at_once_lose_nothing_of_what_they_share(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=merge_and_draw, args=(tmp_path, name)) for name in ("one", "two")
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0]
    written = pd.read_csv(tmp_path / "shared.csv")
    assert set(written["design"]) == {f"{name}-{i}" for name in ("one", "two") for i in range(20)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shared.csv", "shared.png"]


def test_damaged_layers_are_named_too(tmp_path: Path) -> None:
    make(tmp_path).add_layers({("30", "30"): [("F1", "Linear", "30", 23550, 23520)]})
    path = tmp_path / "part2_mlp_layers.csv"
    path.write_text(path.read_text().replace("23520", "many"))
    with pytest.raises(LabError, match=r"part2_mlp_layers.csv, line 2:"):
        make(tmp_path).add_layers({})


@given(st.floats(min_value=0, exclude_min=True, allow_nan=False, allow_infinity=False))
def test_a_learning_rate_survives_the_file_exactly(lr: float) -> None:
    assert read_cell("lr", write_cell("lr", lr)) == lr


@given(st.integers(0, 10000), st.integers(1, 10000))
def test_an_accuracy_survives_the_file_to_its_last_image(correct: int, total: int) -> None:
    accuracy = min(correct, total) / total
    assert round(read_cell("accuracy", write_cell("accuracy", accuracy)) * total) == min(
        correct, total
    )
