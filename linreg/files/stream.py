"""Data sets of any size as streams of checked numbers, file after file, in constant memory.

    streams = find("rows/*.parquet", ["temp", "rainfall"])
    schema = common_schema(streams)
    for stream in streams:
        for batch in stream.batches(schema.names):
            batch = fitted(stream, batch, schema)

What a path means is in ``paths``; what a file says in ``parquet_stream`` and ``csv_stream``. Nulls, NaN and
infinities are handed out as they are.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from linreg.errors import UserError
from linreg.files import faults, paths, tables
from linreg.files.csv_stream import CsvStream
from linreg.files.parquet_stream import ParquetStream
from linreg.files.partitions import DataFile, HashedFile, Partition, SourceFile
from linreg.files.tables import NO_CATEGORIES, Categories


class Stream(Protocol):
    """One file: what it holds of what was asked for, its rows, and where one stands.

    Args:
        schema: the columns of a batch: numbers, the optional ones after the others, then the categories
            (``tables.category``), then the dates and those that may be text, as they are.
        rows: how many there are; None: not known yet.
        about_rows: the same, or about so many.
    """

    file: SourceFile
    schema: pa.Schema
    rows: int | None
    about_rows: int

    def batches(
        self, columns: Sequence[str] | None = None, *, rows: int = 0, threads: int = 1
    ) -> Iterator[pa.RecordBatch]:
        """The rows in their order.

        Args:
            columns: some of those that are numbers; None: the columns of ``schema``.
            rows: how many a batch holds at most, where the format lets one choose.
            threads: how many may work at once; 0: one a core.
        """

    def place(self, row: int, column: str) -> tuple[str, str]:
        """Where a row (counted from 0) stands, for a message: ``("line 5", "its text")``, or ``("row 4", "")``."""


def find(
    path: str,
    columns: Sequence[str],
    *,
    categories: Categories = NO_CATEGORIES,
    dates: Sequence[str] = (),
    raw_files: bool = False,
    tell: paths.Tell = warnings.warn,
) -> list[Stream]:
    """The files of a data set that have rows, sorted by name, each looked at: footer, header, first lines.

    Args:
        path: a file, a glob, a folder or a URI, as for training.
        columns: what every file must hold as numbers.
        categories: what it must hold as categories, or be in a folder that names (``region=north/``); and the levels
            that are listed for each.
        dates: what it must hold as dates, or as text that may be dates (``tables.microseconds``), or in a folder.
        raw_files: whether files of a table format are read as they lie.
        tell: is given a line for what lies there too and is not read, and for files without rows.

    Raises:
        UserError: nothing is there, or a file is not what it should be: says where, and what to do.
        ServerAway: a remote file system does not answer.
    """
    files = paths.files(path, setting="the INPUT path", raw_files=raw_files, tell=tell)
    streams = [_opened(file.path, DataFile.of(file.path), columns, categories, dates=dates) for file in files]
    with_rows = [stream for stream in streams if stream.rows != 0]
    if not with_rows:
        raise faults.no_rows(streams[0].file.label)
    if empty := [file.name for file, stream in zip(files, streams, strict=True) if stream.rows == 0]:
        tell(faults.without_rows(empty))
    return with_rows


def read(
    partition: Partition,
    columns: Sequence[str],
    *,
    optional: Sequence[str] = (),
    categories: Categories = NO_CATEGORIES,
    dates: Sequence[str] = (),
    texts: Sequence[str] = (),
) -> Stream:
    """A file that was hashed.

    Args:
        columns: what it must hold as numbers: integers, floats, booleans, decimals (which become float64).
        optional: what is read where the file holds it as numbers.
        categories, dates: as ``find`` takes them.
        texts: what it must hold, of any type: a CSV gives it as text, Parquet as it is. They may be ``columns`` too.

    Raises:
        UserError: the file changed since it was hashed, or is not what it should be: says where, and what to do.
    """
    options = {"optional": optional, "dates": dates, "texts": texts}
    return _opened(partition.name, HashedFile(partition), columns, categories, **options)


_FORMATS: dict[str, Callable[..., Stream]] = {"csv": CsvStream, "parquet": ParquetStream}


def _opened(
    name: str,
    file: SourceFile,
    columns: Sequence[str],
    categories: Categories,
    *,
    optional: Sequence[str] = (),
    dates: Sequence[str] = (),
    texts: Sequence[str] = (),
) -> Stream:
    """The file as its name says, with the categories and the dates that its folders name.

    Args:
        name: below the root, or the whole path, of which any folder may name one.
    """
    folders = paths.folder_columns(name)
    own = {column: levels for column, levels in categories.items() if column not in folders}
    own_dates = [column for column in dates if column not in folders]
    as_they_are = [*own_dates, *texts]
    stream = _FORMATS[tables.kind(name)](file, columns, optional=optional, categories=own, texts=as_they_are)
    for column, type_ in zip(own_dates, stream.schema.types[-len(as_they_are) :], strict=False):
        if stream.rows != 0 and not tables.date_type(type_):
            raise faults.no_date(file.label, column, str(type_))
    named: dict[str, pa.Array] = {
        **{c: tables.category(pa.array([folders[c]]), levels) for c, levels in categories.items() if c in folders},
        **{c: pa.array([folders[c]]) for c in dates if c in folders},
    }
    return _InFolders(stream, named, len(as_they_are)) if named else stream


class _InFolders:
    """A stream and what the folders of its file say: a level or a date for every row."""

    def __init__(self, stream: Stream, named: Mapping[str, pa.Array], texts: int) -> None:
        self._stream, self._named = stream, named
        self._at = len(stream.schema) - texts  # those that may be text stay the last
        self.file, self.rows, self.about_rows = stream.file, stream.rows, stream.about_rows
        fields = [pa.field(name, value.type) for name, value in named.items()]
        self.schema = pa.schema([*list(stream.schema)[: self._at], *fields, *list(stream.schema)[self._at :]])

    def batches(
        self, columns: Sequence[str] | None = None, *, rows: int = 0, threads: int = 1
    ) -> Iterator[pa.RecordBatch]:
        for batch in self._stream.batches(columns, rows=rows, threads=threads):
            yield batch if columns is not None else self._with_named(batch)

    def place(self, row: int, column: str) -> tuple[str, str]:
        return ("its folder", "") if column in self._named else self._stream.place(row, column)

    def _with_named(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        first = pa.array(np.zeros(len(batch), np.int32))
        named = [value.take(first) for value in self._named.values()]
        arrays = [*batch.columns[: self._at], *named, *batch.columns[self._at :]]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def common_schema(streams: Sequence[Stream]) -> pa.Schema:
    """The columns with types that hold the values of every file; integers and floats meet in floats.

    Raises:
        UserError: two files have nothing in common, naming both.
    """
    first, schema = streams[0], streams[0].schema
    for stream in streams[1:]:
        try:
            schema = pa.unify_schemas([schema, stream.schema], promote_options="permissive")
        except pa.ArrowException as e:
            name = next(n for n in schema.names if not _mergeable(schema.field(n), stream.schema.field(n)))
            here, there = stream.schema.field(name).type, schema.field(name).type
            what = f"column '{name}' is {here}, but {there} in the files before it ({first.file.label})"
            raise UserError(f"{stream.file.label}: {what}: score them apart, or write them alike") from e
    return schema


def fitted(stream: Stream, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with the types of ``schema``.

    Raises:
        UserError: a value does not fit its type.
    """
    if batch.schema == schema:
        return batch
    try:
        arrays = [pc.cast(batch.column(f.name), f.type, safe=not pa.types.is_floating(f.type)) for f in schema]
    except pa.ArrowInvalid as e:
        what = f"a value does not fit the type that all files have in common ({faults.first_line(e)})"
        raise UserError(f"{stream.file.label}: {what}: score the files apart") from e
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _mergeable(first: pa.Field, second: pa.Field) -> bool:
    try:
        pa.unify_schemas([pa.schema([first]), pa.schema([second])], promote_options="permissive")
    except pa.ArrowException:
        return False
    return True
