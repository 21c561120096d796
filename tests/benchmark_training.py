"""How much faster is training here than the published loops? One command, a table of medians:

    python tests/benchmark_training.py        about 15 minutes; let nothing else run meanwhile

All sides train the same network at the same batch size on the same real data, in turn, round by
round, so that what slows the machine slows all of them. Nothing is asserted: a benchmark tells.
Writes results/benchmark_training.csv.

The published loops: https://pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html (batches
of 4) and https://github.com/pytorch/examples/blob/main/mnist/main.py (batches of 64).
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pandas as pd  # noqa: E402
import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402
from torchvision import datasets, transforms  # noqa: E402

import part2_lenet5  # noqa: E402
from common import data, models  # noqa: E402
from common.data import Dataset  # noqa: E402
from common.training import TUTORIAL, Epoch, Recipe, Run, batches, image_order  # noqa: E402
from common.training import train_epoch as our_epoch  # noqa: E402
from common.workers import events  # noqa: E402

Batches = Iterable[tuple[Tensor, Tensor]]
WARM_UP, STEPS = 200, 2000  # of the loops with batches of 4
REPORT2017 = replace(part2_lenet5.RECIPES[0], epochs=1)


def published_loader(name: str, data_dir: Path, workers: int) -> DataLoader:
    """The data loader of the CIFAR-10 tutorial or of the MNIST example."""
    if name == "cifar10":
        normalise = transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        transform = transforms.Compose([transforms.ToTensor(), normalise])
        images = datasets.CIFAR10(data_dir, train=True, transform=transform)
        return DataLoader(images, batch_size=4, shuffle=True, num_workers=workers)
    normalise = transforms.Normalize((0.1307,), (0.3081,))
    transform = transforms.Compose([transforms.ToTensor(), normalise])
    return DataLoader(datasets.MNIST(data_dir, transform=transform), batch_size=64, shuffle=True)


def published_epoch(model: nn.Module, loader: Batches, lr: float, momentum: float) -> None:
    """The loop as the tutorial prints it."""
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    running_loss = 0.0
    for inputs, labels in loader:
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()


def ours(model: nn.Module, given: Batches, recipe: Recipe) -> None:
    """Our loop, on one thread as in a worker."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rates = {"lr": recipe.lr, "momentum": recipe.momentum}
    our_epoch(model, given, torch.optim.SGD(model.parameters(), **rates, fused=True), None)
    torch.set_num_threads(threads)


def timed(given: Batches, started: list[float], warm_up: int, steps: int | None) -> Iterator:
    """The batches, the clock started after `warm_up` of them; `steps` more, or all."""
    iterator = iter(given)
    yield from islice(iterator, warm_up)
    started.append(time.perf_counter())
    yield from islice(iterator, steps)


def per_step(loop: Callable[[Batches], None], given: Batches) -> float:
    """Milliseconds of a training step with batches of 4."""
    started: list[float] = []
    loop(timed(given, started, WARM_UP, STEPS))
    return 1000 * (time.perf_counter() - started[0]) / STEPS


def cifar_steps(dataset: Dataset, data_dir: Path) -> dict[str, float]:
    """A step of the tutorial's loop and of ours, with three ways to hold the data, in ms."""
    images, labels = dataset.train

    def published(given: Batches) -> None:
        published_epoch(models.cifar_cnn(), given, TUTORIAL.lr, TUTORIAL.momentum)

    def our_way(given: Batches) -> None:
        ours(models.cifar_cnn(), given, TUTORIAL)

    floats = dataset.normalised(images)
    order = torch.randperm(len(labels)).split(4)
    return {
        "published, 2 workers": per_step(published, published_loader("cifar10", data_dir, 2)),
        "published, 0 workers": per_step(published, published_loader("cifar10", data_dir, 0)),
        "ours (8-bit, by the block)": per_step(our_way, batches(dataset, 4, image_order(0))),
        "ours, were it float32 once": per_step(our_way, ((floats[i], labels[i]) for i in order)),
        "ours, were it 8-bit by the batch": per_step(
            our_way, ((dataset.normalised(images[i]), labels[i]) for i in order)
        ),
    }


def mnist_epochs(dataset: Dataset, data_dir: Path) -> dict[str, float]:
    """An epoch of lenet5-2017 by the plain loop, by ours, and by two of ours at once, in s."""
    design = models.Design("lenet5-2017", models.lenet5_2017)
    started = time.perf_counter()
    published_epoch(design.build(), published_loader("mnist", data_dir, 0), 0.01, 0.5)
    plain = time.perf_counter() - started
    started = time.perf_counter()
    ours(design.build(), batches(dataset, 64, image_order(0)), REPORT2017)
    single = time.perf_counter() - started
    runs = [Run(design, replace(REPORT2017, epochs=2), "mnist", seed) for seed in (0, 1)]
    both = [
        event.epochs[-1].seconds
        for _, event in events(runs, dataset, 2, "cpu")
        if hasattr(event, "epochs")
    ]
    return {
        "plain loop": plain,
        "ours, one run": single,
        "ours, two at once, per run": max(both) / 2,
    }


def sweep_seconds(data_dir: Path, jobs: int, epochs: int) -> float:
    """Four runs of `epochs` epochs of lenet5-2017, start-up and figures included, in s."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--designs", "lenet5-2017", "--seeds", "4", "--epochs", str(epochs)]
        options += ["--jobs", str(jobs), "--data-dir", str(data_dir)]
        options += ["--results-dir", folder, "--figures-dir", folder]
        started = time.perf_counter()
        command = [sys.executable, str(ROOT / "part2_lenet5.py"), *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started


def private_memory(dataset: Dataset) -> float:
    """The private memory of a worker that trains on `dataset`, in GB (Linux)."""
    design = models.Design("baseline", models.cifar_cnn)
    runs = [Run(design, TUTORIAL, "cifar10", 0)]
    for _, event in events(runs, dataset, 1, "cpu"):
        if isinstance(event, Epoch):
            here = os.getpid()
            children = Path(f"/proc/{here}/task/{here}/children").read_text().split()
            sizes = [Path(f"/proc/{child}/smaps_rollup").read_text() for child in children]
            return max(
                sum(int(size) for size in re.findall(r"Private_\w+:\s+(\d+) kB", text)) / 1e6
                for text in sizes
            )
    raise AssertionError("the run ended before its first epoch")


def main() -> None:
    """Measure, print the table, write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("LAB_DATA_DIR", ROOT / "data")
    parser.add_argument("--data-dir", type=Path, default=default, help="of MNIST and CIFAR-10")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--sweep-epochs", type=int, default=20, help="0 leaves the sweep out")
    options = parser.parse_args()
    cifar10, mnist = (
        data.load(name, "standard", options.data_dir).share_memory()
        for name in ("cifar10", "mnist")
    )
    groups = {
        ("CIFAR-10, batch 4: a step", "ms"): [
            cifar_steps(cifar10, options.data_dir) for _ in range(options.rounds)
        ],
        ("MNIST, lenet5-2017, batch 64: an epoch", "s"): [
            mnist_epochs(mnist, options.data_dir) for _ in range(options.rounds)
        ],
        ("private memory of a worker on CIFAR-10", "GB"): [{"ours": private_memory(cifar10)}],
    }
    if options.sweep_epochs:
        sweeps = {
            f"--jobs {j}": sweep_seconds(options.data_dir, j, options.sweep_epochs) for j in (1, 2)
        }
        groups["a sweep of 4 runs, start-up included", "s"] = [sweeps]

    rows = []
    for (what, unit), rounds in groups.items():
        frame = pd.DataFrame(rounds)
        for side in frame:
            ratios = {
                f"ratio_{i}": (frame[side] / frame[other]).median()
                for i, other in enumerate(frame.columns[:2])
            }
            rows.append(
                {"what": what, "side": side, "rounds": len(frame), "unit": unit}
                | {
                    "median": frame[side].median(),
                    "least": frame[side].min(),
                    "most": frame[side].max(),
                }
                | ratios
            )
    table = pd.DataFrame(rows).rename(columns={"ratio_0": "to_first", "ratio_1": "to_second"})
    print(table.to_string(index=False, float_format="%.3g"))
    table["cores"], table["torch"] = os.cpu_count(), torch.__version__
    table.to_csv(ROOT / "results" / "benchmark_training.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
