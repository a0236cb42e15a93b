"""Full-batch descents of many models from their records: trainings of ``gram``, in chunks of epochs side by side.

When to stop, and when a descent counts as lost, is asked of each model's own ``History``.

Shapes: E epochs of a chunk, the one before them at index 0; K models, F features, O targets, D = F + 1.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, cast

import numpy as np

from linreg.errors import UserError
from linreg.metrics import Float
from linreg.moments.moments import Moments
from linreg.threads import one_thread
from linreg.training.history import Ended, OnModelEpoch
from linreg.training.prepare import Training
from linreg.training.recurrence import CHUNK, Arrays, parameters, walk
from linreg.training.trainers.gram import Gram, as_arrays, as_state

_BYTES = 2**25  # of the largest array


def descend_many(
    trainings: Sequence[Training], validation: Moments | None = None, on_epoch: OnModelEpoch | None = None
) -> list[Ended | UserError]:
    """Run every training to its end: what ``loop`` returns for each, or the error that it raises.

    Args:
        trainings: of ``gram``, on records of the same columns.
        validation: the record of the validation rows.
        on_epoch: called after each epoch of each model, a chunk of epochs at a time.
    """
    ended: dict[int, Ended | UserError] = {}
    with np.errstate(over="ignore", invalid="ignore"), one_thread():
        for batch in _batches(trainings):
            models, done = [_Model(k, trainings[k], validation, on_epoch) for k in batch], 0
            while models:
                done += _advance(models, done)
                ended |= {model.index: model.ended for model in models if model.ended}
                models = [model for model in models if not model.ended]
    return [ended[k] for k in range(len(trainings))]


def _batches(trainings: Sequence[Training]) -> Iterator[list[int]]:
    """Which models go side by side: of one iteration, and so many that their matrices are not too large."""
    for penalised in (False, True):
        models = [k for k, t in enumerate(trainings) if bool(_gram(t).l1) == penalised]
        if models:
            d = len(trainings[models[0]].problem.objective.optimum_DO)
            size = max(1, _BYTES // (8 * d * (d if penalised else 4)))
            yield from (models[i : i + size] for i in range(0, len(models), size))


def _gram(training: Training) -> Gram:
    return cast(Gram, training.choice.trainer)


class _Model:
    """One model of a batch: its training, how far it is, and what came of it."""

    def __init__(self, index: int, training: Training, validation: Moments | None, on_epoch: OnModelEpoch | None):
        self.index, self.trainer, self.objective = index, _gram(training), training.problem.objective
        self.history = training.history(validation, partial(on_epoch, index) if on_epoch else None)
        self.state = as_arrays(self.trainer.init(training.problem))
        self.ended: Ended | UserError | None = None

    def take(self, excess_E: Float, state: Callable[[Any], Arrays], done: int) -> None:
        """The epochs of a chunk after those that are ``done``."""
        history, new = self.history, min(done, 1)  # what is at index 0 was taken with the chunk before
        try:
            history.extend(
                excess_E[new:],
                lambda epochs: parameters(self.objective, state(epochs + new)),
                lambda epoch: as_state(done + new + epoch, state(new + epoch)),
            )
            if reason := history.stop_reason():
                last = len(history.excess) - 1
                self.ended = history.finish(as_state(last, state(last - done)), reason)
            self.state = state(-1)
        except UserError as e:
            self.ended = e


def _advance(models: Sequence[_Model], done: int) -> int:
    """A chunk of epochs of all models; returns how many."""
    most = max(model.history.epochs for model in models) - done
    epochs = max(1, min(most, CHUNK, _BYTES // (16 * len(models) * models[0].objective.optimum_DO.size)))
    objectives, trainers = [model.objective for model in models], [model.trainer for model in models]
    chunk = walk(objectives, trainers, [model.state for model in models], done=done, epochs=epochs)
    for k, model in enumerate(models):
        model.take(chunk.excess_KE[k], partial(chunk.state, k), done)
    return epochs
