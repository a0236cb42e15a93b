"""How far estimates and predictions may be off: the algebra of least squares, from the triangular factor alone.

With R the factor of the centred features, ``X_c' W X_c = R'R``, and s2 = RSS / (n - F - 1) of each target, the
optimum's standard errors are

    slope i        s |row i of R^-1|
    mean at x      s sqrt(1 / sum(w) + |R^-T (x - mean)|^2)     (the intercept: x = 0)
    a new row      s sqrt(1 + the same), for a row of weight 1

Without an intercept R is that of the features about zero, means are 0, ``1 / sum(w)`` and the 1 of ``n - F - 1`` fall
away, and the intercept's error is NaN.

R'R is never formed: its condition is the square of R's. Nothing here asks whether the errors mean anything: that is
done in ``inference``.

Shapes: N rows, F features, O targets, D = F + 1 parameters (intercept first), G partitions, K = 1 + F + O.

Source: Seber and Lee, Linear Regression Analysis, chapters 3 and 5; Golub and Van Loan, chapter 5; Liang and Zeger 1986
and Cameron and Miller 2015 (errors clustered by group); Hausman 1978 (the difference of two estimates of which one is
efficient).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.linalg import solve_triangular

from linreg.metrics import Float
from linreg.model import LinearModel
from linreg.moments.deferred import PartitionMoments
from linreg.moments.moments import Moments

Shared = Literal["nested", "apart", "same"] | float | None


@dataclass(frozen=True)
class StandardErrors:
    """The errors of the least-squares optimum of a record; the features must have full rank.

    Args:
        moments: the record.
    """

    moments: Moments

    @property
    def features(self) -> int:
        """F."""
        return len(self.moments.features)

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the residuals, n - F - 1, without an intercept n - F."""
        return self.moments.rows - self.features - self.moments.intercept

    @property
    def factor_FF(self) -> Float:
        """R of the centred features."""
        return self.moments.equations.centred_PP[: self.features, : self.features]

    @property
    def deviation_O(self) -> Float:
        """The residual standard error s of each target, in its units: of a row of weight 1."""
        return np.asarray(np.sqrt(self.moments.solve().residual_O / self.degrees))

    @cached_property
    def slope_norm_F(self) -> Float:
        """The slopes' standard errors at s = 1: the norms of the rows of ``R^-1``."""
        return np.asarray(np.linalg.norm(solve_triangular(self.factor_FF, np.eye(self.features)), axis=1))

    def mean_norm_N(self, x_NF: Float) -> Float:
        """The standard error of the mean prediction of each row at s = 1."""
        mean_F = self.moments.equations.mean_P[: self.features]
        whitened_FN = solve_triangular(self.factor_FF, (x_NF - mean_F).T, trans="T")
        return np.asarray(np.sqrt(self.moments.intercept / self.moments.weight + (whitened_FN**2).sum(axis=0)))

    @property
    def error_DO(self) -> Float:
        """The standard error of each parameter in the data's own units, intercept first."""
        intercept = self.mean_norm_N(np.zeros((1, self.features))) if self.moments.intercept else np.array([np.nan])
        return np.concatenate([intercept, self.slope_norm_F])[:, None] * self.deviation_O

    @property
    def inflation_F(self) -> Float:
        """The variance inflation of each slope: its variance over that beside uncorrelated features."""
        return np.asarray((self.slope_norm_F * np.linalg.norm(self.factor_FF, axis=0)) ** 2)

    def clustered_DO(self, partitions: Sequence[PartitionMoments]) -> Float:
        """The standard errors that let rows of one partition depend on each other (CR1), intercept first.

        ``V = G / (G - 1) (n - 1) / (n - D) B (sum_g s_g s_g') B`` with B the inverse of ``X'WX`` and s_g the
        score ``X_g' W (y_g - x_g theta)`` of a partition; G - 1 degrees of freedom.
        """
        change_GDO = np.stack([self._score_effect(p.moments) for p in partitions])
        g, n = len(partitions), self.moments.rows
        scale = g / (g - 1) * (n - 1) / self.degrees
        return np.asarray(np.sqrt(scale * (change_GDO**2).sum(axis=0)))

    def _score_effect(self, partition: Moments) -> Float:
        """What a partition's score does to the parameters, shape (D, O): ``B s_g``, from the partition's own factor."""
        f, solution = self.features, self.moments.solve()
        root_KK = partition.at(np.concatenate([solution.mean_F, solution.bias_O]))
        residual_KO = root_KK[:, f + 1 :] - root_KK[:, 1 : f + 1] @ solution.weight_OF.T
        score_DO = root_KK[:, : f + 1].T @ residual_KO
        half_FO = solve_triangular(self.factor_FF, score_DO[1:], trans="T")
        slopes_FO = solve_triangular(self.factor_FF, half_FO)
        nothing = np.nan if not self.moments.intercept else 0.0
        return np.vstack([score_DO[:1] / self.moments.weight - solution.mean_F @ slopes_FO + nothing, slopes_FO])


def spans_constant(moments: Moments) -> bool:
    """Whether the model's columns hold a constant: the intercept, or features that add up to one."""
    if moments.intercept:
        return True
    columns = moments.at(np.zeros_like(moments.shift_P))[:, [*range(1, 1 + len(moments.features)), 0]]
    factor_DD: Float = np.asarray(np.linalg.qr(columns, mode="r"))
    return bool(abs(factor_DD[-1, -1]) <= 1e-10 * np.sqrt(moments.weight))


def excess_O(model: LinearModel, moments: Moments) -> Float:
    """The model's residual sum of squares above the optimum's, a target: ``sum(w) d_mean^2 + |R d|^2``."""
    f, solution = len(moments.features), moments.solve()
    off_FO = (model.weight_OF - solution.weight_OF).T
    off_mean_O = model.predict(solution.mean_F[None])[0] - solution.bias_O
    spread_FO = moments.equations.centred_PP[:f, :f] @ off_FO
    return np.asarray(moments.weight * off_mean_O**2 + (spread_FO**2).sum(axis=0))


def distance(model: LinearModel, moments: Moments) -> float:
    """How many standard errors the model is from the optimum: the most of any parameter or prediction of any target.

    Over all combinations c of a target's parameters, the largest ``|c'd| / se(c'd)`` is ``sqrt(excess RSS) / s``.

    Source: Scheffé 1953.
    """
    return float((np.sqrt(excess_O(model, moments)) / StandardErrors(moments).deviation_O).max())


def difference_errors(a: StandardErrors, b: StandardErrors, shared: Literal["nested", "apart"] | float) -> Float:
    """How far the optimum moves by chance from one record of the same columns to another, intercept first.

    Args:
        shared: which rows are common to both:

            - ``"nested"``: all rows of one are in the other too. ``var = s2 (V_small - V_large)``, s2 the noise of the
              larger one: what the common rows say cancels.
            - ``"apart"``: none. ``var = var_a + var_b``, each with its own noise.
            - a number: the weight of the common rows. ``var = var_a + var_b - 2 r se_a se_b``, with
              ``r = weight / sqrt(weight_a weight_b)``, as if they were spread like the others.

    Returns:
        standard errors, shape (D, O); NaN where both rest on the same rows.

    Raises:
        ValueError: the weight is below 0, or more than one of the records has.
    """
    if shared == "nested":
        small, large = sorted((a, b), key=lambda p: p.moments.weight)
        square_DO = (small.error_DO / small.deviation_O) ** 2 - (large.error_DO / large.deviation_O) ** 2
        return _root(square_DO * large.deviation_O**2, small)
    weights = a.moments.weight, b.moments.weight
    common = 0.0 if shared == "apart" else float(shared)
    if not 0 <= common <= min(weights) * (1 + 1e-9):
        raise ValueError(f"a weight of {common} cannot be common to records of weight {weights[0]} and {weights[1]}")
    crossed_DO = common / np.sqrt(weights[0] * weights[1]) * a.error_DO * b.error_DO
    return _root(a.error_DO**2 + b.error_DO**2 - 2 * crossed_DO, a)


def _root(square_DO: Float, beside: StandardErrors) -> Float:
    """The root; NaN of what is rounding beside that precision's variance."""
    return np.sqrt(np.where(square_DO > 1e-9 * beside.error_DO**2, square_DO, np.nan))
