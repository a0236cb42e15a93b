"""Columns as Arrow reads them become columns of numbers, or categories of text. It opens no file."""

import contextlib
import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

# what the text of a cell looks like
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+|inf|infinity|nan)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)
_MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DAY = (
    rf"(\d{{4}}[-/.]\d\d?([-/.]\d\d?)?|\d\d?[-/.]\d\d?[-/.]\d{{2,4}}|\d\d?[- ]{_MONTH}[- ,]*\d{{2,4}}|\d{{4}}-?q[1-4])"
)
DATE = re.compile(_DAY, re.ASCII | re.IGNORECASE)
TIMESTAMP = re.compile(rf"{_DAY}[t ]+\d\d?:\d\d.*", re.ASCII | re.IGNORECASE)
_NULLS = tuple(pacsv.ConvertOptions().null_values)
_EXACT = 15  # digits of a decimal that float64 holds, and the power of ten that they are divided by
_CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_KINDS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"} | {f".csv{packed}": "csv" for packed in _CODECS}


def kind(name: str) -> str:
    """``csv`` or ``parquet`` by the extension (any case), else an empty string."""
    return next((kind for extension, kind in _KINDS.items() if name.lower().endswith(extension)), "")


def codec(name: str) -> str:
    """How a file is packed, by the extension (any case) and as pyarrow calls it; empty: it is not."""
    return next((codec for extension, codec in _CODECS.items() if name.lower().endswith(extension)), "")


def as_floats(text: pa.Array) -> pa.Array | None:
    """Text as float64, by the rules of Arrow's CSV reader; None where some is no number."""
    with contextlib.suppress(pa.ArrowInvalid):
        return pc.cast(_cells(text), pa.float64())
    return None


def as_truth(text: pa.Array) -> pa.Array | None:
    """Text as booleans; None where some is no truth value."""
    text = pc.utf8_lower(_cells(text))
    if not pc.all(pc.is_in(text, pa.array(["true", "false", "1", "0", None]))).as_py():
        return None
    return pc.if_else(pc.is_valid(text), pc.is_in(text, pa.array(["true", "1"])), None)


def _cells(text: pa.Array) -> pa.Array:
    """Without the blanks around them, and null where Arrow takes them to be."""
    text = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.is_in(text, pa.array(pacsv.ConvertOptions().null_values)), None, text)


def number_type(type_: pa.DataType) -> pa.DataType | None:
    """What a Parquet column of that type is read as: an integer, a float or a boolean; None where it is no number."""
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    if pa.types.is_decimal(type_) or pa.types.is_null(type_) or pa.types.is_float16(type_):
        return pa.float64()
    known = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating)
    return type_ if any(test(type_) for test in known) else None


def numbers(column: pa.Array) -> pa.Array:
    """A column that has a ``number_type``, as that."""
    type_ = number_type(column.type)
    if type_ == column.type:
        return column
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    return _nearest(column) if pa.types.is_decimal(column.type) else pc.cast(column, type_)


def _nearest(column: pa.Array) -> pa.Array:
    """Decimals as the float64 next to each, as they are read from text; Arrow's own cast is a last bit off in many."""
    digits, scale = column.type.precision, column.type.scale
    if digits > _EXACT or not len(column):
        return pc.cast(pc.cast(column, pa.string()), pa.float64())
    wide = pc.cast(column, pa.decimal128(digits, scale))  # 16 bytes each, of which so few digits need 8
    low = np.frombuffer(wide.buffers()[1], "<i8")[2 * wide.offset :: 2][: len(wide)]
    return pa.array(low / float(10**scale), mask=column.is_null().to_numpy(zero_copy_only=False))


def date_type(type_: pa.DataType) -> bool:
    """Whether a column of that type can be of dates: dates, timestamps, and text."""
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return any(test(type_) for test in (pa.types.is_date, pa.types.is_timestamp, *text))


def microseconds(column: pa.Array) -> pa.Array:
    """A column that has a ``date_type`` as microseconds since 1970-01-01.

    NaN where one is missing, infinite where it is none.
    Text is ISO 8601, with a zone in UTC; timestamps of a zone are its local time.
    """
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if not (pa.types.is_date(column.type) or pa.types.is_timestamp(column.type)):
        return _of_text(_cells(pc.cast(column, pa.string())))
    if pa.types.is_timestamp(column.type) and column.type.tz:
        column = pc.local_timestamp(column)
    if column.type == pa.timestamp("ns"):
        column = pc.floor_temporal(column, unit="microsecond")
    return pa.array(float64(pc.cast(pc.cast(column, pa.timestamp("us")), pa.int64())))


def _of_text(text: pa.Array) -> pa.Array:
    for unit, zone in (("us", None), ("us", "UTC"), ("ns", None), ("ns", "UTC")):
        with contextlib.suppress(pa.ArrowInvalid):
            return microseconds(pc.cast(pc.cast(text, pa.timestamp(unit, zone)), pa.timestamp(unit)))
    if len(text) == 1:
        return pa.array([np.inf])
    half = len(text) // 2
    return pa.concat_arrays([_of_text(text[:half]), _of_text(text[half:])])


def is_dates(levels: pa.Array) -> bool:
    """Whether these texts are dates."""
    texts = [text for text in levels.to_pylist() if text]
    return bool(texts) and all(DATE.fullmatch(text) or TIMESTAMP.fullmatch(text) for text in texts)


def with_dates(table: pa.Table, dates: Collection[str]) -> pa.Table:
    """The table with its dates as ``microseconds``."""
    for name in dates:
        if not pa.types.is_floating(table.schema.field(name).type):
            chunks = pa.chunked_array([microseconds(chunk) for chunk in table[name].chunks], pa.float64())
            table = table.set_column(table.column_names.index(name), name, chunks)
    return table


Categories = Mapping[str, Collection[str]]  # columns that are read as categories, and the levels listed for each
NO_CATEGORIES: Categories = MappingProxyType({})
CATEGORY = pa.dictionary(pa.int32(), pa.string())


def category_type(type_: pa.DataType) -> bool:
    """Whether a column of that type can be a category: text, truth values, numbers, and dictionaries of these."""
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(
        test(type_)
        for test in (*text, pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_null)
    )


def category(column: pa.Array, levels: Collection[str] = ()) -> pa.DictionaryArray:
    """A column that has a ``category_type`` as codes of distinct texts, without the blanks around these.

    Args:
        levels: that are none of the texts that stand for a missing value (``NA`` and the like, and no text at all).
    """
    codes = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    encoded = _levels(codes.dictionary, levels).dictionary_encode()
    indices = pc.cast(codes.indices, pa.int32())
    if not encoded.indices.equals(pa.array(range(len(encoded)), pa.int32())):  # some are missing, or alike
        indices = encoded.indices.take(indices)
    return pa.DictionaryArray.from_arrays(indices, encoded.dictionary, safe=False)


_WHOLE = re.compile(r"-?[0-9]+\.0", re.ASCII)  # as floats are written: more digits are a text's own


def as_level(text: str) -> str:
    """A level as it is called, whoever wrote it: without blanks around it, truth values as in Python, ``2.0`` as ``2``.

    Codes are integers in one file and, where one is missing, floats in the next.
    """
    text = text.strip()
    if text.endswith("0") and _WHOLE.fullmatch(text):
        return text.partition(".")[0]
    return text.title() if text.lower() in ("true", "false") else text


def _levels(values: pa.Array, levels: Collection[str]) -> pa.Array:
    """The values as text without the blanks around them; null where they stand for nothing."""
    texts = pa.array([text and as_level(text) for text in pc.cast(values, pa.string()).to_pylist()], pa.string())
    nothing = pa.array([text for text in _NULLS if text not in levels], pa.string())
    return pc.if_else(pc.is_in(texts, nothing), None, texts)


def float64(column: pa.Array) -> npt.NDArray[np.float64]:
    """The column as float64, null as NaN; no copy where it is float64 without nulls."""
    return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def alike(tables: Sequence[pa.Table]) -> pa.Table:
    """The tables one below the other; a column of several types becomes float64, which holds them all."""
    types = {name: {t.schema.field(name).type for t in tables} for name in tables[0].column_names}
    schema = pa.schema([(name, kinds.pop() if len(kinds) == 1 else pa.float64()) for name, kinds in types.items()])
    return pa.concat_tables([t if t.schema == schema else t.cast(schema, safe=False) for t in tables])
