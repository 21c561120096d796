"""CSV files as pandas tables: read with every cell checked, and replace rows."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from common import LabError
from common.results.columns import Kinds, Value, write_cell
from common.results.files import locked, write_csv


def read_table(
    path: Path,
    kinds: Kinds,
    unique: Sequence[str],
    defaults: Mapping[str, Value] | None = None,
) -> pd.DataFrame:
    """Read a CSV file as a table with the types `kinds`; an empty table if there is no file.

    Args:
        path: the file.
        kinds: its columns, in order.
        unique: no two rows have the same values in these columns.
        defaults: values for columns that an older file does not have, and for empty cells. With
            defaults, the file may have unknown columns after `design` (arguments that an edit has
            removed from the code); they stay text.

    Raises:
        LabError: the file is damaged; the message has its name and the line.
    """
    return typed(read_cells(path, kinds, unique, defaults), kinds)


def read_cells(
    path: Path,
    kinds: Kinds,
    unique: Sequence[str],
    defaults: Mapping[str, Value] | None = None,
) -> pd.DataFrame:
    """The cells of a CSV file as text, checked. Arguments and errors as for `read_table`."""
    defaults = defaults or {}
    try:
        header, *rows = cell_rows(path) or [[]]
        columns = with_unknown(header, kinds, defaults)
        cells = pd.DataFrame(rows, columns=header, dtype=object)
        for name, value in defaults.items():
            cells[name] = cells[name].replace("", str(value)) if name in cells else str(value)
        cells = cells[columns]
        unknown = [name for name in columns if name not in kinds]
        twice = typed(cells, kinds).duplicated([*unique, *unknown])
        if twice.any():
            raise Damage("the row is in the file twice", int(twice.argmax()))
    except FileNotFoundError:
        return pd.DataFrame(columns=list(kinds), dtype=object)
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}; fix this or move the file away"
        raise LabError(message) from error
    except Damage as error:
        message = f"{path}, line {error.row + 2}: {error}; correct the line or move the file away"
        raise LabError(message) from error
    return cells


class Damage(ValueError):
    """A CSV file is damaged; `row` counts the rows after the header from 0."""

    def __init__(self, message: str, row: int = -1) -> None:
        super().__init__(message)
        self.row = row


def cell_rows(path: Path) -> list[list[str]]:
    """The cells of every row, header first; pandas would accept a row with too few cells.

    Raises:
        Damage: a row has too few or too many cells, or is not text.
    """
    content, rows = path.read_bytes(), []
    try:
        text = content.decode("utf-8-sig")  # a spreadsheet program may add a byte-order mark
    except UnicodeDecodeError as error:
        raise Damage("not UTF-8 text", content.count(b"\n", 0, error.start) - 1) from error
    if "\0" in text:
        raise Damage("a byte is 0", text.count("\n", 0, text.index("\0")) - 1)
    try:
        for row in csv.reader(io.StringIO(text, newline=""), strict=True):
            if rows and len(row) != len(rows[0]):
                raise Damage(f"{len(row)} cells instead of {len(rows[0])}", len(rows) - 1)
            rows.append(row)
    except csv.Error as error:
        raise Damage(f"wrong quotes ({error})", len(rows) - 1) from error
    return rows


def with_unknown(present: list[str], kinds: Kinds, defaults: Mapping[str, Value]) -> list[str]:
    """The columns of a table, with the unknown columns after `design` in its file.

    Raises:
        Damage: the file has other columns.
    """
    names, unknown, end = list(kinds), [], 0
    if defaults and "design" in kinds:
        start = names.index("design") + 1
        end = next(i for i in range(start, len(names)) if names[i] not in defaults)
        if {"design", names[end]} <= set(present):
            between = present[present.index("design") : present.index(names[end])]
            unknown = [name for name in between if name not in kinds]
    known = [name for name in present if name not in unknown]
    expected = [name for name in names if name in known or name not in defaults]
    if known != expected or len(set(present)) < len(present):
        raise Damage(f"the columns are not {','.join(names)}")
    return [*names[:end], *unknown, *names[end:]]


def typed(cells: pd.DataFrame, kinds: Kinds) -> pd.DataFrame:
    """Convert text cells to values; a column that is not in `kinds` stays text.

    Raises:
        Damage: a cell is not of its column's type.
    """
    patterns = {int: r"-?\d{1,18}", float: r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|nan|[-+]?inf"}
    values = {}
    for name in cells:
        kind, column = kinds.get(name, str), cells[name].astype(object)
        if kind is not str:
            codes, texts = pd.factorize(column)  # most columns have few different texts
            wrong = ~pd.Series(texts, dtype=str).str.fullmatch(patterns[kind]).to_numpy(dtype=bool)
            if wrong.any():
                row = int(wrong[codes].argmax())
                number = "whole number" if kind is int else "number"
                raise Damage(f"{name} is not a {number}: {column.iloc[row]!r}", row)
            column = texts.astype("int64" if kind is int else "float64")[codes]
        values[name] = column
    return pd.DataFrame(values, columns=list(cells.columns))


def merge_table(
    path: Path,
    key: Sequence[str],
    rows: pd.DataFrame,
    unique: Sequence[str] = (),
    defaults: Mapping[str, Value] | None = None,
) -> None:
    """Write `rows` to a file. They replace rows with the same values in the columns `key`.

    Other rows stay. The table is sorted by `key`. `unique` (default: `key`) and `defaults` are as
    for `read_table`.
    """
    key, whole = list(key), pd.api.types.is_integer_dtype
    kinds = {
        name: int if whole(rows[name]) else float if rows[name].dtype.kind == "f" else str
        for name in rows
    }
    with locked(path.with_name("tables.lock"), wait=60):
        table = read_table(path, kinds, unique or key, defaults)
        rows = rows.assign(**{name: "" for name in table if name not in rows})[list(table)]
        new = set(rows[key].itertuples(index=False, name=None))
        stays = [values not in new for values in table[key].itertuples(index=False, name=None)]
        table = pd.concat([table[stays], rows]) if any(stays) else rows
        table = table.sort_values(key, kind="stable")
        lines = [
            [write_cell(*cell) for cell in zip(table.columns, row, strict=True)]
            for row in table.itertuples(index=False, name=None)
        ]
        write_csv(path, [list(table.columns), *lines])
