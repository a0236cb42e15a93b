"""History."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.least_squares.objective import Float, Objective
from linreg.model import LinearModel
from linreg.training.choose import State
from linreg.training.convergence import minibatch_rate, recorded_epochs, stable_rate

OnEpoch = Callable[[int, float], None]


# Loss over the larger of its start and the mean predictor's, from which a descent counts as lost. Divided by
# (1 - momentum)^2: near the largest stable rate a descent that converges overshoots by up to 2.2 / (1 - momentum)^2.
_LOST = 100.0


@dataclass
class Way:
    """The way so far: the losses of every epoch, the start included, some of the parameters, and the best state on the
    validation rows. It knows every reason to stop, and no trainer.

    Args:
        objective, config: what is trained, and how.
        epochs: how many may be run; 0 where the trainer does not iterate.
    """

    objective: Objective
    config: TrainConfig
    epochs: int
    excess: list[float] = field(default_factory=list)
    path: dict[int, Float] = field(default_factory=dict)
    validation: list[float] = field(default_factory=list)
    best: int = 0
    best_state: State | None = None

    @cached_property
    def _noted(self) -> frozenset[int]:
        return frozenset(recorded_epochs(self.epochs))

    @cached_property
    def _lost(self) -> float:
        """The loss from which a descent counts as lost; none where a schedule may come down from a rate too large."""
        config = self.config
        if config.schedule != "constant" and config.learning_rate >= stable_rate(self.objective, config):
            return math.inf
        return _LOST / (1 - config.momentum) ** 2 * self._nothing

    @cached_property
    def _nothing(self) -> float:
        """The loss of doing nothing: of the start, or of the mean predictor where that is larger."""
        moments = self.objective.moments
        variance = float((moments.spread_P[len(moments.features) :] ** 2).mean())
        return max(self.objective.optimum_loss + self.excess[0], variance)

    def note(self, excess: float, error: float | None, at: Callable[[], tuple[State, Float]]) -> float:
        """Note the losses of the next parameters; returns the trained loss.

        Args:
            excess: of the trained loss over its optimum.
            error: on the validation rows; None where there are none.
            at: gives the state and its parameters, should they be wanted.

        Raises:
            UserError: the descent is lost, or the validation loss is beyond float64.
        """
        epoch = len(self.excess)
        if epoch in self._noted:
            self.path[epoch] = self.objective.own_units(at()[1])
        self.excess.append(excess)
        if error is not None:
            self._validated(epoch, error, at)
        loss = self.objective.optimum_loss + excess
        if epoch and (not math.isfinite(loss) or loss > self._lost):
            raise UserError(_diverged(self.excess, loss, self.config, self.objective))
        return loss

    def note_all(self, excess: Sequence[float], theta: Callable[[int], Float]) -> list[float] | None:
        """``note`` for several epochs in a row, without validation rows; returns the trained losses.

        None, and nothing is noted, where the way may end before the last of them.

        Args:
            excess: of the trained losses over the optimum.
            theta: gives the parameters of one of them, should they be wanted.
        """
        first, config = len(self.excess), self.config
        if self.ending() or config.patience or first + len(excess) - 1 > self.epochs:
            return None
        excess_E = np.array(excess)
        loss_E = self.objective.optimum_loss + excess_E
        lost = not np.isfinite(loss_E).all() or bool((loss_E > self._lost).any())
        if lost or (config.tolerance and bool((excess_E[:-1] <= config.tolerance).any())):
            return None
        for i in range(len(excess)):
            if first + i in self._noted:
                self.path[first + i] = self.objective.own_units(theta(i))
        self.excess += excess
        losses: list[float] = loss_E.tolist()
        return losses

    def _validated(self, epoch: int, error: float, at: Callable[[], tuple[State, Float]]) -> None:
        if not math.isfinite(error) and math.isfinite(self.excess[-1]):
            raise UserError(
                f"the loss on the validation rows is {error} at epoch {epoch}: a row there is too far from the "
                "training rows to be squared; correct or remove it"
            )
        if not self.validation or error < self.validation[self.best]:
            self.best = epoch
            self.best_state = at()[0] if self.config.patience else None
        self.validation.append(error)

    def ending(self) -> str:
        """Why no further epoch is to be run; empty where one is."""
        config, done = self.config, len(self.excess) - 1
        if not self.epochs:
            return "closed form"
        if done >= self.epochs:
            return "all epochs run"
        if config.tolerance and self.excess[-1] <= config.tolerance:
            return f"excess loss within the tolerance {config.tolerance:g}"
        if config.patience and done - self.best >= config.patience:
            return f"no lower loss on the validation rows for {config.patience} epochs"
        return ""

    def settle(self, state: State, stopped: str) -> tuple[State, str]:
        """The state to keep, of the last epoch or of the best, and the whole reason why the way ended.

        Raises:
            UserError: it ends above where it began.
        """
        if not self.epochs:
            return state, stopped
        if self.config.patience and self.best_state is not None:
            state = self.best_state
            stopped = f"{stopped}; the parameters of epoch {self.best} had the lowest validation loss, and are kept"
            del self.excess[self.best + 1 :]
            self.path = {epoch: theta for epoch, theta in self.path.items() if epoch <= self.best}
        loss = self.objective.optimum_loss + self.excess[-1]
        if loss > self._nothing:
            raise UserError(_diverged(self.excess, loss, self.config, self.objective))
        return state, stopped


def own_units(model: LinearModel) -> Float:
    """The parameters in the data's own units, bias first, shape (1 + F, O)."""
    return np.vstack([model.intercept_O, model.weight_OF.T])


def _diverged(excess: list[float], loss: float, config: TrainConfig, objective: Objective) -> str:
    """What happened, since when, and which rate would do."""
    lowest = int(np.argmin([e if math.isfinite(e) else math.inf for e in excess]))
    full = not 0 < config.batch_size < objective.moments.rows
    limit = stable_rate(objective, config)
    if full and config.learning_rate < limit and config.schedule == "constant":
        advice = (
            f"train.learning_rate {config.learning_rate:g} is below the largest stable rate {limit:.4g}, so it is "
            f'{config.dtype} that does not hold the numbers: set train.dtype = "float64"'
        )
    elif full:
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
        f"{advice}{or_standardize(config)}"
    )


def or_standardize(config: TrainConfig) -> str:
    """The other remedy for a rate that is too large, for the end of a line; empty where it is taken already."""
    return "" if config.standardize else ", or set train.standardize = true"
