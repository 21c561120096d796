"""The result files: what is written is read again, and nothing is ever torn or lost."""

import errno
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import LabError
from common.models.design import Design
from common.models.networks import MLP, mlp_design
from common.results import files as result_files
from common.results.columns import Value, write_cell
from common.results.files import replacing
from common.results.store import Results
from common.results.tables import merge_table, read_table, typed
from common.training.loop import Run
from common.training.recipes import Recipe

KEY = "dataset,design,hidden,recipe,epochs,batch_size,lr,momentum,seed"
WIDE = mlp_design(300, 100)
NARROW = mlp_design(30)
EDITED = replace(WIDE, build=partial(MLP, 300, 101))  # as if an edit changed the network
RECIPE = Recipe("r", epochs=2, batch_size=64, lr=0.1, momentum=0.9)

Rows = dict[str, list[dict[str, Value]]]


@cache
def run(seed: int = 0, design: Design = WIDE) -> Run:
    return Run(design, RECIPE, "mnist", seed)


def rows(accuracy: float = 0.98, loss: float = 0.123456789) -> Rows:
    test = {"test_loss": 0.05, "test_accuracy": accuracy}
    last = {"train_loss": loss, "train_accuracy": 0.99, **test}
    first = {"train_loss": 0.5, "train_accuracy": 0.9, "test_loss": 0.4, "test_accuracy": 0.92}
    machine = {"train_seconds": 12.5, "threads": 1, "device": "cpu AVX2", "torch": "2.6.0"}
    return {
        "runs": [{"parameters": 266610, "macs": 266200, **last, **machine}],
        "epochs": [{"epoch": 1, **first, "seconds": 6.0}, {"epoch": 2, **last, "seconds": 6.5}],
        "classes": [
            {"class": str(digit), "correct": 98, "total": 100, "accuracy": 0.98}
            for digit in range(10)
        ],
    }


def open_results(folder: Path, **columns: str | int) -> Results:
    return Results(folder, "part2_mlp", {"hidden": "", **columns})


def files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.csv")}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The file of a results folder with one run."""
    open_results(tmp_path).add(run(), rows())
    return tmp_path / "part2_mlp.csv"


def test_an_added_run_is_read_again(saved: Path) -> None:
    again = open_results(saved.parent)
    assert run() in again
    assert run(seed=1) not in again
    row = again.select().iloc[0]
    assert (row["hidden"], row["lr"], row["seed"], row["macs"]) == ("300-100", 0.1, 0, 266200)
    assert row["train_loss"] == 0.123457  # six digits
    assert list(again.select(table="epochs")["epoch"]) == [1, 2]
    assert again.select(table="classes")["total"].sum() == 1000
    first, second = saved.read_text().splitlines()
    assert first.startswith(KEY + ",fingerprint,parameters,macs,train_loss,train_accuracy,test_l")
    key = f"mnist,300-100,300-100,r,2,64,0.1,0.9,0,{run().fingerprint},"
    assert second.startswith(key + "266610,266200,0.123457,0.99")


def test_rows_are_sorted_by_key_whatever_the_order_of_arrival(tmp_path: Path) -> None:
    runs = [run(seed, design) for design in (NARROW, WIDE) for seed in (0, 2, 10)]
    for folder, order in (("a", runs), ("b", runs[::-1])):
        results = open_results(tmp_path / folder)
        for one in order:
            results.add(one, rows())
    assert files(tmp_path / "a") == files(tmp_path / "b")
    table = open_results(tmp_path / "a").select()
    assert list(table["seed"]) == [0, 2, 10, 0, 2, 10]  # as numbers


def test_only_a_run_of_the_same_key_replaces_a_row(tmp_path: Path) -> None:
    results = open_results(tmp_path)
    for seed in range(3):
        results.add(run(seed), rows(accuracy=0.9))
    open_results(tmp_path).add(run(1), rows(accuracy=0.95))
    assert list(open_results(tmp_path).select()["test_accuracy"]) == [0.9, 0.95, 0.9]
    assert len(open_results(tmp_path).select(table="epochs")) == 6


def test_an_edited_network_adds_rows_and_undoing_the_edit_brings_the_old_ones_back(
    saved: Path,
) -> None:
    edited = run(design=EDITED)
    assert edited.key == run().key and edited.fingerprint != run().fingerprint
    results = open_results(saved.parent)
    assert edited not in results
    assert results.select([edited]).empty and results.outdated([edited]) == 1
    results.add(edited, rows(accuracy=0.5))
    again = open_results(saved.parent)
    assert list(again.select([edited])["test_accuracy"]) == [0.5]
    assert list(again.select([run()])["test_accuracy"]) == [0.98]
    assert list(again.select([run()], "epochs")["test_accuracy"]) == [0.92, 0.98]
    assert again.outdated([run()]) == again.outdated([edited]) == 1
    other = Run(WIDE, replace(RECIPE, weight_decay=0.1), "mnist")
    assert other not in again and again.outdated([other]) == 2


def test_a_selection_has_all_seeds_of_its_kinds_and_no_other_run(tmp_path: Path) -> None:
    results = open_results(tmp_path)
    for one in (run(0), run(7), run(0, NARROW)):
        results.add(one, rows())
    other = Run(WIDE, replace(RECIPE, lr=0.2), "mnist")
    results.add(other, rows())
    assert list(results.select([run(3)])["seed"]) == [0, 7]
    assert len(results.select([other, run(1, NARROW)])) == 2
    assert len(results.select()) == 4
    nothing = results.select([Run(NARROW, RECIPE, "synthetic-digits")])
    assert nothing.empty and nothing["seed"].dtype == "int64"


def without(path: Path, column: str) -> None:
    """Remove a column from a CSV file."""
    pd.read_csv(path, dtype=str, keep_default_na=False).drop(columns=column).to_csv(
        path, index=False
    )


def test_an_older_file_reads_as_the_default(tmp_path: Path) -> None:
    """A design column is younger than the file: networks had no normalisation layers then."""
    open_results(tmp_path).add(run(), rows())
    plain = open_results(tmp_path, norm="none")
    assert run() in plain
    assert list(plain.select()["norm"]) == ["none"]
    design = Design("300-100-bn", EDITED.build, {**WIDE.columns, "norm": "batch"})
    plain.add(run(design=design), rows())
    table = open_results(tmp_path, norm="none").select()
    assert list(table["norm"]) == ["none", "batch"]
    plain.add_layers([run()])
    plain.add_layers([run(design=design)])


def test_rows_without_a_fingerprint_are_of_an_unknown_network(saved: Path) -> None:
    for path in saved.parent.glob("*.csv"):
        without(path, "fingerprint")
    results = open_results(saved.parent)
    assert run() not in results
    assert (len(results.select()), results.outdated([run()])) == (1, 1)
    results.add(run(), rows(accuracy=0.5))
    again = open_results(saved.parent)
    assert list(again.select()["fingerprint"]) == ["", run().fingerprint]
    assert list(again.select([run()])["test_accuracy"]) == [0.5]


def test_an_unknown_design_column_stays_with_its_values(tmp_path: Path) -> None:
    """The edit that added the column has been undone."""
    design = Design("300-100-bn", EDITED.build, {**WIDE.columns, "norm": "batch"})
    wide = open_results(tmp_path, norm="none")
    for one in (run(), run(design=design)):
        wide.add(one, rows())
        wide.add_layers([one])
    undone = open_results(tmp_path)
    assert run() in undone
    undone.add(run(1), rows())
    undone.add_layers([run(), run(design=NARROW)])
    for table in ("", "_epochs", "_classes", "_layers"):
        text = pd.read_csv(tmp_path / f"part2_mlp{table}.csv", keep_default_na=False)
        assert set(text.loc[text["design"] == "300-100-bn", "norm"]) == {"batch"}
        assert set(text["norm"]) - {"none", "batch"} == {""}
    again = open_results(tmp_path, norm="none")
    assert list(again.select()["norm"]) == ["none", "none", "batch"]
    assert run(design=design) in again and run(1) in again


def test_a_recipe_without_momentum_stores_0(tmp_path: Path) -> None:
    one = Run(WIDE, replace(RECIPE, momentum=None), "mnist")
    assert one.key["momentum"] == 0.0
    open_results(tmp_path).add(one, rows())
    again = open_results(tmp_path)
    assert one in again
    assert list(again.select([one])["momentum"]) == [0.0]
    assert Run(WIDE, replace(RECIPE, momentum=0.0), "mnist") not in again  # another fingerprint


def test_rows_of_an_uncommitted_run_are_dropped(saved: Path) -> None:
    folder, before = saved.parent, saved.read_text()
    open_results(folder).add(run(1), rows())
    # As if the last file had not been written: what SIGKILL between two files leaves.
    saved.write_text(before)
    results = open_results(folder)
    assert run(1) not in results
    assert len(results.select(table="epochs")) == 2
    results.add(run(2), rows())
    assert set(pd.read_csv(folder / "part2_mlp_epochs.csv")["seed"]) == {0, 2}


def test_a_run_without_its_epochs_is_trained_again(saved: Path) -> None:
    (saved.parent / "part2_mlp_epochs.csv").unlink()
    results = open_results(saved.parent)
    assert run() not in results and results.select().empty
    results.add(run(1), rows())
    assert list(pd.read_csv(saved)["seed"]) == [0, 1]  # until then its row stays


def test_a_diverged_run_is_stored_with_its_loss(tmp_path: Path) -> None:
    open_results(tmp_path).add(run(), rows(loss=float("nan"), accuracy=0.098))
    row = open_results(tmp_path).select().iloc[0]
    assert pd.isna(row["train_loss"])
    assert row["test_accuracy"] == 0.098


def test_a_spreadsheet_may_have_saved_the_file(saved: Path) -> None:
    original = saved.read_bytes()
    saved.write_bytes(b"\xef\xbb\xbf" + original.replace(b"\n", b"\r\n"))
    results = open_results(saved.parent)
    assert run() in results
    results.add(run(), rows())
    assert saved.read_bytes() == original


DAMAGES = {
    "no number": (lambda text: text.replace("0.98,12.5", "good,12.5"), 2),
    "no whole number": (lambda text: text.replace(",0.9,0,", ",0.9,zero,"), 2),
    "a fraction": (lambda text: text.replace("266610", "266610.5"), 2),
    "cut": (lambda text: text[:-30] + "\n", 2),
    "no last cell": (lambda text: text.removesuffix(",2.6.0\n") + "\n", 2),
    "a cell more": (lambda text: text.removesuffix("\n") + ",more\n", 2),
    "a cell more later": (lambda text: text + text.splitlines()[1] + ",more\n", 3),
    "blank line": (lambda text: text + "\n", 3),
    "blank line within": (lambda text: text.replace("\n", "\n\n", 1), 2),
    "byte 0": (lambda text: text + text.splitlines()[1].replace("AVX2", "AV\0X2") + "\n", 3),
    "bytes 0": (lambda text: text + "\0" * 40, 3),
    "open quote": (lambda text: text.replace("cpu AVX2", '"cpu AVX2'), 2),
    "open quote later": (lambda text: text + '"' + text.splitlines()[1] + "\n", 3),
    "conflict": (lambda text: text + "<<<<<<< HEAD\n", 3),
    "both sides of a merge": (lambda text: text + text.splitlines()[1] + "\n", 3),
    "another column": (lambda text: text.replace("macs", "flops"), 1),
    "a column twice": (
        lambda text: text.replace("design,", "design,a,a,").replace("-100,", "-100,1,1,", 1),
        1,
    ),
    "empty": (lambda text: "", 1),
    "html": (lambda text: "<html>\n", 1),
}


@pytest.mark.parametrize(("damage", "line"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named_with_its_line_and_left_alone(
    saved: Path, damage: Callable[[str], str], line: int
) -> None:
    text = saved.read_text()
    damaged = damage(text)
    assert damaged != text
    saved.write_text(damaged)
    with pytest.raises(LabError, match=f"part2_mlp.csv, line {line}:") as failure:
        open_results(saved.parent)
    assert "\n" not in str(failure.value)
    assert saved.read_text() == damaged


@given(st.data())
def test_any_damage_is_read_or_reported_in_one_line(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for table, text in written().items():
            (folder / table).write_text(text)
        path = folder / data.draw(st.sampled_from(sorted(files(folder))))
        whole = path.read_bytes()
        start = data.draw(st.integers(0, len(whole)))
        end = data.draw(st.integers(start, min(len(whole), start + 40)))
        path.write_bytes(whole[:start] + data.draw(st.binary(max_size=20)) + whole[end:])
        damaged = path.read_bytes()
        try:
            results = open_results(folder)
        except LabError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
        else:
            for table in results.tables:
                results.select(table=table)
        assert path.read_bytes() == damaged


@cache
def written() -> dict[str, str]:
    """The files of one run."""
    with tempfile.TemporaryDirectory() as name:
        open_results(Path(name)).add(run(), rows())
        return files(Path(name))


def test_a_binary_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "part2_mlp.csv").write_bytes(bytes(range(256)))
    with pytest.raises(LabError, match=r"part2_mlp\.csv"):
        open_results(tmp_path)


def test_an_old_file_stays_whole_while_a_new_one_is_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert [other.name for other in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "new"


def deny(monkeypatch: pytest.MonkeyPatch, times: float) -> list[Path]:
    """Let os.replace fail `times` times, as if a virus scanner uses the file."""
    replace_file, denied = os.replace, []

    def replacing_now_and_then(source: Path, target: Path) -> None:
        if len(denied) < times:
            denied.append(target)
            raise PermissionError(errno.EACCES, "Access is denied")
        replace_file(source, target)

    monkeypatch.setattr(os, "replace", replacing_now_and_then)
    return denied


def test_a_file_that_another_program_uses_for_a_moment_is_replaced_later(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = deny(monkeypatch, times=1)
    open_results(saved.parent).add(run(1), rows())
    assert len(denied) == 1
    assert list(open_results(saved.parent).select()["seed"]) == [0, 1]
    assert not list(saved.parent.glob("*.tmp"))


def test_a_file_that_another_program_does_not_release_costs_no_run(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_text()
    monkeypatch.setattr(result_files, "PATIENCE", 0.0)
    deny(monkeypatch, times=float("inf"))
    with pytest.raises(LabError) as failure:
        merge_table(saved.parent / "means.csv", ["design"], pd.DataFrame({"design": ["9"]}))
    message, rest = str(failure.value), saved.parent / "means.csv.tmp"
    assert message.startswith("cannot write") and "Access is denied" in message
    assert message.endswith(f"the new content is in {rest}") and "\n" not in message
    assert rest.read_text() == "design\n9\n"
    assert saved.read_text() == before


def test_a_read_only_folder_is_reported_before_training(folder: Path, read_only: Callable) -> None:
    open_results(folder).add(run(), rows())
    before = files(folder)
    read_only(folder)
    with pytest.raises(LabError, match=r"cannot write .*Permission denied.*--results-dir"):
        open_results(folder).writing().__enter__()
    with pytest.raises(LabError, match="cannot write"):
        open_results(folder).add(run(1), rows())
    assert files(folder) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
@pytest.mark.parametrize("name", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_a_disk_without_locks_is_a_warning_and_no_error(
    name: str, saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    import fcntl

    def flock(*_: object) -> None:
        raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))

    monkeypatch.setattr(fcntl, "flock", flock)
    results = open_results(saved.parent)
    for seed in (1, 2):
        with results.writing():
            results.add(run(seed), rows())
    assert list(open_results(saved.parent).select()["seed"]) == [0, 1, 2]
    said = capsys.readouterr().err
    assert "this disk has no locks" in said and "another script" not in said
    assert said.count("\n") == 2


def test_layers_of_other_designs_stay(tmp_path: Path) -> None:
    results = open_results(tmp_path)
    results.add_layers([run(design=NARROW)])
    results.add_layers([run(design=mlp_design(100)), run(1, design=mlp_design(100))])
    path = tmp_path / "part2_mlp_layers.csv"
    before = path.read_text()
    path.write_text(before.replace("ReLU", "Tanh"))  # as an older network had it
    results.add_layers([run(design=NARROW)])
    table = pd.read_csv(path)
    assert list(table["design"]) == [100, 100, 30, 30]
    assert list(table["layer"]) == ["F1", "output", "F1", "output"]
    assert list(table["kind"]) == ["Linear, Tanh", "Linear", "Linear, ReLU", "Linear"]


def test_damaged_layers_are_named_too(tmp_path: Path) -> None:
    open_results(tmp_path).add_layers([run(design=NARROW)])
    path = tmp_path / "part2_mlp_layers.csv"
    path.write_text(path.read_text().replace("23520", "many"))
    with pytest.raises(LabError, match=r"part2_mlp_layers.csv, line 2:"):
        open_results(tmp_path).add_layers([run(design=NARROW)])


def merge(folder: Path, name: str) -> None:
    """Add 20 rows to one table, one at a time, and read the table in between."""
    path, kinds = folder / "shared.csv", {"design": str, "n": int}
    for i in range(20):
        merge_table(path, ["design"], pd.DataFrame({"design": [f"{name}-{i}"], "n": [i]}))
        assert f"{name}-{i}" in set(read_table(path, kinds, ["design"])["design"])


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_scripts_that_end_together_lose_no_rows_of_a_common_table(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")  # no seconds for imports
    processes = [context.Process(target=merge, args=(tmp_path, name)) for name in ("one", "two")]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0, 0]
    table = pd.read_csv(tmp_path / "shared.csv")
    assert set(table["design"]) == {f"{name}-{i}" for name in ("one", "two") for i in range(20)}
    assert {path.suffix for path in tmp_path.iterdir()} - {".lock"} == {".csv"}


def test_merged_rows_replace_those_of_their_key(tmp_path: Path) -> None:
    path = tmp_path / "means.csv"

    def table(rows: Sequence[tuple]) -> pd.DataFrame:
        return pd.DataFrame(rows, columns=["design", "lr", "mean"])

    merge_table(path, ["design", "lr"], table([("7", 0.001, 0.5), ("9", 0.001, 0.123456789)]))
    merge_table(path, ["design", "lr"], table([("7", 0.001, 0.6), ("7", 0.0001, float("nan"))]))
    assert path.read_text() == "design,lr,mean\n7,0.0001,nan\n7,0.001,0.6\n9,0.001,0.123457\n"


def test_a_table_of_means_may_be_older_or_younger_than_a_design_column(tmp_path: Path) -> None:
    path = tmp_path / "means.csv"

    def merge_means(defaults: dict[str, Value], **columns: str) -> None:
        rows = pd.DataFrame({"design": ["9"], **columns, "recipe": ["r"], "mean": [0.5]})
        merge_table(path, ["design", *columns, "recipe"], rows, defaults=defaults)

    path.write_text("design,recipe,mean\n7,r,0.4\n9,r,0.4\n")
    merge_means({"norm": "none"}, norm="none")
    assert path.read_text() == "design,norm,recipe,mean\n7,none,r,0.4\n9,none,r,0.5\n"
    merge_means({"norm": "none"}, norm="batch")
    path.write_text(path.read_text().replace("0.5", "0.6"))
    merge_means({"c1": 6}, c1="6")  # the edit is undone
    lines = path.read_text().splitlines()
    assert lines[0] == "design,c1,norm,recipe,mean"
    assert sorted(lines[1:]) == ["7,6,none,r,0.4", "9,6,,r,0.5"]


def read_cell(column: str, text: str) -> float:
    return typed(pd.DataFrame({column: [text]}), {column: float})[column].iloc[0]


@given(st.floats(min_value=0, exclude_min=True, allow_nan=False, allow_infinity=False))
def test_a_learning_rate_survives_the_file_exactly(lr: float) -> None:
    assert read_cell("lr", write_cell("lr", lr)) == lr


@given(st.integers(0, 10000), st.integers(1, 10000))
def test_an_accuracy_survives_the_file_to_its_last_image(correct: int, total: int) -> None:
    accuracy = min(correct, total) / total
    cell = write_cell("accuracy", accuracy)
    assert round(read_cell("accuracy", cell) * total) == min(correct, total)
