"""The result files: their columns, reading, and writing so that no reader ever sees half a file.

Every file starts with the same key columns, which name a run. `<experiment>.csv` is written last
and so commits a run: rows elsewhere without a row there are what an interruption left behind.
"""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from common import LabError

Key = tuple[str | int | float, ...]

TRAINING_KEY = ("recipe", "epochs", "batch_size", "lr", "momentum", "seed")

# The files of an experiment, and their columns after the key; "runs" has no suffix. The first
# three belong to every experiment, the others to those that draw them.
TABLES = {
    "epochs": (
        *("epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds"),
    ),
    "classes": ("class", "correct", "total", "accuracy"),
    "confusion": ("class", "predicted", "count"),
    "loss": ("step", "train_loss"),
    "runs": (
        *("parameters", "macs", "train_loss", "train_accuracy", "test_loss", "test_accuracy"),
        *("train_seconds", "threads", "device", "torch"),
    ),
}

LAYER_COLUMNS = ("layer", "kind", "output", "parameters", "macs")

TEXT = {
    *("dataset", "design", "activation", "hidden", "recipe", "class", "predicted"),
    *("device", "torch"),
}
INTEGERS = {
    *("c1", "c3", "layers", "epochs", "batch_size", "seed", "parameters", "macs", "threads"),
    *("epoch", "correct", "total", "count", "step"),
}


def read_cell(column: str, text: str) -> str | int | float:
    """The value of a cell; raises ValueError if the text is no such value."""
    if column in TEXT:
        return text
    return int(text) if column in INTEGERS else float(text)


def write_cell(column: str, value: str | int | float) -> str:
    """A value as a cell: key columns exactly, what was measured to six significant digits."""
    exact = column in TEXT or column in INTEGERS or column in TRAINING_KEY
    return str(value) if exact else f"{value:.6g}"


class Results:
    """The result files of one experiment, read when made, written whenever a run is added.

    Args:
        folder: the results folder; made when the first run is written.
        experiment: a script's name without `.py`.
        design_columns: the key columns of the experiment's design arguments.
        extras: what is kept beside runs, epochs and classes: keys of TABLES.

    Raises:
        LabError: a file is not what was written: it is named, with the line, and left alone.
    """

    def __init__(
        self,
        folder: Path,
        experiment: str,
        design_columns: Sequence[str] = (),
        extras: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.experiment = experiment
        self.key_columns = ("dataset", "design", *design_columns, *TRAINING_KEY)
        # "runs" comes last: its row commits the run.
        self.tables = ("epochs", "classes", *extras, "runs")
        self._rows = {table: self._read(table) for table in self.tables}
        complete = set.intersection(*(set(rows) for rows in self._rows.values()))
        self._rows = {
            table: {key: cells for key, cells in rows.items() if key in complete}
            for table, rows in self._rows.items()
        }

    def __contains__(self, key: Key) -> bool:
        return key in self._rows["runs"]

    def path(self, table: str = "runs") -> Path:
        """Where a table is kept."""
        suffix = "" if table == "runs" else f"_{table}"
        return self.folder / f"{self.experiment}{suffix}.csv"

    def weights_path(self, key: Key) -> Path:
        """Where the final weights of a run are kept."""
        return self.folder / "weights" / ("_".join(map(str, (self.experiment, *key))) + ".pt")

    def columns(self, table: str) -> tuple[str, ...]:
        """All columns of a table."""
        return (*self.key_columns, *TABLES[table])

    def beside(self) -> list[str]:
        """What the names of the further files end in: `_epochs`, ..."""
        return [f"_{table}" for table in (*self.tables[:-1], "layers")]

    def check_writable(self) -> None:
        """Raise a LabError now rather than after hours of training if nothing can be written."""
        with replacing(self.folder / f"{self.experiment}.test") as path:
            path.touch()
        (self.folder / f"{self.experiment}.test").unlink()

    def add(self, key: Key, rows: dict[str, list[tuple]]) -> None:
        """Put a run, with its rows of every table, in the place of an earlier one of the same key.

        Raises:
            LabError: a file cannot be written.
        """
        for table in self.tables:
            self._rows[table][key] = [
                [write_cell(*cell) for cell in zip(self.columns(table), (*key, *row), strict=True)]
                for row in rows[table]
            ]
        for table in self.tables:
            lines = [self.columns(table)]
            for _, cells in sorted(self._rows[table].items()):
                lines.extend(cells)
            write_csv(self.path(table), lines)

    def add_layers(self, layers: dict[Key, list[tuple]]) -> None:
        """Put the layer tables of designs, by name and arguments, into `<experiment>_layers.csv`.

        Designs have no seed or recipe, so this file has only the design's part of the key.
        """
        key = len(self.key_columns) - len(TRAINING_KEY) - 1
        columns = (*self.key_columns[1 : 1 + key], *LAYER_COLUMNS)
        rows: dict[Key, list[list[str]]] = {}
        for _, cells in read_csv(self.path("layers"), columns):
            name = tuple(map(read_cell, columns[:key], cells[:key]))
            rows.setdefault(name, []).append(cells)
        for name, table in layers.items():
            rows[name] = [list(map(str, (*name, *row))) for row in table]
        lines = [cells for _, table in sorted(rows.items()) for cells in table]
        write_csv(self.path("layers"), [columns, *lines])

    def frame(self, table: str = "runs", cells: Iterable[Key] | None = None) -> pd.DataFrame:
        """A table, typed; only the runs of `cells` (keys without the seed) if these are given."""
        chosen = None if cells is None else set(cells)
        rows = [
            [read_cell(*cell) for cell in zip(self.columns(table), row, strict=True)]
            for key, rows in sorted(self._rows[table].items())
            if chosen is None or key[:-1] in chosen
            for row in rows
        ]
        return pd.DataFrame(rows, columns=list(self.columns(table)))

    def _read(self, table: str) -> dict[Key, list[list[str]]]:
        """The cells of each run's rows."""
        columns = self.columns(table)
        rows: dict[Key, list[list[str]]] = {}
        for line, cells in read_csv(self.path(table), columns):
            try:
                if len(cells) != len(columns):
                    raise ValueError(f"{len(cells)} cells, not {len(columns)}")
                values = [read_cell(*cell) for cell in zip(columns, cells, strict=True)]
            except ValueError as error:
                raise LabError(
                    f"{self.path(table)}, line {line}: {error}; mend it or move the file away"
                ) from error
            rows.setdefault(tuple(values[: len(self.key_columns)]), []).append(cells)
        return rows


def read_csv(path: Path, columns: Sequence[str]) -> list[tuple[int, list[str]]]:
    """The rows of a CSV file, each with its line number; none where there is no file.

    Raises:
        LabError: the file cannot be read, or has other columns than `columns`.
    """
    try:
        # utf-8-sig and newline="": a spreadsheet may have added a mark and its own line ends.
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabError(f"cannot read {path}: {error}; mend it or move it away") from error
    if not rows or rows[0][1] != list(columns):
        raise LabError(
            f"{path}, line 1: the columns are not {','.join(columns)}; mend it or move it away"
        )
    return rows[1:]


def write_csv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write rows of cells, the header among them, in one piece."""
    with replacing(path) as beside, open(beside, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write a state dict in one piece; torch.load(path, weights_only=True) reads it."""
    with replacing(path) as beside:
        torch.save(weights, beside)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, which takes the place of `path` once it is whole.

    Raises:
        LabError: it cannot be written; `path` is as it was.
    """
    beside = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())  # before the name points to it, or a power cut loses both
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise LabError(
            f"cannot write {path}: {error.strerror or error}; mend that, or name other folders "
            "with --results-dir and --figures-dir"
        ) from error
