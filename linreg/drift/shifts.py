"""How far new records are from what they are compared with, in standard errors: means, spreads and correlations.

What a standard error is depends on what is known. With 30 or more known partitions the unit is the partition: days
differ, so a new one is compared with what is usual among the known ones, and its error is

    sqrt(between + v / n + e)

``between`` the variance among the known ones beyond what their few rows explain, ``v / n`` what the new one's own rows
leave, ``e`` the error of the centre (``random_effects``); where all are of one size that is ``s sqrt(1 + 1/G)``.
Otherwise the unit is the row, as if rows were independent: of a mean ``s sqrt(1/n + 1/N)``. So it is too for a column
that stands still in a new partition and in no known one, however much its spread varies, and for what fewer than 15 of
the known ones can tell.

Spreads are compared by the cube root of their variances, which is nearly normal for few rows too; by the row a smaller
one by the variances themselves, ``(v - V) / (V sqrt(2/(n - 1) + 2/(N - 1)))``, the nearer of the two, since few rows of
a column with few values often stand still. Both are finite where a column became constant. Correlations are compared by
Fisher's z. The residuals of new rows are expected to be as large as the final prediction error of a model of D
parameters says, ``(N + D) / (N - D)`` times the mean square of the N that it learned from.

Shapes: n new records, all of them together the last where there are several; G known partitions; C = S + O columns and
residuals; M of any of these, or of pairs.

Source: Wilson and Hilferty 1931, Paulson 1942 (variances); Fisher 1921 (correlations); Akaike 1969 (prediction error).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from linreg.drift.column_stats import Scope, Stats, largest_z
from linreg.drift.differences import Differences, Shifts, choose_unit, compare_groups, enough_groups, safe_ratio
from linreg.drift.random_effects import estimate
from linreg.metrics import Float
from linreg.moments.deferred import PartitionMoments
from linreg.moments.moments import Moments
from linreg.moments.record_stack import merge_moments
from linreg.sampling import FEWEST_PARTITIONS

SMALL = 0.1  # the share of known partitions whose rows may be too few for the largest correlations


@dataclass(frozen=True)
class Comparison:
    """The numbers of all records, side by side.

    Args:
        reference: of the rows that the champion learned from, one record.
        new: of the new ones, and of all of them together where there are several.
        known: of the known ones.
        files: how many are new.
    """

    scope: Scope
    reference: Stats
    new: Stats
    known: Stats
    files: int

    @classmethod
    def of(
        cls, reference: Moments, new: Sequence[PartitionMoments], known: Sequence[PartitionMoments], scope: Scope
    ) -> "Comparison":
        """Of records that have rows; those of new ones are merged where they are of the same columns."""
        alike = len({(r.features, r.targets) for r in new}) == 1
        first: list[PartitionMoments] = [*new, merge_moments(new)] if len(new) > 1 and alike else [*new]
        stats = Stats.of([*first, *known], scope)
        n = len(first)
        return cls(scope, Stats.of([reference], scope), stats[:n], stats[n:], len(new))

    @property
    def by_group(self) -> bool:
        """Whether the known ones are enough."""
        return len(self.known.count_n) >= FEWEST_PARTITIONS

    @property
    def is_residual_C(self) -> npt.NDArray[np.bool_]:
        """Which of the columns are residuals."""
        return np.arange(self.reference.mean_nC.shape[1]) >= len(self.scope.columns)

    @property
    def degrees_C(self) -> Float:
        """Degrees of freedom of the expected variance."""
        n, d = self.reference.count_n[0], self.scope.parameters
        return np.asarray(np.where(self.is_residual_C, max(n - d, 1.0), n - 1))

    @cached_property
    def growth_C(self) -> Float:
        """How many times larger a variance is on new rows than, with n - 1, on those that the champion learned from."""
        n, d = self.reference.count_n[0], self.scope.parameters
        return np.where(self.is_residual_C, (n - 1) / n * (n + d) / max(n - d, 1.0), 1.0)

    @cached_property
    def expected_C(self) -> Float:
        """The variance that new rows are expected to have."""
        return np.asarray(self.reference.variance_nC[0] * self.growth_C)

    @cached_property
    def within_C(self) -> Float:
        """The variance of rows within the known partitions."""
        degrees_G = np.maximum(self.known.count_n - 1, 0.0)
        total_C = degrees_G @ np.nan_to_num(self.known.variance_nC)
        return np.asarray(total_C / max(degrees_G.sum(), 1.0) * self.growth_C)


def means(comparison: Comparison) -> Shifts:
    """Of columns and residuals; the size in spreads."""
    reference, new = comparison.reference, comparison.new
    rounding_nC = np.maximum(new.rounding_nC, reference.rounding_nC) ** 2
    own_nC = comparison.expected_C * (1 / new.count_n[:, None] + 1 / reference.count_n[0]) + rounding_nC
    difference_nC = new.mean_nC - reference.mean_nC
    centre_nC = np.zeros_like(difference_nC) + reference.mean_nC
    by_row = _mean_shifts(comparison, Differences(difference_nC, np.sqrt(own_nC), centre_nC))
    if not comparison.by_group:
        return by_row
    known = comparison.known
    effects = estimate(known.mean_nC, comparison.within_C / known.count_n[:, None] + known.rounding_nC**2)
    own_nC = comparison.within_C / new.count_n[:, None] + rounding_nC
    differences = compare_groups(new.mean_nC, own_nC, effects, comparison.files)
    return choose_unit(enough_groups(effects), _mean_shifts(comparison, differences), by_row)


def _mean_shifts(comparison: Comparison, differences: Differences) -> Shifts:
    origin_C = np.zeros(len(comparison.expected_C))
    origin_C[: len(comparison.scope.columns)] = comparison.scope.origin_S
    difference_nC, _, centre_nC = differences
    was_nC = origin_C + centre_nC
    size_nC = safe_ratio(difference_nC, np.sqrt(comparison.expected_C))
    return Shifts(differences.value_nM, size_nC, was_nC, was_nC + difference_nC, np.zeros(was_nC.shape, dtype=bool))


def spreads(comparison: Comparison) -> Shifts:
    """Of columns and residuals; the size is how many times as large."""
    by_row = _spreads_by_row(comparison)
    if not comparison.by_group:
        return by_row
    new, known = comparison.new, comparison.known
    unit_C = np.where(comparison.within_C > 0, comparison.within_C, comparison.expected_C)
    unit_C = np.where(unit_C > 0, unit_C, 1.0)
    level_GC, own_G1 = _level(known.variance_nC * comparison.growth_C / unit_C, known.count_n)
    level_nC, own_n1 = _level(new.variance_nC / unit_C, new.count_n)
    effects = estimate(level_GC, own_G1)
    differences = compare_groups(level_nC, own_n1, effects, comparison.files)
    difference_nC, _, centre_nC = differences
    was_nC, now_nC = (np.sqrt(unit_C * np.maximum(x, 0.0) ** 3) for x in (centre_nC, centre_nC + difference_nC))
    by_group = Shifts(differences.value_nM, safe_ratio(now_nC, was_nC, nothing=1.0), was_nC, now_nC, by_row.grouped_nM)
    constant_nC = (new.variance_nC == 0) & ~(known.variance_nC == 0).any(axis=0)
    return choose_unit(enough_groups(effects) & ~constant_nC, by_group, by_row)


def _spreads_by_row(comparison: Comparison) -> Shifts:
    new, expected_C = comparison.new, comparison.expected_C
    noise_n1, noise_C = _noise(new.count_n - 1)[:, None], _noise(comparison.degrees_C)
    root_nC, root_C = np.cbrt(new.variance_nC), np.cbrt(expected_C)
    difference_nC = (1 - noise_C) * root_nC - (1 - noise_n1) * root_C
    larger_nC = safe_ratio(difference_nC, np.sqrt(noise_C * root_nC**2 + noise_n1 * root_C**2))
    smaller_nC = safe_ratio(new.variance_nC - expected_C, expected_C * np.sqrt(9 * (noise_n1 + noise_C)))
    value_nC = np.where(new.variance_nC < expected_C, smaller_nC, larger_nC)
    now_nC = np.sqrt(new.variance_nC)
    was_nC = np.zeros_like(now_nC) + np.sqrt(expected_C)
    size_nC = safe_ratio(now_nC, was_nC, nothing=1.0)
    return Shifts(value_nC, size_nC, was_nC, now_nC, np.zeros(now_nC.shape, dtype=bool))


def _level(relative_nC: Float, count_n: Float) -> tuple[Float, Float]:
    """The cube root of relative variances, without its bias, and its own variance."""
    noise_n1 = _noise(count_n - 1)[:, None]
    return np.cbrt(relative_nC) / (1 - noise_n1), noise_n1 / (1 - noise_n1) ** 2


def _noise(degrees: Float) -> Float:
    """The variance of a cube root of a variance, relative to it: Wilson and Hilferty's 2 / (9 d)."""
    return np.asarray(2 / (9 * np.maximum(degrees, 1.0)))


def correlations(comparison: Comparison) -> Shifts:
    """Of all pairs; the size is the change."""
    reference, new = comparison.reference, comparison.new
    limit_n1 = largest_z(np.minimum(new.count_n, reference.count_n[0]))[:, None]
    own_n1 = 1 / np.maximum(new.count_n - 3, 1.0)[:, None]
    centre_nM = np.clip(reference.z_nM, -limit_n1, limit_n1)
    error_n1 = np.sqrt(own_n1 + 1 / max(reference.count_n[0] - 3, 1.0))
    by_row = _pair_shifts(Differences(np.clip(new.z_nM, -limit_n1, limit_n1) - centre_nM, error_n1, centre_nM))
    if not comparison.by_group:
        return by_row
    z_GM, highest = _comparable_z(comparison.known)
    effects = estimate(z_GM, 1 / np.maximum(comparison.known.count_n - 3, 1.0)[:, None])
    differences = compare_groups(
        new.z_nM, own_n1, effects, comparison.files, np.minimum(largest_z(new.count_n), highest)[:, None]
    )
    return choose_unit(enough_groups(effects), _pair_shifts(differences), by_row)


def _comparable_z(known: Stats) -> tuple[Float, float]:
    """z with one largest value for all, and that value; a small partition that cannot tell so much is left out."""
    limit_G1 = largest_z(known.count_n)[:, None]
    highest = float(np.quantile(limit_G1, SMALL))
    unsure_GM = (np.abs(known.z_nM) >= limit_G1 - 1e-9) & (limit_G1 < highest)
    return np.where(unsure_GM, np.nan, np.clip(known.z_nM, -highest, highest)), highest


def _pair_shifts(differences: Differences) -> Shifts:
    was_nM, now_nM = np.tanh(differences.centre_nM), np.tanh(differences.centre_nM + differences.difference_nM)
    return Shifts(differences.value_nM, now_nM - was_nM, was_nM, now_nM, np.zeros(was_nM.shape, dtype=bool))


def worst_of(shifts: Shifts, scope: Scope) -> tuple[Shifts, list[list[tuple[str, ...]]]]:
    """The largest shift of each record alone, and its pair."""
    n, m = shifts.value_nM.shape
    if not m:
        return shifts, [[]] * n
    worst_n = np.nan_to_num(np.abs(shifts.value_nM), nan=-1.0).argmax(axis=1)
    first, second = scope.pairs
    pairs: list[list[tuple[str, ...]]] = [[(scope.columns[first[k]], scope.columns[second[k]])] for k in worst_n]
    return shifts.map(lambda x: x[np.arange(n), worst_n][:, None]), pairs
