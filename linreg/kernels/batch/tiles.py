"""Many weights: tiles of rows by targets and of vectors by targets, whose sums stay in registers.

Residuals of a panel of L rows first, then their products with the rows, which the cache still holds: each vector that
is loaded serves a whole tile.

Shapes: as in ``feature_lanes``; ``r`` is (O, L), the residuals of a panel.
"""

from typing import Any

import numpy as np

from linreg.kernels.batch.shapes import Shape
from linreg.kernels.jit import inlined
from linreg.kernels.simd import Lanes, at, set_at

ROWS = 4  # of a tile of residuals
TILE = 4  # targets of a tile, and vectors of a tile of sums


def panels(shape: Shape, v: Lanes) -> Any:
    """``add`` of ``staging.in_slices``."""
    o, biases, count, dtype = shape.targets, shape.targets * shape.width, shape.lanes, shape.dtype
    residuals, products = _residuals(shape, v), _products(shape, v)
    load, total = v.load, v.total

    @inlined
    def add(stage: Any, start: int, stop: int, model: Any) -> None:
        r = np.zeros(o * count, dtype)
        for i in range(start, stop, count):
            rows = min(count, stop - i)
            residuals(stage, i, rows, model.theta, r)
            products(stage.rows, i, rows, r, model.sums)
            for t in range(o):
                set_at(model.sums, biases + t, at(model.sums, biases + t) + total(load(r, t * count)))

    return add


def _residuals(shape: Shape, v: Lanes) -> Any:
    """``r`` of the L rows from ``start`` on; 0 for those that are not among ``size``."""
    o, weighted, biases, in_tiles, rest = (
        shape.targets,
        shape.weighted,
        shape.targets * shape.width,
        *_tiled(shape.targets),
    )
    load, store, splat, sub, mul, below, count = v.load, v.store, v.splat, v.sub, v.mul, v.below, v.count
    dots, dots_rest = _dots(v, shape.chunks, TILE), _dots(v, shape.chunks, rest)

    @inlined
    def residuals(stage: Any, start: int, size: int, theta: Any, r: Any) -> None:
        rows, columns, s = stage
        for i in range(0, size, ROWS):
            for t in range(0, in_tiles, TILE):
                dots(rows, start + i, theta, t, r, i)
            if rest:
                dots_rest(rows, start + i, theta, in_tiles, r, i)
        for t in range(o):
            difference = sub(load(r, t * count), sub(load(columns, t * s + start), splat(at(theta, biases + t))))
            if weighted:
                difference = mul(difference, load(columns, o * s + start))
            store(r, t * count, below(difference, size))

    return residuals


def _products(shape: Shape, v: Lanes) -> Any:
    """Add ``r x`` of ``size`` rows."""
    chunks, (in_tiles_o, rest_o), (in_tiles_c, rest_c) = shape.chunks, _tiled(shape.targets), _tiled(shape.chunks)
    outer, outer_o = _outer(v, chunks, TILE, TILE), _outer(v, chunks, TILE, rest_o)
    outer_c, outer_co = _outer(v, chunks, rest_c, TILE), _outer(v, chunks, rest_c, rest_o)

    @inlined
    def products(rows: Any, start: int, size: int, r: Any, sums: Any) -> None:
        for c in range(0, in_tiles_c, TILE):
            for t in range(0, in_tiles_o, TILE):
                outer(rows, start, size, r, sums, c, t)
            if rest_o:
                outer_o(rows, start, size, r, sums, c, in_tiles_o)
        if rest_c:
            for t in range(0, in_tiles_o, TILE):
                outer_c(rows, start, size, r, sums, in_tiles_c, t)
            if rest_o:
                outer_co(rows, start, size, r, sums, in_tiles_c, in_tiles_o)

    return products


def _tiled(count: int) -> tuple[int, int]:
    """How many of them are in whole tiles, and how many are left."""
    return count // TILE * TILE, count % TILE


def _dots(v: Lanes, chunks: int, targets: int) -> Any:
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


def _outer(v: Lanes, chunks: int, vectors: int, targets: int) -> Any:
    """Add some rows' products of residual and features: some vectors of features by some targets."""
    load, store, splat, fma, count = v.load, v.store, v.splat, v.fma, v.count
    stack, get, put, width = v.stack, v.get, v.put, chunks * v.count

    @inlined
    def outer(rows: Any, start: int, size: int, r: Any, g: Any, chunk: int, target: int) -> None:
        sums = stack()
        for c in range(vectors):
            for t in range(targets):
                put(sums, c * targets + t, load(g, (target + t) * width + (chunk + c) * count))
        for i in range(size):
            for c in range(vectors):
                x = load(rows, (start + i) * width + (chunk + c) * count)
                for t in range(targets):
                    k = c * targets + t
                    put(sums, k, fma(splat(at(r, (target + t) * count + i)), x, get(sums, k)))
        for c in range(vectors):
            for t in range(targets):
                store(g, (target + t) * width + (chunk + c) * count, get(sums, c * targets + t))

    return outer
