"""What was made of files that were read before, kept on disk: a known file is not opened again.

    ledger = Ledger.open(Path("data/.cache"), key)
    ledger.known(partition)            # its records, and where its held rows lie; None: it has to be read
    ledger.add(parts, live)            # what was read just now

One ledger holds the partitions that were read with one config of ``[data]``, each known by the digest of its content
and by its name (which decides the split). It is a folder of packs, a pack a run that read something: records and held
rows of all its partitions side by side, so that hundreds of partitions are one read. A pack begins with its digest
(XXH3-128): a damaged one is as good as none, and its files are read again. Packs are put in place whole and never
changed; once there are many, the live entries of all are written as one. The folder may be deleted at any time.
"""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from linreg.checks import Part, Role
from linreg.config import DataConfig
from linreg.extent import Extent
from linreg.gaps import Gapped
from linreg.moments import Moments
from linreg.rows import LEAF
from linreg.source import Partition
from linreg.tables import alike

FORMAT = 2  # one more where the same key would stand for other numbers
MOST = 1 << 31  # bytes of all ledgers of a folder
MOST_PACKS = 16
_SUFFIX, _DIGEST = ".pack", 16

Name = tuple[str, str]  # a partition's digest and name
Columns = tuple[tuple[str, ...], tuple[str, ...]]  # features and targets of a record
Records = dict[int, tuple[Gapped, str]]


@dataclass(frozen=True)
class Entry:
    """What is known of a partition.

    Args:
        counts: how many rows of each role the file has.
        records: of the rows of a role, and the way each was computed.
        extent: the range of features and targets.
        pack, start, stop: where its held rows lie.
    """

    counts: Mapping[int, int]
    records: Records
    extent: Extent
    pack: "Pack"
    start: int
    stop: int


@dataclass(frozen=True)
class Pack:
    """The held rows of some partitions, one after the other."""

    table: pa.Table
    role: Role


@dataclass
class Ledger:
    """The entries of one config.

    Args:
        folder: of its packs.
        entries: by digest and name.
        packs: the files that they came from.
    """

    folder: Path
    entries: dict[Name, Entry] = field(default_factory=dict)
    packs: list[Path] = field(default_factory=list)

    @classmethod
    def open(cls, cache: Path, key: str) -> "Ledger":
        """All that is whole of the ledger with that key; what is damaged is deleted."""
        out = cls(cache / key)
        for path in sorted(out.folder.glob(f"*{_SUFFIX}")):
            entries = _read(path)
            if entries is None:
                with contextlib.suppress(OSError):
                    path.unlink()
                continue
            out.entries |= entries
            out.packs.append(path)
        with contextlib.suppress(OSError):
            os.utime(out.folder)  # used now: what was not used for long goes first
        return out

    def known(self, partition: Partition) -> Entry | None:
        """What is known of a partition; None: nothing."""
        return self.entries.get((partition.digest, partition.name))

    def add(self, parts: Sequence[Part], live: Collection[Partition]) -> None:
        """Keep what was read just now; where that is not possible, a full disk say, it is left out.

        Args:
            live: all partitions of the data set as it is now: the others are forgotten when packs are joined.
        """
        with contextlib.suppress(OSError):
            old: list[Path] = []
            if len(self.packs) >= MOST_PACKS:
                names, old = {(p.digest, p.name) for p in live}, self.packs
                kept = [(name, entry) for name, entry in self.entries.items() if name in names]
                parts = [*(_part(*named) for named in kept), *parts]
            if parts:
                self._write(parts)
            for path in old:
                path.unlink(missing_ok=True)

    def _write(self, parts: Sequence[Part]) -> None:
        content = _content(parts)
        if len(content) > MOST // 2:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{uuid.uuid4().hex}{_SUFFIX}"
        coming = path.with_suffix(".coming")
        try:
            with coming.open("wb") as f:
                f.write(xxhash.xxh3_128_digest(content))
                f.write(content)
            coming.replace(path)
        finally:
            coming.unlink(missing_ok=True)


def key_of(
    config: DataConfig, *, dtype: str, optional: Sequence[str], optional_gaps: bool, held: Collection[int]
) -> str:
    """The digest of all that the entries hang on but the partition; the path is not among it."""
    about = {
        "format": [FORMAT, LEAF],
        "columns": [config.features, config.targets, config.weight, sorted(set(optional)), optional_gaps],
        "split": [config.key, config.test_fraction, config.validation_fraction, config.split_seed],
        "values": [config.missing, dtype],
        "held": sorted(held),
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def trim(cache: Path, *, most: int = MOST) -> None:
    """Delete the ledgers that were not used for the longest time, until the rest is no larger than ``most``."""
    found = []
    for folder in cache.glob("*/"):
        with contextlib.suppress(OSError):
            size = sum(p.stat().st_size for p in folder.glob(f"*{_SUFFIX}"))
            found.append((folder.stat().st_mtime, size, folder))
    total = sum(size for _, size, _ in found)
    for _, size, folder in sorted(found):
        if total <= most:
            return
        shutil.rmtree(folder, ignore_errors=True)
        total -= size


def _part(name: Name, entry: Entry) -> Part:
    """An entry as it was read; of the partition only what is kept of it."""
    digest, own = name
    rows = slice(entry.start, entry.stop)
    table = entry.pack.table.slice(entry.start, entry.stop - entry.start)
    made_of = dict(entry.counts), entry.records, entry.extent
    return Part(Partition(own, own, 0, digest), table, entry.pack.role[rows], (), *made_of)


def _content(parts: Sequence[Part]) -> bytes:
    """Sizes, the list of entries, their factors, roles and rows."""
    names = set.intersection(*(set(p.table.column_names) for p in parts))
    keep = [n for n in parts[0].table.column_names if n in names]
    table = alike([p.table.select(keep) for p in parts])
    numbers = np.concatenate([n for p in parts for n in (p.extent.low_P, p.extent.high_P, *map(_numbers, _moments(p)))])
    role = np.concatenate([p.role for p in parts])
    columns = list(dict.fromkeys((m.features, m.targets) for p in parts for m in _moments(p)))
    place = {named: i for i, named in enumerate(columns)}  # most parts have the same
    text = json.dumps([columns, [_listed(p, place) for p in parts]]).encode("utf-8", "surrogateescape")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    sizes = np.array([len(text), numbers.nbytes, len(role)], "<u8")
    text += b" " * (-(sizes.nbytes + len(text)) % 8)  # the factors lie as numpy wants them
    sizes[0] = len(text)
    return b"".join([sizes.tobytes(), text, numbers.tobytes(), role.tobytes(), sink.getvalue()])


def _listed(part: Part, place: Mapping[Columns, int]) -> list[Any]:
    """What ``_entries`` reads again."""
    records = {
        role: [place[m.features, m.targets], m.rows, gapped.gaps, gapped.missing, way]
        for role, (gapped, way) in part.records.items()
        for m in [gapped.moments]
    }
    return [part.partition.digest, part.partition.name, part.counts, len(part.table), len(part.extent.low_P), records]


def _moments(part: Part) -> Iterable[Moments]:
    return (gapped.moments for gapped, _ in part.records.values())


def _numbers(m: Moments) -> npt.NDArray[np.float64]:
    return np.concatenate([[m.weight, m.log_weight, m.square_weight], m.shift_P, m.root_KK.ravel()])


def _read(path: Path) -> dict[Name, Entry] | None:
    """The entries of a pack; None where it is not whole."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    body = memoryview(content)[_DIGEST:]
    if xxhash.xxh3_128_digest(body) != content[:_DIGEST]:
        return None
    text, numbers, role = map(int, np.frombuffer(body[:24], "<u8"))
    ends = np.cumsum([24, text, numbers, role])
    described = json.loads(bytes(body[24 : ends[1]]).decode("utf-8", "surrogateescape"))
    table = pa.ipc.open_stream(pa.py_buffer(body[ends[3] :])).read_all()
    pack = Pack(table, np.frombuffer(body[ends[2] : ends[3]], np.int8))
    return _entries(described, np.frombuffer(body[ends[1] : ends[2]], "<f8"), pack)


def _entries(text: list[Any], numbers: npt.NDArray[np.float64], pack: Pack) -> dict[Name, Entry]:
    columns = [(tuple(features), tuple(targets)) for features, targets in text[0]]
    out: dict[Name, Entry] = {}
    row, at = 0, 0
    for digest, name, counts, held, p, records in text[1]:
        found: Records = {}
        extent, at = Extent(numbers[at : at + p], numbers[at + p : at + 2 * p]), at + 2 * p
        for role, (which, rows, gaps, missing, way) in records.items():
            moments, at = _record(columns[which], rows, numbers, at)
            found[int(role)] = Gapped(moments, tuple(gaps), missing), way
        out[digest, name] = Entry({int(r): c for r, c in counts.items()}, found, extent, pack, row, row + held)
        row += held
    return out


def _record(columns: Columns, rows: int, numbers: npt.NDArray[np.float64], at: int) -> tuple[Moments, int]:
    """The record whose numbers begin there, and where the next one's do."""
    k = 1 + len(columns[0]) + len(columns[1])
    stop = at + 2 + k + k * k
    weight, logs, squares = numbers[at : at + 3].tolist()
    shift_P, root_KK = numbers[at + 3 : at + 2 + k], numbers[at + 2 + k : stop].reshape(k, k)
    return Moments(*columns, rows, weight, shift_P, root_KK, logs, squares), stop
