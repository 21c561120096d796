"""Worker processes that train runs in parallel; cores and devices of this machine.

Every run has one thread, so its numbers do not depend on the number of parallel runs. The data set
is in shared memory: all workers use one copy.
"""

import math
import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path

import torch
from torch import multiprocessing

from common import LabError, one_line
from common.data.datasets import Dataset
from common.training.loop import Epoch, Outcome, Run, train

Event = Epoch | Outcome | str | None  # end of an epoch, end of a run, error message, start of a run


def events(
    runs: Iterable[Run], dataset: Dataset, jobs: int, device: str
) -> Iterator[tuple[Run, Event]]:
    """Train `runs`, `jobs` at a time in spawned processes, and yield each event with its run.

    A free process takes the next run from `runs`. If a process dies, only its own run fails. If the
    caller stops early, the processes are killed.
    """
    waiting = iter(runs)
    busy: dict[Connection, tuple[multiprocessing.Process, Run]] = {}
    more = True
    try:
        while more or busy:
            while more and len(busy) < jobs:
                run = next(waiting, None)
                if more := run is not None:
                    connection, process = spawn(work, dataset, device)
                    yield hand_out(run, connection, process, busy)
            for connection in wait(list(busy)):
                process, run = busy[connection]
                try:
                    event = pickle.loads(connection.recv_bytes())
                except (EOFError, OSError):
                    del busy[connection]
                    process.join()
                    yield run, f"its process ended {ending(process.exitcode)}"
                    continue
                if not isinstance(event, Epoch):
                    del busy[connection]
                if isinstance(event, str):
                    connection.close()  # ends the process: the failure may have damaged it
                elif isinstance(event, Outcome):
                    # Send the next run first: the process must not wait for the writer.
                    following = next(waiting, None)
                    if following is None:
                        more = False
                        connection.close()  # which ends the process
                    else:
                        yield hand_out(following, connection, process, busy)
                yield run, event
    finally:
        for process, _ in busy.values():
            process.kill()
        for process, _ in busy.values():
            process.join()


def spawn(
    target: Callable[..., None], *arguments: object
) -> tuple[Connection, multiprocessing.Process]:
    """A new process of `target(connection, *arguments)`, and the connection to it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    # Ctrl-C in a terminal also reaches children. A child that is still importing would print a
    # traceback. So children start with this signal blocked, and this process ends them.
    mask = getattr(signal, "pthread_sigmask", lambda *_: None)  # Windows has none
    mask(getattr(signal, "SIG_BLOCK", 0), {signal.SIGINT})
    try:
        process.start()
    finally:
        mask(getattr(signal, "SIG_UNBLOCK", 0), {signal.SIGINT})
    theirs.close()
    return ours, process


def hand_out(
    run: Run,
    connection: Connection,
    process: multiprocessing.Process,
    busy: dict[Connection, tuple[multiprocessing.Process, Run]],
) -> tuple[Run, None]:
    """Send a run to a process; returns the run's start event."""
    busy[connection] = (process, run)
    with suppress(OSError):  # the process is dead: the next read detects this
        connection.send(run)
    return run, None


def work(connection: Connection, dataset: Dataset, device: str) -> None:
    """Train the runs that arrive, until the parent closes the connection or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Windows children do not inherit blocked signals
    torch.set_num_threads(1)

    def send(event: Event) -> None:
        # Plain pickle sends tensors by value: a shared tensor could outlive this process.
        connection.send_bytes(pickle.dumps(event))

    on_device = None
    with suppress(EOFError, OSError):
        while True:
            run = connection.recv()
            try:
                on_device = on_device or dataset.to(device)
                outcome = train(run, on_device, on_epoch=send)
            except OSError:
                raise  # the parent has ended
            except Exception as error:  # any error fails only this run
                send(one_line(error))
            else:
                send(outcome)


def ending(exitcode: int | None) -> str:
    """How a process ended, in words."""
    if exitcode is not None and exitcode < 0:
        return f"by {signal.Signals(-exitcode).name} (killed, perhaps because memory was full)"
    return f"with exit code {exitcode}"


def cores(control_groups: Path = Path("/sys/fs/cgroup")) -> int:
    """The CPU cores that this process may use, also in a container with a quota."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, int(min(count, quota(control_groups))))


def quota(folder: Path) -> float:
    """The cores that a container may use by its control group (version 2 or 1), or infinity."""
    with suppress(OSError, ValueError):
        limit, period = (folder / "cpu.max").read_text().split()
        return math.inf if limit == "max" else int(limit) / int(period)
    with suppress(OSError, ValueError):
        limit = int((folder / "cpu" / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu" / "cpu.cfs_period_us").read_text())
        return math.inf if limit < 0 else limit / period
    return math.inf


def available(device: str) -> str:
    """The device to train on; LabError if this machine does not have it."""
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return next(name for name, is_there in there.items() if is_there)
    if not there[device]:
        raise LabError(f"no {device} device is available here; use --device cpu, or auto")
    return device
