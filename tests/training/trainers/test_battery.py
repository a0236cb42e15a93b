"""One battery over every trainer: against the closed form in 40 digits, and against ``torch.optim.SGD`` on its batches.

It walks ``TRAINERS``, so a new trainer is held to all of this before anyone writes a test for it. The closed form is

    theta(t) = theta* + (theta(0) - theta*) (I - lr H)^t,

with momentum the same in (theta, velocity), by powers of one matrix in mpmath, from the Hessian of the rows themselves.
"""

from dataclasses import fields
from typing import get_args

import numpy as np
import pytest
import torch
from mpmath import mp
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LinearRegression, Ridge

from linreg.config import TrainConfig, TrainerName
from linreg.errors import UserError
from linreg.least_squares.objective import Objective
from linreg.rows.batches import epoch_order
from linreg.training.choose import TRAINERS, Problem, choose
from linreg.training.fit import fit
from linreg.training.trainers.contract import seeded_start
from linreg.training.trainers.manual import mse, regression_model
from tests.support.tables import (
    PRINTED_BIAS,
    PRINTED_BIAS_GRADIENT,
    PRINTED_DIGITS,
    PRINTED_LOSS,
    PRINTED_NEXT_LOSS,
    PRINTED_PREDICTIONS,
    PRINTED_WEIGHT,
    PRINTED_WEIGHT_GRADIENT,
    X5,
    X15,
    Y5,
    Y15,
    moments_of,
    rows_of,
)

BOUND = {"float64": 1e-10, "float32": 1e-4}
HOW = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "dampening": {"momentum": 0.8, "dampening": 0.5},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "weight decay": {"weight_decay": 0.3},
    "momentum and weight decay": {"momentum": 0.9, "weight_decay": 0.3},
    "nesterov and weight decay": {"momentum": 0.7, "nesterov": True, "weight_decay": 0.05},
}
MINI = [name for name, trainer in TRAINERS.items() if trainer.mini_batches]
ITERATES = [name for name, trainer in TRAINERS.items() if trainer.iterates]
EPOCHS, SEED = 120, 3


def coordinates(x: np.ndarray, *, standardize: bool) -> np.ndarray:
    if not standardize:
        return x
    varies = np.ptp(x, axis=0) > 0  # a constant column stays where its mean puts it, unscaled
    return np.where(varies, (x - x.mean(axis=0)) / np.where(varies, x.std(axis=0), 1.0), 0.0)


def start(seed: int, targets: int = 2, features: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """The documented start: standard normals in float32 from torch's generator, weight first."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((targets, features), generator=generator), torch.randn(targets, generator=generator)


def full_batch_rate(x_NF: np.ndarray, how: dict[str, float]) -> float:
    """A third of what plain descent bears: stable for every kind of momentum here."""
    design = np.column_stack([np.ones(len(x_NF)), x_NF])
    largest = np.linalg.eigvalsh(design.T @ design / len(x_NF))[-1] + how.get("weight_decay", 0.0)
    return float(f"{2 / largest / 3:.3g}")


def closed_form(x_NF: np.ndarray, y_NO: np.ndarray, config: TrainConfig, *, forever: bool = False) -> np.ndarray:
    """theta_DO after ``config.epochs`` full-batch epochs, bias first, in 40 digits; at the optimum with ``forever``."""
    n, f, o = len(x_NF), x_NF.shape[1], y_NO.shape[1]
    d = f + 1
    with mp.workdps(40):
        design, y = mp.matrix(np.column_stack([np.ones(n), x_NF]).tolist()), mp.matrix(y_NO.tolist())
        penalty = mp.diag([mp.mpf(0)] + [mp.mpf(config.weight_decay)] * f)
        h = design.T * design * 2 / (n * o) + penalty
        optimum = _solve(h, design.T * y * 2 / (n * o))
        if forever:
            return np.array(optimum.tolist(), dtype=float)
        w, b = start(config.seed)
        theta = mp.matrix(torch.vstack([b, w.T]).to(torch.float64).tolist())
        rate, m, keep = mp.mpf(config.learning_rate), mp.mpf(config.momentum), mp.mpf(1) - mp.mpf(config.dampening)
        if not config.momentum:
            away = (mp.eye(d) - rate * h) ** config.epochs * (theta - optimum)
        else:

            def one_step(old: object, new: object) -> object:
                """(away, v) -> (away - rate * direction, v'), v' = old v + new g, g = h away."""
                out = mp.zeros(2 * d)
                eye = mp.eye(d)
                own, past = (h * (1 + m * new), m * old) if config.nesterov else (h * new, old)
                out[:d, :d], out[:d, d:] = eye - rate * own, -rate * past * eye
                out[d:, :d], out[d:, d:] = h * new, old * eye
                return out

            both = mp.zeros(2 * d, o)
            both[:d, :] = theta - optimum
            both = one_step(m, keep) ** (config.epochs - 1) * (one_step(mp.mpf(0), mp.mpf(1)) * both)
            away = both[:d, :]
        return np.array((optimum + away).tolist(), dtype=float)


def _solve(h: object, right: object) -> object:
    out = mp.zeros(right.rows, right.cols)
    for j in range(right.cols):
        out[:, j] = mp.lu_solve(h, right[:, j])
    return out


def torch_sgd(
    x_NF: np.ndarray, y_NO: np.ndarray, config: TrainConfig, order: list[list[np.ndarray]]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """``nn.Linear`` under ``torch.optim.SGD`` over the given batches; theta_DO at the end, and after each epoch."""
    dtype = torch.float64 if config.dtype == "float64" else torch.float32
    x, y = torch.tensor(x_NF, dtype=dtype), torch.tensor(y_NO, dtype=dtype)
    model = torch.nn.Linear(x.shape[1], y.shape[1], dtype=dtype)
    with torch.no_grad():
        for parameter, value in zip(
            (model.weight, model.bias), start(config.seed, y.shape[1], x.shape[1]), strict=True
        ):
            parameter.copy_(value)
    optimizer = torch.optim.SGD(
        [{"params": [model.weight], "weight_decay": config.weight_decay}, {"params": [model.bias]}],
        lr=config.learning_rate,
        momentum=config.momentum,
        dampening=config.dampening,
        nesterov=config.nesterov,
    )
    path = []
    for epoch in order:
        for batch in epoch:
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(x[batch]), y[batch]).backward()
            optimizer.step()
        path.append(torch.vstack([model.bias, model.weight.T]).detach().double().numpy())
    return path[-1], path


def shuffled(rows: int, batch_size: int, config: TrainConfig) -> list[list[np.ndarray]]:
    """Every epoch's batches, cut from the documented order."""
    orders = [epoch_order(rows, batch_size, seed=config.seed, epoch=e) for e in range(1, config.epochs + 1)]
    return [[order[i : i + batch_size] for i in range(0, rows, batch_size)] for order in orders]


def theta_of(model, x: np.ndarray, *, standardize: bool) -> np.ndarray:
    """A fitted model's parameters in the trained coordinates of this file."""
    scale = x.std(axis=0) if standardize else np.ones(x.shape[1])
    bias = model.bias_O if standardize else model.intercept_O
    return np.vstack([bias, (model.weight_OF * scale).T])


def apart(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.abs(found - truth).max() / np.abs(truth).max())


def configured(name: str, dtype: str, how: str, *, standardize: bool, **more: object) -> TrainConfig:
    rate = full_batch_rate(coordinates(X15, standardize=standardize), HOW[how])
    settings: dict = {"learning_rate": rate, "epochs": EPOCHS, "seed": SEED, **HOW[how], **more}
    return TrainConfig(trainer=name, dtype=dtype, standardize=standardize, device="cpu", **settings)


@pytest.mark.parametrize("standardize", [True, False], ids=["standardized", "raw"])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("name", TRAINERS)
def test_full_batches_agree_with_the_closed_form(name: str, dtype: str, how: str, standardize: bool) -> None:
    config = configured(name, dtype, how, standardize=standardize)
    result = fit(rows_of(X15, Y15), config)
    truth = closed_form(coordinates(X15, standardize=standardize), Y15, config, forever=not TRAINERS[name].iterates)
    assert apart(theta_of(result.model, X15, standardize=standardize), truth) <= BOUND[dtype]
    design = np.column_stack([np.ones(15), coordinates(X15, standardize=standardize)])
    loss = ((design @ truth - Y15) ** 2).mean() + config.weight_decay / 2 * (truth[1:] ** 2).sum()
    assert result.train_loss[-1] == pytest.approx(loss, rel=BOUND[dtype])


@pytest.mark.parametrize("standardize", [True, False], ids=["standardized", "raw"])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("name", ITERATES)
def test_every_epoch_agrees_with_torch_sgd(name: str, dtype: str, how: str, standardize: bool) -> None:
    config = configured(name, dtype, how, standardize=standardize, epochs=30)
    x = coordinates(X15, standardize=standardize)
    _, path = torch_sgd(x, Y15, config, [[np.arange(15)]] * config.epochs)
    design = np.column_stack([np.ones(15), x])
    losses = [((design @ t - Y15) ** 2).mean() + config.weight_decay / 2 * (t[1:] ** 2).sum() for t in path]
    result = fit(rows_of(X15, Y15), config)
    assert result.train_loss[1:] == pytest.approx(losses, rel=BOUND[dtype])
    assert apart(theta_of(result.model, X15, standardize=standardize), path[-1]) <= BOUND[dtype]


@pytest.mark.parametrize("standardize", [True, False], ids=["standardized", "raw"])
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("name", MINI)
def test_mini_batches_agree_with_torch_sgd_over_the_same_batches(
    name: str, dtype: str, how: str, standardize: bool
) -> None:
    calm = full_batch_rate(coordinates(X15, standardize=standardize), HOW[how]) / 10
    config = configured(
        name, dtype, how, standardize=standardize, batch_size=4, epochs=30, learning_rate=float(f"{calm:.3g}")
    )
    x = coordinates(X15, standardize=standardize)
    truth, _ = torch_sgd(x, Y15, config, shuffled(15, 4, config))
    result = fit(rows_of(X15, Y15), config)
    assert apart(theta_of(result.model, X15, standardize=standardize), truth) <= BOUND[dtype]


def problem_of(config: TrainConfig) -> Problem:
    """The tutorial's rows ready to train on, made without the loop."""
    dtype = torch.float64 if config.dtype == "float64" else torch.float32
    objective = Objective.of(moments_of(X15, Y15), standardize=config.standardize, weight_decay=config.weight_decay)
    x = coordinates(X15, standardize=config.standardize)
    tensors = torch.tensor(x, dtype=dtype), torch.tensor(Y15, dtype=dtype)
    return Problem(objective, *tensors, config.seed, dtype, torch.device("cpu"))


def states() -> list[tuple[str, str, str, int]]:
    sizes = {name: (0, 4) if name in MINI else (0,) for name in TRAINERS}
    return [
        (n, d, h, b) for n in TRAINERS for d in BOUND for h in ("plain", "nesterov and weight decay") for b in sizes[n]
    ]


@pytest.mark.parametrize(("name", "dtype", "how", "batch_size"), states())
def test_a_state_saved_midway_goes_on_with_the_same_bits(
    tmp_path, name: str, dtype: str, how: str, batch_size: int
) -> None:
    config = configured(name, dtype, how, standardize=True, batch_size=batch_size, learning_rate=0.01)
    trainer, _ = choose(config)
    problem = problem_of(config)
    state = trainer.init(problem)
    for epoch in range(6):
        if epoch == 3:
            save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "state.safetensors")
        state = trainer.step(problem, state)
    resumed = load_file(tmp_path / "state.safetensors")
    for _ in range(3):
        resumed = trainer.step(problem_of(config), resumed)
    assert resumed.keys() == state.keys()
    assert all(torch.equal(resumed[k], state[k]) for k in state)
    assert trainer.theta(problem, resumed).tobytes() == trainer.theta(problem, state).tobytes()


@pytest.mark.parametrize(("name", "dtype", "how", "batch_size"), states())
def test_a_step_leaves_the_state_and_the_parameters_handed_out_as_they_were(
    name: str, dtype: str, how: str, batch_size: int
) -> None:
    config = configured(name, dtype, how, standardize=True, batch_size=batch_size, learning_rate=0.01)
    trainer, _ = choose(config)
    problem = problem_of(config)
    state = trainer.step(problem, trainer.init(problem))  # velocities are there
    before, theta = {k: v.clone() for k, v in state.items()}, trainer.theta(problem, state)
    rows = [t.clone() for t in problem.rows()]
    kept = theta.copy()
    after = trainer.step(problem, trainer.step(problem, state))
    assert all(torch.equal(state[k], before[k]) for k in before)
    assert theta.tobytes() == kept.tobytes()
    assert all(torch.equal(a, b) for a, b in zip(rows, problem.rows(), strict=True))
    if trainer.iterates:
        assert trainer.theta(problem, after).tobytes() != kept.tobytes()
    theta += 1.0  # nor does writing into what was handed out reach the state
    assert trainer.theta(problem, state).tobytes() == kept.tobytes()


@pytest.mark.parametrize(("name", "dtype", "how", "batch_size"), states())
def test_the_same_config_gives_the_same_bits_and_leaves_the_callers_random_state_alone(
    name: str, dtype: str, how: str, batch_size: int
) -> None:
    config = configured(name, dtype, how, standardize=True, batch_size=batch_size, epochs=5, learning_rate=0.01)
    before = torch.get_rng_state()
    first, second = (fit(rows_of(X15, Y15), config).model for _ in range(2))
    assert first.weight_OF.tobytes() == second.weight_OF.tobytes()
    assert first.bias_O.tobytes() == second.bias_O.tobytes()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", TRAINERS)
def test_a_state_carries_no_gradients(name: str) -> None:
    result = fit(rows_of(X15, Y15), configured(name, "float32", "plain", standardize=True, epochs=3))
    assert not any(t.requires_grad or t.grad is not None for t in result.state.values())


@pytest.mark.parametrize("standardize", [True, False], ids=["standardized", "raw"])
@pytest.mark.parametrize("how", ["plain", "nesterov", "weight decay"])
@pytest.mark.parametrize("name", ITERATES)
def test_columns_that_are_constant_repeated_or_more_than_the_rows_change_nothing(
    name: str, how: str, standardize: bool
) -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(5, 5)) + 1, rng.normal(size=(5, 2))
    x = np.column_stack([x, x[:, 0], np.full(5, 0.1)])
    z = coordinates(x, standardize=standardize)
    config = configured(name, "float64", how, standardize=standardize, learning_rate=full_batch_rate(z, HOW[how]))
    truth, _ = torch_sgd(z, y, config, [[np.arange(5)]] * config.epochs)
    result = fit(rows_of(x, y), config)
    assert result.model.predict(x) == pytest.approx(truth[0] + z @ truth[1:], rel=1e-10)
    scale = np.where(np.ptp(x, axis=0) > 0, x.std(axis=0), 1.0) if standardize else np.ones(7)
    assert result.model.weight_OF * scale == pytest.approx(truth[1:].T, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("name", ITERATES)
@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_every_trainer_starts_at_the_same_seeded_standard_normals(name: str, seed: int) -> None:
    weight, bias = start(seed)
    theta = torch.vstack([bias, weight.T]).double().numpy()
    for dtype in BOUND:
        config = configured(name, dtype, "plain", standardize=True, seed=seed)
        trainer, _ = choose(config)
        problem = problem_of(config)
        assert trainer.theta(problem, trainer.init(problem)) == pytest.approx(theta, rel=1e-13, abs=1e-14)


def test_starts_of_many_seeds_are_standard_normal() -> None:
    moments = moments_of(np.random.default_rng(0).normal(size=(3, 50)), np.zeros((3, 20)))
    weight, bias = seeded_start(moments, 0, torch.float64)
    assert (weight.shape, bias.shape) == ((20, 50), (20,))
    assert abs(float(weight.mean())) < 4 / 1000**0.5
    assert abs(float(weight.std()) - 1) < 4 / 2000**0.5


@pytest.mark.parametrize("standardize", [True, False], ids=["standardized", "raw"])
def test_exact_is_scikit_learns_linear_regression(standardize: bool) -> None:
    for x, y in ((X5, Y5), (X15, Y15)):
        peer = LinearRegression().fit(x, y)
        result = fit(rows_of(x, y), TrainConfig(trainer="exact", standardize=standardize))
        assert result.model.weight_OF == pytest.approx(peer.coef_, rel=1e-9)
        assert result.model.intercept_O == pytest.approx(peer.intercept_, rel=1e-9)
        assert result.excess_loss == [0.0]


@pytest.mark.parametrize("standardize", [True, False], ids=["standardized", "raw"])
def test_exact_with_weight_decay_is_ridge_with_the_matching_alpha(standardize: bool) -> None:
    decay = 0.3
    z = coordinates(X15, standardize=standardize)
    peer = Ridge(alpha=decay * Y15.size / 2, solver="svd").fit(z, Y15)
    result = fit(rows_of(X15, Y15), TrainConfig(trainer="exact", standardize=standardize, weight_decay=decay))
    assert result.model.predict(X15) == pytest.approx(peer.predict(z), rel=1e-10)
    assert theta_of(result.model, X15, standardize=standardize)[1:] == pytest.approx(peer.coef_.T, rel=1e-8)


def test_a_thousand_looped_epochs_of_the_tutorial_are_gram_to_the_thirteenth_digit() -> None:
    config = TrainConfig(
        trainer="gram", dtype="float64", standardize=False, learning_rate=1e-5, epochs=1000, seed=0, device="cpu"
    )
    ours = fit(rows_of(X5, Y5), config)
    truth = closed_form(X5, Y5, config)
    loss = ((np.column_stack([np.ones(5), X5]) @ truth - Y5) ** 2).mean()
    assert ours.train_loss[-1] == pytest.approx(loss, rel=1e-12)


def test_one_step_from_the_printed_weights_gives_the_printed_numbers() -> None:
    x, y = torch.tensor(X5, dtype=torch.float32), torch.tensor(Y5, dtype=torch.float32)
    w = torch.tensor(PRINTED_WEIGHT, dtype=torch.float32, requires_grad=True)
    b = torch.tensor(PRINTED_BIAS, dtype=torch.float32, requires_grad=True)
    prediction = regression_model(x, w, b)
    assert prediction.detach().numpy() == pytest.approx(PRINTED_PREDICTIONS, rel=PRINTED_DIGITS)
    loss = mse(prediction, y)
    loss.backward()
    assert loss.item() == pytest.approx(PRINTED_LOSS, rel=PRINTED_DIGITS)
    assert w.grad.numpy() == pytest.approx(PRINTED_WEIGHT_GRADIENT, rel=5 * PRINTED_DIGITS)
    assert b.grad.numpy() == pytest.approx(PRINTED_BIAS_GRADIENT, rel=5 * PRINTED_DIGITS)


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("name", ITERATES)
def test_every_trainer_takes_the_tutorials_first_step(name: str, dtype: str) -> None:
    config = TrainConfig(trainer=name, dtype=dtype, standardize=False, learning_rate=1e-5, device="cpu")
    trainer, _ = choose(config)
    kind = torch.float64 if dtype == "float64" else torch.float32
    objective = Objective.of(moments_of(X5, Y5))

    class Printed(Problem):
        def start(self) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.tensor(PRINTED_WEIGHT, dtype=kind), torch.tensor(PRINTED_BIAS, dtype=kind)

    tensors = torch.tensor(X5, dtype=kind), torch.tensor(Y5, dtype=kind)
    problem = Printed(objective, *tensors, 0, kind, torch.device("cpu"))
    state = trainer.init(problem)
    assert objective.loss(trainer.theta(problem, state)) == pytest.approx(PRINTED_LOSS, rel=PRINTED_DIGITS)
    after = trainer.theta(problem, trainer.step(problem, state))
    assert objective.loss(after) == pytest.approx(PRINTED_NEXT_LOSS, rel=PRINTED_DIGITS)


def test_the_loss_refuses_shapes_that_would_broadcast() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        mse(torch.ones(4), torch.ones(4, 1))


def test_the_config_knows_exactly_the_trainers_there_are() -> None:
    assert {"auto", *TRAINERS} == set(get_args(TrainerName))
    assert all(name == trainer.name for name, trainer in TRAINERS.items())


@pytest.mark.parametrize("name", TRAINERS)
def test_a_trainer_is_a_frozen_record_of_the_configs_own_hyperparameters(name: str) -> None:
    config = configured(name, "float64", "nesterov and weight decay", standardize=True)
    trainer, why = choose(config)
    assert why == "named in train.trainer"
    assert all(getattr(trainer, f.name) == getattr(config, f.name) for f in fields(trainer))
    with pytest.raises(AttributeError):
        trainer.learning_rate = 1.0


def test_auto_names_the_keys_that_do_not_go_together_and_no_trainer() -> None:
    with pytest.raises(UserError, match=r"^train\.l1 and train\.batch_size do not go together") as told:
        choose(TrainConfig(batch_size=5, l1=0.1))
    assert "builtin" not in str(told.value)


def test_auto_says_what_it_took_and_why() -> None:
    for batch_size, wanted in ((0, "full batches"), (4, "mini batches")):
        trainer, why = choose(TrainConfig(batch_size=batch_size))
        assert trainer.name in TRAINERS
        assert trainer.mini_batches or not batch_size
        assert why.startswith(f"auto: {wanted}")


@pytest.mark.parametrize("name", sorted(set(TRAINERS) - set(MINI)))
def test_a_trainer_without_mini_batches_refuses_them_and_names_those_that_take_them(name: str) -> None:
    with pytest.raises(UserError, match=rf"'{name}' takes no train\.batch_size: .* {', '.join(MINI)}"):
        choose(TrainConfig(trainer=name, batch_size=4))
