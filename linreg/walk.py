"""The walk of a full-batch descent, known before it is run: where it stands after any number of epochs.

In the Hessian's eigenbasis each direction shrinks by a factor of its own, so t epochs cost what one costs:

    theta(t) = theta* + V (1 - learning_rate * eigenvalues)^t V' (theta(0) - theta*)

Plain descent at a constant rate, without L1; the others are ``linreg.plan``'s and ``linreg.forecast``'s. In float64, so
it follows a float32 loop to rounding.

Shapes: F features, O targets, D = F + 1 parameters a target (bias first), T recorded epochs.
"""

import numpy as np
import numpy.typing as npt

from linreg.objective import Objective

Float = npt.NDArray[np.float64]


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
