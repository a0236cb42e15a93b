"""What a column by itself can be in a model: a number, a category, or nothing, and why. It opens no file.

A name counts as evidence only beside what the values say: codes are numbers too, and ``year`` is an amount.
"""

import re
from typing import Literal

import numpy as np

from linreg.files.sample import Sample, columns_at
from linreg.profile.columns import (
    BOOLEAN,
    CATEGORIES,
    DATES,
    EMPTY,
    INTEGER,
    NUMBERS,
    TEXT,
    TIMESTAMP,
    Column,
    reads_like_number,
)

Kind = Literal["feature", "categorical", "left out"]
MOST_LEVELS = 100  # of a category
COUNTS = "counts the rows"
MERGED = "whole numbers of more digits than float64 holds, which makes one of several"
_CODES = (3, 30)  # values of an integer column that its name calls a code
_MOST_MISSING = 0.5  # of the rows
_RANGE = (1e-37, 3.4e38)  # of float32, which trains
_MANY = 20  # rows that hardly rise one by one by accident
_LONG = 30  # letters of a text in the mean
_ID = {"id", "ids", "uuid", "guid", "index", "idx", "rowname", "rownames", "rownum", "unnamed", "serial", "key"}
_NUMBERED = {"no", "nr", "num", "number", "nummer", "row", "rows", "case", "obs", "observation", "record"}
_CODE = {"code", "type", "class", "category", "cat", "group", "kind", "zone", "region", "sector", "cluster", "species"}
_PLACE = {"zip", "zipcode", "postcode", "postal", "plz", "fips", "phone", "isbn", "sku"}
_TIME = {"year", "years", "yr", "month", "week", "day", "days", "hour", "time", "date", "t", "age", "period", "quarter"}


def words(name: str) -> set[str]:
    """The words of a name: ``customerId``, ``customer_id`` and ``Customer ID`` have two."""
    return set(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").lower().replace(".", " ").split())


def is_id(column: Column) -> bool:
    """Whether a column names what a row is about: by its name, and text or whole numbers."""
    named = bool(words(column.name.partition(":")[0]) & _ID)
    return named and column.type in (INTEGER, TEXT)


def in_time(column: Column) -> bool:
    """Whether a column says when a row was: a date, or whole numbers that its name calls years or the like."""
    return column.type in DATES or (column.type == INTEGER and bool(words(column.name) & (_TIME - {"age"})))


def in_range(column: Column) -> bool:
    """Whether float32, which trains, holds every number, and tells them from 0."""
    if column.number_N is None or column.missing == column.rows:
        return True
    largest, (low, high) = float(np.nanmax(np.abs(column.number_N))), _RANGE
    return largest == 0 or low <= largest <= high


def is_merged(column: Column) -> bool:
    """Whether float64, in which a model computes, holds half as many numbers as there are, or fewer."""
    if column.number_N is None or column.type != INTEGER:
        return False
    return 2 * len(np.unique(column.number_N[column.code_N >= 0])) <= (column.distinct or 0)


def of_no_table(sample: Sample) -> dict[str, str]:
    """The columns that the table of a sample cannot have, and why."""
    doubled = {name: f"stands in {columns_at(at)} of the file" for name, at in sample.doubled.items()}
    renamed = {name: f"{why}: give one of them another name to use it" for name, why in doubled.items()}
    return renamed | dict.fromkeys(sample.partial, "stands in some of the files only")


def of_folders(column: Column) -> tuple[Kind, str]:
    """What a column that folders name can be: a category, of few levels that do not come with time."""
    levels = column.distinct or 0
    if in_time(column):
        return "left out", "the name of folders, and a time: each new one would be a level that no row trained"
    if _are_many(levels, column):
        return "left out", f"the name of folders, {levels:,} of them: too many for {column.there:,} rows"
    return "categorical", f"the name of folders, {levels} of them"


def kind(column: Column) -> tuple[Kind, str]:
    """What a column can be, and in one short sentence why."""
    why = _of_no_use(column) or _names_rows(column) or _codes_without_amount(column)
    if why:
        return "left out", why
    if column.type in CATEGORIES:
        return _category(column)
    if _is_code(column):
        sign = "are written with zeros in front" if column.padded else "the name calls codes"
        return "categorical", f"whole numbers that {sign}, {column.distinct} of them"
    if is_merged(column):
        return "left out", f"{MERGED}: subtract what they have in common to use it"
    return "feature", _gaps("numbers", column)


def _of_no_use(column: Column) -> str:
    if not column.name.strip():
        return _row_number(column) or "has no name: give it one to use it"
    if column.type == EMPTY:
        return "has no value in any row"
    if column.distinct == 1:
        return "has the same value in every row" if not column.missing else "has one value or none: it says too little"
    if column.type in DATES:
        when = "a timestamp" if column.type == TIMESTAMP else "a date"
        return f"{when}: data.formula can take elapsed({column.name}), month({column.name}), dayofweek({column.name})"
    if column.type not in (*NUMBERS, *CATEGORIES):
        return f"{column.type}: neither numbers nor text"
    if not in_range(column):
        return "holds infinite values, or such as float32 does not hold"
    if column.missing > _MOST_MISSING * column.rows:
        return f"{column.missing / column.rows:.0%} of the rows have no value"
    return ""


def _names_rows(column: Column) -> str:
    if column.distinct is None or column.type not in (INTEGER, TEXT):
        return ""
    if why := _row_number(column):
        return why
    unique = column.distinct == column.there
    if is_id(column):
        return "an id: a name of a row, not a measure of it" if unique else "an id: it names what rows are about"
    if unique and words(column.name) & _NUMBERED and _rises(column):
        return "a number of each row: it is called so, and rises from row to row"
    return ""


def _rises(column: Column) -> bool:
    numbers = column.number_N is not None and not column.missing
    return numbers and column.rows >= _MANY and bool((np.diff(column.code_N) > 0).all())


def _row_number(column: Column) -> str:
    """Whole numbers that count the rows in their order, and no time, trend or single letter by their name."""
    if column.type != INTEGER or column.missing or column.number_N is None:
        return ""
    first, steps = column.number_N[0], np.diff(column.number_N)
    counts = first in (0, 1) and len(steps) > 1 and bool((steps == 1).all())
    named = words(column.name) & (_ID | _NUMBERED) or not column.name.strip()
    plain = len(column.name) > 1 and not words(column.name) & _TIME and column.rows >= _MANY
    return COUNTS if counts and (named or plain) else ""


def _codes_without_amount(column: Column) -> str:
    if column.type != INTEGER or (column.distinct or 0) <= _CODES[1]:
        return ""
    if words(column.name) & _PLACE or column.padded:
        return f"codes such as a post code, {column.distinct} of them: as numbers they mean nothing"
    return "a date written as a whole number" if _is_date_number(column) else ""


def _is_date_number(column: Column) -> bool:
    """Whether it is called a date and holds ``20261101``, or seconds."""
    assert column.number_N is not None
    return bool(words(column.name) & {"date", "timestamp", "datetime"}) and bool(np.nanmin(column.number_N) > 1e7)


def _is_code(column: Column) -> bool:
    low, high = _CODES
    few = column.type == INTEGER and low <= (column.distinct or 0) <= min(high, column.there / 5)
    return few and bool(column.padded or words(column.name) & (_CODE | _PLACE))


def _category(column: Column) -> tuple[Kind, str]:
    levels = column.distinct or 0
    if column.type == BOOLEAN:
        return "categorical", _gaps("true or false", column)
    many = _are_many(levels, column)
    if many and column.odd:
        return "left out", f"{column.odd}: correct what is no number, or leave those cells empty, to use it"
    if many and (example := reads_like_number(column)):
        return "left out", f"numbers written as text, such as {example[:20]!r}: write them plainly to use them"
    if levels == column.there:
        return "left out", f"{'free text' if _is_long(column) else 'names'}, another one in every row"
    if many:
        what = "free text" if _is_long(column) else "text"
        return "left out", f"{what} with {levels:,} values: too many for {column.there:,} rows"
    what = f", {column.odd}: correct these to have a column of numbers" if column.odd else ""
    return "categorical", _gaps(f"text with {levels} values{what}", column)


def _are_many(levels: int, column: Column) -> bool:
    """Too many levels for a category, whatever the other columns."""
    return levels > MOST_LEVELS or 2 * levels > column.there


def _is_long(column: Column) -> bool:
    shown = column.levels[:1000]
    return sum(map(len, shown)) > _LONG * len(shown)


def _gaps(what: str, column: Column) -> str:
    rows = f"{column.missing:,} {'row has' if column.missing == 1 else 'rows have'} no value"
    return f"{what}; {rows}" if column.missing else what
