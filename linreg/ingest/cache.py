"""What was made of files that were read before, kept on disk: a known file is not opened again.

    cache = RecordCache.open(Path("data/.cache"), key)
    fresh = [p for p in partitions if not cache.knows(p)]
    cache.add(read(fresh), partitions)
    locations = [cache.location(p) for p in partitions]

A config of ``[data]`` has a folder of files (``cache_file``), one for each run that read something, whose name hangs on
all that the numbers do, ``FORMAT`` too. A partition is known by its digest and its name, which decides the split. Files
are put in place whole and never changed; once there are many, what is live of them is written as one, but for large
ones of which half is live. A data set that would take more than half of the room is read each time. What is damaged is
read again, and the folder may be deleted at any time.
"""

import contextlib
import hashlib
import json
import os
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from linreg.files.partitions import Partition
from linreg.ingest.blocks import Reading
from linreg.ingest.cache_file import CacheFile, Name, by_columns
from linreg.ingest.part import PartitionRows
from linreg.rows.rows import LEAF

FORMAT = 8  # one more where the same key would stand for other numbers, or the files are written otherwise
MOST = 1 << 31  # bytes of the whole cache
MOST_FILES = 16  # of one config, that are not large
LARGE = 1 << 26  # bytes of a file that is not written again for others' sake
_SUFFIX, _COMING, _EARLIER = ".pack", ".coming", "merged."  # the last: what earlier releases wrote beside
_KEY = 32  # hexadecimal digits of a key, which is the name of a config's folder
_LEFT = 86_400  # s: what was not finished in that time never will be


class Location(NamedTuple):
    """A partition: the file that it is in, and which one there."""

    file: CacheFile
    position: int


@dataclass
class RecordCache:
    """The partitions of one config.

    Args:
        folder: of its files; None: nothing is kept.
        most: bytes that all folders beside it and it may have.
    """

    folder: Path | None = None
    most: int = MOST
    _files: dict[Path, CacheFile] = field(default_factory=dict)
    _locations: dict[Name, Location] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, key: str, *, most: int = MOST) -> "RecordCache":
        """All that is whole of the config with that key; what is damaged is deleted."""
        out = cls(folder / key, most)
        for path in _listed(folder / key, f"*{_SUFFIX}"):
            file = CacheFile.read(path)
            if file:
                out._files[path] = file
                out._locate(file)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()
        with contextlib.suppress(OSError):
            os.utime(folder / key)  # used now: what was not used for long goes first
        return out

    def knows(self, partition: Partition) -> bool:
        """Whether it was read before."""
        return (partition.digest, partition.name) in self._locations

    def location(self, partition: Partition) -> Location:
        """Where a partition is that was read before or added."""
        return self._locations[partition.digest, partition.name]

    def add(self, parts: Sequence[PartitionRows], live: Collection[Partition]) -> None:
        """Take what was read just now, and keep it; where that is not possible, on a full disk say, it is left out.

        Args:
            live: all partitions of the data set as it is now: the others are forgotten when files are joined.
        """
        fresh = by_columns(parts)
        if fresh and self.folder:
            with contextlib.suppress(OSError):
                self._keep(self.folder, fresh, {(p.digest, p.name) for p in live})
            prune(self.folder.parent, most=self.most)
        for file in fresh:
            self._locate(file)

    def _locate(self, file: CacheFile) -> None:
        self._locations.update((name, Location(file, i)) for i, name in enumerate(file.names))

    def _keep(self, folder: Path, fresh: Sequence[CacheFile], live: Collection[Name]) -> None:
        indices = {path: self._live(file, live) for path, file in self._files.items()}
        coming = sum(file.nbytes for file in fresh)
        if coming + sum(_share(self._files[path], some) for path, some in indices.items()) > self.most // 2:
            return
        old = self._joinable(indices, coming)
        parts = [self._files[path].part(i) for path in old for i in indices[path]]
        parts += [file.part(i) for file in fresh for i in range(len(file.names))]
        for file in by_columns(parts):
            _write(file, folder)
        for path in old:
            path.unlink(missing_ok=True)

    def _live(self, file: CacheFile, live: Collection[Name]) -> list[int]:
        """Which partitions of a file are live; those that another file has as well (two runs at once) may not be."""
        return [i for i, name in enumerate(file.names) if name in live and self._locations[name].file is file]

    def _joinable(self, indices: Mapping[Path, Sequence[int]], coming: int) -> list[Path]:
        """The files that are to be one, if it is time for that."""
        sizes = {path: file.nbytes for path, file in self._files.items()}
        small = sum(size < LARGE for size in sizes.values())
        if small < MOST_FILES and sum(sizes.values()) + coming <= self.most // 2:
            return []
        return [p for p, size in sizes.items() if size < LARGE or 2 * _share(self._files[p], indices[p]) < size]


def held_rows(locations: Sequence[Location]) -> list[PartitionRows]:
    """The held rows in this order, those of partitions that follow each other in a file as one part."""
    placed = groupby(enumerate(locations), lambda at: (id(at[1].file), at[1].position - at[0]))
    runs = [[location for _, location in run] for _, run in placed]
    return [run[0].file.held(run[0].position, run[-1].position) for run in runs]


def key_of(reading: Reading) -> str:
    """The digest of all that the entries hang on but the partition; the path is not among it."""
    config, optional = reading.config, sorted(set(reading.optional))
    about = {
        "format": [FORMAT, LEAF],
        "columns": [config.features, config.targets, config.weight, optional, reading.optional_gaps],
        "categories": [config.categorical, config.levels],
        "split": [config.key, config.test_fraction, config.validation_fraction, config.split_seed],
        "values": [config.missing, reading.dtype],
        "held": sorted(reading.held),
    }
    about |= {"formula": config.formula} if config.formula else {}
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()[:_KEY]


def prune(cache: Path, *, most: int = MOST) -> None:
    """Delete the folders that were not used for the longest time, until the rest is no larger than ``most``.

    Whatever else lies in the folder, which may be any, is not touched.
    """
    folders = []
    for folder in _listed(cache, f"{'[0-9a-f]' * _KEY}/"):
        with contextlib.suppress(OSError):
            folders.append((folder.stat().st_mtime, sum(map(_size, _own(folder))), folder))
    total = sum(size for _, size, _ in folders)
    for _, size, folder in sorted(folders):
        if total <= most:
            return
        with contextlib.suppress(OSError):
            for path in _own(folder):
                path.unlink(missing_ok=True)
            folder.rmdir()
        total -= size


def _share(file: CacheFile, indices: Sequence[int]) -> int:
    """About how many of a file's bytes some of its partitions have."""
    rows = sum(1 + file.starts[i + 1] - file.starts[i] for i in indices)
    return file.nbytes * rows // (len(file.names) + file.starts[-1])


def _write(file: CacheFile, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid.uuid4().hex}{_SUFFIX}"
    coming = path.with_suffix(_COMING)
    try:
        file.write(coming)
        coming.replace(path)
    finally:
        coming.unlink(missing_ok=True)


def _listed(folder: Path, pattern: str) -> list[Path]:
    """What matches in a folder; nothing where it cannot be listed."""
    with contextlib.suppress(OSError):
        return sorted(folder.glob(pattern))
    return []


def _own(folder: Path) -> list[Path]:
    """The files that the cache writes, or did in an earlier release."""
    return [p for p in folder.iterdir() if p.suffix in (_SUFFIX, _COMING) or p.name.lstrip(".").startswith(_EARLIER)]


def _size(path: Path) -> int:
    """The bytes of a file of the cache; one that a run that was cut off has left behind is deleted."""
    about = path.stat()
    if path.suffix == _COMING and time.time() - about.st_mtime > _LEFT:
        path.unlink(missing_ok=True)
        return 0
    return about.st_size
