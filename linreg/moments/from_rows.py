"""The moments of many rows, from their columns as they lie in memory: compiled, leaf by leaf, on every core.

A partition's leaves are fixed blocks of rows, each is computed by one thread, and they are merged as a tree of
neighbours: the same bits for any number of threads. Four methods make a leaf's factor:

    R        Householder reflections (``kernels.record.householder``): as good as LAPACK on the rows themselves
    plain    sums of products about a shift, and their Cholesky factor: half the work, and as many digits lost as the
             squared condition number has; only for partitions whose R would take long, and whose columns are unlike
             each other, in the first leaf and in the end
    numpy    LAPACK's reflections, as ``Moments.of``: for few rows, where a compiler does not pay
    device   reflections by torch (``on_device``), where a device is named

The method hangs on the partition alone, so that the bits do too. It reads no file.

    method = choose_method(header, table_rows, first)
    record = merge_moments([record_leaf(header, method, block) for block in blocks])
                                                           # by R instead unless ``is_accurate(method, record)``

Shapes: N rows, P = F + O columns, K = 1 + P.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linreg.design import Term
from linreg.metrics import Float
from linreg.moments.moments import Moments, upright
from linreg.moments.record_stack import merge_moments
from linreg.rows.rows import RowNumbers, Rows, TableBlock, block
from linreg.rows.terms import float64, prepared
from linreg.rows.terms import values as term_values
from linreg.threads import in_threads

if TYPE_CHECKING:  # what reads no rows loads no torch
    import torch

PAYS = 5.5e7  # rows times K^1.5, 4 ns each by numpy, from which compiled code is faster, loading it included
LONG = 8e9  # rows times K squared from which R takes about 0.2 s
UNLIKE = 300.0  # the largest condition number of the scaled columns for plain sums

FACTOR, PLAIN, NUMPY, DEVICE = "R", "plain", "numpy", "device"  # the methods

_ALL = np.empty(0, np.uint32)


class _Leaf(NamedTuple):
    """Up to ``LEAF`` rows.

    Args:
        columns: P of them, float64 or float32, contiguous.
        chosen_N: the numbers of the rows that count; empty: all do.
        weight_N: their weights; None: all 1.
    """

    columns: list[npt.NDArray[Any]]
    chosen_N: RowNumbers
    weight_N: Float | None

    def __len__(self) -> int:
        return len(self.chosen_N) or len(self.columns[0])


def moments(
    rows: Rows, *, method: str = "", threads: int = 0, device: "torch.device | None" = None
) -> tuple[Moments, str]:
    """The moments of one partition without gaps, and the method that made them.

    Args:
        method: to be taken; empty: as the module says.
        threads: how many; 0: one a core. The bits do not depend on it.
        device: makes the factors of the leaves; None: the CPU's compiled code and numpy do.
    """
    if device:
        on_device = partial(_record, rows, partial(_on_device, device=device))
        return merge_moments(in_threads(on_device, rows.table_blocks(), threads=threads)), DEVICE
    chosen = method or choose_method(rows, rows.table_rows, lambda: next(rows.table_blocks()))
    count = 1 if chosen == NUMPY else threads
    leaves = in_threads(lambda block: record_leaf(rows, chosen, block), rows.table_blocks(), threads=count)
    record = merge_moments(leaves)
    return (record, chosen) if method or is_accurate(chosen, record) else moments(rows, method=FACTOR, threads=threads)


def choose_method(header: Rows, table_rows: int, first: Callable[[], TableBlock]) -> str:
    """The method for a partition.

    Args:
        header: says which columns there are.
        table_rows: how many rows the partition has, of any role.
        first: gives its first leaf that has rows of the role; asked only where it matters.
    """
    k = 1.0 + len(header.features) + len(header.targets)
    if table_rows * k**1.5 < PAYS:
        return NUMPY
    if table_rows * k**2 < LONG or _condition(record_leaf(header, FACTOR, first())) > UNLIKE:
        return FACTOR
    return PLAIN


def is_accurate(method: str, record: Moments) -> bool:
    """Whether the method serves such a record; plain sums only serve columns that are unlike each other."""
    return method != PLAIN or _condition(record) <= UNLIKE


def record_leaf(header: Rows, method: str, piece: TableBlock) -> Moments:
    """The moments of one leaf."""
    if method == NUMPY:
        weight_N = block(*piece, [header.weight])[:, 0] if header.weight else None
        names = header.features, header.targets
        return Moments.leaf(block(*piece, [*header.features, *header.targets], header.design), *names, weight_N)
    return _record(header, _factor if method == FACTOR else _plain, piece)


def _columns(rows: Rows, piece: TableBlock) -> _Leaf:
    """The columns of a leaf: views of what is there, float64 copies of integers and booleans."""
    table, numbers = piece
    weight_N = float64(table[rows.weight]) if rows.weight else None
    weight_N = weight_N if weight_N is None or numbers is None else weight_N[numbers]
    terms = rows.design.terms if rows.design else {}
    table = prepared(table, rows.design) if rows.design else table
    columns = [_values(table, name, terms) for name in (*rows.features, *rows.targets)]
    return _Leaf(columns, _ALL if numbers is None else numbers, weight_N)


def _values(table: pa.Table, name: str, terms: Mapping[str, Term]) -> npt.NDArray[Any]:
    if name in terms:
        return np.ascontiguousarray(term_values(table, terms[name]))
    column = table[name]
    floats = column.type in (pa.float32(), pa.float64())
    can_be_viewed = floats and column.num_chunks == 1 and not column.null_count
    return np.asarray(column.chunk(0)) if can_be_viewed else float64(column)


def _record(rows: Rows, factor: Callable[[_Leaf, Float | None], tuple[Float, Float]], piece: TableBlock) -> Moments:
    leaf_rows, names = _columns(rows, piece), (rows.features, rows.targets)
    n, weight_N = len(leaf_rows), leaf_rows.weight_N
    if weight_N is None:
        root, shift = factor(leaf_rows, None)
        return Moments(*names, n, float(n), shift, root, 0.0, float(n))
    counts = int(np.count_nonzero(weight_N)), float(weight_N.sum())
    root, shift = factor(leaf_rows, np.sqrt(weight_N))
    logs = float(np.log(weight_N[weight_N > 0]).sum())
    return Moments(*names, *counts, shift, root, logs, float(weight_N @ weight_N))


def _factor(leaf_rows: _Leaf, root_N: Float | None) -> tuple[Float, Float]:
    """R, its diagonal never negative, and the shift."""
    from linreg.kernels.record import householder  # numba is loaded where it pays

    root, shift = householder.leaf(*_compiled_arguments(leaf_rows, root_N))
    return upright(root), shift


def _plain(leaf_rows: _Leaf, root_N: Float | None) -> tuple[Float, Float]:
    """The same from sums of products; by reflections where they have no factor."""
    from linreg.kernels.record import gram

    product_KK, shift = gram.leaf(*_compiled_arguments(leaf_rows, root_N))
    try:
        return np.linalg.cholesky(product_KK, upper=True), shift
    except np.linalg.LinAlgError:
        return _factor(leaf_rows, root_N)


def _on_device(leaf_rows: _Leaf, root_N: Float | None, device: "torch.device") -> tuple[Float, Float]:
    """The same by torch."""
    from linreg.moments import on_device  # torch is loaded where a device is named

    chosen = leaf_rows.chosen_N
    return on_device.factor([c[chosen] if len(chosen) else c for c in leaf_rows.columns], root_N, device)


def _compiled_arguments(leaf_rows: _Leaf, root_N: Float | None) -> tuple[Any, ...]:
    """A leaf as the kernels take it."""
    addresses = np.array([c.ctypes.data for c in leaf_rows.columns], np.int64)
    single = np.array([c.dtype == np.float32 for c in leaf_rows.columns])
    return addresses, single, leaf_rows.chosen_N, np.empty(0) if root_N is None else root_N, len(leaf_rows)


def _condition(record: Moments) -> float:
    """The condition number of the centred columns, each at norm 1; infinite where one is constant."""
    if not record.rows or not (record.spread_P > 0).all():
        return float("inf")
    values = np.linalg.svd(record.centred_PP / np.linalg.norm(record.centred_PP, axis=0), compute_uv=False)
    return float(values[0] / values[-1]) if values[-1] > 0 else float("inf")
