"""Train missing runs in parallel, and save each run when it is finished.

Worker processes train. Only the process that calls `sweep` writes files.
"""

import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from tqdm import tqdm

from common import LabError
from common.data.datasets import Dataset
from common.models.design import totals
from common.results.columns import Value
from common.results.files import save_weights
from common.results.store import Results
from common.sweep import ranks
from common.sweep.workers import Event, events
from common.training.loop import Epoch, Outcome, Run

# Errors from a file with other weights, with a part of the weights, or with other content.
NOT_WEIGHTS = (
    RuntimeError,
    pickle.UnpicklingError,
    EOFError,
    OSError,
    LookupError,
    TypeError,
    ValueError,
)
LOSS_WINDOW = 500  # training steps; each row of the loss table is the mean over a window
LINE_EVERY = 30  # seconds between two lines of progress if the output is not a terminal


def sweep(
    runs: Sequence[Run],
    results: Results,
    load: Callable[[], Dataset],
    jobs: int,
    device: str = "cpu",
    fresh: bool = False,
) -> list[Run]:
    """Train the runs that are not in `results` (with `fresh`: all runs), and add them to `results`.

    Args:
        runs: runs on the same data set.
        results: the result files; weights of seed 0 are saved too.
        load: returns the data set, on the CPU; called only if there is a run to train.
        jobs: number of runs trained in parallel, each in its own process.
        device: the training device.
        fresh: retrain saved runs.

    Returns:
        The runs that failed; each is printed to stderr.

    Raises:
        LabError: the data or the result files are not usable.
    """
    if ranks.rank() > 0:
        ranks.help_out(runs, load, jobs, device)
        return []
    if not fresh and not ranks.launched() and all(run in results for run in runs):
        return []
    # The files are read again here: another sweep may have written to them.
    with interruption_message(), results.writing():
        missing = [run for run in runs if fresh or run not in results]
        dataset = None
        if missing:
            results.add_layers(runs)
            dataset = load().share_memory()
        if ranks.launched():
            return write_all(missing, ranks.lead(runs, missing, dataset, jobs, device), results)
        return write_all(missing, events(missing, dataset, jobs, device), results)


@contextmanager
def interruption_message() -> Iterator[None]:
    """Add to an interruption that finished runs are saved."""
    try:
        yield
    except KeyboardInterrupt as stop:
        message = "finished runs are saved; the same command, without --fresh, carries on"
        raise KeyboardInterrupt(message) from stop


def write_all(
    runs: Sequence[Run], happenings: Iterator[tuple[Run, Event]], results: Results
) -> list[Run]:
    """Add each of `runs` to `results` when it is finished, and show the progress.

    Args:
        runs: the runs in training.
        happenings: their events, from `workers.events` or `ranks.lead`.
        results: the result files.

    Returns:
        The runs that failed.
    """
    failed: list[Run] = []
    finished, latest = 0, {}  # the last epoch of every run in progress
    line_time = time.monotonic()
    # disable=None: no bar if the output is not a terminal; lines replace the bar.
    with tqdm(
        total=sum(run.recipe.epochs for run in runs),
        bar_format="{n_fmt}/{total_fmt} epochs, {elapsed}<{remaining}{postfix}",
        disable=None,
        dynamic_ncols=True,
        leave=False,
    ) as bar:
        for run, event in happenings:
            if event is None or isinstance(event, Epoch):
                # The newest first: tqdm cuts the line at the width of the terminal.
                latest = {run: event} | {other: e for other, e in latest.items() if other != run}
                bar.update(event is not None)
                bar.set_postfix_str("; ".join(map(progress, latest.items())))
                if bar.disable and time.monotonic() > line_time + LINE_EVERY:
                    line_time = time.monotonic()
                    print("; ".join(map(progress, latest.items())), flush=True)
                continue
            finished += 1
            latest.pop(run, None)
            start = f"[{finished}/{len(runs)}] {run}"
            if isinstance(event, Outcome):
                if run.seed == 0:
                    save_weights(
                        results.weights_path(run), list(results.identity(run)), event.weights
                    )
                results.add(run, rows_of(run, event))
                accuracy = f"{100 * event.test.accuracy:.2f} %"
                bar.write(f"{start}: {accuracy} in {event.train_seconds:.0f} s")
                sys.stdout.flush()
            else:
                failed.append(run)
                bar.write(f"{start} failed: {event}", file=sys.stderr)
    return failed


def progress(item: tuple[Run, Epoch | None]) -> str:
    """A run in progress, with test loss and accuracy of its last epoch: `9 seed 0 1.3 53.1 %`."""
    run, epoch = item
    if epoch is None:
        return str(run)
    return f"{run} {epoch.test_loss:.3g} {100 * epoch.test_accuracy:.1f} %"


def rows_of(run: Run, outcome: Outcome) -> dict[str, list[dict[str, Value]]]:
    """The rows of a finished run, without key and fingerprint, for every table."""
    parameters, macs = totals(run.design)
    last, names = vars(outcome.epochs[-1]).copy(), outcome.classes
    del last["seconds"]
    correct, total = outcome.test.correct.tolist(), outcome.test.total.tolist()
    windows = outcome.step_losses.split(LOSS_WINDOW)
    steps = [min(LOSS_WINDOW * n, len(outcome.step_losses)) for n in range(1, len(windows) + 1)]
    trained = {"train_seconds": outcome.train_seconds, "threads": 1, "torch": outcome.torch}
    return {
        "runs": [
            {"parameters": parameters, "macs": macs, "device": outcome.device, **last, **trained}
        ],
        "epochs": [
            {"epoch": number, **vars(epoch)} for number, epoch in enumerate(outcome.epochs, start=1)
        ],
        "classes": [
            {"class": name, "correct": c, "total": t, "accuracy": c / t}
            for name, c, t in zip(names, correct, total, strict=True)
        ],
        "confusion": [
            {"class": name, "predicted": other, "count": outcome.test.confusion[i, j].item()}
            for i, name in enumerate(names)
            for j, other in enumerate(names)
        ],
        "variations": [
            {"variation": name, "test_loss": test.loss, "test_accuracy": test.accuracy}
            for name, test in outcome.variations.items()
        ],
        "loss": [
            {"step": step, "train_loss": window.double().mean().item()}
            for step, window in zip(steps, windows, strict=True)
        ],
    }


def trained(run: Run, results: Results) -> nn.Module:
    """The trained network of a run, on the CPU.

    Raises:
        LabError: there are no saved weights (only seed 0 has them), or they are of another run.
    """
    path = results.weights_path(run)
    model = run.design.build()
    try:
        saved = torch.load(path, weights_only=True)  # runs no code that the file may contain
        if saved["run"] != list(results.identity(run)):
            raise ValueError
        model.load_state_dict(saved["weights"])
    except FileNotFoundError as error:
        raise LabError(f"no weights of {run} in {path.parent}: --fresh trains them") from error
    except NOT_WEIGHTS as error:
        raise LabError(f"{path} has no weights of {run}: delete it") from error
    return model
