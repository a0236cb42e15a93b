"""The least-squares optimum of a record, and its rank: what the triangular factor of the centred columns says of it.

It reads no data and keeps nothing. Shapes: F features, O targets, P = F + O columns.

Source: Golub and Van Loan, Matrix Computations, 5.5 (rank deficiency) and 3.5 (estimating the condition).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linreg.metrics import Float

# Ulps of a column's norm that a factor may be off by: the compiled one takes up to 512 chunks of a leaf in turn, and
ROUNDING = 32  # about sqrt(512) add up (up to 17 were measured); leaves and merges add next to nothing


@dataclass(frozen=True)
class Solution:
    """The least-squares optimum of all targets.

    Args:
        weight_OF: slopes; where the rank is deficient, the smallest ones in units of each column's spread.
        bias_O: the prediction at the features' means.
        mean_F: those means.
        rank: of the centred features; F where nothing is deficient.
        deficient: the features that determine each other, or are constant.
        residual_O: weighted sum of squared residuals of each target.
    """

    weight_OF: Float
    bias_O: Float
    mean_F: Float
    rank: int
    deficient: tuple[str, ...]
    residual_O: Float


def of(features: Sequence[str], mean_P: Float, spread_P: Float, centred_PP: Float) -> Solution:
    """The optimum, by back substitution on the factor; by a truncated SVD where the rank is deficient.

    Args:
        mean_P, spread_P: the columns' means and population standard deviations.
        centred_PP: the factor of the centred columns, features first.
    """
    from scipy.linalg import solve_triangular  # a look-up solves nothing, and it takes a tenth of its time to load

    f = len(features)
    columns = _Columns(centred_PP[:f, :f], mean_P[:f], spread_P[:f])
    r_FO, corner_OO = centred_PP[:f, f:], centred_PP[f:, f:]
    residual_O, rank, deficient = (corner_OO**2).sum(axis=0), f, list[str]()
    if columns.are_clearly_independent() or (directions := columns.directions())[3].all():
        weight_FO = solve_triangular(columns.factor_FF, r_FO)
    else:
        u, s, vt, significant = directions
        along = u.T @ r_FO
        weight_FO = vt[significant].T @ (along[significant] / s[significant, None]) / columns.scale_F[:, None]
        residual_O = residual_O + (along[~significant] ** 2).sum(axis=0)
        in_null = np.abs(vt[~significant]).max(axis=0) > 1e-6
        deficient = [name for name, null in zip(features, in_null, strict=True) if null]
        rank = int(significant.sum())
    weight_OF = np.ascontiguousarray(weight_FO.T)
    return Solution(weight_OF, mean_P[f:], mean_P[:f], rank, tuple(deficient), residual_O)


@dataclass(frozen=True)
class _Columns:
    """The features: the factor of the centred ones, their means and spreads."""

    factor_FF: Float
    mean_F: Float
    spread_F: Float

    @property
    def scale_F(self) -> Float:
        """The norms of the centred columns, 1 where one is constant."""
        return np.where(self.spread_F > 0, np.linalg.norm(self.factor_FF, axis=0), 1.0)

    def are_clearly_independent(self) -> bool:
        """Whether no singular value can be nothing, by LAPACK's estimate of the smallest: of many columns much faster.

        The estimate may be some times too large: a thousandth of it is taken.
        """
        from scipy.linalg.lapack import dtrcon

        if (self.spread_F == 0).any() or not len(self.mean_F):
            return not len(self.mean_F)
        scaled_FF, f = self.factor_FF / self.scale_F, len(self.mean_F)
        reciprocal, _ = dtrcon(scaled_FF, norm="1")
        smallest = reciprocal * np.abs(scaled_FF).sum(axis=0).max() / np.sqrt(f) / 1000
        return bool(smallest > _tolerance(f, np.linalg.norm(self.mean_F / self.spread_F)))

    def directions(self) -> tuple[Float, Float, Float, npt.NDArray[np.bool_]]:
        """The SVD of the centred columns, each at norm 1, and which singular values are not nothing.

        Nothing is what rounding lets through along that direction: of the factor ``ROUNDING`` ulps, of the input an ulp
        of each value in it, relative to the column's spread.
        """
        constant = self.spread_F == 0
        u, s, vt = np.linalg.svd(np.where(constant, 0.0, self.factor_FF / self.scale_F))
        size = np.abs(self.mean_F) / np.where(constant, np.inf, self.spread_F)
        significant = s > _tolerance(len(size), np.linalg.norm(vt * size, axis=1))
        return u, s, vt, np.asarray(significant)


def _tolerance(features: int, size: npt.ArrayLike) -> Float:
    return np.asarray(np.finfo(float).eps * (max(features, ROUNDING) + 4 * np.asarray(size)))
