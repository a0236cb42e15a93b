"""What every gradient descent has in common: its hyperparameters, and the learning rate of each epoch.

    constant   rate
    step       rate * gamma ^ floor((epoch - 1) / step_size)                              StepLR
    cosine     eta_min + (rate - eta_min) (1 + cos(pi (epoch - 1) / epochs)) / 2          CosineAnnealingLR

The rates are the numbers of ``torch.optim.lr_scheduler``. One is a function of the epoch alone, so that a state taken
up again needs none of the epochs before it. No schedule raises the rate: the first epoch's is the largest.

Source: Loshchilov and Hutter 2017, "SGDR: stochastic gradient descent with warm restarts" (cosine, without restarts).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from linreg.config import TrainConfig


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


def rate_of(settings: TrainConfig | Descent, epoch: int) -> float:
    """The learning rate of an epoch, counted from 1."""
    rate = first_rate(settings)
    if settings.schedule == "step":
        return float(rate * settings.gamma ** ((epoch - 1) // settings.step_size))
    if settings.schedule == "cosine":
        swing = (1 + math.cos(math.pi * (epoch - 1) / settings.epochs)) / 2
        return settings.eta_min + (rate - settings.eta_min) * swing
    return rate


def first_rate(settings: TrainConfig | Descent) -> float:
    """The learning rate, which is a number by now: ``learning_rate.automatic`` puts one in the place of ``auto``."""
    assert settings.learning_rate != "auto"
    return settings.learning_rate
