"""What is usual among groups that differ from each other: the mean of their means, and how far apart the true ones are.

Of group g an estimate y_g is known, with the variance v_g that its own rows leave in it. The true values lie about a
centre with a variance ``between``, so that y_g has the variance ``v_g + between``. It is the one at which

    sum a_g (y_g - centre)^2 = its expectation,      a_g = 1 / (v_g + between), centre = sum a_g y_g / sum a_g

so a tiny group neither hides nor invents differences. With groups of one size, ``between + v`` is the groups' plain
variance s^2, and a further group of that size is expected within ``s sqrt(1 + 1/G)`` of the centre.

Shapes: G groups, n further groups, M quantities.

Source: Paule and Mandel 1982; DerSimonian and Kacker 2007 (a few rounds are enough); Higgins, Thompson and
Spiegelhalter 2009 (the prediction of a further group).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linreg.metrics import Float

ROUNDS = 4  # with plain weights first; from the third on nothing moves by a tenth
_BLOCK = 2**17  # numbers that are worked on at once


@dataclass(frozen=True)
class GroupEffects:
    """How M quantities lie among groups; NaN where no group tells.

    Args:
        count_M: groups that tell.
        centre_M: the mean of the true values.
        between_M: their variance among groups, at least 0.
        error_M: the variance of the centre's own estimate.
    """

    count_M: npt.NDArray[np.int64]
    centre_M: Float
    between_M: Float
    error_M: Float


def estimate(value_GM: Float, variance_GM: Float) -> GroupEffects:
    """Estimate centre and variance among the groups.

    Args:
        value_GM: the groups' estimates; NaN where a group does not tell.
        variance_GM: what their own rows leave in them; it broadcasts.
    """
    variance_GM = np.broadcast_to(variance_GM, value_GM.shape)
    step = max(1, _BLOCK // max(1, len(value_GM)))
    starts = range(0, max(1, value_GM.shape[1]), step)
    parts = [_estimate(value_GM[:, i : i + step], variance_GM[:, i : i + step]) for i in starts]
    return GroupEffects(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _estimate(value_GM: Float, variance_GM: Float) -> tuple[npt.NDArray[np.int64], Float, Float, Float]:
    present_GM = np.isfinite(value_GM)
    count_M = present_GM.sum(axis=0)
    y_GM, v_GM = (np.where(present_GM, part, 0.0) for part in (value_GM, variance_GM))
    a_GM = present_GM.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):  # no group, or one: NaN, and the count says why
        for _ in range(ROUNDS):
            sum_M, square_M = a_GM.sum(axis=0), (a_GM**2).sum(axis=0)
            scatter_M = (a_GM * (y_GM - (a_GM * y_GM).sum(axis=0) / sum_M) ** 2).sum(axis=0)
            expected_M = (a_GM * v_GM).sum(axis=0) - (a_GM**2 * v_GM).sum(axis=0) / sum_M
            between_M = np.maximum(0.0, (scatter_M - expected_M) / (sum_M - square_M / sum_M))
            total_GM = v_GM + between_M
            a_GM = present_GM / np.where(total_GM > 0, total_GM, 1.0)
        sum_M = a_GM.sum(axis=0)
        identical_M = (present_GM & (total_GM > 0)).sum(axis=0) == 0  # all alike, to the bit
        return count_M, (a_GM * y_GM).sum(axis=0) / sum_M, between_M, np.where(identical_M, 0.0, 1 / sum_M)
