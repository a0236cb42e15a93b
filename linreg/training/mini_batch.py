"""Mini-batch descents of several models in one pass over the rows an epoch: ``fused``, a lane a model.

Each model has the numbers that ``loop`` gives it alone, to the bit (``model_lanes``). When to stop, and when a
descent counts as lost, is asked of each model's own ``Way``.

It takes trainings of ``fused`` that are ready, on the same rows in the same order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from linreg.errors import UserError
from linreg.moments.moments import Moments
from linreg.training.full_batch import Ended, OnModelEpoch
from linreg.training.history import Way
from linreg.training.loop import measure
from linreg.training.prepare import Ready
from linreg.training.trainers.contract import State
from linreg.training.trainers.fused import Fused, models_at_once, step_many


def sharing(readies: Mapping[int, Ready]) -> dict[int, Ready]:
    """Those that one pass can serve together, where it pays; none if that is fewer than two.

    Args:
        readies: trainings on the same rows in the same order.
    """
    members = {
        k: r for k, r in readies.items() if isinstance(r.choice.trainer, Fused) and _fused(r).together(r.problem)
    }
    return members if len(members) > 1 else {}


def walk_rows(readies: Sequence[Ready], validation: Moments | None, on_epoch: OnModelEpoch) -> list[Ended | UserError]:
    """Train all of them: what ``loop`` returns for each, or the error that it raises.

    Args:
        readies: trainings that ``sharing`` gave, with their rows.
        validation: the record of the validation rows.
        on_epoch: called with (model, epoch, loss) after each epoch of each model.
    """
    out: dict[int, Ended | UserError] = {}
    some = models_at_once(readies[0].problem)
    for first in range(0, len(readies), some):
        members = [_Member(k, readies[k]) for k in range(first, min(first + some, len(readies)))]
        out |= _Pass(members, validation, on_epoch).ended()
    return [out[k] for k in range(len(readies))]


def _fused(ready: Ready) -> Fused:
    return cast(Fused, ready.choice.trainer)


@dataclass
class _Member:
    """One model: its place, its training, and how far it is."""

    index: int
    ready: Ready

    def __post_init__(self) -> None:
        self.state: State = _fused(self.ready).init(self.ready.problem)
        self.way = Way(self.ready.problem.objective, self.ready.choice.config, self.ready.choice.config.epochs)


class _Pass:
    """As many models as the lanes hold, until the last one has ended."""

    def __init__(self, members: list[_Member], validation: Moments | None, on_epoch: OnModelEpoch) -> None:
        self.members, self.validation, self.on_epoch = members, validation, on_epoch
        self.out: dict[int, Ended | UserError] = {}

    def ended(self) -> dict[int, Ended | UserError]:
        """What came of each, by index."""
        with np.errstate(over="ignore", invalid="ignore"):
            self._look()
            while self.members:
                trainers, states = [_fused(m.ready) for m in self.members], [m.state for m in self.members]
                after = step_many(trainers, self.members[0].ready.problem, states)
                for member, state in zip(self.members, after, strict=True):
                    member.state = state
                self._look()
        return self.out

    def _look(self) -> None:
        """Note every model's losses, and let those go that have ended."""
        for member in self.members:
            try:
                self._note(member)
            except UserError as e:
                self.out[member.index] = e
        self.members = [m for m in self.members if m.index not in self.out]

    def _note(self, member: _Member) -> None:
        way = member.way
        theta_DO = _fused(member.ready).theta(member.ready.problem, member.state)
        loss = measure(way, theta_DO, member.state, self.validation)
        if epoch := len(way.excess) - 1:
            self.on_epoch(member.index, epoch, loss)
        if stopped := way.ending():
            state, why = way.settle(member.state, stopped)
            self.out[member.index] = state, way, why
