"""The first rows of a data set, every column as it lies: what a first look needs, in bounded time and memory.

    rows = sample("rows/*.csv")
    rows.table, rows.complete

A CSV's columns come as text, Parquet's with their types. Columns that the folders of a file name
(``day=2026-11-01/``) stand beside its own.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from linreg.errors import UserError
from linreg.files import csv_faults, csv_layout, faults, paths, tables
from linreg.files.csv_stream import CsvStream
from linreg.files.parquet_stream import ParquetStream, extension
from linreg.files.partitions import DataFile

ROWS = 100_000  # looked at, of all files together
_CELLS = 5_000_000  # likewise: of wide tables fewer rows
MOST_FILES = 100  # looked at, evenly spread over their names
_LEAST_ROWS = 1000  # of a file
_BYTES = 1 << 26  # of CSV, of all files together
_LEAST_BYTES = 1 << 20


@dataclass(frozen=True)
class Sample:
    """What was looked at.

    Args:
        table: the rows; of columns that every file has, each once.
        files: how many there are, and of these how many were ``opened``.
        about_rows: how many there are in all files, or about so many.
        complete: whether the table has all of them.
        doubled: the names that stand more than once in a file, and in which of its columns, counted from 1.
        partial: the names that some files lack.
        folders: the columns of the table that folders name.
        is_csv: whether its text comes from a CSV, and may be numbers.
        extensions: the columns of Parquet that are only stored as what the table has, and what they are: periods, say.
        pieces: the first rows of each file, of which the table is made.
    """

    table: pa.Table
    files: int
    opened: int
    about_rows: int
    complete: bool
    doubled: Mapping[str, Sequence[int]] = field(default_factory=dict)
    partial: Sequence[str] = ()
    folders: Sequence[str] = ()
    is_csv: bool = False
    extensions: Mapping[str, str] = field(default_factory=dict)
    pieces: Sequence["_Piece"] = ()

    def place(self, row: int, column: str) -> str:
        """Where a row of the table (counted from 0) stands, for a message: ``line 5 of rows.csv``."""
        for piece in self.pieces:
            if row < len(piece.table):
                where = piece.stream.place(row, column)[0]
                return f"{where} of {piece.stream.file.label}" if self.files > 1 else where
            row -= len(piece.table)
        return f"row {row + 1}"


@dataclass(frozen=True)
class _Head(DataFile):
    """The first lines of a CSV, as if they were all of it."""

    content: bytes = b""

    def open(self) -> AbstractContextManager[pa.NativeFile]:
        return nullcontext(pa.BufferReader(self.content))

    def check(self) -> None:
        pass  # it is held


@dataclass(frozen=True)
class _Piece:
    """The first rows of a file, and of which share of it they are."""

    table: pa.Table
    stream: CsvStream | ParquetStream
    names: Sequence[str]
    folders: dict[str, str]
    rows: int
    complete: bool
    extensions: dict[str, str] = field(default_factory=dict)


def sample(path: str, *, rows: int = ROWS, raw_files: bool = False, tell: paths.Tell = warnings.warn) -> Sample:
    """Look at a file, a glob, a folder or a URI.

    Args:
        rows: how many at most, of all files together; of each file the first.
        raw_files, tell: as ``paths.files`` takes them.

    Raises:
        UserError: nothing is there, or a file is not what it should be: says where, and what to do.
        ServerAway: a remote file system does not answer.
    """
    files = paths.files(path, setting="the DATA path", raw_files=raw_files, tell=tell)
    step = max(1, len(files) - 1) / max(1, min(len(files), MOST_FILES) - 1)
    opened = [files[round(i * step)] for i in range(min(len(files), MOST_FILES))]
    share = max(_LEAST_ROWS, rows // len(opened)) if len(opened) > 1 else rows
    pieces = [_piece(file, share, _CELLS // len(opened), max(_LEAST_BYTES, _BYTES // len(opened))) for file in opened]
    with_rows = [piece for piece in pieces if len(piece.table)]
    if not with_rows:
        raise faults.no_rows(paths.label(opened[0].path))
    names = list(dict.fromkeys(name for piece in with_rows for name in [*piece.names, *piece.folders]))
    doubled = {name: at for piece in reversed(with_rows) for name, at in _doubled(piece.names).items()}
    common = [n for n in names if n not in doubled and all(n in piece.table.column_names for piece in with_rows)]
    table = pa.table({name: _joined([piece.table[name] for piece in with_rows]) for name in common})
    return Sample(
        table,
        files=len(files),
        opened=len(opened),
        about_rows=round(sum(piece.rows for piece in pieces) * len(files) / len(opened)),
        complete=len(opened) == len(files) and all(piece.complete for piece in pieces),
        doubled=doubled,
        partial=[n for n in names if n not in (*common, *doubled)],
        folders=[n for n in common if any(n in piece.folders for piece in with_rows)],
        extensions={name: type_ for piece in with_rows for name, type_ in piece.extensions.items()},
        is_csv=any(tables.kind(file.name) == "csv" for file in opened),
        pieces=with_rows,
    )


def _piece(listed: paths.FoundFile, rows: int, most_cells: int, most_bytes: int) -> _Piece:
    file = DataFile.of(listed.path)
    is_csv, bytes_share = tables.kind(listed.name) == "csv", 1.0
    stream: CsvStream | ParquetStream
    extensions: dict[str, str] = {}
    if is_csv:
        file, bytes_share = _head(file, most_bytes)
        names = _header(file)
        stream = CsvStream(file, [], texts=_once(names))
    else:
        fields = ParquetStream(file, []).fields
        names, extensions = fields.names, {f.name: extension(f) for f in fields if extension(f)}
        stream = ParquetStream(file, [], texts=_once(names))
    if names and not _once(names):
        name, at = next(iter(_doubled(names).items()))
        raise UserError(f"{file.label}: no name stands just once ({name!r} in {columns_at(at)}): rename them")
    rows = min(rows, max(_LEAST_ROWS, most_cells // max(1, len(names))))
    table = pa.Table.from_batches(_first(stream, rows), stream.schema)
    folders = {name: value for name, value in paths.folder_columns(listed.name).items() if name not in names}
    for name, value in folders.items():
        table = table.append_column(name, pa.repeat(value, len(table)))
    if not is_csv:
        total = stream.rows or 0
    elif bytes_share == 1 and len(table) < rows:
        total = len(table)
    else:
        total = max(round(stream.about_rows / bytes_share), len(table) + 1)
    return _Piece(table, stream, names, folders, total, total == len(table), extensions)


def _first(stream: CsvStream | ParquetStream, rows: int) -> Iterator[pa.RecordBatch]:
    for batch in stream.batches(rows=rows):
        yield batch.slice(0, rows)
        rows -= len(batch)
        if rows <= 0:
            return


def _head(file: DataFile, most: int) -> tuple[_Head, float]:
    """The first lines of a file, cut where no quote is open; and their share of all bytes."""
    if not file.size:
        raise faults.empty(file.label)
    with file.open() as source:
        content, size = source.read_at(most, 0), int(source.size())
    end = len(content)
    if end < size:
        newline = b"\n" if b"\n" in content else b"\r"
        end = content.rfind(newline) + 1
        while end and content.count(b'"', 0, end) % 2:
            end = content.rfind(newline, 0, end - 1) + 1
        end = end or len(content)
    return _Head(file.path, end, file.changed, content[:end]), end / size


def _header(file: DataFile) -> Sequence[str]:
    with file.open() as source:
        names = csv_layout.layout(file.label, source).names
        csv_faults.doubt(file.label, source.read_at(65_536, 0), names, ["\0"])
    return names


def _once(names: Sequence[str]) -> list[str]:
    doubled = _doubled(names)
    return [name for name in names if name not in doubled]


def _doubled(names: Sequence[str]) -> dict[str, list[int]]:
    """The names that stand more than once, and where, counted from 1."""
    at: dict[str, list[int]] = {}
    for number, name in enumerate(names, start=1):
        at.setdefault(name, []).append(number)
    return {name: numbers for name, numbers in at.items() if len(numbers) > 1}


def columns_at(numbers: Sequence[int]) -> str:
    """The columns of these numbers, in words.

    >>> columns_at([2, 5])
    'columns 2 and 5'
    """
    return f"columns {' and '.join(map(str, numbers))}"


def _joined(columns: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    """The columns one below the other; of several types as numbers, or else as text."""
    types = {column.type for column in columns}
    if len(types) > 1:
        numeric = all(tables.number_type(type_) for type_ in types)
        columns = [pc.cast(column, pa.float64() if numeric else pa.string(), safe=False) for column in columns]
    return pa.chunked_array([chunk for column in columns for chunk in column.chunks], columns[0].type)
