"""The result files of one experiment: select saved runs, and add a run.

All tables of runs start with the key columns and the fingerprint, which identify a run.
`<experiment>.csv` is written last: a run without a row in it was interrupted and does not count.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from common.models.design import layer_table
from common.results.columns import (
    FINGERPRINT,
    RECIPE_KEY,
    RECIPE_KINDS,
    ROW_NAMES,
    TABLES,
    Value,
    write_cell,
)
from common.results.files import locked, write_csv
from common.results.tables import merge_table, read_cells, typed
from common.training.loop import Run
from common.training.recipes import label

Identity = tuple[Value, ...]


class Results:
    """The result files of one experiment. They are read at the start and written after every run.

    Args:
        folder: the results folder; the first write creates it.
        experiment: a script's name without `.py`.
        design_columns: the columns of the designs' arguments, with their defaults, which are used
            for an older file without a column.
        extras: tables in addition to runs, epochs and classes: keys of TABLES.

    Raises:
        LabError: a file is damaged. The message has its name and the line; the file is unchanged.
    """

    def __init__(
        self,
        folder: Path,
        experiment: str,
        design_columns: Mapping[str, str | int] | None = None,
        extras: Sequence[str] = (),
    ) -> None:
        self.folder, self.experiment = folder, experiment
        design_columns = design_columns or {}
        self.defaults = {**design_columns, FINGERPRINT: ""}
        self.kinds = {"dataset": str, "design": str}
        self.kinds |= {name: type(default) for name, default in design_columns.items()}
        self.kinds |= {**RECIPE_KINDS, "seed": int, FINGERPRINT: str}
        self.key_columns = [name for name in self.kinds if name != FINGERPRINT]
        # "runs" comes last: its row commits the run.
        self.tables = ["epochs", "classes", *extras, "runs"]
        self._unsaved = False
        self.read()

    def read(self) -> None:
        """Read the files, without rows of runs that are not in `<experiment>.csv`."""
        self._columns: dict[str, list[str]] = {}
        self._rows: dict[str, dict[Identity, list[list[str]]]] = {}
        for table in reversed(self.tables):
            kinds = {**self.kinds, **TABLES[table]}
            unique = [*self.kinds, *ROW_NAMES[table]]
            cells = read_cells(self.path(table), kinds, unique, self.defaults)
            self._columns[table] = list(cells.columns)
            rows = self._rows[table] = {}
            identities = typed(cells[list(self.kinds)], self.kinds)
            for run, row in zip(
                identities.itertuples(index=False, name=None),
                cells.to_numpy().tolist(),
                strict=True,
            ):
                if table == "runs" or run in self._rows["runs"]:
                    rows.setdefault(run, []).append(row)

    def __contains__(self, run: Run) -> bool:
        return self.complete(self.identity(run))

    def identity(self, run: Run) -> Identity:
        """The values that identify a run in these files: key and fingerprint."""
        key = run.key
        return (*(key.get(c, self.defaults.get(c)) for c in self.key_columns), run.fingerprint)

    def path(self, table: str = "runs") -> Path:
        """The file of a table."""
        suffix = "" if table == "runs" else f"_{table}"
        return self.folder / f"{self.experiment}{suffix}.csv"

    def weights_path(self, run: Run) -> Path:
        """The file of the final weights of a run; its name is as a figure's name.

        If another network has this name already, the fingerprint is added.
        """
        split = re.sub("^(mnist|cifar10)-?", "", run.dataset)
        names = [run.design.name, *run.design.name.split("-")]  # may be values of arguments
        changes = run.design.columns.items() - self.defaults.items()
        others = [f"{column}-{value}" for column, value in changes if str(value) not in names]
        parts = [label(run.recipe), *([split] if split else []), *sorted(others)]
        name = f"{self.experiment}_{run.design.name}_{'-'.join(parts)}_seed{run.seed}"
        path = self.folder / "weights" / f"{name}.pt"
        record = path.with_suffix(".json")
        if record.exists() and f'"{run.fingerprint}"' not in record.read_text():
            path = path.with_stem(f"{name}_{run.fingerprint}")
        return path

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Lock the files before training, and read again: another sweep may have changed them.

        At the end, also after an error, kept runs are written.

        Raises:
            LabError: another sweep has locked the files, or they cannot be written.
        """
        with locked(self.folder / f"{self.experiment}.lock"):
            self.read()
            try:
                yield
            finally:
                if self._unsaved:
                    self.write()

    def add(self, run: Run, rows: Mapping[str, Sequence[Mapping[str, Value]]]) -> None:
        """Add a run with its rows of every table, and write the files.

        Raises:
            LabError: a file cannot be written.
        """
        self.keep(run, rows)
        self.write()

    def keep(self, run: Run, rows: Mapping[str, Sequence[Mapping[str, Value]]]) -> None:
        """Add a run, which `write` writes later; it replaces a run with the same identity."""
        identity = self.identity(run)
        name = dict(zip(self.kinds, identity, strict=True))
        for table in self.tables:
            columns = self._columns[table]
            self._rows[table][identity] = [
                [write_cell(c, {**name, **row}.get(c, "")) for c in columns] for row in rows[table]
            ]
        self._unsaved = True

    def write(self) -> None:
        """Write all files. LabError: a file cannot be written."""
        for table in self.tables:
            lines = [line for _, lines in sorted(self._rows[table].items()) for line in lines]
            write_csv(self.path(table), [self._columns[table], *lines])
        self._unsaved = False

    def add_layers(self, runs: Sequence[Run]) -> None:
        """Write the layers of the runs' designs to `<experiment>_layers.csv`."""
        columns = self.key_columns[1 : -len(RECIPE_KEY) - 1]
        designs = {
            tuple(run.key.get(column, self.defaults.get(column)) for column in columns): run.design
            for run in runs
        }
        rows = [
            dict(zip(columns, key, strict=True)) | vars(layer)
            for key, design in designs.items()
            for layer in layer_table(design)
        ]
        unique = [*columns, "layer"]
        merge_table(self.path("layers"), columns, pd.DataFrame(rows), unique, self.defaults)

    def select(self, runs: Sequence[Run] | None = None, table: str = "runs") -> pd.DataFrame:
        """The rows of complete runs, sorted by key: identities of `runs` with any seed.

        Identities contain the current fingerprint. Without `runs`: all complete runs.
        """
        kinds = None if runs is None else {without_seed(self.identity(run)) for run in runs}
        rows = [
            row
            for identity, rows in sorted(self._rows[table].items())
            if (kinds is None or without_seed(identity) in kinds) and self.complete(identity)
            for row in rows
        ]
        cells = pd.DataFrame(rows, columns=self._columns[table], dtype=str)
        return typed(cells, {**self.kinds, **TABLES[table]})

    def outdated(self, runs: Sequence[Run]) -> int:
        """The number of saved runs with the key of `runs`, any seed, and another fingerprint."""
        kinds = {without_seed(self.identity(run)) for run in runs}
        keys = {kind[:-1] for kind in kinds}
        stored = map(without_seed, filter(self.complete, self._rows["runs"]))
        return sum(kind[:-1] in keys and kind not in kinds for kind in stored)

    def complete(self, identity: Identity) -> bool:
        """Whether a run has rows in every table."""
        return all(identity in rows for rows in self._rows.values())


def without_seed(identity: Identity) -> Identity:
    """An identity without the seed."""
    return (*identity[:-2], identity[-1])
