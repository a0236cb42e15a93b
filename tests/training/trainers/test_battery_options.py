"""The battery's second half: every trainer under every option of training, against torch, scikit-learn and plain loops.

It walks ``TRAINERS`` like the first half: weights, gaps, schedules, warm start and patience, in both dtypes, full and
mini batches. The L1 penalty, which not every trainer takes, is in ``test_elastic_net``.
"""

import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, Ridge

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.least_squares.objective import Objective
from linreg.model import LinearModel
from linreg.moments.training_record import record_rows
from linreg.rows.rows import Rows
from linreg.training.choose import TRAINERS
from linreg.training.convergence import minibatch_rate
from linreg.training.fit import Fit, fit
from tests.support.processes import ROOT, environment, run
from tests.support.tables import FEATURES, TARGETS, X15, Y15, moments_of, rows_of
from tests.training.references import coordinates, relative_error, theta_of, torch_sgd
from tests.training.trainers.test_battery import BATCHED, BOUND, ITERATES

WEIGHTS = np.array([1, 2, 5, 1, 3, 1, 1, 4, 2, 1, 7, 1, 1, 2, 3], dtype=float)
SCHEDULES = {
    "step": {"schedule": "step", "step_size": 9, "gamma": 0.5},
    "cosine": {"schedule": "cosine", "eta_min": 0.001},
}
EPOCHS, SEED = 40, 3


def config_of(trainer: str, dtype: str, **more: object) -> TrainConfig:
    settings: dict = {"learning_rate": 0.05, "epochs": EPOCHS, "seed": SEED, "standardize": True, **more}
    return TrainConfig(trainer=trainer, dtype=dtype, device="cpu", **settings)


@pytest.mark.parametrize(("decay", "size"), [pytest.param(0.0, 1.0, marks=pytest.mark.long), (0.3, 1.0), (0.3, 1e9)])
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize(("name", "batch_size"), BATCHED)
def test_weighted_rows_agree_with_a_weighted_loop_whatever_the_size_of_the_weights(
    name: str, batch_size: int, dtype: str, decay: float, size: float
) -> None:
    config = config_of(name, dtype, batch_size=batch_size, weight_decay=decay)
    z = coordinates(X15, standardize=True, weight_N=WEIGHTS)
    result = fit(rows_of(X15, Y15, WEIGHTS * size), config)
    truth = torch_sgd(z, Y15, config, weight_N=WEIGHTS)[-1]
    values = theta_of(result.model, X15, standardize=True, weight_N=WEIGHTS)
    assert relative_error(values, truth) <= BOUND[dtype]
    residual = truth[0] + z @ truth[1:] - Y15
    loss = (WEIGHTS[:, None] * residual**2).sum() / (2 * WEIGHTS.sum()) + decay / 2 * (truth[1:] ** 2).sum()
    assert result.train_loss[-1] == pytest.approx(loss, rel=BOUND[dtype])


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_exact_on_weighted_rows_is_scikit_learns(decay: float, standardize: bool) -> None:
    z = coordinates(X15, standardize=standardize, weight_N=WEIGHTS)
    alpha = decay * 2 * WEIGHTS.sum() / 2
    peer = (Ridge(alpha=alpha, solver="svd") if decay else LinearRegression()).fit(z, Y15, sample_weight=WEIGHTS)
    config = TrainConfig(trainer="exact", standardize=standardize, weight_decay=decay)
    model = fit(rows_of(X15, Y15, WEIGHTS), config).model
    assert model.predict(X15) == pytest.approx(peer.predict(z), rel=1e-10)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize(("name", "batch_size"), BATCHED)
def test_schedules_agree_with_torchs_schedulers(name: str, batch_size: int, dtype: str, schedule: str) -> None:
    config = config_of(name, dtype, batch_size=batch_size, **SCHEDULES[schedule])
    result = fit(rows_of(X15, Y15), config)
    truth = torch_sgd(coordinates(X15, standardize=True), Y15, config)[-1]
    assert relative_error(theta_of(result.model, X15, standardize=True), truth) <= BOUND[dtype]


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("name", TRAINERS)
def test_gaps_are_filled_with_the_means_of_all_training_rows(name: str, dtype: str) -> None:
    x = X15.copy()
    x[[0, 4, 11], 1] = np.nan
    x[[2, 7], 0] = np.nan
    imputer = SimpleImputer().fit(x)
    config = config_of(name, dtype) if name in ITERATES else TrainConfig(trainer=name)
    columns = zip([*FEATURES, *TARGETS], np.hstack([x, Y15]).T, strict=True)
    table = pa.table({column: pa.array(values, from_pandas=True) for column, values in columns})
    gappy = fit(Rows([table.slice(0, 6), table.slice(6)], FEATURES, TARGETS, gaps=True), config)
    full = fit(rows_of(imputer.transform(x), Y15), config)
    assert gappy.model.predict(x) == pytest.approx(full.model.predict(imputer.transform(x)), rel=BOUND[dtype])
    assert gappy.model.fill_F == pytest.approx(imputer.statistics_, rel=1e-13)
    assert full.model.fill_F is None
    assert np.isnan(full.model.predict(x)).any()


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("name", ITERATES)
def test_two_halves_joined_by_a_warm_start_are_one_training(name: str, dtype: str, standardize: bool) -> None:
    rate = 0.05 if standardize else 1e-5
    config = config_of(name, dtype, standardize=standardize, learning_rate=rate)
    at_once = fit(rows_of(X15, Y15), config)
    half = replace(config, epochs=EPOCHS // 2)
    first = fit(rows_of(X15, Y15), half).model
    second = fit(rows_of(X15, Y15), replace(half, warm_start="m/1"), start=turned(first))
    assert second.model.predict(X15) == pytest.approx(at_once.model.predict(X15), rel=10 * BOUND[dtype])
    assert second.train_loss[-1] == pytest.approx(at_once.train_loss[-1], rel=10 * BOUND[dtype])


def turned(model: LinearModel) -> LinearModel:
    """The same model with its columns in another order."""
    f, o = [2, 0, 1], [1, 0]
    names = tuple(model.features[i] for i in f), tuple(model.targets[i] for i in o)
    return LinearModel(model.weight_OF[np.ix_(o, f)], model.bias_O[o], model.mean_F[f], *names)


def start_model(weight: float = 1.0, features: tuple[str, ...] = FEATURES) -> LinearModel:
    return LinearModel(np.full((2, 3), weight), np.ones(2), np.zeros(3), features, TARGETS)


WRONG_STARTS = {
    "other columns": (
        {"warm_start": "m/1"},
        start_model(features=("temp", "rain", "humidity")),
        r"train\.warm_start has other features than the config \(rain, rainfall\)",
    ),
    "a name without a model": ({"warm_start": "m/1"}, None, "go together"),
    "a model without a name": ({}, start_model(), "go together"),
    "beyond the dtype": (
        {"trainer": "manual", "dtype": "float32", "standardize": False, "learning_rate": 1e-5, "warm_start": "m/1"},
        start_model(weight=1e60),
        r"beyond float32 in the trained coordinates: set train\.dtype",
    ),
}


@pytest.mark.parametrize("case", WRONG_STARTS)
def test_a_start_that_cannot_be_is_refused_with_the_reason(case: str) -> None:
    options, model, words = WRONG_STARTS[case]
    with pytest.raises(UserError, match=words):
        fit(rows_of(X15, Y15), config_of(**{"trainer": "gram", "dtype": "float64", **options}), start=model)


def split_rows(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Few training rows, many noisy features in disguise, and validation rows: descent overfits after a while."""
    rng = np.random.default_rng(seed)
    x, v = rng.normal(size=(15, 3)), rng.normal(size=(30, 3))
    x[:, 2], v[:, 2] = x[:, 1] + 0.3 * x[:, 2], v[:, 1] + 0.3 * v[:, 2]
    truth = np.array([[1.0, 0.2, 0.0], [0.5, -0.2, 0.0]])
    return x, x @ truth.T + 1.5 * rng.normal(size=(15, 2)), v, v @ truth.T + 1.5 * rng.normal(size=(30, 2))


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize(("name", "batch_size"), BATCHED)
def test_patience_keeps_the_parameters_with_the_lowest_validation_loss(name: str, batch_size: int, dtype: str) -> None:
    x, y, v, u = split_rows()
    config = config_of(name, dtype, batch_size=batch_size, epochs=160, learning_rate=0.05, patience=6)
    result = fit(rows_of(x, y), config, validation=moments_of(v, u))
    z, zv = coordinates(x, standardize=True), (v - x.mean(axis=0)) / x.std(axis=0)
    path = torch_sgd(z, y, config)
    losses = [((t[0] + zv @ t[1:] - u) ** 2).mean() for t in path]
    best, waited = 0, 0
    for epoch, loss in enumerate(losses):
        best, waited = (epoch, 0) if loss < losses[best] or epoch == 0 else (best, waited + 1)
        if waited == 6:
            break
    assert 0 < best < 154, "the test needs a descent that turns"
    assert result.epochs == best
    assert len(result.validation_loss) == best + 7
    assert result.validation_loss == pytest.approx(losses[: best + 7], rel=BOUND[dtype])
    assert relative_error(theta_of(result.model, x, standardize=True), path[best]) <= BOUND[dtype]
    assert (len(result.train_loss), len(result.excess_loss)) == (best + 1, best + 1)
    assert f"no lower loss on the validation rows for 6 epochs; the parameters of epoch {best}" in result.stopped
    assert max(result.path) == best


def test_patience_never_used_up_keeps_the_best_all_the_same() -> None:
    x, y, v, u = split_rows()
    config = config_of("gram", "float64", epochs=400, learning_rate=0.02, patience=400)
    result = fit(rows_of(x, y), config, validation=moments_of(v, u))
    assert result.epochs == int(np.argmin(result.validation_loss)) < 400
    assert len(result.validation_loss) == 401
    assert result.stopped.startswith("all epochs run; the parameters of epoch")


def test_validation_rows_without_patience_are_watched_and_change_nothing() -> None:
    x, y, v, u = split_rows()
    config = config_of("gram", "float64")
    watched, alone = fit(rows_of(x, y), config, validation=moments_of(v, u)), fit(rows_of(x, y), config)
    assert watched.model.weight_OF.tobytes() == alone.model.weight_OF.tobytes()
    assert len(watched.validation_loss) == EPOCHS + 1
    assert alone.validation_loss == []


def test_patience_without_validation_rows_is_refused() -> None:
    with pytest.raises(UserError, match=r"train\.patience needs validation rows: set data\.validation_fraction"):
        fit(rows_of(X15, Y15), config_of("gram", "float64", patience=3))


@pytest.mark.parametrize("name", ITERATES)
def test_a_rate_too_large_is_taken_where_its_schedule_comes_down_soon_enough(name: str) -> None:
    objective = Objective.of(moments_of(X15, Y15), standardize=True)
    limit = 2 / float(objective.eigenvalues_D[0])
    down = {"schedule": "step", "step_size": 3, "gamma": 0.1, "learning_rate": 1.2 * limit}
    result = fit(rows_of(X15, Y15), config_of(name, "float64", epochs=60, **down))
    assert result.excess_loss[3] > result.excess_loss[0] > result.excess_loss[-1]
    late = down | {"step_size": 58}
    with pytest.raises(UserError, match=r"cannot converge: the largest stable rate is .* schedule step comes down too"):
        fit(rows_of(X15, Y15), config_of(name, "float64", epochs=60, **late))


@pytest.mark.parametrize("name", ITERATES)
def test_the_path_is_the_walk_in_the_datas_own_units(name: str) -> None:
    result: Fit = fit(rows_of(X15, Y15), config_of(name, "float64", epochs=100))
    design = np.column_stack([np.ones(15), X15])
    assert next(iter(result.path)) == 0
    assert list(result.path)[-1] == 100
    for epoch, theta in result.path.items():
        assert ((design @ theta - Y15) ** 2).mean() == pytest.approx(result.train_loss[epoch], rel=1e-9)


CANNOT_CONVERGE = {
    "far above the limit, without a warning": {"learning_rate": 8.0, "schedule": "cosine", "epochs": 600},
    "leaves float32 on its way": {"learning_rate": 1.5, "schedule": "cosine", "epochs": 4000, "dtype": "float32"},
    "patience may end it before": {"learning_rate": 0.95, "schedule": "cosine", "epochs": 400, "patience": 3},
}


@pytest.mark.parametrize("case", CANNOT_CONVERGE)
def test_a_rate_that_its_schedule_does_not_mend_in_time_is_refused(case: str) -> None:
    x, y, v, u = split_rows()
    config = config_of(**{"trainer": "manual", "dtype": "float64", **CANNOT_CONVERGE[case]})
    with pytest.raises(UserError, match="cannot converge") as error:
        fit(rows_of(x, y), config, validation=moments_of(v, u))
    patience = "train.patience may stop before the schedule cosine comes down"
    assert (patience in str(error.value)) == ("patience" in CANNOT_CONVERGE[case])


def test_a_constant_gets_no_weight_however_small_the_weight_decay() -> None:
    x = np.column_stack([X15[:, 0], np.full(15, 3.3e14), X15[:, 2]])
    for decay in (1e-12, 1e-6, 1.0):
        config = TrainConfig(trainer="exact", weight_decay=decay, standardize=True)
        assert not fit(rows_of(x, Y15), config).model.weight_OF[:, 1].any()


def test_the_rate_for_mini_batches_knows_of_a_heavy_row() -> None:
    even = minibatch_rate(Objective.of(record_rows(rows_of(X15, Y15, np.full(15, 3.0))).moments), 5)
    assert even == pytest.approx(minibatch_rate(Objective.of(moments_of(X15, Y15)), 5), rel=1e-12)
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(64, 3)), np.where(np.arange(64) == 7, 1000.0, 1.0)
    y = x @ rng.normal(size=(3, 2)) + rng.normal(size=(64, 2))
    rate = minibatch_rate(Objective.of(record_rows(rows_of(x, y, w)).moments, standardize=True), 8)
    config = config_of("manual", "float64", batch_size=8, learning_rate=rate / 2, epochs=100)
    assert fit(rows_of(x, y, w), config).epochs == 100
    with pytest.raises(UserError, match="training diverged"):
        fit(rows_of(x, y, w), replace(config, learning_rate=20 * rate))


@pytest.mark.long  # three processes; test_digits has the record's
def test_bits_of_exact_and_gram_do_not_hang_on_the_number_of_threads() -> None:
    code = """
import hashlib, sys
import numpy as np
from tests.support.tables import rows_of
from linreg.config import TrainConfig
from linreg.training.fit import fit
rng = np.random.default_rng(0)
x = rng.normal(size=(1500, 200)); y = x[:, :2] + rng.normal(size=(1500, 2))
bits = hashlib.sha256()
for options in ({}, {"weight_decay": 0.1}, {"l1": 0.1}, {"trainer": "gram", "learning_rate": 0.2, "epochs": 20}):
    model = fit(rows_of(x, y), TrainConfig(**{"trainer": "exact", **options})).model
    bits.update(model.weight_OF.tobytes() + model.bias_O.tobytes())
print(bits.hexdigest())
"""
    digests = set()
    for threads in ("1", "2", "4"):
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        env = environment(**dict.fromkeys(names, threads))
        digests.add(run([sys.executable, "-c", code], cwd=ROOT, env=env, check=True).stdout)
    assert len(digests) == 1
