"""Columns of the design, computed from the columns of a block: numbers, indicators of levels, and their products.

Columns that a formula computes of others come first (``with_computed``); then each term is a product of columns.

A category is a dictionary column of text (``files.tables.category``); a level that a block lacks is 0 in its rows.

Shapes: n rows of a block.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from linreg.design import MISSING, Design, Term
from linreg.expression import CALENDAR, Expression, columns_of, compute, level_codes
from linreg.metrics import Float


def levels_of(column: pa.ChunkedArray) -> list[str]:
    """The levels that the codes of a category stand for."""
    levels: list[str] = _single(column).dictionary.to_pylist()
    return levels


def codes_of(column: pa.ChunkedArray) -> npt.NDArray[np.intp]:
    """The code of each row, (n,); -1 where the level is missing."""
    indices = _single(column).indices
    filled = pc.fill_null(indices, -1) if indices.null_count else indices
    return np.asarray(filled).astype(np.intp)


def prepared(table: pa.Table, design: Design) -> pa.Table:
    """The table with what a design computes, and with a level for a missing category where it knows one."""
    table = with_computed(table, design.computed)
    for name in design.levels if design.gaps_are_levels else ():
        if MISSING in design.levels[name] and name in table.column_names and table[name].null_count:
            column = with_level(_single(table[name]), MISSING)
            table = table.set_column(table.column_names.index(name), name, column)
    return table


def with_computed(table: pa.Table, computed: Mapping[str, Expression]) -> pa.Table:
    """The table with the columns that it lacks and has the columns for; dates are microseconds since 1970."""
    names = set(table.column_names)
    for name, expression in computed.items():
        inputs = set(columns_of(expression))
        if name not in names and inputs <= names:
            columns = {column: float64(table[column]) for column in inputs}
            table = table.append_column(name, _computed(expression, columns))
    return table


def _computed(expression: Expression, columns: Mapping[str, Float]) -> pa.Array:
    if expression[0] not in CALENDAR:
        return pa.array(compute(expression, columns))
    code_n = level_codes(expression, columns)
    codes = pa.array(code_n, pa.int32(), mask=code_n < 0)
    return pa.DictionaryArray.from_arrays(codes, pa.array(CALENDAR[expression[0]], pa.string()))


def values(table: pa.Table, term: Term) -> Float:
    """A term of every row, (n,); NaN where a number or a level is missing."""
    factors = [float64(table[name]) for name in term.numbers]
    if term.affine:
        factors = [(x_n - shift) / scale for x_n, (shift, scale) in zip(factors, term.affine, strict=True)]
    factors += [_indicator(table[column], level) for column, level in term.levels]
    factors += [np.isnan(float64(table[column])).astype(np.float64) for column in term.missing]
    out = factors[0]
    with np.errstate(invalid="ignore"):  # what has no finite value, at another level
        for factor in factors[1:]:
            out = out * factor
    return out


def with_level(column: pa.DictionaryArray, level: str) -> pa.DictionaryArray:
    """The category with that level in every row that is at none."""
    if not column.null_count:
        return column
    levels = pa.concat_arrays([column.dictionary, pa.array([level], pa.string())])
    at = column.dictionary.index(level).as_py()  # -1: the last
    indices = pc.fill_null(column.indices, pa.scalar(len(levels) - 1 if at < 0 else at, pa.int32()))
    return pa.DictionaryArray.from_arrays(indices, levels if at < 0 else column.dictionary)


def _indicator(column: pa.ChunkedArray, level: str) -> Float:
    category = _single(column)
    at = category.dictionary.index(level).as_py()  # -1: no row is at it
    at_level_n: Float = np.equal(pc.fill_null(category.indices, -1), at if at >= 0 else -2).astype(np.float64)
    if not category.null_count:
        return at_level_n
    return np.where(category.is_null(), np.nan, at_level_n)


def _single(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """A category in one piece."""
    return column.chunk(0) if column.num_chunks == 1 else column.unify_dictionaries().combine_chunks()


def float64(column: pa.ChunkedArray) -> Float:
    """The column as float64, null as NaN; no copy where it is float64 in one piece already."""
    if not pa.types.is_float64(column.type):
        column = pc.cast(column, pa.float64(), safe=False)
    return np.asarray(column.to_numpy())
