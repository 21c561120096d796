"""How much faster is training here than the published loops? One command, a table of medians:

    python tests/benchmark_training.py        about 30 minutes; let nothing else run meanwhile

All sides train the same network at the same batch size on the same real data, in turn, round by
round, so that what slows the machine slows all of them. Nothing is asserted: a benchmark tells.
Writes results/benchmark_training.csv. The published loops: published_loops.py.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pandas as pd  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from published_loops import Batches, published_epoch, published_loader  # noqa: E402
from torch import Tensor, multiprocessing  # noqa: E402

from common import LabError  # noqa: E402
from common.data import datasets as data  # noqa: E402
from common.data.datasets import Dataset, Examples  # noqa: E402
from common.exploration import TUNED  # noqa: E402
from common.models import networks as models  # noqa: E402
from common.sweep.workers import events  # noqa: E402
from common.training.loop import (  # noqa: E402
    Epoch,
    Outcome,
    Run,
    batches,
    image_random,
    onednn,
    train_epoch,
    training_step,
)
from common.training.recipes import (  # noqa: E402
    LECUN1998,
    MODERN,
    MODERN_DISTORTED,
    TUTORIAL,
    Recipe,
)
from part2_lenet5 import PAPER, REPORT2017  # noqa: E402

WARM_UP, STEPS = 200, 2000  # of the loops with batches of 4


def our_step(given: Batches) -> float:
    """Milliseconds of a step of our loop on one thread, on batches of 4 that are held anyhow."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = models.cifar_cnn()
    rates = {"lr": TUTORIAL.lr, "momentum": TUTORIAL.momentum}
    optimizer = torch.optim.SGD(model.parameters(), **rates, fused=True)
    with onednn(False):
        step = training_step(model, optimizer, F.cross_entropy)
        cpu = torch.device("cpu")
        seconds = per_step(
            lambda batches: train_epoch(step, batches, WARM_UP + STEPS, None, cpu), given
        )
    torch.set_num_threads(threads)
    return seconds


def per_step(loop: Callable[[Batches], object], given: Batches) -> float:
    """Milliseconds of a training step, of STEPS after WARM_UP."""
    started = []

    def timed() -> Iterator[tuple[Tensor, Tensor]]:
        iterator = iter(given)
        yield from islice(iterator, WARM_UP)
        started.append(time.perf_counter())
        yield from islice(iterator, STEPS)

    loop(timed())
    return 1000 * (time.perf_counter() - started[0]) / STEPS


def epoch_seconds(design: models.Design, dataset: Dataset, recipe: Recipe, at_once: int) -> float:
    """Seconds of an epoch of our training as a sweep does it, per run, the first not counted."""
    runs = [Run(design, replace(recipe, epochs=2), dataset.name, seed) for seed in range(at_once)]
    outcomes = [event for _, event in events(runs, dataset, at_once, "cpu")]
    for child in multiprocessing.active_children():
        child.join()  # its ending would slow what is measured next
    seconds = [event.epochs[-1].seconds for event in outcomes if isinstance(event, Outcome)]
    return max(seconds) / at_once


@cache
def loaded(name: str, data_dir: Path) -> Dataset:
    """The data, in memory that workers share."""
    return data.load(name, "standard", data_dir).share_memory()


def cifar_steps(data_dir: Path) -> dict[str, float]:
    """A step of the tutorial's loop and of ours, with three ways to hold the data, in ms."""
    dataset = loaded("cifar10", data_dir)
    images, labels = dataset.train
    part = replace(dataset, train=Examples(images[: 4 * STEPS], labels[: 4 * STEPS]))
    part = replace(part, test=Examples(images[:10], labels[:10])).share_memory()
    design = models.cifar_design("baseline")

    def published(given: Batches) -> float:
        model = models.cifar_cnn()
        return per_step(
            lambda given: published_epoch(model, given, TUTORIAL.lr, TUTORIAL.momentum), given
        )

    floats = dataset.normalised(images)
    order = torch.randperm(len(labels)).split(4)
    at_hand = [(floats[i], labels[i]) for i in order[: WARM_UP + STEPS]]
    return {
        "published, 2 workers": published(published_loader("cifar10", data_dir, 2)),
        "published, 0 workers": published(published_loader("cifar10", data_dir, 0)),
        "published, were loading free": published(at_hand),
        "ours, one run": 1000 / STEPS * epoch_seconds(design, part, TUTORIAL, 1),
        "ours, two at once, per run": 1000 / STEPS * epoch_seconds(design, part, TUTORIAL, 2),
        "our loop, 8-bit by the block": our_step(batches(dataset, 4, image_random(0))),
        "our loop, float32 once": our_step((floats[i], labels[i]) for i in order),
        "our loop, 8-bit by the batch": our_step(
            (dataset.normalised(images[i]), labels[i]) for i in order
        ),
    }


def tuned_epochs(data_dir: Path) -> dict[str, float]:
    """An epoch of the tuned recipe on the baseline, with its augmentation and without, in s."""
    dataset = loaded("cifar10", data_dir)
    images, labels = dataset.train
    part = replace(dataset, train=Examples(images[:16384], labels[:16384])).share_memory()
    part = replace(part, test=Examples(images[:10], labels[:10]))
    design = models.cifar_design("baseline")
    plain = replace(TUNED, augment=None)
    return {
        side: len(labels) / 16384 * epoch_seconds(design, part, recipe, 1)
        for side, recipe in (("images as they are", plain), ("flipped and shifted", TUNED))
    }


def mnist_epochs(data_dir: Path) -> dict[str, float]:
    """An epoch of lenet5-2017 by the plain loop, by ours, and by two of ours at once, in s."""
    dataset = loaded("mnist", data_dir)
    design = models.Design("lenet5-2017", models.lenet5_2017)
    started = time.perf_counter()
    published_epoch(design.build(), published_loader("mnist", data_dir, 0), 0.01, 0.5)
    return {
        "plain loop": time.perf_counter() - started,
        "ours, one run": epoch_seconds(design, dataset, REPORT2017, 1),
        "ours, two at once, per run": epoch_seconds(design, dataset, REPORT2017, 2),
    }


def modern_epochs(data_dir: Path) -> dict[str, float]:
    """An epoch of lenet5, of the network of 1998, and of lenet5 on distorted digits, in s."""
    dataset = loaded("mnist", data_dir)
    lenet5 = models.Design("lenet5", models.lenet5)
    return {
        "lenet5": epoch_seconds(lenet5, dataset, MODERN, 1),
        "lenet5-1998": epoch_seconds(PAPER, dataset, LECUN1998, 1),
        "lenet5, distorted": epoch_seconds(lenet5, dataset, MODERN_DISTORTED, 1),
    }


def sweeps(data_dir: Path) -> dict[str, float]:
    """Four runs of a minute of lenet5-2017, start-up and figures included, in s."""
    return {f"--jobs {jobs}": sweep_seconds(data_dir, jobs) for jobs in (1, 2)}


def sweep_seconds(data_dir: Path, jobs: int) -> float:
    """Seconds of one such sweep, `jobs` runs at once."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--designs", "lenet5-2017", "--seeds", "4", "--epochs", "20"]
        options += ["--jobs", str(jobs), "--data-dir", str(data_dir)]
        options += ["--results-dir", folder, "--figures-dir", folder]
        started = time.perf_counter()
        command = [sys.executable, str(ROOT / "part2_lenet5.py"), *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started


def private_memory(data_dir: Path) -> dict[str, float]:
    """The private memory of a worker that trains on CIFAR-10, in GB (Linux)."""
    design = models.Design("baseline", models.cifar_cnn)
    runs = [Run(design, TUTORIAL, "cifar10", 0)]
    for _, event in events(runs, loaded("cifar10", data_dir), 1, "cpu"):
        if isinstance(event, Epoch):
            sizes = []
            for child in multiprocessing.active_children():  # also joins those that have ended
                text = Path(f"/proc/{child.pid}/smaps_rollup").read_text()
                private = re.findall(r"Private_\w+:\s+(\d+) kB", text)
                sizes.append(sum(map(int, private)) / 1e6)
            return {"ours": max(sizes)}
    raise AssertionError("the run ended before its first epoch")


class Group(NamedTuple):
    """What is measured side by side: `measure` gives each side's figure, one round a call."""

    what: str
    unit: str
    measure: Callable[[Path], dict[str, float]]


# Memory first: the loaders' processes, forked, would be mistaken for workers.
GROUPS = [
    Group("private memory of a worker on CIFAR-10", "GB", private_memory),
    Group("CIFAR-10, batch 4: a step", "ms", cifar_steps),
    Group("CIFAR-10, batch 64, recipe tuned: an epoch", "s", tuned_epochs),
    Group("MNIST, lenet5-2017, batch 64: an epoch", "s", mnist_epochs),
    Group("MNIST, LeNet-5 of 32 x 32, batch 64: an epoch", "s", modern_epochs),
    Group("a sweep of 4 runs, start-up included", "s", sweeps),
]


def medians(group: Group, rounds: int, data_dir: Path) -> pd.DataFrame:
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
    only_help = "only groups whose names have this in them; the others stay as they were"
    parser.add_argument("--only", default="", metavar="TEXT", help=only_help)
    options = parser.parse_args()
    rounds = {private_memory: 1, sweeps: options.sweep_rounds}
    chosen = [group for group in GROUPS if options.only in group.what]
    if not chosen:
        parser.error(f"no group has {options.only!r} in its name")
    table = pd.concat(
        medians(group, rounds.get(group.measure, options.rounds), options.data_dir)
        for group in chosen
    )
    print(table.to_string(index=False, float_format="%.3g"))
    table["cores"], table["torch"] = os.cpu_count(), torch.__version__
    path = ROOT / "results" / "benchmark_training.csv"
    if path.exists():
        before = pd.read_csv(path)
        table = pd.concat([before[~before["what"].isin(table["what"])], table])
    table.to_csv(path, index=False, float_format="%.4g")


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        sys.exit(f"error: {error}")
