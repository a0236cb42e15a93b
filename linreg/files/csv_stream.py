"""A CSV file as a stream of checked numbers, in constant memory, parsed on several cores.

The fast way takes every column as float64: pieces of whole lines, or, from the first quote on, whatever Arrow's own
reader takes for rows, since line breaks may stand in quotes. What Arrow refuses is looked at again as text: that finds
truth values, or the line that is wrong.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from linreg.errors import UserError
from linreg.files import csv_faults, csv_layout, csv_pieces, faults, tables
from linreg.files.partitions import SourceFile
from linreg.files.tables import NO_CATEGORIES, Categories
from linreg.threads import in_order

_LARGE = 1 << 26  # for the second look: a line with quotes must fit into a block
_FLOAT, _TEXT = pa.float64(), pa.string()
_EMPTY_LINES = re.compile(rb"[\r\n]*")


class OptionalText(Exception):
    """Optional columns, its arguments, turn out to hold text."""


class CsvStream:
    """One CSV file; see ``stream.Stream``.

    Args:
        file: what is read.
        columns: what the file must hold as numbers.
        optional: what is read where the file holds it as numbers, as far as its first lines tell.
        categories: what it must hold besides, as codes of texts, and the levels that are listed for each.
        texts: what it must hold besides, as text.

    Raises:
        UserError: it is no such file, lacks a column, or its first lines hold what is no number.
    """

    def __init__(
        self,
        file: SourceFile,
        columns: Sequence[str],
        *,
        optional: Sequence[str] = (),
        categories: Categories = NO_CATEGORIES,
        texts: Sequence[str] = (),
    ) -> None:
        self.file = file
        self._categories = categories
        texts = [*categories, *texts]
        self.rows: int | None = None  # nobody knows before the last line
        self.about_rows = 0
        if not file.size:
            raise faults.empty(file.label)
        with file.open() as source:
            self._layout = csv_layout.layout(file.label, source)
            names = self._layout.names
            if not {*columns, *texts} <= set(names):
                csv_faults.doubt(file.label, source.read_at(65_536, 0), names, [*columns, *texts])
        faults.check_columns(file.label, names, [*columns, *texts])
        self._columns, self._texts = list(columns), list(texts)
        self._numbers = [*columns, *(c for c in optional if names.count(c) == 1)]
        self._as_text = False  # whether a second look is needed
        self._quotes_close = False  # not known yet
        fields = [*((c, _FLOAT) for c in self._numbers), *((c, tables.CATEGORY) for c in categories)]
        self.schema = pa.schema([*fields, *((c, _TEXT) for c in texts[len(categories) :])])
        if self._layout.start >= self._layout.end:
            self.rows = 0
        else:
            self.schema = self._look()

    def batches(
        self,
        columns: Sequence[str] | None = None,
        *,
        rows: int = 0,  # noqa: ARG002 - a batch is a piece of the file, whatever its rows
        threads: int = 1,
    ) -> Iterator[pa.RecordBatch]:
        """The rows in their order; empty cells are null.

        Raises:
            UserError: a line is of another length or holds text, or the file changed meanwhile.
            OptionalText: an optional column holds text after all.
        """
        numbers, texts = (self._numbers, self._texts) if columns is None else (columns, ())
        rows_given = 0
        try:
            if not self._as_text:
                for batch in self._floats(numbers, texts, threads):
                    yield batch
                    rows_given += len(batch)
                return
        except pa.ArrowInvalid:
            self._as_text = True
        for batch in self._converted(numbers, texts):
            fresh = batch.slice(min(rows_given, len(batch)))
            rows_given -= len(batch) - len(fresh)
            if len(fresh):
                yield self._in_schema(fresh, numbers)

    def place(self, row: int, column: str) -> tuple[str, str]:
        """Where a row (counted from 0) stands, for a message, and the text of its cell."""
        with self.file.open() as source:
            line, text = csv_faults.cell(source.get_stream(0, self._layout.end), row, column)
        return f"line {line}", text

    def _look(self) -> pa.Schema:
        """The types, by the first lines; those of the optional columns that are no numbers there are left out."""
        try:
            first = next(self._floats(self._numbers, self._texts, 1))
        except pa.ArrowInvalid:
            self._as_text = True
            try:
                first = next(self._converted(self._numbers, self._texts))
            except OptionalText as e:
                self._as_text = False
                self._numbers = [name for name in self._numbers if name not in e.args]
                return self._look()
        share = min(1.0, csv_pieces.CHUNK / (self._layout.end - self._layout.start))
        self.about_rows = int(len(first) / share)
        return first.schema

    def _floats(self, numbers: Sequence[str], texts: Sequence[str], threads: int) -> Iterator[pa.RecordBatch]:
        """The fast way; raises ``ArrowInvalid`` where a second look is needed."""
        types = dict.fromkeys(numbers, _FLOAT) | dict.fromkeys(texts, _TEXT)
        for batch in self._parsed(types, csv_pieces.CHUNK, threads):
            columns = [_strict(batch.column(name)) for name in numbers]
            yield self._batch(batch, numbers, columns, texts)

    def _converted(self, numbers: Sequence[str], texts: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The slow way: text that is a number in every line so far, or a truth value in every line."""
        kinds = _Kinds(numbers)
        types = dict.fromkeys([*numbers, *texts], _TEXT)
        try:
            for batch in self._parsed(types, _LARGE, 1):
                columns = [kinds.numbers(name, batch.column(name)) for name in numbers]
                bad = [name for name, column in zip(numbers, columns, strict=True) if column is None]
                if bad and not set(bad) & set(self._columns):
                    raise OptionalText(*bad)
                if bad:
                    raise self._explained([c for c in bad if c in self._columns], f"column '{bad[0]}' is not numbers")
                yield self._batch(batch, numbers, columns, texts)
        except pa.ArrowInvalid as e:
            raise self._explained((), str(e)) from e

    def _batch(
        self, parsed: pa.RecordBatch, numbers: Sequence[str], columns: list[pa.Array], texts: Sequence[str]
    ) -> pa.RecordBatch:
        """The columns in that order; the first of the texts are the categories."""
        read = [parsed.column(name) for name in texts]
        coded = [
            tables.category(column, levels) for column, levels in zip(read, self._categories.values(), strict=False)
        ]
        return pa.RecordBatch.from_arrays([*columns, *coded, *read[len(coded) :]], names=[*numbers, *texts])

    def _in_schema(self, batch: pa.RecordBatch, numbers: Sequence[str]) -> pa.RecordBatch:
        """With the types of ``schema``: truth values that come late go on as numbers."""
        types = dict(zip(self._numbers, self.schema.types, strict=False))  # a key among them comes again as text
        columns = [pc.cast(column, types[name]) for name, column in zip(numbers, batch.columns, strict=False)]
        texts = batch.columns[len(columns) :]
        return pa.RecordBatch.from_arrays([*columns, *texts], names=batch.schema.names)

    def _parsed(self, types: Mapping[str, pa.DataType], block: int, threads: int) -> Iterator[pa.RecordBatch]:
        """The rows as Arrow reads them, which is strict with numbers and with the length of lines."""
        at, end = self._layout.start, self._layout.end

        def pieces() -> Iterator[pa.Buffer]:
            nonlocal at
            for start, piece, cut in csv_pieces.whole_lines(source, at, end):
                if b'"' in piece:
                    return
                at = start + cut
                yield pa.py_buffer(piece)[:cut]

        with self.file.open() as source:
            parsed = in_order(lambda piece: self._parse(piece, types), pieces(), threads=threads)
            yield from (batch for batch in parsed if len(batch))
            if at < end:
                yield from self._quoted(source, at, types, block)
        self.file.check()

    def _parse(self, piece: pa.Buffer, types: Mapping[str, pa.DataType]) -> pa.RecordBatch:
        """Some whole lines without quotes."""
        csv_pieces.check_utf8(piece)
        read = {"column_names": self._layout.names, "block_size": len(piece) + 1, "use_threads": False}
        if _EMPTY_LINES.fullmatch(piece):
            return pa.RecordBatch.from_pylist([], pa.schema(types.items()))
        table = pacsv.read_csv(
            pa.BufferReader(piece), read_options=pacsv.ReadOptions(**read), convert_options=_convert(types)
        )
        return table.combine_chunks().to_batches()[0]

    def _quoted(
        self, source: pa.NativeFile, start: int, types: Mapping[str, pa.DataType], block: int
    ) -> Iterator[pa.RecordBatch]:
        """The rows from ``start`` on, where quotes stand."""
        end = self._layout.end
        if not self._quotes_close:
            csv_faults.check_quotes(source, start, end)
            self._quotes_close = True
        rows = source.get_stream(start, end - start)
        yield from pacsv.open_csv(
            rows if isinstance(rows, pa.NativeFile) else pa.BufferReader(rows.read()),  # Arrow's threads run no Python
            read_options=pacsv.ReadOptions(column_names=self._layout.names, block_size=block),
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            convert_options=_convert(types),
        )

    def _explained(self, columns: Sequence[str], reason: str) -> UserError:
        self.file.check()
        with self.file.open() as source:
            return csv_faults.explain(self.file.label, source, self._layout.end, columns, reason)


class _Kinds:
    """Which columns have held nothing but numbers so far, and which nothing but truth values."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._floats, self._truths = set(columns), set(columns)

    def numbers(self, name: str, text: pa.Array) -> pa.Array | None:
        """The next cells of a column; None where they are neither."""
        floats = tables.as_floats(text) if name in self._floats else None
        truths = tables.as_truth(text) if name in self._truths else None
        if floats is None:
            self._floats.discard(name)
        if truths is None:
            self._truths.discard(name)
        return truths if floats is None else floats


def _strict(column: pa.Array) -> pa.Array:
    """Numbers as they are; those that were read as text, for a key is among them too, converted."""
    floats = column if column.type == _FLOAT else tables.as_floats(column)
    if floats is None:
        raise pa.ArrowInvalid("text among numbers")
    return floats


def _convert(types: Mapping[str, pa.DataType]) -> pacsv.ConvertOptions:
    return pacsv.ConvertOptions(column_types=dict(types), include_columns=list(types))
