"""The losses of several models of ``gram``, each at many of its parameters, in one go and to the bits of one alone.

The models are the outer axis of every array, so each product of matrices is the call of BLAS that a model makes by
itself, and each sum is added up in the order that it has alone.

Shapes: E epochs, K models, F features, O targets, D = F + 1, X anything.
"""

from collections.abc import Callable, Sequence

import numpy as np

from linreg.least_squares.objective import Float, Objective
from linreg.moments.moments import Moments


class Losses:
    """The losses of K models at any number of their parameters: ``Objective.excess_loss`` and the validation loss."""

    def __init__(self, objectives: Sequence[Objective], validation: Moments | None) -> None:
        self.factor_KDD = stacked(objectives, lambda o: o.factor_DD)
        self.optimum_KDO = stacked(objectives, lambda o: o.optimum_DO)
        self.unit_K = np.array([o.unit for o in objectives])
        self.penalty = _Penalty(objectives) if objectives[0].l1 else None
        self.error = None if validation is None else _ValidationLoss(objectives, validation)

    def __call__(self, theta_EKDO: Float) -> tuple[list[list[float]], list[list[float]] | None]:
        """Of each model, the excess loss and the validation loss of each epoch."""
        root = self.factor_KDD @ (theta_EKDO - self.optimum_KDO)
        excess_EK = _total(root**2) * self.unit_K
        if self.penalty:
            excess_EK = excess_EK + self.penalty(theta_EKDO[:, :, 1:])
        return excess_EK.T.tolist(), self.error(theta_EKDO).T.tolist() if self.error else None


class _Penalty:
    """``Objective._kink``."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.l1_K = np.array([o.l1 for o in objectives])[:, None, None]
        self.best_KFO = stacked(objectives, lambda o: o.optimum_DO[1:])
        self.gradient_KFO = stacked(objectives, lambda o: o.gradient_FO)

    def __call__(self, w_EKFO: Float) -> Float:
        idle = np.abs(w_EKFO) * self.l1_K + self.gradient_KFO * w_EKFO
        active = self.l1_K * (np.abs(w_EKFO) - np.sign(self.best_KFO) * w_EKFO)
        return _total(np.where(self.best_KFO == 0, idle, active))


class _ValidationLoss:
    """``Moments.mean_squared_error`` of each model on the validation rows, mean over targets."""

    def __init__(self, objectives: Sequence[Objective], validation: Moments) -> None:
        f = len(validation.features)
        zeros_O = np.zeros(len(validation.targets))
        self.weight = validation.weight
        self.scale_KF = stacked(objectives, lambda o: o.scale_F)[:, None, :]
        self.x_KKF = stacked(objectives, lambda o: validation.at(np.concatenate([o.centre_F, zeros_O]))[:, 1 : 1 + f])
        self.y_KO, self.shift_O = validation.root_KK[:, 1 + f :], validation.shift_P[f:]
        self.ones = validation.root_KK[0, 0]

    def __call__(self, theta_EKDO: Float) -> Float:
        weight_EKOF = np.ascontiguousarray(theta_EKDO[:, :, 1:].swapaxes(-1, -2) / self.scale_KF)
        residual = self.x_KKF @ weight_EKOF.swapaxes(-1, -2)
        # the bias moves the first row of the factor alone
        first_EKO = residual[:, :, 0] - (self.y_KO[0] + self.ones * (self.shift_O - theta_EKDO[:, :, 0]))
        residual -= self.y_KO
        residual[:, :, 0] = first_EKO
        return np.asarray(((residual**2).sum(axis=-2) / self.weight).mean(axis=-1))


def stacked(objectives: Sequence[Objective], part: Callable[[Objective], Float]) -> Float:
    """A part of each objective, stacked; of one that all share a stack of one."""
    first = objectives[0]
    if all(o is first for o in objectives):
        return part(first)[None]
    return np.stack([part(o) for o in objectives])


def _total(values_EKXX: Float) -> Float:
    """The sum of each model's numbers at each epoch, added up in the order that it has alone."""
    e, k = values_EKXX.shape[:2]
    return np.asarray(values_EKXX.reshape(e, k, -1).sum(axis=-1))
