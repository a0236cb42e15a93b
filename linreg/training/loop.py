"""The one loop: it owns the iteration; a trainer owns one epoch, the history every reason to stop."""

from linreg.moments.moments import Moments
from linreg.training.history import Ended, OnEpoch
from linreg.training.prepare import Training


def loop(training: Training, validation: Moments | None, on_epoch: OnEpoch | None) -> Ended:
    """Run the epochs; the state to keep, the history, and why it ended.

    Raises:
        UserError: the training diverged.
    """
    trainer, problem = training.choice.trainer, training.problem
    history, state = training.history(validation, on_epoch), trainer.init(problem)
    history.append(trainer.theta(problem, state), state)
    while not (reason := history.stop_reason()):
        state = trainer.step(problem, state)
        history.append(trainer.theta(problem, state), state)
    return history.finish(state, reason)
