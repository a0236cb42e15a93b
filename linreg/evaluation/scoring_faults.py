"""Values that nothing can be computed from: seen in a batch at little cost, then told with their place and number.

Infinite, or too large to be squared, as in training; a level that no training row has, unless it counts as the base;
and a gap, where that is wanted.

Shapes: N rows of a batch, O targets.
"""

import numpy as np
import pyarrow as pa

from linreg.design import MISSING, Design
from linreg.files.stream import Stream
from linreg.files.tables import float64
from linreg.files.value_faults import SQUARED, ValueFault, first_fault, no_level, out_of_range, unseen_level
from linreg.metrics import Float


def may_be_unscorable(batch: pa.RecordBatch, y_ON: Float, *, gaps: bool) -> bool:
    """Whether a value may be wrong: a null, a prediction that is not finite, a number that is large, or a level.

    A feature that is not finite makes every prediction of its row so: they are fewer to look at.
    """
    nulls = not gaps and any(column.null_count for column in batch.columns)
    categories = any(pa.types.is_dictionary(field.type) for field in batch.schema)
    return nulls or categories or not np.isfinite(y_ON).all() or any(map(_large, batch.columns))


def refuse(stream: Stream, batch: pa.RecordBatch, design: Design | None, *, missing: str | None, strict: bool) -> None:
    """Raise what is wrong with a file of which this is a batch; return where nothing is wrong with the batch.

    Args:
        design: says which levels are known.
        missing: what to do about a missing number; None: it may be missing.
        strict: whether a missing level is a fault.
    """
    levels = design.levels if design else {}
    numbers = [name for name in batch.schema.names if name not in levels]
    faults = [fault for name in numbers for fault in out_of_range(name)]
    faults += [ValueFault(name, "is missing", missing, np.isnan) for name in numbers if missing]
    if any(fault.marks(float64(batch.column(fault.column))).any() for fault in faults):
        raise first_fault(stream, faults) or AssertionError("a value is wrong, and none was found")
    for name, known in levels.items():
        column = batch.column(name)
        filled = design is not None and design.gaps_are_levels and MISSING in known
        if strict and column.null_count and not filled:
            remedy = "fill it, or leave the row out"
            raise first_fault(stream, [no_level(name, remedy)]) or AssertionError(
                "a level is missing, and none was found"
            )
        if design and design.unseen == "error" and not _levels(column) <= {None, *known}:
            raise first_fault(
                stream, [unseen_level(name, known, "is a level that no training row had")]
            ) or AssertionError("a level is unknown, and none was found")


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
