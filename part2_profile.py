"""Part 2: what do MLPs and LeNet-5 cost at inference, for what accuracy?

    python part2_profile.py             accuracy, time, memory, work
    python part2_profile.py --quick     the same, roughly
    python part2_profile.py --variants  compiled, bfloat16, channels last, int8
    python part2_profile.py --trace     and traces for https://ui.perfetto.dev

Networks that have not been trained yet are trained first, seed 0: that of 1998
by the recipe `lecun1998`, the others by `modern`.

Measured on MNIST (torch 2.15.0+cu132, one thread of an AMD EPYC, cpu AVX512):

Most accurate is lenet5-relu, with 0.63 % errors; fastest for one image 30:
1/8.8 of the time of lenet5-relu, with 2.57 % errors, 4.1 times as many;
smallest 30: 1/2.6 of the weights of lenet5-relu, with 2.57 % errors, 4.1 times
as many.
"""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

import part2_lenet5
import part2_mlp
from common import LabError, cli, convolution
from common import console as terminal
from common import experiment as experiments
from common.inference import figures as profile_figures
from common.inference import measurement as inference
from common.inference import tables as inference_tables
from common.inference.measurement import Effort, Network
from common.inference.variants import VARIANTS
from common.models.networks import Design, mlp_design
from common.statistics.intervals import converged, mean_or_wilson
from common.sweep import ranks, workers
from common.sweep.runs import sweep, trained
from common.training.evaluation import evaluate
from common.training.loop import Run, place
from common.training.recipes import LECUN1998, MODERN, Recipe

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
    add("--trace", action="store_true", help="write results/trace_<design>_<variant>.json")
    sizes_help = f"images of a call (default: {' '.join(map(str, IMAGES))})"
    add("--batch-sizes", nargs="+", type=cli.number(int, 1), metavar="N", help=sizes_help)
    options = cli.fill(parser.parse_args(argv))
    if ranks.launched():
        raise LabError("processes side by side disturb each other's times: do without torchrun")
    designs = cli.chosen(parser, options, [*MLPS, *LENETS])
    # A rough measurement does not take the place of a thorough one.
    experiment = EXPERIMENT + ("_quick" if options.quick else "")
    if not options.plot_only:
        how = effort(parser, options)
        networks = load_networks(designs, options)
        variants = list(VARIANTS) if options.variants else ["plain"]
        traces = options.results_dir if options.trace else None
        found = inference.measure(networks, options.load(), how, variants, options.device, traces)
        inference_tables.write(*found, options.device, options.results_dir, experiment)

    tables = {
        table: select(
            inference_tables.read(options.results_dir, experiment, table), designs, options
        )
        for table in inference_tables.TABLES
    }
    rows = tables[""]
    if rows.empty:
        raise LabError("nothing is measured yet: the same command without --plot-only measures")
    print(f"\n{EXPERIMENT} on {options.dataset}, {rows['device'].iloc[0]}\n")
    print_table(rows)
    print("\n" + textwrap.fill(verdict(rows), 79) + "\n")
    options.label = "-".join([options.device, *(options.designs or ())])
    drawn = experiments.save(profile_figures.draw(rows, tables["_operators"]), experiment, options)
    results = terminal.nearby(options.results_dir / f"{experiment}.csv")
    print(f"results: {results}, beside it _layers _operators, and _<design>.txt")
    for path in drawn:
        print(f"figure:  {terminal.nearby(path)}")
    if options.trace and not options.plot_only:
        print(f"traces:  {terminal.nearby(options.results_dir)}/trace_<design>_<variant>.json")
    return 0


def effort(parser: cli.Parser, options: argparse.Namespace) -> Effort:
    """How much to measure; calls with more images than there are to test on are refused."""
    there = len(options.load().test.labels)
    images = [count for count in IMAGES if count <= there]
    cores = len(workers.cores()) if options.device == "cpu" else 1
    found = Effort(images, sorted({1, cores}), calls=2000, seconds=0.1)
    if options.quick:
        images = [count for count in images if count in (1, 64, 1000)]
        found = Effort(images, [1], calls=200, seconds=0.02, processes=cores)
    if options.batch_sizes:
        if max(options.batch_sizes) > there:
            parser.error(f"--batch-sizes: there are {there} test images")
        found = found._replace(images=sorted({1, *options.batch_sizes}))
    return found


def recipe_of(design: Design) -> Recipe:
    """The recipe whose weights are measured."""
    return LECUN1998 if design is part2_lenet5.PAPER else MODERN


def load_networks(designs: Sequence[Design], options: argparse.Namespace) -> list[Network]:
    """The networks of seed 0 with the weights they were trained to, trained first if missing.

    Weights that went missing after their run was recorded are made again in results/weights, so
    that another machine's last digits do not take the place of what is recorded.

    Raises:
        LabError: the weights are not those of the design, or do not give its recorded accuracy.
    """
    dataset = options.load()
    found = []
    for script, family in ((part2_mlp, MLPS), (part2_lenet5, LENETS)):
        load = convolution.with_shifted_tests(options.load) if family is MLPS else options.load
        results = script.results_in(options.results_dir)
        again = script.results_in(options.results_dir / "weights")
        runs = [Run(d, recipe_of(d), options.dataset, seed=0) for d in family if d in designs]
        homes = [
            again if run.key in results and not results.weights_path(run.key).exists() else results
            for run in runs
        ]
        for home in (results, again):
            mine = [run for run, its in zip(runs, homes, strict=True) if its is home]
            missing = [run for run in mine if not home.weights_path(run.key).exists()]
            if missing and sweep(missing, home, load, options.jobs, fresh=True):
                raise LabError("not all networks could be trained")
        for run, home in zip(runs, homes, strict=True):
            model = trained(run, home)
            test = evaluate(model, dataset, dataset.test)
            recorded = home.frame(cells=[run.key[:-1]]).set_index("seed")["test_accuracy"]
            if 0 not in recorded or abs(test.accuracy - recorded[0]) > 0.001:
                path = terminal.nearby(home.weights_path(run.key))
                raise LabError(f"{path} does not give the accuracy of {run}: delete it")
            every = converged(results.frame(cells=[run.key[:-1]]))["test_accuracy"]
            found.append(Network(run, model, test, mean_or_wilson(every, len(dataset.test.labels))))
    return found


def select(
    rows: pd.DataFrame, designs: Sequence[Design], options: argparse.Namespace
) -> pd.DataFrame:
    """The rows of the data set and designs that are asked for, measured on this type of device.

    If there are none, as results from elsewhere are drawn, those of one other type.
    """
    names = [design.name for design in designs]
    kept = rows[
        (rows["dataset"] == options.dataset)
        & rows["design"].isin(names)
        & rows["device"].str.startswith(options.device.partition(":")[0])
    ]
    places = sorted(kept["device"].unique())
    here = place(options.device.partition(":")[0])
    kept = kept[kept["device"] == (here if here in places else next(iter(places), ""))]
    order = {name: number for number, name in enumerate([*names, *VARIANTS])}
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
        mark = "*" if one["noisy"] == "yes" else " "
        print(
            f"{name:<26} {100 * one['test_accuracy']:>8.2f} {one['parameter_bytes'] / 1e3:>8.0f} "
            f"{one['activation_bytes'] / 1e3:>7.1f} {1e6 * one['seconds']:>6.0f}{mark}"
            f"{1e6 * one['p90_seconds']:>6.0f} {each['images_per_second'].max():>9,.0f}"
        )
    print(f"*: {inference.ROUNDS} measurements of one image lay more than 10 % apart")


def verdict(rows: pd.DataFrame) -> str:
    """Which network is most accurate, fastest and smallest, and by what ratios."""
    one = rows[(rows["images"] == 1) & (rows["threads"] == 1) & (rows["variant"] == "plain")]
    one = one.set_index("design")
    best = one["mean_accuracy"].idxmax()
    if len(one) == 1:
        return f"{best} alone was measured: there is nothing to compare it with."
    errors = 100 * (1 - one["mean_accuracy"])
    said = f"Most accurate is {best}, with {errors[best]:.2f} % errors"
    equal = one.index[(one["high_accuracy"] >= one["low_accuracy"][best]) & (one.index != best)]
    if len(equal):
        said += f" (not told apart from it: {', '.join(equal)})"
    for what, column in (("fastest for one image", "seconds"), ("smallest", "parameter_bytes")):
        least = one[column].idxmin()
        ratio = one[column][best] / one[column][least]
        of_best = f": 1/{ratio:.1f} of the {'time' if column == 'seconds' else 'weights'} of {best}"
        said += f"; {what} {'it too' if least == best else least + of_best}"
        if least != best:
            said += f", with {errors[least]:.2f} % errors"
            said += f", {errors[least] / errors[best]:.1f} times as many" if errors[best] else ""
    return said + "."


if __name__ == "__main__":
    sys.exit(main())
