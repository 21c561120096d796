"""The summary of the measurements: a table and a few sentences."""

import pandas as pd

from common.inference.measurement import ROUNDS


def print_table(rows: pd.DataFrame) -> None:
    """Print one line per network and variant on one thread; memory and latency for one image."""
    titles = f"{'accuracy':>8} {'weights':>8} {'activ.':>7} {'1 image, us':>13} {'images/s':>9}"
    print(f"{'':<26} {titles}")
    print(f"{'':<26} {'%':>8} {'kB':>8} {'kB':>7} {'p50':>6} {'p90':>6} {'at most':>9}")
    single = rows[rows["threads"] == 1]
    for (design, variant), network in single.groupby(["design", "variant"], sort=False):
        one = network[network["images"] == 1].iloc[0]
        name = design if variant == "plain" else f"{design} {variant}"
        mark = "*" if one["noisy"] == "yes" else " "
        print(
            f"{name:<26} {100 * one['test_accuracy']:>8.2f} {one['parameter_bytes'] / 1e3:>8.0f} "
            f"{one['activation_bytes'] / 1e3:>7.1f} {1e6 * one['seconds']:>6.0f}{mark}"
            f"{1e6 * one['p90_seconds']:>6.0f} {network['images_per_second'].max():>9,.0f}"
        )
    print(f"*: the {ROUNDS} measurements of one image differ by more than 10 %")


def verdict(rows: pd.DataFrame) -> str:
    """Which network is the most accurate, the fastest and the smallest, and by how much."""
    one = rows[(rows["images"] == 1) & (rows["threads"] == 1) & (rows["variant"] == "plain")]
    one = one.set_index("design")
    best = one["mean_accuracy"].idxmax()
    if len(one) == 1:
        return f"Only {best} was measured: no comparison is possible."
    errors = 100 * (1 - one["mean_accuracy"])
    similar = one.index[(one["high_accuracy"] >= one["low_accuracy"][best]) & (one.index != best)]
    overlap = f" (its interval overlaps with {', '.join(similar)})" if len(similar) else ""
    sentences = [f"The most accurate network is {best}: {errors[best]:.2f} % errors{overlap}."]
    for what, column, unit in (
        ("fastest for one image", "seconds", "time"),
        ("smallest", "parameter_bytes", "weights"),
    ):
        least = one[column].idxmin()
        if least == best:
            sentences.append(f"{best} is also the {what}.")
            continue
        ratio = one[column][best] / one[column][least]
        times = f", {errors[least] / errors[best]:.1f} times as many" if errors[best] else ""
        sentences.append(
            f"The {what} is {least}: 1/{ratio:.1f} of the {unit}, "
            f"{errors[least]:.2f} % errors{times}."
        )
    return " ".join(sentences)
