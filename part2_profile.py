"""Part 2: what do the MLPs and LeNet-5 cost at inference, and what does the accuracy cost?

    python part2_profile.py                 accuracy, run time, memory and work of every network
    python part2_profile.py --quick         the same, roughly
    python part2_profile.py --variants      compiled, in bfloat16, channels last, with int8 weights
    python part2_profile.py --trace         and traces for https://ui.perfetto.dev

Networks that have not been trained yet are trained first, by the recipe `modern`, seed 0.
"""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

import part2_lenet5
import part2_mlp
from common import LabError, cli, convolution, inference, profile_figures, terminal, workers
from common.evaluation import evaluate
from common.inference import Effort, Network
from common.models import Design, mlp_design
from common.recipes import MODERN
from common.results import Results
from common.sweep import sweep, trained
from common.training import Run
from common.variants import VARIANTS

EXPERIMENT = Path(__file__).stem

MLPS = [mlp_design(30), mlp_design(300), mlp_design(300, 100)]
LENETS = part2_lenet5.DESIGNS

IMAGES = [1, 4, 16, 64, 256, 1000, 10000]  # of a call


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write, print, draw."""
    parser = cli.plain_parser(__doc__, dataset="mnist")
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer batch sizes and calls, one thread")
    add("--variants", action="store_true", help="the variants too, in batches of 1 and 1000")
    add("--trace", action="store_true", help="write results/part2_profile_<design>.json")
    add("--batch-sizes", nargs="+", type=cli.number(int, 1), metavar="N", help="instead of these")
    options = cli.fill(parser.parse_args(argv))
    designs = cli.chosen(parser, options, [*MLPS, *LENETS])
    if not options.plot_only:
        how = effort(parser, options)
        networks = load_networks(designs, options)
        variants = list(VARIANTS) if options.variants else ["plain"]
        traces = options.results_dir if options.trace else None
        found = inference.measure(networks, options.load(), how, variants, options.device, traces)
        inference.write(*found, options.device, options.results_dir, EXPERIMENT)

    tables = {
        table: select(inference.read(options.results_dir, EXPERIMENT, table), designs, options)
        for table in inference.TABLES
    }
    rows = tables[""]
    if rows.empty:
        raise LabError("nothing is measured yet: the same command without --plot-only measures")
    print(f"\n{EXPERIMENT} on {options.dataset}, {rows['device'].iloc[0]}\n")
    print_table(rows)
    print("\n" + textwrap.fill(verdict(rows), 79) + "\n")
    options.label = options.device
    drawn = cli.save(profile_figures.draw(rows, tables["_operators"]), EXPERIMENT, options)
    results = terminal.nearby(options.results_dir / f"{EXPERIMENT}.csv")
    print(f"results: {results}, beside it _layers _operators, and _<design>.txt")
    for path in drawn:
        print(f"figure:  {terminal.nearby(path)}")
    return 0


def effort(parser: cli.Parser, options: argparse.Namespace) -> Effort:
    """How much to measure; calls with more images than there are to test on are refused."""
    there = len(options.load().test.labels)
    images = [count for count in IMAGES if count <= there]
    cores = len(workers.cores()) if options.device == "cpu" else 1
    found = Effort(images, sorted({1, cores}), calls=2000, seconds=0.1)
    if options.quick:
        found = Effort([count for count in images if count in (1, 64, 1000)], [1], 200, 0.02)
    if options.batch_sizes:
        if max(options.batch_sizes) > there:
            parser.error(f"--batch-sizes: there are {there} test images")
        found = found._replace(images=sorted({1, *options.batch_sizes}))
    return found


def load_networks(designs: Sequence[Design], options: argparse.Namespace) -> list[Network]:
    """The networks of seed 0 with the weights they were trained to, trained first if missing.

    Raises:
        LabError: the weights are not those of the design, or do not give its recorded accuracy.
    """
    dataset = options.load()
    found = []
    for experiment, columns, extras, family in (
        (part2_mlp.EXPERIMENT, ("hidden",), ("variations",), MLPS),
        (part2_lenet5.EXPERIMENT, (), ("confusion",), LENETS),
    ):
        results = Results(options.results_dir, experiment, columns, extras)
        runs = [Run(d, MODERN, options.dataset, seed=0) for d in family if d in designs]
        missing = [run for run in runs if not results.weights_path(run.key).exists()]
        load = convolution.with_shifted_tests(options.load) if family is MLPS else options.load
        if missing and sweep(missing, results, load, options.jobs, fresh=True):
            raise LabError("not all networks could be trained")
        for run in runs:
            model = trained(run, results)
            test = evaluate(model, dataset, dataset.test)
            recorded = results.frame(cells=[run.key[:-1]]).query("seed == 0")["test_accuracy"]
            if recorded.empty or abs(test.accuracy - recorded.iloc[0]) > 0.001:
                path = terminal.nearby(results.weights_path(run.key))
                raise LabError(f"{path} does not give the accuracy of {run}: delete it")
            found.append(Network(run, model))
    return found


def select(
    rows: pd.DataFrame, designs: Sequence[Design], options: argparse.Namespace
) -> pd.DataFrame:
    """The rows of the data set, designs and kind of device that are asked for."""
    names = [design.name for design in designs]
    kept = rows[
        (rows["dataset"] == options.dataset)
        & rows["design"].isin(names)
        & rows["device"].str.startswith(options.device)
    ]
    order = {name: place for place, name in enumerate([*names, *VARIANTS])}
    return kept.sort_values(
        ["design", "variant", "images", "threads"], key=lambda cells: cells.replace(order)
    )


def print_table(rows: pd.DataFrame) -> None:
    """A line a network and variant: one thread; kB of activations at their peak, of one image."""
    print(
        f"{'':<26} {'accuracy':>8} {'weights':>8} {'activ.':>7} {'1 image, us':>13} {'images/s':>9}"
    )
    print(f"{'':<26} {'%':>8} {'kB':>8} {'kB':>7} {'p50':>6} {'p90':>6} {'at most':>9}")
    for (design, variant), each in rows[rows["threads"] == 1].groupby(
        ["design", "variant"], sort=False
    ):
        one = each[each["images"] == 1].iloc[0]
        name = design if variant == "plain" else f"{design} {variant}"
        unsure = " (spread over 10 %)" if one["noisy"] == "yes" else ""
        print(
            f"{name:<26} {100 * one['test_accuracy']:>8.2f} {one['parameter_bytes'] / 1e3:>8.0f} "
            f"{one['activation_bytes'] / 1e3:>7.1f} {1e6 * one['seconds']:>6.0f} "
            f"{1e6 * one['p90_seconds']:>6.0f} {each['images_per_second'].max():>9,.0f}{unsure}"
        )


def verdict(rows: pd.DataFrame) -> str:
    """Which network is most accurate, fastest and smallest, and by what ratios."""
    one = rows[(rows["images"] == 1) & (rows["threads"] == 1) & (rows["variant"] == "plain")]
    one = one.set_index("design")
    best = one["test_accuracy"].idxmax()
    fastest, smallest = one["seconds"].idxmin(), one["parameter_bytes"].idxmin()
    errors = 1 - one["test_accuracy"]
    if len(one) == 1:
        return f"{best} alone was measured: there is nothing to compare it with."
    faster = one["seconds"][best] / one["seconds"][fastest]
    smaller = one["parameter_bytes"][best] / one["parameter_bytes"][smallest]
    return (
        f"Most accurate is {best} with {100 * errors[best]:.2f} % errors; fastest for one image "
        f"{fastest}, {faster:.1f} times as fast as {best} with "
        f"{errors[fastest] / errors[best]:.1f} times its errors; smallest {smallest}, with "
        f"1/{smaller:.1f} of the weights of {best} and "
        f"{errors[smallest] / errors[best]:.1f} times its errors."
    )


if __name__ == "__main__":
    sys.exit(main())
