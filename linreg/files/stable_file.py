"""One data file as it is streamed: opened as often as needed, and refused where it is not the same file any more.

Nothing is hashed: size and time of the last change have to stand still from the first look to the last. It does not
know what the file holds.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import pyarrow as pa

from linreg.files import faults, paths, unpacked

_PROBE = 65_536


@dataclass(frozen=True)
class DataFile:
    """A file and how it was when it was found.

    Args:
        path: what opens it: a local path or a URI.
        size: bytes.
        changed: when, in nanoseconds; None where the storage does not tell.
    """

    path: str
    size: int
    changed: int | None

    @classmethod
    def of(cls, path: str) -> "DataFile":
        """Look at the file; raises ``UserError`` or ``ServerAway`` where it cannot be reached."""
        with paths.advice(path):
            system, inner = paths.open_system(path)
            info = system.get_file_info(inner)
            if not info.is_file:
                raise FileNotFoundError(2, "no such file", path)
        return cls(path, info.size, info.mtime_ns)

    @property
    def label(self) -> str:
        """The path as messages show it: without credentials."""
        return paths.label(self.path)

    @property
    def remote(self) -> bool:
        """Whether each read asks a server."""
        return paths.is_remote(self.path)

    def open(self) -> AbstractContextManager[pa.NativeFile | unpacked.Unpacked]:
        """The file, at its beginning; closed at the end."""
        return unpacked.opened(self.path)

    def check(self) -> None:
        """Refuse a file that is not what was found, or cannot be read: before what it held is blamed, or trusted."""
        if DataFile.of(self.path) != self:
            raise faults.changed(self.label)
        with paths.advice(self.path), paths.open_file(self.path) as file:
            file.read_at(_PROBE, 0)
            file.read_at(_PROBE, max(0, self.size - _PROBE))
