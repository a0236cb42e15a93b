"""Many records of the same columns merged at once: the bits of one addition after the other, a call of LAPACK a level.

    merge_gapped(series, Branches.open(path))

The tree is that of ``moments.merge``: neighbours in pairs, level by level, an odd last one left for the next level. All
pairs of a level are one stack of matrices, so hundreds of small partitions cost what a few did. What is merged of 16
neighbours, and of 16 of those, can be kept, by the content of what it was made of: a partition more at the end then
costs the merges above it alone.

Shapes: n records, P columns, K = 1 + P.
"""

from collections.abc import Sequence

import numpy as np
import xxhash

from linreg.moments.merge_cache import Branches
from linreg.moments.missing import MomentsWithGaps
from linreg.moments.moments import PANEL, Moments, merge
from linreg.moments.stacks import Ints, Level, Series

_LEVELS = 4
GROUP = 1 << _LEVELS  # neighbours whose merged record is kept


def merge_gapped(records: Sequence[MomentsWithGaps], kept: Branches | None = None) -> MomentsWithGaps:
    """``merge`` of them, to the bit.

    Args:
        kept: of an earlier merge of such records; what is merged now is added. Of use for a ``Series``.
    """
    first = records[0].moments
    if 2 * len(first.root_KK) >= 2 * PANEL or not _alike(records):
        return merge(list(records))
    if not isinstance(records, Series):
        return MomentsWithGaps(merge_alike([r.moments for r in records]), (), 0)
    whole = _with_kept(records, kept) if kept else _merged(records.picked(np.arange(len(records))))
    return MomentsWithGaps(whole.moments(0, first.features, first.targets), (), 0)


def merge_alike(records: Sequence[Moments]) -> Moments:
    """``merge`` of records of the same columns, none of which is empty."""
    return _merged(Level.of(records)).moments(0, records[0].features, records[0].targets)


def _alike(records: Sequence[MomentsWithGaps]) -> bool:
    if isinstance(records, Series):
        return records.alike
    return all(not r.gaps and r.rows and r.moments.features == records[0].moments.features for r in records)


def _merged(level: Level) -> Level:
    while len(level) > 1:
        level = _next(level)
    return level


def _with_kept(records: Series, kept: Branches) -> Level:
    """The same, but for the groups that were merged before."""
    below: Series | Level = records
    keys = records.keys
    while True:
        keys = _grouped(keys)
        below = _merged_groups(below, keys, kept)
        if len(keys) == 1:
            return below


def _merged_groups(below: Series | Level, keys: Sequence[bytes], kept: Branches) -> Level:
    """The records of the groups of neighbours, which have these keys."""
    old = kept.rows(keys)
    new = old < 0
    fresh = _groups(below.picked(_members(new, len(below)))) if new.any() else None
    whole = fresh if fresh and new.all() else kept.level.picked(np.maximum(old, 0))
    if fresh and fresh is not whole:
        for all_of_them, some in zip(whole, fresh, strict=True):
            all_of_them[new] = some
    full = len(below) // GROUP  # one that is not will be another with the next file
    kept.use(keys[:full], whole.picked(slice(full)))
    return whole


def _grouped(keys: Sequence[bytes]) -> list[bytes]:
    """The keys of the groups of neighbours with these keys."""
    return [xxhash.xxh3_128_digest(b"".join(keys[i : i + GROUP])) for i in range(0, len(keys), GROUP)]


def _members(groups: np.ndarray, count: int) -> Ints:
    """The numbers of the ``count`` members that lie in the groups of a mask."""
    return np.flatnonzero(np.repeat(groups, GROUP)[:count])


def _groups(level: Level) -> Level:
    """One record for each group; only the last group may be smaller, so that no pair is of two groups."""
    for _ in range(_LEVELS):
        level = _next(level)
    return level


def _next(level: Level) -> Level:
    """The level above."""
    n = len(level) & ~1
    if not n:
        return level
    a, b = (level.picked(slice(i, n, 2)) for i in (0, 1))
    moved = b.root_nKK.copy()
    moved[:, 0, 1:] += moved[:, 0, :1] * (b.shift_nP - a.shift_nP)
    r = np.linalg.qr(np.concatenate([a.root_nKK, moved], axis=1), mode="r")
    upright = np.where(np.diagonal(r, axis1=1, axis2=2) < 0, -1.0, 1.0)[:, :, None] * r
    merged = Level(a.rows_n + b.rows_n, a.sums_n3 + b.sums_n3, a.shift_nP, upright)
    if n == len(level):
        return merged
    return Level(*(np.concatenate([m, rest[n:]]) for m, rest in zip(merged, level, strict=True)))
