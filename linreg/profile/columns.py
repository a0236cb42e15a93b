"""What a column is: its type, its gaps, its distinct values, as numbers and as codes. It opens no file.

Shapes: N rows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from linreg.files import tables
from linreg.files.sample import Sample

INTEGER, NUMBER, BOOLEAN, TEXT = "integer", "number", "boolean", "text"
DATE, TIMESTAMP, EMPTY = "date", "timestamp", "empty"
NUMBERS = (INTEGER, NUMBER)
_EXACT = 2.0**53  # beyond it float64 makes one of several whole numbers
_ODD = 0.1  # of the cells of a column of numbers may be none
CATEGORIES = (TEXT, BOOLEAN)
DATES = (DATE, TIMESTAMP)
_WRITTEN_NUMBER = re.compile(r"[-+(]?\s*[$€£¥]?\s*[-+]?\d[\d,. ']*\s*[%$€£¥]?\)?")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        type: ``integer``, ``number``, ``boolean``, ``text``, ``date``, ``timestamp``, ``empty`` (no value at all), or
            what Arrow calls another one.
        missing: how many of the rows lack a value.
        distinct: how many values there are; None where they cannot be told apart.
        code_N: which of the ``levels`` each row has; -1: none.
        levels: the values as text; of numbers none.
        number_N: the values of numbers and booleans, NaN where one is missing.
        padded: whether some number is written with zeros in front of it, as codes are and amounts are not.
        odd: of a CSV's text that is numbers but for a few cells, that it is so, with the first such cell.
    """

    name: str
    type: str
    missing: int
    distinct: int | None
    code_N: npt.NDArray[np.int64]
    levels: Sequence[str] = ()
    number_N: npt.NDArray[np.float64] | None = None
    padded: bool = False
    odd: str = ""

    @property
    def rows(self) -> int:
        """N."""
        return len(self.code_N)

    @property
    def there(self) -> int:
        """How many rows have a value."""
        return self.rows - self.missing

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """How many rows each value has."""
        return np.bincount(self.code_N[self.code_N >= 0], minlength=self.distinct or 0)


def columns_of(sample: Sample) -> list[Column]:
    """Look at every column of a table."""
    return [_column(sample, name) for name in sample.table.column_names]


def _column(sample: Sample, name: str) -> Column:
    array = sample.table[name].combine_chunks()
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    type_ = array.type
    if name in sample.extensions:
        return _other(name, array, sample.extensions[name])
    if _is_text(type_):
        return _text(name, array, sample)
    if pa.types.is_boolean(type_):
        return _coded(name, BOOLEAN, array, tables.float64(array))
    if tables.number_type(type_) is not None:
        return _numeric(name, array, tables.float64(tables.numbers(array)))
    if pa.types.is_date(type_) or pa.types.is_timestamp(type_):
        return _coded(name, DATE if pa.types.is_date(type_) else TIMESTAMP, pc.cast(array, pa.string()))
    return _other(name, array, str(type_))


def reads_like_number(column: Column) -> str:
    """An example of a text such as ``1,234`` or ``$5``, where all are so; else an empty string."""
    digits = all(_WRITTEN_NUMBER.fullmatch(level) for level in column.levels[:1000])
    return column.levels[0] if digits and column.levels else ""


def _is_text(type_: pa.DataType) -> bool:
    value = type_.value_type if pa.types.is_dictionary(type_) else type_
    return any(test(value) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _text(name: str, array: pa.Array, sample: Sample) -> Column:
    if sample.is_csv and (floats := tables.as_floats(array)) is not None:
        return _numeric(name, array, tables.float64(floats), padded=_padded(array))
    if sample.is_csv and (truth := tables.as_truth(array)) is not None:
        return _coded(name, BOOLEAN, array, tables.float64(truth))
    coded = _coded(name, TEXT, array)
    for type_, pattern in ((DATE, tables.DATE), (TIMESTAMP, tables.TIMESTAMP)):
        if coded.levels and all(pattern.fullmatch(level) for level in coded.levels):
            return _coded(name, type_, array)
    return replace(coded, odd=_odd(coded, sample)) if sample.is_csv else coded


def _odd(text: Column, sample: Sample) -> str:
    """What the text is where all but a few of its cells are numbers; else an empty string."""
    odd_codes = [code for code, level in enumerate(text.levels) if not tables.NUMBER.fullmatch(level)]
    rows = np.flatnonzero(np.isin(text.code_N, odd_codes))
    if not 0 < len(rows) <= _ODD * text.there:
        return ""
    cell, place = text.levels[text.code_N[rows[0]]][:20], sample.place(int(rows[0]), text.name)
    return f"numbers but for {len(rows):,} cell{'s, the first' if len(rows) > 1 else ','} {cell!r} in {place}"


def _padded(text: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring_regex(pc.utf8_trim_whitespace(text), r"^0\d+$")).as_py())


def _coded(name: str, type_: str, array: pa.Array, number_N: npt.NDArray[np.float64] | None = None) -> Column:
    encoded = tables.category(array)
    code_N = np.asarray(pc.fill_null(encoded.indices, -1)).astype(np.int64)
    used, code_N = _without_unused(code_N)
    levels = [str(level) for level in encoded.dictionary.take(pa.array(used)).to_pylist()]
    missing = int((code_N < 0).sum())
    return Column(name, type_ if levels else EMPTY, missing, len(levels), code_N, levels, number_N)


def _without_unused(code_N: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The codes that rows have, and the rows' codes among these."""
    used, inverse = np.unique(code_N, return_inverse=True)
    missing = int(used[:1].tolist() == [-1])
    return used[missing:], inverse.astype(np.int64) - missing


def _numeric(name: str, array: pa.Array, number_N: npt.NDArray[np.float64], *, padded: bool = False) -> Column:
    missing_N = np.isnan(number_N)
    there = number_N[~missing_N]
    integers = bool((np.isfinite(there) & (there == np.floor(there))).all())
    if integers and not pa.types.is_floating(array.type) and (np.abs(there) >= _EXACT).any():
        code_N = _exact_codes(array, missing_N)
    else:
        code_N = np.where(missing_N, -1, np.unique(number_N, return_inverse=True)[1])  # NaN: the last
    distinct, missing = int(code_N.max(initial=-1)) + 1, int(missing_N.sum())
    type_ = EMPTY if not distinct else INTEGER if integers else NUMBER
    return Column(name, type_, missing, distinct, code_N, (), number_N, padded and integers)


def _exact_codes(array: pa.Array, missing_N: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The numbers as codes in their order, told apart by all their digits; -1 where one is missing."""
    values = [None if none else Decimal(value) for value, none in zip(array.to_pylist(), missing_N, strict=True)]
    order = {value: code for code, value in enumerate(sorted({value for value in values if value is not None}))}
    return np.array([-1 if value is None else order[value] for value in values], np.int64)


def _other(name: str, array: pa.Array, type_: str) -> Column:
    try:
        distinct: int | None = len(pc.unique(array.drop_null()))
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        distinct = None
    code_N = np.where(np.asarray(array.is_null()), -1, 0).astype(np.int64)
    return Column(name, type_, array.null_count, distinct, code_N)
