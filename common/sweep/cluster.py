"""Train runs as tasks of Dask (https://distributed.dask.org), on this machine or on a cluster.

Dask hands out the tasks. It notices when a worker dies, and gives its run to another worker.
"""

import logging
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from queue import Empty, SimpleQueue
from types import ModuleType
from uuid import uuid4

import cloudpickle
import dask
from distributed import Client, Future, KilledWorker, LocalCluster, Security

from common import LabError, one_line
from common.data.mapped import mapped_file
from common.sweep.engine import Engine, Event
from common.sweep.task import Job, Refusal, train_task
from common.training.fingerprint import versions
from common.training.loop import Epoch, Run

SILENT = logging.CRITICAL + 1  # a level of messages that Dask does not have
PATIENCE = 10  # seconds to wait for a scheduler
TRIES = 3  # of a run whose worker dies
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
    files = {}
    if not engine.cluster:
        names = {run.dataset for run in runs}
        files = {name: mapped_file(name, engine.data_dir, engine.shifts) for name in names}
    job = Job(f"lab-{uuid4().hex}", versions(), files, engine)
    messages: SimpleQueue[tuple[int, Future | list | None]] = SimpleQueue()
    waiting, starts, tries = dict(enumerate(runs)), Counter(), Counter()
    refusing: set[str] = set()  # addresses of workers

    def submit(number: int, workers: Sequence[str] | None = None) -> None:
        tries[number] += 1
        run, key = runs[number], (job.topic, number, tries[number])
        arguments = (number, cloudpickle.dumps(run), run.fingerprint, job)
        # Other workers too: those that are named here may die.
        where = {"workers": workers, "allow_other_workers": workers is not None}
        future = client.submit(train_task, *arguments, key=key, pure=False, **where)
        future.add_done_callback(lambda future: messages.put((number, future)))

    with interrupts_as_messages(messages), connection(engine) as client:
        client.subscribe_topic(job.topic, lambda event: messages.put(event[1]))
        for number in waiting:
            submit(number)
        while waiting:
            try:
                number, content = messages.get(timeout=1)  # Windows cannot interrupt a longer wait
            except Empty:
                continue
            if number == STOP:
                raise KeyboardInterrupt
            if number not in waiting:
                continue  # an epoch's message after the end of its run
            run = runs[number]
            if not isinstance(content, Future):
                starts[number] += content is None
                yield run, content and Epoch(*content)
                continue
            if content.cancelled():
                message = "the Dask scheduler has ended; the same command, without --fresh"
                raise LabError(f"{message}, carries on")
            error = content.exception()
            result = content.result() if error is None else one_line(error)
            if isinstance(error, KilledWorker):
                if starts[number] < TRIES and tries[number] < TRIES:
                    submit(number)  # it only waited on workers that died
                    continue
                result = "its worker died each time (killed, perhaps because memory was full)"
            if isinstance(result, Refusal):
                refusing.add(result.worker)
                others = [worker for worker in client.nthreads() if worker not in refusing]
                if not others:
                    raise LabError(result.reason)
                submit(number, others)
                continue
            del waiting[number]
            yield run, result


@contextmanager
def connection(engine: Engine) -> Iterator[Client]:
    """A connection to the cluster of `engine`, or to a new cluster of processes on this machine.

    Who can connect to a scheduler can run code. A new cluster accepts only connections with its own
    temporary keys.
    """
    for name in logging.root.manager.loggerDict:
        if name.startswith(("distributed", "tornado", "asyncio")):
            logging.getLogger(name).setLevel(SILENT)
    with ExitStack() as stack:
        enter = stack.enter_context
        if engine.cluster:
            kind = "scheduler_file" if os.path.isfile(engine.cluster) else "address"
            try:
                options = {kind: engine.cluster, "timeout": PATIENCE, "set_as_default": False}
                client = enter(Client(**options))
            except (OSError, ValueError, TypeError) as error:  # TypeError: tls without keys
                message = f"no Dask scheduler answers at {engine.cluster} ({one_line(error)})"
                raise LabError(f"{message}; 'dask scheduler' starts one") from error
            if not client.nthreads():
                print(f"waiting for workers: 'dask worker {engine.cluster}' starts one", flush=True)
        else:
            security = Security.temporary()
            enter(without_script())
            with blocked_interrupts(), dask.config.set(LOCAL):
                cluster = LocalCluster(
                    n_workers=engine.jobs,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    security=security,
                    silence_logs=SILENT,
                    scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                )
                client = enter(Client(enter(cluster), security=security, set_as_default=False))
        yield client


@contextmanager
def interrupts_as_messages(messages: SimpleQueue) -> Iterator[None]:
    """Ctrl-C and SIGTERM become messages: an exception inside Dask's code could be lost there."""
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
        handlers = {n: signal.getsignal(n) for n in numbers if n and callable(signal.getsignal(n))}
    for number in handlers:
        signal.signal(number, lambda *_: messages.put((STOP, None)))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def blocked_interrupts() -> Iterator[None]:
    """Threads and processes that start here ignore Ctrl-C, which a terminal sends to all."""
    resource_tracker.ensure_running()  # the start of this process unblocks signals
    mask = getattr(signal, "pthread_sigmask", lambda *_: None)  # Windows has none
    mask(getattr(signal, "SIG_BLOCK", 0), {signal.SIGINT})
    try:
        yield
    finally:
        mask(getattr(signal, "SIG_UNBLOCK", 0), {signal.SIGINT})


@contextmanager
def without_script() -> Iterator[None]:
    """Hide the script from new processes: they would import it, with pandas and matplotlib."""
    script, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script
