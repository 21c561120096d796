"""Compare designs with a baseline: differences of mean accuracies, intervals and p-values."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from common.statistics.intervals import LEVEL, Mean, converged, mean_or_wilson, wilson

SEEDS_FOR_SPREADS = 5  # fewer seeds cannot show that standard deviations differ

Pair = tuple[pd.Series, pd.Series]  # accuracies of a design and of the baseline, by seed


class Difference(NamedTuple):
    """A design's mean minus the baseline's, with a 95 % interval and a p-value.

    Interval and p-value are corrected for the number of comparisons in a table. `correlation` is
    between the two designs over their common seeds. The default: a comparison is not possible.
    """

    difference: float = np.nan
    difference_low: float = np.nan
    difference_high: float = np.nan
    p: float = np.nan
    correlation: float = np.nan
    method: str = ""


@contextmanager
def constants_allowed() -> Iterator[None]:
    """Suppress scipy's warnings about constant values: all seeds of a design may stay at 10 %."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def compare(runs: pd.DataFrame, key: Sequence[str], baseline: str, images: int) -> pd.DataFrame:
    """One row per design: its mean over seeds, and its difference from the baseline.

    With one seed the interval is Wilson's, for `images` test images, and there is no difference.

    Returns the columns `key`, the fields of Mean and the fields of Difference.
    """
    by_seed = converged(runs).set_index("seed")
    accuracies = dict(iter(by_seed.groupby("design", sort=False)["test_accuracy"]))
    several = {design: values for design, values in accuracies.items() if len(values) > 1}
    compared = differences(several, baseline) if baseline in several else {}
    rows = []
    for _, first in runs.drop_duplicates("design").iterrows():
        mean = mean_or_wilson(accuracies.get(first["design"], []), images)
        difference = compared.get(first["design"], Difference())
        rows.append((*first[list(key)], *mean, *difference))
    return pd.DataFrame(rows, columns=[*key, *Mean._fields, *Difference._fields])


def test_images(classes: pd.DataFrame) -> int:
    """The number of test images of a run, from the table of classes."""
    return int(classes.drop_duplicates("class")["total"].sum())


def guessing(classes: pd.DataFrame) -> float:
    """The highest accuracy that guessing explains, from the table of classes.

    It is the upper limit of Wilson's interval if every answer is the most frequent class.
    """
    totals = classes.drop_duplicates("class")["total"]
    return wilson(int(totals.max()), int(totals.sum()))[1]


@constants_allowed()
def differences(values: dict[str, pd.Series], baseline: str) -> dict[str, Difference]:
    """Compare every design of `values` with the baseline; at least 2 accuracies each, by seed.

    If all designs follow the baseline (see `follows`): paired t-test with Holm's correction.
    Otherwise, if standard deviations are equal: Dunnett's test. If they differ or there are too few
    seeds to decide: Welch's test with Holm's correction.
    """
    names = [name for name in values if name != baseline]
    pairs = [(values[name], values[baseline]) for name in names]
    if all(follows(*pair) for pair in pairs):
        tests = [stats.ttest_rel(a.loc[b.index], b) for a, b in pairs]
        rows = corrected(pairs, tests, "paired t, Holm")
    elif spreads_differ([values[name].to_numpy(float) for name in (*names, baseline)]):
        rows = welch(pairs)
    else:
        rows = dunnett(pairs)
    return dict(zip(names, rows, strict=True))


def dunnett(pairs: Sequence[Pair]) -> list[Difference]:
    """Compare several designs with the same baseline by Dunnett's test (1955)."""
    samples, control = [a.to_numpy(float) for a, _ in pairs], pairs[0][1].to_numpy(float)
    # The test computes an integral with random numbers.
    test = stats.dunnett(*samples, control=control, rng=np.random.default_rng(0))
    low, high = test.confidence_interval(LEVEL)
    means = [sample.mean() - control.mean() for sample in samples]
    correlations = [correlation(*pair) for pair in pairs]
    rows = zip(means, low, high, test.pvalue, correlations, strict=True)
    return [Difference(*row, "Dunnett") for row in rows]


@constants_allowed()
def welch(pairs: Sequence[Pair]) -> list[Difference]:
    """Compare the two designs of each pair by Welch's test with Holm's correction."""
    tests = [stats.ttest_ind(a, b, equal_var=False) for a, b in pairs]
    return corrected(pairs, tests, "Welch, Holm")


def corrected(pairs: Sequence[Pair], tests: Sequence, method: str) -> list[Difference]:
    """Differences with Holm's p-values and Bonferroni's intervals."""
    raw = np.array([test.pvalue for test in tests])
    # Means of equal values differ in their last bits.
    means = np.round([a.mean() - b.mean() for a, b in pairs], 12)
    # If no accuracy varies, the means are exact: equal (p = 1) or different (p = 0).
    certain = np.array([np.ptp(a) == np.ptp(b) == 0 for a, b in pairs], bool)
    raw = np.where(np.isnan(raw) | certain, means == 0, raw)
    order = np.argsort(raw, kind="stable")
    holm = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    p = np.minimum(1, holm)[np.argsort(order)]
    intervals = [test.confidence_interval(1 - (1 - LEVEL) / len(pairs)) for test in tests]
    rows = zip(means, intervals, p, pairs, strict=True)
    return [Difference(m, *limits, p, correlation(*pair), method) for m, limits, p, pair in rows]


def correlation(a: pd.Series, b: pd.Series) -> float:
    """Pearson's correlation over common seeds; nan for fewer than 3 seeds or constant values."""
    x, y = pd.concat([a, b], axis=1, join="inner").to_numpy(float).T
    varies = len(x) > 2 and np.ptp(x) > 0 and np.ptp(y) > 0
    return float(stats.pearsonr(x, y).statistic) if varies else np.nan


def follows(a: pd.Series, b: pd.Series) -> bool:
    """Whether two designs have the same seeds, at least 4, and correlated accuracies.

    The 95 % interval of their correlation must be above 0: a positive correlation is often chance.
    """
    same_seeds = a.index.sort_values().equals(b.index.sort_values())
    if len(a) < 4 or not same_seeds or np.isnan(correlation(a, b)):
        return False
    return stats.pearsonr(a.loc[b.index], b).confidence_interval(LEVEL).low > 0


def spreads_differ(samples: Sequence[np.ndarray]) -> bool:
    """Whether standard deviations differ by Bartlett's test (1937), or seeds are too few to decide.

    With 3 seeds of 4 designs, Bartlett's test misses a three times larger standard deviation in 3
    of 4 tables. Dunnett's test then reports false differences in 12 % of these tables.
    """
    if min(map(len, samples)) < SEEDS_FOR_SPREADS:
        return True
    varies = [np.ptp(sample) > 0 for sample in samples]
    if not all(varies):
        return any(varies)
    return stats.bartlett(*samples).pvalue < 1 - LEVEL
