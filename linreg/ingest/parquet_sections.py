"""A Parquet file cut into sections, runs of whole row groups, and each of these into the rows of its leaves.

It knows nothing of roles and records, and what it cannot read as numbers raises ``Irregular``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from linreg.files import tables
from linreg.files.partitions import Partition
from linreg.rows.rows import LEAF
from linreg.threads import cores

_BUFFER = 1 << 20  # bytes of a column that are read at once


class Irregular(Exception):
    """The file is to be read as a whole."""


@dataclass(frozen=True)
class Section:
    """Some row groups of a file, one after the other.

    Args:
        groups: their numbers.
        start: the number of their first row in the file.
        rows: how many there are.
    """

    groups: range
    start: int
    rows: int


@dataclass(frozen=True)
class Sections:
    """A file and how it is cut.

    Args:
        path: a local file.
        columns: what is read of it.
        rows: how many it has.
        sections: of at least ``LEAF`` rows each, but for the last: so that a leaf lies in two of them at most.
        metadata: the file's own, read once.
    """

    path: str
    columns: Sequence[str]
    rows: int
    sections: Sequence[Section]
    metadata: pq.FileMetaData

    @classmethod
    def of(cls, partition: Partition, columns: Sequence[str]) -> "Sections":
        """Look at a file's footer; raises what Arrow raises, ``UserError`` or ``Irregular``."""
        metadata = pq.read_metadata(partition.path)
        tables.check_columns(partition.label, metadata.schema.to_arrow_schema().names, columns)
        counts = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        if not sum(counts):
            raise Irregular
        return cls(partition.path, columns, sum(counts), _runs(counts), metadata)

    def fragments(self, section: Section) -> Iterator[tuple[int, pa.Table]]:
        """The rows of a section, cut where leaves end; each with the number of its first row."""
        with pa.OSFile(self.path) as opened:
            reader = pq.ParquetFile(opened, metadata=self.metadata, pre_buffer=False, buffer_size=_BUFFER)
            how = {"row_groups": list(section.groups), "columns": list(self.columns)}
            waiting: list[pa.RecordBatch] = []
            start = at = section.start
            for batch in reader.iter_batches(LEAF, **how, use_threads=len(self.sections) < cores()):
                while len(batch):
                    part = batch.slice(0, LEAF - at % LEAF)
                    batch = batch.slice(len(part))
                    waiting.append(part)
                    at += len(part)
                    if at % LEAF == 0:
                        yield start, _table(waiting, self.columns)
                        start, waiting = at, []
            if waiting:
                yield start, _table(waiting, self.columns)


def _runs(counts: Sequence[int]) -> list[Section]:
    """Row groups of these numbers of rows, together where they are small."""
    out, first, start, rows = [], 0, 0, 0
    for group, count in enumerate(counts):
        rows += count
        if rows >= LEAF or group == len(counts) - 1:
            out.append(Section(range(first, group + 1), start, rows))
            first, start, rows = group + 1, start + rows, 0
    return out


def _table(batches: Sequence[pa.RecordBatch], columns: Sequence[str]) -> pa.Table:
    """The columns in that order, as numbers, each in one piece."""
    table = pa.Table.from_batches(batches).select(columns)
    found = [tables.numbers(column) for column in table.columns]
    if any(column is None for column in found):
        raise Irregular
    table = pa.table(dict(zip(columns, found, strict=True)))
    return table if len(batches) == 1 else table.combine_chunks()
