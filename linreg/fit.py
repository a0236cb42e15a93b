"""The one loop: epochs, history, every reason to stop. It owns the iteration; a trainer owns one epoch.

The loss after each epoch comes from the record of the rows, for every trainer alike, so it is the loss of the
parameters as they are and not an average over batches. Nothing here draws a progress bar: ``on_epoch`` is for that.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from linreg.config import TrainConfig
from linreg.dataset import Rows
from linreg.device import resolve
from linreg.errors import UserError
from linreg.model import LinearModel
from linreg.moments import Moments
from linreg.objective import Objective, largest_stable_rate
from linreg.trainers import Problem, State, Trainer, choose

OnEpoch = Callable[[int, float], None]

# Loss over the larger of its start and the mean predictor's, from which a descent counts as lost. Divided by
# (1 - momentum)^2: near the largest stable rate a descent that converges overshoots by up to 2.2 / (1 - momentum)^2.
_LOST = 100.0


@dataclass(frozen=True)
class Fit:
    """A finished training.

    Args:
        model: in the data's own units.
        train_loss, excess_loss: after e epochs at index e, index 0 the start; in the targets' units squared.
        excess_mse: of the model over exact least squares, without any penalty.
        trainer, why: the trainer that ran, and why that one.
        device: where its tensors were.
        epochs: how many were run; 0 where the trainer does not iterate.
        stopped: why the loop ended.
        state: the trainer's whole state at the end.
        objective: the loss that was trained.
    """

    model: LinearModel
    train_loss: list[float]
    excess_loss: list[float]
    excess_mse: float
    trainer: str
    why: str
    device: str
    epochs: int
    stopped: str
    state: State
    objective: Objective


def fit(rows: Rows, config: TrainConfig, *, moments: Moments | None = None, on_epoch: OnEpoch | None = None) -> Fit:
    """Train on rows as the config says.

    Args:
        rows: the training rows.
        config: the trainer and its hyperparameters.
        moments: the record of ``rows``, where it is at hand; else it is made here in one pass.
        on_epoch: called with (epoch, loss) after each.

    Raises:
        UserError: the rate cannot converge, the training diverged, or the trainer or device cannot do what is asked.
    """
    trainer, why = choose(config)
    device = resolve(config.device, config.dtype)
    if moments is None:
        moments = Moments.of(rows.blocks(), rows.features, rows.targets)
    objective = Objective.of(moments, standardize=config.standardize, weight_decay=config.weight_decay)
    check_rate(objective, config, trainer)
    problem = _problem(rows, config, trainer, objective, device)
    with np.errstate(over="ignore", invalid="ignore"):  # a descent that is lost is reported below, in words
        state, excess, stopped = _loop(trainer, problem, config, on_epoch)
    theta = trainer.theta(problem, state)
    return Fit(
        model=objective.model(theta),
        train_loss=[objective.optimum_loss + e for e in excess],
        excess_loss=excess,
        excess_mse=objective.excess_mse(theta),
        trainer=trainer.name,
        why=why,
        device=str(device) if trainer.needs_rows else "cpu",
        epochs=len(excess) - 1,
        stopped=stopped,
        state=state,
        objective=objective,
    )


def stable_rate(objective: Objective, config: TrainConfig) -> float:
    """The full-batch rate from which this config's descent cannot converge."""
    top = float(objective.eigenvalues_D[0])
    return largest_stable_rate(top, momentum=config.momentum, dampening=config.dampening, nesterov=config.nesterov)


def check_rate(objective: Objective, config: TrainConfig, trainer: Trainer) -> None:
    """Refuse a full-batch rate that cannot converge; ``train.force`` overrides.

    Raises:
        UserError: the line names the largest stable rate.
    """
    full = trainer.iterates and not 0 < config.batch_size < objective.moments.rows
    limit = stable_rate(objective, config)
    if full and config.learning_rate >= limit and not config.force:
        raise UserError(
            f"train.learning_rate {config.learning_rate:g} cannot converge: the largest stable rate is {limit:.4g}; "
            f"choose one below it (half of it is a good start{_or_standardize(config)}), or set train.force = true"
        )


def _problem(rows: Rows, config: TrainConfig, trainer: Trainer, objective: Objective, device: torch.device) -> Problem:
    """The rows in the trained coordinates, scaled in float64 before any rounding to the dtype."""
    dtype = torch.float64 if config.dtype == "float64" else torch.float32
    x_NF = y_NO = None
    if trainer.needs_rows and config.standardize:
        x, y = rows.arrays()
        scaled = (x - objective.centre_F) / objective.scale_F
        x_NF, y_NO = torch.from_numpy(scaled).to(device, dtype), torch.from_numpy(y).to(device, dtype)
    elif trainer.needs_rows:
        x_NF, y_NO = (t.to(device) for t in rows.tensors(dtype))
    return Problem(objective, x_NF, y_NO, config.seed, dtype, device)


def _loop(
    trainer: Trainer, problem: Problem, config: TrainConfig, on_epoch: OnEpoch | None
) -> tuple[State, list[float], str]:
    """Run the epochs; the excess loss of every one, the start included, and why it ended."""
    objective = problem.objective
    state = trainer.init(problem)
    excess = [objective.excess_loss(trainer.theta(problem, state))]
    if not trainer.iterates:
        return state, excess, "closed form"
    lost = _LOST / (1 - config.momentum) ** 2 * max(objective.optimum_loss + excess[0], _variance(objective.moments))
    for epoch in range(1, config.epochs + 1):
        if config.tolerance and excess[-1] <= config.tolerance:
            return state, excess, f"excess loss within the tolerance {config.tolerance:g}"
        state = trainer.step(problem, state)
        excess.append(objective.excess_loss(trainer.theta(problem, state)))
        loss = objective.optimum_loss + excess[-1]
        if not math.isfinite(loss) or loss > lost:
            raise UserError(_diverged(excess, loss, config, objective))
        if on_epoch:
            on_epoch(epoch, loss)
    if loss > max(objective.optimum_loss + excess[0], _variance(objective.moments)):  # worse than doing nothing
        raise UserError(_diverged(excess, loss, config, objective))
    return state, excess, "all epochs run"


def _variance(moments: Moments) -> float:
    """The mean predictor's loss."""
    return float((moments.spread_P[len(moments.features) :] ** 2).mean())


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


def minibatch_rate(objective: Objective, batch_size: int) -> float:
    """The rate that batches of B rows should bear: ``2 / (largest eigenvalue + trace(H) / B)``, an estimate."""
    values = objective.eigenvalues_D
    return float(2 / (values[0] + values.sum() / batch_size))


def _or_standardize(config: TrainConfig) -> str:
    return "" if config.standardize else ", or set train.standardize = true"
