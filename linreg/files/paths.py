"""Which files a path means: a file, a glob, a folder, or a URI that pyarrow's file systems read.

Gives each file's name below the data's root and what opens it, and turns what the operating system says into one
line of advice. It reads no file.
"""

import contextlib
import glob
import gzip
import os
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.fs as pafs

from linreg.errors import ServerAway, UserError, nearest
from linreg.files.tables import kind

Stamp = tuple[int, ...]
_HIDDEN = (".", "_")  # what writers keep for themselves: Spark, Hive, macOS
_TABLE_FORMATS = {"_delta_log": "Delta", ".hoodie": "Hudi"}


class FoundFile(NamedTuple):
    """A file.

    Args:
        name: below the root.
        path: what opens it; a URI too.
        stamp: what a local file's inode says of its last change: times, size, inode and device. Empty for others.
    """

    name: str
    path: str
    stamp: Stamp = ()


def files(path: str, *, setting: str = "data.path") -> list[FoundFile]:
    """The data files that a path means, sorted by name.

    Args:
        setting: what the caller calls the path, for the advice to check it.

    Raises:
        UserError: nothing is there, nothing matches, or a file named is no data file.
        ServerAway: a remote file system does not answer.
    """
    with advice(path):
        return sorted(_remote(path, setting) if "://" in path else _local(os.path.expanduser(path), setting))


def folder_columns(name: str) -> dict[str, str]:
    """The columns that the folders of a file name, Hive-style: ``day=2026-11-01/part.csv`` has ``day``."""
    pairs = (folder.partition("=") for folder in name.split("/")[:-1])
    return {unquote(column): unquote(value) for column, equals, value in pairs if column and equals}


def windowed(files: Sequence[FoundFile], window: int, by: str) -> list[FoundFile]:
    """The files in a window, in their order.

    Args:
        window: how many count, the last ones by name; 0: all.
        by: the folder column whose dates count instead: so many days up to the last one.

    Raises:
        UserError: a file lies in no such folder, its value is no date, or no number of days is given.
    """
    if by and not window:
        raise UserError("data.window_by counts days, and data.window does not say how many: set it")
    if not window or not by:
        return list(files[-window:])
    days = [_day(file.name, file.path, by) for file in files]
    first = max(days) - (window - 1)
    return [file for file, day in zip(files, days, strict=True) if day >= first]


def _day(name: str, path: str, by: str) -> int:
    """The date of a file's folder, as a number of days; a window may reach back beyond the first date that there is."""
    value = folder_columns(name).get(by)
    if value is None:
        raise UserError(f"{label(path)}: lies in no folder {by}=DATE below data.path, which data.window_by asks for")
    try:
        return date.fromisoformat(value).toordinal()
    except ValueError:
        raise UserError(f"{label(path)}: {by}={value} is no date: write 2026-11-01, as data.window_by needs") from None


def _local(path: str, setting: str) -> list[FoundFile]:
    if "\0" in path:
        raise UserError(f"{setting} holds a NUL character, which no file's name can: correct it")
    if glob.has_magic(path) and not os.path.lexists(path):
        return _globbed(path)
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(_missing(path, setting)) from None
    if stat.S_ISDIR(status.st_mode):
        return _folder(path, setting)
    return [_data_file(os.path.basename(path), path, status)]


def _missing(path: str, setting: str) -> str:
    """The line for a path that is not there, with the names near it."""
    parent, name = os.path.split(os.path.abspath(path))
    if not os.path.isdir(parent):
        return f"{path}: no such file or folder, nor is there a folder {parent}: check {setting}"
    here = sorted(n for n in os.listdir(parent) if not n.startswith("."))
    near = _short(nearest(name, here)) or " (its folder is empty)"
    return f"{path}: no such file or folder{near}: check {setting}"


def _globbed(path: str) -> list[FoundFile]:
    parts = path.split("/")
    literal = parts[: next(i for i, part in enumerate(parts) if glob.has_magic(part))]
    root = "/".join(literal) or ("/" if path.startswith("/") else ".")
    matches = glob.glob(path, recursive=True)
    files = [_data_file(os.path.relpath(f, root), f, os.stat(f)) for f in matches if not os.path.isdir(f)]
    if not files:
        what = "matches folders only: add '/*.csv'" if matches else "matches no file: check the pattern"
        raise UserError(f"{path}: {what}")
    return files


def _folder(root: str, setting: str) -> list[FoundFile]:
    """The data files under a folder, through links to folders too, each folder once."""
    files: list[FoundFile] = []
    seen: set[str] = set()
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        if (real := os.path.realpath(folder)) in seen:
            continue
        seen.add(real)
        with os.scandir(folder) as entries:
            listed = list(entries)
        _check_no_table_format(folder, listed)
        here = [e for e in listed if not e.name.startswith(_HIDDEN)]
        below = os.path.relpath(folder, root)
        start = "" if below == os.curdir else f"{below}{os.sep}"
        folders = {e.path for e in here if e.is_dir()}
        files += [_regular(start + e.name, e.path, e.stat()) for e in here if e.path not in folders and kind(e.name)]
        waiting += sorted(folders, reverse=True)
    if not files:
        raise UserError(f"{root}: the folder holds no .csv, .parquet or .pq file: check {setting}")
    return files


def _check_no_table_format(folder: str, entries: Sequence["os.DirEntry[str]"]) -> None:
    """Refuse the folder of a table whose bookkeeping says which of its files count."""
    for entry in entries:
        if what := _TABLE_FORMATS.get(entry.name):
            raise UserError(
                f"{folder}: holds files of a table format ({what}: {entry.name}), of which some may be replaced or "
                "deleted rows: export the table to plain Parquet files and name their folder"
            )


def _data_file(name: str, path: str, status: os.stat_result | None = None) -> FoundFile:
    if not kind(name):
        ext = PurePosixPath(name).suffix
        what = f"the extension '{ext}' is not known" if ext else "the name has no extension"
        raise UserError(f"{label(path)}: {what}: give .csv, .parquet or .pq (a glob can end in '*.csv')")
    return _regular(name, path, status) if status else FoundFile(name, path)


def _regular(name: str, path: str, status: os.stat_result) -> FoundFile:
    """A named pipe or a device would be waited on for ever."""
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path}: is not a regular file: copy its content to a .csv or .parquet file")
    try:
        path.encode()
    except UnicodeEncodeError:  # a file system takes any bytes for a name; messages, JSON and the registry do not
        raise UserError(f"{path!a}: the name is no UTF-8 text: rename the file or its folder") from None
    return FoundFile(name, path, stamp(status))


def stamp(status: os.stat_result) -> Stamp:
    """What tells any change of a file."""
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev


def _remote(uri: str, setting: str) -> list[FoundFile]:
    """The files of a URI; ``head`` is the part of it that stands before the names below the root."""
    plain, _, query = uri.partition("?")
    tail = f"?{query}" if query else ""
    head = plain if "*" not in plain else plain[: plain.index("*")].rpartition("/")[0]
    system, root = open_system(head + tail)
    info = system.get_file_info(root)
    if info.type == pafs.FileType.NotFound:
        raise UserError(f"{label(uri)}: no such file or folder: check {setting}")
    if info.type == pafs.FileType.File:
        return [_data_file(PurePosixPath(root).name, uri)]
    wanted = re.compile(_regex(plain[len(head) + 1 :]) if head != plain else r"(?s:.*)")
    entries = system.get_file_info(pafs.FileSelector(root, recursive=True))
    below = [e.path[len(root.rstrip("/")) + 1 :] for e in entries if e.type == pafs.FileType.File]
    names = [n for n in below if not re.search(r"(^|/)[._]", n) and wanted.fullmatch(n) and kind(n)]
    if not names:
        raise UserError(f"{label(uri)}: no .csv, .parquet or .pq file is there: check {setting}")
    return [FoundFile(n, f"{head.rstrip('/')}/{quote(n)}{tail}") for n in names]


def _regex(pattern: str) -> str:
    return re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*\*", ".*").replace(r"\*", "[^/]*")


def open_system(path: str) -> tuple[pafs.FileSystem, str]:
    """The file system that opens a path, and the path in it."""
    if "://" not in path:
        return pafs.LocalFileSystem(), path
    try:
        system, inner = pafs.FileSystem.from_uri(path)
    except (pa.ArrowInvalid, NotImplementedError) as e:
        reason = _short(str(e).replace(path, label(path)))
        remedy = "check it (a space is %20), or download the file and name that"
        raise UserError(f"{label(path)}: not a URI that can be read ({reason}): {remedy}") from e
    if not inner:
        raise UserError(f"{label(path)}: names no bucket and no path: complete the URI")
    return system, inner


def open_file(path: str) -> pa.NativeFile:
    """The file, at its beginning."""
    system, inner = open_system(path)
    return system.open_input_file(inner)


@contextlib.contextmanager
def opened(path: str, content: bytes | None = None) -> Iterator[pa.NativeFile]:
    """What a file holds, at its beginning, while it is open; a packed one is unpacked into memory.

    Args:
        content: its bytes, where they are at hand.

    Raises:
        UserError: it cannot be opened or read, or is packed and damaged.
    """
    with advice(path):
        with open_file(path) if content is None else pa.BufferReader(content) as file:
            if not path.partition("?")[0].lower().endswith(".gz"):
                yield file
                return
            packed = file.read()
        try:
            content = gzip.decompress(packed)
        except (OSError, EOFError, zlib.error) as e:
            reason = _short(str(e))
            raise UserError(f"{label(path)}: is no whole gzip file ({reason}): write or fetch it again") from e
        yield pa.BufferReader(content)


def is_remote(path: str) -> bool:
    """Whether each read asks a server."""
    return "://" in path and not path.startswith("file:")


@contextlib.contextmanager
def advice(path: str) -> Iterator[None]:
    """Turns what the operating system or a remote one says into one line."""
    try:
        yield
    except FileNotFoundError as e:
        raise UserError(f"{label(e.filename or path)}: no such file (any more): check the path, run again") from e
    except PermissionError as e:
        raise UserError(f"{label(e.filename or path)}: may not be read: give this user the right to read it") from e
    except OSError as e:
        if is_remote(path):
            raise ServerAway(f"{label(path)}: the storage does not answer ({_short(str(e))})") from e
        raise UserError(f"{label(path)}: cannot be read ({_short(str(e))}): check the disk and the path") from e


def label(path: str) -> str:
    """A path without user, password and query: those may be credentials."""
    return re.sub(r"//[^/@]*@", "//", path.partition("?")[0]) if "://" in path else path


def _short(text: str, limit: int = 200) -> str:
    line = (text.splitlines() or [""])[0]
    return line if len(line) <= limit else line[: limit - 4] + " ..."
