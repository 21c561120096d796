"""Sweeps on a running Dask cluster, on loopback: real schedulers and workers, really killed."""

import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch
from conftest import ROOT, heed_signals, measured
from distributed import Client, Security
from processes import SAID, SEEDS, Start, assert_group_ends, finish, kill, options, wait_for_line
from torch import nn

import part2_mlp
from common import LabError
from common.models.design import Design
from common.models.networks import MLP
from common.sweep.cluster import connection, events
from common.sweep.sweep import Engine
from common.training.fingerprint import versions
from common.training.loop import Epoch, Outcome, Run
from common.training.recipes import Recipe

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

DATA = "synthetic-digits-1-percent"
HEAVY = ("pandas", "matplotlib", "scipy")
ENDED = "error: the Dask scheduler has ended; the same command, without --fresh, carries on\n"


class Dask:
    """A scheduler in a process of its own, and workers, started as README says."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder, self.file = folder, folder / "scheduler.json"
        self.processes: list[subprocess.Popen] = []
        options = ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"]
        self.scheduler = self.launch("scheduler", *options, **environment)
        self.address = wait_for_line(self.scheduler, "Scheduler at:").split()[-1]

    def launch(self, what: str, *options: str, **environment: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", what, "--scheduler-file", str(self.file), *options],
            cwd=environment.pop("cwd", ROOT),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=heed_signals,
            env={**os.environ, **environment},
        )
        self.processes.append(process)
        return process

    def worker(self, *options: str, **environment: str) -> subprocess.Popen:
        """A worker with a nanny, when it is connected."""
        process = self.launch("worker", "--nthreads", "1", *options, **environment)
        wait_for_line(process, "Starting established connection")
        return process

    def close(self) -> None:
        for process in reversed(self.processes):
            for member in [psutil.Process(process.pid), *children(process)]:
                kill(member)
            process.communicate()


def children(process: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def trainer(worker: subprocess.Popen) -> psutil.Process:
    """The process of a worker that trains; its parent is the nanny."""
    return next(c for c in children(worker) if any("spawn_main" in word for word in c.cmdline()))


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    dask = Dask(tmp_path)
    yield dask
    dask.close()


def runs(recipe: Recipe, seeds: int = 1, build: Callable[[], nn.Module] = MLP) -> list[Run]:
    return [Run(Design("mlp", build), recipe, DATA, seed) for seed in range(seeds)]


def test_more_workers_than_runs(short: Recipe) -> None:
    happenings = [event for _, event in events(runs(short), Engine(ROOT / "data", jobs=3))]
    assert list(map(type, happenings)) == [type(None), Epoch, Epoch, Outcome]


def test_a_deleted_mapped_file_is_written_again(
    short: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.sweep.cluster.mapped_file", lambda *_: tmp_path / "deleted.pt")
    *_, (_, last) = events(runs(short), Engine(ROOT / "data"))
    assert isinstance(last, Outcome)


def test_workers_are_light_and_private(short: Recipe) -> None:
    """No pandas; on loopback only; no client without the keys of the cluster."""
    with connection(Engine(ROOT / "data", jobs=1)) as client:
        address = client.cluster.scheduler_address
        client.run(import_module, "common.sweep.task")
        loaded = client.run(lambda: [name for name in HEAVY if name in sys.modules])
        assert list(loaded.values()) == [[]]
        pids = [os.getpid(), *client.run(os.getpid).values()]
        sockets = [c for pid in pids for c in psutil.Process(pid).net_connections("inet")]
        listening = [c.laddr for c in sockets if c.status == psutil.CONN_LISTEN]
        assert {own.ip for own in listening} == {"127.0.0.1"}
        assert 8787 not in {own.port for own in listening}  # Dask's dashboard
        others = {address: Security.temporary(), address.replace("tls:", "tcp:"): None}
        for url, security in others.items():
            with pytest.raises(OSError):
                Client(url, security=security, timeout=3, set_as_default=False)


@pytest.fixture(scope="module")
def small_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a complete sweep."""
    folder = tmp_path_factory.mktemp("complete")
    finish(folder)
    return folder


def test_without_training_dask_is_not_imported(small_sweep: Path) -> None:
    code = "import sys, part2_mlp"
    for option in ([], ["--plot-only"], ["--list"], ["--evaluate"]):
        code += f"\nstatus = part2_mlp.main({[*options(small_sweep), *option]})"
        code += "\nprint(status, 'dask' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines().count("0 False") == 4, done.stdout + done.stderr


@pytest.mark.parametrize("what", ["Python", "torch", "code"])
def test_a_worker_with_other_versions_is_refused_by_name(
    what: str, cluster: str, short: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script claims to have another version than the worker."""
    others = {**versions(), what: "0.1"}
    differ = rf"worker \d+ has {what} {re.escape(versions()[what])}, the script has 0.1"
    monkeypatch.setattr("common.sweep.cluster.versions", lambda: others)
    with pytest.raises(LabError, match=differ):
        list(events(runs(short), Engine(ROOT / "data", cluster=cluster)))


def test_a_run_goes_to_a_worker_with_the_same_code(dask: Dask, tmp_path: Path) -> None:
    """The first worker has other code: a copy of the repository with an edited loop."""
    copy = shutil.copytree(ROOT / "common", tmp_path / "copy" / "common").parent
    with open(copy / "common" / "training" / "loop.py", "a") as file:
        file.write("# an edit\n")
    dask.worker("--name", "edited", cwd=copy)
    dask.worker("--name", "same")
    finish(tmp_path, "--cluster", str(dask.file))
    assert len(pd.read_csv(tmp_path / "results" / "part2_mlp.csv")) == 2 * SEEDS


def test_a_worker_without_data_is_named(
    dask: Dask, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    empty = tmp_path / "empty"
    empty.touch()  # nothing can be downloaded to it
    dask.worker("--name", "far-away", LAB_DATA_DIR=str(empty))
    argv = [option for option in options(tmp_path, 1) if option != "--synthetic"]
    assert part2_mlp.main([*argv, "--cluster", dask.address]) == 1
    err = capsys.readouterr().err
    assert re.search(r"\[1/2\] 30 seed 0 failed: worker far-away: MNIST is not in ", err), err


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tls://127.0.0.1:1"])
def test_no_scheduler_is_one_line(
    address: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("common.sweep.cluster.PATIENCE", 1)
    assert part2_mlp.main([*options(tmp_path), "--cluster", address]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"error: no Dask scheduler answers at {address} (")
    assert err.count("\n") == 1


@pytest.mark.faults
@pytest.mark.parametrize("workers", [2, 3])
def test_a_cluster_ends_at_the_same_files(
    workers: int, dask: Dask, tmp_path: Path, undisturbed_sweep: dict[str, str]
) -> None:
    for _ in range(workers):
        dask.worker()
    finish(tmp_path, "--cluster", dask.address)
    assert measured(tmp_path / "results") == undisturbed_sweep


@pytest.mark.faults
def test_workers_join_and_leave(
    dask: Dask, tmp_path: Path, start: Start, undisturbed_sweep: dict[str, str]
) -> None:
    """The script starts without a worker; one joins, a second joins, the first leaves."""
    process = start(SEEDS, "--cluster", dask.address)
    wait_for_line(process, "waiting for workers")
    first = dask.worker()
    wait_for_line(process, "[1/6]")
    dask.worker()
    wait_for_line(process, "[2/6]")
    first.terminate()
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, out + err
    assert measured(tmp_path / "results") == undisturbed_sweep


@pytest.mark.faults
def test_a_killed_scheduler_is_one_line_and_loses_nothing(
    dask: Dask, tmp_path: Path, start: Start, undisturbed_sweep: dict[str, str]
) -> None:
    dask.worker()
    process = start(50, "--cluster", dask.address)
    wait_for_line(process, "[1/")
    dask.scheduler.kill()
    out, err = process.communicate(timeout=100)
    assert process.returncode == 1
    assert err == ENDED
    saved = len(pd.read_csv(tmp_path / "results" / "part2_mlp.csv"))
    assert saved == 1 + out.count(" % in ")
    assert_group_ends(process.pid)


@pytest.mark.faults
def test_a_hanging_worker_is_replaced(tmp_path: Path, undisturbed_sweep: dict[str, str]) -> None:
    """After the time that Dask's setting names, here three seconds."""
    dask = Dask(tmp_path, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="3s")
    try:
        hanging = dask.worker()
        trainer(hanging).suspend()
        dask.worker()
        finish(tmp_path, "--cluster", dask.address)
    finally:
        dask.close()
    assert measured(tmp_path / "results") == undisturbed_sweep


def hungry() -> nn.Module:
    """A network that needs more memory than the worker may use."""
    if multiprocessing.parent_process():
        memory = torch.ones(2**30)  # 4 GiB
        multiprocessing.parent_process().join(60 + memory[0].item())  # it ends this process
    return MLP()


@pytest.mark.faults
def test_a_run_that_needs_too_much_memory_is_named(dask: Dask, short: Recipe) -> None:
    dask.worker("--memory-limit", "1 GiB", PYTHONPATH=str(ROOT / "tests"))
    engine = Engine(ROOT / "data", cluster=dask.address)
    asked = [*runs(short, build=hungry), *runs(short)]
    happened = [(run.design.build, event) for run, event in events(asked, engine)]
    starts = Counter(build for build, event in happened if event is None)
    results = dict(happened)
    assert starts[hungry] == 3
    assert results[hungry] == "its worker died each time (killed, perhaps because memory was full)"
    assert isinstance(results[MLP], Outcome)


@pytest.mark.faults
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_an_interrupted_script_cancels_its_runs_on_a_cluster(
    name: str, dask: Dask, start: Start
) -> None:
    """Within an epoch the cluster has no task left, and its workers live on."""
    worker = dask.worker()
    before = trainer(worker).pid
    process = start(50, "--cluster", dask.address)
    wait_for_line(process, "[1/")
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=30)
    if name != "SIGKILL":
        assert (process.returncode, err) == (130, SAID)
    with Client(dask.address, set_as_default=False) as client:
        client.submit(os.getpid, pure=False).result(timeout=60)  # the worker is free again
        topics = client.get_events().items()
        started = [e for topic, es in topics if topic.startswith("lab-") for _, e in es if not e[1]]
    assert 2 <= len(started) < 50  # of 100 runs
    assert trainer(worker).pid == before
