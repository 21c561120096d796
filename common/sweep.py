"""Runs in, results out: train what is missing, several at a time, and write each when it is done.

Every run is trained in a worker process with one thread, so that its numbers do not depend on how
many are trained at once. The data set lies in shared memory, once. Only the parent writes.
"""

import pickle
import platform
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection, wait

import torch
from torch import multiprocessing, nn
from tqdm import tqdm

from common import LabError
from common.data import Dataset
from common.models import Design, layer_table
from common.results import TRAINING_KEY, Key, Results, save_weights
from common.training import Epoch, Outcome, Recipe, train

LOSS_WINDOW = 500  # training steps that a row of the loss table is the mean of


@dataclass(frozen=True)
class Run:
    """What is trained, stored and resumed as one."""

    design: Design
    recipe: Recipe
    dataset: str
    seed: int

    def __str__(self) -> str:
        return f"{self.design.name} seed {self.seed}"

    @property
    def key(self) -> Key:
        """The run's key columns."""
        recipe = self.recipe
        return (
            *(self.dataset, self.design.name, *self.design.columns.values()),
            *(recipe.name, recipe.epochs, recipe.batch_size, recipe.lr, recipe.momentum),
            self.seed,
        )


def sweep(
    runs: Sequence[Run],
    results: Results,
    load: Callable[[], Dataset],
    jobs: int,
    device: str = "cpu",
    fresh: bool = False,
) -> list[Run]:
    """Train the runs that `results` lacks, or all of them if `fresh`, and add each when done.

    Args:
        runs: all on the data set that `load` gives; it is called only if there is a run to train.
        results: where the runs go; the weights of seed 0 are saved beside them.
        load: gives the data set, on the CPU.
        jobs: runs trained at once, each in a process of its own.
        device: what they are trained on.

    Returns:
        The runs that failed; each was named on stderr.

    Raises:
        LabError: the data or the result files are not usable.
    """
    missing = [run for run in runs if fresh or run.key not in results]
    if not missing:
        return []
    results.check_writable()
    designs = {run.key[1 : -len(TRAINING_KEY)]: run.design for run in runs}
    results.add_layers({name: layer_table(design) for name, design in designs.items()})
    dataset = load().share_memory()
    print(f"{len(missing)} of {len(runs)} runs to train, {min(jobs, len(missing))} at once")
    total = sum(run.recipe.epochs for run in missing)
    failed, done, in_progress = [], 0, []
    # disable=None: no bar where the output is no terminal; there the lines below are enough.
    with tqdm(total=total, unit="epoch", disable=None, dynamic_ncols=True, leave=False) as bar:
        for run, event in events(missing, dataset, jobs, device):
            if event is None:
                in_progress.append(run)
            elif isinstance(event, Epoch):
                bar.update()
            else:
                in_progress.remove(run)
                done += 1
            more = f" +{len(in_progress) - 2}" if len(in_progress) > 2 else ""
            bar.set_postfix_str(", ".join(map(str, in_progress[:2])) + more)
            if isinstance(event, Outcome):
                if run.seed == 0:
                    save_weights(results.weights_path(run.key), event.weights)
                results.add(run.key, tables(run, event, dataset.classes, device))
                bar.write(
                    f"[{done}/{len(missing)}] {run}: {100 * event.test.accuracy:.2f} % "
                    f"in {event.train_seconds:.0f} s"
                )
                sys.stdout.flush()
            elif isinstance(event, str):
                failed.append(run)
                bar.write(f"[{done}/{len(missing)}] {run} failed: {event}", file=sys.stderr)
    return failed


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


def tables(
    run: Run, outcome: Outcome, classes: Sequence[str], device: str
) -> dict[str, list[tuple]]:
    """The rows of a finished run, without the key, for every table of `results.TABLES`."""
    last, confusion = outcome.epochs[-1], outcome.test.confusion
    correct, total = confusion.diagonal().tolist(), confusion.sum(1).tolist()
    losses = outcome.step_losses.split(LOSS_WINDOW)
    ends = [*range(LOSS_WINDOW, len(outcome.step_losses), LOSS_WINDOW), len(outcome.step_losses)]
    return {
        "runs": [
            (
                *size(run.design),
                *(last.train_loss, last.train_accuracy, last.test_loss, last.test_accuracy),
                *(outcome.train_seconds, 1, place(device), torch.__version__),
            )
        ],
        "epochs": [
            (
                *(number, epoch.train_loss, epoch.train_accuracy),
                *(epoch.test_loss, epoch.test_accuracy, epoch.seconds),
            )
            for number, epoch in enumerate(outcome.epochs, start=1)
        ],
        "classes": [
            (name, correct[i], total[i], correct[i] / total[i]) for i, name in enumerate(classes)
        ],
        "confusion": [
            (name, other, confusion[i, j].item())
            for i, name in enumerate(classes)
            for j, other in enumerate(classes)
        ],
        "loss": [
            (end, window.double().mean().item()) for end, window in zip(ends, losses, strict=True)
        ],
    }


def trained(run: Run, results: Results) -> nn.Module:
    """The network of a run, on the CPU, with the weights that the run ended with.

    Raises:
        LabError: they were not saved (only those of seed 0 are), or are not of this design.
    """
    path = results.weights_path(run.key)
    model = run.design.build()
    try:
        model.load_state_dict(torch.load(path, weights_only=True))
    except FileNotFoundError as error:
        raise LabError(f"no weights of {run} in {path.parent}: --fresh makes them") from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError) as error:
        raise LabError(f"{path} does not hold weights of {run}: delete it, use --fresh") from error
    return model


def size(design: Design) -> tuple[int, int]:
    """Parameters and multiply-accumulates of a design."""
    layers = layer_table(design)
    return sum(layer.parameters for layer in layers), sum(layer.macs for layer in layers)


@cache
def place(device: str) -> str:
    """The device's kind and type: `cpu AVX512`. Other types may round the last digits otherwise."""
    if device == "cuda":
        return f"cuda {torch.cuda.get_device_name()}"
    detail = torch.backends.cpu.get_cpu_capability() if device == "cpu" else platform.machine()
    return f"{device} {detail}"
