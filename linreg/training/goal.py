"""How near to the optimum a descent is to come: ``train.tolerance``, as a limit on the loss over its optimum.

``auto`` is a limit for each target: the residual sum of squares may be so much above the optimum's that no parameter is
further than 0.01 standard error away, which is where standard errors are valid. With a penalty it is the penalised
loss's optimum, in the standard errors of least squares.

Shapes: E epochs, D = F + 1 parameters a target, O targets.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linreg.config import TrainConfig
from linreg.least_squares.objective import Objective
from linreg.least_squares.validity import NEAR, allowed_O, exact_O
from linreg.metrics import Float

WITHIN = f"within {NEAR:g} standard errors of the optimum"


@dataclass(frozen=True)
class Goal:
    """Limits on the excess loss.

    Args:
        limit_O: of each target, in the targets' units squared, as it counts in the loss.
        summed: they are one limit, on all targets together.
        words: what is reached.
    """

    limit_O: Float
    summed: bool
    words: str

    @classmethod
    def of(cls, objective: Objective, config: TrainConfig) -> "Goal":
        """What a config's tolerance asks for; of one that is 0, and asks for nothing, what ``auto`` would."""
        tolerance, targets = config.tolerance, len(objective.moments.targets)
        if isinstance(tolerance, float) and tolerance > 0:
            return cls(np.full(targets, tolerance), True, f"within the tolerance {tolerance:g}")
        words = "within rounding of the optimum" if exact_O(objective.moments).all() else WITHIN
        return cls(objective.unit * allowed_O(objective.moments), False, words)

    def share(self, excess_XO: Float) -> Float:
        """How much of what is allowed is used; at most 1 where the goal is reached, shape (...)."""
        with np.errstate(over="ignore"):
            share_XO = excess_XO / self.limit_O
            return np.asarray(share_XO.sum(axis=-1) if self.summed else share_XO.max(axis=-1))

    def first(
        self, objective: Objective, excess_E: Float, theta: Callable[[npt.NDArray[np.intp]], Float]
    ) -> int | None:
        """The first of some epochs that reaches it.

        Args:
            excess_E: of all targets together.
            theta: gives the parameters (E, D, O) of those that are wanted.
        """
        low_E = np.flatnonzero(excess_E <= (self.limit_O[0] if self.summed else self.limit_O.sum()))
        if len(low_E) and not self.summed:
            low_E = low_E[self.share(objective.excess_of_targets(theta(low_E))) <= 1]
        return int(low_E[0]) if len(low_E) else None
