"""The weight of a factor: the range of its levels' means, and the variance that it explains.

Everything here is of accuracies as fractions, one value a seed; scipy does the testing.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from common.statistics.intervals import LEVEL, constants_are_expected, spreads_differ


class Effect(NamedTuple):
    """What a factor does: its range of means with a 95 % interval, and the variance it explains.

    `by_chance` is the eta squared to expect of a factor that does nothing; `slope` is the change
    from one level to the next of ordered levels (nan of others), with its p-value.
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


@constants_are_expected()
def effect(values: dict[str, np.ndarray], ordered: bool) -> Effect:
    """What a factor does, from the accuracies at each of its levels.

    The range is that from the worst level's mean to the best's; its interval is that of Tukey and
    Kramer, or of Games and Howell where spreads differ, and so allows for their having been
    chosen. With 2 levels or more of at least 2 values each.
    """
    names = list(values)
    samples = [np.asarray(values[name], float) for name in names]
    means = np.array([sample.mean() for sample in samples])
    best, worst = int(means.argmax()), int(means.argmin())
    half = half_range(samples, best, worst, equal_spreads=not spreads_differ(samples))
    slope = slope_p = np.nan
    if ordered:
        places = np.repeat(np.arange(len(samples)), [len(sample) for sample in samples])
        line = stats.linregress(places, np.concatenate(samples))
        slope, slope_p = line.slope, line.pvalue
    return Effect(
        levels=len(samples),
        n=min(map(len, samples)),
        range=means[best] - means[worst],
        low=max(0.0, means[best] - means[worst] - half),
        high=means[best] - means[worst] + half,
        best=names[best],
        worst=names[worst],
        eta_squared=eta_squared(samples),
        by_chance=(len(samples) - 1) / (sum(map(len, samples)) - 1),
        slope=slope,
        slope_p=slope_p,
    )


class Gain(NamedTuple):
    """By how much accuracy rises with a size: the slope of a line, with its 95 % interval.

    `error` is the slope's standard error, of `freedom` degrees.
    """

    slope: float
    low: float
    high: float
    error: float
    freedom: int


def gain(sizes: ArrayLike, accuracies: ArrayLike) -> Gain:
    """What a unit of a size brings, by the line through all seeds. There must be two sizes."""
    freedom = len(sizes) - 2
    line = stats.linregress(sizes, accuracies)
    half = stats.t.ppf((1 + LEVEL) / 2, freedom) * line.stderr
    return Gain(line.slope, line.slope - half, line.slope + half, line.stderr, freedom)


def gains_differ(a: Gain, b: Gain) -> float:
    """The p-value that a unit of the size brings as much by one factor as by another: Welch's.

    Were size all that matters, it would. The baseline's seeds are in both lines, which makes the
    slopes rise together and the test cautious.
    """
    variances = a.error**2, b.error**2
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / a.freedom + variances[1] ** 2 / b.freedom)
    return float(2 * stats.t.sf(abs(a.slope - b.slope) / np.sqrt(sum(variances)), freedom))


def half_range(samples: list[np.ndarray], i: int, j: int, equal_spreads: bool) -> float:
    """Half of the interval of the difference between the means of samples i and j.

    As in scipy's tukey_hsd, which computes it for all pairs: with ten samples, 9 seconds.
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


def eta_squared(samples: list[np.ndarray]) -> float:
    """The share of all variance that lies between the samples; nan where nothing varies."""
    everything = np.concatenate(samples)
    if np.ptp(everything) == 0:
        return np.nan
    total = ((everything - everything.mean()) ** 2).sum()
    between = sum(len(s) * (s.mean() - everything.mean()) ** 2 for s in samples)
    return float(between / total)


def eta_squared_two(values: np.ndarray) -> dict[str, float]:
    """Shares of variance in a balanced grid (rows, columns, seeds): factors, both, the rest.

    Nan where nothing varies.
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
