"""Many records merged at once, a call of LAPACK a level: hundreds of small partitions cost what a few did.

The tree is that of ``moments.merge``: neighbours in pairs, level by level, an odd last one left for the next level. All
pairs of a level are one stack of matrices.

Shapes: n records, P columns, K = 1 + P.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from linreg.metrics import Float
from linreg.moments.by_level import MomentsByLevel
from linreg.moments.deferred import PartitionMoments
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Moments, merge

NARROW = 128  # K from which a stack of factors saves no time, and takes memory
STACK = 128  # records in one stack: a power of two, so that the tree is the same

Record = MomentsWithGaps | MomentsByLevel
_Level = tuple[Float, Float, Float]  # rows and sums (n, 4), shifts (n, P), factors (n, K, K)


def merge_records(records: Sequence[Record]) -> Record:
    """``merge`` of records of one kind."""
    by_level = [record for record in records if isinstance(record, MomentsByLevel)]
    assert len(by_level) in (0, len(records))
    return merge(by_level) if by_level else merge_gapped([r for r in records if isinstance(r, MomentsWithGaps)])


def merge_gapped(records: Sequence[MomentsWithGaps]) -> MomentsWithGaps:
    """``merge`` of records of which some may have gaps."""
    if any(r.gaps for r in records):
        return merge(records)
    return MomentsWithGaps(merge_moments([r.moments for r in records]), (), 0)


def merge_moments(records: Sequence[PartitionMoments]) -> Moments:
    """``merge`` of records without gaps; those without rows are left out."""
    records = [r for r in records if r.rows] or records[:1]
    alike = len({(r.features, r.targets) for r in records}) == 1
    if not alike or 1 + len(records[0].features) + len(records[0].targets) >= NARROW:
        return merge(r.moments for r in records)
    level = [r.moments for r in records]
    while len(level) > 1:  # whole subtrees of the one tree
        level = [_merge_stack(level[i : i + STACK]) for i in range(0, len(level), STACK)]
    return level[0]


def _merge_stack(records: Sequence[Moments]) -> Moments:
    sums_n4 = np.array([[m.rows, m.weight, m.log_weight, m.square_weight] for m in records], dtype=np.float64)
    level = sums_n4, np.stack([m.shift_P for m in records]), np.stack([m.root_KK for m in records])
    while len(level[0]) > 1:
        level = _next(level)
    (rows, weight, logs, squares), shift_P, root_KK = level[0][0].tolist(), level[1][0], level[2][0]
    sums = {"rows": int(rows), "weight": weight, "log_weight": logs, "square_weight": squares}
    return replace(records[0], shift_P=shift_P, root_KK=root_KK, **sums)


def _next(level: _Level) -> _Level:
    """The level above."""
    n = len(level[0]) & ~1
    (sums_n4, shift_nP, root_nKK), (sums_b, shift_b, root_b) = ([x[i:n:2] for x in level] for i in (0, 1))
    moved = root_b.copy()
    moved[:, 0, 1:] += moved[:, 0, :1] * (shift_b - shift_nP)
    r = np.linalg.qr(np.concatenate([root_nKK, moved], axis=1), mode="r")
    upright = np.where(np.diagonal(r, axis1=1, axis2=2) < 0, -1.0, 1.0)[:, :, None] * r
    pairs = sums_n4 + sums_b, shift_nP, upright
    sums, shift, root = (np.concatenate([pair, rest[n:]]) for pair, rest in zip(pairs, level, strict=True))
    return sums, shift, root
