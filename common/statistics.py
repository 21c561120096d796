"""What the seeds say: means with their intervals."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats


class Mean(NamedTuple):
    """The mean of n values, their standard deviation, and the 95 % interval of the mean."""

    n: int
    mean: float
    sd: float
    low: float
    high: float


def mean_interval(values: pd.Series | np.ndarray | list[float]) -> Mean:
    """Mean and 95 % t-interval of independent values; of one value, sd and interval are nan."""
    values = np.asarray(values, dtype=float)
    n = len(values)
    if n < 2:
        return Mean(n, values.mean() if n else np.nan, np.nan, np.nan, np.nan)
    mean, sd = values.mean(), values.std(ddof=1)
    half = stats.t.ppf(0.975, n - 1) * sd / np.sqrt(n)
    return Mean(n, mean, sd, mean - half, mean + half)


def summarise(frame: pd.DataFrame, by: list[str], column: str) -> pd.DataFrame:
    """`mean_interval` of `column` for each group of rows, in the order of their appearance.

    Returns a frame with the columns `by`, n, mean, sd, low, high.
    """
    groups = frame.groupby(by, sort=False)[column]
    rows = [(*names, *mean_interval(values)) for names, values in groups]
    return pd.DataFrame(rows, columns=[*by, *Mean._fields])


def converged(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs whose training loss stayed finite: means are taken over these."""
    return runs[np.isfinite(runs["train_loss"])]
