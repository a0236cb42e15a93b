"""The partitions of a data set, in their order, wherever what was made of them lies: in packs on disk or in memory.

    gathered = Gathered.of([(pack, 3), (other, 0), ...])
    gathered.series(split.TRAIN), gathered.parts(first, extra, needed)

Shapes: n partitions, R roles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from linreg.files.partitions import Partition
from linreg.files.tables import alike
from linreg.ingest.cache_file import ROLES, Pack
from linreg.ingest.part import PartitionRows, Role
from linreg.moments.ranges import Extent
from linreg.moments.stacks import Ints, Series, Stack

Place = tuple[Pack, int]  # a partition: the pack, and which one there
FEW = 32  # tables that are left as they are: copying a night's rows into one table takes longer


@dataclass(frozen=True)
class _Slice:
    """The held rows of partitions that follow each other, in the data set and in a table."""

    table: pa.Table
    role: Role
    start: int
    stop: int
    counts_R: Ints


@dataclass(frozen=True)
class Gathered:
    """The partitions.

    Args:
        packs: all that they are in.
        pack_n, index_n: which pack, and which one there.
    """

    packs: Sequence[Pack]
    pack_n: Ints
    index_n: Ints

    @classmethod
    def of(cls, places: Sequence[Place]) -> "Gathered":
        """Of places in the order of the data set."""
        packs = {id(pack): pack for pack, _ in places}
        number = {key: k for k, key in enumerate(packs)}
        pack_n, index_n = [number[id(pack)] for pack, _ in places], [i for _, i in places]
        return cls(list(packs.values()), np.array(pack_n, np.int64), np.array(index_n, np.int64))

    def counts(self) -> tuple[Mapping[int, int], ...]:
        """How many rows of each role each of them has."""
        a, b, c, d, e = ROLES  # written out: this is done for every file of every run
        return tuple({a: v, b: w, c: x, d: y, e: z} for v, w, x, y, z in self._of_each("counts_nR").tolist())

    def extents(self) -> tuple[Extent, ...]:
        """The range of features and targets of each."""
        return tuple(map(Extent, *self._of_each("extent_n2P").swapaxes(0, 1)))

    def series(self, role: int) -> Series:
        """The records of one role."""
        stacks: list[Stack] = []
        stack_n, row_n = np.full((2, len(self.pack_n)), -1)
        for k, pack in enumerate(self.packs):
            at = np.flatnonzero(self.pack_n == k)
            for stack in pack.records.get(role, ()):
                found = stack.rows_of(self.index_n[at])
                there = at[found >= 0]
                stack_n[there], row_n[there] = len(stacks), found[found >= 0]
                stacks += [stack] if len(there) else []
        there = np.flatnonzero(stack_n >= 0)
        keys = [self.packs[k].keys[i] for k, i in zip(self.pack_n[there], self.index_n[there], strict=True)]
        return Series(stacks, stack_n[there], row_n[there], keys)

    def parts(
        self, first: Partition, extra: Sequence[str], needed: Sequence[str], *, apart: bool
    ) -> list[PartitionRows]:
        """The held rows as those of a few parts, with the counts of all; their records are nobody's.

        Args:
            first: a partition to name them by.
            extra: optional columns, which stay where every table has them.
            needed: the columns that all have.
            apart: leave the tables as they are, however many.
        """
        slices = self._slices()
        columns = [*needed, *(c for c in extra if all(c in s.table.column_names for s in slices))]
        tables = [s.table.select(columns).slice(s.start, s.stop - s.start) for s in slices]
        roles = [s.role[s.start : s.stop] for s in slices]
        counts = [s.counts_R for s in slices]
        if len(slices) > FEW and not apart:
            tables, roles = [alike(tables).combine_chunks()], [np.concatenate(roles)]
            counts = [np.sum(counts, axis=0)]
        return [
            PartitionRows(first, table, role, dict(zip(ROLES, count_R.tolist(), strict=True)))
            for table, role, count_R in zip(tables, roles, counts, strict=True)
        ]

    def _of_each(self, name: str) -> np.ndarray:
        """One of the arrays of the packs, for the partitions in their order."""
        arrays = [getattr(pack, name) for pack in self.packs]
        out = np.empty((len(self.pack_n), *arrays[0].shape[1:]), arrays[0].dtype)
        for k, array in enumerate(arrays):
            out[self.pack_n == k] = array[self.index_n[self.pack_n == k]]
        return out

    def _slices(self) -> list[_Slice]:
        place_n3, counts_nR = self._of_each("place_n3"), self._of_each("counts_nR")
        table_n, start_n, stop_n = place_n3.T
        begins = np.ones(len(place_n3), bool)  # where one does not go on from the one before
        begins[1:] = (
            (self.pack_n[1:] != self.pack_n[:-1]) | (table_n[1:] != table_n[:-1]) | (start_n[1:] != stop_n[:-1])
        )
        at = np.flatnonzero(begins)
        counts = np.add.reduceat(counts_nR, at, axis=0)
        out = []
        for first, last, counts_R in zip(at, [*at[1:] - 1, len(place_n3) - 1], counts, strict=True):
            pack, table = self.packs[self.pack_n[first]], table_n[first]
            out.append(_Slice(pack.tables[table], pack.roles[table], start_n[first], stop_n[last], counts_R))
        return out
