"""The bytes of one CSV or Parquet file become an Arrow table of numbers: the columns asked for, and no others.

A CSV takes the fast way through Arrow with the types given; what Arrow refuses is looked at again by ``csv_check``,
which finds the line and says what is wrong with it. It opens no file and does not judge nulls.
"""

import contextlib
import os
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from linreg.errors import UserError, nearest
from linreg.files import csv_faults as csv_check
from linreg.files import csv_scan as csv_survey

_KINDS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}
_BLOCK = 1 << 22  # bytes of a CSV that one thread parses at a time: the fastest of 1, 4 and 16 MiB
_LARGE = 1 << 26  # for the second look: a line must fit into a block


class ColumnMissing(UserError):
    """A file lacks a column that was asked for."""


def kind(name: str) -> str:
    """``csv`` or ``parquet`` by the extension (any case), else an empty string."""
    return _KINDS.get(os.path.splitext(name)[1].lower(), "")


def parse(
    label: str,
    data: bytes | pa.NativeFile,
    columns: Sequence[str],
    *,
    optional: Sequence[str] = (),
    text_ok: Sequence[str] = (),
) -> pa.Table:
    """Turn a file's bytes into a table of ``columns`` and of those of ``optional`` that it holds as numbers.

    Args:
        label: the path as messages show it; its extension says the format.
        data: all of them; of Parquet an open file does, of which the columns asked for are read.

    Raises:
        UserError: the bytes are not such a file, a column is missing, doubled or not numbers, or there is no row.
    """
    if not (data.size() if isinstance(data, pa.NativeFile) else data):
        raise empty(label)
    reader = _csv if kind(label) == "csv" else _parquet
    table = reader(label, data, columns, [c for c in optional if c not in columns], text_ok)
    if not len(table):
        raise no_rows(label)
    return table


def empty(label: str) -> UserError:
    """The error of a file of no bytes."""
    return UserError(f"{label}: is empty (0 bytes): write it again or leave it out")


def no_rows(label: str) -> UserError:
    """The error of a file that is nothing but column names."""
    return UserError(f"{label}: has column names but no rows: add rows or leave the file out")


def _csv(label: str, data: bytes, columns: Sequence[str], optional: Sequence[str], text_ok: Sequence[str]) -> pa.Table:
    csv_survey.survey(label, pa.BufferReader(data))
    header = csv_check.header(label, data)
    if not set(columns) <= set(header):
        csv_check.doubt(label, data, header)
    check_columns(label, header, columns)
    if not csv_check.has_rows(data):
        raise no_rows(label)
    texts = {c: pa.string() for c in text_ok}
    present = [c for c in optional if header.count(c) == 1]
    try:
        return _arrow_csv(data, [*columns, *present], {c: pa.float64() for c in [*columns, *present]} | texts)
    except pa.ArrowInvalid:
        return _second_look(label, data, columns, present, texts)


def _second_look(
    label: str, data: bytes, columns: Sequence[str], optional: Sequence[str], texts: dict[str, pa.DataType]
) -> pa.Table:
    """All columns as text first: booleans pass, optional text is left out, and for the rest the line is found."""
    wanted = [*columns, *optional]
    try:
        table = _arrow_csv(data, wanted, dict.fromkeys(wanted, pa.string()), block=_LARGE)
    except pa.ArrowInvalid as e:
        raise csv_check.explain(label, data, (), str(e)) from e
    found = {c: table[c] if c in texts else _from_text(table[c]) for c in wanted}
    bad = [c for c in columns if found[c] is None]
    if bad:
        raise csv_check.explain(label, data, bad, f"column '{bad[0]}' is not numbers")
    return pa.table({c: values for c, values in found.items() if values is not None})


def _from_text(text: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Text as float64 or booleans, by the rules of Arrow's CSV reader; None where it is something else."""
    floats = as_floats(text)
    return floats if floats is not None else as_truth(text)


def as_floats(text: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Text as float64; None where some is no number."""
    with contextlib.suppress(pa.ArrowInvalid):
        return pc.cast(_cells(text), pa.float64())
    return None


def as_truth(text: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Text as booleans; None where some is no truth value."""
    text = pc.utf8_lower(_cells(text))
    if not pc.all(pc.is_in(text, pa.array(["true", "false", "1", "0", None]))).as_py():
        return None
    return pc.if_else(pc.is_valid(text), pc.is_in(text, pa.array(["true", "1"])), None)


def _cells(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without the blanks around them, and null where Arrow takes them to be."""
    text = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.is_in(text, pa.array(pacsv.ConvertOptions().null_values)), None, text)


def _arrow_csv(data: bytes, columns: Sequence[str], types: dict[str, pa.DataType], *, block: int = _BLOCK) -> pa.Table:
    """Line breaks inside quotes need a slower search for the ends of lines: only where there are quotes."""
    buffer = pa.py_buffer(data)[: csv_check.end(data)]
    return pacsv.read_csv(
        pa.BufferReader(buffer),
        read_options=pacsv.ReadOptions(block_size=block),
        parse_options=pacsv.ParseOptions(newlines_in_values=b'"' in data),
        convert_options=pacsv.ConvertOptions(column_types=types, include_columns=columns),
    )


def _parquet(
    label: str,
    data: bytes | pa.NativeFile,
    columns: Sequence[str],
    optional: Sequence[str],
    text_ok: Sequence[str],
) -> pa.Table:
    opened = data if isinstance(data, pa.NativeFile) else pa.BufferReader(data)
    size = opened.size()
    check_magic(label, opened.read_at(65_536, 0), opened.read_at(4, max(size - 4, 0)), size)
    try:
        file = pq.ParquetFile(opened)
        names = file.schema_arrow.names
        check_columns(label, names, columns)
        wanted = [*columns, *(c for c in optional if names.count(c) == 1)]
        table = file.read(columns=wanted).select(wanted)
    except (pa.ArrowException, OSError) as e:
        raise damaged(label, e) from e
    found = {c: table[c] if c in text_ok else numbers(table[c]) for c in wanted}
    for name in columns:
        if found[name] is None:
            raise no_numbers(label, name, table[name].type)
    return pa.table({c: values for c, values in found.items() if values is not None})


def no_numbers(label: str, column: str, type_: pa.DataType) -> UserError:
    """The error of a Parquet column that is something else."""
    return UserError(f"{label}: column '{column}' is {type_}, not numbers: cast it when the file is written")


def damaged(label: str, error: Exception) -> UserError:
    """The error of a Parquet file that Arrow cannot read."""
    return UserError(f"{label}: the Parquet file is damaged ({first_line(error)}): write or fetch it again")


def check_magic(label: str, head: bytes, tail: bytes, size: int) -> None:
    """Refuse what is no Parquet file by its first bytes and its last four."""
    if head[:4] == b"PARE":
        raise UserError(f"{label}: is encrypted Parquet: decrypt it first")
    if head[:4] != b"PAR1":
        what = csv_check.foreign(head) or "text, perhaps CSV"
        raise UserError(f"{label}: is not Parquet ({what}): name it by what it is, or write it again")
    if size < 12 or tail != b"PAR1":
        raise UserError(f"{label}: is truncated ({size} bytes, no Parquet footer): write or fetch it again")


def check_columns(label: str, names: Sequence[str], columns: Sequence[str]) -> None:
    """Refuse a file that lacks a column, or holds it twice."""
    for name in columns:
        if name not in names:
            hint = nearest(name, names)
            hint = hint if len(hint) <= 300 else hint[:296] + " ..."
            raise ColumnMissing(f"{label}: column '{name}' is missing{hint}")
        if (times := list(names).count(name)) > 1:
            raise UserError(f"{label}: column '{name}' stands {times} times: keep one, or rename them")


def number_type(type_: pa.DataType) -> pa.DataType | None:
    """What a Parquet column of that type is read as: an integer, a float or a boolean; None where it is no number."""
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    if pa.types.is_decimal(type_) or pa.types.is_null(type_) or pa.types.is_float16(type_):
        return pa.float64()
    known = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating)
    return type_ if any(test(type_) for test in known) else None


def numbers(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array | None:
    """The column as integers, floats or booleans; None where it is something else."""
    type_ = number_type(column.type)
    if type_ is None or type_ == column.type:
        return None if type_ is None else column
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    return pc.cast(column, type_)


def alike(tables: Sequence[pa.Table]) -> pa.Table:
    """The tables one below the other; a column of several types becomes float64, which holds them all."""
    types = {name: {t.schema.field(name).type for t in tables} for name in tables[0].column_names}
    schema = pa.schema([(name, kinds.pop() if len(kinds) == 1 else pa.float64()) for name, kinds in types.items()])
    return pa.concat_tables([t if t.schema == schema else t.cast(schema, safe=False) for t in tables])


def first_line(error: Exception) -> str:
    """What an exception says, short enough for a message."""
    text = (str(error).splitlines() or [type(error).__name__])[0]
    return text if len(text) <= 120 else text[:116] + " ..."
