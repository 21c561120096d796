"""An experiment as every script does it: its runs, trained where they are missing, its figures."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from common import LabError, cli
from common import console as terminal
from common.data.datasets import Dataset
from common.models.networks import Design
from common.plots import accuracy as plotting
from common.results.store import Results
from common.statistics.intervals import converged
from common.sweep import ranks
from common.sweep.runs import sweep
from common.training.loop import Run


def runs(parser: cli.Parser, options: argparse.Namespace, designs: Sequence[Design]) -> list[Run]:
    """The runs that the options ask for, seed by seed, so that every design has results early."""
    kept = cli.chosen(parser, options, designs)
    return [
        Run(design, options.recipe, options.dataset, seed)
        for seed in range(options.seeds)
        for design in kept
    ]


def measure(
    runs: Sequence[Run], results: Results, options: argparse.Namespace
) -> tuple[dict[str, pd.DataFrame], list[Run]]:
    """Train what `results` lacks, and print what was measured.

    Returns the tables, as `frames` does, and the runs that failed.
    """
    failed = train(runs, results, options, options.load)
    tables = frames(runs, results)
    print(f"\n{results.experiment} on {options.dataset}\n{terminal.describe(options.recipe)}\n")
    terminal.print_summary(tables["runs"])
    return tables, failed


def train(
    runs: Sequence[Run],
    results: Results,
    options: argparse.Namespace,
    load: Callable[[], Dataset],
) -> list[Run]:
    """Train what `results` lacks, on the data set that `load` gives; returns the failed runs.

    Nothing with --plot-only.
    """
    if options.plot_only:
        return []
    return sweep(runs, results, load, options.jobs, options.device, options.fresh)


def frames(runs: Sequence[Run], results: Results) -> dict[str, pd.DataFrame]:
    """Every table, of the designs and the recipe of `runs`, with all seeds that `results` holds.

    The designs come in the order of `runs`. Of a design that has runs which diverged and runs
    which did not, only "runs" holds the former: all means are over the latter.

    Raises:
        LabError: it holds none.
        SystemExit: this is another rank than 0. It has helped; rank 0 tells the rest.
    """
    if ranks.rank() > 0:
        raise SystemExit(0)
    chosen = {run.key[:-1] for run in runs}
    results.drop_incomplete()
    order = {name: place for place, name in enumerate(dict.fromkeys(r.design.name for r in runs))}
    tables = {
        table: results.frame(table, chosen).sort_values(
            "design", key=lambda names: names.map(order), kind="stable", ignore_index=True
        )
        for table in results.tables
    }
    trained = tables["runs"]
    if trained.empty:
        raise LabError(
            f"{results.path()} holds none of these runs: they failed, or are still to be trained "
            "by the same command without --plot-only"
        )
    kept = converged(trained)
    cell, key = list(results.key_columns[:-1]), list(results.key_columns)
    lost = trained.drop(kept.index)
    several = kept.set_index(cell).index
    lost = lost[lost.set_index(cell).index.isin(several)].set_index(key).index
    for table, frame in tables.items():
        if table != "runs":
            tables[table] = frame[~frame.set_index(key).index.isin(lost)]
    return tables


def save(figures: dict[str, Figure], experiment: str, options: argparse.Namespace) -> list[Path]:
    """Write figures to files named by experiment, what they show, and `label`; returns these."""
    return [
        plotting.save(figure, options.figures_dir / f"{experiment}_{what}_{options.label}.png")
        for what, figure in figures.items()
    ]
