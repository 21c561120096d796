"""The statistics, against worked examples and by simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from common.statistics import comparison, effects, intervals


def seeds(values: list[float] | np.ndarray) -> pd.Series:
    return pd.Series(np.asarray(values, float), index=range(len(values)))


def test_an_interval_is_students() -> None:
    """Student's sleep data (1908), drug 2: mean 2.33; 0.898 to 3.762 by R's t.test."""
    sleep = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    mean = intervals.mean_interval(sleep)
    assert mean.n == 10
    assert mean.mean == pytest.approx(2.33)
    assert mean.sd == pytest.approx(2.002249, abs=1e-6)
    assert mean.low == pytest.approx(0.8976775, abs=1e-6)
    assert mean.high == pytest.approx(3.7623225, abs=1e-6)


def test_one_seed_has_the_interval_of_its_test_images_alone() -> None:
    mean = intervals.mean_interval([0.54])
    assert (mean.n, mean.mean) == (1, 0.54)
    assert np.isnan([mean.sd, mean.low, mean.high]).all()
    assert intervals.mean_or_wilson([0.54], 10000)[3:] == intervals.wilson(5400, 10000)
    low, high = intervals.wilson(5400, 10000)
    assert (high - low) / 2 == pytest.approx(0.0098, abs=1e-4)  # 1.0 point at 54 %
    assert intervals.wilson(9900, 10000)[1] - 0.99 < 0.99 - intervals.wilson(9900, 10000)[0]


def test_differences_are_dunnetts_where_spreads_agree() -> None:
    """Dunnett's example (1955): blood counts under two drugs and none; p = 0.62 and 0.006."""
    none = seeds([7.40, 8.50, 7.20, 8.24, 9.84, 8.32])
    drugs = seeds([9.76, 8.80, 7.68, 9.36]), seeds([12.80, 9.68, 12.16, 9.20, 10.55])
    a, b = comparison.dunnett([(drug, none) for drug in drugs])
    assert a.difference == pytest.approx(8.90 - 8.25)
    assert a.p == pytest.approx(0.6201, abs=2e-3)
    assert b.p == pytest.approx(0.0059, abs=5e-4)
    assert a.difference_low < 0 < a.difference_high and 0 < b.difference_low < b.difference_high
    rng = np.random.default_rng(2)
    values = {name: seeds(rng.normal(0.54, 0.01, 6)) for name in ("base", "a", "b")}
    pairs = [(values[name], values["base"]) for name in ("a", "b")]
    expected = dict(zip(("a", "b"), comparison.dunnett(pairs), strict=True))
    assert comparison.differences(values, "base") == expected
    assert {row.method for row in expected.values()} == {"Dunnett"}


def test_spreads_of_few_seeds_do_not_count_as_equal() -> None:
    values = {name: seeds([0.53, 0.54, 0.56]) for name in ("base", "a", "b")}
    assert comparison.differences(values, "base")["a"].method == "Welch, Holm"


def test_differences_are_welchs_with_holms_correction_where_spreads_differ() -> None:
    rng = np.random.default_rng(0)
    values = {
        "base": seeds(rng.normal(0.54, 0.001, 10)),
        "wide": seeds(rng.normal(0.54, 0.05, 10)),
        "other": seeds(rng.normal(0.56, 0.01, 10)),
    }
    rows = comparison.differences(values, "base")
    assert {row.method for row in rows.values()} == {"Welch, Holm"}
    raw = {
        name: stats.ttest_ind(values[name], values["base"], equal_var=False)
        for name in ("wide", "other")
    }
    small, large = sorted(raw, key=lambda name: raw[name].pvalue)
    assert rows[small].p == pytest.approx(2 * raw[small].pvalue)
    assert rows[large].p == pytest.approx(max(2 * raw[small].pvalue, raw[large].pvalue))
    interval = raw["wide"].confidence_interval(0.975)
    assert rows["wide"].difference_low == pytest.approx(interval.low)
    assert rows["wide"].difference_high == pytest.approx(interval.high)


def test_seeds_are_paired_only_where_designs_follow_the_baseline() -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(0.5, 0.02, 10)
    values = {
        "base": seeds(common),
        "better": seeds(common + 0.005 + rng.normal(0, 0.002, 10)),
    }
    paired = comparison.differences(values, "base")["better"]
    assert paired.method == "paired t, Holm"
    assert paired.correlation > 0.9
    assert paired.p == pytest.approx(stats.ttest_rel(values["better"], values["base"]).pvalue)
    assert paired.p < 0.001
    values["better"] = seeds(values["better"].sample(frac=1, random_state=0).to_numpy())
    assert comparison.differences(values, "base")["better"].method == "Dunnett"


def test_a_design_with_constant_accuracy_is_compared_too() -> None:
    """13 layers that stay at 10 %; and two such designs."""
    values = {"7": seeds([0.53, 0.55, 0.54]), "13": seeds([0.1] * 3), "11": seeds([0.1, 0.3, 0.2])}
    row = comparison.differences(values, "7")["13"]
    assert row.p < 0.001
    assert row.difference_low < -0.44 < row.difference_high
    same = comparison.differences({"a": seeds([0.1] * 3), "b": seeds([0.1] * 3)}, "a")["b"]
    assert (same.difference, same.p) == (0, 1)


def test_three_seeds_cannot_show_a_difference_of_one_point() -> None:
    values = {"base": seeds([0.530, 0.543, 0.556]), "other": seeds([0.540, 0.553, 0.566])}
    assert comparison.differences(values, "base")["other"].p > 0.3


def effect_of(ordered: bool = False, **levels: np.ndarray) -> effects.Effect:
    accuracies = pd.Series(levels, name="test_accuracy").explode()
    return effects.effect(accuracies.rename_axis("level").reset_index(), "level", ordered)


def test_an_effect_is_its_range_with_tukeys_interval() -> None:
    """Two levels: Tukey's interval of their difference is Student's."""
    a, b = np.array([24.5, 23.5, 26.4, 27.1, 29.9]), np.array([28.4, 34.2, 29.5, 32.2, 30.1])
    effect = effect_of(a=a, b=b)
    student = stats.ttest_ind(b, a).confidence_interval()
    assert effect.range == pytest.approx(b.mean() - a.mean())
    assert (effect.low, effect.high) == pytest.approx((student.low, student.high), rel=1e-4)
    assert (effect.best, effect.worst, effect.levels, effect.n) == ("b", "a", 2, 5)
    assert np.isnan(effect.slope)


@pytest.mark.parametrize("equal", [True, False])
def test_the_interval_of_one_pair_is_scipys(equal: bool) -> None:
    samples = [np.random.default_rng(i).normal(i, 1 + i, 4 + i) for i in range(3)]
    try:
        tukey = stats.tukey_hsd(*samples, **({} if equal else {"equal_var": False}))
    except TypeError:
        pytest.skip("scipy before 1.16 has no Games-Howell test")
    interval = tukey.confidence_interval()
    half = effects.half_range(samples, 2, 0, equal_spreads=equal)
    assert half == pytest.approx((interval.high[2, 0] - interval.low[2, 0]) / 2, rel=1e-6)


def test_eta_squared_by_hand() -> None:
    a, b = np.array([1.0, 3.0]), np.array([5.0, 7.0])
    assert effects.eta_squared([a, b]) == pytest.approx(16 / 20)
    line = effect_of(ordered=True, first=a, second=b)
    assert line.slope == pytest.approx(4)


def test_the_gain_by_a_size_by_hand() -> None:
    """Through (0, 0), (1, 1), (2, 1): slope 1/2, squared residuals 1/6, one degree of freedom."""
    gain = effects.gain([0, 1, 2], [0.0, 1.0, 1.0])
    assert gain.slope == pytest.approx(0.5)
    assert gain.error == pytest.approx((1 / 12) ** 0.5)
    assert gain.high - gain.slope == pytest.approx(12.7062 * (1 / 12) ** 0.5, rel=1e-5)
    assert gain.slope - gain.low == pytest.approx(gain.high - gain.slope)


def test_equal_gains_rarely_differ() -> None:
    """Lines that share their first points, as factors share the baseline: the test is cautious."""
    rng = np.random.default_rng(0)
    sizes = np.repeat([0, 1, 2, 3], 5)

    def significant(steeper: float) -> float:
        p = []
        for _ in range(500):
            a, b = rng.normal(size=(2, 20)) + np.outer([1, steeper], sizes)
            b[:5] = a[:5]
            p.append(effects.gains_differ(effects.gain(sizes, a), effects.gain(sizes, b)))
        return float(np.mean(np.array(p) < 0.05))

    assert significant(1) < 0.06
    assert significant(2) > 0.8


def test_constant_accuracies_have_no_shares() -> None:
    constant = np.full((4, 4, 3), 0.1)
    assert np.isnan(effects.eta_squared_two(constant)).all()
    flat = effect_of(a=constant[0, 0], b=constant[0, 1])
    assert np.isnan(flat.eta_squared) and (flat.range, flat.low, flat.high) == (0, 0, 0)
    assert intervals.mean_interval([0.1] * 3).sd == 0
    uneven = {"a": seeds([0.1] * 3), "b": seeds([0.1] * 5)}
    assert comparison.differences(uneven, "a")["b"].p == 1


def test_a_factor_without_effect_has_the_share_expected_by_chance() -> None:
    rng = np.random.default_rng(0)
    samples = [rng.normal(size=3) for _ in range(4)]
    by_chance = effect_of(**{str(i): sample for i, sample in enumerate(samples)}).by_chance
    assert by_chance == pytest.approx(3 / 11)
    shares = [effects.eta_squared(list(rng.normal(size=(4, 3)))) for _ in range(2000)]
    assert np.mean(shares) == pytest.approx(by_chance, abs=0.015)


def runs(**accuracies: list[float]) -> pd.DataFrame:
    """Rows of runs by design, one per seed; a run with the accuracy nan diverged."""
    rows = [
        {"dataset": "d", "design": design, "recipe": "r", "seed": seed}
        | {"train_loss": value, "test_accuracy": value}
        for design, values in accuracies.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_a_comparison_has_a_row_per_design() -> None:
    frame = runs(a=[0.5, 0.6, 0.7], b=[0.8, 0.9, 1.0], one=[0.54], diverged=[np.nan, np.nan])
    table = comparison.compare(frame, ["dataset", "design"], "a", images=10000)
    names = ["dataset", "design", *intervals.Mean._fields, *comparison.Difference._fields]
    assert list(table.columns) == names
    assert table["design"].tolist() == ["a", "b", "one", "diverged"]
    assert table["n"].tolist() == [3, 3, 1, 0]
    difference = comparison.differences(
        {name: seeds(frame.loc[frame["design"] == name, "test_accuracy"]) for name in "ab"}, "a"
    )["b"]
    assert tuple(table.iloc[1][list(difference._fields)]) == pytest.approx(difference, nan_ok=True)
    assert table["difference"].isna().tolist() == [True, False, True, True]
    assert tuple(table.loc[2, ["low", "high"]]) == intervals.wilson(5400, 10000)
    alone = comparison.compare(frame, ["design"], "one", images=10000)
    assert alone["difference"].isna().all()  # one seed is no baseline


def test_guessing_means_the_most_frequent_class() -> None:
    classes = pd.DataFrame(
        {"class": ["a", "b"] * 2, "total": [1135, 8865] * 2, "seed": [0, 0, 1, 1]}
    )
    assert comparison.test_images(classes) == 10_000
    assert comparison.guessing(classes) == intervals.wilson(8865, 10_000)[1]


def test_a_grid_without_a_cell_has_no_shares() -> None:
    cells = runs(a=[0.1, 0.2], b=[0.2, 0.3], c=[0.5, 0.6, 0.9], d=[0.6, 0.7])
    cells = cells.assign(
        x=cells["design"].isin(["a", "b"]).astype(int), y=cells["design"].isin(["a", "c"])
    )
    (row,) = effects.grid_shares(cells, ["x", "y"]).to_dict("records")
    assert row["n"] == 2  # seed 2 of one cell alone does not count
    shares = [row[f"share_{name}"] for name in ("x", "y", "interaction", "seeds")]
    assert sum(shares) == pytest.approx(1) and shares[0] > 0.8
    assert effects.grid_shares(cells[cells["design"] != "d"], ["x", "y"]).empty
    assert effects.grid_shares(cells[cells["seed"] == 0], ["x", "y"]).empty


def test_shares_of_a_grid_by_hand() -> None:
    """Rows add 2, columns add 1, there is no interaction, seeds differ by 1."""
    cells = np.array([[0.0, 1.0], [2.0, 3.0]])
    values = cells[..., None] + np.array([-0.5, 0.5])
    shares = effects.eta_squared_two(values)
    assert shares == pytest.approx([8 / 12, 2 / 12, 0, 2 / 12])  # rows, columns, both, seeds
    values[1, 1] += 4
    shares = effects.eta_squared_two(values)
    assert shares[2] > 0.1 and sum(shares) == pytest.approx(1)


@pytest.mark.parametrize("n", [3, 10])
def test_intervals_cover_the_true_mean_in_95_percent_of_cases(n: int) -> None:
    rng = np.random.default_rng(n)
    covered = 0
    for sample in rng.normal(0.54, 0.0126, (2000, n)):
        mean = intervals.mean_interval(sample)
        covered += mean.low <= 0.54 <= mean.high
    assert 0.935 <= covered / 2000 <= 0.965  # 3 standard errors are 0.015


@pytest.mark.parametrize(
    ("n", "deviations"),
    [(3, (1, 1, 1, 1)), (3, (3, 1, 1, 1)), (10, (1, 1, 1, 1)), (10, (1, 3, 1, 2))],
)
def test_equal_designs_rarely_differ(n: int, deviations: tuple) -> None:
    """By chance some design differs in 5 % of tables of four designs; in fewer with 3 seeds."""
    rng = np.random.default_rng(n)
    significant = 0
    for _ in range(200):
        values = {
            str(i): seeds(rng.normal(0.54, 0.0126 * deviation, n))
            for i, deviation in enumerate(deviations)
        }
        significant += min(row.p for row in comparison.differences(values, "0").values()) < 0.05
    assert (0.005 if n > 3 else 0) <= significant / 200 <= 0.1  # 3 standard errors are 0.046
