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

from linreg.config import TrainConfig, TrainerName
from linreg.errors import UserError
from linreg.least_squares.objective import Objective
from linreg.training.choose import TRAINERS, Problem, choose
from linreg.training.fit import fit
from linreg.tutorial import mse
from tests.support.tables import (
    PRINTED_BIAS,
    PRINTED_DIGITS,
    PRINTED_LOSS,
    PRINTED_NEXT_LOSS,
    PRINTED_WEIGHT,
    X5,
    X15,
    Y5,
    Y15,
    moments_of,
    rows_of,
)
from tests.training.references import coordinates, relative_error, start, theta_of, torch_sgd

BOUND = {"float64": 1e-10, "float32": 1e-4}
OPTIONS = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "dampening": {"momentum": 0.8, "dampening": 0.5},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "weight decay": {"weight_decay": 0.3},
    "momentum and weight decay": {"momentum": 0.9, "weight_decay": 0.3},
    "nesterov and weight decay": {"momentum": 0.7, "nesterov": True, "weight_decay": 0.05},
}
RAW = ("plain", "nesterov and weight decay")  # of raw columns; all others in the long run
PRECISIONS = [  # option, dtype, standardize; raw columns in float32 are in the tutorial's first step below
    pytest.param(o, d, s, marks=() if s or (d == "float64" and o in RAW) else pytest.mark.long)
    for o in OPTIONS
    for d in BOUND
    for s in (True, False)
]
MINI = [name for name, trainer in TRAINERS.items() if trainer.mini_batches]
ITERATES = [name for name, trainer in TRAINERS.items() if trainer.iterates]
BATCHED = [(name, batch_size) for name in ITERATES for batch_size in ((0, 4) if name in MINI else (0,))]
EPOCHS, SEED = 120, 3


def full_batch_rate(x_NF: np.ndarray, options: dict[str, float]) -> float:
    """A third of what plain descent bears: stable for every kind of momentum here."""
    design = np.column_stack([np.ones(len(x_NF)), x_NF])
    largest = np.linalg.eigvalsh(design.T @ design / len(x_NF))[-1] + options.get("weight_decay", 0.0)
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


def loss_of(theta_DO: np.ndarray, z_NF: np.ndarray, config: TrainConfig) -> float:
    """The trained loss on the tutorial's second table."""
    residual = theta_DO[0] + z_NF @ theta_DO[1:] - Y15
    return float((residual**2).mean() + config.weight_decay / 2 * (theta_DO[1:] ** 2).sum())


def _solve(h: object, right: object) -> object:
    out = mp.zeros(right.rows, right.cols)
    for j in range(right.cols):
        out[:, j] = mp.lu_solve(h, right[:, j])
    return out


def configured(name: str, dtype: str, option: str, *, standardize: bool, **more: object) -> TrainConfig:
    rate = full_batch_rate(coordinates(X15, standardize=standardize), OPTIONS[option])
    settings: dict = {"learning_rate": rate, "epochs": EPOCHS, "seed": SEED, **OPTIONS[option], **more}
    return TrainConfig(trainer=name, dtype=dtype, standardize=standardize, device="cpu", **settings)


@pytest.mark.parametrize(("option", "dtype", "standardize"), PRECISIONS)
@pytest.mark.parametrize("name", TRAINERS)
def test_full_batches_agree_with_the_closed_form(name: str, dtype: str, option: str, standardize: bool) -> None:
    config, z = configured(name, dtype, option, standardize=standardize), coordinates(X15, standardize=standardize)
    result = fit(rows_of(X15, Y15), config)
    truth = closed_form(z, Y15, config, forever=not TRAINERS[name].iterates)
    assert relative_error(theta_of(result.model, X15, standardize=standardize), truth) <= BOUND[dtype]
    assert result.train_loss[-1] == pytest.approx(loss_of(truth, z, config), rel=BOUND[dtype])


@pytest.mark.parametrize(("option", "dtype", "standardize"), PRECISIONS)
@pytest.mark.parametrize(("name", "batch_size"), BATCHED)
def test_every_epoch_agrees_with_torch_sgd_over_the_same_batches(
    name: str, batch_size: int, dtype: str, option: str, standardize: bool
) -> None:
    z = coordinates(X15, standardize=standardize)
    calm = full_batch_rate(z, OPTIONS[option]) / (10 if batch_size else 1)
    config = configured(
        name, dtype, option, standardize=standardize, batch_size=batch_size, epochs=30, learning_rate=calm
    )
    path = torch_sgd(z, Y15, config)
    result = fit(rows_of(X15, Y15), config)
    assert result.train_loss == pytest.approx([loss_of(theta, z, config) for theta in path], rel=BOUND[dtype])
    assert relative_error(theta_of(result.model, X15, standardize=standardize), path[-1]) <= BOUND[dtype]


def problem_of(config: TrainConfig) -> Problem:
    """The tutorial's rows ready to train on, made without the loop."""
    objective = Objective.of(moments_of(X15, Y15), standardize=config.standardize, weight_decay=config.weight_decay)
    return problem_on(objective, coordinates(X15, standardize=config.standardize), Y15, config)


def problem_on(
    objective: Objective, z_NF: np.ndarray, y_NO: np.ndarray, config: TrainConfig, warm_DO: np.ndarray | None = None
) -> Problem:
    dtype = getattr(torch, config.dtype)
    tensors = torch.tensor(z_NF, dtype=dtype), torch.tensor(y_NO, dtype=dtype)
    return Problem(objective, *tensors, config.seed, dtype, torch.device("cpu"), warm_DO=warm_DO)


STATES = [
    (name, dtype, option, batch_size)
    for name, batch_size in [*BATCHED, ("exact", 0)]
    for dtype in BOUND
    for option in ("plain", "nesterov and weight decay")
]


@pytest.fixture(params=STATES, ids=lambda case: "-".join(map(str, case)))
def config(request) -> TrainConfig:
    """Every trainer in every dtype, on full and mini batches, plain and with options."""
    name, dtype, option, batch_size = request.param
    return configured(name, dtype, option, standardize=True, batch_size=batch_size, epochs=5, learning_rate=0.01)


def test_a_state_saved_midway_goes_on_with_the_same_bits(tmp_path, config: TrainConfig) -> None:
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
    assert not any(tensor.requires_grad or tensor.grad is not None for tensor in state.values())
    assert trainer.theta(problem, resumed).tobytes() == trainer.theta(problem, state).tobytes()


def test_a_step_leaves_the_state_and_the_parameters_handed_out_as_they_were(config: TrainConfig) -> None:
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


def test_the_same_config_gives_the_same_bits_and_leaves_the_callers_random_state_alone(config: TrainConfig) -> None:
    before = torch.get_rng_state()
    first, second = (fit(rows_of(X15, Y15), config).model for _ in range(2))
    assert first.weight_OF.tobytes() == second.weight_OF.tobytes()
    assert first.bias_O.tobytes() == second.bias_O.tobytes()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("standardize", [True, False], ids=["standardized", "raw"])
@pytest.mark.parametrize("option", ["plain", "nesterov", "weight decay"])
@pytest.mark.parametrize("name", ITERATES)
def test_columns_that_are_constant_repeated_or_more_than_the_rows_change_nothing(
    name: str, option: str, standardize: bool
) -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(5, 5)) + 1, rng.normal(size=(5, 2))
    x = np.column_stack([x, x[:, 0], np.full(5, 0.1)])
    z = coordinates(x, standardize=standardize)
    rate = full_batch_rate(z, OPTIONS[option])
    config = configured(name, "float64", option, standardize=standardize, learning_rate=rate)
    truth = torch_sgd(z, y, config)[-1]
    model = fit(rows_of(x, y), config).model
    assert model.predict(x) == pytest.approx(truth[0] + z @ truth[1:], rel=1e-10)
    assert theta_of(model, x, standardize=standardize)[1:] == pytest.approx(truth[1:], rel=1e-9, abs=1e-10)


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


def test_a_thousand_looped_epochs_of_the_tutorial_are_gram_to_the_thirteenth_digit() -> None:
    config = TrainConfig(
        trainer="gram", dtype="float64", standardize=False, learning_rate=1e-5, epochs=1000, seed=0, device="cpu"
    )
    ours = fit(rows_of(X5, Y5), config)
    truth = closed_form(X5, Y5, config)
    loss = ((np.column_stack([np.ones(5), X5]) @ truth - Y5) ** 2).mean()
    assert ours.train_loss[-1] == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("name", ITERATES)
def test_every_trainer_takes_the_tutorials_first_step(name: str, dtype: str) -> None:
    config = TrainConfig(trainer=name, dtype=dtype, standardize=False, learning_rate=1e-5, device="cpu")
    trainer, _ = choose(config)
    objective = Objective.of(moments_of(X5, Y5))
    problem = problem_on(objective, X5, Y5, config, warm_DO=np.vstack([PRINTED_BIAS, PRINTED_WEIGHT.T]))
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
    with pytest.raises(UserError, match=r"^train\.l1 and train\.batch_size do not go together") as error:
        choose(TrainConfig(batch_size=5, l1=0.1))
    assert "builtin" not in str(error.value)


def test_auto_says_what_it_took_and_why() -> None:
    for batch_size, reason in ((0, "full batches"), (4, "mini batches")):
        trainer, why = choose(TrainConfig(batch_size=batch_size))
        assert trainer.name in TRAINERS
        assert trainer.mini_batches or not batch_size
        assert why.startswith(f"auto: {reason}")


@pytest.mark.parametrize(
    ("name", "key", "value", "able"),
    [
        *((name, "batch_size", 4, MINI) for name in TRAINERS if name not in MINI),
        *((name, "l1", 0.1, ["gram", "exact"]) for name in ("manual", "builtin", "fused")),
        ("exact", "patience", 3, ITERATES),
        ("exact", "warm_start", "m/1", ITERATES),
        ("exact", "schedule", "cosine", ITERATES),
    ],
)
def test_a_trainer_refuses_what_it_cannot_do_and_names_those_that_can(
    name: str, key: str, value: object, able: list[str]
) -> None:
    with pytest.raises(UserError, match=rf"'{name}' takes no train\.{key}: .*, or choose one of {', '.join(able)}$"):
        fit(rows_of(X15, Y15), TrainConfig(trainer=name, **{key: value}))
