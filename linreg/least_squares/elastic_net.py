"""The optimum of least squares with an L1 penalty, from the triangular factor: exact, not a descent.

For one target it minimises ``|A (w - w_smooth)|^2 + sum(strength |w|)``, A the upper triangular factor of the centred
columns (ridge rows included) and ``w_smooth`` the optimum without the L1 penalty. Which weights are zero and which sign
the others have is searched for; given that, the optimum is the solution of one linear system, so the answer has the
digits of a least-squares solution, however bad the condition. A few sweeps of coordinate descent make the first guess.

Shapes: F features, O targets, S active features. It opens nothing and trains nothing.

Source: Lee, Battle, Raina and Ng 2006, "Efficient sparse coding algorithms" (feature-sign search); Friedman, Hastie and
Tibshirani 2010 (coordinate descent).
"""

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from linreg.metrics import Float

_SWEEPS = 50  # of coordinate descent, for the first guess
_ROUNDING = 64 * float(np.finfo(float).eps)


def l1_optimum(factor_FF: Float, smooth_FO: Float, strength: float) -> Float:
    """The weights that minimise ``|A (W - W_smooth)|^2 + strength |W|_1``, each target by itself.

    Args:
        factor_FF: A, upper triangular.
        smooth_FO: the optimum without the penalty.
        strength: of the penalty, above 0.

    Returns:
        weights of shape (F, O), with exact zeros.
    """
    norm_F = np.linalg.norm(factor_FF, axis=0)
    scale_F = np.where(norm_F > 0, norm_F, 1.0)  # columns of norm 1, so that no unit of measurement decides
    a_FF = factor_FF / scale_F
    weights = [_target_optimum(a_FF, factor_FF @ w, strength / scale_F, norm_F > 0) for w in smooth_FO.T]
    return np.column_stack(weights) / scale_F[:, None]


def _target_optimum(a_FF: Float, y_F: Float, strength_F: Float, varies_F: npt.NDArray[np.bool_]) -> Float:
    """Feature-sign search for one target: minimise ``|A w_F - y|^2 + sum(strength |w_F|)``."""
    w_F = _coordinate_descent(a_FF, y_F, strength_F, varies_F)
    slack_F = _ROUNDING * (np.linalg.norm(y_F) + strength_F)
    for _ in range(100 + 10 * len(w_F)):
        w_F = _active_optimum(a_FF, y_F, strength_F, w_F)
        pull_F = np.abs(_gradient(a_FF, y_F, w_F)) - strength_F
        pull_F[(w_F != 0) | ~varies_F] = -np.inf
        nearest = int(np.argmax(pull_F))
        if pull_F[nearest] <= slack_F[nearest]:
            return w_F
        w_F = _activated(a_FF, y_F, strength_F, w_F, nearest)
    raise AssertionError("the search for the L1 optimum did not end")


def _gradient(a_FF: Float, y_F: Float, w_F: Float) -> Float:
    return np.asarray(2 * a_FF.T @ (a_FF @ w_F - y_F))


def _coordinate_descent(a_FF: Float, y_F: Float, strength_F: Float, varies_F: npt.NDArray[np.bool_]) -> Float:
    """Coordinate descent from zero: cheap, and near enough to guess most signs."""
    w, residual = np.zeros(len(y_F)), y_F.copy()
    for _ in range(_SWEEPS):
        before = w.copy()
        for j in np.flatnonzero(varies_F):
            along = a_FF[:, j] @ residual + w[j]
            new = np.sign(along) * max(abs(along) - strength_F[j] / 2, 0.0)
            if new != w[j]:
                residual += a_FF[:, j] * (w[j] - new)
                w[j] = new
        if np.abs(w - before).max(initial=0.0) <= 1e-14 * np.abs(w).max(initial=0.0):
            break
    return w


def _activated(a_FF: Float, y_F: Float, strength_F: Float, w_F: Float, j: int) -> Float:
    """The zero weight ``j`` moved to its own minimum, all others held: the loss falls, and its sign is known."""
    w = w_F.copy()
    along = a_FF[:, j] @ (y_F - a_FF @ w)
    w[j] = np.sign(along) * max(abs(along) - strength_F[j] / 2, 0.0)
    return w


def _active_optimum(a_FF: Float, y_F: Float, strength_F: Float, w_F: Float) -> Float:
    """The optimum over the weights that are not zero: signs fixed, solved, and cut back at the first that turns."""
    w = w_F
    for _ in range(10 + 4 * len(w)):
        active = np.flatnonzero(w)
        if not active.size:
            return w
        q, r = np.linalg.qr(a_FF[:, active])
        tied = np.flatnonzero(np.abs(np.diag(r)) <= _ROUNDING)
        if tied.size:
            w = _without_tie(w, active, r, int(tied[0]), strength_F)
            continue
        pull = strength_F[active] * np.sign(w[active]) / 2
        solved = np.zeros_like(w)  # the zero of the gradient, signs given: A'A w = A'y - pull
        solved[active] = solve_triangular(r, q.T @ y_F - solve_triangular(r, pull, trans="T"))
        if (np.sign(solved[active]) == np.sign(w[active])).all():
            return solved
        w = _lowest_point(a_FF, y_F, strength_F, w, solved)
    raise AssertionError("the search for the L1 optimum did not settle")


def _without_tie(w_F: Float, active: npt.NDArray[np.intp], r_SS: Float, j: int, strength_F: Float) -> Float:
    """Active column ``j`` is a sum of those before it: one weight goes to zero, predictions stay, nothing is dearer."""
    along = np.zeros_like(w_F)
    along[active[:j]] = -solve_triangular(r_SS[:j, :j], r_SS[:j, j])
    along[active[j]] = 1.0
    if strength_F @ (np.sign(w_F) * along) > 0:
        along = -along
    meets = np.flatnonzero(w_F * along < 0)
    if not meets.size:  # the penalty is flat that way: the other direction meets zero
        along, meets = -along, np.flatnonzero(w_F * along > 0)
    steps = -w_F[meets] / along[meets]
    w = w_F + steps.min() * along
    w[meets[np.argmin(steps)]] = 0.0
    return np.where(np.sign(w) == np.sign(w_F), w, 0.0)


def _lowest_point(a_FF: Float, y_F: Float, strength_F: Float, w_F: Float, to_F: Float) -> Float:
    """The lowest point of those on the way from ``w`` to ``to`` where a weight becomes zero, and of ``to`` itself."""
    turning = np.flatnonzero(np.sign(to_F) != np.sign(w_F))
    points = [to_F]
    for j in turning:
        step = w_F[j] / (w_F[j] - to_F[j])
        point = w_F + step * (to_F - w_F)
        point[j] = 0.0
        points.append(point)
    losses = [float(((a_FF @ p - y_F) ** 2).sum() + strength_F @ np.abs(p)) for p in points]
    return points[int(np.argmin(losses))]
