"""Printed output of the scripts: runs to train, measurements, and paths of files."""

import math
import os
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from common.models.design import layer_table, totals
from common.results.columns import RECIPE_KEY
from common.results.store import Results
from common.settings import Settings
from common.statistics.intervals import converged, mean_interval, summarise
from common.training.loop import Run
from common.training.recipes import Recipe

REAL = {"synthetic-digits": "MNIST", "synthetic-objects": "CIFAR-10"}


def wrapped(text: str, indent: int = 2) -> str:
    """Text in lines of at most 79 characters; paths are not broken."""
    return textwrap.fill(
        text, 79, subsequent_indent=indent * " ", break_long_words=False, break_on_hyphens=False
    )


def print_list(runs: Sequence[Run], results: Results, settings: Settings) -> None:
    """Print every design layer by layer, the runs to train, and the expected time."""
    for design in dict.fromkeys(run.design for run in runs):
        parameters, macs = totals(design)
        print(f"{design.name}: {parameters:,} parameters, {macs:,} multiply-accumulates")
        for layer in layer_table(design):
            counts = f"{layer.parameters:>8,} {layer.macs:>9,}"
            counts *= layer.parameters + layer.macs > 0
            print(f"  {layer.layer:<7} {layer.kind:<32} {layer.output:<10} {counts}".rstrip())
    missing = [run for run in runs if settings.fresh or run not in results]
    print(f"\n{settings.dataset}, {describe(settings.recipe)}")
    several = len({run.dataset for run in runs}) > 1
    names = [f"{run} on {run.dataset}" if several else str(run) for run in missing]
    print(wrapped(f"{len(runs)} runs, {len(missing)} to train: {', '.join(names) or 'none'}"))
    seconds = [recorded_seconds(run, results) for run in missing]
    known = [value for value in seconds if not math.isnan(value)]
    if known:
        parallel = min(settings.jobs, len(missing))
        print(f"about {duration(sum(known) / parallel)} with --jobs {settings.jobs}")
    if len(known) < len(missing):
        print(f"no recorded time for {len(missing) - len(known)} of them")


def recorded_seconds(run: Run, results: Results) -> float:
    """Expected seconds of training, from saved runs of the same design and batch size, or nan."""
    rows, key = results.select(), run.key
    for column in (*results.key_columns[: -len(RECIPE_KEY) - 1], "batch_size"):
        rows = rows[rows[column] == key.get(column, results.defaults.get(column))]
    return float((rows["train_seconds"] / rows["epochs"]).median()) * run.recipe.epochs


def duration(seconds: float) -> str:
    """Seconds in words: `50 s`, `12 min`, `3.4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def describe(recipe: Recipe) -> str:
    """A recipe and its numbers in words."""
    momentum = "" if recipe.momentum is None else f", momentum {recipe.momentum:g}"
    epochs = f"{recipe.epochs} epoch{'s' * (recipe.epochs != 1)}"
    numbers = f"{epochs}, batch {recipe.batch_size}, lr {recipe.lr:g}{momentum}"
    return f"{recipe.name} ({numbers})"


def percent(fraction: float, digits: int = 2) -> str:
    """A fraction in per cent; a last 5 is rounded up, because means of ten seeds often end in 5."""
    # A float may be slightly below its decimal number: 0.98315 is 0.98314999...
    return f"{100 * fraction + 5e-9:.{digits}f}"


def p_value(p: float) -> str:
    """A p-value as text: `0.021`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def interval(low: float, high: float, signed: bool = False) -> str:
    """An interval of fractions in per cent, or of differences (`signed`) in points.

    `53.87 to 55.56`, `-1.02 to +0.40`. An impossible interval becomes `(too few seeds)`.
    """
    if not (-1 if signed else 0) <= low <= high <= 1:  # also nan
        return "(too few seeds)"
    return " to ".join(points(x) if signed else percent(x) for x in (low, high))


def points(difference: float) -> str:
    """A difference of fractions in percentage points: `-1.02`; empty without a difference (nan)."""
    return "" if math.isnan(difference) else f"{100 * difference:+.2f}"


def print_runs(saved: pd.DataFrame, missing: Sequence[Run], settings: Settings) -> None:
    """Print how many runs are saved, where they were trained, and how many are trained here."""
    machines = " or ".join(sorted(set("torch " + saved["torch"] + ", " + saved["device"])))
    source = f" from {relative_path(settings.results_dir)}/ ({machines})" if machines else ""
    where = f"here, {min(settings.jobs, len(missing))} in parallel" if missing else "here"
    where = f"on {settings.cluster}" if missing and settings.cluster else where
    print(wrapped(f"runs: {len(saved)}{source}, {len(missing)} to train {where}"))
    if not (missing or settings.plot_only):
        print("no training: all runs are saved; --fresh or --results-dir mine retrains them")
    sys.stdout.flush()


def print_others(results: Results, kinds: Sequence[Run]) -> None:
    """Print how many saved runs have the same names but another network or recipe."""
    count = results.outdated(kinds)
    if count:
        one, several = ("1 run", "was", "it is"), (f"{count} runs", "were", "they are")
        runs, were, they = one if count == 1 else several
        trained = f"{were} trained with another network or recipe; {they} kept but not used"
        print(wrapped(f"{runs} in {relative_path(results.path())} {trained}"))


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows in columns: the first column is left-aligned, the others right-aligned."""
    if not rows:
        return
    cells = pd.DataFrame([[*rows[0]], *(row.values() for row in rows)]).astype(str)
    cells[0] = cells[0].str.ljust(cells[0].str.len().max())
    text = cells.to_string(index=False, header=False)
    print("\n".join(line.rstrip() for line in text.splitlines()))


def print_summary(runs: pd.DataFrame) -> None:
    """Print one line per design: accuracy with its interval, loss, size, time; no diverged runs."""
    lines = []
    for (design, _), rows in runs.groupby(["design", "recipe"], sort=False):
        good = converged(rows)
        mean = mean_interval(good["test_accuracy"])
        limits = interval(mean.low, mean.high) if mean.n > 1 else "(one seed)"
        lines.append(
            {
                "design": design,
                "n": mean.n,
                "accuracy": f"{percent(mean.mean)} %" if mean.n else "diverged",
                "95 % interval": limits if mean.n else "",
                "loss": f"{good['test_loss'].mean():.4f}",
                "parameters": f"{rows['parameters'].iloc[0]:,}",
                "train s": f"{rows['train_seconds'].mean():.1f}",
            }
        )
    print_table(lines)


def print_not_learned(table: pd.DataFrame, guessing: float) -> None:
    """Print the designs with a mean accuracy not above `guessing`; columns: design and mean."""
    names = table.loc[table["mean"] <= guessing, "design"]
    if len(names):
        print("\n" + wrapped(f"did not learn (guessing): {', '.join(names)}"))


def print_differences(table: pd.DataFrame, baseline: str) -> None:
    """Print one line per design: its difference from the baseline. `compare` returns `table`."""
    others = table[table["design"] != baseline]
    if others.empty:
        return
    compared = others[others["difference"].notna()]
    if compared.empty:
        print(f"\ntoo few seeds to compare with {baseline}: use at least 5 seeds")
        return
    method, lines = compared["method"].iloc[0], []
    for row in others.itertuples():
        limits = interval(row.difference_low, row.difference_high, signed=True)
        p = p_value(row.p) if pd.notna(row.difference) else ""
        line = {f"against {baseline}": row.design, "points": points(row.difference)}
        lines.append(line | {"95 % interval": limits if row.n else "diverged", "p": p})
    print(f"\n{method}:")
    print_table(lines)
    if "Holm" in method and len(compared) > 1:
        print("(intervals have Bonferroni's correction, p-values Holm's, which is less strict)")
    similar = compared.loc[compared["p"] >= 0.05, "design"]
    if len(similar):
        print(wrapped(f"no significant difference from {baseline}: {', '.join(similar)}"))


def print_shares(shares: pd.DataFrame, factors: Sequence[str]) -> None:
    """Print shares of the variance in a grid of two factors; `grid_shares` returns `shares`."""
    if shares.empty:
        print("\nshares of the variance need a full grid with at least two seeds per cell")
    elif shares["share_seeds"].isna().all():
        print("\nall accuracies in the grid are equal")
    else:
        names = (*factors, "interaction", "seeds")
        parts = [f"{name} {100 * shares[f'share_{name}'].iloc[0]:.0f} %" for name in names]
        print(f"\nshares of the variance in the grid: {', '.join(parts)}")


def print_effects(effects: pd.DataFrame) -> None:
    """Print one line per factor; `effects` has the columns factor, recipe, and those of `effect`.

    The column `chance` is the share of variance expected from a factor without any effect.
    """
    for recipe, rows in effects.groupby("recipe", sort=False):
        print(f"\nrecipe {recipe}, n = {rows['n'].min()}:")
        lines = [
            {
                "factor": row.factor,
                "worst to best": f"{row.worst} to {row.best}",
                "points": f"{100 * row.range:.2f}",
                "95 % interval": interval(row.low, row.high),
                "eta^2": f"{row.eta_squared:.2f}",
                "chance": f"{row.by_chance:.2f}",
                "per step": points(row.slope),
                "p": p_value(row.slope_p) if pd.notna(row.slope) else "",
            }
            for row in rows.itertuples()
        ]
        print_table(lines)


def print_classes(classes: pd.DataFrame) -> None:
    """Print one table per design and recipe: each class with seed 0, then mean and sd of seeds."""
    for (design, _), rows in classes.groupby(["design", "recipe"], sort=False):
        n, first = rows["seed"].nunique(), rows["seed"].min()
        print(f"\n{design}, by class: seed {first}, then mean and sd of {n} seeds")
        means = summarise(rows, ["class"], "accuracy")
        table = rows[rows["seed"] == first].merge(means, on="class")
        table = table[["class", "correct", "total", "accuracy", "mean", "sd"]]
        for column in ("accuracy", "mean", "sd"):
            percents = (100 * table[column]).map("{:.1f} %".format)
            table[column] = percents if n > 1 or column != "sd" else ""
        print_table(table.to_dict("records"))


def print_tested_again(run: Run, table: pd.DataFrame) -> None:
    """Print the counts of a network that `tested_again` has compared."""
    print(f"\n{run}, recipe {run.recipe.name}, correct images of {run.dataset}:")
    rows = [
        {
            "class": row["class"],
            "images": row["images"],
            "recorded": "none" if math.isnan(row["recorded"]) else f"{row['recorded']:g}",
            "today": row["correct"],
            "today %": percent(row["correct"] / row["images"]),
            "": "" if row["matches"] else "differs",
        }
        for row in table.to_dict("records")
    ]
    print_table(rows)


def print_verdict(tested: Sequence[Run], wrong: Sequence[Run], untested: Sequence[Run]) -> None:
    """Print how many saved networks were tested, and which differ from their recorded numbers."""

    def names(runs: Sequence[Run]) -> str:
        return ", ".join(f"{run.design.name} ({run.recipe.name}, {run.dataset})" for run in runs)

    counts = f"{len(tested)}, of which {len(wrong)} differ from the records"
    print(f"\nsaved networks tested: {counts if tested else 'none'}")
    if wrong:
        print(wrapped(f"DIFFERENT: {names(wrong)}"))
    if untested:
        print(wrapped(f"not tested (no saved network): {names(untested)}"))


def print_closing(
    results: Results, runs: pd.DataFrame, files: list[Path], failed: list[Run], settings: Settings
) -> None:
    """Print the files, the diverged and failed runs, and the command for the real data."""
    names = ", ".join(f"..._{table}.csv" for table in results.tables[:-1])
    print("\n" + wrapped(f"results: {relative_path(results.path())}, also {names}", indent=9))
    for path in files:
        print(f"{'figure:' if path.suffix == '.png' else 'table:':<8} {relative_path(path)}")
    for row in runs.drop(converged(runs).index).itertuples():
        print(f"diverged (the loss became infinite): {row.design} seed {row.seed}")
    if failed:
        print(f"failed: {', '.join(map(str, failed))}; the same command tries again")
    if settings.synthetic and not settings.plot_only:
        real = REAL[next(name for name in REAL if settings.dataset.startswith(name))]
        words = [relative_path(Path(word)) for word in (sys.executable, sys.argv[0])]
        words += [word for word in sys.argv[1:] if word != "--synthetic"]
        command = subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
        print(f"next, on {real}: {command}")


def relative_path(path: Path) -> str:
    """A path relative to the working directory, if the path is inside it."""
    absolute = Path(os.path.abspath(path))  # not resolve(): .venv/bin/python is a link
    inside = absolute.is_relative_to(Path.cwd())
    return str(absolute.relative_to(Path.cwd()) if inside else path)
