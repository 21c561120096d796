"""What the scripts print: what there is to do, what was measured, and where it is."""

import argparse
import math
import os
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pandas as pd

from common.models.networks import layer_table, size
from common.results.store import TRAINING_KEY, Results
from common.statistics.intervals import converged, mean_interval, summarise
from common.training.loop import Run
from common.training.recipes import Recipe

REAL = {"synthetic-digits": "MNIST", "synthetic-objects": "CIFAR-10"}


def print_list(runs: Sequence[Run], results: Results, options: argparse.Namespace) -> None:
    """Print every design layer by layer, the runs to train, and the time that they will take."""
    designs = {run.design.name: run.design for run in runs}
    for design in designs.values():
        parameters, macs = size(design)
        print(f"{design.name}: {parameters:,} parameters, {macs:,} multiply-accumulates")
        for layer in layer_table(design):
            counts = f"{layer.parameters:>8,} {layer.macs:>9,}"
            counts *= layer.parameters + layer.macs > 0
            print(f"  {layer.layer:<7} {layer.kind:<32} {layer.output:<10} {counts}".rstrip())
    missing = [run for run in runs if options.fresh or run.key not in results]
    print(f"\n{options.dataset}, {describe(options.recipe)}")
    several = len({run.dataset for run in runs}) > 1
    names = [f"{run} on {run.dataset}" if several else str(run) for run in missing]
    said = f"{len(runs)} runs, {len(missing)} to train: {', '.join(names) or 'none'}"
    print(textwrap.fill(said, 79, subsequent_indent="  "))
    seconds = [recorded_seconds(run, results) for run in missing]
    known = [value for value in seconds if value is not None]
    if known:
        at_once = min(options.jobs, len(missing))
        print(f"about {duration(sum(known) / at_once)} with --jobs {options.jobs}")
    if len(known) < len(missing):
        print(f"no recorded time for {len(missing) - len(known)} of them")


def recorded_seconds(run: Run, results: Results) -> float | None:
    """The training time to expect of a run, from recorded runs of its design and batch size."""
    same, wanted = results.frame(), dict(zip(results.key_columns, run.key, strict=True))
    for column in (*results.key_columns[: -len(TRAINING_KEY)], "batch_size"):
        same = same[same[column] == wanted[column]]
    if same.empty:
        return None
    return float((same["train_seconds"] / same["epochs"]).median()) * run.recipe.epochs


def duration(seconds: float) -> str:
    """Seconds in words: `50 s`, `12 min`, `3.4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def describe(recipe: Recipe) -> str:
    """A recipe and its numbers in words."""
    return (
        f"{recipe.name} ({recipe.epochs} epochs, batch {recipe.batch_size}, lr {recipe.lr:g}, "
        f"momentum {recipe.momentum:g})"
    )


def percent(fraction: float, digits: int = 2) -> str:
    """A fraction in per cent, 5 rounded up: means of ten seeds often end in it."""
    if not math.isfinite(fraction):
        return str(fraction)
    exact = Decimal(f"{100 * fraction:.8f}")  # without float's last digits
    return str(exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def p_value(p: float) -> str:
    """A p-value as one writes it: `0.021`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def print_summary(runs: pd.DataFrame) -> None:
    """A line a design: accuracy with its interval, loss, size and time. Diverged runs left out."""
    print(f"{'design':<14} {'n':>2} {'accuracy':>9} {'95 % interval':>16} {'loss':>8}", end="")
    print(f" {'parameters':>11} {'train s':>8}")
    for design, every in runs.groupby("design", sort=False):
        rows = converged(every)
        if rows.empty:
            print(f"{design:<14}  0  diverged")
            continue
        accuracy = mean_interval(rows["test_accuracy"])
        low, high = percent(accuracy.low), percent(accuracy.high)
        interval = f"{low} to {high}" if accuracy.n > 1 else "(one seed)"
        print(
            f"{design:<14} {accuracy.n:>2} {percent(accuracy.mean):>7} % {interval:>16} "
            f"{rows['test_loss'].mean():>8.4f} {rows['parameters'].iloc[0]:>11,} "
            f"{rows['train_seconds'].mean():>8.1f}"
        )


def print_classes(classes: pd.DataFrame) -> None:
    """A table a design: what seed 0 got right of each class, and mean and sd over the seeds."""
    for design, rows in classes.groupby("design", sort=False):
        n = rows["seed"].nunique()
        first = rows["seed"].min()
        print(f"\n{design}, by class: seed {first}, then mean and sd of {n} seeds")
        print(f"{'class':<10} {'correct':>8} {'total':>6} {'accuracy':>9} {'mean':>9} {'sd':>7}")
        seed = rows[rows["seed"] == first].set_index("class")
        for name, *_, mean, sd, _, _ in summarise(rows, ["class"], "accuracy").values:
            one = seed.loc[name]
            spread = f"{100 * sd:>5.1f} %" if n > 1 else "      -"
            print(
                f"{name:<10} {one['correct']:>8} {one['total']:>6} "
                f"{100 * one['accuracy']:>7.1f} % {100 * mean:>7.1f} % {spread}"
            )


def print_closing(
    results: Results,
    runs: pd.DataFrame,
    figures: Sequence[Path],
    failed: Sequence[Run],
    options: argparse.Namespace,
) -> None:
    """Where everything is, which runs diverged or failed, and after a first try what comes next."""
    said = f"results: {nearby(results.path())}, beside it {' '.join(results.beside())}"
    whole = {"break_long_words": False, "break_on_hyphens": False}  # a path is copied from here
    print("\n" + textwrap.fill(said, 79, subsequent_indent=" " * 9, **whole))
    for path in figures:
        print(f"figure:  {nearby(path)}")
    for row in runs.drop(converged(runs).index).itertuples():
        print(f"diverged (its loss became infinite): {row.design} seed {row.seed}")
    if failed:
        print(f"failed: {', '.join(map(str, failed))}; the same command tries again")
    if options.synthetic and not options.plot_only:
        print(f"next, on {REAL[options.base]}: {this_command(without='--synthetic')}")


def nearby(path: Path) -> str:
    """A path as short as it can be written from the working directory."""
    try:
        # Not resolve(): .venv/bin/python is a link.
        return str(Path(os.path.abspath(path)).relative_to(Path.cwd()))
    except ValueError:  # it is elsewhere
        return str(path)


def this_command(without: str) -> str:
    """The command that runs, less one of its options."""
    words = [nearby(Path(sys.executable)), nearby(Path(sys.argv[0]))]
    words += [word for word in sys.argv[1:] if word != without]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
