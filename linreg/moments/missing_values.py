"""The record of rows with missing features, from which any filling-in can be had afterwards.

What a gap is filled with is known only when all files are read, so each column with gaps keeps a mask beside it: the
record is that of ``[1 | P | X - c | Y - c]``, P being 1 where X is present and X - c being 0 where it is not. Filling
with v then adds ``(v - c) (1 - P)`` to the column: an operation on the factor alone. Records of other files, other gaps
and other shifts merge the same way. A record without any value in a column has no shift of its own there: it takes the
other's, since a column far from zero would lose digits to a shift of 0.

Shapes: N rows, F features, O targets, G columns with gaps. It opens no files.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from linreg.errors import UserError
from linreg.metrics import Float
from linreg.moments.moments import Moments, factor, record_blocks

MASK = "\0present "  # in front of a mask's name: no column of a file is called that


@dataclass(frozen=True)
class MomentsWithGaps:
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
    ) -> "MomentsWithGaps":
        """Record blocks of rows as ``Moments.of`` does, NaN where a feature is missing; no target may be.

        Raises:
            UserError: there is no row.
        """
        names = tuple(features), tuple(targets)
        return record_blocks(lambda z_NP, weight_N: _leaf(z_NP, *names, weight_N), blocks, weights)

    @property
    def features(self) -> tuple[str, ...]:
        """The F features."""
        return self.moments.features[len(self.gaps) :]

    @property
    def rows(self) -> int:
        """Count of rows with a weight above zero."""
        return self.moments.rows

    @property
    def weight(self) -> float:
        """Sum of their weights."""
        return self.moments.weight

    def __add__(self, other: "MomentsWithGaps") -> "MomentsWithGaps":
        """The record of both sets of rows."""
        union = {*self.gaps, *other.gaps}
        gaps = tuple(f for f in self.features if f in union)
        a, b = self._with_masks(gaps), other._with_masks(gaps)
        columns = _columns(a, gaps)
        valueless = [x - 1 for p, x in columns if a.root_KK[0, p] == 0]  # their masks are 0 in every row
        shift_P = a.shift_P.copy()
        shift_P[valueless] = b.shift_P[valueless]
        total = _with_shift(a, shift_P, columns) + _with_shift(b, shift_P, columns)
        return MomentsWithGaps(total, gaps, self.missing + other.missing)

    def mean_F(self) -> Float:
        """The weighted means of the values that are there, shape (F,).

        Raises:
            UserError: a column has none.
        """
        g, f, root = len(self.gaps), len(self.features), self.moments.root_KK
        present = np.full(f, root[0, 0])
        for p, x in _columns(self.moments, self.gaps):
            present[x - 1 - g] = root[0, p]
            if not root[0, p] > 0:
                name = self.moments.features[x - 1]
                raise UserError(f"column '{name}' has no value in any training row: leave it out of data.features")
        shift_F = self.moments.shift_P[g : g + f]
        return np.asarray(shift_F + root[0, 1 + g : 1 + g + f] / present)

    def filled(self, fill_F: Float) -> Moments:
        """The record of the rows with every gap filled with its column's value in ``fill_F``, shape (F,)."""
        g = len(self.gaps)
        if not g:
            return self.moments
        root, shift = self.moments.root_KK.copy(), self.moments.shift_P
        for p, x in _columns(self.moments, self.gaps):
            root[:, x] += (fill_F[x - 1 - g] - shift[x - 1]) * (root[:, 0] - root[:, p])
        without_masks = np.delete(root, np.arange(1, 1 + g), axis=1)
        return replace(self.moments, features=self.features, shift_P=shift[g:], root_KK=factor(without_masks))

    def save(self, path: str | Path) -> None:
        """Write the record as one safetensors file."""
        self.moments.save(path, gaps=json.dumps(self.gaps), missing=str(self.missing))

    @classmethod
    def load(cls, path: str | Path) -> "MomentsWithGaps":
        """Read what ``save`` wrote, to the bit.

        Raises:
            UserError: the file is missing, or not a record.
        """
        moments, about = Moments.load_with(path)
        return cls(moments, tuple(json.loads(about.get("gaps", "[]"))), int(about.get("missing", 0)))

    def _with_masks(self, gaps: tuple[str, ...]) -> Moments:
        """The record with masks for all of ``gaps``: those that are new are 1 in every row, like the first column."""
        if gaps == self.gaps:
            return self.moments
        mask_columns = {name: 1 + i for i, name in enumerate(self.gaps)}
        g, k = len(self.gaps), len(self.moments.root_KK)
        columns = np.array([0, *(mask_columns.get(name, 0) for name in gaps), *range(1 + g, k)])
        rows = np.array([0, *(mask_columns.get(name, -1) for name in gaps), *range(1 + g, k)])
        root = np.where((rows < 0)[:, None], 0.0, self.moments.root_KK[np.ix_(rows, columns)])
        shift = np.concatenate([np.zeros(len(gaps)), self.moments.shift_P[g:]])
        return replace(self.moments, features=(*_masks(gaps), *self.features), shift_P=shift, root_KK=root)


def _leaf(z_NP: Float, features: tuple[str, ...], targets: tuple[str, ...], weight_N: Float | None) -> MomentsWithGaps:
    """One block, shifted by the means of what is there, so that a gap is 0 like the mean."""
    f = len(features)
    absent_NF = np.isnan(z_NP[:, :f])
    with_gaps = np.flatnonzero(absent_NF.any(axis=0))
    gaps = tuple(features[i] for i in with_gaps)
    if not gaps:
        return MomentsWithGaps(Moments.leaf(z_NP, features, targets, weight_N), (), 0)
    weight = np.ones(len(z_NP)) if weight_N is None else weight_N
    present_NP = np.hstack([~absent_NF, np.ones((len(z_NP), len(targets)), dtype=bool)])
    present_weight = np.where(weight @ present_NP > 0, weight @ present_NP, 1.0)
    shift = weight @ np.where(present_NP, z_NP, 0.0) / present_weight
    filled = np.hstack([(~absent_NF[:, with_gaps]).astype(np.float64), np.where(present_NP, z_NP, shift)])
    shift_all = np.concatenate([np.zeros(len(gaps)), shift])
    moments = Moments.leaf(filled, (*_masks(gaps), *features), targets, weight_N, shift_P=shift_all)
    return MomentsWithGaps(moments, gaps, int(absent_NF.sum()))


def _columns(moments: Moments, gaps: Sequence[str]) -> list[tuple[int, int]]:
    """For every gap, which column of the factor is its mask and which its values."""
    return [(p, 1 + moments.features.index(name)) for p, name in enumerate(gaps, 1)]


def _with_shift(moments: Moments, shift_P: Float, columns: Sequence[tuple[int, int]]) -> Moments:
    """The record under another shift: every column moves where it has a value, and a gap stays 0."""
    by_P = moments.shift_P - shift_P
    if not by_P.any():
        return moments
    root, masks = moments.root_KK.copy(), {x: p for p, x in columns}
    for x in np.flatnonzero(by_P) + 1:
        root[:, x] += by_P[x - 1] * root[:, masks.get(int(x), 0)]
    return replace(moments, shift_P=shift_P, root_KK=root)


def _masks(gaps: Sequence[str]) -> tuple[str, ...]:
    return tuple(MASK + name for name in gaps)
