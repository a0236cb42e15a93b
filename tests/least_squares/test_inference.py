"""Inference against statsmodels, NIST's certified values and simulation; and every reason not to give any."""

import json
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.stats.outliers_influence import variance_inflation_factor
from threadpoolctl import threadpool_limits

from bench import rational, strd
from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.least_squares.inference import infer, intervals
from linreg.least_squares.objective import Objective
from linreg.least_squares.results import Coefficient, Errors, Inference
from linreg.least_squares.validity import caller_reasons, remedy
from linreg.model import LinearModel
from linreg.moments.moments import Moments, merge
from tests.support.tables import X5, X15, Y5, Y15, moments_of, names

REL = 1e-9
NIST = strd.load()
DIGITS = {"Norris": 12, "Pontius": 11, "Longley": 12, "Filip": 6, "Wampler3": 11, "Wampler4": 11, "Wampler5": 11}


@pytest.fixture(autouse=True, scope="module")
def _one_blas_thread():
    """The judge's small products lose more to a second thread than they gain."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield


def record(x_NF, y_NO, weight_N=None):
    return Moments.leaf(np.hstack([x_NF, y_NO]), *names(x_NF, y_NO), weight_N)


def optimum(moments):
    objective = Objective.of(moments, standardize=True)
    return objective.model(objective.optimum_DO)


def inferred(x_NF, y_NO, weight_N=None, **options):
    """What is inferred of the optimum of rows."""
    moments = record(x_NF, y_NO, weight_N)
    return infer(optimum(moments), moments, **options)


def problems():
    rng = np.random.default_rng(11)

    def rows(n, f, o=2, noise=1.0):
        x = rng.normal(size=(n, f))
        return x, x @ rng.normal(size=(f, o)) + rng.normal(size=o) + noise * rng.normal(size=(n, o))

    x, y = rows(200, 4)
    far = x + 1e6
    spread = 10 ** rng.uniform(-3, 3, 200)
    return {
        "the tutorial's five rows": (X5, Y5, None),
        "the tutorial's fifteen rows": (X15, Y15, None),
        "one feature": (*rows(12, 1, o=1), None),
        "wide": (*rows(100, 60), None),
        "hardly any signal": (*rows(500, 3, noise=100.0), None),
        "a million from zero": (far, y, None),
        "badly scaled": (x * [1e-8, 1.0, 1e4, 1e8], y * [1e-6, 1e6], None),
        "weights spread over a million": (x, y, spread),
        "weights with zeros": (x, y, np.where(rng.random(200) < 0.3, 0.0, spread)),
    }


PROBLEMS = problems()


def coordinates(x_NF):
    """Shift and scale of the columns, for the judge alone: exact, and such that it keeps its own digits."""
    far, uneven = x_NF.min() > 9e5, np.ptp(np.log10(x_NF.std(axis=0))) > 6
    scale_F = 2.0 ** np.round(np.log2(x_NF.std(axis=0))) if uneven else np.ones(x_NF.shape[1])
    return (1e6 if far else 0.0), scale_F


def design_of(x_NF, like_NF):
    shift, scale_F = coordinates(like_NF)
    return sm.add_constant((x_NF - shift) / scale_F, has_constant="add")


def judges(x_NF, y_NO, weight_N):
    """What statsmodels finds for each target, on the rows that count, in its own coordinates."""
    keep = slice(None) if weight_N is None else weight_N > 0
    design = design_of(x_NF[keep], x_NF)
    for y_N in y_NO[keep].T:
        yield (sm.OLS(y_N, design) if weight_N is None else sm.WLS(y_N, design, weights=weight_N[keep])).fit()


def own_units(x_NF, judge):
    """The judge's parameters, errors, t, p and intervals in the columns' own units, the intercept where they are 0."""
    shift, scale_F = coordinates(x_NF)
    back = np.diag([1.0, *1 / scale_F])
    back[0, 1:] = -shift / scale_F
    test = judge.t_test(back)
    return test.effect, test.sd.ravel(), test.tvalue.ravel(), test.pvalue.ravel(), test.conf_int()


def column(target, name, of="errors"):
    coefficients = [target.intercept, *target.coefficients.values()]
    return np.array([c.estimate if name == "estimate" else getattr(getattr(c, of), name) for c in coefficients])


def assert_quality(q, judge):
    """The judge's R2, noise, F test and criteria."""
    assert (q.r2, q.adjusted_r2) == pytest.approx((judge.rsquared, judge.rsquared_adj), rel=REL)
    assert q.residual_standard_error**2 == pytest.approx(judge.mse_resid, rel=REL)
    assert (q.f_statistic, q.f_p_value) == pytest.approx((judge.fvalue, judge.f_pvalue), rel=REL, abs=1e-300)
    assert (q.log_likelihood, q.aic, q.bic) == pytest.approx((judge.llf, judge.aic, judge.bic), rel=REL)


def assert_errors(x_NF, target, judge, of="errors"):
    """The judge's estimates, errors, t, p and intervals."""
    params, bse, tvalues, pvalues, conf_int = own_units(x_NF, judge)
    assert column(target, "estimate") == pytest.approx(params, rel=REL)
    assert column(target, "standard_error", of) == pytest.approx(bse, rel=REL)
    assert column(target, "t", of) == pytest.approx(tvalues, rel=REL)
    assert column(target, "p", of) == pytest.approx(pvalues, rel=REL, abs=1e-300)
    ends = np.column_stack([column(target, end, of) for end in ("low", "high")])
    assert ends == pytest.approx(conf_int, rel=REL)


@pytest.mark.parametrize("case", PROBLEMS)
def test_errors_intervals_and_the_quality_of_each_target_are_statsmodels(case: str) -> None:
    x, y, w = PROBLEMS[case]
    inference = inferred(x, y, w)
    assert inference.inference == "valid"
    for target, judge in zip(inference.targets.values(), judges(x, y, w), strict=True):
        assert_errors(x, target, judge)
        assert_quality(target.quality, judge)
        assert inference.degrees_of_freedom == judge.df_resid


@pytest.mark.parametrize("level", [0.95, 0.5])
@pytest.mark.parametrize("case", PROBLEMS)
def test_intervals_of_new_rows_are_statsmodels(case: str, level: float) -> None:
    x, y, w = PROBLEMS[case]
    moments = record(x, y, w)
    new = x[:5] * 1.1
    for kind, columns in (("confidence", "mean_ci"), ("prediction", "obs_ci")):
        low, high = intervals(optimum(moments), moments, new, kind=kind, level=level)
        for o, judge in enumerate(judges(x, y, w)):
            frame = judge.get_prediction(design_of(new, x)).summary_frame(alpha=1 - level)
            assert low[:, o] == pytest.approx(frame[f"{columns}_lower"].to_numpy(), rel=REL)
            assert high[:, o] == pytest.approx(frame[f"{columns}_upper"].to_numpy(), rel=REL)


@pytest.mark.parametrize("case", [c for c in PROBLEMS if PROBLEMS[c][2] is None])
def test_variance_inflation_is_statsmodels(case: str) -> None:
    x, y, _ = PROBLEMS[case]
    design = design_of(x, x)
    expected = [variance_inflation_factor(design, i + 1) for i in range(x.shape[1])]
    assert list(inferred(x, y).variance_inflation.values()) == pytest.approx(expected, rel=REL)


def test_variance_inflation_of_weighted_rows_is_that_of_a_feature_on_the_others() -> None:
    x, y, w = PROBLEMS["weights spread over a million"]
    others = [sm.WLS(x[:, i], sm.add_constant(np.delete(x, i, axis=1)), weights=w).fit().rsquared for i in range(4)]
    expected = [1 / (1 - r2) for r2 in others]
    assert list(inferred(x, y, w).variance_inflation.values()) == pytest.approx(expected, rel=REL)


@pytest.mark.parametrize("case", [c for c in PROBLEMS if len(PROBLEMS[c][0]) >= 100])
def test_errors_clustered_by_partition_are_statsmodels(case: str) -> None:
    x, y, w = PROBLEMS[case]
    parts = np.array_split(np.arange(len(x)), 31)
    records = [record(x[r], y[r], None if w is None else w[r]) for r in parts]
    moments = merge(records)
    inference = infer(optimum(moments), moments, partitions=records)
    assert inference.partitions == 31
    groups = np.concatenate([np.full(len(r), g) for g, r in enumerate(parts)])
    groups = groups if w is None else groups[w > 0]
    for target, judge in zip(inference.targets.values(), judges(x, y, w), strict=True):
        assert_errors(x, target, judge)
        assert_quality(target.quality, judge)
        assert_errors(x, target, judge.get_robustcov_results("cluster", groups=groups, use_t=True), "clustered")


def test_fewer_than_thirty_partitions_are_not_clustered_by() -> None:
    x, y, _ = PROBLEMS["hardly any signal"]
    empty = Moments.leaf(np.empty((0, 5)), *names(x, y))
    records = [record(p, q) for p, q in zip(np.array_split(x, 29), np.array_split(y, 29), strict=True)]
    moments = merge(records)
    inference = infer(optimum(moments), moments, partitions=[*records, empty, empty])
    assert inference.partitions == 0
    assert "clustered" not in json.dumps(inference.to_json())


def test_partitions_of_other_rows_or_columns_are_a_fault() -> None:
    x, y, _ = PROBLEMS["hardly any signal"]
    moments = record(x, y)
    with pytest.raises(ValueError, match="do not add up"):
        infer(optimum(moments), moments, partitions=[record(x[:100], y[:100])])
    with pytest.raises(ValueError, match="same columns"):
        infer(optimum(moments), moments, partitions=[record(x[:, :2], y)])
    with pytest.raises(ValueError, match="same columns"):
        infer(optimum(record(x[:, :2], y)), moments)


@pytest.mark.parametrize("name", DIGITS)
def test_nists_problems_have_the_certified_errors(name: str) -> None:
    x, y = NIST[name].arrays()
    certified, rel = NIST[name].certified, 10.0 ** -DIGITS[name]
    (target,) = inferred(x, y[:, None]).targets.values()
    assert column(target, "standard_error") == pytest.approx([float(d) for d in certified.deviations_P], rel=rel)
    assert column(target, "estimate") == pytest.approx([float(d) for d in certified.parameters_P], rel=1e-5)
    assert target.quality.residual_standard_error == pytest.approx(float(certified.residual_deviation), rel=rel)
    assert target.quality.r2 == pytest.approx(float(certified.r2), rel=rel)


@pytest.mark.parametrize("name", ["Wampler1", "Wampler2"])
def test_nists_problems_without_noise_have_no_errors_to_tell(name: str) -> None:
    x, y = NIST[name].arrays()
    assert "zero to rounding" in inferred(x, y[:, None]).inference


def test_longley_is_told_to_be_collinear() -> None:
    moments = moments_of(*(a.reshape(16, -1) for a in NIST["Longley"].arrays()))
    inference = infer(optimum(moments), moments)
    assert inference.targets["y0"].quality.f_statistic == pytest.approx(330.285339234588, rel=1e-11)
    assert inference.condition_number == Objective.of(moments).condition_number
    assert max(inference.variance_inflation.values()) > 1000


# --- when it is not valid


def refused(reason: str, inference: Inference) -> None:
    """Only estimates and R2 are there, and the reason says why."""
    assert reason in inference.inference
    assert "\n" not in inference.inference
    assert not inference.valid
    for target in inference.targets.values():
        quality = target.to_json()
        slopes = [quality.pop("intercept"), *quality.pop("coefficients").values()]
        assert quality.pop("r2") <= 1
        assert set(quality.values()) == {None}
        for c in slopes:
            assert np.isfinite(c.pop("estimate"))
            assert set(c.values()) == {None}
    json.dumps(inference.to_json(), allow_nan=False)
    assert Inference.from_json(json.loads(json.dumps(inference.to_json()))) == inference


def test_a_dependent_column_is_named() -> None:
    x, y, _ = PROBLEMS["hardly any signal"]
    both = np.column_stack([x, x[:, 0] - 2 * x[:, 2]])
    moments = record(both, y)
    inference = infer(optimum(moments), moments)
    refused("rank 3 of 4: x0, x2, x3 determine each other: leave out one of them", inference)
    assert inference.deficient == ("x0", "x2", "x3")
    assert (inference.condition_number, set(inference.variance_inflation.values())) == (None, {None})
    with pytest.raises(UserError, match="no intervals: rank 3 of 4"):
        intervals(optimum(moments), moments, both)


@pytest.mark.parametrize("clusters", [0, 50])
def test_a_constant_column_has_no_errors_and_takes_none_from_the_others(clusters: int) -> None:
    x, y, _ = PROBLEMS["hardly any signal"]
    x = np.column_stack([x[:, :1], np.full(len(x), 3.3), x[:, 1:]])
    pieces = zip(np.split(x, clusters), np.split(y, clusters), strict=True) if clusters else ()
    parts = [record(*rows) for rows in pieces]
    moments = merge(parts) if clusters else record(x, y)
    model = optimum(moments)
    inference = infer(model, moments, partitions=parts)
    judged = [sm.OLS(y_N, sm.add_constant(np.delete(x, 1, axis=1))).fit() for y_N in y.T]
    for target, judge in zip(inference.targets.values(), judged, strict=True):
        varying = [target.intercept, *(c for name, c in target.coefficients.items() if name != "x1")]
        np.testing.assert_allclose([c.estimate for c in varying], judge.params, rtol=1e-9)
        np.testing.assert_allclose([c.errors.standard_error for c in varying], judge.bse, rtol=1e-9)
        assert abs(target.coefficients["x1"].estimate) < 1e-12
        assert target.coefficients["x1"].errors == Errors()
        assert all(bool(c.clustered) == bool(clusters) for c in (target.intercept, *target.coefficients.values()))
    assert (inference.inference, inference.degrees_of_freedom, inference.deficient) == ("valid", len(x) - 4, ("x1",))
    assert list(inference.variance_inflation) == list(moments.features)
    # a slope along the constant is part of the intercept as long as nothing varies
    slope = np.array([0, 2.0, 0, 0])
    tilted = replace(model, weight_OF=model.weight_OF + slope, bias_O=model.bias_O - 2 * (3.3 - model.mean_F[1]))
    inference = infer(tilted, moments)
    assert inference.valid
    for target, judge in zip(inference.targets.values(), judged, strict=True):
        assert target.intercept.errors == Errors()
        np.testing.assert_allclose(target.coefficients["x2"].errors.standard_error, judge.bse[2], rtol=1e-9)


@pytest.mark.parametrize("rows", [1, 2, 4, 5])
def test_too_few_rows_are_told(rows: int) -> None:
    x, y = np.random.default_rng(3).normal(size=(rows, 4)), np.ones((rows, 1))
    inference = inferred(x, y + x[:, :1] ** 2)
    assert "too few for 5 parameters a target: more than 5 are needed" in inference.inference
    assert "rank" not in inference.inference
    assert rows == 1 or "constant" not in inference.inference
    refused("too few", inference)
    assert inference.degrees_of_freedom is None


@pytest.mark.parametrize("weight", [None, np.full(20, 1e-6)])
def test_a_target_that_is_met_exactly_has_no_noise(weight) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 2)) + 1e5
    y = np.column_stack([rng.normal(size=20), x @ [2.0, -3.0] + 1, np.full(20, 7.0)])
    inference = inferred(x, y, weight)
    refused("the residuals of y1 are zero to rounding", inference)
    refused("y2 is constant, so there is nothing to explain: leave out the target", inference)
    assert inference.targets["y2"].quality.r2 == 0
    assert inference.targets["y1"].quality.r2 == pytest.approx(1, abs=1e-9)


def test_noise_a_hundred_millionth_of_the_signal_is_noise() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(50, 2))
    y = x @ [1.0, -1.0] + 1e-8 * rng.normal(size=50)
    inference = inferred(x, y[:, None])
    assert inference.inference == "valid"
    errors = [float(d) for d in rational.of_arrays(x, y).deviations_P]
    assert column(inference.targets["y0"], "standard_error") == pytest.approx(errors, rel=5e-7)


def test_a_column_that_hardly_varies_leaves_the_noise_what_it_is() -> None:
    rng = np.random.default_rng(5)
    x = 1e9 + 1e-5 * rng.normal(size=(50, 1))  # some 100 values that differ
    assert inferred(x, rng.normal(size=(50, 1))).inference == "valid"


@pytest.mark.parametrize("parameter", ["x0", "x1", "bias"])
@pytest.mark.parametrize("case", ["a million from zero", "weights spread over a million", "badly scaled"])
def test_parameters_are_within_a_hundredth_of_a_standard_error_or_refused(case: str, parameter: str) -> None:
    x, y, w = PROBLEMS[case]
    moments = record(x, y, w)
    best = optimum(moments)
    inference = infer(best, moments)

    def away(standard_errors: float) -> LinearModel:
        """Move one slope with the prediction at the mean fixed, or that prediction with the slopes fixed."""
        weight, bias = best.weight_OF.copy(), best.bias_O.copy()
        if parameter == "bias":
            s = inference.targets["y1"].quality.residual_standard_error
            bias[1] += standard_errors * s / np.sqrt(moments.weight)
        else:
            i = moments.features.index(parameter)
            slope = inference.targets["y1"].coefficients[parameter].errors
            weight[1, i] += standard_errors * slope.standard_error / np.sqrt(inference.variance_inflation[parameter])
        return LinearModel(weight, bias, best.mean_F, best.features, best.targets)

    assert infer(away(0.009), moments).inference == "valid"
    too_far = infer(away(0.011), moments)
    refused("the parameters are up to 0.011 standard errors from the optimum", too_far)
    assert "more epochs, train.standardize = true or trainer = 'exact'" in too_far.inference
    with pytest.raises(UserError, match="standard errors from the optimum"):
        intervals(away(0.011), moments, x)


def test_the_r2_of_a_model_away_from_the_optimum_is_its_own() -> None:
    x, y, _ = PROBLEMS["the tutorial's fifteen rows"]
    moments = record(x, y)
    model = LinearModel(np.array([[0.1, 0.6, 0.2], [-0.3, 0.9, 0.7]]), np.ones(2), np.zeros(3), *names(x, y))
    inference = infer(model, moments)
    refused("standard errors from the optimum", inference)
    residual, total = ((y - model.predict(x)) ** 2).sum(axis=0), ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    assert [t.quality.r2 for t in inference.targets.values()] == pytest.approx(1 - residual / total, rel=1e-12)


KNOWN = {
    "regularised (train.weight_decay = 0.1)": {"weight_decay": 0.1},
    "regularised (train.l1 = 0.5)": {"l1": 0.5},
    "1,234 missing values were filled in": {"filled": 1234},
    "training started from crop-yield/3": {"warm_start": "crop-yield/3"},
    "train.patience = 5": {"patience": 5},
    "the best of 20 runs of a sweep": {"selected": "the best of 20 runs of a sweep"},
}


@pytest.mark.parametrize("reason", KNOWN)
def test_what_only_the_caller_knows_is_told(reason: str) -> None:
    assert caller_reasons() == ()
    refused(reason, inferred(X15, Y15, reasons=caller_reasons(**KNOWN[reason])))


@pytest.mark.parametrize(
    ("config", "ran_all", "words"),
    [
        ({"standardize": False}, True, "more epochs, train.standardize = true or trainer = 'exact'"),
        ({}, True, "more epochs or trainer = 'exact'"),
        ({"batch_size": 5}, True, "train.batch_size = 0 or trainer = 'exact'"),
        ({"batch_size": 5, "schedule": "cosine"}, True, "more epochs or trainer = 'exact'"),
        ({"trainer": "exact"}, True, "leave out columns that others nearly determine"),
        ({"patience": 5}, False, "trainer = 'exact'"),  # which ended the training: more epochs would not be run
        ({"tolerance": 0.1}, False, "a smaller train.tolerance or trainer = 'exact'"),
    ],
)
def test_only_what_is_not_done_yet_and_would_help_is_advised(config: dict, ran_all: bool, words: str) -> None:
    assert remedy(TrainConfig(**{"trainer": "gram"} | config), ran_all=ran_all) == words


def test_all_reasons_are_joined_in_one_line() -> None:
    moments = record(X15, Y15)
    model = LinearModel(np.zeros((2, 3)), np.zeros(2), np.zeros(3), *names(X15, Y15))
    inference = infer(model, moments, reasons=caller_reasons(filled=1, warm_start="a/1"), remedy="do this")
    for reason in ("1 missing value was filled in", "started from a/1", "is allowed): do this"):
        refused(reason, inference)


def test_a_penalised_model_is_not_told_to_train_on() -> None:
    moments = record(X15, Y15)
    objective = Objective.of(moments, weight_decay=10.0)
    inference = infer(objective.model(objective.optimum_DO), moments, reasons=caller_reasons(weight_decay=10.0))
    refused("set it to 0", inference)
    assert "epochs" not in inference.inference


# --- the record of it


@pytest.mark.parametrize("case", PROBLEMS)
def test_json_is_strict_and_comes_back_as_it_was(case: str) -> None:
    inference = inferred(*PROBLEMS[case])
    assert Inference.from_json(json.loads(json.dumps(inference.to_json(), allow_nan=False))) == inference


def test_metrics_name_the_target_and_the_feature() -> None:
    inference = inferred(X15, Y15)
    metrics = inference.metrics()
    apples = inference.targets["apples"].quality
    assert metrics["train_r2.apples"] == apples.r2
    assert metrics["train_adjusted_r2.apples"] == apples.adjusted_r2
    assert {"residual_standard_error.oranges", "f_statistic.oranges", "f_p_value.oranges"} <= set(metrics)
    assert {"aic.oranges", "bic.oranges", "variance_inflation.temp"} <= set(metrics)
    assert all(np.isfinite(v) for v in metrics.values())


def test_metrics_of_what_is_not_valid_are_r2_and_inflation_alone() -> None:
    inference = inferred(X15, Y15, reasons=["because"])
    assert {name.partition(".")[0] for name in inference.metrics()} == {"train_r2", "variance_inflation"}


def test_metrics_hold_the_hundred_largest_inflations() -> None:
    x = np.random.default_rng(2).normal(size=(150, 120))
    inference = inferred(x, x[:, :1] + np.random.default_rng(3).normal(size=(150, 1)))
    inflations = {k.partition(".")[2]: v for k, v in inference.metrics().items() if k.startswith("variance_inflation")}
    assert len(inflations) == 100
    assert min(inflations.values()) >= max(v for k, v in inference.variance_inflation.items() if k not in inflations)


def test_the_assumptions_say_what_the_weights_mean() -> None:
    x, y, w = PROBLEMS["weights with zeros"]
    assert "errors are independent, with one variance a target" in inferred(x, y).assumptions
    assert any("weight" in line for line in inferred(x, y, w).assumptions)


# --- coverage


def simulated(sets: int, *, weighted: bool, seed: int) -> dict[str, np.ndarray]:
    """The share of ``sets`` data sets whose 95% interval holds the truth, by kind, a target each."""
    rng = np.random.default_rng(seed)
    n, truth_DO = 25, np.array([[30.0, -2.0], [1.5, 0.0], [-0.2, 4.0]])
    x = np.column_stack([rng.normal(50, 5, n), rng.uniform(-1, 1, n)])
    w = rng.uniform(0.2, 5, n) if weighted else np.ones(n)
    noise_O, new = np.array([0.5, 20.0]), np.array([[70.0, 1.0]])
    hits: dict[str, list[np.ndarray]] = {k: [] for k in ("intercept", "x0", "x1", "confidence", "prediction")}
    for _ in range(sets):
        y = truth_DO[0] + x @ truth_DO[1:] + rng.normal(size=(n, 2)) * noise_O / np.sqrt(w)[:, None]
        moments = Moments.leaf(np.hstack([x, y]), ("x0", "x1"), ("y0", "y1"), w if weighted else None)
        model = optimum(moments)
        targets = infer(model, moments).targets.values()
        for d, name in enumerate(("intercept", "x0", "x1")):
            errors = [t.intercept.errors if d == 0 else t.coefficients[name].errors for t in targets]
            hits[name].append(np.array([e.low <= c <= e.high for e, c in zip(errors, truth_DO[d], strict=True)]))
        mean = truth_DO[0] + new[0] @ truth_DO[1:]
        outcomes = {"confidence": mean, "prediction": mean + rng.normal(size=2) * noise_O}
        for kind, y_O in outcomes.items():
            low, high = intervals(model, moments, new, kind=kind)
            hits[kind].append((low[0] <= y_O) & (y_O <= high[0]))
    return {name: np.mean(held, axis=0) for name, held in hits.items()}


def within_binomial_bounds(share: np.ndarray, sets: int) -> bool:
    """Nearer to 95% than chance goes in one of 10,000 (two-sided, normal approximation)."""
    return bool((np.abs(share - 0.95) <= 3.89 * np.sqrt(0.95 * 0.05 / sets)).all())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("sets", "seed"), [(400, 1), pytest.param(10_000, 2, marks=pytest.mark.long)])
def test_intervals_of_95_percent_hold_the_truth_in_95_percent_of_the_sets(sets: int, seed: int, weighted: bool) -> None:
    for name, share in simulated(sets, weighted=weighted, seed=seed).items():
        assert within_binomial_bounds(share, sets), (name, share)


def test_with_day_effects_clustered_intervals_cover_and_classical_ones_do_not() -> None:
    rng = np.random.default_rng(4)
    days, rows, sets = 40, 10, 300
    hits = []
    for _ in range(sets):
        level, effect = rng.normal(size=(2, days, 1))
        x = level + 0.5 * rng.normal(size=(days, rows))  # a feature that changes from day to day, mostly
        y = 2 * x + effect + 0.5 * rng.normal(size=(days, rows))
        records = [Moments.leaf(np.column_stack([a, b]), ("x",), ("y",)) for a, b in zip(x, y, strict=True)]
        moments = merge(records)
        slope = infer(optimum(moments), moments, partitions=records).targets["y"].coefficients["x"]
        hits.append([e.low <= 2 <= e.high for e in (slope.errors, slope.clustered)])
    classical, clustered = np.mean(hits, axis=0)
    assert classical < 0.75
    assert within_binomial_bounds(clustered, sets)


ODD = np.arange(90) % 2
THROUGH_ORIGIN = {
    "far from zero": lambda rng: rng.normal([3, -900, 0], [1, 2, 1], (90, 3)),
    "a column of ones": lambda rng: np.column_stack([np.ones(90), rng.normal(5, 1, 90)]),
    "levels that add up to one": lambda rng: np.column_stack([ODD, 1 - ODD, rng.normal(size=90)]),
}


@pytest.mark.parametrize("case", THROUGH_ORIGIN)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_model_without_an_intercept_is_statsmodels(case: str, weighted: bool) -> None:
    rng = np.random.default_rng(4)
    x_NF = THROUGH_ORIGIN[case](rng)
    y_NO = (x_NF.sum(axis=1) + rng.normal(size=90))[:, None]
    w_N = rng.uniform(0.5, 2, 90) if weighted else None
    moments = replace(record(x_NF, y_NO, w_N), intercept=False)
    judge = sm.WLS(y_NO[:, 0], x_NF, weights=1.0 if w_N is None else w_N).fit()
    model = optimum(moments)
    assert (model.mean_F == 0).all()
    assert model.bias_O.tolist() == [0.0]
    inference = infer(model, moments)
    assert (inference.inference, inference.degrees_of_freedom) == ("valid", judge.df_resid)
    (target,) = inference.targets.values()
    assert target.intercept == Coefficient(0.0, Errors())
    slopes = replace(target, intercept=target.coefficients[moments.features[0]])
    for name, theirs in (("estimate", judge.params), ("standard_error", judge.bse), ("p", judge.pvalues)):
        assert column(slopes, name)[1:] == pytest.approx(theirs, rel=REL, abs=1e-300)
    assert_quality(target.quality, judge)
    for kind, columns in (("confidence", "mean_ci"), ("prediction", "obs_ci")):
        low, high = intervals(model, moments, x_NF[:5], kind=kind)
        frame = judge.get_prediction(x_NF[:5]).summary_frame()
        assert low[:, 0] == pytest.approx(frame[f"{columns}_lower"].to_numpy(), rel=REL)
        assert high[:, 0] == pytest.approx(frame[f"{columns}_upper"].to_numpy(), rel=REL)
