"""Values that nothing can be computed from: seen in a batch at little cost, then told with their place and number.

Infinite, or too large to be squared, as in training; a level that no training row has, unless it counts as the base;
and a gap, where that is wanted.

Shapes: N rows of a batch, O targets.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from linreg.design import MISSING, Design
from linreg.evaluation.predict import with_inputs
from linreg.expression import columns_of
from linreg.files.stream import Stream
from linreg.files.tables import float64
from linreg.files.value_faults import (
    SQUARED,
    ValueFault,
    first_fault,
    no_date,
    no_level,
    no_value,
    out_of_range,
    plain_values,
    unseen_level,
)
from linreg.metrics import Float

_NUMBERS = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean)


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
    numbers = [field.name for field in batch.schema if any(test(field.type) for test in _NUMBERS)]
    faults = [fault for name in numbers for fault in out_of_range(name)]
    faults += [ValueFault(name, "is missing", missing, np.isnan) for name in numbers if missing]
    if any(fault.marks(float64(batch.column(fault.column))).any() for fault in faults):
        raise _first(stream, faults)


def check_design(stream: Stream, table: pa.Table, design: Design, *, strict: bool, missing: str | None) -> None:
    """Raise where a row of a batch holds text as a date, or a level that the design does not know nor takes for base.

    Args:
        table: the batch (``predict.with_inputs``).
        strict: whether a missing level is a fault, where it is none of its own, and a formula without a value.
        missing: what to do about a missing date; None: it may be missing.
    """
    computed = design.computed
    faults = [no_date(name) for name in design.dates if np.isinf(plain_values(table[name])).any()]
    gaps = [name for name in design.dates if missing and np.isnan(plain_values(table[name])).any()]
    faults += [ValueFault(name, "is missing", missing or "", np.isnan, name) for name in gaps]
    for name, known in design.levels.items():
        source, made = (next(columns_of(computed[name])), name) if name in computed else (name, "")
        filled = design.gaps_are_levels and MISSING in known
        if strict and table[name].null_count and not filled:
            faults.append(no_level(source, "fill it, or leave the row out", made))
        if design.unseen == "error" and not set(table[name].unique().to_pylist()) <= {None, *known}:
            what = f"has a level of {made} that no training row had" if made else "is a level that no training row had"
            faults.append(unseen_level(source, known, what, made))
    for name, expression in computed.items() if strict else ():
        if name in table.column_names and name not in design.levels and np.isinf(plain_values(table[name])).any():
            faults.append(no_value(next(columns_of(expression)), name)[0])
    if faults:
        raise _first(stream, faults[:1], design)


def _first(stream: Stream, faults: Sequence[ValueFault], design: Design | None = None) -> Exception:
    """The first of these faults, with its place."""

    def compute(batch: pa.RecordBatch) -> dict[str, Any]:
        table = with_inputs(batch, design) if design else None
        return {fault.computed: plain_values(table[fault.computed]) for fault in faults if fault.computed and table}

    needed = any(fault.computed for fault in faults)
    fault = first_fault(stream, faults, compute=compute if needed else None)
    return fault or AssertionError("a value is wrong, and none was found")


def _large(column: pa.Array) -> bool:
    """Of the types that are read, only float64 reaches so far; the sum of squares is the quickest bound."""
    if not pa.types.is_float64(column.type):
        return False
    x_N = column.to_numpy(zero_copy_only=False)
    with np.errstate(all="ignore"):  # a sum beyond float64 is looked at below
        if np.dot(x_N, x_N) < SQUARED**2:
            return False
    return bool(np.fmax.reduce(x_N, initial=0.0) > SQUARED or np.fmin.reduce(x_N, initial=0.0) < -SQUARED)
