"""One partition as it is kept: the rows that are held, how many there are of each role, their records and ranges."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linreg.files.partitions import Partition
from linreg.moments.ranges import Ranges
from linreg.moments.record_stack import Record
from linreg.rows import split
from linreg.rows.rows import RowNumbers

DROPPED, WEIGHTLESS = -1, -2  # the roles of rows that are left out, beside those of ``split``
HELD_OUT = (split.VALIDATION, split.TEST)
ALL = (split.TRAIN, *HELD_OUT)  # the roles whose rows are used
FOLD = 100  # the training rows of fold k are a group of their own, this and k

Mask = npt.NDArray[np.bool_]
Role = npt.NDArray[np.int8]


@dataclass(frozen=True)
class PartitionRows:
    """One partition: its numbers and the role of each of its rows.

    Args:
        table: the rows that are held, the optional columns that are complete among them.
        role: int8 of shape (n,), of each of these.
        counts: how many rows of each role the file has, whatever is held.
        records: of the rows of a role or a fold, and the way each was computed (see ``from_rows``); of those that have
            rows.
        extent: the range of features and targets over all rows that are used.
    """

    partition: Partition
    table: pa.Table
    role: Role
    counts: dict[int, int]
    records: Mapping[int, tuple[Record, str]] = field(default_factory=dict)
    extent: Ranges = field(default_factory=lambda: Ranges.of(()))


def counted(role: Role) -> dict[int, int]:
    """How many rows have each role."""
    which = (WEIGHTLESS, DROPPED, split.TRAIN, split.VALIDATION, split.TEST)
    return {r: int(np.count_nonzero(role == r)) for r in which}


def row_numbers(mask: Mask) -> RowNumbers | None:
    """The numbers of the rows that a mask marks; None: all of them."""
    return None if mask.all() else np.flatnonzero(mask).astype(np.uint32)


def among(role: Role, held: Collection[int]) -> Mask:
    """Which rows have one of these roles, shape (n,)."""
    out = np.zeros(len(role), dtype=bool)
    for r in held:  # several times faster than numpy.isin
        out |= role == r
    return out


def picked(table: pa.Table, mask: Mask) -> pa.Table:
    """Some rows of a table; of columns in one piece several times faster than Arrow's own way."""
    if mask.all():
        return table
    rows = np.flatnonzero(mask)
    if any(c.num_chunks != 1 or c.null_count or pa.types.is_boolean(c.type) for c in table.columns):
        return table.take(pa.array(rows))
    return pa.table({name: _taken(table[name].chunk(0), rows) for name in table.column_names})


def _taken(column: pa.Array, rows: npt.NDArray[np.intp]) -> Any:
    if pa.types.is_dictionary(column.type):
        return pa.DictionaryArray.from_arrays(np.asarray(column.indices)[rows], column.dictionary)
    return np.asarray(column)[rows]


def group_mask(role: Role, group: int, fold: npt.NDArray[np.int16] | None = None) -> Mask:
    """Which rows are of a role, or of a fold."""
    if group < FOLD or fold is None:
        return np.asarray(role == group)
    return np.asarray((role == split.TRAIN) & (fold == group - FOLD))
