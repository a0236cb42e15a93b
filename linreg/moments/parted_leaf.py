"""A leaf of rows that a category parts: its columns about the means of their levels, which a factor is then made of.

    part_leaf(header, products, "region", (table, None)).recorded(method)

Shapes: n rows of a leaf.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product as combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linreg.design import Term
from linreg.metrics import Float
from linreg.moments import from_rows
from linreg.moments.by_level import MomentsByLevel
from linreg.moments.missing_values import MASK
from linreg.moments.moments import Moments
from linreg.rows.rows import Rows, TableBlock
from linreg.rows.terms import codes_of, float64, levels_of, values

Codes = npt.NDArray[np.intp]


@dataclass(frozen=True)
class PartedLeaf:
    """A leaf whose columns stand about the means of their levels.

    Args:
        record: all but the factor.
        header, table: the columns that it is to be made of, and the weight.
    """

    record: MomentsByLevel
    header: Rows
    table: pa.Table

    def recorded(self, method: str) -> MomentsByLevel:
        """The record, with the factor that the method makes (``from_rows``)."""
        return self.record.recorded(from_rows.record_leaf(self.header, method, (self.table, None)))


def part_leaf(header: Rows, products: Sequence[tuple[str, ...]], category: str, piece: TableBlock) -> PartedLeaf:
    """Part a leaf by the levels of a category.

    Args:
        header: the targets and the weight.
        products: the columns, numbers or categories, whose product each group of terms is.
        piece: the block, and which of its rows count.
    """
    table, numbers = piece
    if numbers is not None:
        table = table.take(pa.array(numbers))
    levels, code_n = _dense(table[category])
    weight_n = float64(table[header.weight]) if header.weight else None
    terms = [term for variables in products for term in _terms(table, variables) if term.inputs != (category,)]
    columns = {t.name: values(table, t) for t in terms} | {y: float64(table[y]) for y in header.targets}
    masks, shifts, missing = _shifted(columns, weight_n)
    columns = masks | columns
    level_LK = _centred(columns, code_n, len(levels), weight_n)
    names = tuple(columns)[: len(columns) - len(header.targets)]
    shift_P = np.array([*([0.0] * len(masks)), *shifts])
    own = Rows((), names, header.targets, weight=header.weight)
    nothing = Moments(names, header.targets, 0, 0.0, shift_P, np.empty((0, 0)))
    gaps = tuple(name.removeprefix(MASK) for name in masks)
    record = MomentsByLevel(category, levels, level_LK, tuple(terms), nothing, gaps, missing)
    return PartedLeaf(record, own, pa.table(columns | ({} if weight_n is None else {header.weight: weight_n})))


def _dense(column: pa.ChunkedArray) -> tuple[tuple[str, ...], Codes]:
    """The levels that have rows, sorted, and which of them each row is at."""
    all_levels, code_n = levels_of(column), codes_of(column)
    used = np.flatnonzero(np.bincount(code_n, minlength=len(all_levels)))
    order = sorted(used.tolist(), key=all_levels.__getitem__)
    position = np.zeros(len(all_levels), np.intp)
    position[order] = np.arange(len(order))
    return tuple(all_levels[i] for i in order), position[code_n]


def _shifted(columns: dict[str, Float], weight_n: Float | None) -> tuple[dict[str, Float], list[float], int]:
    """Subtract from each column the mean of what is there, a gap becoming 0; the masks, the means, how many gaps."""
    masks, shifts, missing = {}, [], 0
    for name, x_n in columns.items():
        absent = np.isnan(x_n)
        gaps = int(np.count_nonzero(absent))
        present = ~absent if gaps else slice(None)
        weight = None if weight_n is None else weight_n[present]
        shifts.append(float(np.average(x_n[present], weights=weight)) if gaps < len(x_n) else 0.0)
        columns[name] = x_n - shifts[-1]
        if gaps:
            columns[name][absent] = 0.0
            masks[MASK + name] = (~absent).astype(np.float64)
            missing += gaps
    return masks, shifts, missing


def _terms(table: pa.Table, variables: Sequence[str]) -> Iterator[Term]:
    """The terms of a product, one for every combination of the levels that the block has."""
    categories = [v for v in variables if pa.types.is_dictionary(table.schema.field(v).type)]
    numbers = tuple(v for v in variables if v not in categories)
    for levels in combinations(*(_dense(table[c])[0] for c in categories)):
        yield Term(numbers, tuple(zip(categories, levels, strict=True)))


def _centred(columns: dict[str, Float], code_n: Codes, count: int, weight_n: Float | None) -> Float:
    """Put every column about the means of its level; ``sqrt(w) * [1 | mean]`` of the levels, (count, 1 + columns)."""
    weight_L = np.bincount(code_n, weight_n, count).astype(np.float64)
    mean_LK = np.ones((count, 1 + len(columns)))
    for j, (name, x_n) in enumerate(columns.items(), 1):
        mean_L = _sums(x_n, code_n, count, weight_n) / weight_L
        columns[name] = x_n - mean_L[code_n]
        rest_L = _sums(columns[name], code_n, count, weight_n) / weight_L  # what rounding left of the mean
        mean_LK[:, j] = mean_L + rest_L
    return mean_LK * np.sqrt(weight_L)[:, None]


def _sums(x_n: Float, code_n: Codes, count: int, weight_n: Float | None) -> Float:
    return np.asarray(np.bincount(code_n, x_n if weight_n is None else x_n * weight_n, count), dtype=np.float64)
