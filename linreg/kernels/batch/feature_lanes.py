"""Mini-batch descent for many parameters: one lane a feature, rows padded to whole vectors.

    r = W x + b - y        a dot product of vectors
    g = g + r x            the same row, which a register or the cache still holds

Few vectors of weights stay in registers, and every row is used up at once (here); more of them are taken in tiles, a
panel of rows at a time (``tiles``).

Shapes: F features in C vectors of L lanes, O targets, S rows of room in a stage; arrays are flat. Parameters and their
sums: weights (O, C L), zero in the padding, then biases (O).
"""

from typing import Any

from linreg.kernels.batch.shapes import Kernels, Shape, numba_type
from linreg.kernels.batch.staging import in_slices
from linreg.kernels.batch.tiles import panels
from linreg.kernels.jit import inlined
from linreg.kernels.simd import Lanes, at, lanes, set_at

SLICE = 64  # rows of tiles after which some of the other stage are filled
FEW = 8  # vectors of weights that fit into registers beside their sums


def by_row(shape: Shape) -> bool:
    """Whether all weights stay in registers."""
    return shape.chunks * shape.targets <= FEW


def kernels(shape: Shape, feed: Any) -> Kernels:
    """The kernels for a shape."""
    v = lanes(numba_type(shape.dtype), shape.lanes)
    part = _rows(shape, v, feed) if by_row(shape) else in_slices(panels(shape, v), feed, SLICE)
    return Kernels(part, _finish(shape), (shape.width + 1) * shape.targets)


def _rows(shape: Shape, v: Lanes, feed: Any) -> Any:
    """``part``, which fills a row of the other stage after each: while one waits, the other goes on."""
    add_row, take, leave = _add_row(shape, v), *_registers(shape, v)
    stack = v.stack

    @inlined
    def part(stage: Any, start: int, stop: int, model: Any, next_block: Any, staged: int) -> int:
        w, g, bias = stack(), stack(), stack()
        take(model, w, g, bias)
        for i in range(start, stop):
            add_row(stage, i, model.theta, w, g, bias)
            staged = feed(next_block, staged, 1)
        leave(model, g, bias)
        return staged

    return part


def _add_row(shape: Shape, v: Lanes) -> Any:
    chunks, o, weighted, width, count = shape.chunks, shape.targets, shape.weighted, shape.width, shape.lanes
    load, splat, fma, add, mul, total, get, put = v.load, v.splat, v.fma, v.add, v.mul, v.total, v.get, v.put
    biases = o * width

    @inlined
    def add_row(stage: Any, i: int, theta: Any, w: Any, g: Any, bias: Any) -> None:
        """Add a row's products of residual and features to ``g``, and the residual to ``bias``."""
        rows, columns, s = stage
        for t in range(o):
            dot = mul(get(w, t * chunks), load(rows, i * width))
            for c in range(1, chunks):
                dot = fma(get(w, t * chunks + c), load(rows, i * width + c * count), dot)
            r = total(dot) + (at(theta, biases + t) - at(columns, t * s + i))
            if weighted:
                r = r * at(columns, o * s + i)
            put(bias, t, add(get(bias, t), splat(r)))
            for c in range(chunks):
                k = t * chunks + c
                put(g, k, fma(splat(r), load(rows, i * width + c * count), get(g, k)))

    return add_row


def _registers(shape: Shape, v: Lanes) -> tuple[Any, Any]:
    """``take``: weights and sums out of memory; ``leave``: the sums back into it."""
    vectors, o, biases, count = shape.chunks * shape.targets, shape.targets, shape.targets * shape.width, shape.lanes
    load, store, splat, lane0, get, put = v.load, v.store, v.splat, v.lane0, v.get, v.put

    @inlined
    def take(model: Any, w: Any, g: Any, bias: Any) -> None:
        for k in range(vectors):
            put(w, k, load(model.theta, k * count))
            put(g, k, load(model.sums, k * count))
        for t in range(o):
            put(bias, t, splat(at(model.sums, biases + t)))

    @inlined
    def leave(model: Any, g: Any, bias: Any) -> None:
        for k in range(vectors):
            store(model.sums, k * count, get(g, k))
        for t in range(o):
            set_at(model.sums, biases + t, lane0(get(bias, t)))

    return take, leave


def _finish(shape: Shape) -> Any:
    """One update of ``torch.optim.SGD``, weights a vector at a time, then the biases, which do not decay."""
    v, kind = lanes(numba_type(shape.dtype), shape.lanes), numba_type(shape.dtype)
    two, zero = shape.dtype.type(2), shape.dtype.type(0)
    load, store, splat, fma, mul, count = v.load, v.store, v.splat, v.fma, v.mul, v.count
    o, biases, momentum = shape.targets, shape.targets * shape.width, shape.momentum

    @inlined
    def weights(model: Any, scale: Any, first: bool) -> None:
        settings = model.settings
        for i in range(0, biases, count):
            w = load(model.theta, i)
            gradient = fma(splat(at(settings, 4)), w, mul(splat(scale), load(model.sums, i)))
            if momentum:
                new = gradient
                if not first:
                    new = fma(splat(at(settings, 1)), load(model.velocity, i), mul(splat(at(settings, 2)), gradient))
                store(model.velocity, i, new)
                gradient = fma(splat(at(settings, 1)), new, gradient) if at(settings, 3) != zero else new
            store(model.theta, i, fma(splat(-at(settings, 0)), gradient, w))
            store(model.sums, i, splat(zero))

    @inlined
    def finish(model: Any, size: int, first: bool) -> None:
        scale, settings = two / kind(size * o), model.settings
        weights(model, scale, first)
        for t in range(biases, biases + o):
            gradient = scale * at(model.sums, t)
            if momentum:
                new = gradient if first else at(settings, 1) * at(model.velocity, t) + at(settings, 2) * gradient
                set_at(model.velocity, t, new)
                gradient = gradient + at(settings, 1) * new if at(settings, 3) != zero else new
            set_at(model.theta, t, at(model.theta, t) - at(settings, 0) * gradient)
            set_at(model.sums, t, zero)

    return finish
