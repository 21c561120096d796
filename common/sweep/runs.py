"""Runs in, results out: train what is missing, several at a time, and write each when it is done.

Workers train; only the process that calls `sweep` writes, so that no two ever write at once.
"""

import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from tqdm import tqdm

from common import LabError
from common.data.datasets import Dataset
from common.models.networks import layer_table, size
from common.results.files import save_weights
from common.results.store import TRAINING_KEY, Results
from common.sweep import ranks
from common.sweep.workers import Event, events
from common.training.loop import Epoch, Outcome, Run

# What reading a file that holds other weights, half of them, or something else ends in.
NOT_WEIGHTS = (
    *(RuntimeError, pickle.UnpicklingError, EOFError, OSError),
    *(LookupError, TypeError, ValueError),
)
LOSS_WINDOW = 500  # training steps that a row of the loss table is the mean of


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
    if ranks.rank() > 0:
        ranks.help_out(runs, load, jobs, device)
        return []
    if not fresh and not ranks.launched() and all(run.key in results for run in runs):
        return []
    # It reads again before it writes: another sweep may have been at it.
    with telling_what_is_kept(), results.writing():
        missing = [run for run in runs if fresh or run.key not in results]
        dataset = None
        if missing:
            designs = {run.key[1 : -len(TRAINING_KEY)]: run.design for run in runs}
            results.add_layers({name: layer_table(design) for name, design in designs.items()})
            dataset = load().share_memory()
            at_once = min(jobs * ranks.size(), len(missing))
            print(f"{len(missing)} of {len(runs)} runs to train, {at_once} at once")
        if ranks.launched():
            return train_all(missing, ranks.lead(runs, missing, dataset, jobs, device), results)
        return train_all(missing, events(missing, dataset, jobs, device), results)


@contextmanager
def telling_what_is_kept() -> Iterator[None]:
    """Let an interruption say what it leaves."""
    try:
        yield
    except KeyboardInterrupt as stop:
        said = "finished runs are kept; the same command, without --fresh, carries on"
        raise KeyboardInterrupt(said) from stop


def train_all(
    runs: Sequence[Run], given: Iterator[tuple[Run, Event]], results: Results
) -> list[Run]:
    """Add each of `runs` to `results` when it is done, and show how far all are.

    Args:
        runs: what is trained.
        given: what happens to them, as `workers.events` tells it.
        results: where they go.

    Returns:
        The runs that failed.
    """
    failed, done, in_progress = [], 0, []
    total = sum(run.recipe.epochs for run in runs)
    # disable=None: no bar where the output is no terminal; there the lines below are enough.
    with tqdm(total=total, unit="epoch", disable=None, dynamic_ncols=True, leave=False) as bar:
        for run, event in given:
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
                    save_weights(results.weights_path(run.key), run.key, event.weights)
                results.add(run.key, tables(run, event))
                bar.write(
                    f"[{done}/{len(runs)}] {run}: {100 * event.test.accuracy:.2f} % "
                    f"in {event.train_seconds:.0f} s"
                )
                sys.stdout.flush()
            elif isinstance(event, str):
                failed.append(run)
                bar.write(f"[{done}/{len(runs)}] {run} failed: {event}", file=sys.stderr)
    return failed


def tables(run: Run, outcome: Outcome) -> dict[str, list[tuple]]:
    """The rows of a finished run, without the key, for every table of `results.TABLES`."""
    last, confusion = outcome.epochs[-1], outcome.test.confusion
    correct, total = outcome.test.correct.tolist(), outcome.test.total.tolist()
    losses = outcome.step_losses.split(LOSS_WINDOW)
    ends = [*range(LOSS_WINDOW, len(outcome.step_losses), LOSS_WINDOW), len(outcome.step_losses)]
    return {
        "runs": [
            (
                *size(run.design),
                *(last.train_loss, last.train_accuracy, last.test_loss, last.test_accuracy),
                *(outcome.train_seconds, 1, outcome.place, outcome.torch),
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
            (name, correct[i], total[i], correct[i] / total[i])
            for i, name in enumerate(outcome.classes)
        ],
        "confusion": [
            (name, other, confusion[i, j].item())
            for i, name in enumerate(outcome.classes)
            for j, other in enumerate(outcome.classes)
        ],
        "variations": [
            (name, varied.loss, varied.accuracy) for name, varied in outcome.variations.items()
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
        saved = torch.load(path, weights_only=True)  # executes nothing that the file may hold
        if saved["run"] != list(run.key):
            raise ValueError
        model.load_state_dict(saved["weights"])
    except FileNotFoundError as error:
        raise LabError(f"no weights of {run} in {path.parent}: --fresh makes them") from error
    except NOT_WEIGHTS as error:
        raise LabError(f"{path} does not hold weights of {run}: delete it") from error
    return model
