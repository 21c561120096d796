"""Number formats of the report. The functions are filters of its template."""

import math

from common import console
from common.statistics.intervals import Mean


def percent(fraction: float, digits: int = 2) -> str:
    """A fraction in per cent: `54.97 %`."""
    return f"{console.percent(fraction, digits)} %"


def interval(mean: Mean) -> str:
    """The 95 % interval of a mean fraction: `53.48 to 56.46 %`."""
    return f"{console.percent(mean.low)} to {percent(mean.high)}"


def points(difference: float) -> str:
    """A difference of fractions in percentage points: `-2.30`."""
    return ("-" if difference < 0 else "+") + console.percent(abs(difference))


def p_value(p: float) -> str:
    """A p-value in a table: `0.030`, `< 0.001`."""
    return console.p_value(p)


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
