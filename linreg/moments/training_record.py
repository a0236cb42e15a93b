"""From rows to their record: the moments of all of them, and of each partition, gaps filled in.

The one place that knows how rows become moments. It reads no file; the arithmetic is in ``moments`` and
``missing_values``.

Shapes: N rows, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from linreg.errors import UserError
from linreg.moments import from_rows as leaves
from linreg.moments.merge import merge_gapped
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Float, Moments
from linreg.rows.rows import Rows
from linreg.threads import one_thread

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Record:
    """What is kept of the training rows.

    Args:
        moments: of all of them, every gap filled with its column's mean over them.
        partitions: of each partition that has rows, in order, filled with the same means.
        filled: how many values were missing.
        plain: how many partitions were recorded by plain sums of products.
    """

    moments: Moments
    partitions: Sequence[Moments]
    filled: int
    plain: int = 0

    @property
    def fill_F(self) -> Float:
        """What stands for a missing feature: the means, shape (F,)."""
        return self.moments.mean_P[: len(self.moments.features)]


def record(rows: Rows, device: "torch.device | None" = None) -> Record:
    """Record the training rows, a partition at a time, the partitions merged in their order.

    Args:
        device: makes the records; None: the CPU does.

    Raises:
        UserError: there is no row, or a column has no value at all.
    """
    found = [gapped_by(part, device) for part in rows.partitions()]
    return joined([part for part, _ in found], plain=sum(way == leaves.PLAIN for _, way in found))


def joined(parts: Sequence[MomentsWithGaps], *, plain: int = 0, whole: MomentsWithGaps | None = None) -> Record:
    """The record of several partitions' rows, gaps filled with the means over all of them.

    Args:
        plain: how many were recorded by plain sums.
        whole: all of them merged, where that is at hand.

    Raises:
        UserError: there is no row, or a column has no value at all.
    """
    if not parts:
        raise UserError("there are no rows to learn from: check data.path and the split")
    with one_thread():  # the bits must not hang on how many threads there are
        whole = whole or merge_gapped(parts)
        if not whole.gaps:
            return Record(whole.moments, tuple(p.moments for p in parts), 0, plain)
        fill_F = whole.mean_F()
        return Record(whole.filled(fill_F), tuple(p.filled(fill_F) for p in parts), whole.missing, plain)


def gapped(rows: Rows) -> MomentsWithGaps:
    """The record of some rows, a partition at a time, their gaps still open."""
    with one_thread():
        return merge_gapped([gapped_by(part)[0] for part in rows.partitions()])


def gapped_by(rows: Rows, device: "torch.device | None" = None) -> tuple[MomentsWithGaps, str]:
    """The record of some rows of one partition, their gaps still open, and the way it was computed; see ``leaves``.

    Args:
        device: makes it where no value is missing; None: the CPU does.
    """
    with one_thread():  # the bits must not hang on how many threads there are
        if not rows.complete():
            named = rows.features, rows.targets
            return MomentsWithGaps.of(rows.blocks(), *named, weights=rows.block_weights()), leaves.NUMPY
        found, way = leaves.moments(rows, device=device)
        return MomentsWithGaps(found, (), 0), way


def moments_of(rows: Rows, fill_F: Float | None = None) -> Moments:
    """The moments of rows, gaps filled with ``fill_F``, shape (F,): of validation rows, with the training means."""
    if fill_F is None:
        return record(rows).moments
    return gapped(rows).filled(fill_F)
