"""From rows to their record: the moments of all of them, and of each partition, gaps filled in.

Rows that are in memory; ``ingest.blocks`` records a file as it is read. The arithmetic is in ``moments`` and
``missing_values``.

Shapes: N rows, F features.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from linreg.errors import UserError
from linreg.metrics import Float
from linreg.moments import from_rows
from linreg.moments.deferred import DeferredMoments, PartitionMoments
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Moments
from linreg.moments.record_stack import Record, merge_gapped
from linreg.rows.rows import Rows
from linreg.threads import one_thread

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TrainingRecord:
    """What is kept of the training rows.

    Args:
        moments: of all of them, every gap filled with its column's mean over them.
        partitions: of each partition that has rows, in order, filled with the same means; made when asked for.
        filled: how many values were missing.
        plain: how many partitions were recorded by plain sums of products.
    """

    moments: Moments
    partitions: Sequence[PartitionMoments]
    filled: int
    plain: int = 0

    @property
    def fill_F(self) -> Float:
        """What stands for a missing feature: the means, shape (F,)."""
        return self.moments.mean_P[: len(self.moments.features)]


def _as_it_is(record: Record) -> MomentsWithGaps:
    assert isinstance(record, MomentsWithGaps)
    return record


def record_rows(rows: Rows, device: "torch.device | None" = None) -> TrainingRecord:
    """Record the training rows, a partition at a time, the partitions merged in their order.

    Args:
        device: makes the records; None: the CPU does.

    Raises:
        UserError: there is no row, or a column has no value at all.
    """
    records = [record_partition(part, device) for part in rows.partitions()]
    plain = sum(method == from_rows.PLAIN for _, method in records)
    return merge_partitions([record for record, _ in records], plain=plain)


def merge_partitions(
    partitions: Sequence[Record],
    *,
    plain: int = 0,
    merged: MomentsWithGaps | None = None,
    in_design: Callable[[Record], MomentsWithGaps] = _as_it_is,
) -> TrainingRecord:
    """The record of several partitions' rows, gaps filled with the means over all of them.

    Args:
        plain: how many were recorded by plain sums.
        merged: all of them merged, where that is at hand.
        in_design: makes the record of the model's columns of one of them.

    Raises:
        UserError: there is no row, or a column has no value at all.
    """
    if not partitions:
        raise UserError("there are no rows to learn from: check data.path and the split")
    with one_thread():  # the bits must not hang on how many threads there are
        merged = merged or merge_gapped([in_design(p) for p in partitions])
        fill_F = merged.mean_F() if merged.gaps else np.zeros(len(merged.features))
        moments = merged.filled(fill_F)
    if len(partitions) == 1:
        return TrainingRecord(moments, (moments,), merged.missing, plain)

    def deferred(record: Record) -> DeferredMoments:
        own = record.moments.rows, record.moments.weight
        return DeferredMoments(moments.features, moments.targets, *own, lambda: in_design(record).filled(fill_F))

    return TrainingRecord(moments, tuple(map(deferred, partitions)), merged.missing, plain)


def record_partition(rows: Rows, device: "torch.device | None" = None) -> tuple[MomentsWithGaps, str]:
    """The record of some rows of one partition, their gaps still open, and the method that made it (``from_rows``).

    Args:
        device: makes it where no value is missing; None: the CPU does.
    """
    with one_thread():  # the bits must not hang on how many threads there are
        if not rows.complete():
            names = rows.features, rows.targets
            return MomentsWithGaps.of(rows.blocks(), *names, weights=rows.block_weights()), from_rows.NUMPY
        moments, method = from_rows.moments(rows, device=device)
        intercept = rows.design is None or rows.design.intercept
        return MomentsWithGaps(replace(moments, intercept=intercept), (), 0), method
