"""The loop over one trainer's epochs: it owns the iteration, a trainer one epoch, the history every reason to stop.

``gram`` has epochs in closed form (``full_batch``), and many of ``fused`` share a pass (``mini_batch``).
"""

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
