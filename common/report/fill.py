"""Fill the report's template with numbers from the results.

The template language is Jinja (https://jinja.palletsprojects.com). `fill` lists the functions that
the template may call. `sure(...)` guards a sentence that depends on results: if the condition is
false, `fill` raises an error.
"""

import functools
from pathlib import Path

import jinja2
import pandas as pd

from common import LabError, one_line
from common.report.formats import FILTERS
from common.report.published import CLASSES_OF_PAGES, TUTORIAL_PAGES
from common.results.columns import FINGERPRINT, RECIPE_KEY
from common.statistics.intervals import Mean, converged, mean_interval

TEMPLATE = Path(__file__).with_name("report.md.jinja")

# Text columns; all cells of such a column may look like numbers.
TEXT = ("design", "hidden", "baseline", "best", "worst", FINGERPRINT)


class ResultTables:
    """The tables of a results folder. Each file is read once.

    Args:
        folder: the results folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tables: dict[str, pd.DataFrame] = {}

    def rows(self, name: str, **where: str | float) -> pd.DataFrame:
        """The rows of `<name>.csv` with the values `where` in their columns.

        Raises:
            LabError: there is no such row, or different networks or recipes have the same name.
        """
        path = self.folder / f"{name}.csv"
        if name not in self._tables:
            if not path.exists():
                raise LabError(f"the report needs {path}: README.txt has the command")
            self._tables[name] = pd.read_csv(path, dtype=dict.fromkeys(TEXT, str))
        table = self._tables[name]
        for column, value in where.items():
            table = table[table[column] == value]
        if table.empty:
            raise LabError(f"{path} has no row with {where}, which the report needs")
        if "recipe" in where:
            refuse_unequal_names(path, table, where)
        if FINGERPRINT in table:
            refuse_unequal_fingerprints(path, table)
        return table

    def accuracy(self, experiment: str, recipe: str, dataset: str, **where: str | float) -> Mean:
        """The mean test accuracy of a design's runs, with its interval.

        Raises:
            LabError: as for `rows`, or the runs are of several designs.
        """
        runs = converged(self.rows(experiment, recipe=recipe, dataset=dataset, **where))
        if runs["design"].nunique() > 1:
            raise LabError(f"{experiment}, {recipe}, {where}: several designs, not one")
        return mean_interval(runs["test_accuracy"])


def refuse_unequal_names(path: Path, rows: pd.DataFrame, where: dict[str, str | float]) -> None:
    """Refuse rows of one recipe with different numbers, or of one design with different arguments.

    Raises:
        LabError: there are such rows.
    """
    numbers = [column for column in RECIPE_KEY if column in rows]
    if len(rows[numbers].drop_duplicates()) > 1:
        raise LabError(f"{path} has rows of {where} with several epochs, batch sizes or rates")
    if "design" in rows:
        networks = rows.loc[:, "design":"recipe"].drop_duplicates()
        if networks["design"].duplicated().any():
            raise LabError(f"{path} has rows of {where} of several networks of one name")


def refuse_unequal_fingerprints(path: Path, rows: pd.DataFrame) -> None:
    """Refuse rows with one key (except the seed) and several fingerprints.

    An edit of the network or recipe causes this; only one fingerprint is current.

    Raises:
        LabError: there are such rows.
    """
    if rows[FINGERPRINT].nunique() == 1:
        return
    key = list(rows.columns[: rows.columns.get_loc("seed")])
    kinds = rows[[*key, FINGERPRINT]].astype(str).drop_duplicates()
    mixed = kinds[kinds.duplicated(key, keep=False)]
    if not mixed.empty:
        first = mixed.iloc[0]
        same = mixed[(mixed[key] == first[key]).all(axis=1)]
        name = f"{first['dataset']}, design {first['design']}, recipe {first['recipe']}"
        choice = " or ".join(same[FINGERPRINT])
        raise LabError(
            f"{path} has rows of two networks or recipes named {name}: keep one, "
            f"fingerprint {choice}"
        )


def sure(condition: bool) -> str:
    """Return an empty string if the condition of a sentence is true.

    Raises:
        LabError: the condition is false.
    """
    if not condition:
        raise LabError("the sentence here is not true any more")
    return ""


def fill(folder: Path, template: str) -> str:
    """The report's text, with the results in `folder`.

    Raises:
        LabError: results are missing, or a sentence is not true; the message has the line.
    """
    tables = ResultTables(folder)
    try:
        return compiled(template).render(
            rows=tables.rows,
            accuracy=tables.accuracy,
            sure=sure,
            pages=TUTORIAL_PAGES,
            classes_of_pages=CLASSES_OF_PAGES,
        )
    except Exception as error:  # an expression in the template may raise any exception
        message = str(error) if isinstance(error, LabError) else one_line(error)
        raise LabError(f"{TEMPLATE.name}, line {template_line(error)}: {message}") from error


@functools.cache
def compiled(template: str) -> jinja2.Template:
    """The template, compiled once, with the filters of `formats`."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {function.__name__: function for function in FILTERS}
    return environment.from_string(template)


def template_line(error: Exception) -> int:
    """The line of the template that raised an error."""
    trace, line = error.__traceback__, getattr(error, "lineno", 0)
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
