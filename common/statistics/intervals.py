"""What the seeds can show: means, and differences from the baseline.

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
