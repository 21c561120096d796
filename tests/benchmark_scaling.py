"""How far does a sweep scale? One command, one table:

    python tests/benchmark_scaling.py         let nothing else run meanwhile

Measured on this machine: four runs of a minute with one worker, with two, and with two workers of a
scheduler in a process of its own; what a sweep takes besides training; the memory of workers on
CIFAR-10; 10,000 runs of some milliseconds, with the real scheduler and the real writer. Simulated:
10,000 runs of a minute on up to 256 workers, if the script and the scheduler need for each run as
long as they were measured to need. Nothing is asserted: a benchmark tells. Writes
results/benchmark_scaling.csv.
"""

import argparse
import heapq
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pandas as pd  # noqa: E402
import psutil  # noqa: E402
import torch  # noqa: E402

from common import LabError  # noqa: E402
from common.models.networks import cifar_design, mlp_design  # noqa: E402
from common.results.store import Results  # noqa: E402
from common.sweep.cluster import events  # noqa: E402
from common.sweep.sweep import Engine, write_all  # noqa: E402
from common.training.loop import Epoch, Outcome, Run  # noqa: E402
from common.training.recipes import MODERN, TUTORIAL  # noqa: E402

TINY = replace(MODERN, epochs=1)
TINY_DATA = "synthetic-digits-1-percent"
MINUTE = ["--designs", "lenet5-2017", "--epochs", "10", "--seeds", "4"]
SHORT = ["--designs", "lenet5-2017", "--epochs", "1", "--seeds", "1"]


def sweep_seconds(options: list[str], data_dir: Path) -> tuple[float, float]:
    """Seconds of part2_lenet5.py: from start to end, and of its training."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, ROOT / "part2_lenet5.py", "--results-dir", folder, *options]
        command += ["--data-dir", data_dir]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        runs = pd.read_csv(Path(folder, "part2_lenet5.csv"))
        return time.perf_counter() - start, runs["train_seconds"].sum()


@contextmanager
def scheduler(workers: int, data_dir: Path) -> Iterator[str]:
    """The file of a scheduler with workers, all in processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "scheduler.json"))
        environment = {**os.environ, "LAB_DATA_DIR": str(data_dir)}
        started = []
        for what in (
            ["scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", ":0"],
            ["worker", "--nthreads", "1", "--nworkers", str(workers)],
        ):
            command = [sys.executable, "-m", "dask", *what, "--scheduler-file", file]
            started.append(
                subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
            )
        while not os.path.exists(file):
            time.sleep(0.1)
        try:
            yield file
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait()


def worker_memory(jobs: int, data_dir: Path) -> tuple[float, float]:
    """Private and proportional memory of a worker that trains on CIFAR-10, in MB (Linux).

    Proportional memory counts a page that n processes share as 1/n page.
    """
    runs = [Run(cifar_design("7"), TUTORIAL, "cifar10", seed) for seed in range(jobs)]
    epochs: set[Run] = set()
    for run, event in events(runs, Engine(data_dir, jobs)):
        epochs |= {run} if isinstance(event, Epoch) else set()
        if len(epochs) == jobs:  # each has read all images
            children = psutil.Process().children()
            memory = [c.memory_full_info() for c in children if "spawn_main" in str(c.cmdline())]
            return tuple(max(getattr(m, name) for m in memory) / 1e6 for name in ("uss", "pss"))
    raise AssertionError("the runs ended before all had an epoch")


def many_tiny_runs(count: int) -> dict[str, float]:
    """Runs of some milliseconds on two workers: seconds in all, of training and of writing; MB."""
    design = mlp_design(30)
    runs = [Run(design, TINY, TINY_DATA, seed) for seed in range(1, count + 1)]
    seconds = {"training": 0.0, "writing": 0.0}

    class Timed(Results):
        def write(self) -> None:
            start = time.perf_counter()
            super().write()
            seconds["writing"] += time.perf_counter() - start

    def watched() -> Iterator[tuple[Run, object]]:
        for run, event in events(runs, Engine(ROOT / "data", 2)):
            if isinstance(event, Outcome):
                seconds["training"] += event.train_seconds
            yield run, event

    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nothing:
        results = Timed(Path(folder), "tiny", {"hidden": ""})
        sys.stdout, screen = nothing, sys.stdout
        try:
            with results.writing():
                write_all(runs, watched(), results)
        finally:
            sys.stdout = screen
    seconds["all"] = time.perf_counter() - start
    return seconds | {"MB": (psutil.Process().memory_info().rss - before) / 1e6}


def simulate(runs: int, seconds: float, workers: int, service: float) -> float:
    """Seconds until the last of `runs` is saved.

    A worker takes the next run when it has finished one. Script and scheduler, one after another,
    need `service` seconds for each finished run.
    """
    free = [0.0] * workers
    ready = 0.0  # when script and scheduler are free
    for _ in range(runs):
        finished = heapq.heappop(free) + seconds
        ready = max(ready, finished) + service
        heapq.heappush(free, ready)
    return ready


def main() -> None:
    """Measure, simulate, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("LAB_DATA_DIR", ROOT / "data")
    parser.add_argument("--data-dir", type=Path, default=default, help="of MNIST and CIFAR-10")
    parser.add_argument("--tiny", type=int, default=10_000, metavar="N", help="tiny runs")
    options = parser.parse_args()
    rows = []

    def tell(
        what: str, amount: int, value: float, unit: str, efficiency: float | None = None
    ) -> None:
        row = {"what": what, "amount": amount, "value": value, "unit": unit}
        rows.append(row | {"efficiency": efficiency})

    both, training = sweep_seconds([*SHORT, "--jobs", "1"], options.data_dir)
    tell("start and end of a sweep", 1, both - training, "s")
    for jobs in (1, 4):
        private, proportional = worker_memory(jobs, options.data_dir)
        tell("private memory of a worker, by workers", jobs, private, "MB")
        tell("proportional memory of a worker, by workers", jobs, proportional, "MB")
    tiny = many_tiny_runs(options.tiny)
    tell("tiny runs", options.tiny, tiny["all"], "s")
    tell("tiny runs: a run's training", options.tiny, tiny["training"] / options.tiny, "s")
    tell("tiny runs: runs a second", options.tiny, options.tiny / tiny["all"], "1/s")
    tell("tiny runs: writing", options.tiny, tiny["writing"], "s")
    tell("tiny runs: more memory of script and scheduler", options.tiny, tiny["MB"], "MB")
    alone, _ = sweep_seconds([*MINUTE, "--jobs", "1"], options.data_dir)
    local, _ = sweep_seconds([*MINUTE, "--jobs", "2"], options.data_dir)
    with scheduler(2, options.data_dir) as file:
        remote, _ = sweep_seconds([*MINUTE, "--cluster", file], options.data_dir)
    tell("4 runs of a minute, by workers", 1, alone, "s", 1.0)
    tell("4 runs of a minute, by workers", 2, local, "s", alone / local / 2)
    tell("4 runs of a minute, by workers of a scheduler", 2, remote, "s", alone / remote / 2)
    for workers in (1, 4, 16, 64, 256):
        seconds = simulate(10_000, 60.0, workers, tiny["all"] / options.tiny)
        efficiency = 10_000 * 60.0 / workers / seconds
        tell("simulated: 10,000 runs of a minute, by workers", workers, seconds, "s", efficiency)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.3g", na_rep=""))
    table["cores"], table["torch"] = os.cpu_count(), torch.__version__
    table.to_csv(ROOT / "results" / "benchmark_scaling.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        sys.exit(f"error: {error}")
