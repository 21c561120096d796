"""Designs compared with a baseline: the table, in the results and on the terminal."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd

from common.results import Results, merge_csv
from common.statistics import (
    Difference,
    Mean,
    converged,
    differences,
    mean_interval,
    wilson,
)

DIFFERENCE = ("difference", "difference_low", "difference_high", "p", "correlation", "method")


def report(frames: dict[str, pd.DataFrame], results: Results, baseline: str) -> None:
    """Compare, print, and keep the table in `<experiment>_summary.csv`."""
    key = results.key_columns[:-1]
    table = compare(frames["runs"], key, baseline, test_images(frames["classes"]))
    print_differences(table, baseline)
    merge_csv(results.path("summary"), table.columns, len(key), table.itertuples(index=False))


def test_images(classes: pd.DataFrame) -> int:
    """How many images a run was tested on."""
    run = classes.columns[: list(classes.columns).index("class")]
    return int(classes.groupby(list(run))["total"].sum().iloc[0])


def compare(runs: pd.DataFrame, key: Sequence[str], baseline: str, tested: int) -> pd.DataFrame:
    """A row a design: its mean over seeds, and its difference from the baseline.

    A design of one seed has the interval that its `tested` images give (Wilson's), and no
    difference.

    Returns the columns `key`, those of Mean and those of Difference.
    """
    values = {
        design: rows.set_index("seed")["test_accuracy"]
        for design, rows in converged(runs).groupby("design", sort=False)
    }
    several = {design: rows for design, rows in values.items() if len(rows) > 1}
    found = differences(several, baseline) if baseline in several and len(several) > 1 else {}
    none = Difference(*[np.nan] * 5, method="")
    rows = []
    for design, given in runs.groupby("design", sort=False):
        mean = mean_interval(values.get(design, []))
        if mean.n == 1:
            low, high = wilson(round(mean.mean * tested), tested)
            mean = mean._replace(low=low, high=high)
        rows.append((*given.iloc[0][list(key)], *mean, *found.get(design, none)))
    return pd.DataFrame(rows, columns=[*key, *Mean._fields, *DIFFERENCE])


def print_differences(table: pd.DataFrame, baseline: str) -> None:
    """What the seeds show of every design against the baseline, and what they do not.

    `table` is that of `compare`, accuracies as fractions.
    """
    compared = table[table["design"] != baseline]
    if compared.empty or len(compared) == len(table):
        return  # nothing to compare, or nothing to compare it with
    if compared["difference"].isna().all():
        print(f"\none seed cannot tell designs from {baseline}: --seeds 3 or more can")
        return
    method = compared["method"].iloc[0]
    print(f"\n{'against ' + baseline:<14} {'points':>9} {'95 % interval':>18} {'p':>8} ({method})")
    hidden = []
    for row in compared.itertuples():
        if pd.isna(row.difference):
            print(f"{row.design:<14}   too few seeds")
            continue
        interval = f"{100 * row.difference_low:+.2f} to {100 * row.difference_high:+.2f}"
        p = in_words(row.p)
        print(f"{row.design:<14} {100 * row.difference:>+9.2f} {interval:>18} {p:>8}")
        if row.p >= 0.05:
            hidden.append(row.design)
    if hidden:
        said = f"not shown to differ from {baseline} with these seeds: {', '.join(hidden)}"
        print(textwrap.fill(said, 79, subsequent_indent="  "))


def in_words(p: float) -> str:
    """A p-value as one writes it."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def print_effects(effects: pd.DataFrame) -> None:
    """A line a factor: the range of its means, the variance it explains, its trend.

    `effects` has the columns factor, recipe and those of statistics.Effect.
    """
    print(
        f"\n{'factor':<11} {'from worst to best':<19} {'points':>6} {'95 % interval':>15}", end=""
    )
    print(f" {'eta^2':>6} {'a level more':>18}")
    for recipe, rows in effects.groupby("recipe", sort=False):
        print(f"by recipe {recipe}, n = {rows['n'].min()}:")
        for row in rows.itertuples():
            interval = f"{100 * row.low:.2f} to {100 * row.high:.2f}"
            trend = f"{100 * row.slope:+.2f} (p {in_words(row.slope_p)})"
            trend = trend if pd.notna(row.slope) else ""  # levels without an order have none
            print(
                f"{row.factor:<11} {f'{row.worst} to {row.best}':<19} {100 * row.range:>6.2f} "
                f"{interval:>15} {row.eta_squared:>6.2f} {trend:>18}".rstrip()
            )
