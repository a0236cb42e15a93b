"""Mini-batch descent for few parameters: all of them in registers, one lane a row of the batch.

Every parameter stands in all lanes of a vector of its own. A batch is taken up to L rows at a time, column by column:

    r = W x + b - y        lane by lane
    g = sum of r x         lane by lane, then over the lanes, into every lane at once
    W = W - rate g

so that between the parameters of one batch and those of the next there are a few additions and no store. Residuals are
formed first, as an autograd loop does, and not ``x'x`` and ``x'y``, which would cancel.

Shapes: F features, O targets, L lanes, S rows of room in a stage; arrays are flat. Parameters (O, F + 1), bias last.
"""

from typing import Any

import numpy as np

from linreg.compiled.kinds import numba_type, vector_lanes
from linreg.compiled.lanes import at, lanes, set_at
from linreg.compiled.machine_code import inlined

MOST = 16  # parameters that fit into registers beside their gradients
FEW = 8  # rows of a batch up to which a vector of as many lanes is enough


def fits(features: int, targets: int) -> bool:
    """Whether a model is small enough."""
    return (features + 1) * targets <= MOST


def kernels(dtype: np.dtype[Any], f: int, o: int, fill: Any, *, short: bool, momentum: bool, weighted: bool) -> Any:
    """The compiled ``part``, ``finish`` and ``whole`` for models of ``f`` features and ``o`` targets; see ``epoch``."""
    count = FEW if short else vector_lanes(dtype)
    v = lanes(numba_type(dtype), count)
    load, store, splat, fma, add, sub, mul = v.load, v.store, v.splat, v.fma, v.add, v.sub, v.mul
    below, everywhere, lane0, stack, get, put = v.below, v.everywhere, v.lane0, v.stack, v.get, v.put
    width, size, kind = f + 1, (f + 1) * o, numba_type(dtype)
    zero, two = dtype.type(0), dtype.type(2)

    @inlined
    def gradient(columns: Any, s: int, i: int, here: Any, p: Any, g: Any) -> None:
        """Add the products of up to L rows, those that are ``here``."""
        for t in range(o):
            r, other = sub(get(p, t * width + f), load(columns, (f + t) * s + i)), splat(zero)
            for j in range(0, f, 2):
                r = fma(get(p, t * width + j), load(columns, j * s + i), r)
            for j in range(1, f, 2):
                other = fma(get(p, t * width + j), load(columns, j * s + i), other)
            r = add(r, other)
            if weighted:
                r = mul(r, load(columns, (f + o) * s + i))
            for j in range(f):
                put(g, t * width + j, fma(r, mul(here, load(columns, j * s + i)), get(g, t * width + j)))
            put(g, t * width + f, fma(r, here, get(g, t * width + f)))

    @inlined
    def step(p: Any, u: Any, g: Any, how: Any, first: bool) -> None:
        """One update from the lanes' gradients, which are 0 afterwards."""
        rate, decay, keep = splat(-at(how, 0)), splat(at(how, 4)), splat(at(how, 5))
        for k in range(size):
            total, bias = everywhere(get(g, k)), k % width == f
            put(g, k, splat(zero))
            if momentum:
                total = total if bias else fma(decay, get(p, k), total)
                new = total if first else fma(splat(at(how, 1)), get(u, k), mul(splat(at(how, 2)), total))
                put(u, k, new)
                put(p, k, fma(rate, fma(splat(at(how, 1)), new, total) if at(how, 3) != zero else new, get(p, k)))
            else:
                put(p, k, add(get(p, k), total) if bias else fma(keep, get(p, k), total))

    @inlined
    def scale(how: Any, rows: int) -> Any:
        """What a batch's products are multiplied with, in every lane: 2 / (B O), and the rate where that is all."""
        return splat((two if momentum else -two * at(how, 0)) / kind(rows * o))

    @inlined
    def part(stage: Any, s: int, start: int, stop: int, size_B: int, theta: Any, g_memory: Any, how: Any) -> None:
        """Add the products of some rows of a batch of B to its gradient."""
        p, g = stack(), stack()
        for k in range(size):
            put(p, k, splat(at(theta, k)))
            put(g, k, load(g_memory, k * count))
        for i in range(start, stop, count):
            gradient(stage[1], s, i, below(scale(how, size_B), stop - i), p, g)
        for k in range(size):
            store(g_memory, k * count, get(g, k))

    @inlined
    def finish(theta: Any, velocity: Any, g_memory: Any, size_B: int, how: Any, first: bool) -> None:
        """Make the step that the gradient asks for."""
        p, u, g = stack(), stack(), stack()
        for k in range(size):
            put(p, k, splat(at(theta, k)))
            put(u, k, splat(at(velocity, k)))
            put(g, k, load(g_memory, k * count))
        step(p, u, g, how, first)
        for k in range(size):
            set_at(theta, k, lane0(get(p, k)))
            set_at(velocity, k, lane0(get(u, k)))
            store(g_memory, k * count, get(g, k))

    @inlined
    def whole(
        stage: Any,
        s: int,
        start: int,
        batches: int,
        batch: int,
        theta: Any,
        velocity: Any,
        g_memory: Any,
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
        p, u, g = stack(), stack(), stack()
        for k in range(size):
            put(p, k, splat(at(theta, k)))
            put(u, k, splat(at(velocity, k)))
            put(g, k, splat(zero))
        one = scale(how, batch)
        all_here = below(one, batch)
        for n in range(batches):
            at_row = start + n * batch
            for i in range(0, 1 if short else batch, count):
                gradient(stage[1], s, at_row + i, all_here if short else below(one, batch - i), p, g)
            step(p, u, g, how, first)
            first = False
            until = min(done + batch, rows)
            fill(source, other, s, place, base, done, until, ahead)
            done = until
        for k in range(size):
            set_at(theta, k, lane0(get(p, k)))
            set_at(velocity, k, lane0(get(u, k)))
        return done

    return part, finish, whole
