"""The result files: their columns, reading, and writing so that no reader ever sees half a file.

The files of runs start with the same key columns, which name a run. `<experiment>.csv` is written
last and so commits it: rows elsewhere without a row there are what an interruption left behind.
Files of means start with the part of the key that they are of.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from common import LabError
from common.results.files import alone_in, locked, write_csv

Key = tuple[str | int | float, ...]

RECIPE_KEY = ("recipe", "epochs", "batch_size", "lr", "momentum")
TRAINING_KEY = (*RECIPE_KEY, "seed")

# The files of an experiment, and their columns after the key; "runs" has no suffix. It,
# epochs and classes belong to every experiment, the others to those that draw them.
TABLES = {
    "epochs": (
        *("epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds"),
    ),
    "classes": ("class", "correct", "total", "accuracy"),
    "confusion": ("class", "predicted", "count"),
    "loss": ("step", "train_loss"),
    "variations": ("variation", "test_loss", "test_accuracy"),
    "runs": (
        *("parameters", "macs", "train_loss", "train_accuracy", "test_loss", "test_accuracy"),
        *("train_seconds", "threads", "device", "torch"),
    ),
}

# How many of these name a row within its run.
ROW_NAMES = {"epochs": 1, "classes": 1, "confusion": 2, "loss": 1, "variations": 1, "runs": 0}

LAYER_COLUMNS = ("layer", "kind", "output", "parameters", "macs")

TEXT = {
    *("dataset", "design", "activation", "hidden", "recipe", "class", "predicted", "variation"),
    *("device", "torch", "layer", "kind", "output", "operator", "variant", "noisy", "bound"),
    *("method", "factor", "size", "best", "worst", "baseline", "change"),
    *("network", "distortions", "experiment"),
}
INTEGERS = {
    *("c1", "c3", "layers", "epochs", "batch_size", "seed", "parameters", "macs", "threads"),
    *("epoch", "correct", "total", "count", "step", "n", "levels", "images", "comparisons"),
    *("flops", "parameter_bytes", "input_bytes", "traffic_bytes", "calls", "freedom"),
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
        self.read()

    def read(self) -> None:
        """Read the files; rows of runs that `<experiment>.csv` does not hold are dropped."""
        rows = {table: self._read(table) for table in self.tables}
        self._rows = {
            table: {key: cells for key, cells in rows[table].items() if key in rows["runs"]}
            for table in self.tables
        }

    def drop_incomplete(self) -> None:
        """Forget runs that lack rows in some table: they are to be trained again."""
        for rows in self._rows.values():
            for key in [key for key in rows if key not in self]:
                del rows[key]

    def __contains__(self, key: Key) -> bool:
        return all(key in rows for rows in self._rows.values())

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
        """What the names of the further files there are end in: `_epochs`, ..."""
        paths = self.folder.glob(f"{self.experiment}_*.csv")
        return sorted(path.stem.removeprefix(self.experiment) for path in paths)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the files for writing, and read again what others have written before.

        Raises:
            LabError: another sweep of this experiment holds them, or they cannot be written;
                now rather than after hours of training.
        """
        with locked(self.folder / f"{self.experiment}.lock"):
            self.read()
            yield

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
        rows = [(*name, *row) for name, table in layers.items() for row in table]
        merge_csv(self.path("layers"), columns, key, rows, unique=key + 1)

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
        key = len(self.key_columns)
        rows: dict[Key, list[list[str]]] = {}
        unique = key + ROW_NAMES[table]
        for values, cells in read_csv(self.path(table), self.columns(table), unique):
            rows.setdefault(tuple(values[:key]), []).append(cells)
        return rows


def read_csv(
    path: Path, columns: Sequence[str], unique: int
) -> list[tuple[list[str | int | float], list[str]]]:
    """The rows of a CSV file, as values and as the cells they stand in; none without a file.

    Args:
        path: the file.
        columns: what its first line must be.
        unique: no two rows may share the values of so many columns.

    Raises:
        LabError: the file, and the line, that is not what was written.
    """
    rows, names = [], set()
    try:
        # utf-8-sig and newline="": a spreadsheet may have added a mark and its own line ends.
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            if next(reader, None) != list(columns):
                raise ValueError(f"the columns are not {','.join(columns)}")
            for cells in reader:
                if len(cells) != len(columns):
                    raise ValueError(f"{len(cells)} cells, not {len(columns)}")
                values = [read_cell(*cell) for cell in zip(columns, cells, strict=True)]
                if tuple(values[:unique]) in names:
                    raise ValueError("the row stands there twice")
                names.add(tuple(values[:unique]))
                rows.append((values, cells))
    except FileNotFoundError:
        return []
    except (ValueError, csv.Error) as error:  # also UnicodeDecodeError
        line = max(1, reader.line_num)
        raise LabError(f"{path}, line {line}: {error}; mend it or move the file away") from error
    except OSError as error:
        raise LabError(
            f"cannot read {path}: {error.strerror}; mend that or move it away"
        ) from error
    return rows


def merge_csv(
    path: Path,
    columns: Sequence[str],
    key: int,
    rows: Iterable[Sequence[str | int | float]],
    unique: int | None = None,
) -> None:
    """Write `rows`, in place of those that share the values of their first `key` columns.

    Other rows of the file stay; groups of equal keys are sorted by them. `unique` is as for
    `read_csv`, by default `key`.
    """
    fresh: dict[Key, list[list[str]]] = {}
    for row in rows:
        cells = [write_cell(*cell) for cell in zip(columns, row, strict=True)]
        fresh.setdefault(tuple(row[:key]), []).append(cells)
    with alone_in(path.parent):
        groups: dict[Key, list[list[str]]] = {}
        for values, cells in read_csv(path, columns, unique or key):
            groups.setdefault(tuple(values[:key]), []).append(cells)
        groups.update(fresh)
        lines = [cells for _, group in sorted(groups.items()) for cells in group]
        write_csv(path, [columns, *lines])
