"""From rows and a config to a finished training, and what came of it.

The checks and the coordinates are ``ready``'s, the epochs themselves ``loop``'s.

Shapes: N rows, F features, O targets.
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.ingest.dataset import Rows
from linreg.least_squares.objective import Float, Objective
from linreg.model import LinearModel
from linreg.moments.moments import Moments
from linreg.moments.training_record import record
from linreg.threads import one_thread
from linreg.training.choose import State
from linreg.training.full_batch import Ended, walk_together
from linreg.training.history import OnEpoch, Way, own_units
from linreg.training.loop import loop
from linreg.training.prepare import Ready, design, means, prepare
from linreg.training.trainers.gram import Gram


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
    choice = prepare(config, validation=validation, start=start)
    moments = record(rows).moments if moments is None else moments
    with one_thread():
        ready = choice.on(Objective.trained(moments, config), start)
    if choice.trainer.needs_rows:
        ready = ready.with_rows(*design(rows, config, ready.problem.objective, choice.device))
    return run(ready, gaps=rows.gaps, validation=validation, on_epoch=on_epoch)


def run(ready: Ready, *, gaps: bool, validation: Moments | None = None, on_epoch: OnEpoch | None = None) -> Fit:
    """Run the epochs of a training that is ready.

    Args:
        gaps: features may be missing, so the model keeps what fills them.

    Raises:
        UserError: the training diverged.
    """
    trainer, config = ready.choice.trainer, ready.choice.config
    if isinstance(trainer, Gram):
        return finish(ready, *_walked(ready, validation, on_epoch), gaps=gaps)
    # a descent that is lost is reported in words; one over rows may use all threads, with bits of their number
    with np.errstate(over="ignore", invalid="ignore"), nullcontext() if trainer.needs_rows else one_thread():
        state, way, stopped = loop(trainer, ready.problem, config, validation, on_epoch)
    return finish(ready, state, way, stopped, gaps=gaps)


def _walked(ready: Ready, validation: Moments | None, on_epoch: OnEpoch | None) -> Ended:
    """What ``loop`` returns, to the bit, a stretch of epochs at a time: their losses are one array operation."""
    (ended,) = walk_together([ready], validation, (lambda _, epoch, loss: on_epoch(epoch, loss)) if on_epoch else None)
    if isinstance(ended, UserError):
        raise ended
    return ended


def finish(ready: Ready, state: State, way: Way, stopped: str, *, gaps: bool) -> Fit:
    """What came of a training that ran to its end; arguments as ``loop`` returns them."""
    choice, objective = ready.choice, ready.problem.objective
    theta = choice.trainer.theta(ready.problem, state)
    model = objective.model(theta)
    return Fit(
        model=replace(model, fill_F=means(objective)) if gaps else model,
        train_loss=[objective.optimum_loss + e for e in way.excess],
        excess_loss=way.excess,
        validation_loss=way.validation,
        excess_mse=objective.excess_mse(theta),
        trainer=choice.trainer.name,
        why=choice.why,
        device=str(choice.device) if choice.trainer.needs_rows else "cpu",
        epochs=len(way.excess) - 1,
        stopped=stopped,
        path=way.path | {len(way.excess) - 1: own_units(model)},
        state=state,
        objective=objective,
        config=choice.config,
    )
