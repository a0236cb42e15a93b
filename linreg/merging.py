"""Many records of the same columns merged at once: the bits of one addition after the other, a call of LAPACK a level.

The tree is that of ``moments.merge``: neighbours in pairs, level by level, an odd last one left for the next level. All
pairs of a level are one stack of matrices, so hundreds of small partitions cost what a few did.

Shapes: n records, P columns, K = 1 + P.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from linreg.gaps import Gapped
from linreg.moments import PANEL, Float, Moments, merge


class _Level(NamedTuple):
    """The records of one level of the tree: rows, sums and factors of each."""

    rows_n: np.ndarray
    sums_n3: Float
    shift_nP: Float
    root_nKK: Float


def merge_gapped(records: Sequence[Gapped]) -> Gapped:
    """``merge`` of them, to the bit."""
    first = records[0].moments
    alike = all(not r.gaps and r.rows and r.moments.features == first.features for r in records)
    if not alike or 2 * len(first.root_KK) >= 2 * PANEL:
        return merge(records)
    return Gapped(merge_alike([r.moments for r in records]), (), 0)


def merge_alike(records: Sequence[Moments]) -> Moments:
    """``merge`` of records of the same columns, none of which is empty."""
    level = _Level(
        np.array([m.rows for m in records]),
        np.array([[m.weight, m.log_weight, m.square_weight] for m in records]),
        np.stack([m.shift_P for m in records]),
        np.stack([m.root_KK for m in records]),
    )
    while len(level.rows_n) > 1:
        level = _next(level)
    weight, logs, squares = map(float, level.sums_n3[0])
    names = records[0].features, records[0].targets
    return Moments(*names, int(level.rows_n[0]), weight, level.shift_nP[0], level.root_nKK[0], logs, squares)


def _next(level: _Level) -> _Level:
    """The level above."""
    n = len(level.rows_n) & ~1
    a, b = (_Level(*(x[i:n:2] for x in level)) for i in (0, 1))
    moved = b.root_nKK.copy()
    moved[:, 0, 1:] += moved[:, 0, :1] * (b.shift_nP - a.shift_nP)
    r = np.triu(np.linalg.qr(np.concatenate([a.root_nKK, moved], axis=1), mode="r"))
    upright = np.where(np.diagonal(r, axis1=1, axis2=2) < 0, -1.0, 1.0)[:, :, None] * r
    merged = _Level(a.rows_n + b.rows_n, a.sums_n3 + b.sums_n3, a.shift_nP, upright)
    return _Level(*(np.concatenate([m, rest[n:]]) for m, rest in zip(merged, level, strict=True)))
