"""Values that nothing can be computed from: seen in a batch at little cost, then told with their place and number.

Infinite, or too large to be squared, as in training; a level that no training row has, unless it counts as the base;
and a gap, where that is wanted.

Shapes: N rows of a batch, O targets.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from linreg.design import MISSING, Design
from linreg.files.stream import Stream
from linreg.files.tables import float64
from linreg.files.value_faults import SQUARED, ValueFault, first_fault, no_level, out_of_range, unseen_level
from linreg.metrics import Float


def may_be_unscorable(batch: pa.RecordBatch, y_ON: Float, *, gaps: bool) -> bool:
    """Whether a number may be wrong: a null, a prediction that is not finite, or a number that is large.

    A feature that is not finite makes every prediction of its row so: they are fewer to look at.
    """
    nulls = not gaps and any(column.null_count for column in batch.columns)
    return nulls or not np.isfinite(y_ON).all() or any(map(_large, batch.columns))


def refuse(stream: Stream, batch: pa.RecordBatch, *, missing: str | None) -> None:
    """Raise what is wrong with the numbers of a file of which this is a batch; return where nothing is wrong with it.

    Args:
        missing: what to do about a missing number; None: it may be missing.
    """
    numbers = [field.name for field in batch.schema if not pa.types.is_dictionary(field.type)]
    faults = [fault for name in numbers for fault in out_of_range(name)]
    faults += [ValueFault(name, "is missing", missing, np.isnan) for name in numbers if missing]
    if any(fault.marks(float64(batch.column(fault.column))).any() for fault in faults):
        raise _first(stream, faults)


def check_levels(stream: Stream, batch: pa.RecordBatch, design: Design, *, strict: bool) -> None:
    """Raise where a row of the batch is at a level that the design does not know and does not take for the base.

    Args:
        strict: whether a missing level is a fault, where it is none of its own.
    """
    for name, known in design.levels.items():
        column = batch.column(name)
        filled = design.gaps_are_levels and MISSING in known
        if strict and column.null_count and not filled:
            raise _first(stream, [no_level(name, "fill it, or leave the row out")])
        if design.unseen == "error" and not _levels(column) <= {None, *known}:
            raise _first(stream, [unseen_level(name, known, "is a level that no training row had")])


def _first(stream: Stream, faults: Sequence[ValueFault]) -> Exception:
    """The first of these faults, with its place."""
    return first_fault(stream, faults) or AssertionError("a value is wrong, and none was found")


def _levels(column: pa.DictionaryArray) -> set[str | None]:
    """Those that rows of the batch are at."""
    return set(column.unique().to_pylist())


def _large(column: pa.Array) -> bool:
    """Of the types that are read, only float64 reaches so far; the sum of squares is the quickest bound."""
    if not pa.types.is_float64(column.type):
        return False
    x_N = column.to_numpy(zero_copy_only=False)
    with np.errstate(all="ignore"):  # a sum beyond float64 is looked at below
        if np.dot(x_N, x_N) < SQUARED**2:
            return False
    return bool(np.fmax.reduce(x_N, initial=0.0) > SQUARED or np.fmin.reduce(x_N, initial=0.0) < -SQUARED)
