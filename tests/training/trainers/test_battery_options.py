"""The battery's second half: every trainer under every option of training, against torch, scikit-learn and plain loops.

It walks ``TRAINERS`` like the first half: weights, gaps, schedules, warm start and patience, in both dtypes, full and
mini batches. The L1 penalty, which not every trainer takes, is in ``test_elastic_net``.
"""

import sys

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.least_squares.objective import Objective
from linreg.model import LinearModel
from linreg.moments.training_record import record_rows, record_with_gaps
from linreg.rows.rows import Rows
from linreg.training.choose import TRAINERS
from linreg.training.convergence import minibatch_rate
from linreg.training.fit import Fit, fit
from tests.support.processes import ROOT, environment, run
from tests.support.tables import FEATURES, TARGETS, X15, Y15, moments_of, rows_of
from tests.training.trainers.test_battery import BOUND, ITERATES, MINI, apart, coordinates, shuffled, start, theta_of

WEIGHTS = np.array([1, 2, 5, 1, 3, 1, 1, 4, 2, 1, 7, 1, 1, 2, 3], dtype=float)
SCHEDULES = {
    "step": {"schedule": "step", "step_size": 9, "gamma": 0.5},
    "cosine": {"schedule": "cosine", "eta_min": 0.001},
}
EPOCHS, SEED = 40, 3
BATCHED = [(name, b) for name in TRAINERS if name in ITERATES for b in ((0, 4) if name in MINI else (0,))]


def weighted_rows(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> Rows:
    table = pa.table(dict(zip([*FEATURES, *TARGETS, "w"], np.column_stack([x, y, w]).T.copy(), strict=True)))
    return Rows([table], FEATURES, TARGETS, weight="w")


def gappy_rows(x: np.ndarray, y: np.ndarray) -> Rows:
    """Rows whose NaN are nulls, over two partitions."""
    columns = dict(zip([*FEATURES, *TARGETS], np.hstack([x, y]).T.copy(), strict=True))
    table = pa.table({k: pa.array(v, from_pandas=True) for k, v in columns.items()})
    return Rows([table.slice(0, 6), table.slice(6)], FEATURES, TARGETS, gaps=True)


def config_of(name: str, dtype: str, **more: object) -> TrainConfig:
    settings: dict = {"learning_rate": 0.05, "epochs": EPOCHS, "seed": SEED, "standardize": True, **more}
    return TrainConfig(trainer=name, dtype=dtype, device="cpu", **settings)


def loop(
    z: np.ndarray, y: np.ndarray, config: TrainConfig, *, weight: np.ndarray | None = None, rows: int = 15
) -> list[np.ndarray]:
    """``torch.optim.SGD`` with its own scheduler over the documented batches; theta_DO after each epoch."""
    dtype = torch.float64 if config.dtype == "float64" else torch.float32
    w, b = (t.to(dtype).requires_grad_() for t in start(config.seed))
    optimizer = torch.optim.SGD(
        [{"params": [w], "weight_decay": config.weight_decay}, {"params": [b]}], lr=config.learning_rate
    )
    schedulers = {
        "constant": lambda: None,
        "step": lambda: torch.optim.lr_scheduler.StepLR(optimizer, config.step_size, config.gamma),
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs, config.eta_min),
    }
    scheduler = schedulers[config.schedule]()
    x_t, y_t = torch.tensor(z, dtype=dtype), torch.tensor(y, dtype=dtype)
    share = torch.tensor(np.ones(rows) if weight is None else weight / weight.mean(), dtype=dtype)
    order = shuffled(rows, config.batch_size, config) if config.batch_size else [[np.arange(rows)]] * config.epochs
    path = []
    for epoch in order:
        for batch in epoch:
            optimizer.zero_grad()
            squares = (x_t[batch] @ w.T + b - y_t[batch]).square().sum(dim=1)
            ((share[batch] * squares).sum() / (len(batch) * y.shape[1])).backward()
            optimizer.step()
        if scheduler:
            scheduler.step()
        path.append(torch.vstack([b, w.T]).detach().double().numpy().copy())
    return path


def weighted_coordinates(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    mean = np.average(x, axis=0, weights=w)
    return (x - mean) / np.sqrt(np.average((x - mean) ** 2, axis=0, weights=w))


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize(("name", "batch_size"), BATCHED)
def test_weighted_rows_agree_with_a_weighted_loop(name: str, batch_size: int, dtype: str, decay: float) -> None:
    config = config_of(name, dtype, batch_size=batch_size, weight_decay=decay)
    z = weighted_coordinates(X15, WEIGHTS)
    result = fit(weighted_rows(X15, Y15, WEIGHTS), config)
    truth = loop(z, Y15, config, weight=WEIGHTS)[-1]
    scale = X15.std(axis=0)  # theta_of scales by it: undo, and scale by the weighted spread
    spread = np.sqrt(np.average((X15 - np.average(X15, axis=0, weights=WEIGHTS)) ** 2, axis=0, weights=WEIGHTS))
    found = theta_of(result.model, X15, standardize=True)
    found[1:] *= (spread / scale)[:, None]
    assert apart(found, truth) <= BOUND[dtype]
    residual = truth[0] + z @ truth[1:] - Y15
    loss = (WEIGHTS[:, None] * residual**2).sum() / (2 * WEIGHTS.sum()) + decay / 2 * (truth[1:] ** 2).sum()
    assert result.train_loss[-1] == pytest.approx(loss, rel=BOUND[dtype])


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_exact_on_weighted_rows_is_scikit_learns(decay: float, standardize: bool) -> None:
    z = weighted_coordinates(X15, WEIGHTS) if standardize else X15
    alpha = decay * 2 * WEIGHTS.sum() / 2
    peer = (Ridge(alpha=alpha, solver="svd") if decay else LinearRegression()).fit(z, Y15, sample_weight=WEIGHTS)
    how = TrainConfig(trainer="exact", standardize=standardize, weight_decay=decay)
    assert fit(weighted_rows(X15, Y15, WEIGHTS), how).model.predict(X15) == pytest.approx(peer.predict(z), rel=1e-10)


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("name", TRAINERS)
def test_a_row_of_weight_three_is_three_rows(name: str, dtype: str) -> None:
    config = config_of(name, dtype) if name in ITERATES else TrainConfig(trainer=name)
    times = WEIGHTS.astype(int)
    repeated = fit(rows_of(np.repeat(X15, times, axis=0), np.repeat(Y15, times, axis=0)), config)
    weighted = fit(weighted_rows(X15, Y15, WEIGHTS), config)
    assert weighted.model.predict(X15) == pytest.approx(repeated.model.predict(X15), rel=BOUND[dtype])
    assert weighted.train_loss == pytest.approx(repeated.train_loss, rel=BOUND[dtype])


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize(("name", "batch_size"), BATCHED)
def test_the_size_of_the_weights_does_not_matter(name: str, batch_size: int, dtype: str) -> None:
    config = config_of(name, dtype, batch_size=batch_size)
    one, other = (fit(weighted_rows(X15, Y15, WEIGHTS * by), config) for by in (1.0, 1e9))
    assert other.model.weight_OF == pytest.approx(one.model.weight_OF, rel=BOUND[dtype])
    assert other.train_loss[-1] == pytest.approx(one.train_loss[-1], rel=BOUND[dtype])


@pytest.mark.parametrize("how", SCHEDULES)
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize(("name", "batch_size"), BATCHED)
def test_schedules_agree_with_torchs_schedulers(name: str, batch_size: int, dtype: str, how: str) -> None:
    config = config_of(name, dtype, batch_size=batch_size, **SCHEDULES[how])
    result = fit(rows_of(X15, Y15), config)
    truth = loop(coordinates(X15, standardize=True), Y15, config)
    assert apart(theta_of(result.model, X15, standardize=True), truth[-1]) <= BOUND[dtype]


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("name", TRAINERS)
def test_gaps_are_filled_with_the_means_of_all_training_rows(name: str, dtype: str) -> None:
    x = X15.copy()
    x[[0, 4, 11], 1] = np.nan
    x[[2, 7], 0] = np.nan
    imputer = SimpleImputer().fit(x)
    config = config_of(name, dtype) if name in ITERATES else TrainConfig(trainer=name)
    gappy = fit(gappy_rows(x, Y15), config)
    full = fit(rows_of(imputer.transform(x), Y15), config)
    assert gappy.model.predict(x) == pytest.approx(full.model.predict(imputer.transform(x)), rel=BOUND[dtype])
    assert gappy.model.fill_F == pytest.approx(imputer.statistics_, rel=1e-13)
    assert full.model.fill_F is None
    assert np.isnan(full.model.predict(x)).any()


def test_exact_with_gaps_is_scikit_learns_pipeline() -> None:
    x = X15.copy()
    x[[0, 4, 11], 1] = np.nan
    peer = make_pipeline(SimpleImputer(), StandardScaler(), Ridge(alpha=0.3 * 15, solver="svd")).fit(x, Y15)
    ours = fit(gappy_rows(x, Y15), TrainConfig(trainer="exact", standardize=True, weight_decay=0.3)).model
    fresh = x[::-1] + 3.0
    assert ours.predict(fresh) == pytest.approx(peer.predict(fresh), rel=1e-10)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("name", ITERATES)
def test_two_halves_joined_by_a_warm_start_are_the_whole(name: str, dtype: str, standardize: bool) -> None:
    rate = 0.05 if standardize else 1e-5
    config = config_of(name, dtype, standardize=standardize, learning_rate=rate)
    whole = fit(rows_of(X15, Y15), config)
    half = TrainConfig(**{**config.__dict__, "epochs": EPOCHS // 2})
    first = fit(rows_of(X15, Y15), half).model
    warm = TrainConfig(**{**half.__dict__, "warm_start": "m/1"})
    second = fit(rows_of(X15, Y15), warm, start=turned(first))
    assert second.model.predict(X15) == pytest.approx(whole.model.predict(X15), rel=10 * BOUND[dtype])
    assert second.train_loss[-1] == pytest.approx(whole.train_loss[-1], rel=10 * BOUND[dtype])


def turned(model: LinearModel) -> LinearModel:
    """The same model with its columns in another order."""
    f, o = [2, 0, 1], [1, 0]
    names = tuple(model.features[i] for i in f), tuple(model.targets[i] for i in o)
    return LinearModel(model.weight_OF[np.ix_(o, f)], model.bias_O[o], model.mean_F[f], *names)


def test_a_warm_start_with_other_columns_is_an_error_that_names_them() -> None:
    other = LinearModel(np.ones((2, 3)), np.ones(2), np.zeros(3), ("temp", "rain", "humidity"), TARGETS)
    with pytest.raises(UserError, match=r"train\.warm_start has other features than the config \(rain, rainfall\)"):
        fit(rows_of(X15, Y15), config_of("gram", "float64", warm_start="m/1"), start=other)


def test_a_warm_start_and_its_model_go_together() -> None:
    for config, given in ((config_of("gram", "float64", warm_start="m/1"), None), (config_of("gram", "float64"), 1)):
        model = given and LinearModel(np.ones((2, 3)), np.ones(2), np.zeros(3), FEATURES, TARGETS)
        with pytest.raises(UserError, match="go together"):
            fit(rows_of(X15, Y15), config, start=model)


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
    config = config_of(name, dtype, batch_size=batch_size, epochs=400, learning_rate=0.02, patience=6)
    result = fit(rows_of(x, y), config, validation=moments_of(v, u))
    z, zv = coordinates(x, standardize=True), (v - x.mean(axis=0)) / x.std(axis=0)
    w, b = start(SEED)
    path = [torch.vstack([b, w.T]).double().numpy(), *loop(z, y, config)]
    losses = [((t[0] + zv @ t[1:] - u) ** 2).mean() for t in path]
    best, waited = 0, 0
    for epoch, loss in enumerate(losses):
        best, waited = (epoch, 0) if loss < losses[best] or epoch == 0 else (best, waited + 1)
        if waited == 6:
            break
    assert 0 < best < 394, "the test needs a descent that turns"
    assert result.epochs == best
    assert len(result.validation_loss) == best + 7
    assert result.validation_loss == pytest.approx(losses[: best + 7], rel=BOUND[dtype])
    assert apart(theta_of(result.model, x, standardize=True), path[best]) <= BOUND[dtype]
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


@pytest.mark.parametrize("key", ["patience", "warm_start", "schedule"])
def test_a_trainer_that_does_not_iterate_says_what_it_cannot_do(key: str) -> None:
    value = {"patience": 3, "warm_start": "m/1", "schedule": "cosine"}[key]
    with pytest.raises(UserError, match=rf"'exact' takes no train\.{key}: .* {', '.join(ITERATES)}"):
        fit(rows_of(X15, Y15), TrainConfig(trainer="exact", **{key: value}))


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


def test_the_record_of_validation_rows_is_filled_with_the_training_means() -> None:
    x = X15.copy()
    x[3, 0] = np.nan
    fill = np.array([5.0, 6.0, 7.0])
    truth = moments_of(np.where(np.isnan(x), fill, x), Y15)
    found = record_with_gaps(gappy_rows(x, Y15)).filled(fill)
    assert found.solve().weight_OF == pytest.approx(truth.solve().weight_OF, rel=1e-9)


def test_a_rate_far_above_its_limit_is_refused_without_a_warning() -> None:
    with pytest.raises(UserError, match="cannot converge"):
        fit(rows_of(X15, Y15), config_of("gram", "float64", learning_rate=8.0, schedule="cosine", epochs=600))


def test_a_constant_gets_no_weight_however_small_the_weight_decay() -> None:
    x = np.column_stack([X15[:, 0], np.full(15, 3.3e14), X15[:, 2]])
    for decay in (1e-12, 1e-6, 1.0):
        how = TrainConfig(trainer="exact", weight_decay=decay, standardize=True)
        assert not fit(rows_of(x, Y15), how).model.weight_OF[:, 1].any()


def test_the_rate_for_mini_batches_knows_of_a_heavy_row() -> None:
    even = minibatch_rate(Objective.of(record_rows(weighted_rows(X15, Y15, np.full(15, 3.0))).moments), 5)
    assert even == pytest.approx(minibatch_rate(Objective.of(moments_of(X15, Y15)), 5), rel=1e-12)
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(64, 3)), np.where(np.arange(64) == 7, 1000.0, 1.0)
    y = x @ rng.normal(size=(3, 2)) + rng.normal(size=(64, 2))
    rate = minibatch_rate(Objective.of(record_rows(weighted_rows(x, y, w)).moments, standardize=True), 8)
    config = config_of("manual", "float64", batch_size=8, learning_rate=rate / 2, epochs=100)
    assert fit(weighted_rows(x, y, w), config).epochs == 100
    with pytest.raises(UserError, match="training diverged"):
        fit(weighted_rows(x, y, w), TrainConfig(**{**config.__dict__, "learning_rate": 20 * rate}))


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
for how in ({}, {"weight_decay": 0.1}, {"l1": 0.1}, {"trainer": "gram", "learning_rate": 0.2, "epochs": 20}):
    model = fit(rows_of(x, y), TrainConfig(**{"trainer": "exact", **how})).model
    bits.update(model.weight_OF.tobytes() + model.bias_O.tobytes())
print(bits.hexdigest())
"""
    found = set()
    for threads in ("1", "2", "4"):
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        env = environment(**dict.fromkeys(names, threads))
        found.add(run([sys.executable, "-c", code], cwd=ROOT, env=env, check=True).stdout)
    assert len(found) == 1


def test_patience_takes_no_rate_that_only_its_schedule_could_mend() -> None:
    x, y, v, u = split_rows()
    config = config_of("gram", "float64", learning_rate=0.95, schedule="cosine", epochs=400, patience=3)
    with pytest.raises(UserError, match=r"train\.patience may stop before the schedule cosine comes down"):
        fit(rows_of(x, y), config, validation=moments_of(v, u))


def test_a_walk_that_leaves_float32_on_its_way_is_refused_before_it_starts() -> None:
    x, y, _, _ = split_rows()
    how = {"learning_rate": 1.5, "schedule": "cosine", "epochs": 4000}
    with pytest.raises(UserError, match="cannot converge"):
        fit(rows_of(x, y), config_of("manual", "float32", **how))


def test_a_warm_start_beyond_float32_is_refused_with_the_remedy() -> None:
    big = LinearModel(np.full((2, 3), 1e60), np.ones(2), np.zeros(3), FEATURES, TARGETS)
    config = config_of("manual", "float32", standardize=False, learning_rate=1e-5, warm_start="m/1")
    with pytest.raises(UserError, match=r"beyond float32 in the trained coordinates: set train\.dtype"):
        fit(rows_of(X15, Y15), config, start=big)
