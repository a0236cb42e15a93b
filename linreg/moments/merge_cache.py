"""Records that were merged from others, kept from run to run by what they were made of.

    kept = Branches.open(path, salt)
    merge_gapped(series, kept)          # finds what it can use there, and adds what it had to merge
    kept.save()

A file ends with the digest (XXH3-128) of all before it; a damaged one is as good as none. It holds what the last merge
used and nothing else: what is made of a file that was withdrawn is gone with the next run.

Shapes: n records, P columns, K = 1 + P.
"""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xxhash

from linreg.moments.stacks import Ints, Level

_KEY, _DIGEST = 16, 16


class Branches:
    """The merged records of one role."""

    def __init__(self, path: Path, keys: Sequence[bytes], level: Level | None) -> None:
        self.path = path
        self._row = {key: i for i, key in enumerate(keys)}
        self._level = level
        self._used: list[tuple[Sequence[bytes], Level]] = []

    @classmethod
    def open(cls, path: Path, columns: int) -> "Branches":
        """What is kept there of records of so many columns; nothing where the file is not whole."""
        try:
            content = path.read_bytes()
        except OSError:
            return cls(path, (), None)
        body, k = memoryview(content)[:-_DIGEST], 1 + columns
        each = _KEY + 8 * (1 + 3 + columns + k * k)
        if len(body) % each or xxhash.xxh3_128_digest(body) != content[-_DIGEST:]:
            return cls(path, (), None)
        n, at, parts = len(body) // each, 0, []
        for dtype, shape in (("<i8", ()), ("<f8", (3,)), ("<f8", (columns,)), ("<f8", (k, k))):
            count = n * int(np.prod(shape))
            parts.append(np.frombuffer(body, dtype, count, at).reshape(n, *shape))
            at += 8 * count
        keys = bytes(body[at:])
        return cls(path, [keys[i : i + _KEY] for i in range(0, len(keys), _KEY)], Level(*parts))

    @property
    def level(self) -> Level:
        """All records that were there."""
        assert self._level is not None
        return self._level

    def rows(self, keys: Sequence[bytes]) -> Ints:
        """Where the records with these keys stand; -1: nowhere."""
        return np.array([self._row.get(key, -1) for key in keys], np.int64)

    def use(self, keys: Sequence[bytes], level: Level) -> None:
        """Take note of records that are in use."""
        self._used.append((keys, level))

    def save(self) -> None:
        """Put what is in use in place, where it is not what is there; where that is not possible, it is left out."""
        if {key for keys, _ in self._used for key in keys} == self._row.keys():
            return
        arrays = (np.concatenate(x) for x in zip(*(level for _, level in self._used), strict=True))
        content = b"".join([*(a.tobytes() for a in arrays), *(key for keys, _ in self._used for key in keys)])
        coming = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            coming.write_bytes(content + xxhash.xxh3_128_digest(content))
            coming.replace(self.path)
