"""Metrics from the record of the rows: those of the rows themselves, whatever columns, gaps and weights they have."""

import numpy as np
import pytest

from linreg.evaluation.rescore import mismatch, scores
from linreg.metrics import regression_metrics
from linreg.model import LinearModel
from linreg.moments.missing_values import MomentsWithGaps

FEATURES, TARGETS = ("a", "b", "c"), ("y", "q")


def rows(seed=0, *, n=200, gaps=0.0, far=0.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)) * [1, 100, 1e-3] + far * np.array([1, 1e4, 3])
    y = (x - far * np.array([1, 1e4, 3])) @ np.array([[1, 0.02, -3e3], [0.5, 0, 1e3]]).T + rng.normal(size=(n, 2))
    x[rng.random((n, 3)) < gaps] = np.nan
    return x, y, rng.uniform(0.1, 4, n)


def model_of(features=FEATURES, targets=TARGETS, *, fill=False, seed=9):
    rng = np.random.default_rng(seed)
    f, o = len(features), len(targets)
    fill_F = rng.normal(size=f) if fill else None
    return LinearModel(rng.normal(size=(o, f)), rng.normal(size=o), rng.normal(size=f), features, targets, {}, fill_F)


def judged(model, x, y, w):
    """The metrics of the rows, the columns in the model's own order."""
    places = [[names.index(n) for n in own] for own, names in ((model.features, FEATURES), (model.targets, TARGETS))]
    predicted = model.predict(x[:, places[0]])
    return regression_metrics(y[:, places[1]], predicted, model.targets, prefix="", weight_N=w)


def record_of(x, y, w=None, *, leaves=1):
    """The record of the rows, in some leaves."""
    blocks = [np.hstack([x, y])[i::leaves] for i in range(leaves)]
    weights = None if w is None else [w[i::leaves] for i in range(leaves)]
    return MomentsWithGaps.of(blocks, FEATURES, TARGETS, weights=weights)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("far", [0.0, 1e3])
@pytest.mark.parametrize(
    "model", [model_of(), model_of(("c", "a")), model_of(("b", "c", "a"), ("q", "y")), model_of(("b",), fill=True)]
)
def test_the_metrics_are_those_of_the_rows(model, far, weighted) -> None:
    x, y, w = rows(far=far)
    w = w if weighted else None
    record = record_of(x, y, w, leaves=3)
    expected, result = judged(model, x, y, w), scores(model, record).to_json()
    assert {n for n in expected if not n.startswith("mae")} == set(result)
    assert result == pytest.approx({n: expected[n] for n in result}, rel=1e-12)


def test_gaps_are_filled_as_each_model_fills_them() -> None:
    x, y, w = rows(gaps=0.2)
    record = record_of(x, y, w)
    for model in (model_of(fill=True), model_of(("c", "b"), fill=True), model_of(("b", "a"), fill=True, seed=1)):
        assert not mismatch(model, record)
        expected, result = judged(model, x, y, w), scores(model, record).to_json()
        assert result == pytest.approx({n: expected[n] for n in result}, rel=1e-12)


def test_a_gap_in_a_column_that_the_model_does_not_need_is_nothing_to_it() -> None:
    x, y, w = rows()
    x[3, 1] = np.nan
    record = record_of(x, y, w)
    model = model_of(("c", "a"))
    assert not mismatch(model, record)
    assert scores(model, record).mse == pytest.approx(judged(model, x, y, w)["mse"], rel=1e-12)
    assert mismatch(model_of(), record) == "it takes no missing values, and the rows have some"


def test_a_target_that_does_not_vary_has_no_part_in_r2() -> None:
    x, y, _ = rows()
    y[:, 1] = 0.1
    record = record_of(x, y)
    model = model_of()
    expected, result = judged(model, x, y, None), scores(model, record)
    assert result.r2 == pytest.approx(expected["r2"], rel=1e-12)
    assert result.to_json()["r2.q"] == 0


def test_a_model_that_fits_to_the_last_digit_keeps_its_error() -> None:
    x, y, _ = rows()
    model = model_of()
    y = model.predict(x) + 1e-9 * np.random.default_rng(3).normal(size=y.shape)
    record = record_of(x, y)
    assert scores(model, record).mse == pytest.approx(judged(model, x, y, None)["mse"], rel=1e-4)


def test_why_a_model_cannot_be_judged_is_told() -> None:
    x, y, _ = rows()
    record = record_of(x, y)
    assert mismatch(model_of(targets=("y",)), record) == "it predicts y, and the rows hold y, q"
    reason = mismatch(model_of(("a", "d", "e")), record)
    assert reason == "it needs the columns d, e, which are not in the record of the rows"
    many = mismatch(model_of(tuple(f"x{i}" for i in range(30))), record)
    assert many.endswith("x9 and 20 more, which are not in the record of the rows")
