"""What every gradient descent has in common: its hyperparameters, and the rate of each epoch."""

from dataclasses import dataclass
from typing import ClassVar

from linreg.training.schedule import rate_of


@dataclass(frozen=True)
class Descent:
    """The hyperparameters of ``torch.optim.SGD`` and of the rate's schedule; the config's own names and meanings.

    Args:
        epochs: of which ``cosine`` is the last one's end; how many are run is the loop's business.
    """

    learning_rate: float
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    schedule: str = "constant"
    step_size: int = 100
    gamma: float = 0.1
    eta_min: float = 0.0
    epochs: int = 1000

    iterates: ClassVar[bool] = True

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 1."""
        return rate_of(self, epoch)
