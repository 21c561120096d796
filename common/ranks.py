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
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import count

import torch
import torch.distributed as dist

from common import LabError
from common.data import Dataset
from common.training import Outcome, Run
from common.workers import Event, events

PATIENCE = timedelta(days=30)  # no run takes longer
POLL = 0.05  # seconds between two looks into the store: a waiting rank must hear Ctrl-C

_sweeps = count()  # every sweep of a script has its own part of the store


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
    part = f"sweep{next(_sweeps)}"
    store = connect(part)
    places = {id(run): place for place, run in enumerate(runs)}
    store.set("missing", pickle.dumps([places[id(run)] for run in missing]))
    if missing:
        # This rank trains as all others do; its messages too come through the store.
        arguments = (connect(part), runs, missing, dataset, jobs, device)
        threading.Thread(target=work, args=arguments, daemon=True).start()
    ended = 0
    for number in count():
        if ended == len(missing):
            break
        place, event = pickle.loads(wait_for(store, f"event{number}"))
        store.delete_key(f"event{number}")
        if place is None:
            raise LabError(event)
        ended += isinstance(event, Outcome | str)
        yield runs[place], event
    store.set("done", b"")


def help_out(runs: Sequence[Run], load: Callable[[], Dataset], jobs: int, device: str) -> None:
    """On other ranks: train what rank 0 has said is missing, until it has all of it."""
    store = connect(f"sweep{next(_sweeps)}")
    missing = [runs[place] for place in pickle.loads(wait_for(store, "missing"))]
    if missing:
        work(store, runs, missing, load().share_memory(), jobs, device)
    wait_for(store, "done")


def work(
    store: dist.Store,
    runs: Sequence[Run],
    missing: Sequence[Run],
    dataset: Dataset,
    jobs: int,
    device: str,
) -> None:
    """Train runs, each the next that no rank has taken, and send rank 0 what happens."""
    places = {id(run): place for place, run in enumerate(runs)}

    def taken() -> Iterator[Run]:
        while (number := store.add("taken", 1) - 1) < len(missing):
            yield missing[number]

    def send(place: int | None, event: Event) -> None:
        number = store.add("events", 1) - 1
        store.set(f"event{number}", pickle.dumps((place, event)))

    try:
        for run, event in events(taken(), dataset, jobs, device):
            send(places[id(run)], event)
    except Exception as error:  # whatever it is, rank 0 must not wait for what will not come
        send(None, f"rank {rank()}: {type(error).__name__}: {error}")


def connect(part: str) -> dist.Store:
    """A connection of its own to the store, so that no thread's waiting holds up another's."""
    store, _, _ = next(dist.rendezvous("env://", timeout=PATIENCE))
    return dist.PrefixStore(part, store)


def wait_for(store: dist.Store, key: str) -> bytes:
    """The value of a key, once there is one."""
    while not store.check([key]):
        time.sleep(POLL)
    return store.get(key)
