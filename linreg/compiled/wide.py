"""Mini-batch descent for many parameters: one lane a feature, rows padded to whole vectors, a panel of rows at a time.

    r = W x + b - y        for L rows; a dot product of vectors each
    g = g + r x            the same rows, which the cache still holds

Tiles of rows x targets and of vectors x targets keep sums in registers, so that each vector loaded serves several.

Shapes: F features in C vectors of L lanes, O targets, S rows of room in a stage; arrays are flat. Parameters: weights
(O, C L), zero in the padding, then biases (O).
"""

from typing import Any

import numpy as np

from linreg.compiled.kinds import numba_type, vector_lanes
from linreg.compiled.lanes import at, lanes, set_at
from linreg.compiled.machine_code import inlined

ROWS = 4  # of a tile of residuals
TILE = 4  # targets of a tile, and vectors of a tile of gradients
SLICE = 64  # rows of tiles after which some of the other stage are filled
FEW = 8  # vectors of weights that fit into registers beside their gradients


def kernels(dtype: np.dtype[Any], f: int, o: int, fill: Any, *, momentum: bool, weighted: bool) -> Any:
    """The compiled ``part``, ``finish`` and ``whole``; see ``epoch``."""
    count = vector_lanes(dtype)
    chunks = -(-f // count)
    v = lanes(numba_type(dtype), count)
    load, store, splat, fma, mul = v.load, v.store, v.splat, v.fma, v.mul
    kind, zero, two, length = numba_type(dtype), dtype.type(0), dtype.type(2), o * chunks * count
    few = chunks * o <= FEW
    panel = _by_row(v, chunks, o, weighted, None) if few else _by_tile(v, chunks, o, weighted, dtype)
    fed = _by_row(v, chunks, o, weighted, fill) if few else _in_slices(panel, fill)

    @inlined
    def part(stage: Any, s: int, start: int, stop: int, _size_B: int, theta: Any, g: Any, _how: Any) -> None:
        """Add the products of some rows to the gradient."""
        panel(stage[0], stage[1], s, start, stop, theta, g)

    @inlined
    def finish(theta: Any, velocity: Any, g: Any, size_B: int, how: Any, first: bool) -> None:
        """Make the step that the gradient asks for, and leave 0 there."""
        scale, rate = two / kind(size_B * o), -at(how, 0)
        for i in range(0, length, count):
            w = load(theta, i)
            gradient = fma(splat(at(how, 4)), w, mul(splat(scale), load(g, i)))
            if momentum:
                new = gradient
                if not first:
                    new = fma(splat(at(how, 1)), load(velocity, i), mul(splat(at(how, 2)), gradient))
                store(velocity, i, new)
                gradient = fma(splat(at(how, 1)), new, gradient) if at(how, 3) != zero else new
            store(theta, i, fma(splat(rate), gradient, w))
            store(g, i, splat(zero))
        for t in range(o):
            bias = scale * at(g, length + t)
            if momentum:
                new_b = bias if first else at(how, 1) * at(velocity, length + t) + at(how, 2) * bias
                set_at(velocity, length + t, new_b)
                bias = bias + at(how, 1) * new_b if at(how, 3) != zero else new_b
            set_at(theta, length + t, at(theta, length + t) + rate * bias)
            set_at(g, length + t, zero)

    @inlined
    def whole(
        stage: Any,
        s: int,
        start: int,
        batches: int,
        batch: int,
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
            at_row = start + n * batch
            meanwhile = source, other, place, base, done, rows, ahead
            fed(stage[0], stage[1], s, at_row, at_row + batch, theta, g, meanwhile)
            done = min(done + batch, rows)
            finish(theta, velocity, g, batch, how, first)
            first = False
        return done

    return part, finish, whole


def _in_slices(panel: Any, fill: Any) -> Any:
    """The panels of a batch, some rows at a time, and between them as many rows of the other stage."""

    @inlined
    def fed(rows: Any, columns: Any, s: int, start: int, stop: int, theta: Any, g: Any, meanwhile: Any) -> None:
        source, other, place, base, done, all_rows, ahead = meanwhile
        for i in range(start, stop, SLICE):
            here = min(i + SLICE, stop)
            panel(rows, columns, s, i, here, theta, g)
            until = min(done + here - i, all_rows)
            fill(source, other, s, place, base, done, until, ahead)
            done = until

    return fed


def _by_row(v: Any, chunks: int, o: int, weighted: bool, fill: Any) -> Any:
    """Few weights: they and their gradients stay in registers, and every row is used up at once.

    With ``fill``, a row of the other stage is filled after each: while one waits for memory, the other goes on.
    """
    fed = fill is not None
    load, store, splat, fma, add, mul, total = v.load, v.store, v.splat, v.fma, v.add, v.mul, v.total
    stack, get, put, lane0, count = v.stack, v.get, v.put, v.lane0, v.count
    length, width = o * chunks * v.count, chunks * v.count

    @inlined
    def one(rows: Any, columns: Any, s: int, i: int, theta: Any, w: Any, gradient: Any, bias: Any) -> None:
        for t in range(o):
            dot = mul(get(w, t * chunks), load(rows, i * width))
            for c in range(1, chunks):
                dot = fma(get(w, t * chunks + c), load(rows, i * width + c * count), dot)
            r = total(dot) + (at(theta, length + t) - at(columns, t * s + i))
            if weighted:
                r = r * at(columns, o * s + i)
            lanes_r = splat(r)
            put(bias, t, add(get(bias, t), lanes_r))
            for c in range(chunks):
                k = t * chunks + c
                put(gradient, k, fma(lanes_r, load(rows, i * width + c * count), get(gradient, k)))

    @inlined
    def panel(
        rows: Any, columns: Any, s: int, start: int, stop: int, theta: Any, g: Any, meanwhile: Any = None
    ) -> None:
        w, gradient, bias = stack(), stack(), stack()
        for k in range(o * chunks):
            put(w, k, load(theta, k * count))
            put(gradient, k, load(g, k * count))
        for t in range(o):
            put(bias, t, splat(at(g, length + t)))
        if fed:
            source, other, place, base, done, all_rows, ahead = meanwhile
            shared = min(stop - start, all_rows - done)
            for i in range(shared):
                one(rows, columns, s, start + i, theta, w, gradient, bias)
                fill(source, other, s, place, base, done + i, done + i + 1, ahead)
            for i in range(start + shared, stop):
                one(rows, columns, s, i, theta, w, gradient, bias)
        else:
            for i in range(start, stop):
                one(rows, columns, s, i, theta, w, gradient, bias)
        for k in range(o * chunks):
            store(g, k * count, get(gradient, k))
        for t in range(o):
            set_at(g, length + t, lane0(get(bias, t)))

    return panel


def _by_tile(v: Any, chunks: int, o: int, weighted: bool, dtype: np.dtype[Any]) -> Any:
    """Many weights: residuals of a panel of L rows first, then their part of the gradient."""
    load, store, sub, mul, count = v.load, v.store, v.sub, v.mul, v.count
    below, splat, total = v.below, v.splat, v.total
    length = o * chunks * count
    whole_o, rest_o = o // TILE * TILE, o % TILE
    whole_c, rest_c = chunks // TILE * TILE, chunks % TILE
    dots, dots_rest = _dots(v, chunks, TILE), _dots(v, chunks, rest_o)
    outer, outer_o = _outer(v, chunks, TILE, TILE), _outer(v, chunks, TILE, rest_o)
    outer_c, outer_co = _outer(v, chunks, rest_c, TILE), _outer(v, chunks, rest_c, rest_o)

    @inlined
    def residuals(rows: Any, columns: Any, s: int, start: int, here: int, theta: Any, r: Any) -> None:
        """``r`` (O, L) of the L rows from ``start`` on; 0 for those that are not ``here``."""
        for i in range(0, here, ROWS):
            for t in range(0, whole_o, TILE):
                dots(rows, start + i, theta, t, r, i)
            if rest_o:
                dots_rest(rows, start + i, theta, whole_o, r, i)
        for t in range(o):
            difference = sub(load(r, t * count), sub(load(columns, t * s + start), splat(at(theta, length + t))))
            if weighted:
                difference = mul(difference, load(columns, o * s + start))
            store(r, t * count, below(difference, here))

    @inlined
    def gradients(rows: Any, start: int, here: int, r: Any, g: Any) -> None:
        for c in range(0, whole_c, TILE):
            for t in range(0, whole_o, TILE):
                outer(rows, start, here, r, g, c, t)
            if rest_o:
                outer_o(rows, start, here, r, g, c, whole_o)
        if rest_c:
            for t in range(0, whole_o, TILE):
                outer_c(rows, start, here, r, g, whole_c, t)
            if rest_o:
                outer_co(rows, start, here, r, g, whole_c, whole_o)

    @inlined
    def panel(rows: Any, columns: Any, s: int, start: int, stop: int, theta: Any, g: Any) -> None:
        r = np.zeros(o * count, dtype)
        for i in range(start, stop, count):
            here = min(count, stop - i)
            residuals(rows, columns, s, i, here, theta, r)
            gradients(rows, i, here, r, g)
            for t in range(o):
                set_at(g, length + t, at(g, length + t) + total(load(r, t * count)))

    return panel


def _dots(v: Any, chunks: int, targets: int) -> Any:
    """The dot products of four rows with some targets' weights."""
    load, splat, fma, total, count = v.load, v.splat, v.fma, v.total, v.count
    stack, get, put, width = v.stack, v.get, v.put, chunks * v.count

    @inlined
    def dots(rows: Any, start: int, theta: Any, target: int, r: Any, i: int) -> None:
        sums = stack()
        for k in range(ROWS * targets):
            put(sums, k, splat(r.dtype.type(0)))
        for c in range(chunks):
            for n in range(ROWS):
                x = load(rows, (start + n) * width + c * count)
                for t in range(targets):
                    k = n * targets + t
                    put(sums, k, fma(x, load(theta, (target + t) * width + c * count), get(sums, k)))
        for n in range(ROWS):
            for t in range(targets):
                set_at(r, (target + t) * count + i + n, total(get(sums, n * targets + t)))

    return dots


def _outer(v: Any, chunks: int, vectors: int, targets: int) -> Any:
    """Add some rows' products of residual and features: some vectors of features by some targets."""
    load, store, splat, fma, count = v.load, v.store, v.splat, v.fma, v.count
    stack, get, put, width = v.stack, v.get, v.put, chunks * v.count

    @inlined
    def outer(rows: Any, start: int, here: int, r: Any, g: Any, chunk: int, target: int) -> None:
        sums = stack()
        for c in range(vectors):
            for t in range(targets):
                put(sums, c * targets + t, load(g, (target + t) * width + (chunk + c) * count))
        for i in range(here):
            for c in range(vectors):
                x = load(rows, (start + i) * width + (chunk + c) * count)
                for t in range(targets):
                    k = c * targets + t
                    put(sums, k, fma(splat(at(r, (target + t) * count + i)), x, get(sums, k)))
        for c in range(vectors):
            for t in range(targets):
                store(g, (target + t) * width + (chunk + c) * count, get(sums, c * targets + t))

    return outer
