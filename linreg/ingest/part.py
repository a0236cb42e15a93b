"""Part."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linreg.files.partitions import Partition
from linreg.moments.missing import MomentsWithGaps
from linreg.moments.ranges import Ranges
from linreg.rows import split

DROPPED, WEIGHTLESS = -1, -2  # the roles of rows that are left out, beside those of ``split``


RECORDED = (split.TRAIN, split.VALIDATION, split.TEST)  # the roles whose rows become records


Mask = npt.NDArray[np.bool_]


Role = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Part:
    """One partition: its numbers, what its rows are known by, and the role of each.

    Args:
        table: the rows that are held, the optional columns that are complete among them.
        role: int8 of shape (n,), of each of these.
        keys: the columns of ``data.key``, of each of these.
        counts: how many rows of each role the file has, whatever is held.
        records: of the rows of a role, and the way each was computed (see ``from_rows``); of the roles that have rows.
        extent: the range of features and targets over all rows that are used.
    """

    partition: Partition
    table: pa.Table
    role: Role
    keys: Sequence[pa.ChunkedArray]
    counts: dict[int, int]
    records: dict[int, tuple[MomentsWithGaps, str]] = field(default_factory=dict)
    extent: Ranges = field(default_factory=lambda: Ranges.of(()))


def counted(role: Role) -> dict[int, int]:
    """How many rows have each role."""
    which = (WEIGHTLESS, DROPPED, split.TRAIN, split.VALIDATION, split.TEST)
    return {r: int(np.count_nonzero(role == r)) for r in which}


def among(role: Role, held: Collection[int]) -> Mask:
    """Which rows have one of these roles, shape (n,)."""
    out = np.zeros(len(role), dtype=bool)
    for r in held:
        out |= role == r
    return out
