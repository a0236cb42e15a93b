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
from linreg.moments.from_rows import NUMPY
from linreg.moments.missing_values import MASK
from linreg.moments.moments import Moments
from linreg.rows.rows import Rows, TableBlock
from linreg.rows.terms import codes_of, float64, levels_of, values

Codes = npt.NDArray[np.intp]
Columns = dict[str, Float]


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


def part_leaf(
    header: Rows, products: Sequence[tuple[str, ...]], category: str, piece: TableBlock, *, method: str = NUMPY
) -> PartedLeaf:
    """Part a leaf by the levels of a category.

    Args:
        header: the targets and the weight.
        products: the columns, numbers or categories, whose product each group of terms is.
        piece: the block, and which of its rows count.
        method: all but ``numpy`` run compiled code.
    """
    table, numbers = piece
    if numbers is not None:
        table = table.take(pa.array(numbers))
    levels, code_n = _dense(table[category])
    weight_n = float64(table[header.weight]) if header.weight else None
    terms = [term for variables in products if variables != (category,) for term in _terms(table, variables)]
    columns = {t.name: values(table, t) for t in terms} | {y: float64(table[y]) for y in header.targets}
    masks, missing = _masks(columns)
    centre = _centred if method == NUMPY or masks else _compiled
    weight_L = np.bincount(code_n, weight_n, len(levels)).astype(np.float64)
    within, mean_LP, shift_P = centre(masks, columns, code_n, weight_n, weight_L)
    names = tuple(within)[: len(within) - len(header.targets)]
    level_LK = np.sqrt(weight_L)[:, None] * np.column_stack([np.ones(len(levels)), mean_LP])
    nothing = Moments(names, header.targets, 0, 0.0, shift_P, np.empty((0, 0)))
    gaps = tuple(name.removeprefix(MASK) for name in masks)
    record = MomentsByLevel(category, levels, level_LK, tuple(terms), nothing, gaps, missing)
    weights = {} if weight_n is None else {header.weight: weight_n}
    return PartedLeaf(record, Rows((), names, header.targets, weight=header.weight), pa.table(within | weights))


def _dense(column: pa.ChunkedArray) -> tuple[tuple[str, ...], Codes]:
    """The levels that have rows, and which of them each row is at."""
    levels, code_n = levels_of(column), codes_of(column)
    used = np.bincount(code_n, minlength=len(levels)) > 0
    if used.all():
        return tuple(levels), code_n
    return tuple(levels[i] for i in np.flatnonzero(used)), (np.cumsum(used) - 1)[code_n]


def _masks(columns: Columns) -> tuple[Columns, int]:
    """Of each column with gaps, where it has a value; and how many gaps there are."""
    absent = {name: np.isnan(x_n) for name, x_n in columns.items() if np.isnan(x_n.sum())}  # the quickest look
    masks = {MASK + name: (~gap_n).astype(np.float64) for name, gap_n in absent.items() if gap_n.any()}
    return masks, sum(int(np.count_nonzero(gap_n)) for gap_n in absent.values())


def _terms(table: pa.Table, variables: Sequence[str]) -> Iterator[Term]:
    """The terms of a product, one for every combination of the levels that the block has."""
    categories = [v for v in variables if pa.types.is_dictionary(table.schema.field(v).type)]
    numbers = tuple(v for v in variables if v not in categories)
    for levels in combinations(*(_dense(table[c])[0] for c in categories)):
        yield Term(numbers, tuple(zip(categories, levels, strict=True)))


def _centred(
    masks: Columns, columns: Columns, code_n: Codes, weight_n: Float | None, weight_L: Float
) -> tuple[Columns, Float, Float]:
    """Every column about the means of its level, a gap being 0; the levels' means less the shift, and the shift."""
    within, means, shifts = {}, [], []
    for name, x_n in (masks | columns).items():
        mask_n = masks.get(MASK + name)
        shift = 0.0 if name in masks else _mean(x_n, mask_n, weight_n)
        z_n = x_n - shift if mask_n is None else np.where(mask_n > 0, x_n - shift, 0.0)
        means.append(_level_means(z_n, code_n, weight_n, weight_L))
        within[name] = z_n - means[-1][code_n]
        shifts.append(shift)
    return within, np.array(means).T, np.array(shifts)


def _compiled(
    _masks: Columns, columns: Columns, code_n: Codes, weight_n: Float | None, weight_L: Float
) -> tuple[Columns, Float, Float]:
    """The same of columns without gaps."""
    from linreg.kernels.record.centre import centre  # numba is loaded where it pays

    weights = np.empty(0) if weight_n is None else weight_n
    codes = code_n.astype(np.uint32)  # an index that cannot be negative
    parts = [centre(np.ascontiguousarray(x_n), codes, weights, weight_L) for x_n in columns.values()]
    within = dict(zip(columns, (rest_n for rest_n, _, _ in parts), strict=True))
    return within, np.array([mean_L for _, mean_L, _ in parts]).T, np.array([shift for _, _, shift in parts])


def _mean(x_n: Float, mask_n: Float | None, weight_n: Float | None) -> float:
    """The mean of the values that are there; 0 where none is."""
    w_n = np.ones(len(x_n)) if weight_n is None else weight_n
    w_n = w_n if mask_n is None else w_n * mask_n
    return float(np.average(np.nan_to_num(x_n), weights=w_n)) if w_n.sum() > 0 else 0.0


def _level_means(x_n: Float, code_n: Codes, weight_n: Float | None, weight_L: Float) -> Float:
    """The means of the levels."""
    return np.asarray(np.bincount(code_n, x_n if weight_n is None else x_n * weight_n, len(weight_L)) / weight_L)
