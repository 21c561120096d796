"""Verify the results: do tables, networks, figures, report and saved weights agree?

Each function verifies one kind of statement; what it finds is a Check.
"""

import functools
import io
import random
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import stats

from common import LabError
from common.data.datasets import load, present
from common.models.design import totals
from common.plots.style import SOFTWARE
from common.report.fill import TEMPLATE, fill
from common.report.stores import STORES, open_store, run_of
from common.results.columns import FINGERPRINT, TABLES
from common.results.outcome import tested_again
from common.sweep.sweep import Engine, sweep
from common.training.device import cores

LAST = ["train_loss", "train_accuracy", "test_loss", "test_accuracy"]  # of an epoch
# Beginnings of files that hold measurements and not the results of other files.
MEASURED = ("part2_profile", "benchmark_", "part2_own_digits")
READING = ("part1_factors.py", "part2_published.py")  # scripts that never train
SLOW = "part2_own_digits"  # its experiment measures again each time
SHADE = 16  # of 255: rounding on another processor may change a pixel's colour by so much
CHEAP = 120  # seconds: the longest run that `retrained` trains


@dataclass
class Check:
    """One kind of statement: how many are verified, which are false, which are not verified."""

    what: str
    verified: int = 0
    problems: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # each with the reason

    def expect(self, holds: object, problem: str) -> None:
        """Count a statement; `problem` says what is wrong if it does not hold."""
        self.verified += 1
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
        tables = {table: results.select(table=table) for table in results.tables}
        for table, rows in tables.items():
            path = results.path(table)
            lost = len(pd.read_csv(path)) - len(rows) if path.exists() else 0
            files.expect(not lost, f"{path}: {lost} rows of runs that are not in all files")
        kinds = list(results.kinds)
        parts = {t: dict(iter(rows.groupby(kinds, sort=False))) for t, rows in tables.items()}
        for identity, (row,) in ((i, r.to_dict("records")) for i, r in parts["runs"].items()):
            where = f"{results.path()}, {row['design']} seed {row['seed']}, recipe {row['recipe']}"
            last, counts = parts["epochs"][identity], parts["classes"][identity]
            steps, values = last["epoch"].tolist(), last[LAST].iloc[-1].tolist()
            whole = steps == [*range(1, row["epochs"] + 1)]
            same = np.allclose(values, [row[n] for n in LAST], rtol=1e-5, equal_nan=True)
            seconds = np.isclose(last["seconds"].sum(), row["train_seconds"], rtol=1e-3)
            epochs.expect(whole and same and seconds, f"{where}: its epochs do not end so")
            right, total = counts["correct"].sum(), counts["total"].sum()
            adds_up = np.isclose(right / total, row["test_accuracy"], atol=2e-6)
            exact = np.allclose(counts["accuracy"], counts["correct"] / counts["total"], atol=2e-6)
            message = f"{where}: its classes add up to {right / total:.6g}"
            classes.expect(len(counts) == 10 and adds_up and exact, message)
            if "confusion" in parts:
                square = parts["confusion"][identity]
                sums = square.groupby("class")["count"].sum().reindex(counts["class"])
                diagonal = square[square["class"] == square["predicted"]].set_index("class")
                pairs = [(sums, "total"), (diagonal["count"].reindex(counts["class"]), "correct")]
                equal = all(a.tolist() == counts[b].tolist() for a, b in pairs)
                confusion.expect(equal, f"{where}: its confusion matrix does not add up")
        for _, row in tables["runs"].drop_duplicates([k for k in kinds if k != "seed"]).iterrows():
            where = f"{results.path()}, {row['design']}, recipe {row['recipe']}"
            try:
                run = run_of(row)
                today = (run.fingerprint, *sizes(run.design))
            except LabError as error:
                today = (str(error),)
            recorded = (row[FINGERPRINT], row["parameters"], row["macs"])
            networks.expect(recorded == today, f"{where}: {recorded}, today {today}")
    return [files, epochs, classes, confusion, networks]


def commands(readme: str) -> list[list[str]]:
    """The words of the commands that draw the figures: section 5 of README.txt."""
    section = readme.partition("5. ALL COMMANDS OF THE REPORT")[2].partition("\n6. ")[0]
    lines = re.findall(r"^    python (part\w+\.py[^#\n]*)", section, flags=re.MULTILINE)
    # Validation draws nothing; SLOW measures again; all saved seeds are reported.
    lines = [line for line in lines if "validation" not in line and not line.startswith(SLOW)]
    used = (re.sub(r"--seeds \d+", "", line).split() for line in lines)
    return [list(words) for words in dict.fromkeys(map(tuple, used))]


def redraw(words: Sequence[str], results: Path, figures: Path, data_dir: Path) -> str:
    """Run a script with --plot-only in this process; returns its error message, or nothing."""
    script = import_module(words[0].removesuffix(".py"))
    folders = ["--results-dir", str(results), "--figures-dir", str(figures)]
    reading = [] if words[0] in READING else ["--plot-only", "--data-dir", str(data_dir)]
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        status = script.main([*words[1:], *reading, *folders])
    return output.getvalue().strip().splitlines()[-1] if status else ""


def recomputed(
    folder: Path, figures: Path, data_dir: Path, scripts: Sequence[Sequence[str]], scratch: Path
) -> list[Check]:
    """Tables of means, tables of layers and figures equal those that the scripts make now.

    Args:
        folder: the results.
        figures: the figures.
        data_dir: the data; without it, figures that show images are not verified.
        scripts: commands, each as words.
        scratch: an empty folder.
    """
    tables, pictures = Check("tables of means and layers are today's"), Check("figures are today's")
    again, images = scratch / "results", scratch / "figures"
    shutil.copytree(folder, again, ignore=lambda _, names: [n for n in names if derived(n)])
    for name in STORES:
        results = open_store(again, name)
        if not (rows := results.select()).empty:
            results.add_layers([run_of(row) for _, row in rows.iterrows()])
    with ProcessPoolExecutor(min(cores(), len(scripts) or 1), get_context("spawn")) as pool:
        jobs = [
            pool.submit(redraw, words, again, images / str(number), data_dir)
            for number, words in enumerate(scripts)
        ]
        for words, job in zip(scripts, jobs, strict=True):
            if message := job.result():
                pictures.expect(False, f"{' '.join(words)}: {message}")
    both = [path.name for parent in (folder, again) for path in parent.glob("*.csv")]
    for name in sorted(filter(derived, set(both))):
        same = same_table(folder / name, again / name)
        tables.expect(same, f"{folder / name}: not as its runs give")
    drawn = {path.name: path for path in images.rglob("*.png")}
    for name in sorted({path.name for path in figures.glob("*.png")} | set(drawn)):
        path = figures / name
        if not path.exists():
            pictures.expect(False, f"{path} is missing")
        elif name.startswith(SLOW):
            pictures.skipped.append(f"{name}: {SLOW}.py --compare draws it in two minutes")
        elif name not in drawn and not all(present(d, data_dir) for d in ("mnist", "cifar10")):
            pictures.skipped.append(f"{name}: MNIST or CIFAR-10 is not in {data_dir}")
        elif name not in drawn:
            pictures.expect(False, f"{path}: no command of README.txt draws it")
        elif (software := Image.open(path).info.get("Software")) != SOFTWARE:
            pictures.skipped.append(f"{name}: drawn with {software}, not with {SOFTWARE}")
        else:
            same = same_picture(path, drawn[name])
            pictures.expect(same, f"{path}: not as its results give")
    return [tables, pictures]


def derived(name: str) -> bool:
    """Whether a file of the results is computed from others: means, and layers of networks."""
    stem, measured = name.removesuffix(".csv"), {"", "_gradients", *(f"_{t}" for t in TABLES)}
    runs = any(stem.removeprefix(store) in measured for store in STORES if stem.startswith(store))
    return name.endswith(".csv") and not runs and not stem.startswith(MEASURED)


def same_table(path: Path, other: Path) -> bool:
    """Whether two CSV files have the same rows; numbers may differ in the last digits."""
    if not (path.exists() and other.exists()):
        return False
    try:
        frames = [pd.read_csv(p, dtype={FINGERPRINT: str}) for p in (path, other)]
        pd.testing.assert_frame_equal(*frames, rtol=1e-4, atol=1e-9)
    except AssertionError:
        return False
    return True


def same_picture(path: Path, other: Path) -> bool:
    """Whether two images have the same pixels, but for rounding."""
    a, b = (np.asarray(Image.open(p).convert("RGBA"), dtype=int) for p in (path, other))
    return a.shape == b.shape and np.abs(a - b).max() <= SHADE


def report_agrees(folder: Path, report: Path) -> Check:
    """The report equals its template, filled with the results."""
    check = Check("REPORT.md is its template, filled")
    try:
        text = fill(folder, TEMPLATE.read_text(encoding="utf-8")).splitlines()
        lines = report.read_text(encoding="utf-8").splitlines()
        for what, start, end, *_ in SequenceMatcher(None, lines, text, False).get_opcodes():
            check.verified += end - start - (what != "equal")
            check.expect(what == "equal", f"{report}, line {start + 1}: not as the results give")
    except (LabError, OSError) as error:
        check.expect(False, str(error))
    return check


def networks_agree(folder: Path, data_dir: Path) -> Check:
    """Every saved network gives its recorded counts; TOLERANCE allows for other processors."""
    check, known = Check("saved networks give the recorded counts"), set()
    read = functools.cache(load)
    for name in STORES:
        results = open_store(folder, name)
        rows = results.select()
        for _, row in rows[rows["seed"] == 0].iterrows():
            run = run_of(row)
            path = results.weights_path(run)
            if not path.exists():
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
    return check


def unverified(folder: Path) -> Check:
    """The tables that no other file can confirm."""
    check = Check("measurements without a second source")
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
        rows = open_store(folder, name).select()
        cheap += [(name, row) for _, row in rows[rows["train_seconds"] < CHEAP].iterrows()]
    for name, row in random.SystemRandom().sample(cheap, min(count, len(cheap))):
        run, engine = run_of(row), Engine(data_dir, shifts=name == "part2_mlp")
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
        check.expect(same, f"{where}: recorded {recorded}, today {today}")
    return check
