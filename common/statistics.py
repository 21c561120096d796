"""What the seeds can show: means, differences from the baseline, and the weight of a factor.

Everything here is of accuracies as fractions, one value a seed; scipy does the testing.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95
SEEDS_THAT_TELL = 5  # with fewer, unequal spreads are not seen


@contextmanager
def constants_are_expected() -> Iterator[None]:
    """Without scipy's warnings that some values do not vary: 13 layers may stay at 10 %."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


class Mean(NamedTuple):
    """The mean of n values, their standard deviation, and the 95 % interval of the mean."""

    n: int
    mean: float
    sd: float
    low: float
    high: float


class Difference(NamedTuple):
    """A design's mean less the baseline's, with a 95 % interval and a p-value.

    Interval and p-value hold for all comparisons of a table together. `correlation` is that of the
    two designs over the seeds they share.
    """

    difference: float
    low: float
    high: float
    p: float
    correlation: float
    method: str


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


def mean_interval(values: pd.Series | np.ndarray | list[float]) -> Mean:
    """Mean and 95 % t-interval of independent values; of one value, sd and interval are nan."""
    values = np.asarray(values, dtype=float)
    n = len(values)
    if n < 2:
        return Mean(n, values.mean() if n else np.nan, np.nan, np.nan, np.nan)
    # Of equal values the sum of squares may be a rounding error, not zero.
    mean, sd = values.mean(), values.std(ddof=1) if np.ptp(values) > 0 else 0.0
    half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * sd / np.sqrt(n)
    return Mean(n, mean, sd, mean - half, mean + half)


def wilson(correct: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a fraction of test images: what one run can tell (Wilson, 1927)."""
    interval = stats.binomtest(correct, total).proportion_ci(LEVEL, method="wilson")
    return interval.low, interval.high


def mean_or_wilson(values: pd.Series | list[float], tested: int) -> Mean:
    """Mean and interval of accuracies; of one alone the interval that `tested` images give it."""
    mean = mean_interval(values)
    if mean.n == 1:
        low, high = wilson(round(mean.mean * tested), tested)
        mean = mean._replace(low=low, high=high)
    return mean


@constants_are_expected()
def differences(values: dict[str, pd.Series], baseline: str) -> dict[str, Difference]:
    """Every design against the baseline.

    Dunnett's test where the spreads are seen to be alike; Welch's, with Holm's correction and
    intervals of Bonferroni's level, where they differ or are of too few seeds to tell; the paired
    t-test, corrected likewise, where all designs have the baseline's seeds and follow it: sharing
    a seed helps only if good seeds are good for both, so it is required to be shown.

    Args:
        values: for each design its accuracies, indexed by seed; at least 2 of each.
        baseline: the key of the design to compare with.
    """
    others = [name for name in values if name != baseline]
    control = values[baseline]
    pairs = [(values[name], control) for name in others]
    samples = [values[name].to_numpy(float) for name in others]
    correlations = [correlation(values[name], control) for name in others]
    if all(follows(values[name], control) for name in others):
        tests = [stats.ttest_rel(values[name].loc[control.index], control) for name in others]
        found = corrected(pairs, tests, correlations, "paired t, Holm")
        return dict(zip(others, found, strict=True))
    if spreads_differ([*samples, control.to_numpy(float)]):
        return dict(zip(others, welch(pairs), strict=True))
    found = dunnett(samples, control.to_numpy(float))
    return {
        name: Difference(*found[i], correlations[i], "Dunnett") for i, name in enumerate(others)
    }


def dunnett(
    samples: list[np.ndarray], control: np.ndarray
) -> list[tuple[float, float, float, float]]:
    """Difference from the control, its interval and p-value, by Dunnett's test (1955)."""
    # The seed is of the integration in Dunnett's distribution, not of any data.
    test = stats.dunnett(*samples, control=control, rng=np.random.default_rng(0))
    interval = test.confidence_interval(LEVEL)
    found = [sample.mean() - control.mean() for sample in samples]
    return list(zip(found, interval.low, interval.high, test.pvalue, strict=True))


@constants_are_expected()
def welch(pairs: list[tuple[pd.Series, pd.Series]]) -> list[Difference]:
    """The first of each pair against the second, by Welch's test with Holm's correction."""
    if not pairs:
        return []
    tests = [stats.ttest_ind(a, b, equal_var=False) for a, b in pairs]
    return corrected(pairs, tests, [correlation(a, b) for a, b in pairs], "Welch, Holm")


def corrected(
    pairs: list[tuple[pd.Series, pd.Series]], tests: list, correlations: list[float], method: str
) -> list[Difference]:
    """Differences with Holm's p-values and intervals of Bonferroni's level."""
    raw = np.array([test.pvalue for test in tests])
    # Means of equal values differ in their last bits.
    found = np.round([a.mean() - b.mean() for a, b in pairs], 12)
    # No spread at all: equal or different, without doubt.
    flat = [np.ptp(a) == 0 and np.ptp(b) == 0 for a, b in pairs]
    raw = np.where(np.isnan(raw) | flat, np.equal(found, 0).astype(float), raw)
    order = np.argsort(raw, kind="stable")
    adjusted = np.empty_like(raw)
    holm = raw[order] * np.arange(len(raw), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(holm))
    level = 1 - (1 - LEVEL) / len(pairs)
    intervals = [test.confidence_interval(level) for test in tests]
    return [
        Difference(difference, interval.low, interval.high, p, correlation, method)
        for difference, interval, p, correlation in zip(
            found, intervals, adjusted, correlations, strict=True
        )
    ]


def correlation(a: pd.Series, b: pd.Series) -> float:
    """Pearson's correlation over the seeds that both have; nan of fewer than 3 or of constants."""
    shared = a.index.intersection(b.index)
    x, y = a.loc[shared].to_numpy(float), b.loc[shared].to_numpy(float)
    if len(shared) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    return float(stats.pearsonr(x, y).statistic)


def follows(a: pd.Series, b: pd.Series) -> bool:
    """Whether two designs have the same seeds and are shown to be good on the same ones.

    The 95 % interval of their correlation lies above 0; a positive correlation alone comes by
    chance every second time.
    """
    if len(a) < 4 or not a.index.sort_values().equals(b.index.sort_values()):
        return False
    if np.isnan(correlation(a, b)):
        return False
    return stats.pearsonr(a.loc[b.index], b).confidence_interval(LEVEL).low > 0


def spreads_differ(samples: list[np.ndarray]) -> bool:
    """Whether the spreads differ, or may: by Bartlett's test (1937), and with too few values.

    Of 4 designs with 3 seeds each, one with 3 times the deviation of the others passes Bartlett's
    test in 3 of 4 tables, and then Dunnett's finds differences in 12 % where there is none.
    """
    if min(map(len, samples)) < SEEDS_THAT_TELL:
        return True
    varies = [np.ptp(sample) > 0 for sample in samples]
    if not all(varies):
        return any(varies)
    return stats.bartlett(*samples).pvalue < 1 - LEVEL


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


def summarise(frame: pd.DataFrame, by: list[str], column: str) -> pd.DataFrame:
    """`mean_interval` of `column` for each group of rows, in the order of their appearance.

    Returns a frame with the columns `by`, n, mean, sd, low, high.
    """
    groups = frame.groupby(by, sort=False)[column]
    rows = [(*names, *mean_interval(values)) for names, values in groups]
    return pd.DataFrame(rows, columns=[*by, *Mean._fields])


def converged(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs whose training loss stayed finite: means are taken over these."""
    return runs[np.isfinite(runs["train_loss"].astype(float))]
