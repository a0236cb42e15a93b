"""From rows and a config to a finished training, and what came of it.

The checks and the coordinates are ``prepare``'s, the epochs themselves ``loop``'s or ``full_batch``'s.

Shapes: N rows, F features, O targets.
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.least_squares.objective import Objective
from linreg.metrics import Float
from linreg.model import LinearModel
from linreg.moments.moments import Moments
from linreg.moments.ranges import Ranges
from linreg.moments.training_record import record_rows
from linreg.rows.rows import Rows
from linreg.threads import one_thread
from linreg.training.choose import State
from linreg.training.full_batch import descend_many
from linreg.training.history import Ended, History, OnEpoch
from linreg.training.loop import loop
from linreg.training.prepare import Training, design, means, prepare, ranges_for
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
        config: as it was asked for, with numbers in place of an ``auto`` rate.
        rate: the numbers that an ``auto`` rate came to and why, in words; empty where a rate was named, or none needed.
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
    rate: str = ""


def fit(
    rows: Rows,
    config: TrainConfig,
    *,
    moments: Moments | None = None,
    validation: Moments | None = None,
    start: LinearModel | None = None,
    ranges: Ranges | None = None,
    on_epoch: OnEpoch | None = None,
) -> Fit:
    """Train on rows as the config says.

    Args:
        rows: the training rows.
        config: the trainer and its hyperparameters.
        moments: the record of ``rows``, where it is at hand; else it is made here in one pass.
        validation: the record of the validation rows, gaps filled as those of ``rows``.
        start: the model to start from, which ``train.warm_start`` names; in the data's own units.
        ranges: of the columns, features first, where they are at hand; an ``auto`` rate of mini-batches needs them.
        on_epoch: called with (epoch, loss) after each.

    Raises:
        UserError: the rate cannot converge, the training diverged, or the trainer or device cannot do what is asked.

    >>> import linreg
    >>> columns = {"features": ("temp", "rainfall", "humidity"), "targets": ("apples", "oranges")}
    >>> rows = linreg.read_dataset(linreg.DataConfig(path="data/crops-15.csv", **columns)).train
    >>> fitted = linreg.fit(rows, linreg.TrainConfig(trainer="gram", learning_rate=0.3, epochs=200))
    >>> fitted.epochs, round(float(fitted.train_loss[-1]), 4)
    (200, 0.9094)
    """
    choice = prepare(config, validation=validation, start=start)
    moments = record_rows(rows).moments if moments is None else moments
    with one_thread():
        training = choice.on(Objective.trained(moments, config), start, ranges or ranges_for(config, rows))
    if training.choice.trainer.needs_rows:
        training = training.with_rows(*design(rows, config, training.problem.objective, choice.device))
    return run(training, rows, validation=validation, on_epoch=on_epoch)


def run(training: Training, rows: Rows, *, validation: Moments | None = None, on_epoch: OnEpoch | None = None) -> Fit:
    """Run the epochs of a training that is prepared.

    Args:
        rows: the training rows; they say how features are made, and whether some may be missing.

    Raises:
        UserError: the training diverged.
    """
    trainer = training.choice.trainer
    if isinstance(trainer, Gram):
        return finish(training, *_descend(training, validation, on_epoch), rows)
    # a descent that is lost is reported in words; one over rows may use all threads, with bits of their number
    with np.errstate(over="ignore", invalid="ignore"), nullcontext() if trainer.needs_rows else one_thread():
        return finish(training, *loop(training, validation, on_epoch), rows)


def _descend(training: Training, validation: Moments | None, on_epoch: OnEpoch | None) -> Ended:
    """What ``loop`` returns, by chunks of epochs."""
    on_model_epoch = (lambda _, epoch, loss: on_epoch(epoch, loss)) if on_epoch else None
    (ended,) = descend_many([training], validation, on_model_epoch)
    if isinstance(ended, UserError):
        raise ended
    return ended


def finish(training: Training, state: State, history: History, stopped: str, rows: Rows) -> Fit:
    """What came of a training that ran to its end; arguments as ``loop`` returns them."""
    if history.missed and training.choice.may_change:
        closed = training.closed_form(f"all {history.epochs:,} epochs did not bring it near enough")
        return finish(closed, *loop(closed, None, None), rows)
    choice, objective = training.choice, training.problem.objective
    theta, epochs = choice.trainer.theta(training.problem, state), len(history.excess) - 1
    model = replace(objective.model(theta), design=rows.design.of_inputs() if rows.design else None)
    return Fit(
        model=replace(model, fill_F=means(objective)) if rows.gaps else model,
        train_loss=[objective.optimum_loss + excess for excess in history.excess],
        excess_loss=history.excess,
        validation_loss=history.validation,
        excess_mse=objective.excess_mse(theta),
        trainer=choice.trainer.name,
        why=choice.why,
        device=str(choice.device) if choice.trainer.needs_rows else "cpu",
        epochs=epochs,
        stopped=stopped,
        path=history.path | {epochs: objective.own_units(theta)},
        state=state,
        objective=objective,
        config=choice.config,
        rate=choice.rate,
    )
