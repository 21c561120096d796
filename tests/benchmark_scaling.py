"""How far does a sweep scale? One command, three tables in one file:

    python tests/benchmark_scaling.py         let nothing else run meanwhile

Measured: four runs of a minute with 1 rank and with 2 (torchrun, on this machine), and as two
scripts that know nothing of each other, which is what the machine itself allows; how long the
writer takes for a finished run when the results hold 1,000 to 10,000. Simulated from these and from
recorded run times: 10,000 runs of the tutorial's recipe on 1 to 256 workers, with the writer and
without it. Nothing is asserted: a benchmark tells. Writes results/benchmark_scaling.csv.
"""

import argparse
import heapq
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402

from common import LabError  # noqa: E402
from common.models.networks import CIFAR_COLUMNS, cifar_design  # noqa: E402
from common.results.store import Results  # noqa: E402
from common.training.loop import Run  # noqa: E402
from common.training.recipes import TUTORIAL  # noqa: E402

RUNS = 10_000
WORKERS = [2**power for power in range(9)]
SIZES = [1_000, 5_000, 10_000]  # runs that the results hold


def seconds_of(launcher: list[str], seeds: int, data_dir: Path, at_once: int = 1) -> float:
    """A sweep of a minute a run of lenet5-2017, or several at once, each in folders of its own.

    Start-up and figures included.
    """
    options = ["--designs", "lenet5-2017", "--epochs", "20", "--jobs", "1"]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        scripts = []
        for place in range(at_once):
            own = f"{folder}/{place}"
            folders = ["--results-dir", own, "--figures-dir", own]
            command = [sys.executable, *launcher, str(ROOT / "part2_lenet5.py"), *options]
            command += [*folders, "--seeds", str(seeds), "--data-dir", str(data_dir)]
            scripts.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        if any([script.wait() for script in scripts]):
            raise SystemExit("error: a sweep failed; its message is above")
        return time.perf_counter() - started


def seconds_to_write(held: int) -> float:
    """Median time to add a run of the tutorial's recipe to results that hold `held` runs."""
    scores = {"train_loss": 1.2345, "train_accuracy": 0.54321}
    scores |= {"test_loss": 1.2345, "test_accuracy": 0.5432}
    run_row = {"parameters": 62006, "macs": 651720, **scores, "train_seconds": 33.456}
    rows = {
        "runs": [{**run_row, "threads": 1, "device": "cpu", "torch": "2.6.0"}],
        "epochs": [{"epoch": epoch, **scores, "seconds": 16.789} for epoch in (1, 2)],
        "classes": [
            {"class": f"class {i}", "correct": 543, "total": 1000, "accuracy": 0.543}
            for i in range(10)
        ],
    }
    design = cifar_design("7")
    with tempfile.TemporaryDirectory() as folder:
        results = Results(Path(folder), "sweep", CIFAR_COLUMNS)
        results.add(Run(design, TUTORIAL, "cifar10"), rows)
        # As many rows as runs have, written as files and read again, as a sweep would find them.
        for table in results.tables:
            one = pd.read_csv(results.path(table), dtype=str)
            many = pd.concat([one] * held)
            many["seed"] = np.repeat(np.arange(held), len(one))
            many.to_csv(results.path(table), index=False)
        results = Results(Path(folder), "sweep", CIFAR_COLUMNS)
        seconds = []
        for seed in range(held, held + 5):
            started = time.perf_counter()
            results.add(Run(design, TUTORIAL, "cifar10", seed), rows)
            seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def simulate(runs: np.ndarray, workers: int, writing: np.ndarray) -> float:
    """Seconds until the last of `runs` is written.

    A worker takes the next run when it has finished one; one writer takes `writing[i]` seconds for
    the i-th that arrives.
    """
    free = [0.0] * workers
    finished = []
    for seconds in runs:
        finished.append(heapq.heappop(free) + seconds)
        heapq.heappush(free, finished[-1])
    written = 0.0
    for arrival, seconds in zip(sorted(finished), writing, strict=True):
        written = max(written, arrival) + seconds
    return written


def main() -> None:
    """Measure, simulate, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("LAB_DATA_DIR", ROOT / "data")
    parser.add_argument("--data-dir", type=Path, default=default, help="of MNIST")
    options = parser.parse_args()
    rows = []

    def tell(what: str, amount: int, seconds: float, efficiency: float | None = None) -> None:
        rows.append({"what": what, "amount": amount, "seconds": seconds, "efficiency": efficiency})

    measured = [seconds_to_write(held) for held in SIZES]
    for held, seconds in zip(SIZES, measured, strict=True):
        tell("to write a run, by runs held", held, seconds)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    alone, both = (seconds_of([*launcher, str(n)], 4, options.data_dir) for n in (1, 2))
    apart = seconds_of([], 2, options.data_dir, at_once=2)
    tell("4 runs of a minute, by ranks", 1, alone, 1.0)
    tell("4 runs of a minute, by ranks", 2, both, alone / both / 2)
    tell("4 runs of a minute, by scripts", 2, apart, alone / apart / 2)

    recorded = Results(ROOT / "results", "part1_explore_depth", CIFAR_COLUMNS).select()
    recorded = recorded[recorded["recipe"] == TUTORIAL.name]["train_seconds"]
    runs = np.random.default_rng(0).choice(recorded, RUNS)
    writing = np.interp(np.arange(RUNS), [0, *SIZES], [0, *measured])
    for name, times in (("", writing), (", were writing free", np.zeros(RUNS))):
        for workers in WORKERS:
            seconds = simulate(runs, workers, times)
            tell(f"10,000 runs, by workers{name}", workers, seconds, runs.sum() / workers / seconds)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.3g", na_rep=""))
    table["cores"], table["torch"] = os.cpu_count(), torch.__version__
    table.to_csv(ROOT / "results" / "benchmark_scaling.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        sys.exit(f"error: {error}")
