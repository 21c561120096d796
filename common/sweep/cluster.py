"""Train runs as tasks of Dask (https://distributed.dask.org), on this machine or on a cluster."""

import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import ModuleType
from uuid import uuid4

import cloudpickle
import dask
from distributed import Client, Future, KilledWorker, LocalCluster, Security

from common import LabError, interrupts, one_line
from common.data.mapped import mapped_file
from common.sweep.sweep import Engine, Event
from common.sweep.task import Job, Refusal, train_task
from common.training.fingerprint import versions
from common.training.loop import Epoch, Run

SILENT = logging.CRITICAL + 1  # a level of messages that Dask does not have
PATIENCE = 10  # seconds to wait for a scheduler
TRIES = 3  # of a run whose worker dies
DIED = "its worker died each time (killed, perhaps because memory was full)"
ENDED = "the Dask scheduler has ended; the same command, without --fresh, carries on"
STOP = -1  # instead of a run's number in a message
LOCAL = {
    "distributed.scheduler.allowed-failures": TRIES - 1,
    "distributed.scheduler.worker-saturation": 1.0,  # no second run waits on a worker
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}


def events(runs: Sequence[Run], engine: Engine) -> Iterator[tuple[Run, Event]]:
    """Train runs, and yield each event with its run. If the caller stops, all runs are cancelled.

    Raises:
        LabError: the data or the cluster is not usable.
    """
    data, names = (engine.data_dir, engine.shifts), {run.dataset for run in runs}
    files = {} if engine.cluster else {name: mapped_file(name, *data) for name in names}
    job = Job(f"lab-{uuid4().hex}", versions(), files, *data, engine.device)
    messages: SimpleQueue[tuple[int, Future | list | None]] = SimpleQueue()
    unfinished, starts, tries = set(range(len(runs))), Counter(), Counter()
    refusing: set[str] = set()  # addresses of workers

    def submit(number: int, workers: Sequence[str] | None = None) -> None:
        tries[number] += 1
        run, key = runs[number], (job.topic, number, tries[number])
        arguments = (number, cloudpickle.dumps(run), run.fingerprint, job)
        # Other workers too: those that are named here may die.
        where = {"workers": workers, "allow_other_workers": workers is not None}
        future = client.submit(train_task, *arguments, key=key, pure=False, **where)
        future.add_done_callback(lambda future: messages.put((number, future)))

    # An exception inside Dask's code could be lost there: a signal becomes a message.
    stop = interrupts.handled(lambda *_: messages.put((STOP, None)), "SIGINT", "SIGTERM", "SIGHUP")
    with stop, connection(engine) as client:
        client.subscribe_topic(job.topic, lambda event: messages.put(event[1]))
        for number in range(len(runs)):
            submit(number)
        while unfinished:
            try:
                number, content = messages.get(timeout=1)  # Windows cannot interrupt a longer wait
            except Empty:
                continue
            if number == STOP:
                raise KeyboardInterrupt
            if number not in unfinished:
                continue  # an epoch's message after the end of its run
            if not isinstance(content, Future):
                starts[number] += content is None
                if starts[number] > TRIES:  # a cluster's own setting may allow more
                    Future((job.topic, number, tries[number]), client).cancel()
                else:
                    yield runs[number], None if content is None else Epoch(*content)
                continue
            if content.cancelled() and starts[number] <= TRIES:
                raise LabError(ENDED)
            error = content.exception()
            if isinstance(error, Refusal):
                reason, address = error.args
                refusing.add(address)
                if not (others := list(client.nthreads().keys() - refusing)):
                    raise LabError(reason)
                submit(number, others)
            elif isinstance(error, KilledWorker) and max(starts[number], tries[number]) < TRIES:
                submit(number)  # Dask also counts deaths of a worker with another run
            else:
                unfinished.remove(number)
                died = isinstance(error, KilledWorker) or content.cancelled()
                failure = DIED if died else error and one_line(error)
                yield runs[number], failure or content.result()


@contextmanager
def connection(engine: Engine) -> Iterator[Client]:
    """A connection to the cluster of `engine`, or to a new cluster of processes on this machine.

    Who can connect to a scheduler can run code: a new cluster accepts only its own temporary keys.
    """
    for name in logging.root.manager.loggerDict:
        if name.startswith(("distributed", "tornado", "asyncio")):
            logging.getLogger(name).setLevel(SILENT)
    if engine.cluster:
        kind = "scheduler_file" if os.path.isfile(engine.cluster) else "address"
        try:
            client = Client(**{kind: engine.cluster}, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:  # TypeError: tls without keys
            problem = f"no Dask scheduler answers at {engine.cluster} ({one_line(error)})"
            raise LabError(f"{problem}; 'dask scheduler' starts one") from error
        with client:
            if not client.nthreads():
                print("waiting for workers: README.txt, section 6, starts some", flush=True)
            yield client
        return
    # New processes would import the script, and with it pandas and matplotlib: hide it.
    script, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        try:
            with interrupts.blocked(), dask.config.set(LOCAL):
                cluster = LocalCluster(
                    n_workers=engine.jobs,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    security=Security.temporary(),
                    silence_logs=SILENT,
                    scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                )
                client = Client(cluster, set_as_default=False)
        except RuntimeError as error:
            raise LabError("a worker was killed while it started: try again") from error
        with cluster, client:
            yield client
    finally:
        sys.modules["__main__"] = script
