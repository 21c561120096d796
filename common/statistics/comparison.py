"""Designs compared with a baseline, and factors: the tables, in the results and on the terminal."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd

from common.console import p_value
from common.results.store import Results, merge_csv
from common.statistics.effects import effect, eta_squared_two
from common.statistics.intervals import (
    Difference,
    Mean,
    converged,
    differences,
    mean_or_wilson,
    wilson,
)

DIFFERENCE = ("difference", "difference_low", "difference_high", "p", "correlation", "method")


def report(frames: dict[str, pd.DataFrame], results: Results, baseline: str) -> None:
    """Compare, print, and keep the table in `<experiment>_summary.csv`.

    Its rows hold for the baseline and the number of designs they were compared with; nothing is
    kept of designs without their baseline.
    """
    key = results.key_columns[:-1]
    table = compare(frames["runs"], key, baseline, test_images(frames["classes"]))
    print_untrained(table, frames["classes"]["class"].nunique(), test_images(frames["classes"]))
    if baseline not in set(table["design"]):
        return
    print_differences(table, baseline)
    table.insert(len(key), "baseline", baseline)
    table.insert(len(key) + 1, "comparisons", len(table) - 1)
    rows = table.itertuples(index=False)
    merge_csv(results.path("summary"), table.columns, len(key) + 2, rows)


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
        mean = mean_or_wilson(values.get(design, []), tested)
        rows.append((*given.iloc[0][list(key)], *mean, *found.get(design, none)))
    return pd.DataFrame(rows, columns=[*key, *Mean._fields, *DIFFERENCE])


def print_untrained(table: pd.DataFrame, classes: int, tested: int) -> None:
    """Which designs the recipe does not train: their mean is what guessing may give."""
    _, most = wilson(round(tested / classes), tested)
    untrained = table[table["mean"] <= most]
    if len(untrained):
        names = ", ".join(untrained["design"])
        print(f"\nnot trained by this recipe, at chance ({100 / classes:.0f} %): {names}")


def print_differences(table: pd.DataFrame, baseline: str) -> None:
    """What the seeds show of every design against the baseline, and what they do not.

    `table` is that of `compare`, accuracies as fractions.
    """
    compared = table[table["design"] != baseline]
    if compared.empty:
        return
    tested = compared[compared["difference"].notna()]
    if tested.empty:
        print(f"\ntoo few seeds to tell designs from {baseline}: --seeds 3 or more can")
        return
    method = tested["method"].iloc[0]
    print(f"\n{'against ' + baseline:<14} {'points':>9} {'95 % interval':>18} {'p':>8} ({method})")
    hidden = []
    for row in compared.itertuples():
        if pd.isna(row.difference):
            print(f"{row.design:<14}   {'too few seeds' if row.n else 'diverged'}")
            continue
        interval = f"{100 * row.difference_low:+.2f} to {100 * row.difference_high:+.2f}"
        p = p_value(row.p)
        print(f"{row.design:<14} {100 * row.difference:>+9.2f} {interval:>18} {p:>8}")
        if row.p >= 0.05:
            hidden.append(row.design)
    if "Holm" in method and len(tested) > 1:
        print("(intervals are Bonferroni's, wider than those that go with Holm's p-values)")
    if hidden:
        said = f"not shown to differ from {baseline} with these seeds: {', '.join(hidden)}"
        print(textwrap.fill(said, 79, subsequent_indent="  "))


def report_shares(runs: pd.DataFrame, results: Results, factors: Sequence[str]) -> None:
    """What of the variance in a grid of two factors is due to either, to both together, to seeds.

    Over the cells that all levels have and the seeds that all cells have; printed, and kept in
    `<experiment>_grid.csv`.
    """
    wide = converged(runs).pivot(index=[*factors], columns="seed", values="test_accuracy")
    wide = wide.dropna(axis="columns")
    levels = [wide.index.unique(level) for level in (0, 1)]
    if len(wide) < len(levels[0]) * len(levels[1]) or wide.shape[1] < 2:
        print("\nthe shares of variance need a whole grid and two seeds of every cell")
        return
    shares = eta_squared_two(wide.to_numpy().reshape(*map(len, levels), -1))
    if np.isnan(shares["seeds"]):
        print("\nnothing varies in the grid")
        return
    names = (*factors, "both together", "seeds")
    said = ", ".join(f"{n} {100 * v:.0f} %" for n, v in zip(names, shares.values(), strict=True))
    print(f"\nshares of the variance in the grid: {said}")
    # Of the key, what all cells have in common.
    key = [c for c in results.key_columns[:-1] if c not in ("design", "hidden", *factors)]
    row = (*runs.iloc[0][key], wide.shape[1], *shares.values())
    columns = (*key, "n", *(f"share_{name}" for name in (*factors, "interaction", "seeds")))
    merge_csv(results.path("grid"), columns, len(key), [row])


def report_width(runs: pd.DataFrame, results: Results, levels: dict[str, pd.Series]) -> None:
    """What the width of a hidden layer does: printed, and kept in `<experiment>_width.csv`.

    Args:
        runs: the runs behind it.
        results: where its table goes.
        levels: the accuracies at each width; those of a single seed are left out.
    """
    levels = {width: values for width, values in levels.items() if len(values) > 1}
    if len(levels) < 2:
        return
    found = pd.DataFrame([effect(levels, ordered=True)])
    print_effects(found.assign(factor="neurons", recipe=runs["recipe"].iloc[0]))
    key = [c for c in results.key_columns[:-1] if c not in ("design", "hidden")]
    found = pd.concat([runs[key].iloc[:1].reset_index(drop=True), found], axis=1)
    merge_csv(results.path("width"), found.columns, len(key), found.itertuples(index=False))


def print_effects(effects: pd.DataFrame) -> None:
    """A line a factor: the range of its means, the variance it explains, its trend.

    Beside the variance that it explains stands what a factor that does nothing would by chance.
    `effects` has the columns factor, recipe and those of effects.Effect.
    """
    head = f"{'factor':<11} {'from worst to best':<18} {'points':>6} {'95 % interval':>14}"
    print(f"\n{head} eta^2 chance {'a level more':>18}")
    for recipe, rows in effects.groupby("recipe", sort=False):
        print(f"by recipe {recipe}, n = {rows['n'].min()}:")
        for row in rows.itertuples():
            interval = f"{100 * row.low:.2f} to {100 * row.high:.2f}"
            trend = f"{100 * row.slope:+.2f} (p {p_value(row.slope_p)})"
            trend = trend if pd.notna(row.slope) else ""  # levels without an order have none
            print(
                f"{row.factor:<11} {f'{row.worst} to {row.best}':<18} {100 * row.range:>6.2f} "
                f"{interval:>14} {row.eta_squared:>5.2f} {row.by_chance:>6.2f} {trend:>18}".rstrip()
            )
