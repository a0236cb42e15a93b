"""Sums of ``model_row_lanes`` that are kept in memory: those of longer batches, and of batches that lie in two stages.

A row's place among the lanes of ``row_lanes`` decides which of the sums it is added to: (O, F + 1, rows a step, L). All
rows of a lane are added one after the other, so that its sums stay in registers meanwhile.

Shapes: as in ``model_lanes``; ``p`` is a stack of parameters, ``by`` what sums are multiplied with.
"""

from typing import Any

from linreg.kernels.batch.shapes import Shape, numba_type
from linreg.kernels.jit import inlined
from linreg.kernels.simd import Lanes, at
from linreg.kernels.tree_sum import tree


def residual_of(shape: Shape, v: Lanes) -> Any:
    """``residual(columns, s, i, t, p)`` of row i and target t."""
    f, o, weighted, width = shape.features, shape.targets, shape.weighted, shape.features + 1
    splat, fma, add, sub, mul, get = v.splat, v.fma, v.add, v.sub, v.mul, v.get

    @inlined
    def residual(columns: Any, s: int, i: int, t: int, p: Any) -> Any:
        r = sub(get(p, t * width + f), splat(at(columns, (f + t) * s + i)))
        for j in range(0, f, 2):
            r = fma(get(p, t * width + j), splat(at(columns, j * s + i)), r)
        if f > 1:
            other = mul(get(p, t * width + 1), splat(at(columns, s + i)))
            for j in range(3, f, 2):
                other = fma(get(p, t * width + j), splat(at(columns, j * s + i)), other)
            r = add(r, other)
        return mul(r, splat(at(columns, (f + o) * s + i))) if weighted else r

    return residual


def scale_of(shape: Shape, v: Lanes) -> Any:
    """``scale(settings, rows)``: -2 rate / (B O) of each model, what a batch's sums are multiplied with."""
    two, kind, o = shape.dtype.type(-2), numba_type(shape.dtype), shape.targets
    load, splat, mul, div = v.load, v.splat, v.mul, v.div

    @inlined
    def scale(settings: Any, rows: int) -> Any:
        return div(mul(splat(two), load(settings, 0)), splat(kind(rows * o)))

    return scale


def registers(shape: Shape, v: Lanes) -> tuple[Any, Any]:
    """``take``: parameters out of memory; ``leave``: back into it."""
    size, load, store, get, put, models = (shape.features + 1) * shape.targets, v.load, v.store, v.get, v.put, v.count

    @inlined
    def take(model: Any, p: Any) -> None:
        for k in range(size):
            put(p, k, load(model.theta, k * models))

    @inlined
    def leave(model: Any, p: Any) -> None:
        for k in range(size):
            store(model.theta, k * models, get(p, k))

    return take, leave


def in_pieces(shape: Shape, v: Lanes, rows_a_step: int) -> tuple[Any, Any]:
    """``part`` and ``finish`` for batches that do not lie in one stage."""
    take, leave = registers(shape, v)
    add_lane, step = _add_lane(shape, v, rows_a_step, anew=False), _step(shape, v, rows_a_step)
    scale, stack = scale_of(shape, v), v.stack

    @inlined
    def part(stage: Any, s: int, start: int, stop: int, _size: int, model: Any, _settings: Any) -> None:
        p = stack()
        take(model, p)
        for lane in range(min(rows_a_step, stop - start)):
            add_lane(stage[1], s, start, stop, lane, p, model.sums)

    @inlined
    def finish(model: Any, size: int, settings: Any, _first: bool) -> None:
        p = stack()
        take(model, p)
        step(p, model.sums, scale(settings, size), settings)
        leave(model, p)
        model.sums[:] = 0

    return part, finish


def long(shape: Shape, v: Lanes, feed: Any, rows_a_step: int) -> Any:
    """A batch that lies in a stage as a whole, lane by lane, and as many rows of the other stage meanwhile."""
    add_lane, step = _add_lane(shape, v, rows_a_step, anew=True), _step(shape, v, rows_a_step)

    @inlined
    def long_batch(
        columns: Any, s: int, i: int, size: int, p: Any, sums: Any, by: Any, settings: Any, _decay: bool,
        next_block: Any, staged: int,
    ) -> int:  # fmt: skip
        for lane in range(min(rows_a_step, size)):  # the others' sums stay 0
            rows = add_lane(columns, s, i, i + size, lane, p, sums)
            staged = feed(next_block, staged, rows)
        step(p, sums, by, settings)
        return staged

    return long_batch


def _add_lane(shape: Shape, v: Lanes, rows_a_step: int, *, anew: bool) -> Any:
    f, o, width, size = shape.features, shape.targets, shape.features + 1, (shape.features + 1) * shape.targets
    load, store, splat, fma, add, stack, get, put, models = (
        v.load, v.store, v.splat, v.fma, v.add, v.stack, v.get, v.put, v.count,
    )  # fmt: skip
    residual, zero = residual_of(shape, v), shape.dtype.type(0)

    @inlined
    def add_lane(columns: Any, s: int, start: int, stop: int, lane: int, p: Any, sums: Any) -> int:
        """Add the products of a lane's rows, each ``rows_a_step``-th, to its sums, or ``anew`` to 0; count the rows."""
        g, rows = stack(), 0
        for k in range(size):
            put(g, k, splat(zero) if anew else load(sums, (k * rows_a_step + lane) * models))
        for i in range(start + lane, stop, rows_a_step):
            rows += 1
            for t in range(o):
                r = residual(columns, s, i, t, p)
                for j in range(f):
                    put(g, t * width + j, fma(r, splat(at(columns, j * s + i)), get(g, t * width + j)))
                put(g, t * width + f, add(r, get(g, t * width + f)))
        for k in range(size):
            store(sums, (k * rows_a_step + lane) * models, get(g, k))
        return rows

    return add_lane


def _step(shape: Shape, v: Lanes, rows_a_step: int) -> Any:
    f, width, size = shape.features, shape.features + 1, (shape.features + 1) * shape.targets
    load, fma, mul, stack, get, put, models = v.load, v.fma, v.mul, v.stack, v.get, v.put, v.count
    sum_of = tree(v, rows_a_step)

    @inlined
    def step(p: Any, sums: Any, by: Any, settings: Any) -> None:
        """One update of the parameters."""
        terms = stack()
        for k in range(size):
            for n in range(rows_a_step):
                put(terms, n, load(sums, (k * rows_a_step + n) * models))
            decayed = get(p, k) if k % width == f else mul(load(settings, 2 * models), get(p, k))
            put(p, k, fma(by, sum_of(terms), decayed))

    return step
