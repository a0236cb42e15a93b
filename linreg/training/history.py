"""The history of a descent: its losses, some of its parameters, its best state; and every reason to stop.

Losses come from the record of the rows, for every trainer alike, so they are those of the parameters as they are and
not averages over batches. It knows no trainer.

Shapes: E epochs that follow, F features, O targets, D = F + 1.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.least_squares.objective import Objective
from linreg.metrics import Float
from linreg.moments.moments import Moments
from linreg.training.choose import State
from linreg.training.convergence import minibatch_rate, recorded_epochs, stable_rate
from linreg.training.descent import first_rate
from linreg.training.goal import Goal

OnEpoch = Callable[[int, float], None]  # (epoch, loss)
OnModelEpoch = Callable[[int, int, float], None]  # (which model, epoch, loss)
Ints = npt.NDArray[np.intp]

# Loss over the larger of its start and the mean predictor's, from which a descent counts as lost. Divided by
# (1 - momentum)^2: near the largest stable rate a descent that converges overshoots by up to 2.2 / (1 - momentum)^2.
_LOST = 100.0


@dataclass
class History:
    """The losses of every epoch, the start included, some of the parameters, and the best state on validation rows.

    Args:
        objective, config: what is trained, and how.
        epochs: how many may be run; 0 where the trainer does not iterate.
        validation_record: of the validation rows.
        on_epoch: called with (epoch, loss) after each.
        reached: whether the last epoch is within the tolerance.
    """

    objective: Objective
    config: TrainConfig
    epochs: int
    validation_record: Moments | None = None
    on_epoch: OnEpoch | None = None
    excess: list[float] = field(default_factory=list)
    path: dict[int, Float] = field(default_factory=dict)
    validation: list[float] = field(default_factory=list)
    best: int = 0
    best_state: State | None = None
    reached: bool = False

    @cached_property
    def _goal(self) -> Goal | None:
        return Goal.of(self.objective, self.config) if self.config.tolerance else None

    @cached_property
    def _path_epochs(self) -> frozenset[int]:
        return frozenset(recorded_epochs(self.epochs))

    @cached_property
    def _largest_loss(self) -> float:
        """Of a descent that is not lost; any float where a schedule may come down from a rate too large."""
        config = self.config
        if config.schedule != "constant" and first_rate(config) >= stable_rate(self.objective, config):
            return sys.float_info.max
        return min(_LOST / (1 - config.momentum) ** 2 * self._idle_loss, sys.float_info.max)

    @cached_property
    def _idle_loss(self) -> float:
        """The loss of doing nothing: of the start, or of the mean predictor where that is larger."""
        moments = self.objective.moments
        variance = float((moments.spread_P[len(moments.features) :] ** 2).mean())
        return max(self.objective.optimum_loss + self.excess[0], variance)

    def append(self, theta_DO: Float, state: State) -> None:
        """Take the next epoch: ``extend`` of one."""
        self.extend(self.objective.excess_losses(theta_DO[None]), lambda _: theta_DO[None], lambda _: state)

    def extend(self, excess_E: Float, theta: Callable[[Ints], Float], state: Callable[[int], State]) -> None:
        """Take the epochs that follow, up to the one with which the descent ends.

        Args:
            excess_E: of the trained loss over its optimum.
            theta, state: give the parameters (E, D, O) and the state after those of these epochs that are wanted.

        Raises:
            UserError: the descent is lost, or the validation loss is beyond float64.
        """
        first, config = len(self.excess), self.config
        excess_E = excess_E[: max(self.epochs - first + 1, 1)]
        self.excess += excess_E.tolist()
        loss_E = self.objective.optimum_loss + excess_E
        lost_E = ~(loss_E <= self._largest_loss)  # nan is lost
        lost_E[0] &= first > 0
        ends_E, goal = lost_E.copy(), self._goal
        near = goal.first(self.objective, excess_E, theta) if goal else None
        if near is not None:
            ends_E[near] = True
        count = int(ends_E.argmax()) + 1 if ends_E.any() else len(ends_E)
        if self.validation_record is not None:
            count = self._validate(first, self._validation_losses(theta(np.arange(count))), state)
        del self.excess[first + count :]
        self._record(first, count, theta)
        lost, self.reached = bool(lost_E[count - 1]), near == count - 1
        self._report(first, loss_E[: count - lost].tolist())
        if lost:
            raise UserError(_diverged(self.excess, float(loss_E[count - 1]), config, self.objective))

    def _validation_losses(self, theta_EDO: Float) -> list[float]:
        """The mean squared errors on the validation rows."""
        assert self.validation_record is not None
        weight_EOF = theta_EDO[:, 1:].swapaxes(-1, -2) / self.objective.scale_F
        error_EO = self.validation_record.mean_squared_error(weight_EOF, theta_EDO[:, 0], self.objective.centre_F)
        losses: list[float] = error_EO.mean(axis=-1).tolist()
        return losses

    def _validate(self, first: int, losses: list[float], state: Callable[[int], State]) -> int:
        """Take the validation losses until patience ends; returns of how many epochs."""
        patience = self.config.patience
        for epoch, loss in enumerate(losses, first):
            if not math.isfinite(loss) and math.isfinite(self.excess[epoch]):
                raise UserError(
                    f"the loss on the validation rows is {loss} at epoch {epoch}: a row there is too far from the "
                    "training rows to be squared; correct or remove it"
                )
            if not epoch or loss < self.validation[self.best]:
                self.best = epoch
            self.validation.append(loss)
            if patience and epoch - self.best >= patience:
                break
        if patience and self.best >= first:
            self.best_state = state(self.best - first)
        return len(self.validation) - first

    def _record(self, first: int, count: int, theta: Callable[[Ints], Float]) -> None:
        epochs = sorted(self._path_epochs.intersection(range(first, first + count)))
        if epochs:
            self.path.update(zip(epochs, self.objective.own_units(theta(np.array(epochs) - first)), strict=True))

    def _report(self, first: int, losses: list[float]) -> None:
        if self.on_epoch:
            for epoch, loss in enumerate(losses, first):
                if epoch:
                    self.on_epoch(epoch, loss)

    @property
    def missed(self) -> bool:
        """Whether it ran all its epochs to come where standard errors are valid, and did not."""
        return self.config.tolerance == "auto" and 0 < self.epochs < len(self.excess) and not self.reached

    def stop_reason(self) -> str:
        """Why no further epoch is to be run; empty where one is."""
        config, done = self.config, len(self.excess) - 1
        if not self.epochs:
            return "closed form"
        if self._goal and self.reached:
            return ("excess loss " if self._goal.summed else "") + self._goal.words
        if done >= self.epochs:
            short = self._goal if config.tolerance == "auto" else None
            return f"all epochs run, and not {short.words}" if short else "all epochs run"
        if config.patience and done - self.best >= config.patience:
            return f"no lower loss on the validation rows for {config.patience} epochs"
        return ""

    def finish(self, state: State, reason: str) -> "Ended":
        """The state to keep, of the last epoch or of the best, this history, and the whole reason why it ended.

        Raises:
            UserError: it ends above where it began.
        """
        if not self.epochs:
            return state, self, reason
        if self.config.patience and self.best_state is not None:
            state = self.best_state
            reason = f"{reason}; the parameters of epoch {self.best} had the lowest validation loss, and are kept"
            del self.excess[self.best + 1 :]
            self.path = {epoch: theta for epoch, theta in self.path.items() if epoch <= self.best}
        loss = self.objective.optimum_loss + self.excess[-1]
        if loss > self._idle_loss:
            raise UserError(_diverged(self.excess, loss, self.config, self.objective))
        return state, self, reason


Ended = tuple[State, History, str]  # what is kept, how it came there, why it ended


def _diverged(excess: list[float], loss: float, config: TrainConfig, objective: Objective) -> str:
    """What happened, since when, and which rate would do."""
    lowest = int(np.argmin([e if math.isfinite(e) else math.inf for e in excess]))
    full = not 0 < config.batch_size < objective.moments.rows
    limit, rate = stable_rate(objective, config), first_rate(config)
    if full and rate < limit and config.schedule == "constant":
        advice = (
            f"train.learning_rate {rate:g} is below the largest stable rate {limit:.4g}, so it is "
            f'{config.dtype} that does not hold the numbers: set train.dtype = "float64"'
        )
    elif full:
        advice = f"train.learning_rate {rate:g} is not below the largest stable rate {limit:.4g}: lower it"
    else:
        expected = minibatch_rate(objective, config.batch_size)
        advice = (
            f"train.learning_rate {rate:g} is too large for batches of {config.batch_size}: "
            f"try one below {min(expected, rate) / 2:.2g}"
        )
    return (
        f"training diverged: loss is {loss:.4g} at epoch {len(excess) - 1} and has grown since epoch {lowest}; "
        f"{advice}{or_standardize(config)}"
    )


def or_standardize(config: TrainConfig) -> str:
    """The other remedy for a rate that is too large, for the end of a line; empty where it is taken already."""
    return "" if config.standardize else ", or set train.standardize = true"
