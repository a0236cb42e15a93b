"""The moments of many rows, from their columns as they lie in memory: compiled, leaf by leaf, on every core.

A partition's leaves are fixed blocks of rows, each is computed by one thread, and they are merged as a tree of
neighbours: the same bits for any number of threads. Two ways to a leaf's factor:

    R        Householder reflections (``compiled.householder``): as good as LAPACK on the rows themselves
    plain    sums of products about a shift, and their Cholesky factor: half the work, and as many digits lost as the
             squared condition number has; only for partitions whose R would take long, and whose columns are unlike
             each other, in the first leaf and in the end

Small partitions are left to numpy (``Moments.of``): a compiler does not pay there. It reads no file.

Shapes: N rows, P = F + O columns, K = 1 + P.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linreg.moments import Float, Moments, merge_by, shifted
from linreg.rows import Chosen, Piece, Rows, float64
from linreg.threads import in_threads

PAYS = 1e8  # rows times K squared from which a compiled pass is the faster one
LONG = 8e9  # from which R takes about 0.2 s
UNLIKE = 300.0  # the largest condition number of the scaled columns for plain sums

_ALL = np.empty(0, np.uint32)


class Leaf(NamedTuple):
    """Up to ``LEAF`` rows.

    Args:
        columns: P of them, float64 or float32, contiguous.
        chosen_N: the numbers of the rows that count; empty: all do.
        weight_N: their weights; None: all 1.
    """

    columns: list[npt.NDArray[Any]]
    chosen_N: Chosen
    weight_N: Float | None

    def __len__(self) -> int:
        return len(self.chosen_N) or len(self.columns[0])


def pays(rows: Rows) -> bool:
    """Whether the rows are enough for compiled code; a question of the rows alone, so that the bits are too."""
    return _work(rows) >= PAYS and not rows.gaps


def moments(rows: Rows, *, way: str = "", threads: int = 0) -> tuple[Moments, str]:
    """The moments of one partition without gaps, and the way they were computed: ``R`` or ``plain``.

    Args:
        way: to be taken; empty: as the module says.
        threads: how many; 0: one a core. The bits do not depend on it.
    """
    if (way or ("plain" if _work(rows) >= LONG else "R")) == "R":
        return _merged(rows, _factor, threads), "R"
    if not way and _condition(_recorded(rows, _factor, next(rows.pieces()))) > UNLIKE:
        return _merged(rows, _factor, threads), "R"
    found = _merged(rows, _plain, threads)
    if not way and _condition(found) > UNLIKE:
        return _merged(rows, _factor, threads), "R"
    return found, "plain"


def _work(rows: Rows) -> float:
    return len(rows) * (1.0 + len(rows.features) + len(rows.targets)) ** 2


def _merged(rows: Rows, way: Callable[..., tuple[Float, Float]], threads: int) -> Moments:
    records = in_threads(lambda piece: _recorded(rows, way, piece), rows.pieces(), threads=threads)
    return merge_by(_sum, records)


def _leaf(rows: Rows, piece: Piece) -> Leaf:
    """The columns of a leaf: views of what is there, float64 copies of integers and booleans."""
    table, some = piece
    weight_N = float64(table[rows.weight]) if rows.weight else None
    weight_N = weight_N if weight_N is None or some is None else weight_N[some]
    columns = [_values(table[name]) for name in (*rows.features, *rows.targets)]
    return Leaf(columns, _ALL if some is None else some, weight_N)


def _values(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    single = pa.types.is_float32(column.type) and column.num_chunks == 1
    return np.asarray(column.chunk(0)) if single else float64(column)


def _recorded(rows: Rows, way: Callable[..., tuple[Float, Float]], piece: Piece) -> Moments:
    leaf, names = _leaf(rows, piece), (rows.features, rows.targets)
    n, weight_N = len(leaf), leaf.weight_N
    if weight_N is None:
        root, shift = _root(way, leaf, np.empty(0))
        return Moments(*names, n, float(n), shift, root, 0.0, float(n))
    counts = int(np.count_nonzero(weight_N)), float(weight_N.sum())
    root, shift = _root(way, leaf, np.sqrt(weight_N))
    logs = float(np.log(weight_N[weight_N > 0]).sum())
    return Moments(*names, *counts, shift, root, logs, float(weight_N @ weight_N))


def _root(way: Callable[..., tuple[Float, Float]], leaf: Leaf, root_N: Float) -> tuple[Float, Float]:
    addresses = np.array([c.ctypes.data for c in leaf.columns], np.int64)
    single = np.array([c.dtype == np.float32 for c in leaf.columns])
    return way(addresses, single, leaf.chosen_N, root_N, len(leaf))


def _factor(addresses: Any, single: Any, chosen_N: Chosen, root_N: Float, n: int) -> tuple[Float, Float]:
    """R, its diagonal never negative, and the shift."""
    from linreg.compiled import householder  # numba is loaded where it pays

    root, shift = householder.leaf(addresses, single, chosen_N, root_N, n)
    return _upright(root), shift


def _plain(addresses: Any, single: Any, chosen_N: Chosen, root_N: Float, n: int) -> tuple[Float, Float]:
    """The same from sums of products; by reflections where they have no factor."""
    from linreg.compiled import products

    gram, shift = products.leaf(addresses, single, chosen_N, root_N, n)
    try:
        return np.linalg.cholesky(gram, upper=True), shift
    except np.linalg.LinAlgError:
        return _factor(addresses, single, chosen_N, root_N, n)


def _sum(a: Moments, b: Moments) -> Moments:
    """``a + b``, compiled."""
    from linreg.compiled import householder

    root = _upright(householder.stacked(a.root_KK, shifted(b.root_KK, b.shift_P - a.shift_P)))
    names = ("rows", "weight", "log_weight", "square_weight")
    return replace(a, root_KK=root, **{n: getattr(a, n) + getattr(b, n) for n in names})


def _upright(root: Float) -> Float:
    return np.where(np.diag(root) < 0, -1.0, 1.0)[:, None] * np.triu(root)


def _condition(found: Moments) -> float:
    """The condition number of the centred columns, each at norm 1; infinite where one is constant."""
    if not (found.spread_P > 0).all():
        return float("inf")
    values = np.linalg.svd(found.centred_PP / np.linalg.norm(found.centred_PP, axis=0), compute_uv=False)
    return float(values[0] / values[-1]) if values[-1] > 0 else float("inf")
