"""k-fold errors and the ridge path from fold records, against scikit-learn on the rows, and brute force."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from mpmath import mp
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, LinearRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from linreg.config import TrainConfig
from linreg.data_config import DataConfig
from linreg.errors import UserError
from linreg.ingest.records import record_dataset
from linreg.least_squares.objective import Objective
from linreg.model import LinearModel
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Moments
from linreg.selection import ridge_path as ridge
from linreg.selection.folds import FOLDS, enough, fold_mean, parts
from linreg.selection.kfold import CrossValidation, cross_validation, kfold_error, mean_predictor
from linreg.selection.ridge_path import ridge_path
from tests.support.tables import X15, Y15, moments_of, names

Array = np.ndarray
DECAYS = [0.0, 1e-3, 0.1, 3.0]


def data(rows: int = 90, features: int = 5, targets: int = 2, seed: int = 0) -> tuple[Array, Array]:
    """Correlated features of different sizes, and noise enough for a penalty to help."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features)) @ rng.normal(size=(features, features)) * np.geomspace(0.5, 20, features) + 3
    y = x @ rng.normal(size=(features, targets)) / 10 + 2 * rng.normal(size=(rows, targets)) + [5.0] * targets
    return x, y


def dealt(rows: int, count: int = 5, seed: int = 1) -> Array:
    """A fold for each row; the folds are of different sizes."""
    share = np.arange(1, count + 1) / np.arange(1, count + 1).sum() / 2 + 0.5 / count
    fold = np.random.default_rng(seed).choice(count, rows, p=share)
    fold[: 2 * count] = np.tile(np.arange(count), 2)
    return fold


def records(x: Array, y: Array, fold: Array, weight: Array | None = None) -> list[Moments]:
    """The record of each fold."""
    inside = [fold == k for k in range(fold.max() + 1)]
    z = np.hstack([x, y])
    return [Moments.of([z[i]], *names(x, y), weights=None if weight is None else [weight[i]]) for i in inside]


def peer(decay: float, *, standardize: bool, rows: float, targets: int) -> BaseEstimator:
    """scikit-learn's model of our loss: it minimises RSS + alpha |W|^2, we MSE over rows and targets + (d/2) |W|^2."""
    model = Ridge(alpha=decay * rows * targets / 2, solver="svd") if decay else LinearRegression()
    return make_pipeline(StandardScaler(), model) if standardize else model


def peer_errors(
    x: Array, y: Array, fold: Array, decay: float, *, standardize: bool, weight: Array | None = None
) -> Array:
    """The mean squared error on each fold, a target each: rows trained on and rows predicted, one fold at a time."""
    w = np.ones(len(x)) if weight is None else weight

    def fitted(train: Array) -> BaseEstimator:
        model = peer(decay, standardize=standardize, rows=w[train].sum(), targets=y.shape[1])
        steps = [f"{name}__sample_weight" for name, _ in model.steps] if standardize else ["sample_weight"]
        return model.fit(x[train], y[train], **dict.fromkeys(steps, w[train]))

    return errors_of(fitted, x, y, fold, w)


def errors_of(
    fitted: Callable[[Array], BaseEstimator], x: Array, y: Array, fold: Array, weight: Array | None = None
) -> Array:
    """The same of any model, fitted to the rows of these numbers."""
    errors = []
    for train, test in PredefinedSplit(fold).split():
        squares = (fitted(train).predict(x[test]).reshape(y[test].shape) - y[test]) ** 2
        errors.append(np.average(squares, axis=0, weights=None if weight is None else weight[test]))
    return np.array(errors)


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_each_training_part_is_the_record_of_all_other_rows(count: int) -> None:
    x, y = data()
    fold = dealt(len(x), count)
    for k, (train, test) in enumerate(parts(records(x, y, fold))):
        for record, rows in ((train, fold != k), (test, fold == k)):
            direct = moments_of(x[rows], y[rows])
            assert (record.rows, record.weight) == (direct.rows, direct.weight)
            np.testing.assert_allclose(record.at(direct.shift_P), direct.root_KK, rtol=0, atol=1e-10)


def test_the_parts_take_three_merges_a_fold_and_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = data(300)
    taken = records(x, y, dealt(300, 20))
    first, plain, merges = parts(taken), Moments.__add__, []
    monkeypatch.setattr(Moments, "__add__", lambda a, b: merges.append(1) or plain(a, b))
    again = parts(taken)
    assert len(merges) <= 3 * 20
    assert all((a.root_KK == b.root_KK).all() for (a, _), (b, _) in zip(first, again, strict=True))


def test_one_wild_fold_costs_the_others_no_digits() -> None:
    """Subtracted from the whole, the wild rows would take 16 digits of the rest with them."""
    x, y = data(60, 2, 1)
    fold = dealt(60, 3)
    x[fold == 1] *= 1e9
    train = parts(records(x, y, fold))[1][0]
    calm = fold != 1
    slopes = LinearRegression().fit(x[calm], y[calm]).coef_
    np.testing.assert_allclose(train.solve().weight_OF, slopes, rtol=1e-11)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("decay", DECAYS)
def test_fold_errors_are_scikit_learns(decay: float, standardize: bool, weighted: bool) -> None:
    x, y = data()
    fold = dealt(len(x))
    w = np.random.default_rng(3).integers(0, 4, len(x)).astype(float) if weighted else None
    config = TrainConfig(standardize=standardize, weight_decay=decay)
    validated = kfold_error(records(x, y, fold, w), config)
    expected = peer_errors(x, y, fold, decay, standardize=standardize, weight=w)
    np.testing.assert_allclose(validated.error_KO, expected, rtol=1e-9)
    sizes = np.bincount(fold, w)
    np.testing.assert_allclose(validated.weight_K, sizes)
    np.testing.assert_allclose(validated.mse_O, np.average(expected, axis=0, weights=sizes), rtol=1e-9)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("targets", [1, 3])
def test_every_point_of_the_path_is_scikit_learns_ridge(targets: int, standardize: bool) -> None:
    x, y = data(targets=targets)
    fold = dealt(len(x))
    path = ridge_path(records(x, y, fold), standardize=standardize)
    for g, decay in enumerate(path.weight_decay_G):
        expected = peer_errors(x, y, fold, decay, standardize=standardize)
        np.testing.assert_allclose(path.error_KGO[:, g], expected, rtol=1e-9)


def test_the_error_over_all_rows_and_r2_are_those_of_the_predictions_out_of_fold() -> None:
    x, y = data()
    fold = dealt(len(x))
    predicted = cross_val_predict(make_pipeline(StandardScaler(), LinearRegression()), x, y, cv=PredefinedSplit(fold))
    validated = kfold_error(records(x, y, fold), TrainConfig())
    np.testing.assert_allclose(validated.mse_O, ((predicted - y) ** 2).mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(validated.rmse, np.sqrt(((predicted - y) ** 2).mean()), rtol=1e-10)
    np.testing.assert_allclose(validated.r2_O, r2_score(y, predicted, multioutput="raw_values"), rtol=1e-10)
    assert validated.r2 == pytest.approx(r2_score(y, predicted), rel=1e-10)


def test_the_standard_error_of_equal_folds_is_their_spread_over_the_root_of_their_number() -> None:
    x, y = data(100)
    validated = kfold_error(records(x, y, np.arange(100) % 10), TrainConfig())
    error_K = validated.error_KO.mean(axis=1)
    assert validated.standard_error == pytest.approx(error_K.std(ddof=1) / np.sqrt(10), rel=1e-12)
    expected_O = validated.error_KO.std(axis=0, ddof=1) / np.sqrt(10)
    np.testing.assert_allclose(validated.standard_error_O, expected_O, rtol=1e-12)


def test_the_standard_error_of_a_weighted_mean_covers_the_truth_as_it_should() -> None:
    """The error of fixed models, fold by fold: 10 independent folds, so a t interval of 95% holds the truth in 95%."""
    rng, inside = np.random.default_rng(4), 0
    for _ in range(400):
        error, weight = 1 + rng.normal(size=10), rng.uniform(0.9, 1.1, 10)
        mean, se = fold_mean(error, weight)
        inside += abs(mean - 1) <= 2.262 * se
    assert 0.92 < inside / 400 < 0.98


@pytest.mark.parametrize("standardize", [False, True])
def test_the_best_point_is_that_of_scikit_learns_grid_search(standardize: bool) -> None:
    x, y = data(60, 8, 1, seed=5)
    fold = np.arange(60) % 5  # equal folds: scikit-learn's mean of fold errors is the mean over rows
    path = ridge_path(records(x, y, fold), standardize=standardize)
    alphas = path.weight_decay_G[1:] * 48 / 2
    model = make_pipeline(StandardScaler(), Ridge()) if standardize else Ridge()
    grid = {"ridge__alpha" if standardize else "alpha": alphas}
    search = GridSearchCV(model, grid, scoring="neg_mean_squared_error", cv=PredefinedSplit(fold)).fit(x, y[:, 0])
    np.testing.assert_allclose(path.mse_G[1:], -search.cv_results_["mean_test_score"], rtol=1e-8)
    assert path.best == 1 + search.best_index_ > 1
    se = search.cv_results_["std_test_score"] / np.sqrt(4)  # of n - 1, and over the root of n
    limit = -search.best_score_ + se[search.best_index_]
    assert path.within == 1 + np.flatnonzero(-search.cv_results_["mean_test_score"] <= limit)[-1]
    assert path.within >= path.best


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("standardize", [False, True])
def test_degrees_of_freedom_are_the_trace_of_the_hat_matrix(standardize: bool, weighted: bool) -> None:
    x, y = data(40, 4, 2)
    w = np.random.default_rng(6).uniform(0.1, 2, 40) if weighted else np.ones(40)
    taken = records(x, y, np.zeros(40, int), w if weighted else None)[0]
    mean = np.average(x, axis=0, weights=w)
    scale = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=w)) if standardize else 1.0
    z = np.column_stack([np.ones(40), (x - mean) / scale])
    values = ridge.eigenvalues(taken, standardize=standardize)
    for decay, degrees in zip(DECAYS, ridge.degrees_of_freedom(values, np.array(DECAYS)), strict=True):
        penalty = decay * w.sum() * 2 / 2 * np.diag([0.0, 1, 1, 1, 1])
        hat = z @ np.linalg.solve(z.T @ (w[:, None] * z) + penalty, z.T * w)
        assert degrees == pytest.approx(np.trace(hat), rel=1e-10)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("features", [1, 5, 40])
def test_the_grid_runs_from_all_degrees_of_freedom_to_half_a_one(features: int, standardize: bool) -> None:
    x, y = data(90, features)
    path = ridge_path(records(x, y, dealt(90)), standardize=standardize)
    assert len(path.weight_decay_G) == 31
    assert path.weight_decay_G[0] == 0
    assert (np.diff(path.weight_decay_G) > 0).all()
    assert path.degrees_G[0] == pytest.approx(features + 1)
    assert path.degrees_G[1] == pytest.approx(features + 1, abs=0.02)
    assert path.degrees_G[-1] == pytest.approx(1.5, abs=1e-6)
    assert (np.diff(path.degrees_G) < 0).all()


def test_columns_that_determine_each_other_leave_the_path_finite_and_right() -> None:
    x, y = data(60, 3, 1)
    twice = np.column_stack([x, x[:, 0], np.full(60, 0.1)])
    fold = dealt(60)
    path, once = (ridge_path(records(z, y, fold), standardize=True) for z in (twice, x))
    assert np.isfinite(path.error_KGO).all()
    assert path.degrees_G[0] == pytest.approx(4)
    np.testing.assert_allclose(path.error_KGO[:, 0], once.error_KGO[:, 0], rtol=1e-9)
    g = 10
    expected = peer_errors(twice[:, :4], y, fold, path.weight_decay_G[g], standardize=True)
    np.testing.assert_allclose(path.error_KGO[:, g], expected, rtol=1e-9)


def test_features_that_do_not_vary_leave_the_mean_predictor() -> None:
    _, y = data(40)
    taken = records(np.full((40, 2), 0.1), y, dealt(40))
    path = ridge_path(taken, standardize=True)
    assert (path.weight_decay_G.tolist(), path.degrees_G.tolist()) == ([0.0], [1.0])
    mean = kfold_error(taken, TrainConfig(), solver=mean_predictor)
    np.testing.assert_allclose(path.error_KGO[:, 0], mean.error_KO)


def test_a_column_that_varies_in_one_fold_alone_is_no_part_of_the_others_models() -> None:
    x, y = data(60, 3, 1)
    fold = dealt(60)
    x[:, 2] = np.where(fold == 4, x[:, 2], 0.1)
    decays = [0.0, 1e-30, 1e-3, 1.0]  # at 1e-30 the rounding of 0.1 - mean would have a slope
    with_it, without = (
        ridge_path(records(z, y, fold), standardize=True, weight_decays=decays).error_KGO[4] for z in (x, x[:, :2])
    )
    np.testing.assert_allclose(with_it, without, rtol=1e-9)


def exact_errors(x: Array, y: Array, fold: Array, decay: float) -> Array:
    """Fold errors of the ridge on raw columns, in 60 digits, of one target."""
    errors = []
    with mp.workdps(60):
        for train, test in PredefinedSplit(fold).split():
            a = mp.matrix(np.column_stack([np.ones(len(train)), x[train]]).tolist())
            b = mp.matrix(y[train].tolist())
            penalty = mp.diag([0] + [mp.mpf(decay) * len(train) / 2] * x.shape[1])
            theta = mp.lu_solve(a.T * a + penalty, a.T * b)
            r = mp.matrix(np.column_stack([np.ones(len(test)), x[test]]).tolist()) * theta - mp.matrix(y[test].tolist())
            errors.append(float(sum(v**2 for v in r) / len(test)))
    return np.array(errors)


HARD = ["mean a million times the spread", "noise a hundred millionth", "scales from 1e-6 to 1e9", "collinear to 1e-6"]


@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("decay", [0.0, 1e-9, 1e-2])
def test_errors_keep_their_digits_where_sums_of_squares_would_lose_them(case: str, decay: float) -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(30, 3))
    noise = 1e-8 if case == HARD[1] else 0.1
    if case == HARD[0]:
        x += 1e6
    if case == HARD[2]:
        x *= [1e-6, 1e9, 1.0]
    if case == HARD[3]:
        x[:, 1] = x[:, 0] + 1e-6 * x[:, 1]
    y = x @ (rng.normal(size=(3, 1)) / x.std(axis=0)[:, None]) + noise * rng.normal(size=(30, 1))
    fold = np.arange(30) % 5
    expected = exact_errors(x, y, fold, decay)
    errors = ridge_path(records(x, y, fold), standardize=False, weight_decays=[decay]).error_KGO[:, 0, 0]
    np.testing.assert_allclose(errors, expected, rtol=1e-7 if noise == 1e-8 else 1e-8)


def test_another_solver_can_be_handed_in() -> None:
    x, y = data()
    fold = dealt(90)

    def raw(moments: Moments) -> LinearModel:
        objective = Objective.of(moments, weight_decay=0.1)
        return objective.model(objective.optimum_DO)

    validated = kfold_error(records(x, y, fold), TrainConfig(), solver=raw)
    np.testing.assert_allclose(validated.error_KO, peer_errors(x, y, fold, 0.1, standardize=False), rtol=1e-9)


def test_one_decomposition_a_fold_serves_every_weight_decay(monkeypatch) -> None:
    """So that five hundred features and ten folds take seconds."""
    sizes: list[int] = []
    svd = ridge._graded_svd
    monkeypatch.setattr(ridge, "_graded_svd", lambda r_FF: sizes.append(len(r_FF)) or svd(r_FF))
    rng = np.random.default_rng(8)
    x = rng.normal(size=(600, 51))
    taken = records(x, x[:, :1] + rng.normal(size=(600, 1)), np.arange(600) % 10)
    assert len(ridge_path(taken, standardize=True).weight_decay_G) == 31
    assert sizes == [51] * 11  # each fold's training rows, and all of them for the grid


def test_a_hundred_rows_take_ten_folds_and_fewer_take_five() -> None:
    for rows, count in ((5, 5), (99, 5), (100, 10)):
        folds = enough([MomentsWithGaps(fold, (), 0) for fold in ten_folds(*data(rows), np.arange(rows) % 10)])
        assert len(folds) == count
        assert sum(fold.rows for fold in folds) == rows


def ten_folds(x: Array, y: Array, fold: Array) -> list[Moments]:
    """As a data set hands them out: a record a fold, empty ones too."""
    return [Moments.leaf(np.hstack([x, y])[fold == k], *names(x, y)) for k in range(10)]


IMPOSSIBLE = {
    "five rows": (np.array([0, 2, 4, 6, 8]), "5 rows are too few: 5 folds need 10 or more, two each: add rows"),
    "one key": (np.full(15, 3), "all 15 rows lie in one fold"),
    "too few to train on": (np.array([0] * 12 + [5] * 3), "has 3 rows, fewer than the 4 parameters"),
    "nothing": (np.array([], int), "there are no rows"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_where_it_is_not_possible_the_reason_is_told_in_words(case: str) -> None:
    fold, reason = IMPOSSIBLE[case]
    taken = ten_folds(X15[: len(fold)], Y15[: len(fold)], fold)
    assert reason in refusal(taken)
    with pytest.raises(UserError, match="k-fold validation is not possible"):
        kfold_error(taken, TrainConfig())


def test_an_empty_fold_is_left_out_by_cross_validation_and_an_error_elsewhere() -> None:
    taken = ten_folds(X15, Y15, np.arange(15) % 3 * 2)
    assert validation_of(taken).folds == 3
    with pytest.raises(UserError, match="7 of 10 folds hold no row"):
        parts(taken)


def test_a_weight_decay_below_zero_is_refused() -> None:
    with pytest.raises(UserError, match="weight decay -1 is below 0"):
        ridge_path(ten_folds(X15, Y15, np.arange(15) % 5)[:5], standardize=True, weight_decays=[-1.0])


def validation_of(folds: Sequence[Moments | MomentsWithGaps], **settings: object) -> CrossValidation:
    validation = cross_validation(folds, TrainConfig(**settings))
    assert isinstance(validation, CrossValidation)
    return validation


def refusal(folds: Sequence[Moments | MomentsWithGaps]) -> str:
    reason = cross_validation(folds, TrainConfig())
    assert isinstance(reason, str)
    return reason


def in_ten_folds(x: Array, y: Array, **settings: object) -> CrossValidation:
    return validation_of(records(x, y, np.arange(len(x)) % 10), **settings)


def test_a_config_is_seen_in_sample_out_of_sample_and_beside_the_mean() -> None:
    x, y = data(200)
    validation = in_ten_folds(x, y, weight_decay=0.05)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    fitted = Ridge(alpha=0.05 * 200).fit(z, y)
    np.testing.assert_allclose(validation.in_sample_O, ((fitted.predict(z) - y) ** 2).mean(axis=0), rtol=1e-9)
    assert validation.in_sample_rmse < validation.trained.rmse < validation.mean.rmse
    assert validation.path.weight_decay_G[validation.path.index(0.05)] == 0.05
    np.testing.assert_allclose(validation.path.mse_G[validation.path.index(0.05)], validation.trained.mse, rtol=1e-9)
    np.testing.assert_allclose(validation.trained.variance_O, y.var(axis=0))
    assert validation.findings.startswith(f"10-fold RMSE {validation.trained.rmse:.4g} (standard error ")


def test_weight_decay_is_advised_where_it_helps_by_more_than_the_noise_and_the_advice_holds() -> None:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(120, 60))
    y = x[:, :1] + 2 * rng.normal(size=(120, 1))
    line = in_ten_folds(x, y).advice[0]
    assert line.startswith("weight decay ")
    assert "lowers the 10-fold RMSE from" in line
    decay = float(line.rsplit("=", 1)[1])
    better = in_ten_folds(x, y, weight_decay=decay)
    assert f"to {better.trained.rmse:.3g}" in line
    assert better.advice[0].startswith(f"keep weight decay {decay:g}: no other lowers")


def test_no_weight_decay_is_advised_where_there_is_nothing_to_gain() -> None:
    rng = np.random.default_rng(10)
    x = rng.normal(size=(500, 3))
    for y in (x @ rng.normal(size=(3, 1)) + 0.1 * rng.normal(size=(500, 1)), x[:, :1] * 2.0):
        assert in_ten_folds(x, y).advice == (
            "no weight decay is needed: none lowers the 10-fold error by more than the noise of the folds",
        )


def test_features_that_say_nothing_are_told_of() -> None:
    rng = np.random.default_rng(11)
    validation = in_ten_folds(rng.normal(size=(200, 5)), rng.normal(size=(200, 1)))
    assert any("does not beat the mean of the targets" in line for line in validation.advice)


@pytest.mark.parametrize("value", [0.0, 0.1, 7.3, 1e6 + 0.1])
def test_a_target_that_does_not_vary_has_an_r2_of_zero_and_no_advice_but_that(value: float) -> None:
    x, _ = data(150)
    folds = records(x, np.full((150, 1), value), dealt(150))
    assert kfold_error(folds, TrainConfig()).r2 == 0
    (line,) = validation_of(folds).advice
    assert "the targets do not vary" in line


def test_a_target_that_does_not_vary_is_left_out_of_the_mean_r2() -> None:
    x, y = data(60)
    errors = kfold_error(records(x, np.column_stack([y[:, :1], np.full(60, 0.1)]), dealt(60)), TrainConfig())
    assert errors.r2 == errors.r2_O[0]
    assert errors.r2_O[1] == 0


def test_gaps_are_filled_with_the_means_of_each_training_part() -> None:
    x, y = data(120)
    rng = np.random.default_rng(7)
    x[rng.random(x.shape) < 0.15] = np.nan
    fold = dealt(120)
    taken = [MomentsWithGaps.of([np.hstack([x, y])[fold == k]], *names(x, y)) for k in range(5)]

    def fitted(train: Array) -> BaseEstimator:
        model = peer(0.1, standardize=True, rows=len(train), targets=2)
        return make_pipeline(SimpleImputer(), model).fit(x[train], y[train])

    validation = validation_of(taken, weight_decay=0.1)
    np.testing.assert_allclose(validation.trained.error_KO, errors_of(fitted, x, y, fold), rtol=1e-9)


def test_a_column_without_a_value_in_a_training_part_is_a_reason() -> None:
    x, y = data(20)
    x[:, 2] = np.nan
    x[3, 2] = 1.0
    taken = [MomentsWithGaps.of([np.hstack([x, y])[k::2]], *names(x, y)) for k in range(2)]
    assert "in the training part of a fold, column 'x2' has no value" in refusal(taken)


def test_an_elastic_net_is_validated_as_such() -> None:
    x, y = data(120)
    fold = dealt(120)

    def fitted(train: Array) -> BaseEstimator:
        net = ElasticNet(alpha=0.5, l1_ratio=0.6, tol=1e-14, max_iter=1_000_000)  # half of ours: two targets
        return make_pipeline(StandardScaler(), net).fit(x[train], y[train])

    validation = validation_of(records(x, y, fold), l1=0.3, weight_decay=0.2)
    np.testing.assert_allclose(validation.trained.error_KO, errors_of(fitted, x, y, fold), rtol=1e-6)
    assert not any("weight decay" in line for line in validation.advice)


def test_rows_of_a_data_set_become_records_of_their_folds_weights_and_gaps_included(tmp_path) -> None:
    x, y = data(60, features=2, targets=1)
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y[:, 0], "w": np.arange(60) % 4})
    frame.loc[::7, "a"] = np.nan
    frame.to_csv(tmp_path / "x.csv", index=False)
    columns = {"features": ("a", "b"), "targets": ("y",), "weight": "w"}
    config = DataConfig(path=str(tmp_path / "x.csv"), **columns, missing="mean")
    recorded = record_dataset(config, held=(), folds=FOLDS)
    taken = enough(recorded.folds)
    assert len(taken) == 5
    assert all(isinstance(fold, MomentsWithGaps) for fold in taken)
    assert sum(fold.rows for fold in taken) == recorded.dataset.train_rows == 45
    assert sum(fold.moments.weight for fold in taken) == pytest.approx(frame["w"].sum())
    assert validation_of(taken)


def test_one_row_with_nearly_all_the_weight_is_a_reason_not_to_validate() -> None:
    x, y = data(200)
    w = np.where(np.arange(200) == 3, 1e6, 1.0)
    assert "one of 10 folds has 100% of the weight" in refusal(records(x, y, np.arange(200) % 10, w))
