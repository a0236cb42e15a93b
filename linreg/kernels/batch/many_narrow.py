"""``many`` after ``narrow``: few parameters, a vector of models each, in registers from one batch to the next.

A short batch, whose length is compiled in, needs no sums in memory; longer ones do (``many_sums``).
"""

from typing import Any

import numpy as np

from linreg.kernels.batch.many_sums import in_pieces, long, registers, residual_of, scale_of
from linreg.kernels.batch.narrow import FEW
from linreg.kernels.batch.shapes import Kernels, Shape, numba_type
from linreg.kernels.jit import inlined
from linreg.kernels.simd import Lanes, at, lanes
from linreg.kernels.tree_sum import tree


def kernels(shape: Shape, feed: Any, *, batch: int) -> Kernels:
    """The kernels; ``batch``: rows of a short batch, else 0."""
    v, rows_a_step = lanes(numba_type(shape.dtype), shape.lanes), FEW if batch else shape.lanes
    sums = (shape.features + 1) * shape.targets * rows_a_step * shape.lanes
    part, finish = in_pieces(shape, v, rows_a_step)
    one = _short(shape, v, feed, batch) if batch else long(shape, v, feed, rows_a_step)
    return Kernels(part, finish, _whole(shape, v, one, 0 if batch else sums), sums)


def _whole(shape: Shape, v: Lanes, one: Any, sums: int) -> Any:
    """``whole``: parameters stay in registers from ``one`` batch to the next, which may use so many ``sums``."""
    scale, decays, stack, dtype = scale_of(shape, v), _decays(shape, v), v.stack, shape.dtype
    take, leave = registers(shape, v)

    @inlined
    def whole(
        stage: Any,
        s: int,
        start: int,
        batches: int,
        size: int,
        model: Any,
        how: Any,
        _first: bool,
        coming: Any,
        done: int,
    ) -> int:
        p, by, room, decay = stack(), scale(how, size), np.zeros(sums, dtype), decays(how)
        take(model, p)
        for n in range(start, start + batches * size, size):
            done = one(stage[1], s, n, size, p, room, by, how, decay, coming, done)
        leave(model, p)
        return done

    return whole


def _decays(shape: Shape, v: Lanes) -> Any:
    models, one = v.count, shape.dtype.type(1)

    @inlined
    def decays(how: Any) -> bool:
        """Whether any model's weights do: else they need not be multiplied with 1."""
        out = False
        for n in range(2 * models, 3 * models):
            out |= at(how, n) != one
        return out

    return decays


def _short(shape: Shape, v: Lanes, feed: Any, batch: int) -> Any:
    """``one`` short batch."""
    step, decaying = _short_step(shape, v, batch, decays=False), _short_step(shape, v, batch, decays=True)

    @inlined
    def one(
        columns: Any, s: int, i: int, _size: int, p: Any, _sums: Any, by: Any, how: Any, decay: bool,
        coming: Any, done: int,
    ) -> Any:  # fmt: skip
        if decay:
            decaying(columns, s, i, p, by, how)
        else:
            step(columns, s, i, p, by, how)
        return feed(coming, done, batch)

    return one


def _short_step(shape: Shape, v: Lanes, batch: int, *, decays: bool) -> Any:
    f, o, width = shape.features, shape.targets, shape.features + 1
    load, splat, fma, mul, stack, get, put, models = (
        v.load, v.splat, v.fma, v.mul, v.stack, v.get, v.put, v.count,
    )  # fmt: skip
    residual, sum_of = residual_of(shape, v), tree(v, batch)

    @inlined
    def step(columns: Any, s: int, i: int, p: Any, by: Any, how: Any) -> None:
        """From one set of parameters to the next, a target after the other: registers hold so few vectors."""
        r, terms = stack(), stack()
        for t in range(o):
            for n in range(batch):
                put(r, n, residual(columns, s, i + n, t, p))
            for k in range(f):
                for n in range(batch):
                    put(terms, n, mul(get(r, n), splat(at(columns, k * s + i + n))))
                kept = mul(load(how, 2 * models), get(p, t * width + k)) if decays else get(p, t * width + k)
                put(p, t * width + k, fma(by, sum_of(terms), kept))
            put(p, t * width + f, fma(by, sum_of(r), get(p, t * width + f)))

    return step
