"""``model_lanes`` after ``feature_lanes`` by rows: a vector of models for each weight.

Shapes: as in ``model_lanes``; sums (O, F), then biases (O), L values each.
"""

from typing import Any

from linreg.kernels.batch.batch_loops import in_slices, whole_batches
from linreg.kernels.batch.shapes import Kernels, Shape, numba_type
from linreg.kernels.jit import inlined
from linreg.kernels.simd import Lanes, at, lanes
from linreg.kernels.tree_sum import tree

TOGETHER = 4  # rows whose products are added in one go
SLICE = 8  # rows after which some of the other stage are filled


def kernels(shape: Shape, feed: Any) -> Kernels:
    """The kernels."""
    v = lanes(numba_type(shape.dtype), shape.lanes)
    part, finish = _part(shape, v), _finish(shape, v)
    full_batches = whole_batches(in_slices(part, feed, SLICE), finish)
    return Kernels(part, finish, full_batches, (shape.features + 1) * shape.targets * shape.lanes)


def _part(shape: Shape, v: Lanes) -> Any:
    add_some, add_one = _adding(shape, v, TOGETHER), _adding(shape, v, 1)

    @inlined
    def part(stage: Any, s: int, start: int, stop: int, _size: int, model: Any, _settings: Any) -> None:
        together = start + (stop - start) // TOGETHER * TOGETHER
        for i in range(start, together, TOGETHER):
            add_some(stage, s, i, model)
        for i in range(together, stop):
            add_one(stage, s, i, model)

    return part


def _adding(shape: Shape, v: Lanes, together: int) -> Any:
    f, o, width, models, biases = shape.features, shape.targets, shape.width, v.count, shape.targets * shape.features
    load, store, splat, fma, add, stack, get, put = v.load, v.store, v.splat, v.fma, v.add, v.stack, v.get, v.put
    residual = _residual(shape, v)

    @inlined
    def add_rows(stage: Any, s: int, i: int, model: Any) -> None:
        """Add the products of a few rows, one after the other."""
        r, terms = stack(), stack()
        for t in range(o):
            bias = load(model.sums, (biases + t) * models)
            for n in range(together):
                put(r, n, residual(stage, s, i + n, t, model.theta, terms))
                bias = add(bias, get(r, n))
            store(model.sums, (biases + t) * models, bias)
            for j in range(f):
                total = load(model.sums, (t * f + j) * models)
                for n in range(together):
                    total = fma(get(r, n), splat(at(stage[0], (i + n) * width + j)), total)
                store(model.sums, (t * f + j) * models, total)

    return add_rows


def _residual(shape: Shape, v: Lanes) -> Any:
    f, o, weighted, width, biases = (
        shape.features,
        shape.targets,
        shape.weighted,
        shape.width,
        shape.targets * shape.features,
    )
    load, splat, fma, add, sub, mul, put, models = v.load, v.splat, v.fma, v.add, v.sub, v.mul, v.put, v.count
    lanes_of_one = min(f, models)
    sum_of = tree(v, lanes_of_one)

    @inlined
    def residual(stage: Any, s: int, i: int, t: int, theta: Any, terms: Any) -> Any:
        """Of one row and one target: what was a lane of the dot product is a vector of ``terms``."""
        rows, columns = stage
        for n in range(lanes_of_one):
            term = mul(load(theta, (t * f + n) * models), splat(at(rows, i * width + n)))
            for j in range(n + models, f, models):
                term = fma(load(theta, (t * f + j) * models), splat(at(rows, i * width + j)), term)
            put(terms, n, term)
        r = add(sum_of(terms), sub(load(theta, (biases + t) * models), splat(at(columns, t * s + i))))
        return mul(r, splat(at(columns, o * s + i))) if weighted else r

    return residual


def _finish(shape: Shape, v: Lanes) -> Any:
    o, kind, two, zero = shape.targets, numba_type(shape.dtype), shape.dtype.type(2), shape.dtype.type(0)
    load, store, splat, fma, sub, mul, models = v.load, v.store, v.splat, v.fma, v.sub, v.mul, v.count
    biases = shape.targets * shape.features

    @inlined
    def finish(model: Any, size: int, settings: Any, _first: bool) -> None:
        scale, rate = splat(two / kind(size * o)), load(settings, 0)
        for k in range(biases):
            w = load(model.theta, k * models)
            gradient = fma(load(settings, models), w, mul(scale, load(model.sums, k * models)))
            store(model.theta, k * models, fma(sub(splat(zero), rate), gradient, w))
            store(model.sums, k * models, splat(zero))
        for k in range(biases, biases + o):
            step = mul(rate, mul(scale, load(model.sums, k * models)))
            store(model.theta, k * models, sub(load(model.theta, k * models), step))
            store(model.sums, k * models, splat(zero))

    return finish
