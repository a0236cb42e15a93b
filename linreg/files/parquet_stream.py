"""A Parquet file as a stream of checked numbers: pages are read as they are needed, whatever the size of a row group.

The checks and their messages are those of ``tables``, which reads a file as a whole.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from linreg.files import tables
from linreg.files.stable_file import DataFile

_BATCH = 1 << 24  # bytes of a batch in float64
_ROWS = (1024, 131_072)  # at least and at most in a batch
_BUFFER = 1 << 18  # bytes of a column read ahead; pre-buffering would hold all row groups
_FAR_BUFFER = 1 << 22  # each read asks a server


class ParquetStream:
    """One Parquet file.

    Args:
        file: what is read.
        columns: what the file must hold as numbers.

    Raises:
        UserError: it is no such file, is damaged, or lacks a column.
    """

    def __init__(self, file: DataFile, columns: Sequence[str]) -> None:
        self.file = file
        with file.open() as source:
            head, tail = source.read_at(65_536, 0), source.read_at(4, max(0, file.size - 4))
            tables.check_magic(file.label, head, tail, file.size)
            try:
                opened = pq.ParquetFile(source)
                found, self.rows = opened.schema_arrow, opened.metadata.num_rows
            except (pa.ArrowException, OSError) as e:
                raise self._damaged(e) from e
        tables.check_columns(file.label, found.names, columns)
        self.schema = pa.schema([(name, self._type(found.field(name))) for name in columns])
        if not self.rows:
            raise tables.no_rows(file.label)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows in their order, the columns by these names; nulls and NaN are still there.

        Raises:
            UserError: the file is damaged, or changed meanwhile.
        """
        with self.file.open() as source:
            try:
                opened = pq.ParquetFile(
                    source, pre_buffer=False, buffer_size=_FAR_BUFFER if self.file.remote else _BUFFER
                )
                for batch in opened.iter_batches(_rows(len(columns)), columns=list(columns)):
                    if len(batch):
                        yield _checked(batch, columns)
            except (pa.ArrowException, OSError) as e:
                raise self._damaged(e) from e
        self.file.check()

    def place(self, row: int, column: str) -> tuple[str, str]:  # noqa: ARG002 - a CSV needs the column
        """Where a row (counted from 0) stands, for a message, and the text that is not known."""
        return f"row {row + 1}", ""

    def _type(self, field: pa.Field) -> pa.DataType:
        type_ = tables.number_type(field.type)
        if type_ is None:
            raise tables.no_numbers(self.file.label, field.name, field.type)
        return type_

    def _damaged(self, error: Exception) -> Exception:
        """The error of a file that is still there and has not changed."""
        self.file.check()
        return tables.damaged(self.file.label, error)


def _rows(columns: int) -> int:
    least, most = _ROWS
    return max(least, min(most, _BATCH // 8 // max(columns, 1)))


def _checked(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    """The columns in that order, as they are read."""
    return pa.RecordBatch.from_arrays([tables.numbers(batch.column(c)) for c in columns], names=list(columns))
