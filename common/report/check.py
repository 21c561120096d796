"""Verify the results: do tables, networks, figures, report and saved weights agree?

Each function verifies one kind of statement; what it finds is a Check.
"""

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from common import LabError
from common.data.datasets import load, present
from common.models.design import totals
from common.report.fill import TEMPLATE, fill
from common.report.stores import STORES, known_runs, open_store, run_of
from common.results.columns import FINGERPRINT
from common.results.outcome import tested_again
from common.sweep.sweep import Engine, sweep

# The saved networks of the repository.
NETWORKS = (
    "part1_cifar_tutorial_baseline_tutorial",
    "part1_explore_depth_11_tuned-activation-gelu-c1-12-c3-28",
    *(f"part2_mlp_{name}_modern" for name in ("30", "300", "300-100", "77")),
    "part2_mlp_lenet5_modern-hidden-120-84",
    *(f"part2_lenet5_{name}_report2017" for name in ("lenet5", "lenet5-relu", "lenet5-2017")),
    *(f"part2_lenet5_{name}_modern" for name in ("lenet5", "lenet5-relu", "lenet5-2017")),
    "part2_lenet5_lenet5-relu_modern-elastic",
    "part2_lenet5_lenet5-1998_lecun1998",
)
LAST = ["train_loss", "train_accuracy", "test_loss", "test_accuracy"]  # of an epoch
# Beginnings of files that hold measurements and not the results of other files.
MEASURED = ("part2_profile", "benchmark_", "part2_own_digits")
CHEAP = 120  # seconds: the longest run that `retrained` trains


@dataclass
class Check:
    """One kind of statement: how many are verified, which are false, which are not verified."""

    what: str
    verified: int = 0
    problems: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # each with the reason

    def expect(self, holds: object, problem: str) -> None:
        """Count a statement that holds; else `problem` says what is wrong."""
        self.verified += bool(holds)
        if not holds:
            self.problems.append(problem)


def runs_agree(folder: Path) -> list[Check]:
    """Every run in the results folder agrees with its epochs, classes, confusion and network."""
    files = Check("files: complete, no row twice")
    epochs = Check("last epoch equals the run")
    classes = Check("classes add up to the run")
    confusion = Check("confusion adds up to the classes")
    networks = Check("fingerprint and size are today's")
    sizes = functools.cache(totals)
    for name in STORES:
        try:
            results = open_store(folder, name)
        except LabError as error:
            files.expect(False, str(error))
            continue
        kinds = list(results.kinds)
        tables = {table: results.select(table=table) for table in results.tables}
        for table, rows in tables.items():
            lost = rows_without_run(results.path(table), rows)
            files.expect(not lost, f"{results.path(table)}: not in all files: {lost}")
        parts = {t: dict(iter(rows.groupby(kinds, sort=False))) for t, rows in tables.items()}
        for identity, run_rows in parts["runs"].items():
            row, counts = run_rows.iloc[0], parts["classes"][identity]
            where = f"{results.path()}, {row['design']} seed {row['seed']}, recipe {row['recipe']}"
            difference = end_of(parts["epochs"][identity], row)
            epochs.expect(not difference, f"{where}: {difference}")
            accuracy = counts["correct"].sum() / counts["total"].sum()
            exact = np.allclose(counts["accuracy"], counts["correct"] / counts["total"], atol=2e-6)
            whole = len(counts) == 10 and exact
            adds_up = whole and np.isclose(accuracy, row["test_accuracy"], atol=2e-6)
            both = f"accuracy {row['test_accuracy']:.6g}, its classes give {accuracy:.6g}"
            classes.expect(adds_up, f"{where}: {both}")
            if "confusion" in parts:
                adds_up = confusion_adds_up(parts["confusion"][identity], counts)
                confusion.expect(adds_up, f"{where}: its confusion matrix does not add up")
        one_each = [*(kind for kind in kinds if kind != "seed"), "parameters", "macs"]
        for _, row in tables["runs"].drop_duplicates(one_each).iterrows():
            where = f"{results.path()}, {row['design']}, recipe {row['recipe']}"
            try:
                run = run_of(row)
                today = (run.fingerprint, *sizes(run.design))
            except LabError as error:
                today = (str(error),)
            recorded = (row[FINGERPRINT], row["parameters"], row["macs"])
            networks.expect(recorded == today, f"{where}: {recorded}, today {today}")
    return [files, epochs, classes, confusion, networks]


def rows_without_run(path: Path, rows: pd.DataFrame) -> str:
    """The runs in a file that are not in `rows`, those of runs with rows in all files."""
    if not path.exists():
        return ""
    saved = pd.read_csv(path, dtype=str, keep_default_na=False)[["design", "recipe", "seed"]]
    complete = rows[["design", "recipe", "seed"]].astype(str).value_counts()
    lost = saved.value_counts().sub(complete, fill_value=0)
    return ", ".join(f"{d}, {recipe}, seed {seed}" for d, recipe, seed in lost[lost > 0].index)


def end_of(epochs: pd.DataFrame, run: pd.Series) -> str:
    """How the epochs of a run differ from the run's numbers; empty if they do not."""
    if epochs["epoch"].tolist() != [*range(1, run["epochs"] + 1)]:
        return f"{len(epochs)} of its {run['epochs']} epochs are in the file"
    last = {**epochs[LAST].iloc[-1], "train_seconds": epochs["seconds"].sum()}
    tolerance = {"train_seconds": 1e-3}  # the sum of rounded numbers
    return "; ".join(
        f"{name} {run[name]:.6g}, its epochs give {value:.6g}"
        for name, value in last.items()
        if not np.isclose(value, run[name], tolerance.get(name, 1e-5), equal_nan=True)
    )


def confusion_adds_up(confusion: pd.DataFrame, classes: pd.DataFrame) -> bool:
    """Whether a confusion matrix has the images of each class, and its correct ones."""
    square = confusion.pivot(index="class", columns="predicted", values="count")
    square = square.reindex(index=classes["class"], columns=classes["class"])
    sums, correct = square.sum(axis=1), np.diag(square)
    return (sums.to_numpy() == classes["total"].to_numpy()).all() and (
        correct == classes["correct"].to_numpy()
    ).all()


def report_agrees(folder: Path, report: Path) -> Check:
    """The report equals its template, filled with the results."""
    check = Check("REPORT.md is its template, filled")
    try:
        text = fill(folder, TEMPLATE.read_text(encoding="utf-8")).splitlines()
        lines = report.read_text(encoding="utf-8").splitlines()
        blocks = SequenceMatcher(None, lines, text, autojunk=False).get_opcodes()
        for what, start, end, first, last in blocks:
            if what == "equal":
                check.verified += end - start
                continue
            says, gives = (" ".join(part)[:200] for part in (lines[start:end], text[first:last]))
            both = f"it says '{says}', the results give '{gives}'"
            check.expect(False, f"{report}, line {start + 1}: {both}")
    except (LabError, OSError) as error:
        check.expect(False, str(error))
    return check


def networks_agree(folder: Path, data_dir: Path, names: Sequence[str] = NETWORKS) -> Check:
    """Every saved network gives its recorded counts; TOLERANCE allows for other processors.

    `names` are those of the networks that must be there, as in the names of their files.
    """
    check, known = Check("saved networks give the recorded counts"), set()
    read = functools.cache(load)
    without = 0
    for name in STORES:
        runs = known_runs(folder, name)
        results = open_store(folder, name) if runs else None
        for _, run in runs:
            path = results.weights_path(run)
            if not path.exists():
                without += 1
                continue
            known |= {path, path.with_suffix(".json")}
            if not present(run.dataset, data_dir):
                check.skipped.append(f"{path.name}: no {run.dataset} in {data_dir}")
                continue
            try:
                table = tested_again(run, results, read(run.dataset, data_dir))
                wrong = table.loc[~table["matches"], ["class", "recorded", "correct"]]
                first = "; ".join(
                    f"{w['class']}: recorded {w['recorded']:g}, today {w['correct']}"
                    for _, w in wrong.iterrows()
                )
                check.expect(wrong.empty, f"{path}: {first}")
            except LabError as error:
                check.expect(False, str(error))
    for path in set((folder / "weights").glob("*.*")) - known:
        check.expect(False, f"{path} belongs to no run of today's networks")
    for name in names:
        path = folder / "weights" / f"{name}_seed0.pt"
        if path not in known:
            check.expect(False, f"{path} is missing")
    check.skipped.append(f"{without} runs without a saved network: --retrain N trains N of them")
    return check


def unverified(folder: Path) -> Check:
    """The tables that no other file can confirm."""
    check = Check("measurements without a second source")
    check.skipped.append("epochs before the last one: only training again gives them")
    for path in sorted(folder.glob("*.csv")):
        if path.stem.startswith(MEASURED):
            check.skipped.append(f"{path.name}: only measuring again gives it")
        elif path.stem.endswith(("_loss", "_variations", "_gradients")):
            check.skipped.append(f"{path.name}: no other file has these numbers")
    return check


def retrained(folder: Path, data_dir: Path, count: int, scratch: Path) -> Check:
    """Train `count` randomly chosen cheap runs again and compare with the recorded numbers.

    On the recorded processor type and version of torch they are equal; else the accuracy is in the
    interval in which one more seed lies with a probability of 99.9 % (t distribution).
    """
    check, cheap = Check("runs trained again give the recorded numbers"), []
    for name in STORES:
        runs = known_runs(folder, name)
        cheap += [(name, row, run) for row, run in runs if row["train_seconds"] < CHEAP]
    for name, row, run in random.SystemRandom().sample(cheap, min(count, len(cheap))):
        engine = Engine(data_dir, shifts=name == "part2_mlp")
        where = f"{folder / name}.csv, {run}, recipe {run.recipe.name}"
        print(f"training {where} again ({row['train_seconds']:.0f} s)", flush=True)
        again = open_store(scratch, name)
        if sweep([run], again, engine, fresh=True):
            check.expect(False, f"{where}: training fails")
            continue
        now = again.select([run]).set_index("seed").loc[run.seed]
        saved = open_store(folder, name).select([run])["test_accuracy"]
        recorded, today = row["test_accuracy"], now["test_accuracy"]
        if (row["device"], row["torch"]) == (now["device"], now["torch"]):
            same = all(row[column] == now[column] for column in LAST)
        elif len(saved) == 1:
            check.skipped.append(f"{where}: one seed, and another processor or version of torch")
            continue
        else:
            spread = saved.std() * np.sqrt(1 + 1 / len(saved))
            same = abs(today - saved.mean()) <= stats.t.ppf(0.9995, len(saved) - 1) * spread
        both = f"recorded {recorded:.6g}, today {today:.6g}"
        print(f"{both}: {'agrees' if same else 'DIFFERENT'}")
        check.expect(same, f"{where}: {both}")
    return check
