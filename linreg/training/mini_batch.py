"""Mini-batch descents of several models in one pass over the rows an epoch: ``fused``, a lane a model.

When to stop, and when a descent counts as lost, is asked of each model's own ``History``.
"""

from collections.abc import Sequence
from functools import partial
from typing import cast

import numpy as np

from linreg.errors import UserError
from linreg.moments.moments import Moments
from linreg.training.history import Ended, OnModelEpoch
from linreg.training.prepare import Training
from linreg.training.trainers.contract import State
from linreg.training.trainers.fused import Fused, models_at_once, step_many


def can_share_pass(training: Training) -> bool:
    """Whether a pass over the rows may serve the model beside others, and that pays."""
    trainer = training.choice.trainer
    return isinstance(trainer, Fused) and trainer.together(training.problem)


def train_in_one_pass(
    trainings: Sequence[Training], validation: Moments | None = None, on_epoch: OnModelEpoch | None = None
) -> list[Ended | UserError]:
    """Train all of them: what ``loop`` returns for each, or the error that it raises.

    Args:
        trainings: that ``can_share_pass``, with the same rows in the same order.
        validation: the record of the validation rows.
        on_epoch: called with (model, epoch, loss) after each epoch of each model.
    """
    models = [_Model(k, training, validation, on_epoch) for k, training in enumerate(trainings)]
    lanes = models_at_once(trainings[0].problem)
    for first in range(0, len(models), lanes):
        _train(models[first : first + lanes])
    return [model.ended for model in models if model.ended]


class _Model:
    """One model: its training, how far it is, and what came of it."""

    def __init__(self, index: int, training: Training, validation: Moments | None, on_epoch: OnModelEpoch | None):
        self.trainer, self.problem = cast(Fused, training.choice.trainer), training.problem
        self.history = training.history(validation, partial(on_epoch, index) if on_epoch else None)
        self.state: State = self.trainer.init(self.problem)
        self.ended: Ended | UserError | None = None

    def take(self, state: State) -> None:
        """The state after the next epoch."""
        self.state = state
        try:
            self.history.append(self.trainer.theta(self.problem, state), state)
            if reason := self.history.stop_reason():
                self.ended = self.history.finish(state, reason)
        except UserError as e:
            self.ended = e


def _train(models: list[_Model]) -> None:
    """As many models as the lanes hold, until the last one has ended."""
    states = [model.state for model in models]
    with np.errstate(over="ignore", invalid="ignore"):
        while models:
            for model, state in zip(models, states, strict=True):
                model.take(state)
            models = [model for model in models if not model.ended]
            if models:
                trainers = [model.trainer for model in models]
                states = step_many(trainers, models[0].problem, [model.state for model in models])
