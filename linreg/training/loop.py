"""The one loop: epochs, history, every reason to stop. It owns the iteration; a trainer owns one epoch.

The loss after each epoch comes from the record of the rows, for every trainer alike, so it is the loss of the
parameters as they are and not an average over batches. Nothing here draws a progress bar: ``on_epoch`` is for that.
"""

from linreg.config import TrainConfig
from linreg.least_squares.objective import Float
from linreg.moments.moments import Moments
from linreg.training.choose import Problem, State, Trainer
from linreg.training.history import OnEpoch, Way


def loop(
    trainer: Trainer, problem: Problem, config: TrainConfig, validation: Moments | None, on_epoch: OnEpoch | None
) -> tuple[State, Way, str]:
    """Run the epochs; the parameters to keep, the way there, and why it ended."""
    way = Way(problem.objective, config, config.epochs if trainer.iterates else 0)
    state = trainer.init(problem)
    measure(way, trainer.theta(problem, state), state, validation)
    while not (stopped := way.ending()):
        state = trainer.step(problem, state)
        loss = measure(way, trainer.theta(problem, state), state, validation)
        if on_epoch:
            on_epoch(len(way.excess) - 1, loss)
    state, stopped = way.settle(state, stopped)
    return state, way, stopped


def measure(way: Way, theta_DO: Float, state: State, validation: Moments | None) -> float:
    """Note the losses of the parameters as they are; returns the trained loss."""
    error = None
    if validation is not None:
        model = way.objective.model(theta_DO)
        error = float(validation.mean_squared_error(model.weight_OF, model.bias_O, model.mean_F).mean())
    return way.note(way.objective.excess_loss(theta_DO), error, lambda: (state, theta_DO))
