"""K models in one pass over the rows: one lane a model, so that every instruction serves all of them.

Each model makes the same operations in the same order as it does alone (``narrow``, ``wide``): what is a lane there,
a row or a feature, is a vector here, and sums over lanes become the same tree of additions of vectors. So the numbers
of a sweep are those of its models trained one by one, to the bit. Plain descent only, without momentum.

Shapes: F features, O targets, L models, S rows of room in a stage; arrays are flat. Parameters in the order of
``narrow`` or of ``wide`` without padding, L values each; ``how`` holds rate, weight decay and 1 - rate * weight decay.
"""

from typing import Any

import numpy as np

from linreg.compiled import narrow, wide
from linreg.compiled.kinds import numba_type, vector_lanes
from linreg.compiled.lanes import at, lanes
from linreg.compiled.machine_code import inlined

TOGETHER = 4  # rows whose products are added in one go
SLICE = 8  # rows after which some of the other stage are filled


def fits(dtype: np.dtype[Any], features: int, targets: int) -> bool:
    """Whether there is a kernel for such models."""
    return narrow.fits(features, targets) or -(-features // vector_lanes(dtype)) * targets <= wide.FEW


def few(dtype: np.dtype[Any], f: int, o: int, fill: Any, *, batch: int, weighted: bool) -> Any:
    """``part``, ``finish`` and ``whole`` after ``narrow``; ``batch`` is that of short batches, else 0."""
    v = lanes(numba_type(dtype), vector_lanes(dtype))
    load, store, splat, fma, add, sub, mul, div = v.load, v.store, v.splat, v.fma, v.add, v.sub, v.mul, v.div
    stack, get, put, models = v.stack, v.get, v.put, v.count
    rows_a_step = narrow.FEW if batch else vector_lanes(dtype)
    width, size, kind, zero, two = f + 1, (f + 1) * o, numba_type(dtype), dtype.type(0), dtype.type(-2)
    tree, short_tree = _tree(v, rows_a_step), _tree(v, batch)

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

    @inlined
    def scale(how: Any, rows: int) -> Any:
        return div(mul(splat(two), load(how, 0)), splat(kind(rows * o)))

    @inlined
    def moved(p: Any, k: int, total: Any, how: Any) -> None:
        put(p, k, add(get(p, k), total) if k % width == f else fma(load(how, 2 * models), get(p, k), total))

    @inlined
    def part(stage: Any, s: int, start: int, stop: int, size_B: int, theta: Any, g: Any, how: Any) -> None:
        """Add the products of some rows to the sums that their places in the batch have."""
        columns, p, here = stage[1], stack(), scale(how, size_B)
        for k in range(size):
            put(p, k, load(theta, k * models))
        for i in range(start, stop):
            lane = (i - start) % rows_a_step
            for t in range(o):
                r = residual(columns, s, i, t, p)
                for j in range(f):
                    to = ((t * width + j) * rows_a_step + lane) * models
                    store(g, to, fma(r, mul(here, splat(at(columns, j * s + i))), load(g, to)))
                to = ((t * width + f) * rows_a_step + lane) * models
                store(g, to, fma(r, here, load(g, to)))

    @inlined
    def finish(theta: Any, _velocity: Any, g: Any, _size_B: int, how: Any, _first: bool) -> None:
        p, terms = stack(), stack()
        for k in range(size):
            put(p, 0, load(theta, k * models))
            for n in range(rows_a_step):
                put(terms, n, load(g, (k * rows_a_step + n) * models))
                store(g, (k * rows_a_step + n) * models, splat(zero))
            total = tree(terms)
            bias = k % width == f
            store(theta, k * models, add(get(p, 0), total) if bias else fma(load(how, 2 * models), get(p, 0), total))

    @inlined
    def short(columns: Any, s: int, i: int, p: Any, here: Any, how: Any) -> None:
        """A whole short batch, from one set of parameters to the next."""
        r, terms = stack(), stack()
        for t in range(o):
            for n in range(batch):
                put(r, t * batch + n, residual(columns, s, i + n, t, p))
        for t in range(o):
            for j in range(f):
                for n in range(batch):
                    put(terms, n, mul(get(r, t * batch + n), mul(here, splat(at(columns, j * s + i + n)))))
                moved(p, t * width + j, short_tree(terms), how)
            for n in range(batch):
                put(terms, n, mul(get(r, t * batch + n), here))
            moved(p, t * width + f, short_tree(terms), how)

    @inlined
    def whole(
        stage: Any,
        s: int,
        start: int,
        batches: int,
        size_B: int,
        theta: Any,
        velocity: Any,
        g: Any,
        how: Any,
        first: bool,
        source: Any,
        other: Any,
        place: Any,
        base: int,
        done: int,
        rows: int,
        ahead: int,
    ) -> int:
        """Batches that lie in the stage as a whole; meanwhile the other stage is filled."""
        p, here = stack(), scale(how, size_B)
        for k in range(size):
            put(p, k, load(theta, k * models))
        for n in range(batches):
            at_row = start + n * size_B
            if batch:
                short(stage[1], s, at_row, p, here, how)
            else:
                part(stage, s, at_row, at_row + size_B, size_B, theta, g, how)
                finish(theta, velocity, g, size_B, how, first)
            until = min(done + size_B, rows)
            fill(source, other, s, place, base, done, until, ahead)
            done = until
        if batch:
            for k in range(size):
                store(theta, k * models, get(p, k))
        return done

    return part, finish, whole


def many_features(dtype: np.dtype[Any], f: int, o: int, fill: Any, *, weighted: bool) -> Any:
    """``part``, ``finish`` and ``whole`` after ``wide`` for few weights."""
    v = lanes(numba_type(dtype), vector_lanes(dtype))
    load, store, splat, fma, add, sub, mul = v.load, v.store, v.splat, v.fma, v.add, v.sub, v.mul
    stack, get, put, models = v.stack, v.get, v.put, v.count
    kind, zero, two, room = numba_type(dtype), dtype.type(0), dtype.type(2), -(-f // v.count) * v.count
    terms_of, biases = min(f, v.count), o * f
    tree = _tree(v, terms_of)

    @inlined
    def residual(rows: Any, columns: Any, s: int, i: int, t: int, theta: Any, terms: Any) -> Any:
        for n in range(terms_of):
            term = mul(load(theta, (t * f + n) * models), splat(at(rows, i * room + n)))
            for j in range(n + models, f, models):
                term = fma(load(theta, (t * f + j) * models), splat(at(rows, i * room + j)), term)
            put(terms, n, term)
        r = add(tree(terms), sub(load(theta, (biases + t) * models), splat(at(columns, t * s + i))))
        return mul(r, splat(at(columns, o * s + i))) if weighted else r

    def adding(together: int) -> Any:
        @inlined
        def add_rows(rows: Any, columns: Any, s: int, i: int, theta: Any, g: Any) -> None:
            """Add the products of a few rows, one after the other."""
            r, terms = stack(), stack()
            for t in range(o):
                bias = load(g, (biases + t) * models)
                for n in range(together):
                    put(r, n, residual(rows, columns, s, i + n, t, theta, terms))
                    bias = add(bias, get(r, n))
                store(g, (biases + t) * models, bias)
                for j in range(f):
                    total = load(g, (t * f + j) * models)
                    for n in range(together):
                        total = fma(get(r, n), splat(at(rows, (i + n) * room + j)), total)
                    store(g, (t * f + j) * models, total)

        return add_rows

    add_some, add_one = adding(TOGETHER), adding(1)

    @inlined
    def part(stage: Any, s: int, start: int, stop: int, _size_B: int, theta: Any, g: Any, _how: Any) -> None:
        """Add the products of some rows to the gradient."""
        together = start + (stop - start) // TOGETHER * TOGETHER
        for i in range(start, together, TOGETHER):
            add_some(stage[0], stage[1], s, i, theta, g)
        for i in range(together, stop):
            add_one(stage[0], stage[1], s, i, theta, g)

    @inlined
    def finish(theta: Any, _velocity: Any, g: Any, size_B: int, how: Any, _first: bool) -> None:
        scale, rate = splat(two / kind(size_B * o)), sub(splat(zero), load(how, 0))
        for k in range(o * f):
            w = load(theta, k * models)
            gradient = fma(load(how, models), w, mul(scale, load(g, k * models)))
            store(theta, k * models, fma(rate, gradient, w))
            store(g, k * models, splat(zero))
        for k in range(o * f, o * f + o):
            step = mul(rate, mul(scale, load(g, k * models)))
            store(theta, k * models, add(load(theta, k * models), step))
            store(g, k * models, splat(zero))

    @inlined
    def whole(
        stage: Any,
        s: int,
        start: int,
        batches: int,
        size_B: int,
        theta: Any,
        velocity: Any,
        g: Any,
        how: Any,
        first: bool,
        source: Any,
        other: Any,
        place: Any,
        base: int,
        done: int,
        rows: int,
        ahead: int,
    ) -> int:
        """Batches that lie in the stage as a whole; meanwhile the other stage is filled."""
        for n in range(batches):
            at_row = start + n * size_B
            for i in range(0, size_B, SLICE):
                stop = min(i + SLICE, size_B)
                part(stage, s, at_row + i, at_row + stop, size_B, theta, g, how)
                until = min(done + stop - i, rows)
                fill(source, other, s, place, base, done, until, ahead)
                done = until
            finish(theta, velocity, g, size_B, how, first)
        return done

    return part, finish, whole


def _tree(v: Any, count: int) -> Any:
    """The sum of the first vectors of a stack, in the order of ``Lanes.total`` as if the others of 16 lanes were 0."""
    add, get, put = v.add, v.get, v.put
    by_8, by_4, by_2, by_1 = (max(min(count, 2 * step) - step, 0) for step in (8, 4, 2, 1))

    @inlined
    def tree(terms: Any) -> Any:
        for i in range(by_8):
            put(terms, i, add(get(terms, i), get(terms, i + 8)))
        for i in range(by_4):
            put(terms, i, add(get(terms, i), get(terms, i + 4)))
        for i in range(by_2):
            put(terms, i, add(get(terms, i), get(terms, i + 2)))
        for i in range(by_1):
            put(terms, i, add(get(terms, i), get(terms, i + 1)))
        return get(terms, 0)

    return tree
