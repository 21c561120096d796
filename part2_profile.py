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

from common import LabError, UsageError, cli
from common.console import relative_path, wrapped
from common.data.datasets import Dataset, load
from common.experiment import chosen
from common.inference import figures, summary, tables
from common.inference.measurement import Network, measure
from common.inference.profiling import VARIANTS, Plan
from common.models.lenet1998 import LENET5_1998
from common.models.networks import LENET5, LENET5_2017, LENET5_RELU, mlp_design
from common.plots.style import save
from common.results.outcome import trained
from common.results.store import Results
from common.settings import Settings
from common.statistics.intervals import converged, mean_or_wilson
from common.sweep.sweep import Engine, sweep
from common.training.device import cores
from common.training.evaluation import evaluate
from common.training.loop import Run
from common.training.recipes import LECUN1998, MODERN

# The designs, each with the recipe of its weights.
MLPS = dict.fromkeys([mlp_design(30), mlp_design(300), mlp_design(300, 100)], MODERN)
LENETS = dict.fromkeys([LENET5, LENET5_RELU, LENET5_2017], MODERN) | {LENET5_1998: LECUN1998}

FIGURES = ("pareto", "latency", "memory", "roofline", "operators", "variants")
IMAGES = [1, 4, 16, 64, 256, 1000, 10000]  # per call


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Measure the networks, write the tables, print them, draw the figures."""
    parser = cli.plain_parser(__doc__, "mnist")
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer images per call, fewer calls, one thread")
    add("--variants", action="store_true", help="also variants, with 1 and 1000 images per call")
    add("--trace", action="store_true", help="write results/trace_<design>_<variant>_<images>.json")
    sizes_help = f"images per call (default: {' '.join(map(str, IMAGES))})"
    add("--batch-sizes", nargs="+", type=cli.number(int, 1), metavar="N", help=sizes_help)
    args = parser.parse_args(argv)
    settings = Settings.of(args)
    runs = [Run(design, recipe, settings.dataset) for design, recipe in (MLPS | LENETS).items()]
    runs = chosen(runs, settings.designs)
    settings.check_figures(FIGURES)
    # A quick measurement does not replace a precise one.
    name = Path(__file__).stem + ("_quick" if args.quick else "")
    folder, device = settings.results_dir, settings.device
    if not settings.plot_only:
        dataset = load(settings.dataset, settings.data_dir)
        plan = make_plan(args, settings, images=len(dataset.test.labels))
        networks = measure(trained_networks(runs, settings, dataset), dataset, plan)
        tables.write(networks, device, folder, name)

    rows = tables.select(tables.read(folder, name), runs, device)
    operators = tables.select(tables.read(folder, name, "_operators"), runs, device)
    if rows.empty:
        raise LabError("no measurements yet: run the same command without --plot-only")
    print(f"\n{Path(__file__).stem} on {settings.dataset}, {rows['device'].iloc[0]}\n")
    summary.print_table(rows)
    print(f"\n{wrapped(summary.verdict(rows), indent=0)}\n")
    files = f"{name}.csv, also ..._layers.csv, ..._operators.csv, ..._<design>.txt"
    print(wrapped(f"results: {relative_path(folder)}/{files}"))
    plain, single = rows["variant"] == "plain", rows["threads"] == 1
    by_name = {
        "pareto": figures.accuracy_and_cost(rows[plain & single]),
        "latency": figures.latency_by_images(rows[plain]),
        "memory": figures.memory(rows[plain & single]),
        "roofline": figures.roofline(rows[plain & single]),
        "operators": figures.time_by_operator(operators[operators["variant"] == "plain"]),
    }
    if not plain.all():
        by_name["variants"] = figures.variants(rows[single])
    label = "-".join([device, *settings.designs])
    for what in filter(settings.draws, by_name):
        path = save(by_name[what], settings.figures_dir / f"{name}_{what}_{label}.png")
        print(f"figure:  {relative_path(path)}")
    if args.trace and not settings.plot_only:
        print(f"traces:  {relative_path(folder)}/trace_<design>_<variant>_<images>.json")
    return 0


def make_plan(args: argparse.Namespace, settings: Settings, images: int) -> Plan:
    """The plan of the measurements; there are `images` test images."""
    if max(args.batch_sizes or [1]) > images:
        raise UsageError(f"--batch-sizes: there are {images} test images")
    quick, processes = args.quick, cores() if settings.device == "cpu" else 1
    counts = {1, *args.batch_sizes} if args.batch_sizes else {1, 64, 1000} if quick else IMAGES
    return Plan(
        device=settings.device,
        variants=list(VARIANTS) if args.variants else ["plain"],
        images=sorted(count for count in counts if count <= images),
        threads=[1] if quick else sorted({1, processes}),
        calls=200 if quick else 2000,
        seconds=0.02 if quick else 0.1,
        processes=processes if quick else 1,
        traces=settings.results_dir if args.trace else None,
    )


def trained_networks(runs: Sequence[Run], settings: Settings, dataset: Dataset) -> list[Network]:
    """The networks of the runs, from the results of part2_mlp and part2_lenet5.

    Runs without results are trained first.

    Raises:
        LabError: a run fails, or its saved weights are missing or do not give its accuracy.
    """
    networks = []
    for designs, shifts, *name in (
        (MLPS, True, "part2_mlp", {"hidden": ""}, ["variations"]),
        (LENETS, False, "part2_lenet5", {}, ["confusion"]),
    ):
        results = Results(settings.results_dir, *name)
        own = [run for run in runs if run.design in designs]
        missing = [run for run in own if run not in results]
        if missing:
            print(f"{len(missing)} of {len(own)} networks to train", flush=True)
            if sweep(missing, results, Engine(settings.data_dir, settings.jobs, shifts=shifts)):
                raise LabError("not all networks could be trained")
        for run in own:
            model = trained(run, results)
            test = evaluate(model, dataset, dataset.test)
            rows = converged(results.select([run])).set_index("seed")["test_accuracy"]
            if abs(test.accuracy - rows.get(run.seed, -1)) > 0.001:
                path = relative_path(results.weights_path(run))
                raise LabError(f"{path} does not give the recorded accuracy of {run}")
            networks.append(
                Network(run, model, test, mean_or_wilson(rows, len(dataset.test.labels)))
            )
    return networks


if __name__ == "__main__":
    sys.exit(main())
