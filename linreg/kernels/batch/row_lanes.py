"""Mini-batch descent for few parameters: all of them in registers, one lane a row of the batch.

Every parameter stands in all lanes of a vector of its own. A batch is taken up to L rows at a time, column by column:

    r = W x + b - y        lane by lane
    g = sum of r x         lane by lane, then over the lanes, into every lane at once
    W = W - rate g         rate and 2 / (B O) multiply the sums, not each row

so that between the parameters of one batch and those of the next there are a few additions and no store. Residuals are
formed first, as an autograd loop does, and not ``x'x`` and ``x'y``, which would cancel.

Shapes: F features, O targets, L lanes, S rows of room in a stage; arrays are flat. Parameters (O, F + 1), bias last;
their sums (O, F + 1, L). ``p``, ``u`` and ``g`` are stacks of parameters, velocities and sums.
"""

from typing import Any

from linreg.kernels.batch.shapes import Kernels, Shape, numba_type
from linreg.kernels.jit import inlined
from linreg.kernels.simd import Lanes, at, lanes, set_at

MOST = 16  # parameters that fit into registers beside their sums
FEW = 8  # rows of a batch up to which a vector of as many lanes is enough


def fits(features: int, targets: int) -> bool:
    """Whether a model is small enough."""
    return (features + 1) * targets <= MOST


def kernels(shape: Shape, feed: Any, *, short: bool) -> Kernels:
    """The kernels for a shape; ``short``: a batch has at most ``FEW`` rows."""
    v = lanes(numba_type(shape.dtype), FEW if short else shape.lanes)
    add_rows, step, size = _adding(shape, v), _step(shape, v), (shape.features + 1) * shape.targets
    part, finish = _in_pieces(shape, v, feed, add_rows, step)
    return Kernels(part, finish, size * v.count, _full_batches(shape, v, feed, add_rows, step, short=short))


def _adding(shape: Shape, v: Lanes) -> Any:
    f, o, weighted, width = shape.features, shape.targets, shape.weighted, shape.features + 1
    load, fma, add, sub, mul, below, get, put = v.load, v.fma, v.add, v.sub, v.mul, v.below, v.get, v.put

    @inlined
    def add_rows(columns: Any, s: int, i: int, count: int, p: Any, g: Any) -> None:
        """Add the products of up to L rows from ``i`` on, the first ``count`` of which are of the batch."""
        for t in range(o):
            r = sub(get(p, t * width + f), load(columns, (f + t) * s + i))
            for j in range(0, f, 2):
                r = fma(get(p, t * width + j), load(columns, j * s + i), r)
            if f > 1:
                other = mul(get(p, t * width + 1), load(columns, s + i))
                for j in range(3, f, 2):
                    other = fma(get(p, t * width + j), load(columns, j * s + i), other)
                r = add(r, other)
            if weighted:
                r = mul(r, load(columns, (f + o) * s + i))
            r = below(r, count)
            for j in range(f):
                put(g, t * width + j, fma(r, load(columns, j * s + i), get(g, t * width + j)))
            put(g, t * width + f, add(r, get(g, t * width + f)))

    return add_rows


def _scale(shape: Shape, v: Lanes) -> Any:
    two, kind, o, momentum = shape.dtype.type(2), numba_type(shape.dtype), shape.targets, shape.momentum
    splat = v.splat

    @inlined
    def scale(settings: Any, rows: int) -> Any:
        """What a batch's sums are multiplied with, in every lane: 2 / (B O), and -rate where that is all."""
        return splat((two if momentum else -two * at(settings, 0)) / kind(rows * o))

    return scale


def _step(shape: Shape, v: Lanes) -> Any:
    f, width, size, zero = shape.features, shape.features + 1, (shape.features + 1) * shape.targets, shape.dtype.type(0)
    splat, fma, mul, everywhere, get, put = v.splat, v.fma, v.mul, v.everywhere, v.get, v.put

    @inlined
    def plain(p: Any, _u: Any, g: Any, scale: Any, settings: Any, _first: bool) -> None:
        """One update, ``scale`` being -rate times what makes the sums a gradient; they are 0 afterwards."""
        keep = splat(at(settings, 5))
        for k in range(size):
            decayed = get(p, k) if k % width == f else mul(keep, get(p, k))
            put(p, k, fma(scale, everywhere(get(g, k)), decayed))
            put(g, k, splat(zero))

    @inlined
    def with_momentum(p: Any, u: Any, g: Any, scale: Any, settings: Any, first: bool) -> None:
        """One update of velocities and parameters; the sums are 0 afterwards."""
        rate, momentum = splat(-at(settings, 0)), splat(at(settings, 1))
        damped, decay = splat(at(settings, 2)), splat(at(settings, 4))
        for k in range(size):
            total = everywhere(get(g, k))
            total = mul(scale, total) if k % width == f else fma(scale, total, mul(decay, get(p, k)))
            new = total if first else fma(momentum, get(u, k), mul(damped, total))
            put(u, k, new)
            put(p, k, fma(rate, fma(momentum, new, total) if at(settings, 3) != zero else new, get(p, k)))
            put(g, k, splat(zero))

    return with_momentum if shape.momentum else plain


def _registers(shape: Shape, v: Lanes) -> tuple[Any, Any]:
    """``take``: parameters or velocities out of memory, each into all lanes of a vector; ``leave``: back into it."""
    size, splat, lane0, get, put = (shape.features + 1) * shape.targets, v.splat, v.lane0, v.get, v.put

    @inlined
    def take(p: Any, values: Any) -> None:
        for k in range(size):
            put(p, k, splat(at(values, k)))

    @inlined
    def leave(p: Any, values: Any) -> None:
        for k in range(size):
            set_at(values, k, lane0(get(p, k)))

    return take, leave


def _in_pieces(shape: Shape, v: Lanes, feed: Any, add_rows: Any, step: Any) -> tuple[Any, Any]:
    """``part`` and ``finish`` for batches that do not lie in one stage."""
    size, scale, (take, leave) = (shape.features + 1) * shape.targets, _scale(shape, v), _registers(shape, v)
    load, store, count, stack, get, put = v.load, v.store, v.count, v.stack, v.get, v.put

    @inlined
    def part(stage: Any, start: int, stop: int, model: Any, next_block: Any, staged: int) -> Any:
        p, g = stack(), stack()
        take(p, model.theta)
        for k in range(size):
            put(g, k, load(model.sums, k * count))
        for i in range(start, stop, count):
            add_rows(stage.columns, stage.room, i, stop - i, p, g)
        for k in range(size):
            store(model.sums, k * count, get(g, k))
        filled: int = feed(next_block, staged, stop - start)
        return filled

    @inlined
    def finish(model: Any, size_B: int, first: bool) -> None:
        p, u, g = stack(), stack(), stack()
        take(p, model.theta)
        take(u, model.velocity)
        for k in range(size):
            put(g, k, load(model.sums, k * count))
        step(p, u, g, scale(model.settings, size_B), model.settings, first)
        leave(p, model.theta)
        leave(u, model.velocity)
        model.sums[:] = 0

    return part, finish


def _full_batches(shape: Shape, v: Lanes, feed: Any, add_rows: Any, step: Any, *, short: bool) -> Any:
    size, scale, (take, leave) = (shape.features + 1) * shape.targets, _scale(shape, v), _registers(shape, v)
    zero, splat, count, stack, put = shape.dtype.type(0), v.splat, v.count, v.stack, v.put

    @inlined
    def full_batches(
        stage: Any, start: int, batches: int, batch: int, model: Any, first: bool, next_block: Any, staged: int
    ) -> int:
        p, u, g = stack(), stack(), stack()
        take(p, model.theta)
        take(u, model.velocity)
        for k in range(size):
            put(g, k, splat(zero))
        factor = scale(model.settings, batch)
        for n in range(start, start + batches * batch, batch):
            for i in range(0, 1 if short else batch, count):
                add_rows(stage.columns, stage.room, n + i, batch - i, p, g)
            step(p, u, g, factor, model.settings, first)
            first, staged = False, feed(next_block, staged, batch)
        leave(p, model.theta)
        leave(u, model.velocity)
        return staged

    return full_batches
