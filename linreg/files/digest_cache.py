"""Which files were hashed before, and what their inodes said then: a file that is still the same is not opened.

    known = KnownFiles.open(Path("data/.cache"), "data/nights")
    partitions = source.find("data/nights", known=known.files)
    known.save(partitions)

A file counts as the same where path, size, inode, device and the times of its last changes are; ``source`` gives a
stamp only to local files that had been still for a while when they were hashed. The list begins with its digest: a
damaged one is as good as none. Numbers are kept as such: as text they are slow to read.
"""

import contextlib
import json
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from linreg.files.partitions import Partition

_SUFFIX = ".files"
_COUNT = struct.Struct("<Q")
_WORD = (1 << 64) - 1  # times may be negative, inodes may fill a word


@dataclass(frozen=True)
class KnownFiles:
    """The list of one data set.

    Args:
        path: where it is kept.
        files: the partitions with a stamp, by what opens them.
    """

    path: Path
    files: dict[str, Partition]

    @classmethod
    def open(cls, cache: Path, data: str) -> "KnownFiles":
        """The list of a data set, by its ``data.path`` and the working directory; empty where there is none."""
        where = f"{os.getcwd()}\0{data}".encode("utf-8", "surrogateescape")
        path = cache / f"{xxhash.xxh3_128_hexdigest(where)}{_SUFFIX}"
        return cls(path, _read(path))

    def save(self, partitions: Iterable[Partition]) -> None:
        """Put the list of what is there now in place; where that is not possible, it is left out."""
        now = {p.path: p for p in partitions if p.stamp}
        # find gives those that it knows as they are
        if len(now) == len(self.files) and all(self.files.get(k) is p for k, p in now.items()):
            return
        numbers = np.array([[n & _WORD for n in (p.size, *p.stamp)] for p in now.values()], np.uint64)
        text = json.dumps([[p.name for p in now.values()], list(now), [p.digest for p in now.values()]])
        content = b"".join([_COUNT.pack(len(now)), numbers.tobytes(), text.encode("utf-8", "surrogateescape")])
        coming = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            coming.write_bytes(xxhash.xxh3_128_digest(content) + content)
            coming.replace(self.path)


def _read(path: Path) -> dict[str, Partition]:
    try:
        content = path.read_bytes()
    except OSError:
        return {}
    if len(content) < 24 or xxhash.xxh3_128_digest(content[16:]) != content[:16]:
        return {}
    (count,) = _COUNT.unpack(content[16:24])
    if 24 + 48 * count > len(content):  # as it was written by an earlier version
        return {}
    numbers = np.frombuffer(content, np.uint64, 6 * count, 24).reshape(count, 6)
    times_n4, inode_n2 = numbers[:, :4].astype(np.int64).tolist(), numbers[:, 4:].tolist()
    listed = json.loads(content[24 + 48 * count :].decode("utf-8", "surrogateescape"))
    return {
        opens: Partition(name, opens, size, digest, (*times, *inode))
        for name, opens, digest, (size, *times), inode in zip(*listed, times_n4, inode_n2, strict=True)
    }
