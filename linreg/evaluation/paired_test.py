"""How much smaller one model's loss is than another's on the same rows, and how sure that is.

The paired difference of the losses is averaged, and a t interval says how far the average may be off. What counts as
one observation is the row; with 30 partitions or more it is the partition, since rows of one day or one file depend on
each other, and an interval that takes them as independent is too short.

Shapes: N rows, T comparisons at once (over all targets, and each target).

Source: Cochran 1977, Sampling Techniques, chapter 6 (the variance of a ratio of two sums) and chapter 9A (clusters);
Kish 1965, Survey Sampling (the effective number).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from linreg.metrics import Float
from linreg.sampling import FEWEST_PARTITIONS, quantile

CONFIDENCE = 0.95


@dataclass(frozen=True)
class LossReduction:
    """What was gained, as shares of the old loss: above 0 the new model is better.

    Args:
        old_T: the old model's mean loss.
        gain_T: the gain; where the old loss is 0 it is 0 or, if the new one is not, minus infinity.
        half_T: half the width of its 95% interval; infinite where too few rows say anything.
        rows: how many were compared.
        effective: how many observations of equal weight they are worth.
        partitions: how many there are, where the partition is the observation; 0 where the row is.
    """

    old_T: Float
    gain_T: Float
    half_T: Float
    rows: int
    effective: float
    partitions: int

    @property
    def low_T(self) -> Float:
        """The lower ends of the intervals."""
        return self.gain_T - self.half_T

    @property
    def high_T(self) -> Float:
        """The upper ends."""
        return self.gain_T + self.half_T


def loss_reduction(
    new_NT: Float, old_NT: Float, *, weight_N: Float | None = None, counts: Sequence[int] = ()
) -> LossReduction:
    """Compare losses, row by row.

    Args:
        new_NT, old_NT: of each row under either model.
        weight_N: how much each row counts; None: all the same.
        counts: how many of the rows, in their order, each partition has; empty: they are not parted.
    """
    w_N = np.ones(len(new_NT)) if weight_N is None else weight_N / weight_N.max()  # squared below: no size matters
    old_T, gain_T = (np.average(x, axis=0, weights=w_N) for x in (old_NT, old_NT - new_NT))
    deviation_NT = (w_N / w_N.sum())[:, None] * (old_NT - new_NT - gain_T)
    parts = [c for c in counts if c]
    clustered = len(parts) >= FEWEST_PARTITIONS
    if clustered:
        starts = np.cumsum([0, *parts[:-1]])
        deviation_NT, w_N = np.add.reduceat(deviation_NT, starts), np.add.reduceat(w_N, starts)
    n = effective(w_N)
    half_T = _half_width(deviation_NT, n)
    positive_T = old_T > 0
    scale_T = np.where(positive_T, old_T, 1.0)
    gain_T = np.where(positive_T | (gain_T >= 0), gain_T / scale_T, -np.inf)
    half_T = np.where(positive_T, half_T / scale_T, 0.0)
    return LossReduction(old_T, gain_T, half_T, len(new_NT), n, len(parts) if clustered else 0)


def effective(w_N: Float) -> float:
    """How many equal rows say as much: N where all weigh the same, near 1 where one has all the weight."""
    return float(w_N.sum() ** 2 / (w_N @ w_N))


def _half_width(deviation_NT: Float, n: float) -> Float:
    """Half the t interval of a weighted mean; with equal weights the textbook's ``t s / sqrt(n)``.

    Args:
        deviation_NT: each observation's share in the mean's distance from the truth.
        n: the effective number of observations.
    """
    if n < 2:
        return np.full(deviation_NT.shape[1], np.inf)
    return np.asarray(quantile(CONFIDENCE, n - 1) * np.sqrt((deviation_NT**2).sum(axis=0) * n / (n - 1)))
