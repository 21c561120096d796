"""Part 2: what do MLPs and LeNet-5 cost at inference, and how accurate are they?

    python part2_profile.py             accuracy, time, memory, work
    python part2_profile.py --quick     the same, less precisely
    python part2_profile.py --variants  also compiled, bfloat16, channels last
    python part2_profile.py --trace     also traces for https://ui.perfetto.dev

The weights are those of seed 0. Networks that are not trained yet are trained
first: lenet5-1998 with the recipe lecun1998, the others with modern.

Measured on MNIST (torch 2.15.0+cu132, one thread of an AMD EPYC, cpu AVX512):

The most accurate network is lenet5-relu: 0.63 % errors. The fastest for one
image is 30: 1/8.8 of the time, 2.57 % errors, 4.1 times as many. The smallest
is 30: 1/2.6 of the weights, 2.57 % errors, 4.1 times as many.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from common import LabError, UsageError, cli
from common.console import relative_path, wrapped
from common.data.datasets import SHIFTS, Dataset, load
from common.data.transforms import with_shifts
from common.experiment import chosen
from common.inference import figures, summary, tables
from common.inference.measurement import Network, measure, trained_networks
from common.inference.plan import VARIANTS, Plan
from common.models.lenet1998 import LENET5_1998
from common.models.networks import LENET5, LENET5_2017, LENET5_RELU, mlp_design
from common.plots.style import Figure, save
from common.results.store import Results
from common.settings import Settings
from common.sweep import ranks, workers
from common.training.loop import Run
from common.training.recipes import LECUN1998, MODERN

# The designs, each with the recipe of its weights.
MLPS = dict.fromkeys([mlp_design(30), mlp_design(300), mlp_design(300, 100)], MODERN)
LENETS = dict.fromkeys([LENET5, LENET5_RELU, LENET5_2017], MODERN) | {LENET5_1998: LECUN1998}

IMAGES = [1, 4, 16, 64, 256, 1000, 10000]  # per call


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Measure the networks, write the tables, print them, draw the figures."""
    parser = cli.plain_parser(__doc__, "mnist")
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer images per call, fewer calls, one thread")
    add("--variants", action="store_true", help="also variants, with 1 and 1000 images per call")
    add("--trace", action="store_true", help="write results/trace_<design>_<variant>.json")
    sizes_help = f"images per call (default: {' '.join(map(str, IMAGES))})"
    add("--batch-sizes", nargs="+", type=cli.number(int, 1), metavar="N", help=sizes_help)
    args = parser.parse_args(argv)
    settings = Settings.of(args)
    if ranks.launched():
        raise LabError("parallel processes slow each other down: measure without torchrun")
    runs = [Run(design, recipe, settings.dataset) for design, recipe in (MLPS | LENETS).items()]
    runs = chosen(runs, settings.designs)
    # A quick measurement does not replace a precise one.
    name = Path(__file__).stem + ("_quick" if args.quick else "")
    if not settings.plot_only:
        dataset = load(settings.dataset, settings.data_dir)
        plan = make_plan(args, settings, images=len(dataset.test.labels))
        networks = measure(load_networks(runs, settings, dataset), dataset, plan)
        tables.write(networks, settings.device, settings.results_dir, name)

    rows, operators = (
        tables.select(tables.read(settings.results_dir, name, table), runs, settings.device)
        for table in ("", "_operators")
    )
    if rows.empty:
        raise LabError("no measurements yet: run the same command without --plot-only")
    print(f"\n{Path(__file__).stem} on {settings.dataset}, {rows['device'].iloc[0]}\n")
    summary.print_table(rows)
    print(f"\n{wrapped(summary.verdict(rows), indent=0)}\n")
    folder = relative_path(settings.results_dir)
    results = f"{folder}/{name}.csv, also ..._layers.csv, ..._operators.csv, ..._<design>.txt"
    print(wrapped(f"results: {results}"))
    label = "-".join([settings.device, *settings.designs])
    for what, figure in draw(rows, operators).items():
        path = save(figure, settings.figures_dir / f"{name}_{what}_{label}.png")
        print(f"figure:  {relative_path(path)}")
    if args.trace and not settings.plot_only:
        print(f"traces:  {folder}/trace_<design>_<variant>.json")
    return 0


def make_plan(args: argparse.Namespace, settings: Settings, images: int) -> Plan:
    """The plan of the measurements, with `images` test images.

    Raises:
        UsageError: --batch-sizes is larger than `images`.
    """
    if max(args.batch_sizes or [1]) > images:
        raise UsageError(f"--batch-sizes: there are {images} test images")
    quick, cores = args.quick, workers.cores() if settings.device == "cpu" else 1
    counts = {1, *args.batch_sizes} if args.batch_sizes else {1, 64, 1000} if quick else IMAGES
    return Plan(
        device=settings.device,
        variants=list(VARIANTS) if args.variants else ["plain"],
        images=sorted(count for count in counts if count <= images),
        threads=[1] if quick else sorted({1, cores}),
        calls=200 if quick else 2000,
        seconds=0.02 if quick else 0.1,
        processes=cores if quick else 1,
        traces=settings.results_dir if args.trace else None,
    )


def load_networks(runs: Sequence[Run], settings: Settings, dataset: Dataset) -> list[Network]:
    """The trained networks of the runs, from the results of part2_mlp and part2_lenet5."""
    networks = []
    for designs, data, *store in (
        (MLPS, with_shifts(dataset, SHIFTS), "part2_mlp", {"hidden": ""}, ["variations"]),
        (LENETS, dataset, "part2_lenet5", {}, ["confusion"]),
    ):
        own = [run for run in runs if run.design in designs]
        results, again = (Results(settings.results_dir / sub, *store) for sub in ("", "weights"))
        networks += trained_networks(own, results, again, data, settings.jobs)
    return networks


def draw(rows: pd.DataFrame, operators: pd.DataFrame) -> dict[str, Figure]:
    """The figures, by name; `rows` are the measured times, `operators` the profiler's times."""
    plain, single = rows["variant"] == "plain", rows["threads"] == 1
    by_name = {
        "pareto": figures.accuracy_and_cost(rows[plain & single]),
        "latency": figures.latency_by_images(rows[plain]),
        "memory": figures.memory(rows[plain & single]),
        "roofline": figures.roofline(rows[plain & single]),
        "operators": figures.time_by_operator(operators[operators["variant"] == "plain"]),
    }
    return by_name if plain.all() else by_name | {"variants": figures.variants(rows[single])}


if __name__ == "__main__":
    sys.exit(main())
