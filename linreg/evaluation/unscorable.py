"""Values that nothing can be computed from: seen in a batch at little cost, then told with their place and number.

Missing, infinite, or too large to be squared, as in ``dataset``; a gap is fine where the model fills it.

Shapes: N rows of a batch, O targets.
"""

import contextlib
from collections.abc import Callable
from typing import NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linreg.errors import UserError
from linreg.files.stream import Stream
from linreg.rows.rows import float64

Float = npt.NDArray[np.float64]
_SQUARED = 1e150  # the sum of squares of larger values is beyond float64


class _Kind(NamedTuple):
    """What is wrong with a value, what to do, and which values (N,) are so."""

    what: str
    remedy: str
    of: Callable[[Float], npt.NDArray[np.bool_]]


_WRONG = (
    _Kind("is infinite or beyond float64", "correct or remove it", np.isinf),
    _Kind("is too large to be squared", "rescale the column", lambda x_N: np.abs(x_N) > _SQUARED),
)


def suspicious(batch: pa.RecordBatch, y_ON: Float, *, gaps: bool) -> bool:
    """Whether a value may be wrong: a null, a prediction that is not finite, or a number that is large.

    A feature that is not finite makes every prediction of its row so: they are fewer to look at.
    """
    nulls = not gaps and any(column.null_count for column in batch.columns)
    return nulls or not np.isfinite(y_ON).all() or any(map(_large, batch.columns))


def refuse(stream: Stream, batch: pa.RecordBatch, done: int, *, missing: str | None) -> None:
    """Raise what is wrong with a batch that begins after ``done`` rows of its file; return where nothing is.

    Args:
        missing: what to do about a missing value; None: it may be missing.
    """
    kinds = [_WRONG, (_Kind("is missing", missing, np.isnan),)] if missing else [_WRONG]
    for group in kinds:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            x_N = float64(pa.chunked_array([column]))
            for kind in group:
                bad = kind.of(x_N)
                if bad.any():
                    _tell(stream, name, done + int(bad.argmax()), kind)


def _large(column: pa.Array) -> bool:
    """Of the types that are read, only float64 reaches so far; the sum of squares is the quickest bound."""
    if not pa.types.is_float64(column.type):
        return False
    x_N = column.to_numpy(zero_copy_only=False)
    with np.errstate(all="ignore"):  # a sum beyond float64 is looked at below
        if np.dot(x_N, x_N) < _SQUARED**2:
            return False
    return bool(np.fmax.reduce(x_N, initial=0.0) > _SQUARED or np.fmin.reduce(x_N, initial=0.0) < -_SQUARED)


def _tell(stream: Stream, name: str, row: int, kind: _Kind) -> NoReturn:
    where, text = stream.place(row, name)
    value = f"the value {text[:40]!r}" if text else "the value"
    what = f"column '{name}': {value} {kind.what}{_more(stream, name, kind)}"
    raise UserError(f"{stream.file.label}: {where}, {what}: {kind.remedy}")


def _more(stream: Stream, name: str, kind: _Kind) -> str:
    """How many such there are in the file, where the rest of it can be read."""
    count = 0
    with contextlib.suppress(UserError):
        for batch in stream.batches([name]):
            count += int(kind.of(float64(pa.chunked_array(batch.columns))).sum())
    return f" ({count} such in the column)" if count > 1 else ""
