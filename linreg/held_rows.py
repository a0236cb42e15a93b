"""The held rows of many partitions as one table, in the order of the partitions, wherever each of them comes from.

A table is what a file gave, or a slice of a pack that many files share; slices that follow each other are one.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from linreg.checks import Part, Role
from linreg.ledger import Entry
from linreg.source import Partition
from linreg.tables import alike

_Slice = tuple[pa.Table, Role, int, int]


def stacked(first: Partition, items: Sequence[Part | Entry], extra: Sequence[str], needed: Sequence[str]) -> Part:
    """All held rows as those of one part, with the counts of all; its records are nobody's.

    Args:
        extra: optional columns, which stay where every table has them.
        needed: the columns that all have.
    """
    slices = _slices(items)
    columns = [*needed, *(c for c in extra if all(c in table.column_names for table, *_ in slices))]
    table = alike([table.select(columns).slice(start, stop - start) for table, _, start, stop in slices])
    role = np.concatenate([role[start:stop] for _, role, start, stop in slices])
    counts = {r: sum(item.counts[r] for item in items) for r in items[0].counts}
    return Part(first, table.combine_chunks(), role, (), counts)


def _slices(items: Sequence[Part | Entry]) -> list[_Slice]:
    out: list[_Slice] = []
    for item in items:
        if isinstance(item, Part):
            out.append((item.table, item.role, 0, len(item.table)))
        elif out and out[-1][0] is item.pack.table and out[-1][3] == item.start:
            out[-1] = (*out[-1][:3], item.stop)
        else:
            out.append((item.pack.table, item.pack.role, item.start, item.stop))
    return out
