"""The loss as the trainer sees it, from moments: its value at any parameters, its optimum and its curvature.

In the trained coordinates ``z = (x - centre) / scale`` the loss of O targets is

    loss(W, b) = 1/(w O) sum_n w_n |z_n W' + b - y_n|^2 + (weight_decay / 2) |W|^2 + l1 |W|_1
               = optimum + |A (theta - theta_opt)|^2 / (w O) + kink,    theta = [b; W'], shape (F + 1, O),

with A the triangular factor of the record. The excess over the optimum is a sum of terms that are never negative, not a
difference of two losses, so it stays exact however close the descent comes. Weight decay is F more rows under A. The
eigenvalues of the Hessian come from the singular values of A, never from ``A'A``.

``kink`` is 0 without L1. With it, the gradient g of the smooth part at the optimum is -l1 sign(w_opt), or between -l1
and l1 where w_opt is 0, so each weight adds l1 (|w| - sign(w_opt) w), or l1 |w| + g w: both at least 0.

Shapes: F features, O targets, D = F + 1 parameters a target.
"""

import math
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import solve_triangular

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.least_squares.elastic_net import l1_optimum
from linreg.metrics import Float
from linreg.model import LinearModel
from linreg.moments.moments import Moments


@dataclass(frozen=True)
class Objective:
    """The trained loss of one data set.

    Args:
        factor_DD: A, upper triangular.
        optimum_DO: the parameters that minimise the loss, bias first.
        smooth_DO: those that minimise it without its L1 part: the same where there is none.
        optimum_loss: the loss at ``optimum_DO``; penalties are part of it.
        least_squares_mse: the mean squared error of exact least squares, without any penalty.
        unit: ``1 / (weight * O)``.
        rank: how many of the D singular values are not zero.
        centre_F, scale_F: the trained coordinates.
        moments: the record all of this comes from (its ``equations``).
        weight_decay, l1: the penalties.

    >>> import linreg
    >>> columns = {"features": ("temp", "rainfall", "humidity"), "targets": ("apples", "oranges")}
    >>> rows = linreg.read_dataset(linreg.DataConfig(path="data/crops-15.csv", **columns)).train
    >>> moments = linreg.Moments.of(rows.blocks(), rows.features, rows.targets)
    >>> objective = linreg.Objective.of(moments)
    >>> round(objective.optimum_loss, 4)
    0.9094
    """

    factor_DD: Float
    optimum_DO: Float
    smooth_DO: Float
    optimum_loss: float
    least_squares_mse: float
    unit: float
    rank: int
    centre_F: Float
    scale_F: Float
    moments: Moments
    weight_decay: float = 0.0
    l1: float = 0.0

    @classmethod
    def of(
        cls, moments: Moments, *, standardize: bool = False, weight_decay: float = 0.0, l1: float = 0.0
    ) -> "Objective":
        """The loss of the recorded rows in the coordinates that ``standardize`` asks for."""
        f, o = len(moments.features), len(moments.targets)
        moments = moments.equations
        spread = moments.spread_P[:f]
        centre = moments.mean_P[:f] if standardize else np.zeros(f)
        scale = np.where(spread > 0, spread, 1.0) if standardize else np.ones(f)
        root = moments.at(np.concatenate([centre, np.zeros(o)])) / np.concatenate([[1.0], scale, np.ones(o)])
        root[1:, 1 : 1 + f][:, spread == 0] = 0.0  # rounding of a constant, which no penalty must take for a column
        solution, unit = moments.solve(), 1 / (moments.weight * o)
        mse = float(solution.residual_O.sum()) * unit
        if weight_decay > 0:
            smooth, factor, loss = _ridge_optimum(root, f, o, math.sqrt(weight_decay / (2 * unit)), unit)
            rank = f + 1
        else:
            bias = solution.bias_O - solution.weight_OF @ (solution.mean_F - centre)
            smooth = np.vstack([bias, (solution.weight_OF * scale).T])
            factor, loss, rank = root[: f + 1, : f + 1], mse, solution.rank + 1
        optimum = _lasso_optimum(factor, smooth, l1 / unit) if l1 > 0 else smooth
        if l1 > 0:
            loss += float(((factor @ (optimum - smooth)) ** 2).sum()) * unit + l1 * float(np.abs(optimum[1:]).sum())
        return cls(factor, optimum, smooth, loss, mse, unit, rank, centre, scale, moments, weight_decay, l1)

    @classmethod
    def trained(cls, moments: Moments, config: TrainConfig) -> "Objective":
        """The loss that a config trains on the recorded rows."""
        return cls.of(moments, standardize=config.standardize, weight_decay=config.weight_decay, l1=config.l1)

    @property
    def penalised(self) -> bool:
        """Whether the trained loss is more than the mean squared error."""
        return self.weight_decay > 0 or self.l1 > 0

    def excess_loss(self, theta_DO: Float) -> float:
        """The loss at ``theta`` minus the optimum, in the targets' units squared."""
        return float(self.excess_losses(theta_DO))

    def excess_losses(self, theta_XDO: Float) -> Float:
        """``excess_loss`` of any number of parameters, shape (...)."""
        root = self.factor_DD @ (theta_XDO - self.optimum_DO)
        smooth_X = (root**2).sum(axis=(-2, -1)) * self.unit
        return np.asarray(smooth_X + self._kinks(theta_XDO[..., 1:, :]).sum(axis=(-2, -1)) if self.l1 else smooth_X)

    def excess_of_targets(self, theta_XDO: Float) -> Float:
        """What each target adds to ``excess_losses``, shape (..., O)."""
        smooth_XO = ((self.factor_DD @ (theta_XDO - self.optimum_DO)) ** 2).sum(axis=-2) * self.unit
        return np.asarray(smooth_XO + self._kinks(theta_XDO[..., 1:, :]).sum(axis=-2) if self.l1 else smooth_XO)

    def _kinks(self, weight_XFO: Float) -> Float:
        """What the L1 part of each weight adds to the smooth part's excess. See the module."""
        best_FO = self.optimum_DO[1:]
        idle = np.abs(weight_XFO) * self.l1 + self.gradient_FO * weight_XFO
        active = self.l1 * (np.abs(weight_XFO) - np.sign(best_FO) * weight_XFO)
        return np.where(best_FO == 0, idle, active)

    @cached_property
    def gradient_FO(self) -> Float:
        """The smooth part's gradient at the optimum, in the weights; at most ``l1``, rounding cut off."""
        return np.clip(self.gradient(self.optimum_DO)[1:], -self.l1, self.l1)

    def loss(self, theta_DO: Float) -> float:
        """The loss at ``theta``, in the targets' units squared."""
        return self.optimum_loss + self.excess_loss(theta_DO)

    def gradient(self, theta_DO: Float) -> Float:
        """The gradient of the smooth part, ``H theta - s``; shape (D, O), in loss per unit of each parameter."""
        return np.asarray(2 * self.unit * (self.factor_DD.T @ (self.factor_DD @ (theta_DO - self.smooth_DO))))

    def excess_mse(self, theta_DO: Float) -> float:
        """The mean squared error at ``theta`` minus that of exact least squares; no penalty in either."""
        if self.penalised:
            return Objective.of(self.moments).excess_loss(self.own_units(theta_DO))
        return self.excess_loss(theta_DO)

    @cached_property
    def _svd(self) -> tuple[Float, Float, Float]:
        u, s, vt = np.linalg.svd(self.factor_DD)
        return u, np.where(np.arange(len(s)) < self.rank, s, 0.0), vt

    @property
    def eigenvalues_D(self) -> Float:
        """Eigenvalues of the smooth part's Hessian, largest first; exactly 0 where the rank is deficient."""
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
    def condition_number(self) -> float | None:
        """Largest over smallest eigenvalue; None where the smallest is 0."""
        values = self.eigenvalues_D
        return float(values[0] / values[-1]) if values[-1] > 0 else None

    def theta(self, model: LinearModel) -> Float:
        """A model's parameters in the trained coordinates, bias first, shape (D, O); its columns in any order.

        A level of its categories that it does not know starts at 0, and one that is gone is left out.

        Raises:
            UserError: it has other features or targets.
        """
        names = self.moments.features, self.moments.targets
        for what, own, theirs in zip(("features", "targets"), names, (model.features, model.targets), strict=True):
            differ = ", ".join(sorted(name for name in set(own) ^ set(theirs) if not _is_level(name, model)))
            if differ:
                raise UserError(
                    f"train.warm_start has other {what} than the config ({differ}): name a version with these"
                )
        order_O = [model.targets.index(name) for name in self.moments.targets]
        known = {name: i for i, name in enumerate(model.features)}
        old, new = zip(*((known[n], i) for i, n in enumerate(self.moments.features) if n in known), strict=True)
        weight_OF = np.zeros((len(order_O), len(self.moments.features)))
        weight_OF[:, new] = model.weight_OF[np.ix_(order_O, old)]
        gone = [i for i in range(len(known)) if i not in old]
        bias_O = model.bias_O - model.weight_OF[:, gone] @ model.mean_F[gone]
        bias_O = bias_O[order_O] + weight_OF[:, new] @ (self.centre_F[list(new)] - model.mean_F[list(old)])
        bias_O = bias_O if self.moments.intercept else 0 * bias_O
        return np.vstack([bias_O, (weight_OF * self.scale_F).T])

    def own_units(self, theta_XDO: Float) -> Float:
        """Any number of parameters in the data's own units, bias first, shape (..., 1 + F, O)."""
        weight_XFO = theta_XDO[..., 1:, :] / self.scale_F[:, None]
        bias_XO = theta_XDO[..., 0, :] - self.centre_F @ weight_XFO
        return np.concatenate([bias_XO[..., None, :], weight_XFO], axis=-2)

    def model(self, theta_DO: Float) -> LinearModel:
        """The model in the data's own units."""
        weight = theta_DO[1:].T / self.scale_F
        names = self.moments.features, self.moments.targets
        bias = theta_DO[0].copy() if self.moments.intercept else np.zeros(len(names[1]))
        return LinearModel(np.ascontiguousarray(weight), bias, self.centre_F, *names)


def _is_level(name: str, model: LinearModel) -> bool:
    """Whether it is called like a term of one of the model's categories, but for the levels."""
    if model.design is None or "[" not in name:
        return False
    terms = {_without_levels(own) for own, term in model.design.terms.items() if term.levels}
    return _without_levels(name) in terms.union(model.design.levels)


def _without_levels(name: str) -> str:
    """``C(region):temp`` of ``C(region)[T.north]:temp``."""
    return re.sub(r"\[.*?\](?=:|$)", "", name)


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


def _ridge_optimum(root_KK: Float, f: int, o: int, strength: float, unit: float) -> tuple[Float, Float, float]:
    """Optimum, factor and optimum loss with ``strength`` times the identity as F more rows for the weights."""
    rows = np.hstack([np.zeros((f, 1)), strength * np.eye(f), np.zeros((f, o))])
    r = np.triu(np.linalg.qr(np.vstack([root_KK, rows]), mode="r"))
    factor, response, corner = r[: f + 1, : f + 1], r[: f + 1, f + 1 :], r[f + 1 :, f + 1 :]
    return solve_triangular(factor, response), factor, float((corner**2).sum()) * unit


def _lasso_optimum(factor_DD: Float, smooth_DO: Float, strength: float) -> Float:
    """The optimum with L1: the weights by themselves, then the bias that makes the factor's first row zero."""
    weight_FO = l1_optimum(factor_DD[1:, 1:], smooth_DO[1:], strength)
    bias_O = smooth_DO[0] - factor_DD[0, 1:] @ (weight_FO - smooth_DO[1:]) / factor_DD[0, 0]
    return np.vstack([bias_O, weight_FO])
