"""Rows of one block, shuffled on their way from memory into the cache: read in order, written where the order says.

Each is read once, as it lies, so the machine's own prefetching serves them; every later use finds them in the cache.
By column a stage holds ``[X' | Y' | w]``, each column S long; by row it holds the rows padded to whole vectors, and
apart from them the columns of ``[Y' | w]``.

Shapes: N rows in all, F features, O targets, S rows of room in a stage; arrays are flat.
"""

from typing import Any

import numpy as np

from linreg.kernels.batch.shapes import Shape, numba_type
from linreg.kernels.jit import inlined
from linreg.kernels.simd import at, fetch, lanes, set_at


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


def feeder(shape: Shape, *, by_column: bool) -> Any:
    """``feed(block, staged, count)``: so many more rows into the block's stage; returns how many are there."""
    stage_row = _by_column(shape) if by_column else _by_row(shape)

    @inlined
    def feed(block: Any, staged: int, count: int) -> Any:
        stop = min(staged + count, block.rows)
        for i in range(staged, stop):
            stage_row(block.source, block.stage, block.base + i, np.intp(at(block.place, i)), block.ahead)
        return stop

    return feed


def in_slices(add: Any, feed: Any, rows: int) -> Any:
    """``part`` of ``Kernels``: some rows at a time by ``add(stage, start, stop, model)``, and ``feed`` in between."""

    @inlined
    def part(stage: Any, start: int, stop: int, model: Any, next_block: Any, staged: int) -> int:
        for i in range(start, stop, rows):
            until = min(i + rows, stop)
            add(stage, i, until, model)
            staged = feed(next_block, staged, until - i)
        return staged

    return part


def _by_column(shape: Shape) -> Any:
    f, o, weighted = shape.features, shape.targets, shape.weighted

    @inlined
    def stage_row(source: Any, stage: Any, row: int, to: int, ahead: int) -> None:
        x, y, w = source
        columns, s = stage.columns, stage.room
        fetch(x, (row + ahead) * f)
        fetch(y, (row + ahead) * o)
        for j in range(f):
            set_at(columns, j * s + to, at(x, row * f + j))
        for j in range(o):
            set_at(columns, (f + j) * s + to, at(y, row * o + j))
        if weighted:
            set_at(columns, (f + o) * s + to, at(w, row))

    return stage_row


def _by_row(shape: Shape) -> Any:
    f, o, weighted, count, width = shape.features, shape.targets, shape.weighted, shape.lanes, shape.width
    v = lanes(numba_type(shape.dtype), count)
    load, load_first, store = v.load, v.load_first, v.store
    aligned, rest = f // count * count, f % count

    @inlined
    def stage_row(source: Any, stage: Any, row: int, to: int, ahead: int) -> None:
        x, y, w = source
        rows, columns, s = stage
        for c in range(0, aligned, count):
            store(rows, to * width + c, load(x, row * f + c))
            fetch(x, (row + ahead) * f + c)
        if rest:
            store(rows, to * width + aligned, load_first(x, row * f + aligned, rest))
            fetch(x, (row + ahead) * f + aligned)
        fetch(y, (row + ahead) * o)
        for j in range(o):
            set_at(columns, j * s + to, at(y, row * o + j))
        if weighted:
            set_at(columns, o * s + to, at(w, row))

    return stage_row
