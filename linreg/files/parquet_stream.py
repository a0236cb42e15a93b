"""A Parquet file as a stream of checked numbers: pages are read as they are needed, however large a row group is."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from linreg.errors import UserError
from linreg.files import faults, tables
from linreg.files.partitions import SourceFile
from linreg.files.tables import NO_CATEGORIES, Categories
from linreg.threads import cores

_BATCH = 1 << 24  # bytes of a batch in float64
_ROWS = (1024, 131_072)  # at least and at most in a batch
_BUFFER = 1 << 18  # bytes of a column read ahead; pre-buffering would hold all row groups
_FAR_BUFFER = 1 << 22  # each read asks a server


class ParquetStream:
    """One Parquet file; see ``stream.Stream``.

    Args:
        file: what is read.
        columns: what the file must hold as numbers.
        optional: what is read where the file holds it as numbers.
        categories: what it must hold besides, as codes of texts, and the levels that are listed for each.
        texts: what it must hold besides, handed out as it is.

    Raises:
        UserError: it is no such file, is damaged, or lacks a column.
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
        if not file.size:
            raise faults.empty(file.label)
        with file.open() as source:
            self._check_magic(source)
            try:
                self._metadata = pq.read_metadata(source)
                schema = self._metadata.schema.to_arrow_schema()
            except (pa.ArrowException, OSError) as e:
                raise self._damaged(e) from e
        self.rows = self.about_rows = self._metadata.num_rows
        if not self.rows and not schema.names:  # as pandas writes a frame of nothing
            schema = pa.schema(dict.fromkeys([*columns, *categories, *texts], pa.null()))
        faults.check_columns(file.label, schema.names, [*columns, *categories, *texts])
        self.fields: pa.Schema = schema
        there = [c for c in optional if schema.names.count(c) == 1 and _number_type(schema.field(c))]
        self._numbers, self._texts = [*columns, *there], list(texts)
        fields = [(name, self._type(schema.field(name))) for name in self._numbers]
        fields += [(name, self._category(schema.field(name))) for name in categories]
        self.schema = pa.schema([*fields, *((name, schema.field(name).type) for name in texts)])

    def batches(
        self, columns: Sequence[str] | None = None, *, rows: int = 0, threads: int = 1
    ) -> Iterator[pa.RecordBatch]:
        """The rows in their order; nulls and NaN are still there.

        Raises:
            UserError: the file is damaged, or changed meanwhile.
        """
        numbers, texts = (self._numbers, self._texts) if columns is None else (columns, ())
        categories = self._categories if columns is None else NO_CATEGORIES
        reading = {"metadata": self._metadata, "buffer_size": _FAR_BUFFER if self.file.remote else _BUFFER}
        reading |= {"read_dictionary": [c for c in categories if c not in texts]}
        wanted = list(dict.fromkeys([*numbers, *categories, *texts]))
        several = (threads or cores()) > 2  # the others work with what this one decodes: on two cores it is in the way
        with self.file.open() as source:
            try:
                opened = pq.ParquetFile(source, pre_buffer=False, **reading)
                for batch in opened.iter_batches(rows or _rows(len(wanted)), columns=wanted, use_threads=several):
                    if len(batch):
                        yield _batch(batch, numbers, categories, texts)
            except (pa.ArrowException, OSError) as e:
                raise self._damaged(e) from e
        self.file.check()

    def place(self, row: int, column: str) -> tuple[str, str]:  # noqa: ARG002 - a CSV needs the column
        """Where a row (counted from 0) stands, for a message, and the text that is not known."""
        return f"row {row + 1}", ""

    def _check_magic(self, source: pa.NativeFile) -> None:
        """Refuse what is no Parquet file by its first bytes and its last four."""
        label, size = self.file.label, self.file.size
        head, tail = source.read_at(65_536, 0), source.read_at(4, max(0, size - 4))
        if head[:4] == b"PARE":
            raise UserError(f"{label}: is encrypted Parquet: decrypt it first")
        if head[:4] != b"PAR1":
            what = faults.foreign(head) or "text, perhaps CSV"
            raise UserError(f"{label}: is not Parquet ({what}): name it by what it is, or write it again")
        if size < 12 or tail != b"PAR1":
            raise UserError(f"{label}: is truncated ({size} bytes, no Parquet footer): write or fetch it again")

    def _type(self, field: pa.Field) -> pa.DataType:
        type_ = _number_type(field)
        if type_ is None and not self.rows:  # pandas calls a column of nothing text
            return pa.float64()
        if type_ is None:
            raise faults.no_numbers(self.file.label, field.name, _named(field))
        return type_

    def _category(self, field: pa.Field) -> pa.DataType:
        if extension(field) or not tables.category_type(field.type):
            raise faults.no_category(self.file.label, field.name, _named(field))
        return tables.CATEGORY

    def _damaged(self, error: Exception) -> Exception:
        """The error of a file that is still there and has not changed."""
        self.file.check()
        return faults.damaged(self.file.label, error)


def extension(field: pa.Field) -> str:
    """The name of an extension type, whether or not something registered it; empty for others."""
    if isinstance(field.type, pa.BaseExtensionType):
        return str(field.type.extension_name)
    return str((field.metadata or {}).get(b"ARROW:extension:name", b""), "utf-8", "replace")


def _number_type(field: pa.Field) -> pa.DataType | None:
    return None if extension(field) else tables.number_type(field.type)


def _named(field: pa.Field) -> str:
    """A type as messages show it."""
    return extension(field) or str(field.type)


def _rows(columns: int) -> int:
    least, most = _ROWS
    return max(least, min(most, _BATCH // 8 // max(columns, 1)))


def _batch(
    batch: pa.RecordBatch, numbers: Sequence[str], categories: Categories, texts: Sequence[str]
) -> pa.RecordBatch:
    """The columns in that order, as they are handed out."""
    columns = [tables.numbers(batch.column(c)) for c in numbers]
    columns += [tables.category(batch.column(c), levels) for c, levels in categories.items()]
    columns += [batch.column(c) for c in texts]
    return pa.RecordBatch.from_arrays(columns, names=[*numbers, *categories, *texts])
