"""Where rows are written as they come: Parquet or CSV by the extension, put in place whole at the end or not at all.

    with open_writer(output, schema) as write:
        write(batch)

A reader of the output sees the old file or the new one; where anything fails, nothing is left behind.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from linreg.errors import UserError

_GROUP = 1 << 25  # bytes of rows that make a row group: what is held until it is written
_GROUP_ROWS = 1 << 20  # at most
_PAGE_ROWS = 1 << 18  # a page of float32 holds Arrow's 1 MiB; its own limit of 20,000 rows is a quarter slower


def check_output(output: Path) -> None:
    """Refuse a path that cannot be written, before any work is done for it.

    Raises:
        UserError: the extension says no format, or there is no such folder.
    """
    if output.suffix.lower() not in _WRITERS:
        raise UserError(f"output {output} has no extension that says its format: end it in .csv, .parquet or .pq")
    with _advice(output):
        if output.is_dir() or not Path(os.path.realpath(output)).parent.is_dir():
            raise UserError(f"output {output} cannot be written: its folder must exist, and it must not be one")
    try:
        os.path.realpath(output).encode()
    except UnicodeEncodeError as e:
        raise UserError(f"output {str(output)!r} is no UTF-8 text: choose another name or folder") from e


@contextmanager
def open_writer(output: Path, schema: pa.Schema) -> Iterator[Callable[[pa.RecordBatch], None]]:
    """Give what writes a batch of that schema; rows keep their order.

    Raises:
        UserError: the file cannot be written.
    """
    check_output(output)
    place = Path(os.path.realpath(output))  # a link stays, and what it points to is replaced
    with _advice(output), tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{output.stem[:100]}-") as scratch:
        complete = Path(scratch) / output.name
        with _WRITERS[output.suffix.lower()](str(complete), schema) as writer:
            yield lambda batch: _write(output, writer, batch)
        with suppress(FileNotFoundError):
            shutil.copymode(place, complete)  # who may read the old file may read the new one, and nobody else
        os.replace(complete, place)


class _ParquetWriter:
    """Row groups of a size, since Arrow's own writer makes one of every batch that it is given."""

    def __init__(self, path: str, schema: pa.Schema) -> None:
        # dictionaries: tried and given up for every chunk of numbers that hardly repeat
        self._writer = pq.ParquetWriter(path, schema, use_dictionary=False, max_rows_per_page=_PAGE_ROWS)
        self._held: list[pa.RecordBatch] = []

    def write_batch(self, batch: pa.RecordBatch) -> None:
        self._held.append(batch)
        if sum(b.nbytes for b in self._held) >= _GROUP or sum(map(len, self._held)) >= _GROUP_ROWS:
            self._flush()

    def __enter__(self) -> "_ParquetWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._writer:
            if kind is None:
                self._flush()

    def _flush(self) -> None:
        if self._held:
            table = pa.Table.from_batches(self._held)
            self._held = []
            self._writer.write_table(table, row_group_size=len(table))


_WRITERS: dict[str, Callable[[str, pa.Schema], AbstractContextManager[_ParquetWriter | pacsv.CSVWriter]]] = {
    ".csv": pacsv.CSVWriter,
    ".parquet": _ParquetWriter,
    ".pq": _ParquetWriter,
}


def _write(output: Path, writer: _ParquetWriter | pacsv.CSVWriter, batch: pa.RecordBatch) -> None:
    with _advice(output):
        writer.write_batch(batch)


@contextmanager
def _advice(output: Path) -> Iterator[None]:
    """What the operating system says of writing, in a line."""
    try:
        yield
    except OSError as e:
        raise UserError(f"output {output} cannot be written ({e.strerror or e}): free or choose another place") from e
