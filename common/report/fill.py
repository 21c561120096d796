"""Fill the report's template with numbers from the results.

The template language is Jinja (https://jinja.palletsprojects.com). `fill` lists the functions that
the template may call, FILTERS its number formats. `sure(...)` guards a sentence that depends on
results: if the condition is false, `fill` raises an error.
"""

import functools
import math
import traceback
from pathlib import Path

import jinja2
import pandas as pd

from common import LabError, console, one_line
from common.console import p_value
from common.results.columns import FINGERPRINT, RECIPE_KEY
from common.statistics.intervals import Mean, converged, mean_interval

TEMPLATE = Path(__file__).with_name("report.md.jinja")

# Text columns; all cells of such a column may look like numbers.
TEXT = ("design", "hidden", "baseline", "best", "worst", FINGERPRINT)

# The accuracies that builds of the tutorial's web page printed from 2019 to 2025, with different
# seeds and versions: mean and standard deviation of 24 builds, and of 21 builds for each class.
# https://docs.pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html
TUTORIAL_PAGES = (0.544, 0.0126)
CLASSES_OF_PAGES = {
    "plane": (0.588, 0.094),
    "car": (0.674, 0.077),
    "bird": (0.407, 0.082),
    "cat": (0.307, 0.081),
    "deer": (0.438, 0.078),
    "dog": (0.461, 0.091),
    "frog": (0.694, 0.089),
    "horse": (0.607, 0.077),
    "ship": (0.658, 0.129),
    "truck": (0.606, 0.111),
}


class ResultTables:
    """The tables of the results folder `folder`. Each file is read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tables: dict[str, pd.DataFrame] = {}

    def rows(self, name: str, **where: str | float) -> pd.DataFrame:
        """The rows of `<name>.csv` with the values `where` in their columns.

        LabError without such a row, or if different networks or recipes have the same name.
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
            refuse_unequal_names(f"{path} has rows of {where}", table)
        if FINGERPRINT in table:
            refuse_unequal_fingerprints(path, table)
        return table

    def accuracy(self, experiment: str, recipe: str, dataset: str, **where: str | float) -> Mean:
        """The mean test accuracy of the runs of one design, with its interval."""
        runs = converged(self.rows(experiment, recipe=recipe, dataset=dataset, **where))
        if runs["design"].nunique() > 1:
            raise LabError(f"{experiment}, {recipe}, {where}: several designs, not one")
        return mean_interval(runs["test_accuracy"])


def refuse_unequal_names(name: str, rows: pd.DataFrame) -> None:
    """Refuse rows of one recipe with different numbers, or of one design with other arguments."""
    numbers = [column for column in RECIPE_KEY if column in rows]
    if len(rows[numbers].drop_duplicates()) > 1:
        raise LabError(f"{name} with several epochs, batch sizes or rates")
    if "design" in rows:
        networks = rows.loc[:, "design":"recipe"].drop_duplicates()
        if networks["design"].duplicated().any():
            raise LabError(f"{name} of several networks of one name")


def refuse_unequal_fingerprints(path: Path, rows: pd.DataFrame) -> None:
    """Refuse rows with one key (except the seed) and several fingerprints.

    An edit of the network or recipe causes this; only one fingerprint is current.
    """
    key = list(rows.columns[: rows.columns.get_loc("seed")])
    kinds = rows[[*key, FINGERPRINT]].astype(str).drop_duplicates()
    mixed = kinds[kinds.duplicated(key, keep=False)]
    if not mixed.empty:
        first = mixed.iloc[0]
        choice = " or ".join(mixed.loc[(mixed[key] == first[key]).all(axis=1), FINGERPRINT])
        raise LabError(
            f"{path} has rows of two networks or recipes named {first['dataset']}, design "
            f"{first['design']}, recipe {first['recipe']}: keep one, fingerprint {choice}"
        )


def sure(condition: bool) -> str:
    """An empty string; LabError if the condition of a sentence is false."""
    if not condition:
        raise LabError("the sentence here is not true any more")
    return ""


def percent(fraction: float, digits: int = 2) -> str:
    """A fraction in per cent: `54.97 %`."""
    return f"{console.percent(fraction, digits)} %"


def interval(mean: Mean) -> str:
    """The 95 % interval of a mean fraction: `53.48 to 56.46 %`."""
    return f"{console.percent(mean.low)} to {percent(mean.high)}"


def points(difference: float) -> str:
    """A difference of fractions in percentage points: `-2.30`."""
    return ("-" if difference < 0 else "+") + console.percent(abs(difference))


def p_in_text(p: float) -> str:
    """A p-value in a sentence, after the letter p: `= 0.030`, `< 0.001`."""
    number = p_value(p)
    return number if number.startswith("<") else f"= {number}"


def two_digits(number: float) -> str:
    """A number rounded to two significant digits: `990`."""
    return f"{float(f'{number:.2g}'):,.0f}"


def first_digit(number: float) -> str:
    """A number below 1, rounded to its first significant digit: `0.000006`."""
    decimals = 1 - math.ceil(math.log10(number))
    return f"{number:.{decimals}f}"


FILTERS = (percent, interval, points, p_value, p_in_text, two_digits, first_digit)


def fill(folder: Path, template: str) -> str:
    """The report's text with the results in `folder`; a LabError names the template's line."""
    tables = ResultTables(folder)
    functions = {"rows": tables.rows, "accuracy": tables.accuracy, "sure": sure}
    pages = {"pages": TUTORIAL_PAGES, "classes_of_pages": CLASSES_OF_PAGES}
    try:
        return compiled(template).render(**functions, **pages)
    except Exception as error:  # an expression in the template may raise any exception
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == "<template>"]
        line = lines[-1] if lines else getattr(error, "lineno", 0)
        raise LabError(f"{TEMPLATE.name}, line {line}: {one_line(error)}") from error


@functools.cache
def compiled(template: str) -> jinja2.Template:
    """The template, compiled once, with the filters of FILTERS."""
    blocks = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, **blocks)
    environment.filters |= {function.__name__: function for function in FILTERS}
    return environment.from_string(template)
