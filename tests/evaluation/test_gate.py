"""Limits, words, ties, and by simulation how often an equal model would take the champion's place."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from linreg.evaluation.gate import Verdict, against_champion, failed_limits
from linreg.judging_config import GateConfig


def judged(new_N: np.ndarray, old_N: np.ndarray, **options: Any) -> Verdict:
    """Of one target, by its losses row by row."""
    return against_champion(new_N[:, None], old_N[:, None], targets=("y",), **options)


METRICS = {"test_rmse": 5.0, "test_rmse.apples": 2.0, "test_rmse.oranges": 7.0, "test_r2": 0.8, "test_r2.apples": 0.9}


def test_a_model_at_its_limits_passes_and_one_without_a_number_does_not() -> None:
    assert failed_limits(METRICS, GateConfig()) == []
    assert failed_limits(METRICS, GateConfig(max_rmse=5.0, min_r2=0.8)) == []
    assert len(failed_limits({"test_rmse": math.nan, "test_r2": math.nan}, GateConfig(max_rmse=1, min_r2=0))) == 2


def test_missed_limits_are_told_with_both_numbers_the_one_for_all_and_each_targets_own() -> None:
    gate = GateConfig(max_rmse={"*": 4, "apples": 3, "oranges": 6, "kg.per_ha": 1}, min_r2={"*": 0.95, "apples": 0.95})
    assert failed_limits(METRICS | {"test_rmse.kg.per_ha": 2.0}, gate) == [
        "rmse 5 is above gate.max_rmse 4",
        "rmse of oranges 7 is above gate.max_rmse.oranges 6",
        "rmse of kg.per_ha 2 is above gate.max_rmse.kg.per_ha 1",
        "r2 0.8 is below gate.min_r2 0.95",
        "r2 of apples 0.9 is below gate.min_r2.apples 0.95",
    ]


RISING = np.arange(1.0, 30.0)
NOISY = np.array([1.0, 4.0, 2.0, 8.0, 3.0])
KEPT = {  # losses of the new model and of the champion, what the reason says, and whether on training rows too
    "worse": (1.5 * RISING, RISING, "kept version 2: the new one is 50.00% worse, ", True),
    "a tie": (RISING.copy(), RISING, "equally good", True),
    "a gain of rounding alone": (RISING * (1 - 1e-9), RISING, "equally good", True),
    "a champion without loss": (np.zeros(5), np.zeros(5), "its loss is 0", True),
    "five noisy rows": (NOISY * [0.1, 1.5, 0.2, 0.9, 1.4], NOISY, "% better", False),
    "one test row": (np.array([0.1]), np.array([9.0]), "1 test row is too few", False),
}


@pytest.mark.parametrize("case", KEPT)
def test_a_champion_is_kept_that_is_not_surely_bettered(case: str) -> None:
    new, old, words, on_training_rows = KEPT[case]
    for held_out in (True, False) if on_training_rows else (True,):
        verdict = judged(new, old, version=2, held_out=held_out)
        assert verdict.decision == "kept"
        assert words in verdict.reason


def test_a_clear_gain_is_promoted_with_scipys_paired_interval_in_the_words() -> None:
    old, new = np.random.default_rng(0).chisquare(1, size=(2, 200)) * [[1.0], [0.5]]
    verdict = judged(new, old, version=3)
    assert verdict.decision == "promoted"
    gain, interval = 1 - new.mean() / old.mean(), stats.ttest_rel(old, new).confidence_interval(0.95)
    ends = f"{interval.low / old.mean():.2%} to {interval.high / old.mean():.2%}"
    assert verdict.reason == f"took over from version 3: {gain:.2%} better, 95% interval {ends} on 200 test rows"


@pytest.mark.parametrize(
    ("factor", "words"), [(1.99, "99.00% worse"), (2.0, "2 times the loss"), (99.74, "99.7 times")]
)
def test_from_twice_the_loss_on_it_is_told_in_times(factor: float, words: str) -> None:
    old = np.random.default_rng(1).chisquare(1, size=100)
    verb = "has" if "times" in words else "is"
    for held_out in (True, False):
        reason = judged(factor * old, old, version=2, held_out=held_out).reason
        assert reason.startswith(f"kept version 2: the new one {verb} {words}")


def test_the_interval_of_times_is_that_of_the_gain() -> None:
    rng = np.random.default_rng(2)
    old, new = rng.chisquare(1, size=30), 50 * rng.chisquare(1, size=30)
    interval = stats.ttest_rel(new, old).confidence_interval(0.95)
    low, high = 1 + interval.low / old.mean(), 1 + interval.high / old.mean()
    assert f"times the loss, 95% interval {low:.3g} to {high:.3g} on 30" in judged(new, old, version=1).reason


@pytest.mark.parametrize(("factor", "words"), [(5e3, "5,000 times the loss"), (5e7, "5e+07 times the loss")])
def test_very_many_times_are_still_read(factor: float, words: str) -> None:
    assert words in judged(np.full(5, factor), np.ones(5), version=1, held_out=False).reason


def test_on_training_rows_plainly_better_is_better_and_the_reason_says_on_what_it_was_judged() -> None:
    old = np.array([1.0, 100.0, 3.0, 1.0, 50.0])
    verdict = judged(old - 0.5, old, version=1, held_out=False)
    assert verdict.decision == "promoted"
    assert "judged on 5 training rows (data.test_fraction = 0), no interval" in verdict.reason
    assert judged(old - 0.5, old, version=1, held_out=True).decision == "promoted"  # the same gain each row
    worse = judged(old + 0.5, old, version=1, held_out=False)
    assert worse.decision == "kept"
    assert "1.61% worse" in worse.reason


def test_the_margin_has_to_be_passed_by_the_lower_bound() -> None:
    old = np.random.default_rng(3).chisquare(1, size=500)
    new = 0.9 * old  # 10% better, the interval some 9% to 11%
    assert judged(new, old, version=1, margin=0.05).decision == "promoted"
    kept = judged(new, old, version=1, margin=0.0999)
    assert kept.decision == "kept"
    assert "margin 9.99%" in kept.reason
    assert judged(new, old, version=1, margin=0.09, held_out=False).decision == "promoted"
    assert judged(new, old, version=1, margin=0.11, held_out=False).decision == "kept"


def shifted(gain: float, *, rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Losses of a new model that gains so much, by the row at random; and those of the champion."""
    rng = np.random.default_rng(9)
    old = rng.chisquare(1, size=rows)
    return old * (1 - gain) + 0.3 * (noise := rng.normal(size=rows)) - 0.3 * noise.mean(), old


@pytest.mark.parametrize(
    ("gain", "margin", "better", "not_worse"),
    [
        (0.20, 0.0, "promoted", "promoted"),
        (0.01, 0.0, "kept", "promoted"),
        (-0.01, 0.0, "kept", "promoted"),
        (-0.06, 0.0, "kept", "kept"),  # the interval ends below 0
        (-0.06, 0.05, "kept", "promoted"),  # it reaches above -5%
        (-0.12, 0.05, "kept", "kept"),
        (0.06, 0.05, "kept", "promoted"),
    ],
)
def test_each_rule_looks_at_its_own_end_of_scipys_interval(
    gain: float, margin: float, better: str, not_worse: str
) -> None:
    new, old = shifted(gain)
    interval = stats.ttest_rel(old, new).confidence_interval(0.95)
    assert better == ("promoted" if interval.low / old.mean() > margin else "kept")
    assert not_worse == ("kept" if interval.high / old.mean() < -margin else "promoted")
    decisions = {"better": better, "not_worse": not_worse, "limits": "promoted"}
    verdicts = {rule: judged(new, old, version=1, margin=margin, rule=rule) for rule in decisions}
    assert {rule: verdict.decision for rule, verdict in verdicts.items()} == decisions
    assert all((f'(gate.rule = "{rule}")' in v.reason) == (rule != "better") for rule, v in verdicts.items())


ONE, NONE, SOME = np.array([9.0]), np.zeros(5), np.ones(5)


@pytest.mark.parametrize(
    ("new", "old", "held_out", "promoting", "words"),
    [
        (ONE, ONE / 9, True, {"not_worse", "limits"}, "1 test row is too few to tell"),
        (SOME * 1.01, SOME, False, {"limits"}, "1.00% worse, judged on 5 training rows"),
        (SOME, SOME, False, {"not_worse", "limits"}, "equally good, judged on 5 training rows"),
        (SOME * (1 + 1e-9), SOME, True, {"not_worse", "limits"}, "equally good, 95% interval"),  # rounding is no loss
        (NONE, NONE, True, {"not_worse", "limits"}, "the loss was 0 on these rows"),
        (SOME, NONE, True, {"limits"}, "no longer without loss, the loss was 0 on these rows"),
    ],
)
def test_what_each_rule_does_where_the_rows_say_little(new, old, held_out, promoting, words) -> None:  # type: ignore[no-untyped-def]
    for rule in ("better", "not_worse", "limits"):
        verdict = judged(new, old, version=1, rule=rule, held_out=held_out)
        assert verdict.decision == ("promoted" if rule in promoting else "kept")
        assert words in verdict.reason or verdict.decision == "kept"


def promoted_share(*, spread: float, rows: int, trials: int = 2000) -> float:
    """How often a model with errors of this spread beats a champion with errors of spread 1; half is in common."""
    rng = np.random.default_rng(12)
    decisions = []
    for _ in range(trials):
        common, own, other = rng.normal(size=(3, rows)) * math.sqrt(0.5)
        verdict = judged(spread**2 * (common + own) ** 2, (common + other) ** 2, version=1)
        decisions.append(verdict.decision == "promoted")
    return float(np.mean(decisions))


@pytest.mark.parametrize("rows", [20, 200])
def test_an_equal_model_is_promoted_in_at_most_two_and_a_half_percent_of_trials(rows: int) -> None:
    slack = 3 * math.sqrt(0.025 * 0.975 / 2000)
    assert promoted_share(spread=1.0, rows=rows) <= 0.025 + slack


def test_a_model_with_half_the_error_is_promoted_nearly_always() -> None:
    assert promoted_share(spread=0.5, rows=200, trials=300) > 0.99


def weighted(scale: float, rows: int = 80) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    old = rng.chisquare(1, size=rows)
    return 0.5 * old + 0.02 * rng.normal(size=rows) ** 2, old, scale * rng.uniform(0.2, 3.0, size=rows)


@pytest.mark.parametrize("scale", [1e-200, 1e-9, 1.0, 1e9, 1e150])
def test_only_the_ratios_of_the_weights_count(scale: float) -> None:
    new, old, w = weighted(scale)
    verdict = judged(new, old, version=3, weight_N=w)
    assert verdict == judged(new, old, version=3, weight_N=weighted(1.0)[2])
    assert verdict.decision == "promoted"
    assert "nan" not in verdict.reason


def test_a_weighted_gain_is_the_weighted_means_difference_and_equal_weights_change_nothing() -> None:
    new, old, w = weighted(1.0)
    assert judged(new, old, version=3, weight_N=np.full(80, 7.0)) == judged(new, old, version=3)
    gain = 1 - np.average(new, weights=w) / np.average(old, weights=w)
    assert f"{gain:.2%} better" in judged(new, old, version=3, weight_N=w).reason


def test_one_row_with_all_the_weight_is_too_few_and_told_as_such() -> None:
    new, old, w = weighted(1.0)
    w[0] = 1e9
    verdict = judged(new, old, version=3, weight_N=w)
    assert verdict.decision == "kept"
    assert "80 test rows with the weight of 1 are too few to tell" in verdict.reason


def test_a_model_that_is_no_better_is_seldom_promoted_on_weighted_rows() -> None:
    rng = np.random.default_rng(8)
    promoted = 0
    for _ in range(2000):
        w = rng.choice([1.0, 5.0], size=60)
        old = rng.chisquare(1, size=60)
        new = old + rng.normal(size=60)
        promoted += judged(new, old, version=1, weight_N=w).decision == "promoted"
    assert 0.015 < promoted / 2000 < 0.037  # 2.5% is what a 95% interval's one side allows


# --- partitions


def days(rng: np.random.Generator, *, days: int, rows: int, effect: float) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Squared errors of two models that are equally good, each off by an amount of its own on each day."""
    day_2D, row_ND = effect * rng.normal(size=(2, days)), rng.normal(size=(days, rows))
    new, old = (((d[:, None] + row_ND) ** 2).ravel() for d in day_2D)
    return new, old, [rows] * days


def test_with_thirty_partitions_the_interval_is_scipys_of_their_means() -> None:
    new, old, counts = days(np.random.default_rng(0), days=40, rows=25, effect=0.5)
    by_day = (old - new).reshape(40, 25).mean(axis=1)
    interval = stats.ttest_1samp(by_day, 0).confidence_interval(0.95)
    words = f"{interval.low / old.mean():.2%} to {interval.high / old.mean():.2%} by 40 partitions of 1,000 test rows"
    assert words in judged(new, old, version=1, counts=counts).reason


def test_partitions_without_test_rows_do_not_count_and_29_are_too_few() -> None:
    new, old, counts = days(np.random.default_rng(1), days=30, rows=5, effect=0.5)
    assert "by 30 partitions of 150 test rows" in judged(new, old, version=1, counts=[0, *counts, 0]).reason
    assert "on 150 test rows" in judged(new, old, version=1, counts=[10, *counts[2:], 0]).reason


def test_of_partitions_of_unlike_sizes_the_large_ones_count_more_and_one_alone_cannot_tell() -> None:
    rng = np.random.default_rng(2)
    counts = rng.integers(1, 40, size=35)
    old = rng.chisquare(1, size=counts.sum())
    new = old * rng.uniform(0.2, 1.4, size=len(old))
    d, at = old - new, np.repeat(np.arange(35), counts)
    away = np.bincount(at, d - d.mean()) / len(d)
    n = counts.sum() ** 2 / (counts**2).sum()
    half = stats.t.ppf(0.975, n - 1) * math.sqrt((away**2).sum() * n / (n - 1)) / old.mean()
    gain = d.mean() / old.mean()
    assert f"{gain - half:.2%} to {gain + half:.2%} by 35" in judged(new, old, version=1, counts=list(counts)).reason
    lone = np.concatenate([np.full(5000, 0.5), np.ones(35)]), np.ones(5035)
    assert "36 partitions with the weight of 1 are too few" in judged(*lone, version=1, counts=[5000] + [1] * 35).reason


def promoted_by_day(*, counted: bool, trials: int = 1000) -> float:
    rng = np.random.default_rng(3)
    samples = (days(rng, days=35, rows=30, effect=0.7) for _ in range(trials))
    verdicts = [judged(new, old, version=1, counts=c if counted else ()) for new, old, c in samples]
    return float(np.mean([v.decision == "promoted" for v in verdicts]))


def test_where_days_differ_an_equal_model_is_promoted_as_seldom_as_the_interval_says_and_far_more_often_by_row() -> (
    None
):
    slack = 3 * math.sqrt(0.025 * 0.975 / 1000)
    assert promoted_by_day(counted=True) <= 0.025 + slack
    assert promoted_by_day(counted=False) > 0.1


# --- targets


def by_target(*factors: float, names: tuple[str, ...] = (), **options: Any) -> Verdict:
    """A champion, and a model whose losses are so many times as large on each target."""
    rng = np.random.default_rng(5)
    old = rng.chisquare(1, size=(300, len(factors)))
    names = names or ("apples", "oranges", "pears", "plums", "figs", "dates", "kiwis")[: len(factors)]
    return against_champion(old * factors, old, targets=names, version=2, **options)


@pytest.mark.parametrize(
    ("factors", "decision", "ending"),
    [
        ((0.5, 1.1), "promoted", "; apples 50.00% better, oranges 10.00% worse"),
        ((0.9, 1.5), "kept", "; apples 10.00% better, oranges 50.00% worse"),
        ((0.5, 1.0), "promoted", "; apples 50.00% better, oranges equally good"),
        ((0.9, 0.5, 1.2, 1.0, 1.0, 1.0, 1.1), "promoted", "; oranges 50.00% better, pears 20.00% worse (7 targets)"),
    ],
)
def test_better_on_one_target_and_worse_on_another_is_told_of_each_and_decided_on_all(
    factors: tuple[float, ...], decision: str, ending: str
) -> None:
    for held_out in (True, False):
        verdict = by_target(*factors, held_out=held_out)
        assert verdict.decision == decision
        assert verdict.reason.endswith(ending)


def test_a_gain_that_would_be_rounded_to_nothing_is_told() -> None:
    assert "took over from version 2: less than 0.01% better, " in by_target(1 - 2e-5).reason


@pytest.mark.parametrize("factors", [(0.5, 0.7), (1.5, 1.2), (1.0, 1.0)])
def test_targets_that_go_the_same_way_are_not_told_one_by_one(factors: tuple[float, ...]) -> None:
    assert "apples" not in by_target(*factors).reason


def test_a_target_whose_interval_holds_zero_may_be_chance() -> None:
    rng = np.random.default_rng(6)
    old = rng.chisquare(1, size=(200, 2))
    new = old * [0.4, 1.0] + np.column_stack([np.zeros(200), 0.1 * rng.normal(size=200)])
    assert "(may be chance)" in against_champion(new, old, targets=("a", "b"), version=1).reason.split(", ")[-1]


def test_a_target_that_the_champion_predicts_without_loss_cannot_be_bettered() -> None:
    old = np.column_stack([np.zeros(50), np.ones(50)])
    new = np.column_stack([np.full(50, 0.1), np.full(50, 0.5)])
    verdict = against_champion(new, old, targets=("a", "b"), version=1)
    assert verdict.reason.endswith("b 50.00% better, a no longer without loss")
