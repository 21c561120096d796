"""How much faster is training here than the published loops? One command, a table of medians:

    python tests/benchmark_training.py        about 30 minutes; let nothing else run meanwhile

All sides train the same network at the same batch size on the same real data, in turn, round by
round: whatever slows the machine slows all of them. Nothing is asserted.
Writes results/benchmark_training.csv. The published loops: published_loops.py.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pandas as pd  # noqa: E402
import torch  # noqa: E402
from published_loops import Batches, published_epoch, published_loader  # noqa: E402
from torch import Tensor, multiprocessing  # noqa: E402

from common import LabError  # noqa: E402
from common.data.datasets import Dataset, Examples, load  # noqa: E402
from common.models.design import Design  # noqa: E402
from common.models.lenet1998 import LENET5_1998  # noqa: E402
from common.models.networks import LENET5, LENET5_2017, cifar_design  # noqa: E402
from common.training import loop, recipes  # noqa: E402
from common.training.loop import Run  # noqa: E402
from common.training.recipes import TUTORIAL, Recipe  # noqa: E402

BASELINE = cifar_design("baseline")
WARM_UP, STEPS = 200, 2000  # of the loops with batches of 4


def our_step(dataset: Dataset, batches: Batches) -> float:
    """Milliseconds of a step of our loop on one thread, on batches of 4 from any source."""
    threads, own_batches = torch.get_num_threads(), loop.batches
    torch.set_num_threads(1)
    part = first(dataset, 4 * (WARM_UP + STEPS))  # the loop has room for so many losses
    run = Run(BASELINE, replace(TUTORIAL, epochs=1), dataset.name)

    def train(timed: Batches) -> None:
        loop.batches = lambda *_: timed
        loop.train(run, part)

    try:
        return per_step(train, batches)
    finally:
        loop.batches = own_batches
        torch.set_num_threads(threads)


def per_step(train: Callable[[Batches], object], batches: Batches) -> float:
    """Milliseconds of a training step, of STEPS after WARM_UP."""
    times = []

    def timed() -> Iterator[tuple[Tensor, Tensor]]:
        iterator = iter(batches)
        yield from islice(iterator, WARM_UP)
        times.append(time.perf_counter())
        yield from islice(iterator, STEPS)
        times.append(time.perf_counter())

    train(timed())
    return 1000 * (times[1] - times[0]) / STEPS


def last_epoch(run: Run, dataset: Dataset) -> float:
    """Train a run on one thread; the seconds of its last epoch."""
    torch.set_num_threads(1)
    return loop.train(run, dataset).epochs[-1].seconds


def epoch_seconds(design: Design, dataset: Dataset, recipe: Recipe, at_once: int) -> float:
    """Seconds of our second epoch as a worker trains it, per run."""
    runs = [Run(design, replace(recipe, epochs=2), dataset.name, seed) for seed in range(at_once)]
    # This context gives the processes shared memory.
    with ProcessPoolExecutor(at_once, multiprocessing.get_context("spawn")) as pool:
        return max(pool.map(last_epoch, runs, [dataset] * at_once)) / at_once


def first(dataset: Dataset, images: int) -> Dataset:
    """The first training images, and ten test images."""
    train, test = Examples(*(x[:images] for x in dataset.train)), dataset.test
    return replace(dataset, train=train, test=Examples(*(x[:10] for x in test)))


@cache
def loaded(name: str, data_dir: Path) -> Dataset:
    """The data, read once."""
    return load(name, data_dir)


def cifar_steps(data_dir: Path) -> dict[str, float]:
    """A step of the tutorial's loop and of ours, with three ways to hold the data, in ms."""
    dataset = loaded("cifar10", data_dir)
    images, labels = dataset.train
    part = first(dataset, 4 * STEPS)

    def published(batches: Batches) -> float:
        model, rates = BASELINE.build(), (TUTORIAL.lr, TUTORIAL.momentum)
        return per_step(lambda batches: published_epoch(model, batches, *rates), batches)

    floats = dataset.normalised(images)
    order = torch.randperm(len(labels)).split(4)
    in_memory = [(floats[i], labels[i]) for i in order[: WARM_UP + STEPS]]
    blocks = loop.batches(dataset, 4, loop.image_random(0))
    by_batch = ((dataset.normalised(images[i]), labels[i]) for i in order)
    return {
        "published, 2 workers": published(published_loader("cifar10", data_dir, 2)),
        "published, 0 workers": published(published_loader("cifar10", data_dir, 0)),
        "published, were loading free": published(in_memory),
        "ours, one run": 1000 / STEPS * epoch_seconds(BASELINE, part, TUTORIAL, 1),
        "ours, two at once, per run": 1000 / STEPS * epoch_seconds(BASELINE, part, TUTORIAL, 2),
        "our loop, 8-bit by the block": our_step(dataset, blocks),
        "our loop, float32 once": our_step(dataset, ((floats[i], labels[i]) for i in order)),
        "our loop, 8-bit by the batch": our_step(dataset, by_batch),
    }


def tuned_epochs(data_dir: Path) -> dict[str, float]:
    """An epoch of the tuned recipe on the baseline, with its augmentation and without, in s."""
    dataset = loaded("cifar10", data_dir)
    part = first(dataset, 16384)
    tuned = recipes.TUNED
    sides = {"images as they are": replace(tuned, augment=None), "flipped and shifted": tuned}
    parts = len(dataset.train.labels) / 16384
    return {k: parts * epoch_seconds(BASELINE, part, r, 1) for k, r in sides.items()}


def mnist_epochs(data_dir: Path) -> dict[str, float]:
    """An epoch of lenet5-2017 by the plain loop, by ours, and by two of ours at once, in s."""
    dataset, design = loaded("mnist", data_dir), LENET5_2017
    started = time.perf_counter()
    published_epoch(design.build(), published_loader("mnist", data_dir, 0), 0.01, 0.5)
    return {
        "plain loop": time.perf_counter() - started,
        "ours, one run": epoch_seconds(design, dataset, recipes.REPORT2017, 1),
        "ours, two at once, per run": epoch_seconds(design, dataset, recipes.REPORT2017, 2),
    }


def modern_epochs(data_dir: Path) -> dict[str, float]:
    """An epoch of lenet5, of the network of 1998, and of lenet5 on distorted digits, in s."""
    dataset = loaded("mnist", data_dir)
    return {
        "lenet5": epoch_seconds(LENET5, dataset, recipes.MODERN, 1),
        "lenet5-1998": epoch_seconds(LENET5_1998, dataset, recipes.LECUN1998, 1),
        "lenet5, distorted": epoch_seconds(LENET5, dataset, recipes.MODERN_DISTORTED, 1),
    }


def sweeps(data_dir: Path) -> dict[str, float]:
    """Four runs of a minute of lenet5-2017, start-up and figures included, in s."""
    seconds = {}
    for jobs in ("--jobs 1", "--jobs 2"):
        with tempfile.TemporaryDirectory() as folder:
            options = ["--designs", "lenet5-2017", "--seeds", "4", "--epochs", "20", *jobs.split()]
            options += ["--data-dir", data_dir, "--results-dir", folder, "--figures-dir", folder]
            started = time.perf_counter()
            command = [sys.executable, ROOT / "part2_lenet5.py", *options]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[jobs] = time.perf_counter() - started
    return seconds


class Group(NamedTuple):
    """What is measured side by side: `measure` returns each side's figure."""

    what: str
    unit: str
    measure: Callable[[Path], dict[str, float]]


GROUPS = [
    Group("CIFAR-10, batch 4: a step", "ms", cifar_steps),
    Group("CIFAR-10, batch 64, recipe tuned: an epoch", "s", tuned_epochs),
    Group("MNIST, lenet5-2017, batch 64: an epoch", "s", mnist_epochs),
    Group("MNIST, LeNet-5 of 32 x 32, batch 64: an epoch", "s", modern_epochs),
    Group("a sweep of 4 runs, start-up included", "s", sweeps),
]


def medians(data_dir: Path, group: Group, rounds: int) -> pd.DataFrame:
    """Measure `group`: a row for each side, with the median of its ratios to the first two."""
    frame = pd.DataFrame([group.measure(data_dir) for _ in range(rounds)])
    table = pd.DataFrame({"median": frame.median(), "least": frame.min(), "most": frame.max()})
    for name, other in zip(("to_first", "to_second"), frame.columns[:2], strict=False):
        table[name] = frame.div(frame[other], axis=0).median()
    table = table.rename_axis("side").reset_index()
    table.insert(0, "what", group.what)
    table.insert(2, "rounds", rounds)
    table.insert(3, "unit", group.unit)
    return table


def main() -> None:
    """Measure, print the table, write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("LAB_DATA_DIR", ROOT / "data")
    parser.add_argument("--data-dir", type=Path, default=default, help="of MNIST and CIFAR-10")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--sweep-rounds", type=int, default=3, help="(default: %(default)s)")
    only_help = "groups with this in their names"
    parser.add_argument("--only", default="", metavar="TEXT", help=only_help)
    path = ROOT / "results" / "benchmark_training.csv"
    parser.add_argument("--output", type=Path, default=path, help="(default: %(default)s)")
    options = parser.parse_args()
    rounds = {sweeps: options.sweep_rounds}
    chosen = [group for group in GROUPS if options.only in group.what]
    if not chosen:
        parser.error(f"no group has {options.only!r} in its name")
    counts = [rounds.get(group.measure, options.rounds) for group in chosen]
    table = pd.concat(map(partial(medians, options.data_dir), chosen, counts))
    print(table.to_string(index=False, float_format="%.3g"))
    table["cores"], table["torch"] = os.cpu_count(), torch.__version__
    if options.output.exists():
        before = pd.read_csv(options.output)
        table = pd.concat([before[~before["what"].isin(table["what"])], table])
    table.to_csv(options.output, index=False, float_format="%.4g")


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        sys.exit(f"error: {error}")
