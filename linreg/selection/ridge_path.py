"""The ridge path: the k-fold error and the degrees of freedom at every weight decay, from fold records.

With a free bias the optimum of ``MSE + (d / 2) |W|^2`` is that of the centred columns. Let ``R = U S V'`` be the
centred features' factor in trained coordinates, scaled so that ``S^2`` are the Hessian's eigenvalues, and Y the
targets' part; then

    W'(d) = V diag(s / (s^2 + d)) U' Y,        degrees of freedom(d) = 1 + sum s^2 / (s^2 + d),

so one decomposition a training part serves the whole grid. It reads no rows and trains nothing.

Shapes: G weight decays, K folds, F features, O targets.

Source: Hoerl and Kennard 1970; The Elements of Statistical Learning, 3.4.1 and 7.10 (one-standard-error rule).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.linalg import qr
from scipy.optimize import brentq

from linreg.errors import UserError
from linreg.metrics import Float
from linreg.moments.moments import Moments, merge
from linreg.selection.folds import Pair, fold_mean, parts, root_error, squared_errors
from linreg.threads import one_thread

POINTS = 30  # of the grid, beside no weight decay at all


@dataclass(frozen=True)
class RidgePath:
    """The k-fold error along a grid of weight decays.

    Args:
        weight_decay_G: the grid, ascending.
        degrees_G: effective degrees of freedom a target, bias included: the trace of the hat matrix of all rows.
        weight_K: of the folds' rows.
        error_KGO: mean squared error on each fold, in the targets' units squared.
    """

    weight_decay_G: Float
    degrees_G: Float
    weight_K: Float
    error_KGO: Float

    @cached_property
    def _summary(self) -> tuple[Float, Float]:
        return fold_mean(self.error_KGO.mean(axis=2), self.weight_K)

    @property
    def mse_G(self) -> Float:
        """The mean squared error over all rows and targets."""
        return self._summary[0]

    @property
    def standard_error_G(self) -> Float:
        """Of ``mse_G``, over folds; see ``folds.FoldErrors``."""
        return self._summary[1]

    @property
    def rmse_G(self) -> Float:
        """In the targets' units."""
        return np.sqrt(self.mse_G)

    @property
    def rmse_standard_error_G(self) -> Float:
        """Of ``rmse_G``, to first order."""
        return root_error(self.mse_G, self.standard_error_G)

    @property
    def best(self) -> int:
        """The grid point with the smallest error."""
        return int(np.argmin(self.mse_G))

    @property
    def within(self) -> int:
        """The grid point of the largest weight decay whose error is within one standard error of the best."""
        return int(np.flatnonzero(self.mse_G <= self.mse_G[self.best] + self.standard_error_G[self.best])[-1])

    def index(self, weight_decay: float) -> int:
        """The grid point nearest to a weight decay; its own where it is on the grid."""
        return int(np.argmin(np.abs(self.weight_decay_G - weight_decay)))


@dataclass(frozen=True)
class _Spectrum:
    """The centred features of a record, taken apart: singular values s_F, U' Y, and V in the data's own units."""

    s_F: Float
    along_FO: Float
    basis_FF: Float

    @classmethod
    def of(cls, moments: Moments, *, standardize: bool) -> "_Spectrum":
        f, o = len(moments.features), len(moments.targets)
        moments = moments.equations
        spread = moments.spread_P[:f]
        scale = np.where(spread > 0, spread, 1.0) if standardize else np.ones(f)
        r_FP = moments.centred_PP[:f] * np.sqrt(2 / (moments.weight * o))
        s, u, v = _graded_svd(np.where(spread > 0, r_FP[:, :f] / scale, 0.0))
        return cls(s, u.T @ r_FP[:, f:], v / scale[:, None])

    def weights(self, weight_decay_G: Float) -> Float:
        """The optimum's slopes at each positive weight decay, shape (F, G, O), in the data's own units."""
        shrunk = self.s_F[:, None] / (self.s_F[:, None] ** 2 + weight_decay_G)
        f, g, o = *shrunk.shape, self.along_FO.shape[1]
        return (self.basis_FF @ (shrunk[:, :, None] * self.along_FO[:, None, :]).reshape(f, g * o)).reshape(f, g, o)


def ridge_path(
    folds: Sequence[Moments], *, standardize: bool, weight_decays: Sequence[float] | None = None
) -> RidgePath:
    """The k-fold error of the trained objective's exact optimum at each weight decay.

    Args:
        folds: the record of each fold.
        standardize: weight decay acts on coefficients scaled by each training part's own spread.
        weight_decays: the grid; None: ``grid`` of all rows.

    Raises:
        UserError: the folds cannot validate, or a weight decay is below 0.
    """
    with one_thread():  # small factors: a second thread only waits, and moves the bits
        value_F = eigenvalues(merge(folds), standardize=standardize)
        return path_of(parts(folds), value_F, grid(value_F) if weight_decays is None else weight_decays, standardize)


def path_of(pairs: Sequence[Pair], value_F: Float, weight_decays: npt.ArrayLike, standardize: bool) -> RidgePath:
    """The path from the records of ``parts`` and the ``eigenvalues`` of all rows, where they are at hand.

    Raises:
        UserError: a weight decay is below 0.
    """
    decays = np.unique(np.asarray(weight_decays, dtype=np.float64))
    if decays[0] < 0:
        raise UserError(f"weight decay {decays[0]:g} is below 0: leave it out")
    errors = [_errors(train, test, decays, standardize=standardize) for train, test in pairs]
    weight_K = np.array([test.weight for _, test in pairs])
    degrees_G = degrees_of_freedom(value_F, decays) - (not pairs[0][0].intercept)
    return RidgePath(decays, degrees_G, weight_K, np.stack(errors))


def grid(value_F: Float) -> Float:
    """The default grid: no weight decay, then ``POINTS`` in equal ratios, chosen by what they leave free.

    The first is a hundredth of the Hessian's smallest eigenvalue and shrinks no direction by more than a hundredth; at
    the last, half a degree of freedom is left beside the bias.

    Args:
        value_F: as from ``eigenvalues``, largest first.
    """
    if not len(value_F):
        return np.zeros(1)

    def left(log: float) -> float:
        return float((value_F / (value_F + np.exp(log))).sum()) - 0.5

    # at the smallest eigenvalue half of at least one direction is left; at 2 F times the largest, at most half in all
    ends = np.log(value_F[-1]), np.log(value_F[0] * 2 * len(value_F))
    top = np.exp(brentq(left, *ends)) if left(ends[0]) > 0 else value_F[-1]
    return np.concatenate([[0.0], np.geomspace(value_F[-1] / 100, top, POINTS)])


def degrees_of_freedom(value_F: Float, weight_decay_G: Float) -> Float:
    """The trace of the hat matrix at each weight decay, bias included; shape (G,)."""
    return np.asarray(1 + (value_F[:, None] / (value_F[:, None] + weight_decay_G)).sum(axis=0))


def eigenvalues(moments: Moments, *, standardize: bool) -> Float:
    """Of the Hessian of the centred features, largest first; as many as the features' rank, so none is 0."""
    value_F = _Spectrum.of(moments, standardize=standardize).s_F[: moments.solve().rank] ** 2
    return value_F[value_F > 0]


def _errors(train: Moments, test: Moments, weight_decay_G: Float, *, standardize: bool) -> Float:
    """The mean squared errors on one fold, shape (G, O)."""
    solution, decays = train.solve(), weight_decay_G > 0
    weight_FGO = np.empty((len(train.features), len(weight_decay_G), len(train.targets)))
    # without a penalty the solution is the record's own: it knows which directions are nothing
    weight_FGO[:, ~decays] = solution.weight_OF.T[:, None, :]
    weight_FGO[:, decays] = _Spectrum.of(train, standardize=standardize).weights(weight_decay_G[decays])
    return squared_errors(test, solution.mean_F, solution.bias_O, weight_FGO)


def _graded_svd(r_FF: Float) -> tuple[Float, Float, Float]:
    """Singular values, left and right vectors (one a column), small ones right however different the columns' sizes.

    Two QR decompositions, the first with pivots, bring the scales into order first, for as much time again; without
    them, columns from 1e-6 to 1e9 left 4 digits.

    Source: Drmac and Veselic 2008 (the preconditioning of one-sided Jacobi).
    """
    q, r, pivots = qr(r_FF, pivoting=True)
    q2, lower = np.linalg.qr(r.T)
    u, s, vt = np.linalg.svd(lower)
    v = np.empty_like(q2)
    v[pivots] = q2 @ u
    return s, q @ vt.T, v
