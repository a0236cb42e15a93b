"""The loop: its history, every reason to stop, rates that cannot converge, and descents that are lost."""

import math

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.least_squares.objective import Objective, largest_stable_rate
from linreg.rows.rows import Rows
from linreg.training.choose import TRAINERS
from linreg.training.convergence import minibatch_rate
from linreg.training.fit import fit
from tests.support.tables import X5, X15, Y5, Y15, moments_of, rows_of
from tests.training.references import coordinates

ITERATES = [name for name, trainer in TRAINERS.items() if trainer.iterates]
MINI = [name for name, trainer in TRAINERS.items() if trainer.mini_batches]
LEAST_SQUARES = float(((LinearRegression().fit(X15, Y15).predict(X15) - Y15) ** 2).mean())
MOMENTUM = {
    "plain": {},
    "heavy ball": {"momentum": 0.9},
    "dampening": {"momentum": 0.9, "dampening": 0.6},
    "nesterov": {"momentum": 0.9, "nesterov": True},
}


def largest_eigenvalue(x: np.ndarray, targets: int = 2) -> float:
    design = np.column_stack([np.ones(len(x)), x])
    return float(2 * np.linalg.norm(design, 2) ** 2 / (len(x) * targets))


@pytest.mark.parametrize("name", ITERATES)
def test_history_is_the_loss_at_the_end_of_every_epoch_the_start_included_and_told_once(name: str) -> None:
    seen: list[tuple[int, float]] = []
    config = TrainConfig(trainer=name, dtype="float64", epochs=7, learning_rate=0.3)
    result = fit(rows_of(X15, Y15), config, on_epoch=lambda e, loss: seen.append((e, loss)))
    assert seen == list(enumerate(result.train_loss))[1:]
    assert len(result.train_loss) == len(result.excess_loss) == 8
    assert (result.epochs, result.stopped) == (7, "all epochs run")
    loss = ((result.model.predict(X15) - Y15) ** 2).mean()
    assert result.train_loss[-1] == pytest.approx(loss, rel=1e-12)
    excess = [loss - LEAST_SQUARES for loss in result.train_loss]
    assert result.excess_loss == pytest.approx(excess, rel=1e-9)


def test_loss_and_excess_with_weight_decay_are_of_the_trained_objective_and_excess_mse_is_not() -> None:
    decay = 0.4
    result = fit(rows_of(X15, Y15), TrainConfig(dtype="float64", weight_decay=decay, epochs=2000, learning_rate=0.3))
    model = result.model
    mse = ((model.predict(X15) - Y15) ** 2).mean()
    penalty = decay / 2 * ((model.weight_OF * X15.std(axis=0)) ** 2).sum()
    assert result.train_loss[-1] == pytest.approx(mse + penalty, rel=1e-12)
    assert result.excess_loss[-1] < 1e-20
    assert result.excess_mse == pytest.approx(mse - LEAST_SQUARES, rel=1e-9)
    assert result.excess_mse > 1


def test_a_record_at_hand_gives_the_same_bits_as_one_made_here() -> None:
    at_hand = fit(rows_of(X15, Y15), TrainConfig(epochs=5), moments=moments_of(X15, Y15))
    recorded = fit(rows_of(X15, Y15), TrainConfig(epochs=5))
    assert at_hand.model.weight_OF.tobytes() == recorded.model.weight_OF.tobytes()
    assert at_hand.train_loss == recorded.train_loss


@pytest.mark.parametrize("name", ITERATES)
def test_training_stops_at_the_first_epoch_within_the_tolerance(name: str) -> None:
    config = TrainConfig(trainer=name, dtype="float64", learning_rate=0.3, tolerance=0.5)
    result = fit(rows_of(X15, Y15), config)
    assert result.excess_loss[-1] <= 0.5 < min(result.excess_loss[:-1])
    assert 0 < result.epochs < 1000
    assert result.stopped == "excess loss within the tolerance 0.5"


def test_a_start_within_the_tolerance_runs_no_epoch() -> None:
    result = fit(rows_of(X15, Y15), TrainConfig(tolerance=1e9))
    assert (result.epochs, len(result.train_loss)) == (0, 1)


def test_exact_runs_no_epoch_and_has_the_best_loss() -> None:
    result = fit(rows_of(X15, Y15), TrainConfig(trainer="exact", tolerance=1.0, learning_rate=1e9))
    assert (result.epochs, result.stopped, result.excess_loss) == (0, "closed form", [0.0])
    assert result.train_loss == [pytest.approx(LEAST_SQUARES, rel=1e-12)]


@pytest.mark.parametrize("kind", MOMENTUM)
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("name", [*ITERATES, "auto"])
def test_a_full_batch_rate_that_cannot_converge_is_refused_before_the_first_epoch(
    name: str, standardize: bool, kind: str
) -> None:
    z = coordinates(X15, standardize=standardize)
    limit = largest_stable_rate(largest_eigenvalue(z), **MOMENTUM[kind])
    seen: list[int] = []
    config = TrainConfig(trainer=name, standardize=standardize, learning_rate=1.001 * limit, **MOMENTUM[kind])
    with pytest.raises(UserError, match=f"the largest stable rate is {limit:.4g}; choose one below it") as caught:
        fit(rows_of(X15, Y15), config, on_epoch=lambda e, _: seen.append(e))
    assert seen == []
    assert f"train.learning_rate {config.learning_rate:g} cannot converge" in str(caught.value)
    assert ("train.standardize = true" in str(caught.value)) == (not standardize)


@pytest.mark.parametrize(
    ("name", "kind"),
    [  # the slow ones walk the rows by torch's own momentum, or by the tutorial's steps
        pytest.param(n, k, marks=() if n in ("gram", "fused") or k in ("plain", "nesterov") else pytest.mark.long)
        for n in ITERATES
        for k in MOMENTUM
    ],
)
def test_just_below_the_largest_stable_rate_converges_and_just_above_it_diverges(name: str, kind: str) -> None:
    z = np.random.default_rng(0).normal(size=(40, 2)) * [1.0, 3.0]
    y = np.random.default_rng(1).normal(size=(40, 2))
    limit = largest_stable_rate(largest_eigenvalue(z), **MOMENTUM[kind])
    settings = {"trainer": name, "dtype": "float64", "standardize": False, "epochs": 1500, **MOMENTUM[kind]}
    below = fit(rows_of(z, y), TrainConfig(learning_rate=0.995 * limit, **settings))
    assert below.excess_loss[-1] < 1e-4 * below.excess_loss[0]
    with pytest.raises(UserError, match="training diverged"):
        fit(rows_of(z, y), TrainConfig(learning_rate=1.005 * limit, force=True, **settings))


@pytest.mark.parametrize("momentum", [0.9, 0.99, 0.999])
@pytest.mark.parametrize("share", [0.99, 0.999, 0.9999])
def test_momentum_that_overshoots_before_it_converges_is_not_taken_for_lost(momentum: float, share: float) -> None:
    y = 1e3 * X15[:, :2]
    largest = largest_eigenvalue(coordinates(X15, standardize=True))
    rate = share * largest_stable_rate(largest, momentum=momentum)
    config = TrainConfig(trainer="gram", momentum=momentum, learning_rate=rate, epochs=20_000)
    result = fit(rows_of(X15, y), config)
    assert result.excess_loss[-1] < 1e-3 * result.excess_loss[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ITERATES)
def test_force_runs_a_rate_that_cannot_converge_and_divergence_is_caught_where_it_starts(name: str, dtype: str) -> None:
    config = TrainConfig(trainer=name, dtype=dtype, standardize=False, learning_rate=2e-4, force=True)
    losses: list[float] = []
    with pytest.raises(UserError) as caught:
        fit(rows_of(X5, Y5), config, on_epoch=lambda _, loss: losses.append(loss))
    line = str(caught.value)
    assert "has grown since epoch 0" in line
    assert f"at epoch {len(losses) + 1}" in line
    assert "train.learning_rate 0.0002 is not below the largest stable rate 0.0001117: lower it" in line
    assert "train.standardize = true" in line
    assert len(losses) < 20
    assert all(math.isfinite(loss) for loss in losses)


@pytest.mark.parametrize("rate", [1e5, 1e30, 1e38])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ITERATES)
def test_a_loss_that_overflows_at_once_is_told_in_one_line_and_no_warning(name: str, dtype: str, rate: float) -> None:
    config = TrainConfig(trainer=name, dtype=dtype, learning_rate=rate, force=True, momentum=0.5)
    with pytest.raises(UserError, match=r"training diverged: loss is .* at epoch 1 and has grown since epoch 0"):
        fit(rows_of(X15, Y15), config)


def test_growth_is_dated_from_the_lowest_loss() -> None:
    limit = largest_stable_rate(largest_eigenvalue(X15))
    config = TrainConfig(trainer="gram", standardize=False, learning_rate=1.002 * limit, force=True, epochs=10_000)
    losses: list[float] = []
    with pytest.raises(UserError) as caught:
        fit(rows_of(X15, Y15), config, on_epoch=lambda _, loss: losses.append(loss))
    lowest = 1 + int(np.argmin(losses))
    assert lowest >= 1
    grown = int(str(caught.value).split("since epoch ")[1].split(";")[0])
    start = fit(rows_of(X15, Y15), TrainConfig(trainer="gram", standardize=False, learning_rate=1e-9, epochs=1))
    assert grown == (lowest if losses[lowest - 1] < start.train_loss[0] else 0)


@pytest.mark.parametrize("name", MINI)
def test_mini_batches_that_diverge_are_caught_with_a_rate_that_then_converges(name: str) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(300, 30))
    y = x @ rng.normal(size=(30, 1)) + rng.normal(size=(300, 1))
    settings = {"trainer": name, "batch_size": 2, "epochs": 40, "dtype": "float64"}
    rate = 0.9 * largest_stable_rate(largest_eigenvalue(coordinates(x, standardize=True), targets=1))
    losses: list[float] = []
    with pytest.raises(UserError, match="too large for batches of 2: try one below") as caught:
        fit(rows_of(x, y), TrainConfig(learning_rate=rate, **settings), on_epoch=lambda _, v: losses.append(v))
    assert all(math.isfinite(loss) for loss in losses)
    advised = float(str(caught.value).split("try one below ")[1].split(",")[0])
    assert advised < rate
    result = fit(rows_of(x, y), TrainConfig(learning_rate=advised, **settings))
    assert result.train_loss[-1] < 0.5 * result.train_loss[0]


@pytest.mark.parametrize("batch_size", [15, 16, 1000])
def test_a_batch_of_all_rows_is_a_full_batch_for_the_rate_as_well(batch_size: int) -> None:
    config = TrainConfig(trainer="manual", standardize=False, batch_size=batch_size, learning_rate=1.0)
    with pytest.raises(UserError, match="cannot converge"):
        fit(rows_of(X15, Y15), config)


def test_the_mini_batch_rate_is_the_designs_estimate() -> None:
    objective = Objective.of(moments_of(X15, Y15), standardize=True)
    z = np.column_stack([np.ones(15), coordinates(X15, standardize=True)])
    h = z.T @ z / 15
    assert minibatch_rate(objective, 4) == pytest.approx(2 / (np.linalg.eigvalsh(h)[-1] + np.trace(h) / 4), rel=1e-12)


def test_one_sample_batches_of_gaussian_rows_diverge_above_the_estimate_and_converge_well_below() -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(400, 60))
    y = x @ rng.normal(size=(60, 1)) + rng.normal(size=(400, 1))
    estimate = minibatch_rate(Objective.of(moments_of(x, y), standardize=True), 1)
    settings = {"trainer": "manual", "batch_size": 1, "epochs": 8, "dtype": "float64"}
    assert fit(rows_of(x, y), TrainConfig(learning_rate=0.3 * estimate, **settings)).excess_loss[-1] < 1
    with pytest.raises(UserError, match="training diverged"):
        fit(rows_of(x, y), TrainConfig(learning_rate=3 * estimate, **settings))


@pytest.mark.parametrize("name", TRAINERS)
def test_standardizing_keeps_the_digits_of_columns_far_from_zero(name: str) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(100, 3)) + 1e6
    y = (x - 1e6) @ rng.normal(size=(3, 2)) + rng.normal(size=(100, 2))
    config = TrainConfig(trainer=name, dtype="float64", learning_rate=0.5, epochs=400)
    model = fit(rows_of(x, y), config).model
    peer = LinearRegression().fit(x - 1e6, y)
    assert model.weight_OF == pytest.approx(peer.coef_, rel=1e-8)
    assert model.predict(x) == pytest.approx(peer.predict(x - 1e6), abs=1e-9)


@pytest.mark.parametrize("name", TRAINERS)
def test_integer_and_boolean_columns_and_many_tables_train_like_one_table_of_floats(name: str) -> None:
    rng = np.random.default_rng(6)
    x, y = np.column_stack([rng.integers(0, 2, 20), rng.integers(-9, 9, 20)]), rng.normal(size=(20, 1))
    table = pa.table({"x0": x[:, 0].astype(bool), "x1": x[:, 1], "y0": y[:, 0]})
    parts = Rows([table.slice(0, 3), table.slice(3, 0), table.slice(3)], ("x0", "x1"), ("y0",))
    config = TrainConfig(trainer=name, dtype="float64", epochs=20, learning_rate=0.3)
    ours, plain = fit(parts, config).model, fit(rows_of(x.astype(float), y), config).model
    assert ours.predict(x) == pytest.approx(plain.predict(x), rel=1e-12)


def test_no_rows_are_an_error_of_the_user() -> None:
    with pytest.raises(UserError, match="no rows to learn from"):
        fit(rows_of(X15[:0], Y15[:0]), TrainConfig())


@pytest.mark.parametrize("name", TRAINERS)
@pytest.mark.parametrize("standardize", [True, False])
def test_one_row_is_met_without_a_warning(name: str, standardize: bool) -> None:
    rate = 0.5 if standardize else 1e-5
    config = TrainConfig(trainer=name, standardize=standardize, learning_rate=rate, epochs=100)
    result = fit(rows_of(X5[:1], Y5[:1]), config)
    assert all(math.isfinite(loss) for loss in result.train_loss)
    assert result.objective.optimum_loss == 0


def test_the_fit_says_where_its_tensors_were_and_which_trainer_ran() -> None:
    by_rows = fit(rows_of(X15, Y15), TrainConfig(trainer="manual", device="cpu", learning_rate=0.01, epochs=1))
    assert (by_rows.trainer, by_rows.why, by_rows.device) == ("manual", "named in train.trainer", "cpu")
    assert fit(rows_of(X15, Y15), TrainConfig(trainer="gram", learning_rate=0.01, epochs=1)).device == "cpu"


@pytest.mark.gpu
@pytest.mark.parametrize("name", ITERATES)
def test_a_gpu_gives_the_cpus_numbers_to_rounding(name: str) -> None:
    models = [
        fit(rows_of(X15, Y15), TrainConfig(trainer=name, device=d, dtype="float64", learning_rate=0.3)).model
        for d in ("cpu", "cuda")
    ]
    assert models[1].weight_OF == pytest.approx(models[0].weight_OF, rel=1e-10)
