"""What lies below a folder of this machine, whatever links lead where: each file once, and which tables they are of.

    tree = walk("data", ("**", "*"))             # a pattern's parts; "**" stands for folders at any depth

Names that begin with ``_`` or ``.`` belong to the writers (Hive, Spark, macOS) and are passed over, unless the
pattern's part begins so itself. It opens no file.
"""

import fnmatch
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from linreg.errors import UserError

HIDDEN = (".", "_")
EVERYTHING = ("**", "*")
_BOOKS = {"_delta_log": "Delta", ".hoodie": "Hudi"}  # folders in which a table's writer keeps which files count
_ICEBERG, _METADATA = "metadata", ".metadata.json"


class Entry(NamedTuple):
    """A file: its name below the root, what opens it, and what its inode says."""

    name: str
    path: str
    status: os.stat_result


class _Place(NamedTuple):
    """A folder that is to be looked at; ``real`` is its path without links, ``parts`` the pattern from here on."""

    name: str
    path: str
    real: str
    parts: tuple[str, ...]

    def below(self, entry: "os.DirEntry[str]", parts: tuple[str, ...]) -> "_Place":
        real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(self.real, entry.name)
        return _Place(os.path.join(self.name, entry.name), entry.path, real, parts)


@dataclass
class Tree:
    """What a pattern means.

    Args:
        files: each once, by its path without links; a name without links goes before one with them.
        folders: the names of those that the pattern's last part names.
        tables: which table format a folder is of, by its name below the root (empty: the root).
    """

    files: dict[str, Entry] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)

    def add(self, place: _Place, status: os.stat_result) -> None:
        """Take a file unless it is there already."""
        self.files.setdefault(place.real, Entry(place.name, place.path, status))


def walk(root: str, pattern: Sequence[str]) -> Tree:
    """Look for a pattern; each folder is looked at once for what is left of the pattern there, so loops of links end.

    Raises:
        UserError: a link leads nowhere.
        OSError: a folder may not be read.
    """
    tree, seen = Tree(), set[tuple[str, tuple[str, ...]]]()
    folders = [_Place("", root, os.path.realpath(root), _plain(pattern))]
    linked_folders: list[_Place] = []
    linked_files: list[_Place] = []
    while folders or linked_folders:
        place = folders.pop() if folders else linked_folders.pop(0)
        if (place.real, place.parts) in seen:
            continue
        seen.add((place.real, place.parts))
        for entry, parts in _matching(_listed(place, tree), place.parts):
            link, below = entry.is_symlink(), place.below(entry, parts)
            if _is_folder(entry) and parts:
                (linked_folders if link else folders).append(below)
            elif entry.is_dir():
                tree.folders.append(below.name)
            elif not parts:
                linked_files.append(below) if link else tree.add(below, entry.stat())
    for place in sorted(linked_files):
        tree.add(place, os.stat(place.path))
    return tree


def _listed(place: _Place, tree: Tree) -> list["os.DirEntry[str]"]:
    """What is in a folder, sorted, without the books of a table."""
    with os.scandir(place.path) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    if table := table_format(place.path, [entry.name for entry in listed]):
        tree.tables[place.name] = table
    return [entry for entry in listed if entry.name != _ICEBERG] if table.startswith("Iceberg") else listed


def table_above(path: str) -> str:
    """The table format that a folder lies in, by the folders above it; empty: none."""
    above = os.path.realpath(path)
    while above != os.path.dirname(above):
        above = os.path.dirname(above)
        names = [name for name in (*_BOOKS, _ICEBERG) if os.path.isdir(os.path.join(above, name))]
        if table := table_format(above, names):
            return table
    return ""


def table_format(folder: str, names: Sequence[str]) -> str:
    """Which table's files a folder holds, by the names in it: ``Delta: _delta_log``; empty: of none."""
    book = next((f"{_BOOKS[name]}: {name}" for name in names if name in _BOOKS), "")
    if book or _ICEBERG not in names or not os.path.isdir(inner := os.path.join(folder, _ICEBERG)):
        return book
    return f"Iceberg: {_ICEBERG}" if any(name.endswith(_METADATA) for name in os.listdir(inner)) else ""


def table_names(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Of the names below a folder of a storage those that count, and its folders that are of a table format."""
    books = re.compile(rf"(?:(.*)/)?({'|'.join(map(re.escape, _BOOKS))}|{_ICEBERG}(?=/[^/]+{_METADATA}$))/.*")
    matches = [match for name in names if (match := books.fullmatch(name))]
    tables = {m[1] or "": f"{_BOOKS.get(m[2], 'Iceberg')}: {m[2]}" for m in matches}
    own = tuple(f"{m[1]}/{_ICEBERG}/".lstrip("/") for m in matches if m[2] == _ICEBERG)
    return [n for n in names if not n.startswith(own) and not re.search(r"(^|/)[._]", n)], tables


def _plain(pattern: Sequence[str]) -> tuple[str, ...]:
    """No ``**`` behind another, and none at the end: there it stands for all files too."""
    parts = [part for i, part in enumerate(pattern) if part != "**" or pattern[i - 1 : i] != ["**"]]
    return (*parts, "*") if parts[-1] == "**" else tuple(parts)


def _matching(
    entries: Sequence["os.DirEntry[str]"], parts: tuple[str, ...]
) -> Iterator[tuple["os.DirEntry[str]", tuple[str, ...]]]:
    """The entries that the first part means, each with the parts that are left for what is in it; ``**`` stays."""
    first, *rest = parts
    if first == "**":
        yield from ((e, parts) for e in entries if not e.name.startswith(HIDDEN) and _is_folder(e))
        yield from _matching(entries, tuple(rest))
        return
    fits = re.compile(fnmatch.translate(first)).match
    for entry in entries:
        hidden = entry.name.startswith(HIDDEN) and not first.startswith(entry.name[0])
        if not hidden and (entry.name == first or fits(entry.name)):
            yield entry, tuple(rest)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Raises ``UserError`` where it is a link that leads nowhere: what is missing there would be missing in silence."""
    if entry.is_symlink() and not os.path.exists(entry.path):
        raise broken_link(entry.path)
    return entry.is_dir()


def broken_link(path: str) -> UserError:
    """The error of a link that leads nowhere."""
    return UserError(f"{path}: is a link to {os.readlink(path)}, which is not there: mend the link, or remove it")
