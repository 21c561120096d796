"""Printed output of the scripts: runs to train, measurements, and paths of files."""

import math
import os
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
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
    known = [value for value in seconds if value is not None]
    if known:
        parallel = min(settings.jobs, len(missing))
        print(f"about {duration(sum(known) / parallel)} with --jobs {settings.jobs}")
    if len(known) < len(missing):
        print(f"no recorded time for {len(missing) - len(known)} of them")


def recorded_seconds(run: Run, results: Results) -> float | None:
    """The expected seconds of training, from saved runs of the same design and batch size."""
    rows, key = results.select(), run.key
    for column in (*results.key_columns[: -len(RECIPE_KEY) - 1], "batch_size"):
        rows = rows[rows[column] == key.get(column, results.defaults.get(column))]
    if rows.empty:
        return None
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
    if not math.isfinite(fraction):
        return str(fraction)
    exact = Decimal(f"{100 * fraction:.8f}")  # without float's last digits
    return str(exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def p_value(p: float) -> str:
    """A p-value as text: `0.021`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def interval(low: float, high: float, least: float = 0, signed: bool = False) -> str:
    """An interval in per cent or points: `53.87 to 55.56`; with `signed`: `-1.02 to +0.40`.

    An impossible interval, below `least` (a fraction; -1 for differences) or above 1, becomes
    `(too few seeds)`.
    """
    if not least <= low <= high <= 1:  # also nan
        return "(too few seeds)"
    return " to ".join(f"{100 * x:+.2f}" if signed else percent(x) for x in (low, high))


def print_runs(saved: pd.DataFrame, missing: Sequence[Run], settings: Settings) -> None:
    """Print how many runs are saved, where they were trained, and how many are trained here."""
    machines = " or ".join(
        sorted({f"torch {row.torch}, {row.device}" for row in saved.itertuples()})
    )
    source = f" from {relative_path(settings.results_dir)}/ ({machines})" if machines else ""
    parallel = f", {min(settings.jobs, len(missing))} in parallel" if missing else ""
    print(wrapped(f"runs: {len(saved)}{source}, {len(missing)} to train here{parallel}"))
    if not (missing or settings.plot_only):
        print("no training: all runs are saved; --fresh or --results-dir mine retrains them")
    sys.stdout.flush()


def print_others(results: Results, kinds: Sequence[Run]) -> None:
    """Print how many saved runs have the same names but another network or recipe."""
    count = results.outdated(kinds)
    if count:
        runs = "1 run" if count == 1 else f"{count} runs"
        were, they = ("was", "it is") if count == 1 else ("were", "they are")
        text = f"{runs} in {relative_path(results.path())} {were} trained with another network or "
        print(wrapped(f"{text}recipe; {they} kept but not used"))


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows in columns: the first column is left-aligned, the others right-aligned."""
    if not rows:
        return
    table = pd.DataFrame(rows).astype(str)
    first = table.columns[0]
    width = max(len(first), *table[first].str.len())
    table[first] = table[first].str.ljust(width)
    text = table.rename(columns={first: first.ljust(width)}).to_string(index=False)
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
    """Print the designs with a mean accuracy not above `guessing`, see statistics.comparison.

    `table` has the columns design and mean.
    """
    names = table.loc[table["mean"] <= guessing, "design"]
    if len(names):
        message = f"did not learn (guessing): {', '.join(names)}"
        print("\n" + wrapped(message))


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
        limits = interval(row.difference_low, row.difference_high, least=-1, signed=True)
        tested = pd.notna(row.difference)
        lines.append(
            {
                f"against {baseline}": row.design,
                "points": f"{100 * row.difference:+.2f}" if tested else "",
                "95 % interval": limits if row.n else "diverged",
                "p": p_value(row.p) if tested else "",
            }
        )
    print(f"\n{method}:")
    print_table(lines)
    if "Holm" in method and len(compared) > 1:
        print("(intervals have Bonferroni's correction, p-values Holm's, which is less strict)")
    similar = compared.loc[compared["p"] >= 0.05, "design"]
    if len(similar):
        message = f"no significant difference from {baseline}: {', '.join(similar)}"
        print(wrapped(message))


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
    """Print one line per factor: range of means, share of variance, change per step.

    The column `chance` is the share of variance expected from a factor without any effect.
    `effects` has the columns factor, recipe and the fields of Effect.
    """
    for recipe, rows in effects.groupby("recipe", sort=False):
        print(f"\nrecipe {recipe}, n = {rows['n'].min()}:")
        print_table(
            [
                {
                    "factor": row.factor,
                    "worst to best": f"{row.worst} to {row.best}",
                    "points": f"{100 * row.range:.2f}",
                    "95 % interval": interval(row.low, row.high),
                    "eta^2": f"{row.eta_squared:.2f}",
                    "chance": f"{row.by_chance:.2f}",
                    "per step": f"{100 * row.slope:+.2f}" if pd.notna(row.slope) else "",
                    "p": p_value(row.slope_p) if pd.notna(row.slope) else "",
                }
                for row in rows.itertuples()
            ]
        )


def print_classes(classes: pd.DataFrame) -> None:
    """Print one table per design and recipe: each class with seed 0, then mean and sd of seeds."""
    for (design, _), rows in classes.groupby(["design", "recipe"], sort=False):
        n, first = rows["seed"].nunique(), rows["seed"].min()
        print(f"\n{design}, by class: seed {first}, then mean and sd of {n} seeds")
        seed = rows[rows["seed"] == first].set_index("class")
        means = summarise(rows, ["class"], "accuracy").set_index("class")
        print_table(
            [
                {
                    "class": name,
                    "correct": row["correct"],
                    "total": row["total"],
                    "accuracy": f"{100 * row['accuracy']:.1f} %",
                    "mean": f"{100 * means['mean'][name]:.1f} %",
                    "sd": f"{100 * means['sd'][name]:.1f} %" if n > 1 else "",
                }
                for name, row in seed.iterrows()
            ]
        )


def print_closing(
    results: Results,
    runs: pd.DataFrame,
    files: Sequence[Path],
    failed: Sequence[Run],
    settings: Settings,
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
        print(f"next, on {real}: {this_command(without='--synthetic')}")


def relative_path(path: Path) -> str:
    """A path relative to the working directory, if the path is inside it."""
    try:
        # Not resolve(): .venv/bin/python is a link.
        return str(Path(os.path.abspath(path)).relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def this_command(without: str) -> str:
    """The command of this process, without one of its options."""
    words = [relative_path(Path(sys.executable)), relative_path(Path(sys.argv[0]))]
    words += [word for word in sys.argv[1:] if word != without]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
