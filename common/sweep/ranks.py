"""One sweep on many machines, by PyTorch's own launcher, torchrun.

The processes that torchrun starts are the ranks. Each rank takes the next run from a shared
counter, so fast and slow machines are always busy. It sends its results to rank 0; only rank 0
writes files. The launcher's store contains counter and messages. If a rank dies, the launcher
restarts all ranks (--max-restarts), and the sweep continues from the saved results.
"""

import os
import pickle
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import count

import torch
import torch.distributed as dist

from common import LabError, one_line
from common.data.datasets import Dataset
from common.sweep.workers import Event, events
from common.training.loop import Outcome, Run

PATIENCE = timedelta(days=30)  # no run takes longer
POLL = 0.05  # seconds between two reads of the store: a waiting rank must react to Ctrl-C

# Every sweep and every start of a script has its own part of the store.
_sweeps = count()
_token = uuid.uuid4().hex


def launched() -> bool:
    """Whether torchrun has started this process."""
    return dist.is_available() and dist.is_torchelastic_launched()


def rank() -> int:
    """The number of this process in torchrun's count; 0 without torchrun."""
    return int(os.environ["RANK"]) if launched() else 0


def size() -> int:
    """The number of processes that torchrun has started; 1 without torchrun."""
    return int(os.environ["WORLD_SIZE"]) if launched() else 1


def device_of_rank(device: str) -> str:
    """The accelerator of this rank, by its number on its machine."""
    if launched() and device == "cuda":
        return f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"
    return device


def lead(
    runs: Sequence[Run], missing: Sequence[Run], dataset: Dataset | None, jobs: int, device: str
) -> Iterator[tuple[Run, Event]]:
    """On rank 0: train `missing` with all ranks, and yield the events of all of them.

    Args:
        runs: the runs of the sweep, the same on every rank.
        missing: the runs to train, perhaps none; only rank 0 knows them.
        dataset: the data set; None if no run is missing.
        jobs: number of runs that each rank trains in parallel.
        device: the device of this rank.
    """
    store, part = connect(), f"{_token}/sweep{next(_sweeps)}"
    store.set("leader", _token)
    numbers = {id(run): number for number, run in enumerate(runs)}
    store.set(f"{part}/missing", pickle.dumps([numbers[id(run)] for run in missing]))
    if missing:
        # This rank trains like the others; its messages go through the store too.
        arguments = (connect(), part, runs, missing, dataset, jobs, device)
        threading.Thread(target=work, args=arguments, daemon=True).start()
    ended = 0
    for message in count():
        if ended == len(missing):
            break
        key = f"{part}/event{message}"
        while not store.check([key]):
            time.sleep(POLL)
        number, event = pickle.loads(store.get(key))
        store.delete_key(key)
        if number is None:
            raise LabError(event)
        ended += isinstance(event, Outcome | str)
        yield runs[number], event
    store.set(f"{part}/done", b"")


def help_out(runs: Sequence[Run], load: Callable[[], Dataset], jobs: int, device: str) -> None:
    """On other ranks: train the runs that rank 0 lists as missing, until all have ended.

    After a restart the store may contain old messages: this rank checks the leader repeatedly.
    """
    store, sweep, helped = connect(), next(_sweeps), set()
    while True:
        if store.check(["leader"]):
            part = f"{store.get('leader').decode()}/sweep{sweep}"
            if store.check([f"{part}/done"]):
                return
            if part not in helped and store.check([f"{part}/missing"]):
                helped.add(part)
                missing = [runs[number] for number in pickle.loads(store.get(f"{part}/missing"))]
                if missing:
                    work(store, part, runs, missing, load().share_memory(), jobs, device)
        time.sleep(POLL)


def work(
    store: dist.Store,
    part: str,
    runs: Sequence[Run],
    missing: Sequence[Run],
    dataset: Dataset,
    jobs: int,
    device: str,
) -> None:
    """Train runs that no other rank has taken, and send their events to rank 0."""
    numbers = {id(run): number for number, run in enumerate(runs)}

    def taken() -> Iterator[Run]:
        while part.startswith(store.get("leader").decode()):
            number = store.add(f"{part}/taken", 1) - 1
            if number >= len(missing):
                return
            yield missing[number]

    def send(run: int | None, event: Event) -> None:
        message = store.add(f"{part}/events", 1) - 1
        store.set(f"{part}/event{message}", pickle.dumps((run, event)))

    try:
        for run, event in events(taken(), dataset, jobs, device):
            send(numbers[id(run)], event)
    except Exception as error:  # rank 0 must not wait for a message that never comes
        send(None, f"rank {rank()}: {one_line(error)}")


def connect() -> dist.Store:
    """A new connection to the store: threads with a common connection would wait for each other."""
    store, _, _ = next(dist.rendezvous("env://", timeout=PATIENCE))
    return store
