"""``model_lanes`` after ``row_lanes``: few parameters, a vector of models each, in registers between batches.

A short batch, whose length is compiled in, needs no sums in memory; longer ones do (``model_sums``).
"""

from typing import Any

import numpy as np

from linreg.kernels.batch.model_sums import in_pieces, long, registers, residual_of, scale_of
from linreg.kernels.batch.row_lanes import FEW
from linreg.kernels.batch.shapes import Kernels, Shape, numba_type
from linreg.kernels.jit import inlined
from linreg.kernels.simd import Lanes, at, lanes
from linreg.kernels.tree_sum import tree


def kernels(shape: Shape, feed: Any, *, batch: int) -> Kernels:
    """The kernels; ``batch``: rows of a short batch, else 0."""
    v, rows_a_step = lanes(numba_type(shape.dtype), shape.lanes), FEW if batch else shape.lanes
    sums = (shape.features + 1) * shape.targets * rows_a_step * shape.lanes
    part, finish = in_pieces(shape, v, rows_a_step)
    step = _short(shape, v, feed, batch) if batch else long(shape, v, feed, rows_a_step)
    return Kernels(part, finish, _full_batches(shape, v, step, 0 if batch else sums), sums)


def _full_batches(shape: Shape, v: Lanes, batch_step: Any, sums: int) -> Any:
    """``full_batches``: parameters stay in registers from one batch to the next, which may use so many ``sums``."""
    scale, decays, stack, dtype = scale_of(shape, v), _decays(shape, v), v.stack, shape.dtype
    take, leave = registers(shape, v)

    @inlined
    def full_batches(
        stage: Any,
        s: int,
        start: int,
        batches: int,
        size: int,
        model: Any,
        settings: Any,
        _first: bool,
        next_block: Any,
        staged: int,
    ) -> int:
        p, by, room, decay = stack(), scale(settings, size), np.zeros(sums, dtype), decays(settings)
        take(model, p)
        for n in range(start, start + batches * size, size):
            staged = batch_step(stage[1], s, n, size, p, room, by, settings, decay, next_block, staged)
        leave(model, p)
        return staged

    return full_batches


def _decays(shape: Shape, v: Lanes) -> Any:
    models, one = v.count, shape.dtype.type(1)

    @inlined
    def decays(settings: Any) -> bool:
        """Whether any model's weights do: else they need not be multiplied with 1."""
        out = False
        for n in range(2 * models, 3 * models):
            out |= at(settings, n) != one
        return out

    return decays


def _short(shape: Shape, v: Lanes, feed: Any, batch: int) -> Any:
    """One short batch."""
    step, decaying = _short_step(shape, v, batch, decays=False), _short_step(shape, v, batch, decays=True)

    @inlined
    def short(
        columns: Any, s: int, i: int, _size: int, p: Any, _sums: Any, by: Any, settings: Any, decay: bool,
        next_block: Any, staged: int,
    ) -> Any:  # fmt: skip
        if decay:
            decaying(columns, s, i, p, by, settings)
        else:
            step(columns, s, i, p, by, settings)
        return feed(next_block, staged, batch)

    return short


def _short_step(shape: Shape, v: Lanes, batch: int, *, decays: bool) -> Any:
    f, o, width = shape.features, shape.targets, shape.features + 1
    load, splat, fma, mul, stack, get, put, models = (
        v.load, v.splat, v.fma, v.mul, v.stack, v.get, v.put, v.count,
    )  # fmt: skip
    residual, sum_of = residual_of(shape, v), tree(v, batch)

    @inlined
    def step(columns: Any, s: int, i: int, p: Any, by: Any, settings: Any) -> None:
        """From one set of parameters to the next, a target after the other: registers hold so few vectors."""
        r, terms = stack(), stack()
        for t in range(o):
            for n in range(batch):
                put(r, n, residual(columns, s, i + n, t, p))
            for k in range(f):
                for n in range(batch):
                    put(terms, n, mul(get(r, n), splat(at(columns, k * s + i + n))))
                decayed = mul(load(settings, 2 * models), get(p, t * width + k)) if decays else get(p, t * width + k)
                put(p, t * width + k, fma(by, sum_of(terms), decayed))
            put(p, t * width + f, fma(by, sum_of(r), get(p, t * width + f)))

    return step
