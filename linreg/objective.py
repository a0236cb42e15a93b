"""The loss as the trainer sees it, from moments: its value at any parameters, its optimum and its curvature.

In the trained coordinates ``z = (x - centre) / scale`` the loss of O targets is

    loss(W, b) = 1/(w O) sum_n w_n |z_n W' + b - y_n|^2 + (weight_decay / 2) |W|^2
               = optimum + |A (theta - theta_opt)|^2 / (w O),        theta = [b; W'], shape (F + 1, O),

with A the triangular factor of the record. The excess over the optimum is a sum of squares, never a difference of two
losses, so it stays exact however close the descent comes. Weight decay is F more rows under A. The eigenvalues of the
Hessian come from the singular values of A, never from ``A'A``.

Shapes: F features, O targets, D = F + 1 parameters a target.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from linreg.model import LinearModel
from linreg.moments import Moments

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Objective:
    """The trained loss of one data set.

    Args:
        factor_DD: A, upper triangular.
        optimum_DO: the parameters that minimise the loss, bias first.
        optimum_loss: the loss there; with weight decay its penalty is part of it.
        least_squares_mse: the mean squared error of exact least squares, without any penalty.
        unit: ``1 / (weight * O)``.
        rank: how many of the D singular values are not zero.
        centre_F, scale_F: the trained coordinates.
        moments: the record all of this comes from.
        weight_decay: the penalty.
    """

    factor_DD: Float
    optimum_DO: Float
    optimum_loss: float
    least_squares_mse: float
    unit: float
    rank: int
    centre_F: Float
    scale_F: Float
    moments: Moments
    weight_decay: float = 0.0

    @classmethod
    def of(cls, moments: Moments, *, standardize: bool = False, weight_decay: float = 0.0) -> "Objective":
        """The loss of the recorded rows in the coordinates that ``standardize`` asks for."""
        f, o = len(moments.features), len(moments.targets)
        spread = moments.spread_P[:f]
        centre = moments.mean_P[:f] if standardize else np.zeros(f)
        scale = np.where(spread > 0, spread, 1.0) if standardize else np.ones(f)
        root = moments.at(np.concatenate([centre, np.zeros(o)])) / np.concatenate([[1.0], scale, np.ones(o)])
        solution, unit = moments.solve(), 1 / (moments.weight * o)
        mse = float(solution.residual_O.sum()) * unit
        if weight_decay > 0:
            optimum, factor, loss = _decayed(root, f, o, math.sqrt(weight_decay / (2 * unit)), unit)
            return cls(factor, optimum, loss, mse, unit, f + 1, centre, scale, moments, weight_decay)
        bias = solution.bias_O - solution.weight_OF @ (solution.mean_F - centre)
        optimum = np.vstack([bias, (solution.weight_OF * scale).T])
        return cls(root[: f + 1, : f + 1], optimum, mse, mse, unit, solution.rank + 1, centre, scale, moments)

    def excess_loss(self, theta_DO: Float) -> float:
        """The loss at ``theta`` minus the optimum, in the targets' units squared."""
        return float(((self.factor_DD @ (theta_DO - self.optimum_DO)) ** 2).sum() * self.unit)

    def loss(self, theta_DO: Float) -> float:
        """The loss at ``theta``, in the targets' units squared."""
        return self.optimum_loss + self.excess_loss(theta_DO)

    def gradient(self, theta_DO: Float) -> Float:
        """The gradient ``H (theta - theta_opt)``, which is ``H theta - s``; shape (D, O), in loss per unit of each."""
        return np.asarray(2 * self.unit * (self.factor_DD.T @ (self.factor_DD @ (theta_DO - self.optimum_DO))))

    def excess_mse(self, theta_DO: Float) -> float:
        """The mean squared error at ``theta`` minus that of exact least squares; no penalty in either."""
        plain = Objective.of(self.moments) if self.weight_decay else self
        if plain is self:
            return self.excess_loss(theta_DO)
        weight = theta_DO[1:].T / self.scale_F
        bias = theta_DO[0] - weight @ self.centre_F
        return plain.excess_loss(np.vstack([bias, weight.T]))

    @cached_property
    def _svd(self) -> tuple[Float, Float, Float]:
        u, s, vt = np.linalg.svd(self.factor_DD)
        return u, np.where(np.arange(len(s)) < self.rank, s, 0.0), vt

    @property
    def eigenvalues_D(self) -> Float:
        """Eigenvalues of the Hessian of the loss, largest first; exactly 0 where the rank is deficient."""
        return np.asarray(2 * self.unit * self._svd[1] ** 2)

    @property
    def curvature_D(self) -> Float:
        """The Hessian's diagonal: the second derivative of the loss in each parameter alone; one for all targets."""
        return np.asarray(2 * self.unit * (self.factor_DD**2).sum(axis=0))

    @property
    def basis_DD(self) -> Float:
        """The Hessian's eigenvectors, one a column, in the order of ``eigenvalues_D``."""
        return np.asarray(self._svd[2].T)

    @property
    def slope_DO(self) -> Float:
        """The gradient's constant part in the eigenbasis: ``V' gradient = eigenvalues * (V' theta) - slope``."""
        return np.asarray(self.eigenvalues_D[:, None] * (self.basis_DD.T @ self.optimum_DO))

    @property
    def condition_number(self) -> float | None:
        """Largest over smallest eigenvalue; None where the smallest is 0."""
        values = self.eigenvalues_D
        return float(values[0] / values[-1]) if values[-1] > 0 else None

    def model(self, theta_DO: Float) -> LinearModel:
        """The model in the data's own units."""
        weight = theta_DO[1:].T / self.scale_F
        names = self.moments.features, self.moments.targets
        return LinearModel(np.ascontiguousarray(weight), theta_DO[0].copy(), self.centre_F, *names)


def largest_stable_rate(
    eigenvalue: float, *, momentum: float = 0.0, dampening: float = 0.0, nesterov: bool = False
) -> float:
    """The learning rate at which full-batch descent stops converging, for the Hessian's largest eigenvalue.

    Plain ``2 / l``; heavy ball ``2 (1 + m) / ((1 - dampening) l)``; Nesterov ``2 (1 + m) / ((1 + 2 m) l)``.

    Source: Polyak 1964; the roots of the recurrence's characteristic polynomial on the unit circle.
    """
    if nesterov:
        return 2 * (1 + momentum) / ((1 + 2 * momentum) * eigenvalue)
    damped = 1 - dampening if momentum else 1.0
    return 2 * (1 + momentum) / (damped * eigenvalue)


def _decayed(root_KK: Float, f: int, o: int, strength: float, unit: float) -> tuple[Float, Float, float]:
    """Optimum, factor and optimum loss with ``strength`` times the identity as F more rows for the weights."""
    rows = np.hstack([np.zeros((f, 1)), strength * np.eye(f), np.zeros((f, o))])
    r = np.triu(np.linalg.qr(np.vstack([root_KK, rows]), mode="r"))
    factor, response, corner = r[: f + 1, : f + 1], r[: f + 1, f + 1 :], r[f + 1 :, f + 1 :]
    return solve_triangular(factor, response), factor, float((corner**2).sum()) * unit
