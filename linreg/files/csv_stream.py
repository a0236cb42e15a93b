"""A CSV file as a stream of checked numbers: blocks of lines, in constant memory.

One pass over the raw bytes looks for what Arrow would not notice. Then the fast way takes every column as float64. What
Arrow refuses is looked at again, as text, from the beginning: that finds booleans, or the line that is wrong.
"""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from linreg.files import csv_faults as csv_check
from linreg.files import paths as listing
from linreg.files import tables
from linreg.files.csv_scan import survey
from linreg.files.stable_file import DataFile

_BLOCK = 1 << 20  # bytes; larger ones leave the cache and are half as fast
_LARGE = 1 << 26  # for the second look: a line must fit into a block
_FLOAT, _TEXT = pa.float64(), pa.string()


class CsvStream:
    """One CSV file.

    Args:
        file: what is read.
        columns: what the file must hold as numbers.

    Raises:
        UserError: it is no such file, lacks a column, or its first block holds what is no number.
    """

    def __init__(self, file: DataFile, columns: Sequence[str]) -> None:
        self.file = file
        self.rows: int | None = None  # nobody knows before the last line
        if not file.size:
            raise tables.empty(file.label)
        with file.open() as source, listing.advice(file.path):
            self._survey = survey(file.label, source)
            self._check_header(source, columns)
        self._seen: dict[str, pa.DataType] = {}  # by a second look at all lines
        self.schema = pa.schema([(c, t) for c, t in self._types(columns).items()])

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows in their order, the columns by these names; empty cells are null.

        Raises:
            UserError: a line is of another length or holds text, or the file changed meanwhile.
        """
        done = 0
        try:
            if not self._seen:
                for batch in self._read(dict.fromkeys(columns, _FLOAT), _BLOCK):
                    yield batch
                    done += len(batch)
                return
        except pa.ArrowInvalid:
            self.file.check()
            self._seen = self._look_again(self.schema.names)
        yield from self._converted(columns, skip=done)

    def place(self, row: int, column: str) -> tuple[str, str]:
        """Where a row (counted from 0) stands, for a message, and the text of its cell."""
        with self.file.open() as source, listing.advice(self.file.path):
            line, text = csv_check.cell(self._lines(source), row, column)
        return f"line {line}", text

    def _check_header(self, source: pa.NativeFile, columns: Sequence[str]) -> None:
        label = self.file.label
        names = csv_check.header(label, self._lines(source))
        if not set(columns) <= set(names):
            csv_check.doubt(label, source.read_at(65_536, 0), names)
        tables.check_columns(label, names, columns)
        if not csv_check.has_rows(self._lines(source)):
            raise tables.no_rows(label)

    def _types(self, columns: Sequence[str]) -> dict[str, pa.DataType]:
        """By the first block; where that is refused, by all lines."""
        types = dict.fromkeys(columns, _FLOAT)
        try:
            next(self._read(types, _BLOCK), None)
        except pa.ArrowInvalid:
            self.file.check()
            self._seen = self._look_again(columns)
        return self._seen or types

    def _look_again(self, columns: Sequence[str]) -> dict[str, pa.DataType]:
        """Numbers or truth values, by the text of every line; raises where a line is neither."""
        floats, truths = set(columns), set(columns)
        try:
            for batch in self._read(dict.fromkeys(columns, _TEXT), _LARGE):
                floats -= {c for c in floats if tables.as_floats(batch.column(c)) is None}
                truths -= {c for c in truths if tables.as_truth(batch.column(c)) is None}
        except pa.ArrowInvalid as e:
            raise self._explained((), str(e)) from e
        bad = [c for c in columns if c not in floats | truths]
        if bad:
            raise self._explained(bad, f"column '{bad[0]}' is not numbers")
        return {c: _FLOAT if c in floats else pa.bool_() for c in columns}

    def _converted(self, columns: Sequence[str], *, skip: int) -> Iterator[pa.RecordBatch]:
        """The slow way, after the first ``skip`` rows; of the types that were told."""
        for batch in self._read(dict.fromkeys(columns, _TEXT), _LARGE):
            fresh = batch.slice(min(skip, len(batch)))
            skip -= len(batch) - len(fresh)
            if len(fresh):
                yield self._numbers(fresh)

    def _numbers(self, text: pa.RecordBatch) -> pa.RecordBatch:
        names = text.schema.names
        read = [tables.as_floats if self._seen[c] == _FLOAT else tables.as_truth for c in names]
        found = [as_numbers(text.column(c)) for c, as_numbers in zip(names, read, strict=True)]
        told = [self.schema.field(c).type for c in names]
        return pa.RecordBatch.from_arrays([pc.cast(v, t) for v, t in zip(found, told, strict=True)], names=names)

    def _read(self, types: Mapping[str, pa.DataType], block: int) -> Iterator[pa.RecordBatch]:
        with self.file.open() as source, listing.advice(self.file.path):
            reader = pacsv.open_csv(
                self._lines(source),
                read_options=pacsv.ReadOptions(block_size=block),
                parse_options=pacsv.ParseOptions(newlines_in_values=self._survey.quotes),
                convert_options=pacsv.ConvertOptions(column_types=dict(types), include_columns=list(types)),
            )
            for batch in reader:
                if len(batch):
                    yield batch
        self.file.check()

    def _explained(self, columns: Sequence[str], reason: str) -> Exception:
        with self.file.open() as source, listing.advice(self.file.path):
            return csv_check.explain(self.file.label, self._lines(source), columns, reason)

    def _lines(self, source: pa.NativeFile) -> pa.NativeFile:
        """All bytes up to the trailing blank lines."""
        return source.get_stream(0, self._survey.end)
