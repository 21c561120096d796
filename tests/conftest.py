"""What several tests share: small data, a short recipe, scripts run as a user runs them."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import torch
from hypothesis import settings

from common.data import datasets as data
from common.data import synthetic
from common.data.datasets import Dataset, Examples
from common.models.design import totals
from common.results.store import Results
from common.training.loop import Run
from common.training.recipes import Recipe

settings.register_profile("lab", deadline=None)  # no test fails because the machine is slow
settings.load_profile("lab")

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on the real data run only where it is."""
    if not os.environ.get("LAB_DATA_DIR"):
        skip = pytest.mark.skip(reason="LAB_DATA_DIR does not point to MNIST and CIFAR-10")
        for item in items:
            if item.get_closest_marker("real_data"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of the real data sets."""
    return Path(os.environ["LAB_DATA_DIR"])


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """A small data set of built-in digits: 300 to train on, 100 to test on."""
    train, test = (Examples(*part) for part in synthetic.digits(train=300, test=100))
    return Dataset("synthetic-digits", data.DIGITS, data.MNIST_NORMALISATION, train, test)


@pytest.fixture(scope="session")
def objects() -> Dataset:
    """A small data set of built-in objects: 200 to train on, 100 to test on."""
    train, test = (Examples(*part) for part in synthetic.objects(train=200, test=100))
    normalisation = data.TUTORIAL_NORMALISATION
    return Dataset("synthetic-objects", synthetic.OBJECTS, normalisation, train, test)


@pytest.fixture(scope="session")
def short() -> Recipe:
    """Two epochs of batches of 32."""
    return Recipe("short", epochs=2, batch_size=32, lr=0.05, momentum=0.5)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in a worker: sums in another order would change last digits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


Script = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Run a script as a user would: in another folder, with results and figures of its own.

    Their names have spaces.
    """

    def run(name: str, *options: str, cwd: Path = tmp_path) -> subprocess.CompletedProcess:
        folders = [
            "--results-dir",
            tmp_path / "my results",
            "--figures-dir",
            tmp_path / "my figures",
        ]
        return subprocess.run(
            [sys.executable, ROOT / name, *options, *folders],
            cwd=cwd,
            env={key: value for key, value in os.environ.items() if key != "LAB_DATA_DIR"},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def listed(script: ModuleType, capsys: pytest.CaptureFixture, *argv: str) -> list[str]:
    """The designs that a script lists, by name."""
    assert script.main(["--list", *argv]) == 0
    said = capsys.readouterr().out
    return [line.split(":")[0] for line in said.splitlines() if ": " in line and "param" in line]


class Hostile:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], None]]:
    """Make a folder and all in it unwritable, for root too: it becomes somebody else meanwhile."""
    if not hasattr(os, "geteuid"):
        pytest.skip("this system has no such permissions")
    was, changed = os.geteuid(), []

    def protect(folder: Path) -> None:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
            changed.append(path)
        if was == 0:
            os.seteuid(65534)
        if not os.access(folder, os.R_OK, effective_ids=True):
            pytest.skip("another user cannot reach the temporary folder")

    yield protect
    os.seteuid(was)
    for path in changed:
        path.chmod(0o755)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder that another user could reach, its name with a space."""
    with tempfile.TemporaryDirectory(prefix="the lab ") as name:
        yield Path(name)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Start a script, see `processes.launch`; what still runs when the test ends is killed."""
    from processes import launch  # it needs this module

    started = []

    def start(seeds: int, *more: str, folder: Path = tmp_path, **how: object) -> subprocess.Popen:
        started.append(launch(folder, seeds, *more, **how))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a running Dask cluster, which tests share: workers take seconds to start."""
    from distributed import LocalCluster

    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "silence_logs": 60}
    with LocalCluster(n_workers=1, threads_per_worker=1, **options) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="session")
def undisturbed_sweep(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of a sweep that nothing has disturbed, see `processes.finish`."""
    from processes import finish

    folder = tmp_path_factory.mktemp("undisturbed")
    finish(folder)
    return measured(folder / "results")


def heed_signals() -> None:
    """In a child before it starts: ignored signals stay ignored in children.

    Tests that run side by side ignore Ctrl-C, and under nohup all ignore the end of a terminal.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def measured(folder: Path) -> dict[str, str]:
    """Every CSV file of a results folder, without the columns of time and place."""
    place_and_time = ["train_seconds", "seconds", "threads", "device", "torch"]
    return {
        path.name: pd.read_csv(path, dtype=str)
        .drop(columns=place_and_time, errors="ignore")
        .to_csv(index=False)
        for path in sorted(folder.glob("*.csv"))
    }


def add_run(results: Results, run: Run, accuracy: float, **runs_row: float) -> None:
    """Add a run with a given accuracy, without training."""
    parameters, macs = totals(run.design)
    test = {"train_loss": 1.2, "train_accuracy": 0.5, "test_loss": 1.3, "test_accuracy": accuracy}
    run_row = {"parameters": parameters, "macs": macs, **test, "train_seconds": 20.0, "threads": 1}
    run_row |= {"device": "cpu", "torch": "2.6.0", **runs_row}
    epochs = [{"epoch": n + 1, **test, "seconds": 10.0} for n in range(run.recipe.epochs)]
    names = "abcdefghij"
    right = round(1000 * accuracy)
    tables = {
        "runs": [run_row],
        "epochs": epochs,
        "classes": [
            {"class": c, "correct": right, "total": 1000, "accuracy": right / 1000} for c in names
        ],
        "confusion": [
            {"class": c, "predicted": p, "count": right if c == p else (1000 - right) // 9}
            for c in names
            for p in names
        ],
        "variations": [
            {"variation": f"shift-{n}", "test_loss": 1.3, "test_accuracy": accuracy - n / 10}
            for n in range(1, 7)
        ],
        "loss": [{"step": 500, "train_loss": 1.2}],
    }
    results.add(run, {table: tables[table] for table in results.tables})
