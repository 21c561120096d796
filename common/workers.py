"""Train runs in worker processes, several at a time.

Every run has one thread, so that its numbers do not depend on how many are trained at once. The
data set is handed over in shared memory: it is held once, not once a worker.
"""

import pickle
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait

import torch
from torch import multiprocessing

from common.data import Dataset
from common.training import Epoch, Outcome, Run, train

Event = Epoch | Outcome | str | None  # an epoch done, run done, run failed and why, run begun


def events(
    runs: Sequence[Run], dataset: Dataset, jobs: int, device: str
) -> Iterator[tuple[Run, Event]]:
    """Train `runs`, `jobs` at a time in spawned processes, and tell what happens as it happens.

    A process that dies fails the run it was at, and no other. When the caller stops early, for
    whatever reason, the processes are ended.
    """
    context = multiprocessing.get_context("spawn")
    waiting = deque(runs)
    busy: dict[Connection, tuple[multiprocessing.Process, Run]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < jobs:
                ours, theirs = context.Pipe()
                process = context.Process(target=work, args=(theirs, dataset, device), daemon=True)
                process.start()
                theirs.close()
                yield from hand_out(waiting, ours, process, busy)
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
                    # The next run first, so that its process need not wait for the writer.
                    yield from hand_out(waiting, connection, process, busy)
                yield run, event
    finally:
        for process, _ in busy.values():
            process.kill()
        for process, _ in busy.values():
            process.join()


def hand_out(
    waiting: deque[Run],
    connection: Connection,
    process: multiprocessing.Process,
    busy: dict[Connection, tuple[multiprocessing.Process, Run]],
) -> Iterator[tuple[Run, None]]:
    """Send the next waiting run to a process; without one, close the connection, which ends it."""
    if not waiting:
        connection.close()
        return
    run = waiting.popleft()
    busy[connection] = (process, run)
    with suppress(OSError):  # it has died: reading from it will tell
        connection.send(run)
    yield run, None


def work(connection: Connection, dataset: Dataset, device: str) -> None:
    """Train the runs that arrive, until the parent closes the connection or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    torch.set_num_threads(1)
    dataset = dataset.to(device)

    def send(event: Event) -> None:
        # Plain pickle sends tensors by value: a shared one could outlive this process.
        connection.send_bytes(pickle.dumps(event))

    with suppress(EOFError, OSError):
        while True:
            run = connection.recv()
            try:
                send(train(run.design.build, dataset, run.recipe, run.seed, on_epoch=send))
            except (RuntimeError, MemoryError) as error:
                send(str(error).splitlines()[0] if str(error) else type(error).__name__)


def ending(exitcode: int | None) -> str:
    """How a process ended, in words."""
    if exitcode is not None and exitcode < 0:
        return f"by {signal.Signals(-exitcode).name} (killed, perhaps for want of memory)"
    return f"with exit code {exitcode}"
