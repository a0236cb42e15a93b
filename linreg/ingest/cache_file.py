"""What was made of some files: records and held rows of all of them side by side, in memory or in one file.

    pack = Pack.of(parts)
    pack.write(Path("a.pack"))
    Pack.read(Path("a.pack"))          # None where it is not whole

The file is mapped, not read: rows stay on disk until they are used. It ends with a list of what is in it and with the
digest (XXH3-128) of every piece; a file of which a piece does not have its digest is as good as none.

Shapes: n partitions, R roles, P columns.
"""

import json
import mmap
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import xxhash

from linreg.files.partitions import Partition
from linreg.files.tables import alike
from linreg.ingest.part import DROPPED, RECORDED, WEIGHTLESS, PartitionRows, Role
from linreg.moments.from_rows import NUMPY, PLAIN
from linreg.moments.moments import Float
from linreg.moments.ranges import Extent
from linreg.moments.stacks import Ints, Level, Stack, stacked
from linreg.rows import split
from linreg.threads import in_threads

Name = tuple[str, str]  # a partition's digest and name

ROLES = (WEIGHTLESS, DROPPED, split.TRAIN, split.VALIDATION, split.TEST)
_PIECE = 1 << 23  # bytes that have a digest of their own: several are looked at side by side
_SEVERAL = 8  # pieces from which threads pay
_BATCH = 1 << 25  # bytes of rows that are copied at a time
_ALIGN = 64
_TAIL = struct.Struct("<16sQ")  # the digest of the list, and its length


@dataclass(frozen=True)
class Pack:
    """Some partitions.

    Args:
        names: their digests and names.
        counts_nR: how many rows of each of ``ROLES`` the files have.
        extent_n2P: the range of features and targets: smallest values, largest values.
        records: of each role that has rows, by the columns that they have.
        tables: the held rows, one partition after the other.
        roles: of each of these rows.
        place_n3: the table of each partition's rows, the first and the last row in it (exclusive).
    """

    names: Sequence[Name]
    counts_nR: Ints
    extent_n2P: Float
    records: Mapping[int, Sequence[Stack]]
    tables: Sequence[pa.Table]
    roles: Sequence[Role]
    place_n3: Ints

    @classmethod
    def of(cls, parts: Sequence[PartitionRows]) -> "Pack":
        """Of partitions that were read just now; their tables stay as they are."""
        recorded = {
            r: stacked(
                (i, gapped, way == PLAIN)
                for i, part in enumerate(parts)
                if r in part.records
                for gapped, way in [part.records[r]]
            )
            for r in RECORDED
        }
        return cls(
            [(p.partition.digest, p.partition.name) for p in parts],
            np.array([[p.counts[r] for r in ROLES] for p in parts], np.int64),
            np.array([[p.extent.low_P, p.extent.high_P] for p in parts]),
            {r: stacks for r, stacks in recorded.items() if stacks},
            [p.table for p in parts],
            [p.role for p in parts],
            np.array([[i, 0, len(p.table)] for i, p in enumerate(parts)], np.int64),
        )

    def part(self, i: int) -> PartitionRows:
        """A partition as it was read; of the partition itself only what is kept of it."""
        (digest, name), (table, start, stop) = self.names[i], self.place_n3[i].tolist()
        records = {
            r: (stack.gapped(row), PLAIN if stack.plain_n[row] else NUMPY) for r, stack, row in self._places_n[i]
        }
        rows = self.tables[table].slice(start, stop - start), self.roles[table][start:stop]
        counts = dict(zip(ROLES, self.counts_nR[i].tolist(), strict=True))
        return PartitionRows(Partition(name, name, 0, digest), *rows, counts, records, Extent(*self.extent_n2P[i]))

    @cached_property
    def _places_n(self) -> Sequence[Sequence[tuple[int, Stack, int]]]:
        """Of each partition, the roles that it has records of, and where they are."""
        out: list[list[tuple[int, Stack, int]]] = [[] for _ in self.names]
        for r, stacks in self.records.items():
            for stack in stacks:
                for row, i in enumerate(stack.which_n.tolist()):
                    out[i].append((r, stack, row))
        return out

    @cached_property
    def keys(self) -> Sequence[bytes]:
        """Of each partition, what tells it from any other."""
        return [f"{digest} {name}\0".encode("utf-8", "surrogateescape") for digest, name in self.names]

    @cached_property
    def nbytes(self) -> int:
        """About how many bytes a file of it has."""
        roots = sum(stack.level.root_nKK.nbytes for stack in self._stacks())
        return int(roots + sum(table.nbytes + len(table) for table in self.tables))

    def write(self, path: Path) -> None:
        """Write it whole; raises ``OSError`` where that is not possible, and leaves what it has written."""
        groups = self._alike()
        with path.open("w+b") as f:
            arrays = [self.counts_nR, self.extent_n2P, *(a for s in self._stacks() for a in _arrays(s))]
            sizes = [_written(f, a) for a in [*arrays, *(np.concatenate([self.roles[t] for t in g]) for g in groups)]]
            for group in groups:
                _write_rows(f, [self.tables[t] for t in group])
            f.flush()
            end = f.tell()
            with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as body:
                digests = _digests(body, end)
            about = {"sizes": sizes, "digests": digests, **self._about(groups)}
            text = json.dumps(about).encode("utf-8", "surrogateescape")
            f.write(text + _TAIL.pack(xxhash.xxh3_128_digest(text), len(text)))

    @classmethod
    def read(cls, path: Path) -> "Pack | None":
        """What ``write`` wrote, mapped; None where it is not whole."""
        try:
            with path.open("rb") as f:
                body = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # of an empty file there is no map
            return None
        about = _list(body)
        return None if about is None else _unpacked(about, body)

    def _alike(self) -> list[list[int]]:
        """The tables of the same columns together: an optional column that one lacks, the others keep."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for t, table in enumerate(self.tables):
            groups.setdefault(tuple(table.column_names), []).append(t)
        return list(groups.values())

    def _stacks(self) -> Iterator[Stack]:
        return (stack for stacks in self.records.values() for stack in stacks)

    def _about(self, groups: Sequence[Sequence[int]]) -> dict[str, Any]:
        """The list of what is in it."""
        digests, names = zip(*self.names, strict=True)
        stacks = [[r, s.features, s.targets, s.gaps, len(s.which_n)] for r, some in self.records.items() for s in some]
        held = (self.place_n3[:, 2] - self.place_n3[:, 1]).tolist()
        group = {t: g for g, tables in enumerate(groups) for t in tables}
        table = [group[t] for t in self.place_n3[:, 0].tolist()]
        return {"partitions": digests, "names": names, "held": held, "table": table, "stacks": stacks}


def _arrays(stack: Stack) -> list[np.ndarray]:
    return [stack.which_n, stack.missing_n, stack.plain_n, *stack.level]


def _written(f: BinaryIO, array: np.ndarray) -> int:
    """Write an array, filled up so that the next one begins where any may; how many bytes it has."""
    f.write(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    f.write(b"\0" * (-array.nbytes % _ALIGN))
    return array.nbytes


def _write_rows(f: BinaryIO, tables: Sequence[pa.Table]) -> None:
    """Write tables of the same columns as one."""
    whole = alike(tables)
    with pa.ipc.new_stream(pa.PythonFile(f, mode="w"), whole.schema) as writer:
        step = max(1, _BATCH * len(whole) // max(1, whole.nbytes))
        for start in range(0, len(whole), step):
            writer.write_table(whole.slice(start, step).combine_chunks())


def _digests(body: Any, end: int) -> list[str]:
    """The digest of every piece of the first bytes."""
    view = memoryview(body)
    pieces = [view[start : min(start + _PIECE, end)] for start in range(0, end, _PIECE)]
    try:
        return in_threads(xxhash.xxh3_128_hexdigest, pieces, threads=1 if len(pieces) < _SEVERAL else 0)
    finally:
        for piece in pieces:
            piece.release()
        view.release()


def _list(body: mmap.mmap) -> dict[str, Any] | None:
    """The list at a file's end, if the file is whole."""
    end = len(body) - _TAIL.size
    if end < 0:
        return None
    digest, length = _TAIL.unpack(body[end:])
    text = body[max(0, end - length) : end]
    if xxhash.xxh3_128_digest(text) != digest:
        return None
    about: dict[str, Any] = json.loads(text.decode("utf-8", "surrogateescape"))
    return about if _digests(body, end - length) == about["digests"] else None


class _Reader:
    """Hands out a file's arrays, one after the other."""

    def __init__(self, body: mmap.mmap, sizes: Sequence[int]) -> None:
        self.buffer, self.sizes, self.at = pa.py_buffer(body), iter(sizes), 0

    def __call__(self, dtype: str, *shape: int) -> np.ndarray:
        size = next(self.sizes)
        found = np.frombuffer(self.buffer, dtype, size // np.dtype(dtype).itemsize, self.at)
        self.at += size + -size % _ALIGN
        return found.reshape(shape)


def _unpacked(about: Mapping[str, Any], body: mmap.mmap) -> Pack:
    names = list(zip(about["partitions"], about["names"], strict=True))
    take = _Reader(body, about["sizes"])
    n = len(names)
    counts, extent = take("<i8", n, len(ROLES)), take("<f8", n, 2, -1)
    records: dict[int, list[Stack]] = {}
    for role, features, targets, gaps, count in about["stacks"]:
        k = 1 + len(features) + len(targets)
        which, missing, plain = (take("<i8", count) for _ in range(3))
        level = Level(take("<i8", count), take("<f8", count, 3), take("<f8", count, k - 1), take("<f8", count, k, k))
        stack = Stack(tuple(features), tuple(targets), tuple(gaps), which, missing, plain, level)
        records.setdefault(role, []).append(stack)
    place = _places(np.array(about["table"]), np.array(about["held"]))
    count = 1 + max(about["table"])
    roles = [take("i1", -1) for _ in range(count)]
    rows = pa.BufferReader(take.buffer[take.at :])
    tables = [pa.ipc.open_stream(rows).read_all() for _ in range(count)]
    return Pack(names, counts, extent, records, tables, roles, place)


def _places(table_n: Ints, held_n: Ints) -> Ints:
    """``Pack.place_n3`` of partitions that follow each other in each table."""
    out = np.stack([table_n, np.zeros_like(held_n), np.zeros_like(held_n)], axis=1)
    for t in range(1 + int(table_n.max())):
        at = table_n == t
        out[at, 2] = np.cumsum(held_n[at])
    out[:, 1] = out[:, 2] - held_n
    return out
