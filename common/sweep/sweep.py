"""Train missing runs, and save each run when it is finished.

Workers train. Only the process that calls `sweep` writes files.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from common.results.outcome import rows_of, save_weights
from common.results.store import Results
from common.training.loop import Epoch, Outcome, Run

Event = Epoch | Outcome | str | None  # end of an epoch, end of a run, error message, start of a run

LINE_EVERY = 30  # seconds between two lines of progress if the output is not a terminal
WRITING = 1 / 20  # the most of the time that writing may take; else it waits for more runs


@dataclass(frozen=True)
class Engine:
    """The workers that train runs: `jobs` processes on this machine, each with one thread.

    `cluster` is the address or file of a running Dask scheduler, which has workers of its own.
    `shifts` adds variations to the data sets, see `load`.
    """

    data_dir: Path
    jobs: int = 1
    device: str = "cpu"
    cluster: str = ""
    shifts: bool = False


def sweep(runs: Sequence[Run], results: Results, engine: Engine, fresh: bool = False) -> list[Run]:
    """Train the runs that are not in `results` (with `fresh`: all runs), and add them to `results`.

    Returns the runs that failed; each is printed to stderr.

    Raises:
        LabError: the data, the result files or the workers are not usable.
    """
    if not fresh and all(run in results for run in runs):
        return []
    from common.sweep.cluster import events  # takes half a second to import

    # The files are read again here: another sweep may have written to them.
    with results.writing():
        missing = [run for run in runs if fresh or run not in results]
        results.add_layers(missing)
        with closing(events(missing, engine)) as happenings:
            return write_all(missing, happenings, results)


def write_all(
    runs: Sequence[Run], happenings: Iterator[tuple[Run, Event]], results: Results
) -> list[Run]:
    """Add each of `runs` to `results` when it is finished, and show the progress.

    `happenings` are events of the runs, see `cluster.events`. Returns the runs that failed.
    """
    failed: list[Run] = []
    training: dict[Run, list[Epoch]] = {}  # the epochs of every run in progress
    ended = epochs = 0  # of ended runs
    start = line_time = time.monotonic()
    writing = 0.0  # seconds
    # disable=None: no bar if the output is not a terminal; lines replace the bar.
    with tqdm(
        total=sum(run.recipe.epochs for run in runs),
        bar_format="{n_fmt}/{total_fmt} epochs, {elapsed}<{remaining}{postfix}",
        disable=None,
        dynamic_ncols=True,
        leave=False,
    ) as bar:
        for run, event in happenings:
            before = training.pop(run, None)
            if event is None or isinstance(event, Epoch):
                if event is None and before is not None:
                    bar.write(f"{run} starts again on another worker", file=sys.stderr)
                # The newest first: tqdm cuts the line at the width of the terminal.
                training = {run: [*(before or []), event] if event else []} | training
                bar.n = epochs + sum(map(len, training.values()))
                bar.set_postfix_str(text := "; ".join(map(progress, training.items())))
                if bar.disable and time.monotonic() > line_time + LINE_EVERY:
                    line_time = time.monotonic()
                    print(text, flush=True)
                continue
            ended, epochs = ended + 1, epochs + run.recipe.epochs
            line = f"[{ended}/{len(runs)}] {run}"
            if isinstance(event, str):
                failed.append(run)
                bar.write(f"{line} failed: {event}", file=sys.stderr)
                continue
            if run.seed == 0:
                save_weights(run, event, results)
            results.keep(run, rows_of(run, event))
            now = time.monotonic()
            if writing <= WRITING * (now - start):
                results.write()
                writing += time.monotonic() - now
            bar.write(f"{line}: {100 * event.test.accuracy:.2f} % in {event.train_seconds:.0f} s")
            sys.stdout.flush()
    return failed


def progress(item: tuple[Run, list[Epoch]]) -> str:
    """A run in progress, with test loss and accuracy of its last epoch: `9 seed 0 1.3 53.1 %`."""
    run, epochs = item
    if not epochs:
        return str(run)
    return f"{run} {epochs[-1].test_loss:.3g} {100 * epochs[-1].test_accuracy:.1f} %"
