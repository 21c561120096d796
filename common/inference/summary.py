"""The summary of the measurements: a table and a few sentences."""

import pandas as pd

from common.inference.measurement import ROUNDS


def print_table(rows: pd.DataFrame) -> None:
    """Print one line per network and variant on one thread; memory and latency for one image."""
    single = rows[rows["threads"] == 1]
    networks = single.groupby(["design", "variant"], sort=False)
    one = single.assign(fastest=networks["images_per_second"].transform("max"))
    one = one[one["images"] == 1]
    latency = (1e6 * one["seconds"]).map("{:.0f}".format)
    columns = {
        "seed 0 %": (100 * one["test_accuracy"]).map("{:.2f}".format),
        "weights kB": (one["parameter_bytes"] / 1e3).map("{:.0f}".format),
        "activ. kB": (one["activation_bytes"] / 1e3).map("{:.1f}".format),
        "p50 us": latency + one["noisy"].map({"yes": "*", "no": " "}),
        "p90 us": (1e6 * one["p90_seconds"]).map("{:.0f}".format),
        "images/s": one["fastest"].map("{:,.0f}".format),
    }
    names = (one["design"] + " " + one["variant"]).str.removesuffix(" plain")
    print(pd.DataFrame(columns).set_axis(names.rename(None)).to_string())
    print("activations, p50 and p90 are of calls with one image; images/s is the highest")
    print("seed 0 %: accuracy of the measured weights; the sentence below has means of seeds")
    if (one["noisy"] == "yes").any():
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
    text = f"The most accurate network is {best}: {errors[best]:.2f} % errors{overlap}."
    for what, column, unit in (
        ("fastest for one image", "seconds", "time"),
        ("smallest", "parameter_bytes", "weights"),
    ):
        values, least = one[column], one[column].idxmin()
        if least == best:
            text += f" {best} is also the {what}."
            continue
        text += f" The {what} is {least}: 1/{values[best] / values[least]:.1f} of the {unit}, "
        text += f"{errors[least]:.2f} % errors"
        text += f", {errors[least] / errors[best]:.1f} times as many." if errors[best] else "."
    return text
