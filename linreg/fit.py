"""From rows and a config to a finished training: the checks before it, the coordinates, and what came of it.

The epochs themselves are ``loop``'s.

Shapes: N rows, F features, O targets.
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from linreg.batches import mixes
from linreg.config import TrainConfig
from linreg.dataset import Rows
from linreg.device import resolve
from linreg.errors import UserError
from linreg.forecast import converges, stable_rate, start_of
from linreg.loop import OnEpoch, loop, or_standardize, own_units
from linreg.model import LinearModel
from linreg.moments import Moments
from linreg.objective import Float, Objective
from linreg.record import record
from linreg.threads import one_thread
from linreg.trainers import Problem, State, Trainer, choose


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
    device = device if trainer.on_cards else torch.device("cpu")
    _check_given(config, validation, start)
    if moments is None:
        moments = record(rows).moments
    with one_thread():
        objective = Objective.trained(moments, config)
        check_rate(objective, config, trainer, start)
        start_of(objective, config, start)  # refused where the dtype cannot hold it
    problem = _problem(rows, config, trainer, objective, device, start)
    # a descent that is lost is reported in words; one over rows may use all threads, with bits of their number
    with np.errstate(over="ignore", invalid="ignore"), nullcontext() if trainer.needs_rows else one_thread():
        state, way, stopped = loop(trainer, problem, config, validation, on_epoch)
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
        path=way.path | {len(way.excess) - 1: own_units(model)},
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
        if config.patience and falls:
            falls = f", and train.patience may stop before the schedule {config.schedule} comes down"
        raise UserError(
            f"train.learning_rate {config.learning_rate:g} cannot converge: the largest stable rate is {limit:.4g}"
            f"{falls}; choose one below it (half of it is a good start{or_standardize(config)}), "
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
    how: dict[str, Any] = {"mixed": config.shuffle and mixes(len(rows), config.batch_size)}
    how["fill_F"] = _means(objective) if rows.gaps else None
    if config.standardize:
        how["scaled"] = objective.centre_F, objective.scale_F
    x_NF, y_NO = (t.to(device) for t in rows.tensors(dtype, **how))
    weight_N = _row_weights(rows.weights(mixed=how["mixed"]), device, dtype)
    return Problem(objective, x_NF, y_NO, config.seed, dtype, device, weight_N, warm_DO)


def _row_weights(weight_N: Float | None, device: torch.device, dtype: torch.dtype) -> torch.Tensor | None:
    """How much each row counts, 1 on average, shape (N,): a batch is then divided by its size, whatever the weights."""
    return None if weight_N is None else torch.from_numpy(weight_N / weight_N.mean()).to(device, dtype)
