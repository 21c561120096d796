"""REPORT.md, filled from the results: no measured number in it is typed.

python -m common.report            write it again
python -m common.report --check    tell whether it is what the results say

The text is common/report.md.jinja (https://jinja.palletsprojects.com). What it may call stands in
`fill`. A sentence that depends on how numbers compare carries `sure(...)`: when they no longer do,
the report is refused until the sentence is mended.
"""

import functools
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import jinja2
import pandas as pd

from common import LabError, cli, in_one_line, published
from common import console as terminal
from common.console import p_value
from common.models.networks import CIFAR_COLUMNS
from common.results.files import replacing
from common.results.store import RECIPE_KEY, TEXT
from common.statistics.intervals import Mean, converged, mean_interval

TEMPLATE = Path(__file__).with_name("report.md.jinja")
REPORT = cli.ROOT / "REPORT.md"


def rows(folder: Path, name: str, **where: str | float) -> pd.DataFrame:
    """The rows of `<name>.csv` in which the columns have the given values.

    Raises:
        LabError: there are none, or they are of one recipe with different numbers.
    """
    path = folder / f"{name}.csv"
    if not path.exists():
        raise LabError(f"the report needs {path}: README.txt has the command")
    frame = pd.read_csv(path, dtype=dict.fromkeys(TEXT, str))
    for column, value in where.items():
        frame = frame[frame[column] == value]
    if frame.empty:
        raise LabError(f"{path} has no row with {where}, which the report needs")
    numbers = [column for column in RECIPE_KEY if column in frame]
    if "recipe" in where and len(frame.drop_duplicates(numbers)) > 1:
        raise LabError(f"{path} has rows of {where} with several epochs, batch sizes or rates")
    named = [
        column for column in ("design", *CIFAR_COLUMNS) if column in frame and "design" in frame
    ]
    if "recipe" in where and named and frame[named].drop_duplicates()["design"].duplicated().any():
        raise LabError(f"{path} has rows of {where} of several networks of one name")
    return frame


def accuracy(
    folder: Path, experiment: str, recipe: str, dataset: str, **where: str | float
) -> Mean:
    """Mean and interval of the runs of one cell, of the recipe's own numbers.

    Raises:
        LabError: there are no such runs, or they are of several designs or numbers.
    """
    found = converged(rows(folder, experiment, recipe=recipe, dataset=dataset, **where))
    if found["design"].nunique() > 1:
        raise LabError(f"{experiment}, {recipe}, {where}: several designs, not one")
    return mean_interval(found["test_accuracy"])


def sure(holds: bool) -> str:
    """Nothing, where what the sentence says holds; an error, where it does not."""
    if not holds:
        raise LabError("what this sentence says does not hold any more")
    return ""


def percent(value: float, digits: int = 2) -> str:
    """A fraction in per cent: `54.97 %`."""
    return f"{terminal.percent(value, digits)} %"


def interval(mean: Mean) -> str:
    """The 95 % interval of a fraction: `53.48 to 56.46 %`."""
    return f"{terminal.percent(mean.low)} to {percent(mean.high)}"


def points(value: float) -> str:
    """A difference of fractions in percentage points: `-2.30`."""
    return ("-" if value < 0 else "+") + terminal.percent(abs(value))


def versus(p: float) -> str:
    """A p-value in a sentence: `= 0.030`, `< 0.001`."""
    said = p_value(p)
    return said if said.startswith("<") else f"= {said}"


def about(ratio: float) -> str:
    """A number to two digits: `990`."""
    return f"{float(f'{ratio:.2g}'):,.0f}"


def small(value: float) -> str:
    """A number below 1 to its first digit, written out: `0.000006`."""
    digits = 1 - math.ceil(math.log10(value))
    return f"{value:.{digits}f}"


def fill(folder: Path, template: str) -> str:
    """The report's text, from the results in `folder`.

    Raises:
        LabError: results are missing, or a sentence does not hold; with the template's line.
    """
    made = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: list[Callable[..., str]] = [percent, interval, points, p_value, versus, about, small]
    made.filters |= {function.__name__: function for function in filters}
    made.globals |= {
        "rows": functools.partial(rows, folder),
        "accuracy": functools.partial(accuracy, folder),
        "sure": sure,
        "pages": published.TUTORIAL_PAGES,
        "classes_of_pages": published.CLASSES_OF_PAGES,
    }
    try:
        return made.from_string(template).render()
    except Exception as error:  # whatever a line of the template ends in, the line is told
        said = str(error) if isinstance(error, LabError) else in_one_line(error)
        raise LabError(f"{TEMPLATE.name}, line {line_of_template(error)}: {said}") from error


def line_of_template(error: Exception) -> int:
    """The line of the template that raised an error."""
    trace, line = error.__traceback__, getattr(error, "lineno", 0)
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Write the report, or check it."""
    parser = cli.Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args(argv)
    text = fill(cli.ROOT / "results", TEMPLATE.read_text(encoding="utf-8"))
    if not options.check:
        with replacing(REPORT) as beside:
            beside.write_text(text, encoding="utf-8", newline="\n")
        print(f"report:  {REPORT.name}")
    elif not REPORT.exists() or REPORT.read_text(encoding="utf-8") != text:
        raise LabError(f"{REPORT.name} is not what the results say: python -m common.report")
    return 0


if __name__ == "__main__":
    sys.exit(main())
