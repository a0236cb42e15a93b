"""The learning rate of each epoch: constant, in steps, or along a cosine, the numbers of ``torch.optim.lr_scheduler``.

    constant   rate
    step       rate * gamma ^ floor((epoch - 1) / step_size)                              StepLR
    cosine     eta_min + (rate - eta_min) (1 + cos(pi (epoch - 1) / epochs)) / 2          CosineAnnealingLR

A function of the epoch alone, so that a state taken up again needs none of the epochs before it. No schedule raises
the rate: the first epoch's is the largest.

Source: Loshchilov and Hutter 2017, "SGDR: stochastic gradient descent with warm restarts" (cosine, without restarts).
"""

import math
from typing import TYPE_CHECKING

from linreg.config import TrainConfig

if TYPE_CHECKING:  # a descent imports this module
    from linreg.training.trainers.descent import Descent


def rate_of(settings: "TrainConfig | Descent", epoch: int) -> float:
    """The learning rate of an epoch, counted from 1."""
    if settings.schedule == "step":
        return float(settings.learning_rate * settings.gamma ** ((epoch - 1) // settings.step_size))
    if settings.schedule == "cosine":
        swing = (1 + math.cos(math.pi * (epoch - 1) / settings.epochs)) / 2
        return settings.eta_min + (settings.learning_rate - settings.eta_min) * swing
    return settings.learning_rate
