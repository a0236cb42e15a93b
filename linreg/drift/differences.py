"""Differences of new groups from known ones, with their standard errors, and what is shown of them.

The arithmetic that means, spreads and correlations share (``shifts``). Whatever is beyond measure is finite.

Shapes: n new records, k of them files and a further one all of these together; M quantities.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from linreg.drift.findings import LARGEST
from linreg.drift.random_effects import GroupEffects
from linreg.metrics import Float
from linreg.sampling import FEWEST_PARTITIONS

FEWEST_TELLING = FEWEST_PARTITIONS // 2  # of the known ones, for what small or constant partitions do not tell


class Shifts(NamedTuple):
    """Of each new record and quantity.

    Args:
        value_nM: how far, in standard errors; NaN where it cannot be told.
        size_nM: the effect, as in ``findings.Finding``.
        was_nM, now_nM: what it is compared with, and what it is.
        grouped_nM: whether the unit is the partition.
    """

    value_nM: Float
    size_nM: Float
    was_nM: Float
    now_nM: Float
    grouped_nM: npt.NDArray[np.bool_]

    def map(self, change: Callable[[Any], Any]) -> "Shifts":
        """The same change to each array."""
        return Shifts(*map(change, self))


class Differences(NamedTuple):
    """Differences, their standard errors, and what was compared with."""

    difference_nM: Float
    error_nM: Float
    centre_nM: Float

    @property
    def value_nM(self) -> Float:
        """In standard errors."""
        return safe_ratio(self.difference_nM, self.error_nM)


def compare_groups(
    value_nM: Float, own_nM: Float, effects: GroupEffects, files: int, limit_n1: Float | None = None
) -> Differences:
    """New groups beside what is usual, and the mean of all new ones, each weighing as much as it tells.

    Args:
        own_nM: the variance that their own rows leave; it broadcasts.
        files: how many of the n are groups; a further one stands for all together.
        limit_n1: the largest value that each can tell.
    """
    limit_k1 = np.full((files, 1), np.inf) if limit_n1 is None else limit_n1[:files]
    centre_kM = np.clip(effects.centre_M, -limit_k1, limit_k1)
    difference_kM = np.clip(value_nM[:files], -limit_k1, limit_k1) - centre_kM
    total_kM = np.zeros_like(difference_kM) + own_nM[:files] + effects.between_M
    parts = [(difference_kM, total_kM, centre_kM)]
    if len(value_nM) > files:
        parts.append(_combined(difference_kM, total_kM, centre_kM))
    difference_nM, total_nM, centre_nM = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Differences(difference_nM, np.sqrt(total_nM + effects.error_M), centre_nM)


def _combined(difference_kM: Float, total_kM: Float, centre_kM: Float) -> tuple[Float, Float, Float]:
    """The mean of several groups, weighing inversely to their variances: its difference, variance and centre."""
    present_kM = np.isfinite(difference_kM)
    least_M = np.where(present_kM, total_kM, np.inf).min(axis=0)
    weight_kM = np.where(present_kM, safe_ratio(least_M, total_kM, nothing=1.0), 0.0)  # at most 1
    share_kM = weight_kM / np.where(present_kM.any(axis=0), weight_kM.sum(axis=0), np.nan)
    parts_kM = (difference_kM, centre_kM)
    difference_M, centre_M = ((share_kM * np.nan_to_num(x)).sum(axis=0, keepdims=True) for x in parts_kM)
    return difference_M, (share_kM**2 * total_kM).sum(axis=0, keepdims=True), centre_M


def enough_groups(effects: GroupEffects) -> npt.NDArray[np.bool_]:
    """Of which quantities enough groups are known."""
    return effects.count_M >= FEWEST_TELLING


def choose_unit(grouped: npt.NDArray[np.bool_], by_group: Shifts, by_row: Shifts) -> Shifts:
    """By group where enough of them tell."""
    value, size, was, now = (np.where(grouped, a, b) for a, b in zip(by_group[:4], by_row[:4], strict=True))
    return Shifts(value, size, was, now, np.broadcast_to(grouped, value.shape))


def safe_ratio(numerator: Float, denominator: Float, *, nothing: float = 0.0) -> Float:
    """``numerator / denominator``, at most ``LARGEST``: what is beyond measure is finite. 0 / 0 is ``nothing``."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    unbounded = np.where(numerator == 0, nothing, np.sign(numerator) * LARGEST)
    with np.errstate(over="ignore"):
        return np.clip(np.divide(numerator, denominator, out=unbounded, where=denominator > 0), -LARGEST, LARGEST)
