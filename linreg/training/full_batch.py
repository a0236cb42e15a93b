"""Full-batch descents walked side by side from their records: one array operation an epoch serves all of them.

Each model has the numbers that ``loop`` gives it alone, to the bit. Updates are elementwise, so it does not matter what
stands beside them; a product with a model's own matrices is the same call of BLAS as alone, because the models are the
outer axis of every array. When to stop, and when a descent counts as lost, is asked of each model's own ``Way``.

It takes trainings of ``gram`` that are ready, whatever their rates, schedules, momenta, penalties and records.

Shapes: E epochs of a stretch, K models, F features, O targets, D = F + 1.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise
from typing import cast

import numpy as np
import torch

from linreg.errors import UserError
from linreg.least_squares.objective import Float, Objective
from linreg.moments.moments import Moments
from linreg.threads import one_thread
from linreg.training.batched_loss import Losses, stacked
from linreg.training.history import Way
from linreg.training.prepare import Ready
from linreg.training.trainers.contract import State
from linreg.training.trainers.gram import Gram

Ended = tuple[State, Way, str]  # what ``loop`` returns
OnModelEpoch = Callable[[int, int, float], None]  # (which model, epoch, loss)

_STRETCH = 256  # epochs between two looks at who has ended
_BYTES = 2**25  # of the largest array: of a stretch's parameters, or of the matrices side by side


def walk_together(
    readies: Sequence[Ready], validation: Moments | None = None, on_epoch: OnModelEpoch | None = None
) -> list[Ended | UserError]:
    """Walk every training to its end: what ``loop`` returns for each, or the error that it raises.

    Args:
        readies: trainings whose trainer is ``gram``, of records of the same columns.
        validation: the record of the validation rows.
        on_epoch: called after each epoch of each model, a stretch of epochs at a time.
    """
    out: dict[int, Ended | UserError] = {}
    with np.errstate(over="ignore", invalid="ignore"), one_thread():
        for batch in _batches(readies):
            walk = _Walk([_Member(i, readies[i]) for i in batch], validation)
            while walk.members:
                out.update(walk.stretch(on_epoch))
    return [out[i] for i in range(len(readies))]


def _batches(readies: Sequence[Ready]) -> Iterator[list[int]]:
    """Which models walk together: those of one kind of update, so many that their matrices fit the cache or nearly.

    Models of one record share its matrices, and any number of them walks together.
    """

    def kind(i: int) -> tuple[bool, bool, bool, int]:
        how = _gram(readies[i])
        return how.momentum > 0, how.nesterov, how.l1 > 0, id(readies[i].problem.objective)

    order = sorted(range(len(readies)), key=kind)
    for _, same in groupby(order, key=lambda i: kind(i)[:3]):
        batch: list[int] = []
        for _, sharing in groupby(same, key=lambda i: kind(i)[3]):
            models = list(sharing)
            many = _bytes(readies[models[0]].problem.objective) * (len(batch) + len(models)) > _BYTES
            if batch and many:
                yield batch
                batch = []
            batch += models
        yield batch


def _bytes(objective: Objective) -> int:
    return 8 * len(objective.factor_DD) ** 2


def _gram(ready: Ready) -> Gram:
    return cast(Gram, ready.choice.trainer)


class _Member:
    """One model of a walk: its training, its start and its way."""

    def __init__(self, index: int, ready: Ready) -> None:
        self.index, self.ready = index, ready
        self.trainer, self.objective = _gram(ready), ready.problem.objective
        self.state = self.trainer.init(ready.problem)
        self.way = Way(self.objective, ready.choice.config, ready.choice.config.epochs)


@dataclass(frozen=True)
class _Stretch:
    """What the models were after each of some epochs, the one before them included at index 0.

    Args:
        begin: the epoch at index 0.
        u_EKDO, velocity_EKDO: the trainers' states.
        theta_EKDO: the parameters.
    """

    begin: int
    u_EKDO: Float
    velocity_EKDO: Float | None
    theta_EKDO: Float

    def state(self, e: int, k: int, member: _Member) -> State:
        """The whole state of a model, as its trainer has it."""
        epoch, name = self.begin + e, "theta" if member.trainer.l1 else "u"
        own = {"epoch": torch.tensor(epoch), name: torch.from_numpy(self.u_EKDO[e, k].copy())}
        if self.velocity_EKDO is not None and epoch:
            own["velocity"] = torch.from_numpy(self.velocity_EKDO[e, k].copy())
        return {**member.state, **own}

    def at(self, e: int, k: int, member: _Member) -> tuple[State, Float]:
        """The state of a model and its parameters."""
        return self.state(e, k, member), self.theta_EKDO[e, k]


class _Walk:
    """Models that walk together: their states, and what each update needs, stacked."""

    def __init__(self, members: list[_Member], validation: Moments | None) -> None:
        self.validation, self.epoch = validation, 0
        self.u_KDO = np.stack([m.state["theta" if m.trainer.l1 else "u"].numpy() for m in members])
        self.velocity_KDO: Float | None = np.zeros_like(self.u_KDO) if members[0].trainer.momentum else None
        self._stack(members)

    def _stack(self, members: list[_Member]) -> None:
        """The matrices of those that still walk."""
        self.members, objectives = members, [m.objective for m in members]
        self.turn_KDD = stacked(
            objectives, lambda o: o.basis_DD.T
        )  # the basis, each by columns as numpy's svd leaves it
        self.values_KD = stacked(objectives, lambda o: o.eigenvalues_D[:, None])
        self.slope_KDO = stacked(objectives, lambda o: o.slope_DO)
        self.loss = Losses(objectives, self.validation)

    def stretch(self, on_epoch: OnModelEpoch | None) -> dict[int, Ended | UserError]:
        """Some more epochs of all; what came of those that ended in them, by index."""
        walked = self._walked()
        excess_KE, error_KE = self.loss(walked.theta_EKDO)
        ended: dict[int, Ended | UserError] = {}
        for k, member in enumerate(self.members):
            end = _told(member, k, walked, excess_KE[k], error_KE[k] if error_KE else None, on_epoch)
            if end is not None:
                ended[member.index] = end
        self._go_on(walked, ended)
        return ended

    def _walked(self) -> _Stretch:
        most = max(m.ready.choice.config.epochs for m in self.members) - self.epoch
        epochs = max(1, min(most, _STRETCH, _BYTES // self.u_KDO.nbytes))
        u = np.empty((epochs + 1, *self.u_KDO.shape))
        velocity = None if self.velocity_KDO is None else np.empty_like(u)
        u[0] = self.u_KDO
        if velocity is not None:
            velocity[0] = self.velocity_KDO
        varies = any(m.trainer.schedule != "constant" for m in self.members)
        rate_K = self._rates(self.epoch + 1)
        plain = velocity is None and not self.members[0].trainer.l1 and not varies
        if plain:
            self._move(u, rate_K)
        for e in range(1, 1 if plain else epochs + 1):
            rate_K = self._rates(self.epoch + e) if varies else rate_K
            if velocity is not None:
                u[e], velocity[e] = self._with_momentum(u[e - 1], velocity[e - 1], rate_K, first=self.epoch + e == 1)
            else:
                u[e] = self._shrunk(u[e - 1], rate_K) if self.members[0].trainer.l1 else self._moved(u[e - 1], rate_K)
        theta = u if self.members[0].trainer.l1 else self.turn_KDD.swapaxes(-1, -2) @ u
        return _Stretch(self.epoch, u, velocity, theta)

    def _rates(self, epoch: int) -> Float:
        return np.array([m.trainer.rate(epoch) for m in self.members])[:, None, None]

    def _moved(self, u_KDO: Float, rate_K: Float) -> Float:
        """``Gram._moved`` without momentum."""
        return np.asarray(u_KDO - rate_K * (self.values_KD * u_KDO - self.slope_KDO))

    def _move(self, u_EKDO: Float, rate_K: Float) -> None:
        """The same from the first epoch on, in place: arrays of one axis are half the time of so few numbers."""
        values, slope, rate = (
            np.broadcast_to(x, u_EKDO.shape[1:]).ravel() for x in (self.values_KD, self.slope_KDO, rate_K)
        )
        u_EX, change = u_EKDO.reshape(len(u_EKDO), -1), np.empty_like(values)
        for u, moved in pairwise(u_EX):
            np.multiply(values, u, change)
            np.subtract(change, slope, change)
            np.multiply(rate, change, change)
            np.subtract(u, change, moved)

    def _with_momentum(self, u_KDO: Float, v_KDO: Float, rate_K: Float, *, first: bool) -> tuple[Float, Float]:
        """``Gram._moved`` with momentum, plain or Nesterov's."""
        momentum = np.array([m.trainer.momentum for m in self.members])[:, None, None]
        damped = np.array([1 - m.trainer.dampening for m in self.members])[:, None, None]
        gradient = self.values_KD * u_KDO - self.slope_KDO
        v = gradient if first else momentum * v_KDO + damped * gradient
        direction = gradient + momentum * v if self.members[0].trainer.nesterov else v
        return u_KDO - rate_K * direction, v

    def _shrunk(self, theta_KDO: Float, rate_K: Float) -> Float:
        """``Gram._shrunk``."""
        l1 = np.array([m.trainer.l1 for m in self.members])[:, None, None]
        gradient = self.turn_KDD.swapaxes(-1, -2) @ (self.values_KD * (self.turn_KDD @ theta_KDO) - self.slope_KDO)
        moved = theta_KDO - rate_K * gradient
        weight = moved[:, 1:]
        moved[:, 1:] = np.sign(weight) * np.maximum(np.abs(weight) - rate_K * l1, 0.0)
        return np.asarray(moved)

    def _go_on(self, walked: _Stretch, ended: dict[int, Ended | UserError]) -> None:
        """From the end of a stretch, with those that have not ended."""
        self.epoch += len(walked.u_EKDO) - 1
        stay = [k for k, m in enumerate(self.members) if m.index not in ended]
        self.u_KDO = walked.u_EKDO[-1, stay]
        self.velocity_KDO = None if walked.velocity_EKDO is None else walked.velocity_EKDO[-1, stay]
        if stay and ended:
            self._stack([self.members[k] for k in stay])
        elif ended:
            self.members = []


def _told(
    member: _Member,
    k: int,
    walked: _Stretch,
    excess_E: list[float],
    error_E: list[float] | None,
    on_epoch: OnModelEpoch | None,
) -> Ended | UserError | None:
    """Tell a model's way of the epochs walked, until it ends; None where it goes on."""
    way = member.way
    begin = 1  # the epoch at index 0 is the start, of which nobody is told, or was told with the stretch before
    try:
        if not walked.begin:
            way.note(excess_E[0], error_E[0] if error_E else None, partial(walked.at, 0, k, member))
        if not error_E and (losses := way.note_all(excess_E[begin:], lambda i: walked.theta_EKDO[begin + i, k])):
            if on_epoch:
                for e, loss in enumerate(losses, begin):
                    on_epoch(member.index, walked.begin + e, loss)
            begin = len(excess_E)
        for e in range(begin, len(excess_E)):
            if stopped := way.ending():
                return _settled(member, walked.state(e - 1, k, member), stopped)
            error = error_E[e] if error_E else None
            loss = way.note(excess_E[e], error, partial(walked.at, e, k, member))
            if on_epoch:
                on_epoch(member.index, walked.begin + e, loss)
        if stopped := way.ending():
            return _settled(member, walked.state(len(excess_E) - 1, k, member), stopped)
    except UserError as e:
        return e
    return None


def _settled(member: _Member, state: State, stopped: str) -> Ended:
    state, stopped = member.way.settle(state, stopped)
    return state, member.way, stopped
