"""The record of rows with missing features, from which any filling-in can be had afterwards.

What a gap is filled with is known only when all files are read, so each column with gaps keeps its mask beside it: the
record is that of ``[1 | M | X - c | Y - c]``, M being 1 where X is missing and X - c being 0 there. Filling with v then
adds ``(v - c) M`` to the column: an operation on the factor alone. Records of other files, other gaps and other shifts
merge the same way, and nothing is subtracted.

Shapes: N rows, F features, O targets, G columns with gaps. It opens no files.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from linreg.errors import UserError
from linreg.moments import Float, Moments, factor, merge

_MASK = "\0missing "  # in front of a mask's name: no column of a file is called that


@dataclass(frozen=True)
class Gapped:
    """The record of some rows of which features may be missing.

    Args:
        moments: of ``[M | X | Y]``, the masks as further features in front.
        gaps: the G features that are missing somewhere, in the order of the features.
        missing: how many values are.
    """

    moments: Moments
    gaps: tuple[str, ...]
    missing: int

    @classmethod
    def of(
        cls,
        blocks: Iterable[Float],
        features: Sequence[str],
        targets: Sequence[str],
        *,
        weights: Iterable[Float] | None = None,
    ) -> "Gapped":
        """Record blocks of rows as ``Moments.of`` does, NaN where a feature is missing; no target may be.

        Raises:
            UserError: there is no row.
        """
        pairs = ((block, None) for block in blocks) if weights is None else zip(blocks, weights, strict=True)
        with threadpool_limits(limits=1, user_api="blas"):
            leaves = [_leaf(block, tuple(features), tuple(targets), w) for block, w in pairs if len(block)]
            if not leaves:
                raise UserError("there are no rows to learn from: check data.path and the split")
            return merge(leaves)

    @property
    def features(self) -> tuple[str, ...]:
        """The F features."""
        return self.moments.features[len(self.gaps) :]

    @property
    def rows(self) -> int:
        """Count of rows with a weight above zero."""
        return self.moments.rows

    def __add__(self, other: "Gapped") -> "Gapped":
        """The record of both sets of rows."""
        both = {*self.gaps, *other.gaps}
        gaps = tuple(f for f in self.features if f in both)
        a, b = self._widened(gaps), other._widened(gaps)
        return Gapped(a + _moved(b, a.shift_P, len(gaps)), gaps, self.missing + other.missing)

    def mean_F(self) -> Float:
        """The weighted means of the values that are there, shape (F,).

        Raises:
            UserError: a column has none.
        """
        g, f, root = len(self.gaps), len(self.features), self.moments.root_KK
        observed = np.full(f, root[0, 0])
        for m, x in self._columns():
            observed[x - 1 - g] -= root[0, m]
        for name, share in zip(self.features, observed, strict=True):
            if share <= 4 * np.finfo(float).eps * root[0, 0]:
                raise UserError(f"column '{name}' has no value in any training row: leave it out of data.features")
        shift_F = self.moments.shift_P[g : g + f]
        return np.asarray(shift_F + root[0, 1 + g : 1 + g + f] / observed)

    def filled(self, fill_F: Float) -> Moments:
        """The record of the rows with every gap filled with its column's value in ``fill_F``, shape (F,)."""
        g = len(self.gaps)
        if not g:
            return self.moments
        root, shift = self.moments.root_KK.copy(), self.moments.shift_P
        for m, x in self._columns():
            root[:, x] += (fill_F[x - 1 - g] - shift[x - 1]) * root[:, m]
        kept = np.delete(root, np.arange(1, 1 + g), axis=1)
        return replace(self.moments, features=self.features, shift_P=shift[g:], root_KK=factor(kept))

    def _columns(self) -> list[tuple[int, int]]:
        """For every gap, which column of the factor is its mask and which its values."""
        g = len(self.gaps)
        return [(1 + i, 1 + g + self.features.index(name)) for i, name in enumerate(self.gaps)]

    def _widened(self, gaps: tuple[str, ...]) -> Moments:
        """The record with masks for all of ``gaps``: those that are new are 0 in every row."""
        if gaps == self.gaps:
            return self.moments
        old, f = [1 + self.gaps.index(n) if n in self.gaps else -1 for n in gaps], len(self.features)
        rest = range(1 + len(self.gaps), 1 + len(self.gaps) + f + len(self.moments.targets))
        take = np.array([0, *old, *rest])
        root = np.where((take < 0)[:, None] | (take < 0)[None, :], 0.0, self.moments.root_KK[np.ix_(take, take)])
        shift = np.where(take < 0, 0.0, np.concatenate([[0.0], self.moments.shift_P])[take])[1:]
        return replace(self.moments, features=(*_masks(gaps), *self.features), shift_P=shift, root_KK=root)


def _leaf(z_NP: Float, features: tuple[str, ...], targets: tuple[str, ...], weight_N: Float | None) -> Gapped:
    """One block, shifted by the means of what is there, so that a gap is 0 like the mean."""
    f = len(features)
    absent_NF = np.isnan(z_NP[:, :f])
    with_gaps = np.flatnonzero(absent_NF.any(axis=0))
    gaps = tuple(features[i] for i in with_gaps)
    if not gaps:
        return Gapped(Moments.leaf(z_NP, features, targets, weight_N), (), 0)
    w = np.ones(len(z_NP)) if weight_N is None else weight_N
    present_NP = np.hstack([~absent_NF, np.ones((len(z_NP), len(targets)), dtype=bool)])
    there = np.where(w @ present_NP > 0, w @ present_NP, 1.0)
    shift = w @ np.where(present_NP, z_NP, 0.0) / there
    whole = np.hstack([absent_NF[:, with_gaps].astype(np.float64), np.where(present_NP, z_NP, shift)])
    shift_all = np.concatenate([np.zeros(len(gaps)), shift])
    moments = Moments.leaf(whole, (*_masks(gaps), *features), targets, weight_N, shift_P=shift_all)
    return Gapped(moments, gaps, int(absent_NF.sum()))


def _moved(moments: Moments, shift_P: Float, g: int) -> Moments:
    """The record under another shift: every column moves where it has a value, and a gap stays 0."""
    by = moments.shift_P - shift_P
    root = moments.root_KK.copy()
    root[0, 1:] += root[0, 0] * by
    for m in range(1, 1 + g):
        x = 1 + moments.features.index(moments.features[m - 1].removeprefix(_MASK))
        root[:, x] -= by[x - 1] * root[:, m]
    return replace(moments, shift_P=shift_P, root_KK=root)


def _masks(gaps: Sequence[str]) -> tuple[str, ...]:
    return tuple(_MASK + name for name in gaps)
