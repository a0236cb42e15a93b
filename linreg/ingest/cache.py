"""What was made of files that were read before, kept on disk: a known file is not opened again.

    ledger = Ledger.open(Path("data/.cache"), key)
    ledger.known(partition)            # the pack and the place in it where it is; None: it has to be read
    ledger.add(pack, live)             # what was read just now

One ledger holds the partitions that were read with one config of ``[data]``, each known by the digest of its content
and by its name (which decides the split). It is a folder of packs (``pack``), a pack a run that read something. A
damaged one is as good as none, and its files are read again. Packs are put in place whole and never changed; once there
are many, what is live of them is written as one, but for the large ones, which stay as long as half of their rows are
live. A data set that would take more than half of what all ledgers may take is not kept, or no more of it than there
is: its files are read each time, and nothing is written that ``trim`` would delete.
The folder may be deleted at any time.
"""

import contextlib
import hashlib
import json
import os
import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from linreg.config import DataConfig
from linreg.files.partitions import Partition
from linreg.ingest.cache_file import Name, Pack
from linreg.ingest.cached import Place
from linreg.moments.merge_cache import Branches
from linreg.rows.rows import LEAF

FORMAT = 4  # one more where the same key would stand for other numbers
MOST = 1 << 31  # bytes of all ledgers of a folder
MOST_PACKS = 16  # that are not large
LARGE = 1 << 26  # bytes of a pack that is not written again for others' sake
_SUFFIX, _COMING, _MERGED = ".pack", ".coming", "merged."
_KEY = 32  # hexadecimal digits of a key, which is the name of a ledger's folder
_LEFT = 86_400  # s: what was not finished in that time never will be


@dataclass(frozen=True, eq=False)
class _File:
    """A pack on disk, and its size in bytes."""

    path: Path
    pack: Pack
    size: int

    def worth(self, which: Sequence[int]) -> int:
        """About how many of its bytes some of its partitions have."""
        rows_n = self.pack.place_n3[:, 2] - self.pack.place_n3[:, 1] + 1
        return int(self.size * rows_n[list(which)].sum() / rows_n.sum())


@dataclass
class Ledger:
    """The entries of one config.

    Args:
        folder: of its packs.
        most: bytes that all ledgers beside it and it may have.
        entries: where each partition is, by digest and name.
    """

    folder: Path
    most: int = MOST
    entries: dict[Name, Place] = field(default_factory=dict)
    _files: list[_File] = field(default_factory=list)

    @classmethod
    def open(cls, cache: Path, key: str, *, most: int = MOST) -> "Ledger":
        """All that is whole of the ledger with that key; what is damaged is deleted."""
        out = cls(cache / key, most)
        for path in _listed(out.folder, f"*{_SUFFIX}"):
            with contextlib.suppress(OSError):
                size, pack = path.stat().st_size, Pack.read(path)
                if pack is None:
                    path.unlink()
                    continue
                out.entries.update(zip(pack.names, ((pack, i) for i in range(len(pack.names))), strict=True))
                out._files.append(_File(path, pack, size))
        with contextlib.suppress(OSError):
            os.utime(out.folder)  # used now: what was not used for long goes first
        return out

    def known(self, partition: Partition) -> Place | None:
        """Where what is known of a partition is; None: nothing is known."""
        return self.entries.get((partition.digest, partition.name))

    def branches(self, role: int, columns: int) -> Branches:
        """What was merged of the records of a role."""
        return Branches.open(self.folder / f"{_MERGED}{role}", columns)

    def add(self, fresh: Pack, live: Collection[Partition]) -> None:
        """Keep what was read just now; where that is not possible, a full disk say, it is left out.

        Args:
            live: all partitions of the data set as it is now: the others are forgotten when packs are joined.
        """
        with contextlib.suppress(OSError):
            names = {(p.digest, p.name) for p in live}
            in_use = [(f, self._in_use(f, names)) for f in self._files]
            if sum(f.worth(which) for f, which in in_use) + fresh.nbytes > self.most // 2:
                return
            old = self._joinable(in_use, fresh.nbytes)
            kept = [f.pack.part(i) for f, which in in_use if f in old for i in which]
            self._write(Pack.of([*kept, *map(fresh.part, range(len(fresh.names)))]) if kept else fresh)
            for f in old:
                f.path.unlink(missing_ok=True)

    def _in_use(self, file: _File, names: Collection[Name]) -> list[int]:
        """Which partitions of a pack are live; those that another pack has as well (two runs at once) may not be."""
        found = file.pack.names
        return [i for i, n in enumerate(found) if n in names and self.entries[n][0] is file.pack]

    def _joinable(self, in_use: Sequence[tuple[_File, Sequence[int]]], coming: int) -> list[_File]:
        """The packs that are to be one, if it is time for that."""
        small = sum(f.size < LARGE for f in self._files)
        if small < MOST_PACKS and sum(f.size for f in self._files) + coming <= self.most // 2:
            return []
        return [f for f, which in in_use if f.size < LARGE or 2 * f.worth(which) < f.size]

    def _write(self, pack: Pack) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{uuid.uuid4().hex}{_SUFFIX}"
        coming = path.with_suffix(_COMING)
        try:
            pack.write(coming)
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
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()[:_KEY]


def _listed(folder: Path, pattern: str) -> list[Path]:
    """What matches in a folder; nothing where it cannot be listed."""
    with contextlib.suppress(OSError):
        return sorted(folder.glob(pattern))
    return []


def trim(cache: Path, *, most: int = MOST) -> None:
    """Delete the ledgers that were not used for the longest time, until the rest is no larger than ``most``.

    Whatever else lies in the folder, which may be any, is not touched.
    """
    found = []
    for folder in _listed(cache, f"{'[0-9a-f]' * _KEY}/"):
        with contextlib.suppress(OSError):
            found.append((folder.stat().st_mtime, sum(map(_size, _own(folder))), folder))
    total = sum(size for _, size, _ in found)
    for _, size, folder in sorted(found):
        if total <= most:
            return
        with contextlib.suppress(OSError):
            for path in _own(folder):
                path.unlink(missing_ok=True)
            folder.rmdir()
        total -= size


def _own(folder: Path) -> list[Path]:
    """The files that a ledger writes, those of ``branches`` among them."""
    return [p for p in folder.iterdir() if p.suffix in (_SUFFIX, _COMING) or p.name.lstrip(".").startswith(_MERGED)]


def _size(path: Path) -> int:
    """The bytes of a file of a ledger; one that a run that was cut off has left behind is deleted."""
    now = path.stat()
    if path.suffix == _COMING and time.time() - now.st_mtime > _LEFT:
        path.unlink(missing_ok=True)
        return 0
    return now.st_size
