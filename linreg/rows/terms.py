"""Columns of the design, computed from the columns of a block: numbers, indicators of levels, and their products.

A category is a dictionary column of text (``files.tables.category``); a level that a block lacks is 0 in its rows.

Shapes: n rows of a block.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from linreg.design import Term
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


def values(table: pa.Table, term: Term) -> Float:
    """A term of every row, (n,); NaN where a number or a level is missing."""
    factors = [float64(table[name]) for name in term.numbers]
    factors += [_indicator(table[column], level) for column, level in term.levels]
    factors += [np.isnan(float64(table[column])).astype(np.float64) for column in term.missing]
    out = factors[0]
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
