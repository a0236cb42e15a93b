"""The walk of a full-batch descent, known before it is run: where it stands after any number of epochs.

In the Hessian's eigenbasis each direction shrinks by a factor of its own, so t epochs cost what one costs:

    theta(t) = theta* + V (1 - learning_rate * eigenvalues)^t V' (theta(0) - theta*)

Plain descent at a constant rate; momentum is ``linreg.plan``'s. In float64, so it follows a float32 loop to rounding.

Shapes: F features, O targets, D = F + 1 parameters a target (bias first), T recorded epochs.
"""

import bisect

import numpy as np
import numpy.typing as npt

from linreg.objective import Objective

Float = npt.NDArray[np.float64]

_FOREVER = 10**18  # epochs that nobody runs


def recorded_epochs(epochs: int, *, most: int = 60) -> list[int]:
    """Which epochs to keep for a picture of the walk: all where they are few, else ever farther apart.

    Args:
        epochs: how many the descent runs; 0 is the start.
        most: how many to keep at most; 3 or more.

    Returns:
        rising numbers from 0 to ``epochs``, both among them.

    >>> recorded_epochs(1000, most=8)
    [0, 1, 3, 10, 32, 100, 316, 1000]
    """
    if epochs < most:
        return list(range(epochs + 1))
    spaced = np.geomspace(1, epochs, most - 1)
    return sorted({0, epochs, *np.rint(spaced).astype(int).tolist()})


def theta_after(objective: Objective, theta_DO: Float, *, learning_rate: float, epochs: int) -> Float:
    """The parameters after ``epochs`` updates from ``theta_DO``, in the objective's coordinates."""
    basis_DD = objective.basis_DD
    kept_D = (1 - learning_rate * objective.eigenvalues_D) ** epochs
    away_DO = basis_DD.T @ (theta_DO - objective.optimum_DO)
    return np.asarray(objective.optimum_DO + basis_DD @ (kept_D[:, None] * away_DO))


def epochs_within(objective: Objective, theta_DO: Float, *, learning_rate: float, share: float) -> int | None:
    """The first epoch at which (loss - optimum) / optimum is at most ``share``, from ``theta_DO``.

    None where there is none: the rate is not below the largest stable one, or the optimum loss is 0.
    """
    if learning_rate * objective.eigenvalues_D[0] >= 2 or objective.optimum_loss <= 0:
        return None

    def gained(epochs: int) -> float:
        return -objective.excess_loss(theta_after(objective, theta_DO, learning_rate=learning_rate, epochs=epochs))

    found = bisect.bisect_left(range(_FOREVER), -share * objective.optimum_loss, key=gained)
    return found if found < _FOREVER else None
