"""One file of the cache: the records and the held rows of some partitions of the same columns, in memory or mapped.

    file = CacheFile.of(parts)
    file.write(Path("a.pack"))
    CacheFile.read(Path("a.pack"))     # None where it is not whole

On disk: the rows as an Arrow stream, the numbers of ranges and records, what they belong to as JSON, how long these
two are, and the digest (XXH3-128) of all of it. The file is mapped: rows stay on disk until they are used.

Shapes: n partitions, P columns, K = 1 + P.
"""

import json
import mmap
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import xxhash

from linreg.design import Term
from linreg.files.partitions import Partition
from linreg.files.tables import alike
from linreg.ingest.part import PartitionRows, Role
from linreg.metrics import Float
from linreg.moments.by_level import MomentsByLevel
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Moments
from linreg.moments.ranges import Ranges
from linreg.moments.record_stack import Record
from linreg.threads import in_threads

Name = tuple[str, str]  # a partition's digest and name
Records = Mapping[int, tuple[Record, str]]  # of each role that has rows, and the method that computed it

_ROLE = "\0role"  # no column of a file is called that
_PIECE = 1 << 23  # bytes that are hashed at a time: several are, side by side
_BATCH = 1 << 25  # bytes of rows that are copied at a time
_LENGTHS, _DIGEST = struct.Struct("<QQ"), 16


@dataclass(frozen=True, eq=False)
class CacheFile:
    """Some partitions.

    Args:
        names: their digests and names.
        counts: how many rows of each role the files have.
        extents: the ranges of features and targets.
        records: of each.
        table, role: the held rows, one partition after the other, and their roles.
        starts: of each partition, its first row in the table; then how many there are.
    """

    names: Sequence[Name]
    counts: Sequence[dict[int, int]]
    extents: Sequence[Ranges]
    records: Sequence[Records]
    table: pa.Table
    role: Role
    starts: Sequence[int]

    @classmethod
    def of(cls, parts: Sequence[PartitionRows]) -> "CacheFile":
        """Of partitions that were read just now; no row is copied but where a column is of several types."""
        return cls(
            [(p.partition.digest, p.partition.name) for p in parts],
            [p.counts for p in parts],
            [p.extent for p in parts],
            [p.records for p in parts],
            alike([p.table for p in parts]),
            np.concatenate([p.role for p in parts]),
            [0, *accumulate(len(p.table) for p in parts)],
        )

    @property
    def nbytes(self) -> int:
        """About how many bytes it has on disk."""
        records = (_size(record) for some in self.records for record, _ in some.values())
        return int(self.table.nbytes + len(self.role) + 8 * sum(records))

    def part(self, i: int) -> PartitionRows:
        """A partition as it was read; of the partition itself only what is kept of it."""
        return replace(self.held(i, i), records=dict(self.records[i]), extent=self.extents[i])

    def held(self, first: int, last: int) -> PartitionRows:
        """The held rows of partitions that follow each other as those of one, by the first one's name."""
        digest, name = self.names[first]
        start, stop = self.starts[first], self.starts[last + 1]
        counts = {r: sum(c[r] for c in self.counts[first : last + 1]) for r in self.counts[first]}
        rows = self.table.slice(start, stop - start), self.role[start:stop]
        return PartitionRows(Partition(name, name, 0, digest), *rows, counts)

    def write(self, path: Path) -> None:
        """Write it whole; raises ``OSError`` where that is not possible, and leaves what it has written."""
        numbers, text = np.concatenate([a.ravel() for a in self._numbers()]).tobytes(), self._description()
        with path.open("w+b") as f:
            _write_rows(f, self.table.append_column(_ROLE, pa.array(self.role)))
            f.write(numbers + text + _LENGTHS.pack(len(numbers), len(text)))
            f.flush()
            with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as body:
                f.write(_digest(pa.py_buffer(body)))

    @classmethod
    def read(cls, path: Path) -> "CacheFile | None":
        """What ``write`` wrote, mapped; None where it is not whole."""
        try:
            with path.open("rb") as f:
                body = pa.py_buffer(mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError):  # of an empty file there is no map
            return None
        end = body.size - _DIGEST
        if end < _LENGTHS.size or _digest(body[:end]) != body[end:]:
            return None
        return cls._unpacked(body[: end - _LENGTHS.size], *_LENGTHS.unpack(body[end - _LENGTHS.size : end]))

    @classmethod
    def _unpacked(cls, body: pa.Buffer, numbers_size: int, text_size: int) -> "CacheFile":
        numbers_at, text_at = body.size - text_size - numbers_size, body.size - text_size
        about = json.loads(body[text_at:].to_pybytes().decode("utf-8", "surrogateescape"))
        numbers = np.frombuffer(body, "<f8", numbers_size // 8, numbers_at)
        table = pa.ipc.open_stream(body[:numbers_at]).read_all()
        names, extent_size = list(map(tuple, about["names"])), about["extents"]
        return cls(
            names,
            [{int(r): n for r, n in counts.items()} for counts in about["counts"]],
            list(map(Ranges, *numbers[:extent_size].reshape(len(names), 2, -1).swapaxes(0, 1))),
            _records(about, len(names), numbers[extent_size:]),
            table.drop_columns([_ROLE]),
            table[_ROLE].to_numpy(),
            about["starts"],
        )

    def _all_records(self) -> Iterator[tuple[int, int, Record, str]]:
        for i, records in enumerate(self.records):
            for role, (record, method) in records.items():
                yield i, role, record, method

    def _numbers(self) -> Iterator[Float]:
        """The ranges, then the numbers of the records."""
        yield np.array([[e.low_P, e.high_P] for e in self.extents])
        for _, _, record, _ in self._all_records():
            m = record.moments
            yield from (np.array([m.weight, m.log_weight, m.square_weight]), m.shift_P, m.root_KK)
            if isinstance(record, MomentsByLevel):
                yield record.level_LK

    def _description(self) -> bytes:
        """What the numbers belong to; the columns of records are listed once, however many have them."""
        columns: dict[str, int] = {}
        records = []
        for i, role, record, method in self._all_records():
            m, levels = record.moments, record.levels if isinstance(record, MomentsByLevel) else ()
            number = columns.setdefault(json.dumps(_columns(record)), len(columns))
            records.append([i, role, method, number, m.rows, record.missing, levels])
        about: dict[str, Any] = {"names": self.names, "counts": self.counts, "starts": self.starts, "records": records}
        about |= {"columns": list(map(json.loads, columns)), "extents": sum(2 * len(e.low_P) for e in self.extents)}
        return json.dumps(about).encode("utf-8", "surrogateescape")


def by_columns(parts: Sequence[PartitionRows]) -> list[CacheFile]:
    """Those of the same columns as one file: an optional column that one lacks, the others keep."""
    groups: dict[tuple[str, ...], list[PartitionRows]] = {}
    for part in parts:
        groups.setdefault(tuple(part.table.column_names), []).append(part)
    return list(map(CacheFile.of, groups.values()))


def _columns(record: Record) -> dict[str, Any]:
    """The columns of a record, as JSON has them."""
    m = record.moments
    names: dict[str, Any] = {"features": m.features, "targets": m.targets, "gaps": record.gaps}
    if isinstance(record, MomentsByLevel):
        names |= {"category": record.category, "terms": [(term.numbers, term.levels) for term in record.terms]}
    return names


def _size(record: Record) -> int:
    """How many numbers its matrices hold."""
    return record.moments.root_KK.size + (record.level_LK.size if isinstance(record, MomentsByLevel) else 0)


def _records(about: Mapping[str, Any], n: int, numbers: Float) -> list[Records]:
    out: list[dict[int, tuple[Record, str]]] = [{} for _ in range(n)]
    at = 0
    for i, role, method, number, rows, missing, levels in about["records"]:
        columns = about["columns"][number]
        features, targets, gaps = (tuple(columns[name]) for name in ("features", "targets", "gaps"))
        k = 1 + len(features) + len(targets)
        shift, root, level = at + 3, at + 2 + k, at + 2 + k + k * k
        weight, logs, squares = numbers[at:shift].tolist()
        arrays = numbers[shift:root], numbers[root:level].reshape(k, k)
        moments = Moments(features, targets, rows, weight, *arrays, logs, squares)
        at = level + len(levels) * k
        if levels:
            terms = tuple(Term(tuple(names), tuple((c, x) for c, x in some)) for names, some in columns["terms"])
            level_LK = numbers[level:at].reshape(-1, k)
            by_level = MomentsByLevel(columns["category"], tuple(levels), level_LK, terms, moments, gaps, missing)
            out[i][role] = by_level, method
        else:
            out[i][role] = MomentsWithGaps(moments, gaps, missing), method
    return list(out)


def _write_rows(f: BinaryIO, table: pa.Table) -> None:
    with pa.ipc.new_stream(pa.PythonFile(f, mode="w"), table.schema) as writer:
        step = max(1, _BATCH * len(table) // max(1, table.nbytes))
        for start in range(0, len(table), step):
            writer.write_table(table.slice(start, step).combine_chunks())


def _digest(body: pa.Buffer) -> bytes:
    """The digest of the digests of its pieces."""
    pieces = [body[start : start + _PIECE] for start in range(0, body.size, _PIECE)]
    return bytes(xxhash.xxh3_128_digest(b"".join(in_threads(xxhash.xxh3_128_digest, pieces))))
