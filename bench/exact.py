"""Exact least squares on float64 rows in memory: ours from its record, beside oneDAL and scikit-learn.

Ours takes Arrow columns, as they come out of a file; oneDAL a row-major array and scikit-learn a column-major one:
what suits each best. None looks for values that are not finite. Each runs with the threads it takes by default. No
reading of files is in it.

Shapes: N rows, F features.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import sklearn

from bench import data, limits
from bench.data import Array
from bench.harness import Contender, Measured, Result, in_turn, less_is_better, load, peer, timed, without
from linreg.moments import from_rows
from linreg.moments.moments import Moments
from linreg.rows.rows import Rows

ROWS = {3: 1 << 22, 32: 1 << 21, 256: 1 << 18}  # by F: far beyond the caches, and 512 MiB from F = 32 on
ONEDAL, SKLEARN, READ = "oneDAL", "scikit-learn", "read"
# The kinds of record, each by what makes it.
KINDS: dict[str, Callable[[Rows], Moments]] = {
    "plain": lambda rows: from_rows.moments(rows, method="plain")[0],
    "R": lambda rows: from_rows.moments(rows, method="R")[0],
}
TARGETS: dict[tuple[str, int], dict[str, float]] = {
    ("plain", 3): {ONEDAL: 2, SKLEARN: 20},
    ("plain", 32): {ONEDAL: 1, SKLEARN: 20},
    ("plain", 256): {ONEDAL: 0.8, SKLEARN: 15},
    ("R", 3): {ONEDAL: 2},
    ("R", 32): {ONEDAL: 0.5},
    ("R", 256): {ONEDAL: 0.3},
}


def run(*, rows: int | None = None, rounds: int = 7, read_bytes: int = limits.GIB) -> list[Result]:
    """A result for each number of features and kind of record; ``rows`` in place of the full number for a trial."""
    memory = limits.memory(read_bytes)
    return [r for features, n in ROWS.items() for r in _measure(features, rows or n, memory, rounds)]


def _measure(features: int, n: int, memory: limits.Words, rounds: int) -> list[Result]:
    busy, (x_NF, y_NO) = load(), data.arrays(n, features, dtype=np.float64)
    contenders = _contenders(x_NF, y_NO)
    _check_the_same(contenders)
    threads = os.cpu_count() or 1
    size = x_NF.nbytes + y_NO.nbytes
    read: dict[str, Contender] = {READ: lambda: (size / 1e9 / limits.read_bandwidth(memory, threads=threads),)}
    measured = in_turn(timed(contenders) | read, rounds)
    note = (
        f"{n:,} rows in float64, one target, until the coefficients are there; ours from Arrow columns, oneDAL from a "
        f"row-major array, scikit-learn from a column-major one, both with assume_finite; same coefficients; ours by "
        f"the way asked for (left alone, plain sums begin at {from_rows.LONG:.0e} rows x squared columns); each on "
        f"its own number of threads, of {threads}; {READ}: all threads read the rows once; medians of {rounds} in "
        f"turn; {busy}{without(**_peers())}"
    )
    return [_result(kind, features, measured, note) for kind in KINDS]


def _result(kind: str, features: int, measured: Measured, note: str) -> Result:
    """One kind of record as ours; the other kinds stand in a result of their own."""
    own = {("ours" if name == kind else name): m for name, m in measured.items() if name == kind or name not in KINDS}
    return less_is_better(f"exact F={features} {kind}", "s", own, TARGETS[kind, features], note=note)


def _peers() -> dict[str, Any]:
    return {ONEDAL: peer("sklearnex.linear_model"), SKLEARN: peer("sklearn.linear_model")}


def _contenders(x_NF: Array, y_NO: Array) -> dict[str, Callable[[], Array]]:
    """Each gives the intercept and the coefficients, shape (1 + F,)."""
    y_N, columns_NF = np.ascontiguousarray(y_NO[:, 0]), np.asfortranarray(x_NF)
    rows, layout = data.rows(columns_NF, y_NO), {ONEDAL: x_NF, SKLEARN: columns_NF}  # ours is the columns, uncopied
    ours = {kind: partial(_recorded, make, rows) for kind, make in KINDS.items()}
    peers = {
        name: partial(_fitted, module, layout[name], y_N) for name, module in _peers().items() if module is not None
    }
    return {**ours, **peers}


def _recorded(make: Callable[[Rows], Moments], rows: Rows) -> Array:
    solution = make(rows).solve()
    return np.concatenate([solution.bias_O - solution.weight_OF @ solution.mean_F, solution.weight_OF[0]])


def _fitted(module: Any, x_NF: Array, y_N: Array) -> Array:
    with sklearn.config_context(assume_finite=True):
        model = module.LinearRegression().fit(x_NF, y_N)
    return np.concatenate([[model.intercept_], model.coef_])


def _check_the_same(contenders: dict[str, Callable[[], Array]]) -> None:
    """All of them to ten digits: the problem is well conditioned, so a larger difference is a mistake."""
    first, *others = (work() for work in contenders.values())
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-10, atol=1e-12)
