"""An experiment: the steps of every training script, from runs to tables and figures.

The training loop is in training/loop.py, the networks are in models/, the recipes in
training/recipes.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from torch import nn

from common import LabError, UsageError, console
from common.data.datasets import Dataset, load, present
from common.models.design import Design, check_design
from common.plots import style
from common.plots.factors import heat_map
from common.results.columns import FINGERPRINT
from common.results.outcome import tested_again, trained
from common.results.store import Results
from common.results.tables import merge_table
from common.settings import Settings
from common.statistics.comparison import compare, guessing, test_images
from common.statistics.effects import grid_shares
from common.statistics.intervals import converged, summarise
from common.sweep.sweep import sweep
from common.training.loop import Run

SEEDS = 5  # comparisons need at least 5


@dataclass(frozen=True)
class Tables:
    """The tables of an experiment's runs; None for a table that the experiment does not have.

    A diverged run is only in `runs`, unless all seeds diverged.
    """

    runs: pd.DataFrame
    epochs: pd.DataFrame
    classes: pd.DataFrame
    confusion: pd.DataFrame | None = None
    loss: pd.DataFrame | None = None
    variations: pd.DataFrame | None = None

    @property
    def converged(self) -> pd.DataFrame:
        """The runs with a finite training loss."""
        return converged(self.runs)

    def on(self, dataset: str) -> "Tables":
        """The rows of one data set."""
        tables = {name: table for name, table in vars(self).items() if table is not None}
        return Tables(**{n: rows[rows["dataset"] == dataset] for n, rows in tables.items()})


class Experiment:
    """The runs of a script, from the results or trained, its tables and its figures.

    Args:
        name: the script's name without `.py`; names its tables and figures.
        settings: the options of the command.
        designs: the designs to train, with the recipe and the data set of the settings.
        runs: instead of `designs`, one run for each design, recipe and data set; seeds are added.
        baseline: the name of the baseline design.
        columns: the columns of the designs' arguments, with their defaults.
        extras: tables in addition to runs, epochs and classes.
        store: the experiment that stores the runs; default: `name`.
        shifts: test on shifted images too.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        designs: Sequence[Design] = (),
        *,
        runs: Sequence[Run] = (),
        baseline: str = "",
        columns: Mapping[str, str | int] | None = None,
        extras: Sequence[str] = (),
        store: str = "",
        shifts: bool = False,
    ) -> None:
        self.name, self.settings, self.baseline, self.shifts = name, settings, baseline, shifts
        runs = runs or [Run(design, settings.recipe, settings.dataset) for design in designs]
        self.kinds = chosen(runs, settings.designs)
        for run in self.kinds:
            check_design(run.design)
        self.runs = [
            replace(run, seed=seed) for seed in range(settings.seeds or SEEDS) for run in self.kinds
        ]
        self.results = Results(settings.results_dir, store or name, columns, extras)
        self.files: list[Path] = []  # tables of means and figures
        self._drawn: list[str] = []  # names of figures
        self.failed: list[Run] = []
        self._datasets: dict[str, Dataset] = {}

    def run(self, report: Callable[["Experiment", Tables], None]) -> int:
        """Train missing runs, print, call `report`; or list the runs. Returns the exit status."""
        if self.settings.list:
            console.print_list(self.runs, self.results, self.settings)
            return 0
        if self.settings.evaluate:
            return self.evaluate()
        console.print_runs(self.selected("runs"), self.missing(), self.settings)
        if not self.settings.plot_only:
            engine = self.settings.engine(self.shifts)
            self.failed += sweep(self.runs, self.results, engine, self.settings.fresh)
        tables = self.tables()
        recipe = console.describe(self.settings.recipe)
        print(f"\n{self.name} on {self.settings.dataset}\n{recipe}\n")
        shown = tables.on(self.settings.dataset)  # other data sets are for `report`
        console.print_summary(shown.runs)
        means = summarise(shown.converged, ["design", "recipe"], "test_accuracy")
        console.print_not_learned(means, guessing(tables.classes))
        report(self, tables)
        if self.settings.classes:
            console.print_classes(shown.classes)
        return self.close(tables)

    def evaluate(self) -> int:
        """Test the saved networks and print the comparison. Exit status 0 if all tested match."""
        saved = [run for run in self.kinds if self.results.weights_path(run).exists()]
        wrong = []
        for run in saved:
            try:
                table = tested_again(run, self.results, self.dataset(run.dataset))
                console.print_tested_again(run, table)
                wrong += [] if table["matches"].all() else [run]
            except LabError as error:
                print(f"\n{error}")
                wrong.append(run)
        console.print_verdict(saved, wrong, [run for run in self.kinds if run not in saved])
        return 1 if wrong or not saved else 0

    def missing(self) -> list[Run]:
        """The runs to train."""
        if self.settings.plot_only or self.settings.evaluate or self.settings.list:
            return []
        return [run for run in self.runs if self.settings.fresh or run not in self.results]

    def dataset(self, name: str = "") -> Dataset:
        """A data set by its name; default: the data set of the settings.

        Raises:
            LabError: the data is missing; with --plot-only nothing is downloaded.
        """
        name, data_dir = name or self.settings.dataset, self.settings.data_dir
        if self.settings.plot_only and not present(name, data_dir):
            raise LabError(f"no {name} in {data_dir}")
        if name not in self._datasets:
            self._datasets[name] = load(name, data_dir, self.shifts)
        return self._datasets[name]

    def trained(self, run: Run) -> nn.Module:
        """The network of a run with its saved weights; LabError if there are none."""
        return trained(run, self.results)

    def selected(self, table: str) -> pd.DataFrame:
        """The rows of the experiment's runs with current fingerprints; --seeds limits the seeds."""
        rows = self.results.select(self.kinds, table)
        return rows if self.settings.seeds is None else rows[rows["seed"] < self.settings.seeds]

    def tables(self) -> Tables:
        """Every table, designs in the order of the runs.

        Raises:
            LabError: there are no saved runs.
        """
        order = {run.design.name: number for number, run in reversed([*enumerate(self.kinds)])}
        tables = {
            table: self.selected(table).sort_values(
                "design", key=lambda names: names.map(order), kind="stable", ignore_index=True
            )
            for table in self.results.tables
        }
        console.print_others(self.results, self.kinds)
        if tables["runs"].empty:
            raise LabError(self.no_runs_message())
        key = [*self.results.key_columns, FINGERPRINT]
        cell = [column for column in key if column != "seed"]
        good = converged(tables["runs"])
        diverged = tables["runs"].drop(good.index)
        others_converged = diverged.set_index(cell).index.isin(good.set_index(cell).index)
        diverged = diverged[others_converged].set_index(key).index
        for table in set(tables) - {"runs"}:
            rows = tables[table]
            tables[table] = rows[~rows.set_index(key).index.isin(diverged)]
        return Tables(**tables)

    def no_runs_message(self) -> str:
        """Why there is no run to report, and what to do."""
        if self.failed:
            return "all runs failed: see the messages above"
        path, outdated = self.results.path(), self.results.outdated(self.kinds)
        if outdated:
            runs = "1 run" if outdated == 1 else f"{outdated} runs"
            return f"{path} has {runs} of another network or recipe: train again"
        return f"{path} has none of these runs: the same command without --plot-only trains them"

    def compare(self, tables: Tables) -> None:
        """Compare the designs with the baseline: print, and write `<experiment>_summary.csv`."""
        key = self.results.key_columns[:-1]
        table = compare(tables.runs, key, self.baseline, test_images(tables.classes))
        if self.baseline in set(table["design"]):
            console.print_differences(table, self.baseline)
            table.insert(len(key), "baseline", self.baseline)
            table.insert(len(key) + 1, "comparisons", len(table) - 1)
            self.write("_summary", table, [*key, "baseline", "comparisons"])

    def grid(self, runs: pd.DataFrame, factors: Mapping[str, str]) -> None:
        """Print shares of variance and draw a heat map, for all pairs of levels of two factors.

        Args:
            runs: converged runs.
            factors: two columns of `runs`, each with its label.
        """
        shares = grid_shares(runs, list(factors))
        console.print_shares(shares, list(factors))
        if not shares.empty:
            one_level = [c for c in self.results.key_columns[:-1] if runs[c].nunique() == 1]
            key = [c for c in one_level if c not in ("design", *factors)]
            self.write(
                "_grid", pd.concat([runs[key].head(1).reset_index(drop=True), shares], axis=1), key
            )
        self.figure("grid", heat_map(runs, factors))

    def write(
        self, suffix: str, table: pd.DataFrame, key: Sequence[str], unique: Sequence[str] = ()
    ) -> None:
        """Write a table of means, except with --seeds or --designs."""
        if not (self.settings.seeds or self.settings.designs):
            path = self.settings.results_dir / f"{self.name}{suffix}.csv"
            merge_table(path, key, table, unique, self.results.defaults)
            self.files.append(path)

    def figure(self, what: str, figure: Figure, label: str | None = None) -> None:
        """Write a figure to `<experiment>_<what>_<label>.png`; --figure may leave it out."""
        self._drawn.append(what)
        if not self.settings.draws(what):
            return
        name = f"{self.name}_{what}_{self.settings.label if label is None else label}.png"
        self.files.append(style.save(figure, self.settings.figures_dir / name))

    def close(self, tables: Tables) -> int:
        """Print the files and the failed runs; returns the exit status.

        Raises:
            UsageError: --figure names a figure that the script does not draw.
        """
        console.print_closing(self.results, tables.runs, self.files, self.failed, self.settings)
        self.settings.check_figures(self._drawn)
        return 1 if self.failed else 0


def chosen(runs: Sequence[Run], names: Sequence[str]) -> list[Run]:
    """The runs of the designs that --designs names, or all.

    Raises:
        UsageError: there is no such design.
    """
    known = list(dict.fromkeys(run.design.name for run in runs))
    unknown = sorted(set(names) - set(known))
    if unknown:
        hint = " (spaces separate names)" if "," in "".join(unknown) else ""
        raise UsageError(f"--designs: no {' '.join(unknown)}; there are {' '.join(known)}{hint}")
    return [run for run in runs if run.design.name in (names or known)]
