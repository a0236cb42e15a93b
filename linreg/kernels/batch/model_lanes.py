"""Mini-batch descent of K models in one pass over the rows: one lane a model, so that each instruction serves all.

    r = W x + b - y
    g = g + r x                             a few rows at a time, which do not wait for each other
    W = (1 - rate decay) W - rate g         2 / (B O) multiplies the sums, not each row

Plain descent, without momentum. The numbers are those of each model alone, to rounding: sums are in another order.

Shapes: F features, O targets, L models, S rows of room in a stage; arrays are flat. Parameters and their sums are
(O, F + 1, L), bias last; ``settings`` holds rate and 1 - rate * weight decay, L values each. ``p`` and ``g`` are stacks
of parameters and of sums: in registers where they are few, else in the first cache.
"""

from typing import Any

from linreg.kernels.batch import feature_lanes, row_lanes
from linreg.kernels.batch.shapes import Kernels, Shape, numba_type
from linreg.kernels.jit import inlined
from linreg.kernels.simd import Lanes, at, lanes

TOGETHER = 4  # rows whose products are added in one go; of few parameters, as many as registers hold beside them


def fits(shape: Shape) -> bool:
    """Whether there is a kernel for such models."""
    return not shape.momentum and (row_lanes.fits(shape.features, shape.targets) or feature_lanes.by_row(shape))


def kernels(shape: Shape, feed: Any) -> Kernels:
    """The kernels for a shape."""
    v, size = lanes(numba_type(shape.dtype), shape.lanes), (shape.features + 1) * shape.targets
    add, step, (take, leave) = _batch(shape, v, feed), _step(shape, v), _copies(size, v)
    stack = v.stack

    @inlined
    def part(stage: Any, start: int, stop: int, model: Any, next_block: Any, staged: int) -> int:
        p, g = stack(), stack()
        take(p, model.theta)
        take(g, model.sums)
        staged = add(stage, start, stop, p, g, next_block, staged)
        leave(g, model.sums)
        return staged

    @inlined
    def finish(model: Any, rows: int, _first: bool) -> None:
        p, g = stack(), stack()
        take(p, model.theta)
        take(g, model.sums)
        step(p, g, rows, model.settings)
        leave(p, model.theta)
        leave(g, model.sums)

    @inlined
    def full_batches(
        stage: Any, start: int, batches: int, rows: int, model: Any, _first: bool, next_block: Any, staged: int
    ) -> int:
        p, g = stack(), stack()
        take(p, model.theta)
        take(g, model.sums)
        for i in range(start, start + batches * rows, rows):
            staged = add(stage, i, i + rows, p, g, next_block, staged)
            step(p, g, rows, model.settings)
        leave(p, model.theta)
        return staged

    return Kernels(part, finish, size * v.count, full_batches)


def _copies(size: int, v: Lanes) -> tuple[Any, Any]:
    """``take``: parameters or sums out of memory; ``leave``: back into it."""
    load, store, get, put, models = v.load, v.store, v.get, v.put, v.count

    @inlined
    def take(p: Any, values: Any) -> None:
        for k in range(size):
            put(p, k, load(values, k * models))

    @inlined
    def leave(p: Any, values: Any) -> None:
        for k in range(size):
            store(values, k * models, get(p, k))

    return take, leave


def _batch(shape: Shape, v: Lanes, feed: Any) -> Any:
    """``add``: the products of some rows, and as many of the other stage's rows in between."""
    size, few = (shape.features + 1) * shape.targets, row_lanes.fits(shape.features, shape.targets)
    rows = min(TOGETHER, row_lanes.MOST // size) if few else TOGETHER
    add_rows, add_row = _rows(shape, v, rows), _rows(shape, v, 1)

    @inlined
    def add(stage: Any, start: int, stop: int, p: Any, g: Any, next_block: Any, staged: int) -> int:
        last = stop - (stop - start) % rows
        for i in range(start, last, rows):
            add_rows(stage, i, p, g)
            staged = feed(next_block, staged, rows)
        for i in range(last, stop):
            add_row(stage, i, p, g)
            staged = feed(next_block, staged, 1)
        return staged

    return add


def _rows(shape: Shape, v: Lanes, rows: int) -> Any:
    f, o, weighted, width = shape.features, shape.targets, shape.weighted, shape.width
    splat, fma, add, sub, mul, stack, get, put = v.splat, v.fma, v.add, v.sub, v.mul, v.stack, v.get, v.put

    @inlined
    def add_rows(stage: Any, i: int, p: Any, g: Any) -> None:
        """Add the products of so many rows from ``i`` on."""
        x, columns, s = stage
        r = stack()
        for t in range(o):
            weights, bias = t * (f + 1), t * (f + 1) + f
            for n in range(rows):
                put(r, n, sub(get(p, bias), splat(at(columns, t * s + i + n))))
            for j in range(f):
                for n in range(rows):
                    put(r, n, fma(get(p, weights + j), splat(at(x, (i + n) * width + j)), get(r, n)))
            for n in range(rows):
                if weighted:
                    put(r, n, mul(get(r, n), splat(at(columns, o * s + i + n))))
                put(g, bias, add(get(g, bias), get(r, n)))
            for j in range(f):
                for n in range(rows):
                    put(g, weights + j, fma(get(r, n), splat(at(x, (i + n) * width + j)), get(g, weights + j)))

    return add_rows


def _step(shape: Shape, v: Lanes) -> Any:
    f, o, kind, dtype = shape.features, shape.targets, numba_type(shape.dtype), shape.dtype.type
    load, splat, fma, mul, get, put, models = v.load, v.splat, v.fma, v.mul, v.get, v.put, v.count
    minus_two, zero = dtype(-2), dtype(0)

    @inlined
    def step(p: Any, g: Any, rows: int, settings: Any) -> None:
        """One update; the sums are 0 afterwards."""
        scale, keep = mul(load(settings, 0), splat(minus_two / kind(rows * o))), load(settings, models)
        for t in range(o):
            for j in range(f + 1):
                k = t * (f + 1) + j
                put(p, k, fma(scale, get(g, k), get(p, k) if j == f else mul(keep, get(p, k))))
                put(g, k, splat(zero))

    return step
