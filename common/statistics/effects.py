"""Effects of factors: the range of the levels' means, shares of variance, and gains by size."""

from collections.abc import Mapping, Sequence
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
def effect(values: Mapping[str, ArrayLike], ordered: bool) -> Effect:
    """The effect of a factor, from the accuracies at each of its levels.

    Needs at least 2 levels with at least 2 values each. The interval is Tukey-Kramer's, or Games-
    Howell's if standard deviations differ. It accounts for the choice of best and worst level.
    """
    names = list(values)
    samples = [np.asarray(values[name], float) for name in names]
    means = np.array([sample.mean() for sample in samples])
    best, worst = int(means.argmax()), int(means.argmin())
    span = means[best] - means[worst]
    half = half_range(samples, best, worst, equal_spreads=not spreads_differ(samples))
    slope = slope_p = np.nan
    if ordered:
        steps = np.repeat(np.arange(len(samples)), [len(sample) for sample in samples])
        line = stats.linregress(steps, np.concatenate(samples))
        slope, slope_p = line.slope, line.pvalue
    return Effect(
        levels=len(samples),
        n=min(map(len, samples)),
        range=span,
        low=max(0.0, span - half),
        high=span + half,
        best=names[best],
        worst=names[worst],
        eta_squared=eta_squared(samples),
        by_chance=(len(samples) - 1) / (sum(map(len, samples)) - 1),
        slope=slope,
        slope_p=slope_p,
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
    if np.ptp(values) == 0:
        return np.nan
    between = sum(len(s) * (s.mean() - values.mean()) ** 2 for s in samples)
    return float(between / ((values - values.mean()) ** 2).sum())


def eta_squared_two(values: np.ndarray) -> dict[str, float]:
    """Shares of the variance in a balanced grid of shape (rows, columns, seeds).

    Keys: rows, columns, interaction, seeds. All are nan if all values are equal.
    """
    if np.ptp(values) == 0:
        return dict.fromkeys(("rows", "columns", "interaction", "seeds"), np.nan)
    grand = values.mean()
    rows, columns = values.mean((1, 2)), values.mean((0, 2))
    cells = values.mean(2)
    total = ((values - grand) ** 2).sum()
    size = values.shape
    shares = {
        "rows": size[1] * size[2] * ((rows - grand) ** 2).sum(),
        "columns": size[0] * size[2] * ((columns - grand) ** 2).sum(),
        "interaction": size[2] * ((cells - rows[:, None] - columns[None, :] + grand) ** 2).sum(),
        "seeds": ((values - cells[..., None]) ** 2).sum(),
    }
    return {name: float(share / total) for name, share in shares.items()}


def grid_shares(runs: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """Shares of the variance in a grid of two factors, columns of `runs`.

    Returns one row: n (number of seeds that all cells have), share_<factor> for each factor,
    share_interaction, share_seeds. Returns no row if a cell is missing or n is below 2.
    """
    columns = ["n", *(f"share_{name}" for name in (*factors, "interaction", "seeds"))]
    wide = converged(runs).pivot(index=[*factors], columns="seed", values="test_accuracy")
    wide = wide.dropna(axis="columns")
    rows, cols = (wide.index.unique(level).size for level in (0, 1))
    if len(wide) < rows * cols or wide.shape[1] < 2:
        return pd.DataFrame(columns=columns)
    shares = eta_squared_two(wide.to_numpy().reshape(rows, cols, -1))
    return pd.DataFrame([(wide.shape[1], *shares.values())], columns=columns)


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
    variances = a.error**2, b.error**2
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / a.freedom + variances[1] ** 2 / b.freedom)
    return float(2 * stats.t.sf(abs(a.slope - b.slope) / np.sqrt(sum(variances)), freedom))
