"""Means over seeds with their 95 % intervals."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95


class Mean(NamedTuple):
    """Mean of n values, their standard deviation, and the 95 % interval of the mean."""

    n: int
    mean: float
    sd: float
    low: float
    high: float


def mean_interval(values: pd.Series | np.ndarray | list[float]) -> Mean:
    """Mean and 95 % t-interval of independent values; for one value, sd and interval are nan."""
    values = np.asarray(values, dtype=float)
    n = len(values)
    if n < 2:
        return Mean(n, values.mean() if n else np.nan, np.nan, np.nan, np.nan)
    # For equal values the sum of squares may be a rounding error instead of zero.
    mean, sd = values.mean(), values.std(ddof=1) if np.ptp(values) > 0 else 0.0
    half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * sd / np.sqrt(n)
    return Mean(n, mean, sd, mean - half, mean + half)


def wilson(correct: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a fraction of test images, for a single run (Wilson, 1927)."""
    interval = stats.binomtest(correct, total).proportion_ci(LEVEL, method="wilson")
    return interval.low, interval.high


def mean_or_wilson(values: pd.Series | list[float], images: int) -> Mean:
    """`mean_interval` of accuracies on `images` test images; for one value Wilson's interval."""
    mean = mean_interval(values)
    if mean.n == 1:
        low, high = wilson(round(mean.mean * images), images)
        mean = mean._replace(low=low, high=high)
    return mean


def summarise(frame: pd.DataFrame, by: list[str], column: str) -> pd.DataFrame:
    """`mean_interval` of `column` for each group of rows, in the order of the rows.

    Returns the columns `by`, n, mean, sd, low, high.
    """
    groups = frame.groupby(by, sort=False)[column]
    rows = [(*names, *mean_interval(values)) for names, values in groups]
    return pd.DataFrame(rows, columns=[*by, *Mean._fields])


def converged(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with a finite training loss. Means use only these runs."""
    return runs[np.isfinite(runs["train_loss"].astype(float))]
