"""Effects of factors: the range of the levels' means, shares of variance, and gains by size."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from common.statistics.comparison import constants_allowed, spreads_differ
from common.statistics.intervals import LEVEL, converged


class Effect(NamedTuple):
    """The effect of a factor: the range of its levels' means with a 95 % interval.

    `eta_squared` is its share of the variance, `by_chance` the share expected without any effect,
    `slope` the change per step between ordered levels (nan without an order), with its p-value.
    """

    levels: int
    n: int
    range: float
    low: float
    high: float
    best: str
    worst: str
    eta_squared: float
    by_chance: float
    slope: float
    slope_p: float


@constants_allowed()
def effect(runs: pd.DataFrame, factor: str, ordered: bool) -> Effect:
    """The effect of a factor, a column of converged `runs`; `ordered` levels are in order.

    Needs at least 2 levels with at least 2 runs each. The interval is Tukey-Kramer's, or Games-
    Howell's if standard deviations differ. It accounts for the choice of best and worst level.
    """
    levels, names = pd.factorize(runs[factor])
    accuracies = runs["test_accuracy"].to_numpy(float)
    samples = [accuracies[levels == level] for level in range(len(names))]
    means = [sample.mean() for sample in samples]
    best, worst = int(np.argmax(means)), int(np.argmin(means))
    span = means[best] - means[worst]
    half = half_range(samples, best, worst, equal_spreads=not spreads_differ(samples))
    line = stats.linregress(levels, accuracies)
    return Effect(
        levels=len(samples),
        n=min(map(len, samples)),
        range=span,
        low=max(0.0, span - half),
        high=span + half,
        best=str(names[best]),
        worst=str(names[worst]),
        eta_squared=eta_squared(samples),
        by_chance=(len(samples) - 1) / (len(accuracies) - 1),
        slope=line.slope if ordered else np.nan,
        slope_p=line.pvalue if ordered else np.nan,
    )


def half_range(samples: Sequence[np.ndarray], i: int, j: int, equal_spreads: bool) -> float:
    """Half of the interval of the difference between the means of samples i and j.

    scipy's tukey_hsd gives the same interval, but takes 9 s for all pairs of ten samples.
    """
    if np.ptp(samples[i]) == np.ptp(samples[j]) == 0:
        return 0.0
    sizes = np.array([len(sample) for sample in samples])
    variances = np.array([sample.var(ddof=1) for sample in samples])
    if equal_spreads:  # Tukey and Kramer
        freedom = sizes.sum() - len(samples)
        variances[:] = ((sizes - 1) * variances).sum() / freedom
        of_means = variances / sizes
    else:  # Games and Howell
        of_means = variances / sizes
        a, b = of_means[[i, j]]
        freedom = (a + b) ** 2 / (a**2 / (sizes[i] - 1) + b**2 / (sizes[j] - 1))
    deviation = np.sqrt((of_means[i] + of_means[j]) / 2)
    return float(stats.studentized_range.ppf(LEVEL, len(samples), freedom) * deviation)


def eta_squared(samples: Sequence[np.ndarray]) -> float:
    """The share of the variance between samples; nan if all values are equal."""
    values = np.concatenate(samples)
    means = np.concatenate([np.full(len(sample), sample.mean()) for sample in samples])
    return float(means.var() / values.var()) if np.ptp(values) > 0 else np.nan


def eta_squared_two(values: np.ndarray) -> np.ndarray:
    """Shares of the variance in a balanced grid of shape (rows, columns, seeds).

    Returns the shares of rows, columns, interaction and seeds. All are nan if all values are equal.
    """
    if np.ptp(values) == 0:
        return np.full(4, np.nan)
    rows, columns, cells = values.mean((1, 2)), values.mean((0, 2)), values.mean(2)
    interaction = cells - rows[:, None] - columns + values.mean()
    parts = rows.var(), columns.var(), interaction.var(), values.var(2).mean()
    return np.array(parts) / values.var()


def grid_shares(runs: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """Shares of the variance in a grid of two factors, columns of `runs`.

    Returns one row: n (number of seeds that all cells have), share_<factor> for each factor,
    share_interaction, share_seeds. Returns no row if a cell is missing or n is below 2.
    """
    columns = ["n", *(f"share_{name}" for name in (*factors, "interaction", "seeds"))]
    wide = converged(runs).pivot(index=[*factors], columns="seed", values="test_accuracy")
    wide = wide.dropna(axis="columns")
    (rows, cols), n = wide.index.levshape, wide.shape[1]
    if len(wide) < rows * cols or n < 2:
        return pd.DataFrame(columns=columns)
    shares = eta_squared_two(wide.to_numpy().reshape(rows, cols, n))
    return pd.DataFrame([(n, *shares)], columns=columns)


class Gain(NamedTuple):
    """The gain of accuracy per unit of size: the slope of a line, with a 95 % interval.

    `error` is the slope's standard error, with `freedom` degrees of freedom.
    """

    slope: float
    low: float
    high: float
    error: float
    freedom: int


def gain(sizes: ArrayLike, accuracies: ArrayLike) -> Gain:
    """The gain per unit of size, from a line through all seeds of at least two sizes."""
    freedom = len(sizes) - 2
    line = stats.linregress(sizes, accuracies)
    half = stats.t.ppf((1 + LEVEL) / 2, freedom) * line.stderr
    return Gain(line.slope, line.slope - half, line.slope + half, line.stderr, freedom)


def gains_differ(a: Gain, b: Gain) -> float:
    """The p-value for equal gains of two factors, by Welch's test.

    If only size mattered, the gains would be equal. Both lines contain the baseline's runs, so the
    slopes are correlated and the test is conservative.
    """
    variance = a.error**2 + b.error**2
    freedom = variance**2 / (a.error**4 / a.freedom + b.error**4 / b.freedom)
    return float(2 * stats.t.sf(abs(a.slope - b.slope) / np.sqrt(variance), freedom))
