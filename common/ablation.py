"""What each change is worth, on a way from one network to another: a chain of designs."""

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from common import console as terminal
from common import experiment as experiments
from common.plots import accuracy as plotting
from common.results.store import Results, merge_csv
from common.statistics.comparison import test_images
from common.statistics.intervals import Mean, converged, mean_or_wilson, welch
from common.training.loop import Run

DIFFERENCE = ("difference", "difference_low", "difference_high", "p")


class Step(NamedTuple):
    """A change, and the runs of the network that has it and all changes before, a seed each."""

    change: str
    runs: Sequence[Run]


def measure(chain: Sequence[Step], results: Results, options: argparse.Namespace) -> int:
    """Train what is missing, print the table and keep it, draw it; returns the exit status."""
    # Seed by seed, so that every step has results early.
    runs = sorted((run for step in chain for run in step.runs), key=lambda run: run.seed)
    if options.list:
        terminal.print_list(runs, results, options)
        return 0
    failed = experiments.train(runs, results, options, options.load)
    frames = experiments.frames(runs, results)
    key = results.key_columns[:-1]
    table = tabulate(chain, frames["runs"], key, test_images(frames["classes"]))
    merge_csv(results.path("ablation"), table.columns, len(key) + 2, table.itertuples(index=False))
    print(f"\n{results.experiment}, change by change, on {options.dataset}")
    print(f"{terminal.describe(options.recipe)}\n")
    print_table(table)
    if options.classes:
        terminal.print_classes(frames["classes"])
    drawn = experiments.save(
        {"ablation": draw(table, plotting.caption(frames["runs"]))}, results.experiment, options
    )
    terminal.print_closing(results, frames["runs"], drawn, failed, options)
    return 1 if failed else 0


def tabulate(
    chain: Sequence[Step], runs: pd.DataFrame, key: Sequence[str], tested: int
) -> pd.DataFrame:
    """A row a step that has runs: its mean accuracy, and the difference from the step before.

    Intervals and p-values of the differences hold for the whole chain: Welch's test with Holm's
    correction, and Bonferroni's for the intervals. Of one seed the interval is that of the `tested`
    images (Wilson's).

    Columns: `key` (the run's without the seed), step, change, those of Mean, and of the difference,
    its interval and p-value: nan of the first step, and where one of the two has under 2 seeds.
    """
    cells = dict(iter(converged(runs).groupby(list(key), sort=False)["test_accuracy"]))
    values = [cells.get(step.runs[0].key[:-1], runs["test_accuracy"][:0]) for step in chain]
    told = [i for i in range(1, len(chain)) if min(len(values[i - 1]), len(values[i])) > 1]
    found = dict(zip(told, welch([(values[i], values[i - 1]) for i in told]), strict=True))
    rows = []
    for i, step in enumerate(chain):
        if len(values[i]):
            difference = found[i][: len(DIFFERENCE)] if i in found else [np.nan] * len(DIFFERENCE)
            mean = mean_or_wilson(values[i], tested)
            rows.append((*step.runs[0].key[:-1], i, step.change, *mean, *difference))
    return pd.DataFrame(rows, columns=[*key, "step", "change", *Mean._fields, *DIFFERENCE])


def print_table(table: pd.DataFrame) -> None:
    """A line a step: errors in per cent, and by how many points they differ from the step before.

    Fewer errors are differences below 0.
    """
    print(f"{'':<34} {'n':>2} {'errors':>7}  {'points':>6} {'95 % interval':>16} {'p':>8}")
    for row in table.itertuples():
        line = f"{row.change:<34} {row.n:>2} {100 * (1 - row.mean):>5.2f} %"
        if not pd.isna(row.difference):
            low, high = -100 * row.difference_high, -100 * row.difference_low
            line += f"  {-100 * row.difference:>+6.2f} {f'{low:+.2f} to {high:+.2f}':>16}"
            line += f" {terminal.p_value(row.p):>8}"
        print(line)


def draw(table: pd.DataFrame, note: str) -> Figure:
    """The errors of each step, with their interval, from the first network down to the last."""
    drawn = plotting.figure("What each change is worth", note, height=0.36 * len(table) + 1.1)
    axes = drawn.subplots()
    places, errors = np.arange(len(table)), 100 * (1 - table["mean"])
    half = [100 * (table["high"] - table["mean"]), 100 * (table["mean"] - table["low"])]
    axes.errorbar(errors, places, xerr=half, fmt="o", color=plotting.COLOURS[0], capsize=4)
    for place, row in zip(places, table.itertuples(), strict=True):
        told = "" if pd.isna(row.p) else f"{-100 * row.difference:+.2f}"
        told += " *" if row.p < 0.05 else ""
        axes.annotate(
            told,
            (1, place),
            (4, -3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=8,
        )
    axes.set_yticks(places, table["change"], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("test error (%); at the right: points from the step before, * if shown")
    axes.grid(alpha=0.3)
    return drawn
