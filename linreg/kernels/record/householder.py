"""The triangular factor R of rows, by Householder reflections on a chunk of rows at a time, never squared.

Under R stand M more rows Z, and a reflection for every column puts what they hold into R. Four reflections v are made
by themselves, then applied together to each column z to their right, whose M values stay in registers meanwhile:

    w = T' (R_rows + V' z),    R_rows -= w,    z -= V w

Shapes: K columns, M rows of a chunk; R is (K, K), flat, row by row; a chunk is (K, M), flat.

Source: Golub and Van Loan, Matrix Computations, 5.2.3 (the WY form); Elmroth and Gustavson 2000.
"""

import math
from typing import Any

import numba
import numpy as np

from linreg.kernels.jit import compiled, inlined
from linreg.kernels.record.columns import CHUNK, LANES, chunk, means
from linreg.kernels.simd import at, lanes, set_at

PANEL = 4  # reflections that are applied together
TOGETHER = 2  # columns that they are applied to at once
SAMPLE = 1024  # rows whose means are the shift

_v = lanes(numba.float64, LANES)
_load, _store, _splat, _total = _v.load, _v.store, _v.splat, _v.total
_fma, _add, _mul = _v.fma, _v.add, _v.mul
_stack, _get, _put = _v.stack, _v.get, _v.put


@inlined
def _dot(a: Any, i: int, j: int) -> Any:
    """The product of two columns of a chunk."""
    s, t = _splat(0.0), _splat(0.0)
    for n in range(0, CHUNK, 2 * LANES):
        s = _fma(_load(a, i * CHUNK + n), _load(a, j * CHUNK + n), s)
        t = _fma(_load(a, i * CHUNK + n + LANES), _load(a, j * CHUNK + n + LANES), t)
    return _total(_add(s, t))


@inlined
def _add_column(a: Any, i: int, j: int, factor: float) -> None:
    """Column i plus ``factor`` times column j."""
    f = _splat(factor)
    for n in range(0, CHUNK, LANES):
        _store(a, i * CHUNK + n, _fma(f, _load(a, j * CHUNK + n), _load(a, i * CHUNK + n)))


@inlined
def _reflection(r: Any, z: Any, k: int, j: int) -> Any:
    """The reflection that puts column j of the chunk into R[j, j]: its vector replaces the column; returns tau."""
    alpha, below = at(r, j * k + j), _dot(z, j, j)
    if below == 0.0:
        return 0.0
    beta = -math.copysign(math.sqrt(alpha * alpha + below), alpha)
    scale = _splat(1.0 / (alpha - beta))
    for n in range(0, CHUNK, LANES):
        _store(z, j * CHUNK + n, _mul(_load(z, j * CHUNK + n), scale))
    set_at(r, j * k + j, beta)
    return (beta - alpha) / beta


@inlined
def _inner(z: Any, first: int, count: int, t: Any) -> None:
    """T of the reflections in columns ``first`` and on: T[m, i] = -tau_i sum_n T[m, n] (v_n . v_i)."""
    for i in range(1, count):
        for n in range(i):
            t[PANEL * PANEL + n] = _dot(z, first + n, first + i)
        for m in range(i):
            s = 0.0
            for n in range(m, i):
                s += t[m * PANEL + n] * t[PANEL * PANEL + n]
            t[m * PANEL + i] = -t[i * PANEL + i] * s


def _applying(columns: int) -> Any:
    """The reflections of a panel to some columns on its right: each vector that is loaded serves all of them."""

    @inlined
    def apply(r: Any, z: Any, k: int, first: int, t: Any, j: int) -> None:
        s = _stack()
        for i in range(columns * PANEL):
            _put(s, i, _splat(0.0))
        for n in range(0, CHUNK, LANES):
            for c in range(columns):
                x = _load(z, (j + c) * CHUNK + n)
                for i in range(PANEL):
                    _put(s, c * PANEL + i, _fma(x, _load(z, (first + i) * CHUNK + n), _get(s, c * PANEL + i)))
        for c in range(columns):
            w = (
                _total(_get(s, c * PANEL)) + at(r, first * k + j + c),
                _total(_get(s, c * PANEL + 1)) + at(r, (first + 1) * k + j + c),
                _total(_get(s, c * PANEL + 2)) + at(r, (first + 2) * k + j + c),
                _total(_get(s, c * PANEL + 3)) + at(r, (first + 3) * k + j + c),
            )
            for i in range(PANEL):
                u = at(t, i) * w[0]
                for m in range(1, i + 1):
                    u += at(t, m * PANEL + i) * w[m]
                set_at(r, (first + i) * k + j + c, at(r, (first + i) * k + j + c) - u)
                _put(s, c * PANEL + i, _splat(-u))
        for n in range(0, CHUNK, LANES):
            for c in range(columns):
                x = _load(z, (j + c) * CHUNK + n)
                for i in range(PANEL):
                    x = _fma(_get(s, c * PANEL + i), _load(z, (first + i) * CHUNK + n), x)
                _store(z, (j + c) * CHUNK + n, x)

    return apply


_apply, _apply_one = _applying(TOGETHER), _applying(1)


@inlined
def absorb(r: Any, z: Any, k: int) -> None:
    """Put the rows of a chunk into R; the chunk is used up."""
    t = np.zeros(PANEL * PANEL + PANEL)
    for first in range(0, k, PANEL):
        count = min(PANEL, k - first)
        for i in range(count):
            j = first + i
            tau = _reflection(r, z, k, j)
            t[i * PANEL + i] = tau
            for c in range(j + 1, first + count):
                w = tau * (at(r, j * k + c) + _dot(z, j, c))
                set_at(r, j * k + c, at(r, j * k + c) - w)
                _add_column(z, c, j, -w)
        if first + PANEL < k:
            _inner(z, first, count, t)
            paired = (k - first - PANEL) // TOGETHER * TOGETHER + first + PANEL
            for j in range(first + PANEL, paired, TOGETHER):
                _apply(r, z, k, first, t, j)
            for j in range(paired, k):
                _apply_one(r, z, k, first, t, j)


@compiled()
def leaf(addresses: Any, single: Any, chosen: Any, root: Any, rows: int) -> Any:
    """``(R, shift)`` of rows; see ``columns.chunk`` for the arguments. R is (K, K)."""
    k = addresses.size + 1
    shift = means(addresses, single, chosen, root, min(rows, SAMPLE), rows)
    r, z = np.zeros(k * k), np.zeros(k * CHUNK)
    for i in range(0, rows, CHUNK):
        chunk(z, addresses, single, chosen, shift, root, i, min(CHUNK, rows - i))
        absorb(r, z, k)
    return r.reshape(k, k), shift
