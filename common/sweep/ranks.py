"""One sweep on many machines, by PyTorch's own launcher, torchrun.

The processes that torchrun starts, the ranks, take the next run from a counter that they share, so
that fast and slow machines stay busy alike, and hand what they measured to rank 0, which alone
writes. Counter and messages lie in the store that the launcher keeps for its ranks. When a rank
dies, the launcher (--max-restarts) starts all anew, and the sweep goes on from what is written.
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
POLL = 0.05  # seconds between two looks into the store: a waiting rank must hear Ctrl-C

# Every sweep of a script, and every start of it, has its own part of the store.
_sweeps = count()
_token = uuid.uuid4().hex


def launched() -> bool:
    """Whether torchrun has started this process."""
    return dist.is_available() and dist.is_torchelastic_launched()


def rank() -> int:
    """The number of this process among those that torchrun has started; 0 without it."""
    return int(os.environ["RANK"]) if launched() else 0


def size() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if launched() else 1


def device_of_rank(device: str) -> str:
    """The accelerator of this rank, by its number on its machine."""
    if launched() and device == "cuda":
        return f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"
    return device


def lead(
    runs: Sequence[Run], missing: Sequence[Run], dataset: Dataset | None, jobs: int, device: str
) -> Iterator[tuple[Run, Event]]:
    """On rank 0: train `missing` with all ranks, and tell what happens on any of them.

    Args:
        runs: those of the sweep, the same on every rank.
        missing: those of them to train, perhaps none; only rank 0 knows.
        dataset: to train on; None if none is missing.
        jobs: runs trained at once by each rank.
        device: of this rank.
    """
    store, part = connect(), f"{_token}/sweep{next(_sweeps)}"
    store.set("leader", _token)
    places = {id(run): place for place, run in enumerate(runs)}
    store.set(f"{part}/missing", pickle.dumps([places[id(run)] for run in missing]))
    if missing:
        # This rank trains as all others do; its messages too come through the store.
        arguments = (connect(), part, runs, missing, dataset, jobs, device)
        threading.Thread(target=work, args=arguments, daemon=True).start()
    ended = 0
    for number in count():
        if ended == len(missing):
            break
        key = f"{part}/event{number}"
        while not store.check([key]):
            time.sleep(POLL)
        place, event = pickle.loads(store.get(key))
        store.delete_key(key)
        if place is None:
            raise LabError(event)
        ended += isinstance(event, Outcome | str)
        yield runs[place], event
    store.set(f"{part}/done", b"")


def help_out(runs: Sequence[Run], load: Callable[[], Dataset], jobs: int, device: str) -> None:
    """On other ranks: train what rank 0 has said is missing, until it has all of it.

    The store may still hold what was said before the launcher started the ranks anew: whoever
    leads now is looked up again and again.
    """
    store, sweep, helped = connect(), next(_sweeps), set()
    while True:
        if store.check(["leader"]):
            part = f"{store.get('leader').decode()}/sweep{sweep}"
            if store.check([f"{part}/done"]):
                return
            if part not in helped and store.check([f"{part}/missing"]):
                helped.add(part)
                missing = [runs[place] for place in pickle.loads(store.get(f"{part}/missing"))]
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
    """Train runs, each the next that no rank has taken, and send rank 0 what happens."""
    places = {id(run): place for place, run in enumerate(runs)}

    def taken() -> Iterator[Run]:
        while part.startswith(store.get("leader").decode()):
            number = store.add(f"{part}/taken", 1) - 1
            if number >= len(missing):
                return
            yield missing[number]

    def send(place: int | None, event: Event) -> None:
        number = store.add(f"{part}/events", 1) - 1
        store.set(f"{part}/event{number}", pickle.dumps((place, event)))

    try:
        for run, event in events(taken(), dataset, jobs, device):
            send(places[id(run)], event)
    except Exception as error:  # whatever it is, rank 0 must not wait for what will not come
        send(None, f"rank {rank()}: {one_line(error)}")


def connect() -> dist.Store:
    """A connection of its own to the store, so that no thread's waiting holds up another's."""
    store, _, _ = next(dist.rendezvous("env://", timeout=PATIENCE))
    return store
