"""What convolution buys: LeNet-5 beside an MLP of its size, where the geometry of images counts.

Both are trained by the same recipe and seeds and tested on shifted digits; trained and tested with
the pixels in another order; and trained on fewer images.
"""

import argparse
import textwrap
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import pandas as pd
from matplotlib.figure import Figure

from common import cli
from common import console as terminal
from common import experiment as experiments
from common.data.datasets import Dataset
from common.data.variations import fewer, permuted, with_shifts
from common.models import networks as models
from common.models.networks import Design
from common.plots import accuracy as plotting
from common.results.store import Results, merge_csv
from common.statistics.comparison import compare, test_images
from common.statistics.intervals import converged

MLP = models.mlp_design(77)  # 61,225 parameters
LENET5 = Design("lenet5", models.lenet5, {"hidden": "120-84"})  # 61,706
SHIFTS = range(1, 7)  # pixels
PERCENT = (1, 3, 10, 30)  # of the training images

# What is done to the data set, by what its name then ends in.
CONDITIONS: dict[str, Callable[[Dataset], Dataset]] = {
    "": lambda dataset: dataset,
    "-permuted": permuted,
    **{f"-{percent}-percent": partial(fewer, percent=percent) for percent in PERCENT},
}


def with_shifted_tests(load: Callable[[], Dataset]) -> Callable[[], Dataset]:
    """What loads the data set, made to give it with shifted test images too."""
    return cache(lambda: with_shifts(load(), SHIFTS))


def against_lenet5(made: cli.Parser, options: argparse.Namespace, results: Results) -> int:
    """Train what is missing, print and keep the table, draw it; returns the exit status.

    The data set that `options` load has the shifts of SHIFTS as variations.
    """
    if options.designs:
        made.error("--designs: --against-lenet5 compares both of its networks")
    given = experiments.runs(made, options, [MLP, LENET5])
    runs = {
        suffix: [replace(run, dataset=run.dataset + suffix) for run in given]
        for suffix in CONDITIONS
    }
    everything = [run for some in runs.values() for run in some]
    if options.list:
        terminal.print_list(everything, results, options)
        return 0
    failed = []
    for suffix, change in CONDITIONS.items():
        failed += experiments.train(
            runs[suffix], results, options, lambda change=change: change(options.load())
        )

    frames = experiments.frames(everything, results)
    table = tabulate(frames, results, options.dataset)
    key = list(table.columns).index("n")
    merge_csv(results.path("against"), table.columns, key, table.itertuples(index=False))
    print(f"\n{results.experiment} against LeNet-5 on {options.dataset}")
    print(f"{terminal.describe(options.recipe)}\n")
    wide = side_by_side(table, options.dataset)
    whole = wide.dropna(subset=[("mean", MLP.name), ("mean", LENET5.name)])
    print_table(whole)
    drawn = []
    if len(whole) == len(CONDITIONS) + len(SHIFTS) + 2:
        print("\n" + textwrap.fill(sentence(whole), 79))
        figure = draw(whole, plotting.caption(converged(frames["runs"])))
        drawn = experiments.save({"against-lenet5": figure}, results.experiment, options)
    else:
        print("\nnot all conditions are measured of both networks: no figure, no conclusion")
    if options.classes:
        classes = frames["classes"]
        terminal.print_classes(classes[classes["dataset"] == options.dataset])
    terminal.print_closing(results, frames["runs"], drawn, failed, options)
    return 1 if failed else 0


def tabulate(frames: dict[str, pd.DataFrame], results: Results, dataset: str) -> pd.DataFrame:
    """A row a data set, variation of its test images, and design: mean, and LeNet-5's gain.

    Columns: the key without the seed, variation (`none`: as they are), and those of `compare`.
    """
    key = [*results.key_columns[:-1], "variation"]
    plain = converged(frames["runs"]).assign(variation="none")
    shifted = frames["variations"]
    # Shifted digits are asked of networks that were trained on all images, unpermuted.
    shifted = shifted[shifted["dataset"] == dataset].assign(train_loss=0.0)
    columns = [*key, "seed", "train_loss", "test_accuracy"]
    every = pd.concat([plain[columns], shifted[columns]])
    tested = test_images(frames["classes"])
    parts = [
        compare(rows, key, MLP.name, tested)
        for _, rows in every.groupby(["dataset", "variation"], sort=False)
    ]
    return pd.concat(parts, ignore_index=True)


def side_by_side(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Of `tabulate`: a row a condition, indexed by (kind, amount), with both designs' columns.

    Kinds: `shift` by pixels, from 0; `images`, per cent of them, to 100; `permuted`, 1 or 0. The
    network as it is appears in all three. Columns: (mean, design), (low, design), ...
    """
    rows = []
    for row in table.to_dict("records"):
        suffix, variation = row["dataset"].removeprefix(dataset), row["variation"]
        if suffix == "-permuted":
            places = [("permuted", 1)]
        elif suffix:
            places = [("images", int(suffix.split("-")[1]))]
        elif variation != "none":
            places = [("shift", int(variation.removeprefix("shift-")))]
        else:
            places = [("shift", 0), ("images", 100), ("permuted", 0)]
        rows += [{**row, "kind": kind, "amount": amount} for kind, amount in places]
    wide = pd.DataFrame(rows).pivot(index=["kind", "amount"], columns="design")
    both = pd.MultiIndex.from_product([["mean"], [MLP.name, LENET5.name]])
    return wide.reindex(columns=wide.columns.union(both, sort=False))


def print_table(wide: pd.DataFrame) -> None:
    """A line a condition: both networks' accuracies, and LeNet-5's gain with its interval."""
    words = {
        "shift": "shifted, {} px",
        "images": "{} % of the images",
        "permuted": "pixels permuted",
    }
    print(f"{'':<20} {'MLP ' + MLP.name:>9} {'LeNet-5':>9} {'points':>8} {'95 % interval':>17}")
    for (kind, amount), row in wide.iterrows():
        if (kind, amount) in (("shift", 0), ("permuted", 0)):
            continue  # is the line of all images
        means = [100 * row["mean", design.name] for design in (MLP, LENET5)]
        gain, low, high = (
            100 * row[column, LENET5.name]
            for column in ("difference", "difference_low", "difference_high")
        )
        interval = f"{low:+.2f} to {high:+.2f}" if pd.notna(gain) else "(one seed)"
        print(
            f"{words[kind].format(amount):<20} {means[0]:>7.2f} % {means[1]:>7.2f} % "
            f"{means[1] - means[0]:>+8.2f} {interval:>17}"
        )


def sentence(wide: pd.DataFrame) -> str:
    """What convolution buys, from the table."""
    error = 100 - 100 * wide["mean"]
    mlp, lenet5 = error[MLP.name], error[LENET5.name]
    enough = [p for p in (*PERCENT, 100) if lenet5["images", p] <= mlp["images", 100]]
    images = f"{enough[0]} %" if enough else "more than all"
    return (
        f"On digits shifted by 2 pixels LeNet-5 errs on {lenet5['shift', 2]:.1f} % and an MLP of "
        f"its size on {mlp['shift', 2]:.1f} %; it needs {images} of the images to err no more "
        f"than the MLP does with all; when the pixels are permuted, so that nothing tells what is "
        f"near what, its errors go from {lenet5['permuted', 0]:.1f} to "
        f"{lenet5['permuted', 1]:.1f} % and the MLP's from {mlp['permuted', 0]:.1f} to "
        f"{mlp['permuted', 1]:.1f} %."
    )


def draw(wide: pd.DataFrame, note: str) -> Figure:
    """Error against shift, against the share of images, and with the pixels permuted."""
    drawn = plotting.figure("What convolution buys: LeNet-5 and an MLP of its size", note, 3.4)
    panels = drawn.subplots(1, 3)
    labels = {
        "shift": "test digits shifted by (pixels)",
        "images": "training images (%)",
        "permuted": "pixels of all digits",
    }
    for axes, (kind, label) in zip(panels, labels.items(), strict=True):
        rows = wide.loc[kind]
        for place, (design, name) in enumerate(((MLP, f"MLP {MLP.name}"), (LENET5, "LeNet-5"))):
            middle = 100 * rows["mean", design.name]
            shown = rows["n", design.name] > 2  # see plotting.half_interval
            error = [
                (100 * (rows["mean", design.name] - rows["low", design.name])).where(shown, 0),
                (100 * (rows["high", design.name] - rows["mean", design.name])).where(shown, 0),
            ]
            x = rows.index + 0.06 * place if kind == "permuted" else rows.index
            look = {"color": plotting.COLOURS[place], "linestyle": plotting.LINES[place]}
            look |= {"marker": "so"[place], "markersize": 4, "capsize": 3, "label": name}
            axes.errorbar(x, middle, error, **look)
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
    shift, images, permuted_axes = panels
    shift.set_ylabel("test accuracy (%)")
    shift.legend(fontsize=8)
    images.set_xscale("log")
    images.set_xticks([*PERCENT, 100], [*map(str, PERCENT), "100"])
    images.minorticks_off()
    permuted_axes.set_xticks([0, 1], ["in place", "permuted"])
    permuted_axes.set_xlim(-0.4, 1.4)
    return drawn
