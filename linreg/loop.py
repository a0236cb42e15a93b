"""The one loop: epochs, history, every reason to stop. It owns the iteration; a trainer owns one epoch.

The loss after each epoch comes from the record of the rows, for every trainer alike, so it is the loss of the
parameters as they are and not an average over batches. Nothing here draws a progress bar: ``on_epoch`` is for that.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.forecast import minibatch_rate, stable_rate
from linreg.model import LinearModel
from linreg.moments import Moments
from linreg.objective import Float, Objective
from linreg.trainers import Problem, State, Trainer
from linreg.walk import recorded_epochs

OnEpoch = Callable[[int, float], None]

# Loss over the larger of its start and the mean predictor's, from which a descent counts as lost. Divided by
# (1 - momentum)^2: near the largest stable rate a descent that converges overshoots by up to 2.2 / (1 - momentum)^2.
_LOST = 100.0


@dataclass
class Way:
    """The way so far: the losses of every epoch, the start included, some of the parameters, and the best state on the
    validation rows.
    """

    noted: frozenset[int]
    excess: list[float] = field(default_factory=list)
    path: dict[int, Float] = field(default_factory=dict)
    validation: list[float] = field(default_factory=list)
    best: int = 0
    best_state: State | None = None


def loop(
    trainer: Trainer, problem: Problem, config: TrainConfig, validation: Moments | None, on_epoch: OnEpoch | None
) -> tuple[State, Way, str]:
    """Run the epochs; the parameters to keep, the way there, and why it ended."""
    objective = problem.objective
    state = trainer.init(problem)
    way = Way(frozenset(recorded_epochs(config.epochs if trainer.iterates else 0)))
    _measure(way, objective, trainer.theta(problem, state), state, validation)
    if not trainer.iterates:
        return state, way, "closed form"
    lost = _lost(objective, config, way.excess[0])
    stopped = "all epochs run"
    for epoch in range(1, config.epochs + 1):
        if config.tolerance and way.excess[-1] <= config.tolerance:
            stopped = f"excess loss within the tolerance {config.tolerance:g}"
            break
        if config.patience and epoch - 1 - way.best >= config.patience:
            stopped = f"no lower loss on the validation rows for {config.patience} epochs"
            break
        state = trainer.step(problem, state)
        loss = _measure(way, objective, trainer.theta(problem, state), state, validation)
        if not math.isfinite(loss) or loss > lost:
            raise UserError(_diverged(way.excess, loss, config, objective))
        if on_epoch:
            on_epoch(epoch, loss)
    if config.patience and way.best_state is not None:
        state, stopped = (
            way.best_state,
            f"{stopped}; the parameters of epoch {way.best} had the lowest validation loss, and are kept",
        )
        del way.excess[way.best + 1 :]
        way.path = {epoch: theta for epoch, theta in way.path.items() if epoch <= way.best}
    if objective.optimum_loss + way.excess[-1] > _nothing(objective, way.excess[0]):
        raise UserError(_diverged(way.excess, objective.optimum_loss + way.excess[-1], config, objective))
    return state, way, stopped


def _measure(way: Way, objective: Objective, theta_DO: Float, state: State, validation: Moments | None) -> float:
    """Note the losses of the parameters as they are, and whether they are the best yet; returns the trained loss."""
    if len(way.excess) in way.noted:
        way.path[len(way.excess)] = own_units(objective.model(theta_DO))
    way.excess.append(objective.excess_loss(theta_DO))
    if validation is not None:
        model = objective.model(theta_DO)
        error = float(validation.mean_squared_error(model.weight_OF, model.bias_O, model.mean_F).mean())
        if not math.isfinite(error) and math.isfinite(way.excess[-1]):
            raise UserError(
                f"the loss on the validation rows is {error} at epoch {len(way.excess) - 1}: a row there is too far "
                "from the training rows to be squared; correct or remove it"
            )
        if not way.validation or error < way.validation[way.best]:
            way.best, way.best_state = len(way.validation), state
        way.validation.append(error)
    return objective.optimum_loss + way.excess[-1]


def own_units(model: LinearModel) -> Float:
    """The parameters in the data's own units, bias first, shape (1 + F, O)."""
    return np.vstack([model.intercept_O, model.weight_OF.T])


def _lost(objective: Objective, config: TrainConfig, start: float) -> float:
    """The loss from which a descent counts as lost; none where a schedule may come down from a rate too large."""
    if config.schedule != "constant" and config.learning_rate >= stable_rate(objective, config):
        return math.inf
    return _LOST / (1 - config.momentum) ** 2 * _nothing(objective, start)


def _nothing(objective: Objective, start: float) -> float:
    """The loss of doing nothing: of the start, or of the mean predictor where that is larger."""
    moments = objective.moments
    variance = float((moments.spread_P[len(moments.features) :] ** 2).mean())
    return max(objective.optimum_loss + start, variance)


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
