"""The one loop: epochs, history, every reason to stop. It owns the iteration; a trainer owns one epoch.

The loss after each epoch comes from the record of the rows, for every trainer alike, so it is the loss of the
parameters as they are and not an average over batches. Nothing here draws a progress bar: ``on_epoch`` is for that.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from linreg.config import TrainConfig
from linreg.dataset import Rows
from linreg.device import resolve
from linreg.errors import UserError
from linreg.forecast import converges, minibatch_rate, stable_rate
from linreg.model import LinearModel
from linreg.moments import Moments
from linreg.objective import Float, Objective
from linreg.record import record
from linreg.trainers import Problem, State, Trainer, choose
from linreg.walk import recorded_epochs

OnEpoch = Callable[[int, float], None]

# Loss over the larger of its start and the mean predictor's, from which a descent counts as lost. Divided by
# (1 - momentum)^2: near the largest stable rate a descent that converges overshoots by up to 2.2 / (1 - momentum)^2.
_LOST = 100.0


@dataclass(frozen=True)
class Fit:
    """A finished training.

    Args:
        model: in the data's own units.
        train_loss, excess_loss: after e epochs at index e, index 0 the start; in the targets' units squared. They end
            with the epoch whose parameters the model has.
        validation_loss: mean squared error on the validation rows, likewise; of all epochs that were run, those after
            the best one too; empty where there are no such rows.
        excess_mse: of the model over exact least squares, without any penalty.
        trainer, why: the trainer that ran, and why that one.
        device: where its tensors were.
        epochs: how many the model has had; 0 where the trainer does not iterate.
        stopped: why the loop ended.
        path: parameters in the data's own units, bias first, (1 + F, O), by the epoch after which they were noted: all
            of few epochs, else ever farther apart; the last are the model's.
        state: the trainer's whole state after them.
        objective: the loss that was trained.
        config: as it was asked for.
    """

    model: LinearModel
    train_loss: list[float]
    excess_loss: list[float]
    validation_loss: list[float]
    excess_mse: float
    trainer: str
    why: str
    device: str
    epochs: int
    stopped: str
    path: dict[int, Float]
    state: State
    objective: Objective
    config: TrainConfig


@dataclass
class _Walk:
    """The way so far: the losses of every epoch, the start included, some of the parameters, and the best state on the
    validation rows.
    """

    noted: frozenset[int]
    excess: list[float] = field(default_factory=list)
    path: dict[int, Float] = field(default_factory=dict)
    validation: list[float] = field(default_factory=list)
    best: int = 0
    best_state: State | None = None


def fit(
    rows: Rows,
    config: TrainConfig,
    *,
    moments: Moments | None = None,
    validation: Moments | None = None,
    start: LinearModel | None = None,
    on_epoch: OnEpoch | None = None,
) -> Fit:
    """Train on rows as the config says.

    Args:
        rows: the training rows.
        config: the trainer and its hyperparameters.
        moments: the record of ``rows``, where it is at hand; else it is made here in one pass.
        validation: the record of the validation rows, gaps filled as those of ``rows``.
        start: the model to start from, which ``train.warm_start`` names; in the data's own units.
        on_epoch: called with (epoch, loss) after each.

    Raises:
        UserError: the rate cannot converge, the training diverged, or the trainer or device cannot do what is asked.
    """
    trainer, why = choose(config)
    device = resolve(config.device, config.dtype)
    _check_given(config, validation, start)
    if moments is None:
        moments = record(rows).moments
    penalties = {"weight_decay": config.weight_decay, "l1": config.l1}
    objective = Objective.of(moments, standardize=config.standardize, **penalties)
    check_rate(objective, config, trainer, start)
    problem = _problem(rows, config, trainer, objective, device, start)
    with np.errstate(over="ignore", invalid="ignore"):  # a descent that is lost is reported below, in words
        state, way, stopped = _loop(trainer, problem, config, validation, on_epoch)
    theta = trainer.theta(problem, state)
    model = objective.model(theta)
    return Fit(
        model=replace(model, fill_F=_means(objective)) if rows.gaps else model,
        train_loss=[objective.optimum_loss + e for e in way.excess],
        excess_loss=way.excess,
        validation_loss=way.validation,
        excess_mse=objective.excess_mse(theta),
        trainer=trainer.name,
        why=why,
        device=str(device) if trainer.needs_rows else "cpu",
        epochs=len(way.excess) - 1,
        stopped=stopped,
        path=way.path | {len(way.excess) - 1: _own(model)},
        state=state,
        objective=objective,
        config=config,
    )


def _check_given(config: TrainConfig, validation: Moments | None, start: LinearModel | None) -> None:
    if config.patience and validation is None:
        raise UserError(
            "train.patience needs validation rows: set data.validation_fraction, and hand their record over"
        )
    if bool(config.warm_start) != (start is not None):
        raise UserError("train.warm_start and the model to start from go together: give both, or neither")


def check_rate(objective: Objective, config: TrainConfig, trainer: Trainer, start: LinearModel | None = None) -> None:
    """Refuse a full-batch rate that cannot converge; ``train.force`` overrides.

    Raises:
        UserError: the line names the largest stable rate.
    """
    full = trainer.iterates and not 0 < config.batch_size < objective.moments.rows
    if full and not config.force and not converges(objective, config, start):
        limit = stable_rate(objective, config)
        falls = "" if config.schedule == "constant" else f", and the schedule {config.schedule} comes down too late"
        raise UserError(
            f"train.learning_rate {config.learning_rate:g} cannot converge: the largest stable rate is {limit:.4g}"
            f"{falls}; choose one below it (half of it is a good start{_or_standardize(config)}), "
            "or set train.force = true"
        )


def _means(objective: Objective) -> Float:
    """The means of the training rows, shape (F,): what stands for a missing feature."""
    return objective.moments.mean_P[: len(objective.moments.features)]


def _problem(
    rows: Rows,
    config: TrainConfig,
    trainer: Trainer,
    objective: Objective,
    device: torch.device,
    start: LinearModel | None,
) -> Problem:
    """The rows in the trained coordinates, scaled in float64 before any rounding to the dtype."""
    dtype = torch.float64 if config.dtype == "float64" else torch.float32
    warm_DO = None if start is None else objective.theta(start)
    if not trainer.needs_rows:
        return Problem(objective, None, None, config.seed, dtype, device, warm_DO=warm_DO)
    fill_F = _means(objective) if rows.gaps else None
    if config.standardize:
        x, y = rows.arrays()
        x = x if fill_F is None else np.where(np.isnan(x), fill_F, x)
        scaled = (x - objective.centre_F) / objective.scale_F
        x_NF, y_NO = torch.from_numpy(scaled).to(device, dtype), torch.from_numpy(y).to(device, dtype)
    else:
        x_NF, y_NO = (t.to(device) for t in rows.tensors(dtype, fill_F=fill_F))
    return Problem(objective, x_NF, y_NO, config.seed, dtype, device, _row_weights(rows, device, dtype), warm_DO)


def _row_weights(rows: Rows, device: torch.device, dtype: torch.dtype) -> torch.Tensor | None:
    """How much each row counts, 1 on average, shape (N,): a batch is then divided by its size, whatever the weights."""
    weights = rows.weights()
    return None if weights is None else torch.from_numpy(weights / weights.mean()).to(device, dtype)


def _loop(
    trainer: Trainer, problem: Problem, config: TrainConfig, validation: Moments | None, on_epoch: OnEpoch | None
) -> tuple[State, _Walk, str]:
    """Run the epochs; the parameters to keep, the way there, and why it ended."""
    objective = problem.objective
    state = trainer.init(problem)
    way = _Walk(frozenset(recorded_epochs(config.epochs if trainer.iterates else 0)))
    _measure(way, objective, trainer.theta(problem, state), state, validation)
    if not trainer.iterates:
        return state, way, "closed form"
    lost = _lost(objective, config, way.excess[0])
    stopped = "all epochs run"
    for epoch in range(1, config.epochs + 1):
        if config.tolerance and way.excess[-1] <= config.tolerance:
            stopped = f"excess loss within the tolerance {config.tolerance:g}"
            break
        if config.patience and epoch - 1 - way.best >= config.patience:
            stopped = f"no lower loss on the validation rows for {config.patience} epochs"
            break
        state = trainer.step(problem, state)
        loss = _measure(way, objective, trainer.theta(problem, state), state, validation)
        if not math.isfinite(loss) or loss > lost:
            raise UserError(_diverged(way.excess, loss, config, objective))
        if on_epoch:
            on_epoch(epoch, loss)
    if config.patience and way.best_state is not None:
        state, stopped = way.best_state, f"{stopped}; the parameters of epoch {way.best} had the lowest, and are kept"
        del way.excess[way.best + 1 :]
        way.path = {epoch: theta for epoch, theta in way.path.items() if epoch <= way.best}
    if objective.optimum_loss + way.excess[-1] > _nothing(objective, way.excess[0]):
        raise UserError(_diverged(way.excess, objective.optimum_loss + way.excess[-1], config, objective))
    return state, way, stopped


def _measure(way: _Walk, objective: Objective, theta_DO: Float, state: State, validation: Moments | None) -> float:
    """Note the losses of the parameters as they are, and whether they are the best yet; returns the trained loss."""
    if len(way.excess) in way.noted:
        way.path[len(way.excess)] = _own(objective.model(theta_DO))
    way.excess.append(objective.excess_loss(theta_DO))
    if validation is not None:
        model = objective.model(theta_DO)
        error = float(validation.mean_squared_error(model.weight_OF, model.bias_O, model.mean_F).mean())
        if not way.validation or error < way.validation[way.best]:
            way.best, way.best_state = len(way.validation), state
        way.validation.append(error)
    return objective.optimum_loss + way.excess[-1]


def _own(model: LinearModel) -> Float:
    """The parameters in the data's own units, bias first, shape (1 + F, O)."""
    return np.vstack([model.intercept_O, model.weight_OF.T])


def _lost(objective: Objective, config: TrainConfig, start: float) -> float:
    """The loss from which a descent counts as lost; none where a schedule may come down from a rate too large."""
    if config.schedule != "constant" and config.learning_rate >= stable_rate(objective, config):
        return math.inf
    return _LOST / (1 - config.momentum) ** 2 * _nothing(objective, start)


def _nothing(objective: Objective, start: float) -> float:
    """The loss of doing nothing: of the start, or of the mean predictor where that is larger."""
    moments = objective.moments
    variance = float((moments.spread_P[len(moments.features) :] ** 2).mean())
    return max(objective.optimum_loss + start, variance)


def _diverged(excess: list[float], loss: float, config: TrainConfig, objective: Objective) -> str:
    """What happened, since when, and which rate would do."""
    lowest = int(np.argmin([e if math.isfinite(e) else math.inf for e in excess]))
    full = not 0 < config.batch_size < objective.moments.rows
    limit = stable_rate(objective, config)
    if full:
        advice = (
            f"train.learning_rate {config.learning_rate:g} is not below the largest stable rate {limit:.4g}: lower it"
        )
    else:
        expected = minibatch_rate(objective, config.batch_size)
        advice = (
            f"train.learning_rate {config.learning_rate:g} is too large for batches of {config.batch_size}: "
            f"try one below {min(expected, config.learning_rate) / 2:.2g}"
        )
    return (
        f"training diverged: loss is {loss:.4g} at epoch {len(excess) - 1} and has grown since epoch {lowest}; "
        f"{advice}{_or_standardize(config)}"
    )


def _or_standardize(config: TrainConfig) -> str:
    return "" if config.standardize else ", or set train.standardize = true"
