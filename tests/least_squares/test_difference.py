"""What moved between two models: against optima and variances computed with numpy and statsmodels from the rows."""

import json
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.linear_model import ElasticNet, Ridge

from linreg.least_squares.difference import Fitted, Penalty, difference
from linreg.least_squares.objective import Objective
from linreg.model import LinearModel
from linreg.moments.moments import Moments
from linreg.moments.subset import subset
from linreg.training.convergence import parameters_after

NAMES = (("x0", "x1", "x2"), ("y0", "y1"))


def moments_of(x, y):
    return Moments.of([np.hstack([x, y])], NAMES[0][: x.shape[1]], NAMES[1][: y.shape[1]])


def rows(n, seed, *, far=(0.0, 0.0, 0.0), shift=0.0):
    """X (N, 3) and Y (N, 2), the slope of x0 on y0 moved by ``shift``."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3)) * [1, 10, 0.1] + far
    weight = np.array([[1.0 + shift, -2.0, 3.0], [0.5, 0.1, -1.0]])
    return x, (x - far) @ weight.T + rng.normal(size=(n, 2))


def both(first, second):
    return np.vstack([first[0], second[0]]), np.vstack([first[1], second[1]])


def least_squares(x, y):
    """Intercept and slopes (D, O), by LAPACK on the centred rows."""
    slopes = np.linalg.lstsq(x - x.mean(axis=0), y - y.mean(axis=0), rcond=None)[0]
    return np.vstack([y.mean(axis=0) - x.mean(axis=0) @ slopes, slopes])


def at_the_optimum(moments):
    s = moments.solve()
    return Fitted(LinearModel(s.weight_OF, s.bias_O, s.mean_F, moments.features, moments.targets), moments)


def exact(x, y):
    return at_the_optimum(moments_of(x, y))


def descended(x, y, epochs):
    """So many epochs of descent from zero, on standardized columns."""
    objective = Objective.of(moments_of(x, y), standardize=True)
    theta = parameters_after(objective, np.zeros_like(objective.optimum_DO), learning_rate=0.1, epochs=epochs)
    return Fitted(objective.model(theta), objective.moments)


def of(result, part):
    """One number of every change, (D, O)."""
    columns = [[getattr(m, part, getattr(m.causes, part, None)) for _, m in t] for t in result.targets.values()]
    return np.array(columns, dtype=float).T


def theta(model):
    return np.vstack([model.intercept_O, model.weight_OF.T])


def adds_up(result):
    for _, _, change in result:
        assert change.causes is not None
        p = change.causes
        assert change.change == p.data + p.columns + p.penalty + p.optimiser
        size = max(abs(change.before), abs(change.after), abs(p.data), abs(p.optimiser))
        assert change.change == pytest.approx(change.after - change.before, abs=1e-13 * size)
    return result


def test_a_model_and_itself_have_not_moved():
    side = exact(*rows(60, 0))
    result = adds_up(difference(side, side, shared="same"))
    for part in ("data", "columns", "penalty", "optimiser"):
        assert not of(result, part).any()
    assert result.unit == "estimate"
    assert max(result.stopped) < 1e-9


@pytest.mark.parametrize("far", [(0.0, 0.0, 0.0), (1e6, -1e5, 300.0)])
def test_where_the_optimum_is_reached_all_of_the_move_is_the_datas(far):
    a, b = rows(60, 0, far=far), rows(80, 1, far=far, shift=0.7)
    result = adds_up(difference(exact(*a), exact(*b), shared="apart"))
    expected = least_squares(*b) - least_squares(*a)
    assert of(result, "data") == pytest.approx(expected, rel=1e-7)
    errors = of(result, "standard_error")
    assert (np.abs(of(result, "optimiser")) < 1e-6 * errors).all()
    assert not of(result, "columns").any()
    assert not of(result, "penalty").any()
    assert max(result.stopped) < 1e-5


def test_the_same_rows_and_fewer_epochs_are_the_optimisers_alone():
    x, y = rows(60, 0)
    before, after = descended(x, y, 400), descended(x, y, 5)
    result = adds_up(difference(before, after, shared="same"))
    assert not of(result, "data").any()
    assert of(result, "optimiser") == pytest.approx(theta(after.model) - theta(before.model), rel=1e-9)
    assert result.stopped[0] < 1e-9
    assert result.stopped[1] > 1


def test_both_are_told_apart():
    a, b = rows(60, 0), rows(90, 1, shift=0.4)
    before, after = descended(*a, 30), descended(*b, 3)
    result = adds_up(difference(before, after))
    optimum_a, optimum_b = least_squares(*a), least_squares(*b)
    assert of(result, "data") == pytest.approx(optimum_b - optimum_a, rel=1e-9)
    expected = (theta(after.model) - optimum_b) - (theta(before.model) - optimum_a)
    assert of(result, "optimiser") == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert np.abs(expected[1:]).min() > 1e-3


# --- standard errors


def statsmodels_errors(x, y):
    return np.column_stack([sm.OLS(t, sm.add_constant(x)).fit().bse for t in y.T])


def test_without_word_of_the_shared_rows_errors_are_those_of_the_first_estimate():
    a, b = rows(60, 0), rows(90, 1)
    for shared in (None, "same"):
        result = difference(exact(*a), exact(*b), shared=shared)
        assert result.unit == "estimate"
        assert of(result, "standard_error") == pytest.approx(statsmodels_errors(*a), rel=1e-9)


def test_errors_of_rows_apart_are_those_of_both():
    a, b = rows(60, 0), rows(90, 1)
    result = difference(exact(*a), exact(*b), shared="apart")
    expected = np.hypot(statsmodels_errors(*a), statsmodels_errors(*b))
    assert result.unit == "difference"
    assert of(result, "standard_error") == pytest.approx(expected, rel=1e-9)
    none = difference(exact(*a), exact(*b), shared=0.0)
    assert of(none, "standard_error") == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("turned", [False, True])
def test_errors_of_nested_rows_are_the_variance_of_the_difference(turned):
    """Var(M y) of the matrix M that turns the targets of all rows into the difference of the two optima."""
    few, more = rows(40, 0), rows(50, 1)
    x, y = both(few, more)
    pair = [exact(*few), exact(x, y)]
    result = difference(*(reversed(pair) if turned else pair), shared="nested")
    design = sm.add_constant(x)
    maps = np.linalg.pinv(design) - np.hstack([np.linalg.pinv(design[:40]), np.zeros((4, 50))])
    noise = np.array([sm.OLS(t, design).fit().mse_resid for t in y.T])
    expected = np.sqrt(np.diag(maps @ maps.T)[:, None] * noise)
    assert of(result, "standard_error") == pytest.approx(expected, rel=1e-9)


def test_moves_of_nested_rows_are_within_their_errors_as_often_as_they_should_be():
    inside = []
    for seed in range(200):
        few, more = rows(40, 2 * seed), rows(40, 2 * seed + 1)
        result = difference(exact(*few), exact(*both(few, more)), shared="nested")
        inside.append(np.abs(of(result, "data") / of(result, "standard_error")) < 1.96)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)


def test_a_weight_of_shared_rows_lies_between_apart_and_nested():
    few, more = rows(4000, 0), rows(4000, 1)
    pair = exact(*few), exact(*both(few, more))
    apart, half, all_of_it, nested = (
        of(difference(*pair, shared=s), "standard_error") for s in ("apart", 2000.0, 4000.0, "nested")
    )
    assert (nested < half).all()
    assert (half < apart).all()
    assert all_of_it == pytest.approx(nested, rel=0.1)  # rows that are spread alike
    with pytest.raises(ValueError, match="cannot be common"):
        difference(*pair, shared=4001.0)


def test_errors_that_the_caller_knows_better_of_are_not_given():
    result = difference(exact(*rows(60, 0)), exact(*rows(60, 1)), reasons=["before: 3 missing values were filled in"])
    assert result.unit is None
    assert result.no_errors == ("before: 3 missing values were filled in",)
    assert np.isnan(of(result, "standard_error")).all()
    assert np.isfinite(of(result, "data")).all()


# --- what is not on record, or left open


def test_without_a_record_or_with_an_unknown_penalty_changes_have_no_causes():
    a, b = exact(*rows(60, 0)), exact(*rows(60, 1))
    without = difference(replace(a, moments=None), b)
    assert without.unexplained == ("before: no record of its training rows was kept",)
    assert (without.unit, without.stopped[0]) == (None, None)
    unknown = difference(a, replace(b, penalty=None))
    assert unknown.unexplained == ("after: it is not on record whether its loss had a penalty",)
    for target, name, change in (*without, *unknown):
        assert change.causes is None
        assert change.change == change.after - change.before, (target, name)


def test_collinear_columns_have_no_parts_and_the_others_have():
    x, y = rows(60, 0)
    x2, y2 = rows(70, 1)
    x[:, 2] = 2 * x[:, 0] + 1
    result = difference(exact(x, y), exact(x2, y2), shared="apart")
    assert "x0, x2: constant, or determined by each other" in result.unexplained[0]
    assert "before: rank 2 of 3" in result.no_errors[0]
    for target in result.targets.values():
        assert target.coefficients["x0"].causes is target.coefficients["x2"].causes is target.intercept.causes is None
        assert target.coefficients["x1"].causes is not None
    expected = least_squares(x2, y2)[2] - least_squares(x[:, :2], y)[2]
    assert of(result, "data")[2] == pytest.approx(expected, rel=1e-9)
    json.dumps([change.to_json() for _, _, change in result], allow_nan=False)


def test_every_number_of_the_document_is_finite_or_null():
    result = difference(exact(*rows(60, 0)), exact(*rows(60, 1)), shared="apart")
    document = result.targets["y0"].coefficients["x1"].to_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["standard_errors"]["data"] == document["data"] / document["standard_error"]
    assert document["effect"] == pytest.approx(document["move"] * rows(60, 1)[0][:, 1].std(), rel=1e-12)


# --- other columns, other penalties


def test_a_new_column_has_a_part_of_its_own():
    x, y = rows(60, 0)
    x[:, 2] += x[:, 0]
    x2, y2 = rows(70, 1)
    x2[:, 2] += x2[:, 0]
    result = adds_up(difference(exact(x[:, :2], y), exact(x2, y2), shared="apart"))
    fewer_a, fewer_b, whole_b = least_squares(x[:, :2], y), least_squares(x2[:, :2], y2), least_squares(x2, y2)[:3]
    assert of(result, "data") == pytest.approx(fewer_b - fewer_a, rel=1e-9)
    assert of(result, "columns") == pytest.approx(whole_b - fewer_b, rel=1e-9)
    assert list(result.targets["y0"].coefficients) == ["x0", "x1"]
    expected = np.hypot(statsmodels_errors(x[:, :2], y), statsmodels_errors(x2[:, :2], y2))
    assert of(result, "standard_error") == pytest.approx(expected, rel=1e-9)


def test_columns_and_targets_in_another_order_are_the_same_columns():
    x, y = rows(60, 0)
    b = moments_of(*rows(70, 1))
    turned = subset(b, ("x2", "x0", "x1"), ("y1", "y0"))
    plain, result = (difference(exact(x, y), at_the_optimum(m), shared="apart") for m in (b, turned))
    assert not of(result, "columns").any()
    for part in ("data", "standard_error", "after"):
        assert of(result, part) == pytest.approx(of(plain, part), rel=1e-9)


def penalised(x, y, **penalties):
    objective = Objective.of(moments_of(x, y), **penalties)
    return Fitted(objective.model(objective.optimum_DO), moments_of(x, y), Penalty(**penalties))


def ridge(x, y, decay):
    judge = Ridge(alpha=decay * len(x) * y.shape[1] / 2, tol=1e-14, solver="cholesky").fit(x, y)
    return np.vstack([judge.intercept_, judge.coef_.T])


def test_the_same_penalty_moves_nothing_and_another_one_has_its_part():
    a, b = rows(60, 0), rows(70, 1)
    same = adds_up(difference(penalised(*a, weight_decay=0.3), penalised(*b, weight_decay=0.3)))
    assert not of(same, "penalty").any()
    assert of(same, "data") == pytest.approx(ridge(*b, 0.3) - ridge(*a, 0.3), rel=1e-8)
    assert same.unit is None
    assert same.stopped == (None, None)
    other = adds_up(difference(penalised(*a, weight_decay=0.3), exact(*b)))
    assert of(other, "data") == pytest.approx(of(same, "data"), rel=1e-12)
    assert of(other, "penalty") == pytest.approx(least_squares(*b) - ridge(*b, 0.3), rel=1e-8)
    assert (np.abs(of(other, "optimiser")) < 1e-12).all()


def test_a_penalty_beside_the_mean_of_other_targets_is_the_one_that_was_trained():
    a, b = rows(60, 0), rows(70, 1)
    before, after = penalised(*a, weight_decay=0.3, l1=0.1), penalised(b[0], b[1][:, :1], weight_decay=0.3, l1=0.1)
    result = adds_up(difference(before, after))
    assert list(result.targets) == ["y0"]
    assert (np.abs(of(result, "optimiser")) < 1e-9).all()
    alpha, ratio = 0.3 * 2 / 2 + 0.1 * 2 / 2, 0.1 / (0.1 + 0.3)  # of A's loss over two targets
    elastic = ElasticNet(alpha=alpha, l1_ratio=ratio, tol=1e-14, max_iter=10**6)
    ends = [elastic.fit(x, y[:, 0]).coef_.copy() for x, y in (a, b)]
    assert of(result, "data")[1:, 0] == pytest.approx(ends[1] - ends[0], rel=1e-6)
    assert of(result, "penalty").any()


# --- the record of some columns


@pytest.mark.parametrize("weighted", [False, True])
def test_selected_columns_have_the_record_that_they_alone_would_have(weighted):
    x, y = rows(200, 3, far=(1e6, 0.0, 0.0))
    w = np.random.default_rng(4).uniform(0.1, 3, 200) if weighted else None
    whole = Moments.leaf(np.hstack([x, y]), *NAMES, w)
    few = Moments.leaf(np.column_stack([x[:, 2], y]), ("x2", "y0"), ("y1",), w)
    result = subset(whole, ("x2", "y0"), ("y1",))
    assert result.root_KK == pytest.approx(few.root_KK, rel=1e-10, abs=1e-10)
    assert (result.features, result.targets, result.rows, result.weight) == (("x2", "y0"), ("y1",), 200, few.weight)
    assert subset(whole, *NAMES) is whole
    with pytest.raises(ValueError, match="no column x9"):
        subset(whole, ("x9",), ("y1",))
