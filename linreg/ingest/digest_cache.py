"""Which files were hashed before, and what their inodes said then: a file that is still the same is not opened.

    known = KnownFiles.open(Path("data/.cache"), "data/nights")
    partitions = find("data/nights", known=known.files)
    known.save(partitions)

A file counts as the same where path, size, inode, device and the times of its last changes are; ``find`` gives a
stamp only to local files that had been still for a while when they were hashed. The list begins with its digest: a
damaged one, or one of an earlier release, is as good as none.
"""

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import xxhash

from linreg.files.partitions import Partition

_SUFFIX = ".files"
_DIGEST = 16


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
        listed = [[p.name, p.path, p.size, p.digest, p.stamp] for p in now.values()]
        text = json.dumps(listed).encode("utf-8", "surrogateescape")
        coming = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            coming.write_bytes(xxhash.xxh3_128_digest(text) + text)
            coming.replace(self.path)


def _read(path: Path) -> dict[str, Partition]:
    try:
        content = path.read_bytes()
    except OSError:
        return {}
    text = content[_DIGEST:]
    if xxhash.xxh3_128_digest(text) != content[:_DIGEST]:
        return {}
    try:
        listed = json.loads(text.decode("utf-8", "surrogateescape"))
    except ValueError:  # as it was written by an earlier release
        return {}
    return {opens: Partition(name, opens, size, digest, tuple(stamp)) for name, opens, size, digest, stamp in listed}
