"""Drift, against numpy and scipy on the rows themselves: what a standard error is, what is found, what is not."""

import json

import numpy as np
import pytest
from scipy import optimize, stats

from linreg.design import Design, Term
from linreg.drift.drift import Sample, drift
from linreg.drift.findings import LARGEST, MOST_FINDINGS, exceeded
from linreg.drift.random_effects import estimate
from linreg.judging_config import MEASURES, DriftConfig
from linreg.model import LinearModel
from linreg.moments.moments import Moments
from linreg.moments.ranges import Ranges

FEATURES, TARGETS = ("a", "b", "c"), ("y", "z")
NAMES = (*FEATURES, *TARGETS)
WEIGHT = np.array([[1.0, -2.0, 0.5], [0.0, 1.0, 3.0]])


def rows(rng, n: int, *, day: float = 0.0) -> np.ndarray:
    """Rows of a day: columns that depend on each other, and means and targets of the day's own."""
    x = rng.normal(size=(n, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0], [0, 0.2, 2.0]]) + [10.0, -3.0, 0.0]
    x += day * rng.normal(size=3)
    return np.column_stack([x, x @ WEIGHT.T + rng.normal(size=(n, 2)) + day * rng.normal(size=2)])


def sample(z_NP: np.ndarray, name: str = "new.csv", names=NAMES, weight_N=None) -> Sample:
    targets = tuple(n for n in names if n in TARGETS)
    return Sample(name, Moments.leaf(z_NP, names[: -len(targets)], targets, weight_N), Ranges.of(z_NP.T))


def moved(z_NP: np.ndarray, column: int, by: float) -> np.ndarray:
    z_NP[:, column] += by
    return z_NP


def champion_of(z_NP: np.ndarray, weight_N=None) -> tuple[Sample, LinearModel]:
    reference = sample(z_NP, "champion", weight_N=weight_N)
    solution = reference.moments.solve()
    return reference, LinearModel(solution.weight_OF, solution.bias_O, solution.mean_F, FEATURES, TARGETS)


def finding_of(result, measure: str, *columns: str, partition: str | None = "new.csv"):
    matches = [f for f in result.findings[measure] if f.columns == columns and f.partition == partition]
    assert len(matches) == 1, (measure, columns)
    return matches[0]


@pytest.fixture
def rng():
    return np.random.default_rng(20261125)


@pytest.fixture
def old(rng):
    return rows(rng, 400)


def days_of(rng, count: int, n: int, *, day: float) -> list[np.ndarray]:
    return [rows(rng, n, day=day) for _ in range(count)]


def known_days(days) -> tuple[Sample, LinearModel, list[Sample]]:
    return *champion_of(np.vstack(days)), [sample(z, f"day={i}") for i, z in enumerate(days)]


@pytest.mark.parametrize("weighted", [False, True])
def test_by_rows_a_mean_is_told_in_standard_errors_of_the_rows_and_in_spreads(rng, old, weighted) -> None:
    new = moved(rows(rng, 50), 0, 0.4)
    w_old, w_new = (rng.uniform(0.5, 2, len(z)) if weighted else np.ones(len(z)) for z in (old, new))
    reference, model = champion_of(old, w_old if weighted else None)
    result = drift(reference, [sample(new, weight_N=w_new if weighted else None)], [], model)
    n_old, n_new = (w.sum() ** 2 / (w**2).sum() for w in (w_old, w_new))
    for i, name in enumerate(NAMES):
        m_old, m_new = (np.average(z[:, i], weights=w) for z, w in ((old, w_old), (new, w_new)))
        s = np.sqrt(np.average((old[:, i] - m_old) ** 2, weights=w_old) * n_old / (n_old - 1))
        finding = finding_of(result, "mean", name)
        assert finding.value == pytest.approx((m_new - m_old) / (s * np.sqrt(1 / n_new + 1 / n_old)), rel=1e-9)
        assert finding.size == pytest.approx((m_new - m_old) / s, rel=1e-9)
        assert (finding.was, finding.now) == pytest.approx((m_old, m_new), rel=1e-12)
        assert (finding.unit, finding.rows) == ("row", 50)


def test_by_rows_a_larger_spread_counts_as_the_f_test_does_and_a_smaller_one_by_its_variance(rng, old) -> None:
    new = rows(rng, 12) * [2.0, 1, 0.3, 1, 1]
    result = drift(sample(old), [sample(new)], [])
    larger, smaller = (finding_of(result, "spread", name) for name in ("a", "c"))
    v_old, v_new = old.var(axis=0, ddof=1), new.var(axis=0, ddof=1)
    p = stats.f.sf(v_new[0] / v_old[0], 11, 399)
    assert 1e-6 < p < 0.1
    assert larger.value == pytest.approx(stats.norm.isf(p), rel=0.02)
    assert larger.size == pytest.approx(np.sqrt(v_new[0] / v_old[0]))
    assert smaller.value == pytest.approx((v_new[2] - v_old[2]) / (v_old[2] * np.sqrt(2 / 11 + 2 / 399)))
    assert (smaller.was, smaller.now) == pytest.approx((np.sqrt(v_old[2]), np.sqrt(v_new[2])))


def test_by_rows_the_pair_whose_correlation_changed_most_is_told_with_fishers_z(rng, old) -> None:
    new = rows(rng, 80)
    new[:, 2] = -2 * new[:, 0]
    result = drift(sample(old), [sample(new)], [])
    r_old, r_new = (np.corrcoef(z, rowvar=False) for z in (old, new))
    limit = 1 - 1 / 160  # 80 rows tell no larger one
    z_old, z_new = (np.arctanh(np.clip(r, -limit, limit)) for r in (r_old, r_new))
    value = (z_new - z_old) / np.sqrt(1 / 77 + 1 / 397)
    i, j = np.unravel_index(np.abs(value).argmax(), value.shape)
    (finding,) = result.findings["correlation"]
    assert set(finding.columns) == {NAMES[i], NAMES[j]} == {"a", "c"}
    assert finding.value == pytest.approx(value[i, j])
    assert finding.was == pytest.approx(r_old[i, j])
    assert finding.size == pytest.approx(np.tanh(z_new[i, j]) - r_old[i, j])


def test_residuals_are_those_of_the_champion_on_the_rows(rng, old) -> None:
    reference, model = champion_of(old)
    new = moved(rows(rng, 60), 3, 0.5)
    new[:, 4] += rng.normal(size=60) * 3
    result = drift(reference, [sample(new)], [], model)
    r_old, r_new = (z[:, 3:] - model.predict(z[:, :3]) for z in (old, new))
    expected = (r_old**2).mean(axis=0) * (400 + 4) / (400 - 4)  # Akaike's final prediction error
    mean = r_new.mean(axis=0)
    for o, name in enumerate(TARGETS):
        bias = finding_of(result, "bias", name)
        assert bias.value == pytest.approx(mean[o] / np.sqrt(expected[o] * (1 / 60 + 1 / 400)), rel=1e-9)
        assert bias.size == pytest.approx(mean[o] / np.sqrt(expected[o]), rel=1e-9)
    error = finding_of(result, "error", "z")
    assert error.size == pytest.approx(r_new[:, 1].std(ddof=1) / np.sqrt(expected[1]))
    assert error.value == pytest.approx(stats.norm.isf(stats.f.sf(error.size**2, 59, 396)), rel=0.02)


def test_small_residuals_beside_large_targets_keep_their_digits(rng) -> None:
    halves = rng.normal(size=(2, 150, 3)) * 1e6
    old, new = (np.column_stack([x, x @ WEIGHT.T + 1e-3 * rng.normal(size=(150, 2))]) for x in halves)
    reference, model = champion_of(old)
    new[:, 3] += 1e-3
    r_old, r_new = (z[:, 3] - model.predict(z[:, :3])[:, 0] for z in (old, new))
    bias = finding_of(drift(reference, [sample(new)], [], model), "bias", "y")
    assert bias.size == pytest.approx(r_new.mean() / np.sqrt((r_old**2).mean() * 154 / 146), rel=1e-4)


def test_columns_far_from_zero_keep_their_digits(rng) -> None:
    old, new = rng.integers(-999, 999, (500, 5)), moved(rng.integers(-900, 999, (90, 5)), 1, 200)
    near, far = (drift(sample(old + by), [sample(new + by)], []).worst() for by in (0.0, 2.0**37))
    assert far == pytest.approx(near, rel=1e-5)


@pytest.mark.parametrize("n", [25, 1])
def test_of_partitions_of_one_size_the_unit_is_how_their_means_differ(rng, n: int) -> None:
    days = days_of(rng, 40, n, day=3.0)
    reference, model, known = known_days(days)
    new = rows(rng, n, day=3.0)
    result = drift(reference, [sample(new)], known, model)
    means = np.array([z.mean(axis=0) for z in days])
    value = (new.mean(axis=0) - means.mean(axis=0)) / (means.std(axis=0, ddof=1) * np.sqrt(1 + 1 / 40))
    for i, name in enumerate(NAMES):
        assert finding_of(result, "mean", name).value == pytest.approx(value[i], rel=1e-9)
        assert finding_of(result, "mean", name).unit == "partition"
    residual = np.array([(z[:, 3:] - model.predict(z[:, :3])).mean(axis=0) for z in (*days, new)])
    wanted = (residual[-1] - residual[:-1].mean(axis=0)) / (residual[:-1].std(axis=0, ddof=1) * np.sqrt(1 + 1 / 40))
    assert [finding_of(result, "bias", name).value for name in TARGETS] == pytest.approx(wanted, rel=1e-8)


def test_spreads_and_correlations_that_differ_by_day_are_compared_with_days(rng) -> None:
    def day(n=200):
        z = rng.normal(size=(n, 5))
        z[:, 1] = np.tanh(rng.normal()) * z[:, 0] + z[:, 1]
        return z * np.exp(0.5 * rng.normal(size=5))

    days = [day() for _ in range(40)]
    new = day()
    result = drift(sample(np.vstack(days)), [sample(new)], [sample(z) for z in days])
    root = np.array([z.var(axis=0, ddof=1) ** (1 / 3) for z in (*days, new)])
    value = (root[-1] - root[:-1].mean(axis=0)) / (root[:-1].std(axis=0, ddof=1) * np.sqrt(1 + 1 / 40))
    assert [finding_of(result, "spread", name).value for name in NAMES] == pytest.approx(value, rel=1e-9)
    z = np.arctanh([np.corrcoef(part, rowvar=False)[0, 1] for part in (*days, new)])
    whole, *parts = (sample(part[:, :2], names=("a", "y")) for part in (np.vstack(days), *days, new))
    pair = finding_of(drift(whole, parts[-1:], parts[:-1]), "correlation", "a", "y")
    assert pair.value == pytest.approx((z[-1] - z[:-1].mean()) / (z[:-1].std(ddof=1) * np.sqrt(1 + 1 / 40)))
    by_row = drift(sample(np.vstack(days)), [sample(new)])
    assert result.worst()["drift.correlation"] < 6 < by_row.worst()["drift.spread"]


def test_what_is_usual_solves_its_equation_for_groups_of_any_sizes(rng) -> None:
    n = np.exp(rng.uniform(0, 8, 60))
    value = rng.normal(size=60) * 0.3 + rng.normal(size=60) / np.sqrt(n) + 7
    value[3] = np.nan
    result = estimate(value[:, None], (1 / n)[:, None])
    y, v = np.delete(value, 3), np.delete(1 / n, 3)

    def off(between):
        a = 1 / (v + between)
        return (a * (y - a @ y / a.sum()) ** 2).sum() - (len(y) - 1)

    between = optimize.brentq(off, 1e-9, 10)
    assert result.between_M[0] == pytest.approx(between, rel=0.05)
    a = 1 / (v + result.between_M[0])
    assert result.centre_M[0] == pytest.approx(a @ y / a.sum())
    assert (result.count_M[0], result.error_M[0]) == (59, pytest.approx(1 / a.sum(), rel=0.05))


def test_days_that_differ_as_always_are_left_in_peace_where_30_are_known_and_told_where_fewer_are(rng) -> None:
    reference, model, known = known_days(days_of(rng, 40, 400, day=0.5))
    warn = DriftConfig()
    new = [sample(rows(rng, 400, day=0.5), f"new={i}") for i in range(40)]
    assert exceeded(drift(reference, new, known, model), warn).warn == ()
    by_row = exceeded(drift(reference, new, known[:29], model), warn).warn
    assert {e.finding.unit for e in by_row} == {"row"}
    assert {e.finding.measure for e in by_row} >= {"mean", "bias"}


def test_a_tiny_partition_is_not_judged_as_if_it_had_the_rows_of_a_day(rng) -> None:
    reference, model, known = known_days(days_of(rng, 40, 2000, day=0.01))
    tiny = [sample(rows(rng, 3), f"new={i}") for i in range(50)]
    worst = drift(reference, tiny, known, model).worst()
    assert max(worst[f"drift.{m}"] for m in ("mean", "spread", "bias", "error")) < 6


def test_all_new_ones_together_are_the_merged_rows_and_find_what_none_finds_by_itself(rng, old) -> None:
    reference, model = champion_of(old)
    parts = [moved(rows(rng, 40), 1, 0.5) for _ in range(6)]
    result = drift(reference, [sample(z, f"{i}.csv") for i, z in enumerate(parts)], [], model)
    merged = drift(reference, [sample(np.vstack(parts))], [], model)
    for measure, column in (("mean", "b"), ("spread", "a"), ("bias", "y"), ("error", "z")):
        both = finding_of(result, measure, column, partition=None), finding_of(merged, measure, column)
        assert both[0].value == pytest.approx(both[1].value, rel=1e-9)
        assert both[0].rows == 240
    assert result.findings["mean"][0].partition is None
    assert "in all new partitions together" in result.findings["mean"][0].words


def test_together_by_partition_is_told_with_the_error_of_several_days(rng) -> None:
    reference, model, known = known_days(days_of(rng, 50, 30, day=2.0))
    new = [rows(rng, 30, day=2.0) for _ in range(5)]
    result = drift(reference, [sample(z, f"{i}") for i, z in enumerate(new)], known, model)
    finding = finding_of(result, "mean", "a", partition=None)
    means = np.array([k.moments.mean_P[0] for k in known])
    away = np.mean([z[:, 0].mean() for z in new]) - means.mean()
    assert finding.value == pytest.approx(away / (means.std(ddof=1) * np.sqrt(1 / 5 + 1 / 50)), rel=1e-9)


@pytest.mark.parametrize("count", [0, 40])
def test_a_sensor_that_is_stuck_and_a_unit_that_changed_are_found_whatever_the_unit(rng, count) -> None:
    days = days_of(rng, 40, 200, day=0.3)
    reference, model, known = known_days(days)
    new = rows(rng, 200, day=0.3)
    new[:, 0] = new[0, 0]
    new[:, 1] *= 1000
    result = drift(reference, [sample(new)], known[:count], model)
    warned = {(e.finding.measure, e.finding.columns) for e in exceeded(result, DriftConfig()).warn}
    assert warned >= {("spread", ("a",)), ("mean", ("b",)), ("spread", ("b",)), ("bias", ("y",)), ("range", ("b",))}
    stuck = finding_of(result, "spread", "a")
    assert stuck.value == pytest.approx(-1 / np.sqrt(2 / 199 + 2 / 7999))
    assert "(it does not vary)" in stuck.words


def test_a_column_that_stands_still_on_some_known_days_may_stand_still(rng) -> None:
    days = days_of(rng, 40, 200, day=0.0)
    for z in days[::4]:
        z[:, 2] = 0.0
    new = rows(rng, 200)
    new[:, 2] = 0.0
    result = drift(sample(np.vstack(days)), [sample(new)], [sample(z) for z in days])
    finding = finding_of(result, "spread", "c")
    assert (finding.unit, abs(finding.value) < 6) == ("partition", True)
    assert all("c" not in f.columns for f in result.findings["correlation"])


def test_constant_columns_are_finite_in_all_that_is_told(rng, old) -> None:
    for z in (old, new := rows(rng, 30)):
        z[:, 1] = 0.1
    new[:, 3] = old[:, 3].mean()
    still = drift(sample(old), [sample(new)])
    mean, spread = (finding_of(still, measure, "b") for measure in ("mean", "spread"))
    assert (mean.value, spread.value) == pytest.approx((0, 0), abs=1)
    assert spread.size == 1
    old[:, 2], new[:, 2] = 0.0, np.arange(30)
    varies = drift(sample(old), [sample(new)])
    mean, spread, reach = (finding_of(varies, measure, "c") for measure in ("mean", "spread", "range"))
    assert (mean.value, reach.value) == (LARGEST, LARGEST)
    assert 20 < spread.value < LARGEST
    assert "over 1e+09 standard errors higher" in mean.words
    assert "(it did not vary)" in spread.words
    assert not any({"b", "c", "y"} & set(f.columns) for f in varies.findings["correlation"])
    json.dumps(varies.to_json(), allow_nan=False)


def test_a_champion_without_residuals_finds_none_where_there_are_none(rng) -> None:
    old, new = (np.column_stack([x, x @ WEIGHT.T]) for x in (rng.normal(size=(n, 3)) * 1e3 + 1e5 for n in (300, 200)))
    reference, model = champion_of(old)
    result = drift(reference, [sample(new)], [], model).worst()
    assert max(result["drift.bias"], result["drift.error"]) < 6
    new[:, 3] += 1.0
    assert drift(reference, [sample(new)], [], model).worst()["drift.bias"] > 1e6


@pytest.mark.parametrize(("known", "n"), [(0, 100), (40, 100), (40, 5000)])
def test_columns_that_determine_each_other_are_quiet_and_a_pair_that_parts_is_found(rng, known, n) -> None:
    def day(n=100):
        z = rows(rng, n)
        z[:, 1] = 3 * z[:, 0] + 1
        return z

    days = [day(int(100 * np.exp(rng.normal()))) for _ in range(40)]
    reference, parts = sample(np.vstack(days)), [sample(z) for z in days[:known]]
    assert drift(reference, [sample(day(n))], parts).worst()["drift.correlation"] < 6
    loose = day(n)
    loose[:, 1] += 3 * rng.normal(size=n)
    result = drift(reference, [sample(loose)], parts).findings["correlation"][0]
    assert (result.columns, result.value < -6) == (("a", "b"), True)


def test_data_alike_is_quiet(rng, old) -> None:
    reference, model = champion_of(old)
    new = [sample(rows(rng, int(n)), f"{n}.csv") for n in (1, 2, 3, 5, 10, 100, 1000)]
    result = drift(reference, new, [], model)
    assert exceeded(result, DriftConfig(stop=6.0)) == exceeded(result, DriftConfig(warn=0.0, stop=0.0))
    assert set(result.worst()) == {f"drift.{m}" for m in MEASURES}
    assert result.not_compared == ()


def test_partitions_without_rows_are_skipped_and_one_row_has_neither_spread_nor_correlation(rng, old) -> None:
    reference, model = champion_of(old)
    empty = Sample("empty.csv", Moments.leaf(np.zeros((1, 5)), FEATURES, TARGETS, np.zeros(1)), None)
    one = sample(rows(rng, 1), "one.csv")
    result = drift(reference, [empty, one], [empty], model)
    assert (result.new, result.known) == (1, 0)
    assert {f.partition for result in result.findings.values() for f in result} == {"one.csv"}
    assert {m for m, findings in result.findings.items() if findings} == {"mean", "bias", "range"}
    nothing = drift(reference, [empty], [one], model)
    assert (nothing.worst(), nothing.not_compared) == ({}, ())


def test_columns_that_came_or_went_are_named_and_the_others_compared(rng, old) -> None:
    reference, model = champion_of(old)
    new = rows(rng, 50)
    added = drift(reference, [sample(np.column_stack([new[:, :1], new]), names=("d", *NAMES))], [], model)
    plain = drift(reference, [sample(new)], [], model)
    assert added.worst() == pytest.approx(plain.worst())
    assert added.not_compared == ("d: the champion did not learn from it",)
    gone = drift(reference, [sample(new[:, [0, 2, 4]], names=("a", "c", "z"))], [], model)
    assert gone.not_compared == (
        "b: not among the columns of today",
        "y: not among the columns of today",
        "the champion's residuals: it needs b",
    )
    assert {f.columns for f in gone.findings["mean"]} == {("a",), ("c",), ("z",)}
    assert gone.findings["bias"] == ()
    one = drift(reference, [sample(new[:, [2, 1, 0, 4]], names=("c", "b", "a", "z"))], [], model)
    assert finding_of(one, "bias", "z").value == pytest.approx(finding_of(plain, "bias", "z").value)
    assert len(one.findings["bias"]) == 1
    none = drift(reference, [sample(new[:, :2], names=("q", "z")), sample(new[:, :2], names=("p", "y"))], [], model)
    assert none.worst() == {}


def test_known_partitions_of_other_columns_are_compared_by_name(rng) -> None:
    days = days_of(rng, 40, 30, day=1.0)
    reference, model, known = known_days(days)
    mixed = [
        sample(z[:, [2, 1, 0, 3, 4]], names=("c", "b", "a", "y", "z")) if i % 3 else k
        for i, (z, k) in enumerate(zip(days, known, strict=True))
    ]
    new = [sample(rows(rng, 30, day=1.0))]
    assert drift(reference, new, mixed, model).worst() == pytest.approx(drift(reference, new, known, model).worst())


def test_a_champion_that_learned_from_too_few_rows_is_told(rng) -> None:
    reference, model = champion_of(rows(rng, 4))
    few = drift(reference, [sample(rows(rng, 9))], [], model)
    assert few.not_compared == ("the champion's residuals: it has as many parameters as it learned from rows",)
    single = drift(sample(rows(rng, 1)), [sample(rows(rng, 9))], [])
    assert (single.worst(), single.not_compared) == ({}, ("everything: the champion learned from fewer than 2 rows",))


def test_the_range_is_told_in_spreads_of_the_column_with_the_end_that_is_passed(rng, old) -> None:
    new = rows(rng, 20) * 0 + old.mean(axis=0)
    s = old.std(axis=0, ddof=1)
    new[3, 0], new[4, 1] = old[:, 0].max() + 1.5 * s[0], old[:, 1].min() - 2.5 * s[1]
    result = drift(sample(old), [sample(new)], [])
    above, below, inside = (finding_of(result, "range", name) for name in "abc")
    assert (above.value, below.value, inside.value) == pytest.approx((1.5, 2.5, 0))
    assert result.findings["range"][0] == below
    assert above.words == f"a reaches {new[3, 0]:.6g}, 1.5 spreads above all that the champion learned from, in new.csv"
    assert "2.5 spreads below" in below.words
    unknown = drift(sample(old), [Sample("new.csv", sample(new).moments)], [])
    assert unknown.findings["range"] == ()
    assert unknown.not_compared == ("range: the ranges of the columns are not recorded",)


def test_a_column_without_any_value_in_a_new_partition_has_no_range_there(rng, old) -> None:
    """Its gaps were filled with the mean, so that it has a record all the same."""
    new = moved(rows(rng, 20), 0, 100.0)
    new[:, 1] = old[:, 1].mean()
    extent = Ranges.of(np.where(np.arange(5) == 1, np.nan, new).T)
    result = drift(sample(old), [Sample("new.csv", sample(new).moments, extent), sample(rows(rng, 20), "b.csv")], [])
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))["findings"]["range"]
    assert document[0]["columns"] == ["a"]
    assert [f["partition"] for f in document if f["columns"] == ["b"]] == ["b.csv"]


def test_words_json_and_limits_of_what_is_found(rng, old) -> None:
    reference, model = champion_of(old)
    result = drift(reference, [sample(moved(rows(rng, 100), 3, 5.0), "day=2026-11-25/part.csv")], [], model)
    judged = exceeded(result, DriftConfig(warn={"mean": 0.0}, stop={"bias": 20.0}))
    (stop,) = judged.stop
    finding = result.findings["bias"][0]
    assert stop.words == (
        f"mean residual of y is {finding.value:.3g} standard errors higher ({finding.size:.3g} residual spreads) "
        "in day=2026-11-25/part.csv, as rows vary: above drift.stop.bias 20"
    )
    assert {e.key for e in judged.warn} == {"drift.warn.bias"}
    document = {"key": "drift.stop.bias", "limit": 20.0, "measure": "bias", "columns": ["y"]}
    assert document.items() <= stop.to_json().items()
    mean = finding_of(result, "mean", "y", partition="day=2026-11-25/part.csv")
    assert f" standard errors higher ({mean.now:.6g}, was {mean.was:.6g}: {mean.size:.3g} spreads) in" in mean.words
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert document["worst"] == {f"drift.{m}": abs(document["findings"][m][0]["value"]) for m in MEASURES}
    assert document["findings"]["bias"][0]["words"] == finding.words
    assert set(document) == {"new", "known", "not_compared", "worst", "findings"}


def test_the_worst_come_first_and_no_more_than_a_hundred_of_each(rng, old) -> None:
    new = [sample(rows(rng, 20), f"{i}.csv") for i in range(60)]
    result = drift(sample(old), new, [])
    for measure in ("mean", "spread", "correlation"):
        sizes = [abs(f.value) for f in result.findings[measure]]
        assert sizes == sorted(sizes, reverse=True)
        assert len(sizes) == min(MOST_FINDINGS, 61 if measure == "correlation" else 61 * 5)


def test_wide_records_are_taken_in_blocks_with_the_same_numbers(rng, monkeypatch) -> None:
    days = days_of(rng, 35, 40, day=1.0)
    reference, model, known = known_days(days)
    new = [sample(rows(rng, 40), f"{i}") for i in range(3)]
    whole = drift(reference, new, known, model)
    monkeypatch.setattr("linreg.drift.column_stats._BLOCK", 100)
    monkeypatch.setattr("linreg.drift.random_effects._BLOCK", 70)
    assert drift(reference, new, known, model).worst() == pytest.approx(whole.worst(), rel=1e-9)


def test_two_levels_of_one_category_are_no_pair(rng) -> None:
    """How they go with each other is what their shares make it: here no row of today is at the third level."""
    names = ("region[b]", "region[c]", "b", "y")
    design = Design({"b": Term(("b",))} | {f"region[{x}]": Term(levels=(("region", x),)) for x in "bc"})
    level, others = np.repeat([0, 1, 2], 100), rng.normal(size=(300, 2))
    was, now = (np.column_stack([at == 1, at == 2, others]) for at in (level, np.maximum(level, 1)))
    pairs = [
        drift(sample(was, names=names), [sample(now, names=names)], design=known).findings["correlation"][0].columns
        for known in (None, design)
    ]
    assert pairs[0] == ("region[b]", "region[c]")
    assert "b" in pairs[1] or "y" in pairs[1]
