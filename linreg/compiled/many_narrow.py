"""``many`` after ``narrow``: few parameters, a vector of models each.

A row's place among the lanes of ``narrow`` decides which of its sums it is added to: (O, F + 1, rows a step, L). A
short batch, whose length is compiled in, needs no sums in memory.
"""

from typing import Any

from linreg.compiled.batchwise import in_slices, whole_batches
from linreg.compiled.kinds import Kernels, Shape, numba_type
from linreg.compiled.lanes import Lanes, at, lanes
from linreg.compiled.machine_code import inlined
from linreg.compiled.narrow import FEW
from linreg.compiled.tree import tree


def kernels(shape: Shape, feed: Any, *, batch: int) -> Kernels:
    """The kernels; ``batch``: rows of a short batch, else 0."""
    v, rows_a_step = lanes(numba_type(shape.dtype), shape.lanes), FEW if batch else shape.lanes
    residual, scale = _residual(shape, v), _scale(shape, v)
    part, finish = _part(shape, v, residual, scale, rows_a_step), _finish(shape, v, rows_a_step)
    whole = (
        _short(shape, v, feed, residual, scale, batch)
        if batch
        else whole_batches(in_slices(part, feed, rows_a_step), finish)
    )
    return Kernels(part, finish, whole, (shape.features + 1) * shape.targets * rows_a_step * shape.lanes)


def _residual(shape: Shape, v: Lanes) -> Any:
    f, o, weighted, width, zero = shape.features, shape.targets, shape.weighted, shape.features + 1, shape.dtype.type(0)
    splat, fma, add, sub, mul, get = v.splat, v.fma, v.add, v.sub, v.mul, v.get

    @inlined
    def residual(columns: Any, s: int, i: int, t: int, p: Any) -> Any:
        """Of one row and one target."""
        r, other = sub(get(p, t * width + f), splat(at(columns, (f + t) * s + i))), splat(zero)
        for j in range(0, f, 2):
            r = fma(get(p, t * width + j), splat(at(columns, j * s + i)), r)
        for j in range(1, f, 2):
            other = fma(get(p, t * width + j), splat(at(columns, j * s + i)), other)
        r = add(r, other)
        return mul(r, splat(at(columns, (f + o) * s + i))) if weighted else r

    return residual


def _scale(shape: Shape, v: Lanes) -> Any:
    two, kind, o = shape.dtype.type(-2), numba_type(shape.dtype), shape.targets
    load, splat, mul, div = v.load, v.splat, v.mul, v.div

    @inlined
    def scale(how: Any, rows: int) -> Any:
        """-2 rate / (B O) of each model."""
        return div(mul(splat(two), load(how, 0)), splat(kind(rows * o)))

    return scale


def _part(shape: Shape, v: Lanes, residual: Any, scale: Any, rows_a_step: int) -> Any:
    f, o, width, size = shape.features, shape.targets, shape.features + 1, (shape.features + 1) * shape.targets
    load, store, splat, fma, mul, stack, put, models = v.load, v.store, v.splat, v.fma, v.mul, v.stack, v.put, v.count

    @inlined
    def part(stage: Any, s: int, start: int, stop: int, size_B: int, model: Any, how: Any) -> None:
        columns, p, here = stage[1], stack(), scale(how, size_B)
        for k in range(size):
            put(p, k, load(model.theta, k * models))
        for i in range(start, stop):
            lane = (i - start) % rows_a_step
            for t in range(o):
                r = residual(columns, s, i, t, p)
                for j in range(f):
                    to = ((t * width + j) * rows_a_step + lane) * models
                    term = mul(here, splat(at(columns, j * s + i)))
                    store(model.sums, to, fma(r, term, load(model.sums, to)))
                to = ((t * width + f) * rows_a_step + lane) * models
                store(model.sums, to, fma(r, here, load(model.sums, to)))

    return part


def _finish(shape: Shape, v: Lanes, rows_a_step: int) -> Any:
    f, width, size, zero = shape.features, shape.features + 1, (shape.features + 1) * shape.targets, shape.dtype.type(0)
    load, store, splat, fma, add, stack, put, models = v.load, v.store, v.splat, v.fma, v.add, v.stack, v.put, v.count
    sum_of = tree(v, rows_a_step)

    @inlined
    def finish(model: Any, _size: int, how: Any, _first: bool) -> None:
        terms = stack()
        for k in range(size):
            p = load(model.theta, k * models)
            for n in range(rows_a_step):
                put(terms, n, load(model.sums, (k * rows_a_step + n) * models))
                store(model.sums, (k * rows_a_step + n) * models, splat(zero))
            total = sum_of(terms)
            store(model.theta, k * models, add(p, total) if k % width == f else fma(load(how, 2 * models), p, total))

    return finish


def _short(shape: Shape, v: Lanes, feed: Any, residual: Any, scale: Any, batch: int) -> Any:
    """``whole`` for short batches: parameters stay in registers from one to the next."""
    size = (shape.features + 1) * shape.targets
    step = _short_step(shape, v, residual, batch)
    load, store, stack, get, put, models = v.load, v.store, v.stack, v.get, v.put, v.count

    @inlined
    def whole(
        stage: Any,
        s: int,
        start: int,
        batches: int,
        size_B: int,
        model: Any,
        how: Any,
        _first: bool,
        coming: Any,
        done: int,
    ) -> int:
        p, here = stack(), scale(how, size_B)
        for k in range(size):
            put(p, k, load(model.theta, k * models))
        for n in range(start, start + batches * batch, batch):
            step(stage[1], s, n, p, here, how)
            done = feed(coming, done, batch)
        for k in range(size):
            store(model.theta, k * models, get(p, k))
        return done

    return whole


def _short_step(shape: Shape, v: Lanes, residual: Any, batch: int) -> Any:
    f, o, width = shape.features, shape.targets, shape.features + 1
    load, splat, fma, add, mul, stack, get, put, models = (
        v.load, v.splat, v.fma, v.add, v.mul, v.stack, v.get, v.put, v.count,
    )  # fmt: skip
    sum_of = tree(v, batch)

    @inlined
    def step(columns: Any, s: int, i: int, p: Any, here: Any, how: Any) -> None:
        """A whole batch, from one set of parameters to the next."""
        r, terms = stack(), stack()
        for t in range(o):
            for n in range(batch):
                put(r, t * batch + n, residual(columns, s, i + n, t, p))
        for t in range(o):
            for j in range(f):
                for n in range(batch):
                    put(terms, n, mul(get(r, t * batch + n), mul(here, splat(at(columns, j * s + i + n)))))
                put(p, t * width + j, fma(load(how, 2 * models), get(p, t * width + j), sum_of(terms)))
            for n in range(batch):
                put(terms, n, mul(get(r, t * batch + n), here))
            put(p, t * width + f, add(get(p, t * width + f), sum_of(terms)))

    return step
