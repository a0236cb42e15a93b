"""Rows of one block, shuffled on their way from memory into the cache: read in order, written where the order says.

Each is read once, as it lies, so the machine's own prefetching serves them; every later use finds them in the cache.
By column a stage holds ``[X' | Y' | w]``, each column S long; by row it holds the rows padded to whole vectors, and
apart from them the columns of ``[Y' | w]``.

Shapes: N rows in all, F features, O targets, S rows of room in a stage; arrays are flat.
"""

from functools import cache
from typing import Any

import numpy as np

from linreg.compiled.kinds import numba_type, vector_lanes
from linreg.compiled.lanes import at, fetch, lanes, set_at
from linreg.compiled.machine_code import inlined


@inlined
def places(out: Any, keys: Any, tail: Any, rows: int, block: int, shuffled: bool) -> None:
    """Where each row of a block goes: as ``batches.scrambled`` says, as ``tail`` says, or nowhere else."""
    if not shuffled:
        for i in range(rows):
            out[i] = np.uint32(i)
    elif rows < block:
        for i in range(rows):
            out[i] = tail[i]
    else:
        mask, half = np.uint32(block - 1), np.uint32(0)
        while (1 << (2 * half)) < block:
            half += np.uint32(1)
        a, b, c = keys[0], keys[1], keys[2]
        for i in range(rows):
            word = (np.uint32(i) * a + b) & mask
            word = ((word ^ (word >> half)) * b + c) & mask
            out[i] = ((word ^ (word >> half)) * c + a) & mask


@cache
def filler(dtype: np.dtype[Any], features: int, targets: int, *, weighted: bool, by_column: bool) -> Any:
    """``fill``: rows ``start`` to ``stop`` of a block into a stage; the rows ``ahead`` of them are asked for."""
    return _by_column(features, targets, weighted) if by_column else _by_row(dtype, features, targets, weighted)


def _by_column(f: int, o: int, weighted: bool) -> Any:
    @inlined
    def fill(source: Any, stage: Any, s: int, place: Any, base: int, start: int, stop: int, ahead: int) -> None:
        x, y, w = source
        _, columns = stage
        for i in range(start, stop):
            row, to = base + i, np.intp(at(place, i))
            fetch(x, (row + ahead) * f)
            fetch(y, (row + ahead) * o)
            for j in range(f):
                set_at(columns, j * s + to, at(x, row * f + j))
            for j in range(o):
                set_at(columns, (f + j) * s + to, at(y, row * o + j))
            if weighted:
                set_at(columns, (f + o) * s + to, at(w, row))

    return fill


def _by_row(dtype: np.dtype[Any], f: int, o: int, weighted: bool) -> Any:
    count = vector_lanes(dtype)
    v = lanes(numba_type(dtype), count)
    load, load_first, store = v.load, v.load_first, v.store
    whole, rest, room = f // count, f % count, -(-f // count) * count

    @inlined
    def fill(source: Any, stage: Any, s: int, place: Any, base: int, start: int, stop: int, ahead: int) -> None:
        x, y, w = source
        rows, columns = stage
        for i in range(start, stop):
            row, to = base + i, np.intp(at(place, i))
            for c in range(whole):
                store(rows, to * room + c * count, load(x, row * f + c * count))
                fetch(x, (row + ahead) * f + c * count)
            if rest:
                store(rows, to * room + whole * count, load_first(x, row * f + whole * count, rest))
                fetch(x, (row + ahead) * f + whole * count)
            fetch(y, (row + ahead) * o)
            for j in range(o):
                set_at(columns, j * s + to, at(y, row * o + j))
            if weighted:
                set_at(columns, o * s + to, at(w, row))

    return fill
