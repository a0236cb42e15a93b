"""Full-batch descents of several models side by side: in the Hessian's eigenbasis each direction goes its own way.

With ``d = V' (theta - optimum)`` an epoch of ``torch.optim.SGD`` is, in a direction of eigenvalue l,

    v <- momentum v + (1 - dampening) l d
    d <- d - rate v                                  Nesterov: d - rate (l d + momentum v)

so it multiplies (d, v) by a 2 x 2 matrix, and epochs of one rate multiply it by the powers. The first v is such that
after the first epoch v is the gradient, as in torch. All targets' (d, v) are multiples of the d that they start with:
these two factors a direction are the state, and the loss over its optimum is

    excess = 1/2 sum_d l_d factor_d^2 sum_o d_do^2.

With an L1 penalty the iteration is proximal gradient descent: a plain update, then every weight goes ``rate l1`` nearer
to zero, or there; the bias stays. It has no closed form and is walked in the parameters themselves.

Shapes: E epochs, the one before them at index 0; K models, F features, D = F + 1, O targets; axes of 2 are (d, v).

Source: Polyak 1964; Sutskever et al. 2013 (Nesterov as in torch); Daubechies, Defrise and De Mol 2004 (L1).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from linreg.config import TrainConfig
from linreg.least_squares.objective import Objective
from linreg.metrics import Float
from linreg.training.descent import Descent, rate_of

Arrays = Mapping[str, Float]
CHUNK = 256  # epochs that are walked at once, where it is not known how many there will be


@dataclass(frozen=True)
class FullBatchDescent(Descent):
    """The hyperparameters of a descent over full batches.

    Args:
        l1: the penalty on the absolute weights; without momentum.
    """

    l1: float = 0.0


Settings = TrainConfig | FullBatchDescent


@dataclass(frozen=True)
class Chunk:
    """K models after each of some epochs, and before them.

    Args:
        excess_KE: the losses over their optima, in the targets' units squared.
        state: of a model after an epoch; after several epochs with one more axis in front.
    """

    excess_KE: Float
    state: Callable[[int, Any], Arrays]


def begin(objective: Objective, settings: Settings, theta_DO: Float) -> Arrays:
    """The state before the first epoch."""
    if settings.l1:
        return {"theta": theta_DO}
    return {
        "deviation": deviation(objective, theta_DO),
        "factor": _first_factors(objective.eigenvalues_D, settings),
    }


def parameters(objective: Objective, state: Arrays) -> Float:
    """The parameters of a state of ``Chunk``, shape (..., D, O)."""
    if "theta" in state:
        return state["theta"].copy()
    deviation_XDO = state["factor"][0, ..., None] * state["deviation"]
    return np.asarray(objective.optimum_DO + objective.basis_DD @ deviation_XDO)


def walk(
    objectives: Sequence[Objective], settings: Sequence[Settings], states: Sequence[Arrays], *, done: int, epochs: int
) -> Chunk:
    """So many epochs of K models after those that are ``done``; all with an L1 penalty, or none."""
    rate_EK = np.empty((epochs, len(settings)))
    for k, own in enumerate(settings):
        constant = own.schedule == "constant"
        rate_EK[:, k] = own.learning_rate if constant else [rate_of(own, done + 1 + e) for e in range(epochs)]
    return (_walk_proximal if settings[0].l1 else _walk_smooth)(objectives, settings, states, rate_EK)


def deviation(objective: Objective, theta_DO: Float) -> Float:
    """How far parameters are from the optimum, in the eigenbasis."""
    return np.asarray(objective.basis_DD.T @ (theta_DO - objective.optimum_DO))


def factors_after(value_D: Float, settings: Settings) -> Callable[[int], Float]:
    """What any number of epochs at a constant rate without L1 multiplies the deviation by, shape (D,)."""
    kind = settings.momentum, settings.dampening, settings.nesterov
    matrix_D22 = np.moveaxis(_epoch_matrix(value_D, settings.learning_rate, *kind), -1, 0)
    first_D2 = _first_factors(value_D, settings).T
    return lambda epochs: np.asarray((np.linalg.matrix_power(matrix_D22, epochs)[:, 0] * first_D2).sum(axis=1))


def _first_factors(value_D: Float, settings: Settings) -> Float:
    """(d, v) before the first epoch for a d of 1: after it v is ``l d``, whatever the dampening."""
    held = settings.dampening / settings.momentum if settings.momentum else 0.0
    return np.stack([np.ones_like(value_D), held * value_D])


def _epoch_matrix(value: Float, rate: Any, momentum: Any, dampening: Any, nesterov: Any) -> Float:
    """What an epoch multiplies (d, v) by, shape (2, 2, ...); the arguments are broadcast."""
    value, rate, momentum, dampening, nesterov = np.broadcast_arrays(value, rate, momentum, dampening, nesterov)
    velocity = np.stack([np.where(momentum > 0, 1 - dampening, 1.0) * value, momentum])
    ahead = np.stack([value, np.zeros_like(value)]) + momentum * velocity
    moved = -rate * np.where(nesterov, ahead, velocity)
    moved[0] += 1
    return np.stack([moved, velocity])


def _times(matrix_22X: Float, right_2EX: Float) -> Float:
    """The matrices' products, each direction by itself."""
    return np.asarray(np.einsum("ij...,je...->ie...", matrix_22X, right_2EX))


def _powers(matrix_22KD: Float, factor_21KD: Float, epochs: int) -> Float:
    """The factors after 1, 2, ... epochs of one matrix, by doubling."""
    factor_2EKD = _times(matrix_22KD, factor_21KD)
    while factor_2EKD.shape[1] < epochs:
        factor_2EKD = np.concatenate([factor_2EKD, _times(matrix_22KD, factor_2EKD)], axis=1)
        matrix_22KD = _times(matrix_22KD, matrix_22KD)
    return factor_2EKD[:, :epochs]


def _walk_smooth(
    objectives: Sequence[Objective], settings: Sequence[Settings], states: Sequence[Arrays], rate_EK: Float
) -> Chunk:
    value_KD = np.stack([o.eigenvalues_D for o in objectives])
    kinds = (np.array([getattr(s, key) for s in settings])[:, None] for key in ("momentum", "dampening", "nesterov"))
    changes_R = np.flatnonzero(np.append(True, (rate_EK[1:] != rate_EK[:-1]).any(axis=1)))  # rates hold in between
    matrix_22RKD = _epoch_matrix(value_KD, rate_EK[changes_R, :, None], *kinds)
    runs = [np.stack([s["factor"] for s in states], axis=1)[:, None]]
    for r, epochs in enumerate(np.diff(changes_R, append=len(rate_EK))):
        runs.append(_powers(matrix_22RKD[:, :, r], runs[-1][:, -1:], int(epochs)))
    factor_2EKD = np.concatenate(runs, axis=1)
    share_KD = 0.5 * value_KD * np.stack([(s["deviation"] ** 2).sum(axis=1) for s in states])
    excess_KE = np.einsum("ekd,kd->ke", factor_2EKD[0] ** 2, share_KD)
    return Chunk(
        excess_KE, lambda k, epochs: {"deviation": states[k]["deviation"], "factor": factor_2EKD[:, epochs, k].copy()}
    )


def _walk_proximal(
    objectives: Sequence[Objective], settings: Sequence[Settings], states: Sequence[Arrays], rate_EK: Float
) -> Chunk:
    hessian_KDD = np.stack([o.basis_DD * o.eigenvalues_D @ o.basis_DD.T for o in objectives])
    smooth_KDO = np.stack([o.smooth_DO for o in objectives])
    l1_K = np.array([s.l1 for s in settings])
    path = [np.stack([s["theta"] for s in states])]
    for rate_K in rate_EK:
        moved = path[-1] - rate_K[:, None, None] * (hessian_KDD @ (path[-1] - smooth_KDO))
        weight = moved[:, 1:]
        weight[:] = np.sign(weight) * np.maximum(np.abs(weight) - (rate_K * l1_K)[:, None, None], 0.0)
        path.append(moved)
    theta_KEDO = np.stack(path, axis=1)
    excess_KE = np.stack([o.excess_losses(theta_EDO) for o, theta_EDO in zip(objectives, theta_KEDO, strict=True)])
    return Chunk(excess_KE, lambda k, epochs: {"theta": theta_KEDO[k, epochs].copy()})
