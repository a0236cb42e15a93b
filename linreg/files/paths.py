"""Which files a path means: a file, a glob, a folder, or a URI that pyarrow's file systems read.

Gives each file's name below the data's root and what opens it, and turns what the operating system says into one
line of advice. It reads no file.
"""

import contextlib
import glob
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.fs as pafs

from linreg.errors import ServerAway, UserError, nearest
from linreg.files.tables import codec, kind
from linreg.files.tree import EVERYTHING, Tree, broken_link, table_above, table_names, walk

Stamp = tuple[int, ...]
Tell = Callable[[str], object]
READ = ".csv (.gz, .bz2, .zst), .parquet or .pq"
_NO_DATA = (".md", ".crc", ".md5", ".sha256", ".py", ".sql", ".sh", ".toml", ".yaml", ".yml", ".log")  # nobody's rows
_SHOWN = 10  # names in a line


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


class _Listing(NamedTuple):
    """What a path means.

    Args:
        files: of data.
        others: the names of files that are not.
        folders: the names of folders that a pattern names too.
        tables: which table format a folder is of, by its name; empty: all of it.
    """

    files: list[FoundFile]
    others: Sequence[str]
    folders: Sequence[str]
    tables: dict[str, str]


def files(
    path: str, *, setting: str = "data.path", raw_files: bool = False, tell: Tell = warnings.warn
) -> list[FoundFile]:
    """The data files that a path means, each once, sorted by name.

    Args:
        setting: what the caller calls the path, for the advice to check it.
        raw_files: whether files of a table format are read as they lie.
        tell: is given a line for what lies there too and is not read.

    Raises:
        UserError: nothing is there, nothing matches, a file named is no data file, or it is of a table format.
        ServerAway: a remote file system does not answer.
    """
    with advice(path):
        listing = _remote(path, setting) if "://" in path else _local(os.path.expanduser(path), setting)
        _check_tables(path, listing, setting, raw_files=raw_files, tell=tell)
        _tell_skipped(path, listing, tell)
        return sorted(listing.files)


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


def _local(path: str, setting: str) -> _Listing:
    if "\0" in path:
        raise UserError(f"{setting} holds a NUL character, which no file's name can: correct it")
    if glob.has_magic(path) and not os.path.lexists(path):
        return _globbed(path)
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise (broken_link(path) if os.path.islink(path) else UserError(_missing(path, setting))) from None
    if stat.S_ISDIR(status.st_mode):
        return _folder(path, setting)
    return _Listing([_data_file(os.path.basename(path), path, status)], (), (), {})


def _missing(path: str, setting: str) -> str:
    """The line for a path that is not there, with the names near it."""
    parent, name = os.path.split(os.path.abspath(path))
    if not os.path.isdir(parent):
        return f"{path}: no such file or folder, nor is there a folder {parent}: check {setting}"
    here = sorted(n for n in os.listdir(parent) if not n.startswith("."))
    near = _short(nearest(name, here)) or " (its folder is empty)"
    return f"{path}: no such file or folder{near}: check {setting}"


def _globbed(path: str) -> _Listing:
    parts = path.split("/")
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    root = "/".join(parts[:first]) or ("/" if path.startswith("/") else ".")
    pattern = [part for part in parts[first:] if part not in ("", ".")]
    tree = walk(root, pattern) if os.path.isdir(root) else Tree()
    if not tree.files:
        what = "matches folders only: add '/*.csv'" if tree.folders else "matches no file: check the pattern"
        raise UserError(f"{path}: {what}")
    files = [_data_file(file.name, file.path, file.status) for file in tree.files.values()]
    return _Listing(files, (), () if "**" in pattern else tree.folders, _tables(root, tree))


def _folder(root: str, setting: str) -> _Listing:
    """The data files under a folder, through links to folders too."""
    tree = walk(root, EVERYTHING)
    files = [_regular(file.name, file.path, file.status) for file in tree.files.values() if kind(file.name)]
    others = [file.name for file in tree.files.values() if not kind(file.name)]
    if not files:
        raise UserError(_nothing(root, others, setting))
    return _Listing(files, others, (), _tables(root, tree))


def _tables(root: str, tree: Tree) -> dict[str, str]:
    """The table formats of a tree; that of a folder above it stands for all of it."""
    above = table_above(root)
    return tree.tables | ({"": above} if above else {})


def _nothing(root: str, others: Sequence[str], setting: str) -> str:
    there = f", but {_counted(sorted(others), 'file of another kind', 'files of other kinds')}" if others else ""
    return f"{label(root)}: no {READ} file is there{there}: check {setting}"


def _check_tables(path: str, listing: _Listing, setting: str, *, raw_files: bool, tell: Tell) -> None:
    """Refuse files of a table of which its books say whether they count, or, where they are meant, tell of them."""
    for folder, table in listing.tables.items():
        if any(file.name.startswith(f"{folder}/" if folder else "") for file in listing.files):
            what = f"holds files of a table format ({table}): read as they lie, deleted and replaced rows come back"
            where = f"{label(path).rstrip('/')}/{folder}" if folder else label(path)
            remedy = "set data.raw_files = true" if setting == "data.path" else "add --raw-files"
            if not raw_files:
                raise UserError(f"{where}: {what}: export the table and name those files, or {remedy}")
            tell(f"{where}: {what}")


def _tell_skipped(path: str, listing: _Listing, tell: Tell) -> None:
    """Tell of what may be data and is not read, and of what is there twice."""
    others = sorted(name for name in listing.others if not name.lower().endswith(_NO_DATA))
    if others:
        what = _counted(others, "file is of a kind that is not read", "files are of kinds that are not read")
        tell(f"{label(path)}: {what}: save as CSV or Parquet, or move elsewhere")
    if folders := sorted(listing.folders):
        what = _counted(folders, "folder matches and is not read", "folders match and are not read")
        tell(f"{label(path)}: {what}: a pattern names files, as in '*/*.csv'")
    names = {file.name for file in listing.files}
    if packed := sorted(name for name in names if codec(name) and name.rpartition(".")[0] in names):
        what = _counted(packed, "packed file stands", "packed files stand")
        tell(f"{label(path)}: {what} beside the unpacked one: the rows of both count")


def _counted(names: Sequence[str], is_so: str, are_so: str) -> str:
    """How many, and the first names."""
    printable = [name if name.isprintable() else ascii(name) for name in names[:_SHOWN]]
    shown = [*printable, *([f"and {len(names) - _SHOWN:,} more"] if len(names) > _SHOWN else [])]
    return f"{len(names):,} {is_so if len(names) == 1 else are_so} ({', '.join(shown)})"


def _data_file(name: str, path: str, status: os.stat_result | None = None) -> FoundFile:
    if not kind(name):
        ext = PurePosixPath(name).suffix
        what = f"the extension '{ext}' is not known" if ext else "the name has no extension"
        raise UserError(f"{label(path)}: {what}: give {READ} (a glob can end in '*.csv')")
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


def _remote(uri: str, setting: str) -> _Listing:
    """The files of a URI; ``head`` is the part of it that stands before the names below the root."""
    plain, _, query = uri.partition("?")
    tail = f"?{query}" if query else ""
    head = plain if "*" not in plain else plain[: plain.index("*")].rpartition("/")[0]
    system, root = open_system(head + tail)
    info = system.get_file_info(root)
    if info.type == pafs.FileType.NotFound:
        raise UserError(f"{label(uri)}: no such file or folder: check {setting}")
    if info.type == pafs.FileType.File:
        return _Listing([_data_file(PurePosixPath(root).name, uri)], (), (), {})
    wanted = re.compile(_regex(plain[len(head) + 1 :]) if head != plain else r"(?s:.*)")
    below, tables = _below(system, root)
    names = [name for name in below if wanted.fullmatch(name)]
    files = [FoundFile(name, f"{head.rstrip('/')}/{quote(name)}{tail}") for name in names if kind(name)]
    others = [name for name in names if not kind(name)]
    if not files:
        raise UserError(_nothing(uri, others, setting))
    return _Listing(files, others, (), tables)


def _below(system: pafs.FileSystem, root: str) -> tuple[list[str], dict[str, str]]:
    """The names of all files below a folder of a file system that count, and which folders are of a table format."""
    if isinstance(system, pafs.LocalFileSystem):  # Arrow would follow loops of links
        tree = walk(root, EVERYTHING)
        return [file.name for file in tree.files.values()], _tables(root, tree)
    entries = system.get_file_info(pafs.FileSelector(root, recursive=True))
    below = [e.path[len(root.rstrip("/")) + 1 :] for e in entries if e.type == pafs.FileType.File]
    return table_names(below)


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
