"""One epoch of mini-batch descent over rows in memory, with the closed-form gradient of the mean squared error.

Blocks of rows go through two stages in turn: one is used while the next is filled, shuffled on its way, so that the
shuffle and the wait for memory hide behind the arithmetic. How a batch is computed stands in ``row_lanes``,
``feature_lanes`` and ``model_lanes``.

The same rows, order and parameters give the same bits on every machine.

Shapes: N rows, F features, O targets, C blocks of S rows; arrays are flat, and all of one dtype.
"""

from functools import cache
from typing import Any

import numpy as np

from linreg.kernels.batch import feature_lanes, model_lanes, row_lanes
from linreg.kernels.batch.shapes import Kernels, Model, NextBlock, Shape
from linreg.kernels.batch.staging import feeder, places
from linreg.kernels.jit import compiled, inlined

FEW = row_lanes.FEW  # rows of a short batch


@cache
def epoch(shape: Shape, *, short: bool) -> Any:
    """A compiled epoch: ``(source, order_C, keys_C3, tail, block, batch, shuffled, theta, velocity, settings, first)``.

    Args:
        short: a batch has at most ``FEW`` rows.

    Of the compiled function's, ``source`` is x, y and the weights (empty without); ``theta`` and ``velocity`` are
    changed in place, in the layout of ``layout.pack``; ``settings`` holds rate, momentum, 1 - dampening, nesterov (0 or
    1), weight decay, and 1 - rate * weight decay; ``first`` says that there is no velocity yet.
    """
    small = row_lanes.fits(shape.features, shape.targets)
    feed = feeder(shape, by_column=small)
    kernels = row_lanes.kernels(shape, feed, short=short) if small else feature_lanes.kernels(shape, feed)
    return _walk(shape, feed, kernels, "one", short and small)


@cache
def epoch_of_many(shape: Shape, *, batch: int) -> Any:
    """The same for as many models as a vector has lanes; ``model_lanes`` says what ``theta`` and ``settings`` hold."""
    small = row_lanes.fits(shape.features, shape.targets)
    length = batch if small and batch <= FEW else 0
    feed = feeder(shape, by_column=small)
    return _walk(shape, feed, model_lanes.kernels(shape, feed, batch=length), "many", length)


def _walk(shape: Shape, feed: Any, kernels: Kernels, *key: object) -> Any:
    """The compiled function: blocks through two stages, batches through the blocks."""
    o, sums, dtype = shape.targets, kernels.sums, shape.dtype
    small, in_place = row_lanes.fits(shape.features, o), _in_place(shape)
    width, columns = (0, shape.features + o) if small else (shape.width, o)
    columns, room_beyond = columns + shape.weighted, shape.lanes  # a vector may be read from the last row on
    straight, through = _straight(kernels), _through(kernels)

    @compiled(shape, *key)
    def walk(
        source: Any, order: Any, keys: Any, tail: Any, block: int, batch: int, shuffled: bool,
        theta: Any, velocity: Any, settings: Any, first: bool,
    ) -> None:  # fmt: skip
        rows = source[1].size // o
        model = Model(theta, velocity, np.zeros(sums, dtype))
        if in_place and not shuffled:
            straight(source, rows, batch, model, settings, first)
            return
        room = block + room_beyond
        stage = (np.zeros(room * width, dtype), np.zeros(room * columns, dtype))
        other = (np.zeros(room * width, dtype), np.zeros(room * columns, dtype))
        place = np.zeros(block, np.uint32)
        of_blocks = (order, keys, tail, rows, block, shuffled)
        next_block = _next_block(source, stage, room, place, of_blocks, 0)
        feed(next_block, 0, next_block.rows)
        progress = (rows, 0, first)
        for j in range(order.size):
            count = next_block.rows
            next_block = _next_block(source, other, room, place, of_blocks, j + 1)
            progress, staged = through(stage, room, count, batch, model, settings, progress, next_block)
            feed(next_block, staged, next_block.rows)
            stage, other = other, stage

    return walk


def _in_place(shape: Shape) -> bool:
    """Whether rows in order need no stage: they are whole vectors, and are read where they lie."""
    exact = shape.features == shape.width and shape.targets == 1 and not shape.weighted
    return exact and feature_lanes.by_row(shape) and not row_lanes.fits(shape.features, shape.targets)


def _straight(kernels: Kernels) -> Any:
    part, finish = kernels.part, kernels.finish

    @inlined
    def straight(source: Any, rows: int, batch: int, model: Any, settings: Any, first: bool) -> None:
        """Batches out of the rows themselves."""
        for start in range(0, rows, batch):
            stop = min(start + batch, rows)
            part((source[0], source[1]), 0, start, stop, stop - start, model, settings)
            finish(model, stop - start, settings, first)
            first = False

    return straight


def _through(kernels: Kernels) -> Any:
    part, finish, full_batches = kernels.part, kernels.finish, kernels.full_batches

    @inlined
    def through(
        stage: Any, room: int, rows: int, batch: int, model: Any, settings: Any, progress: Any, next_block: Any
    ) -> Any:
        """The batches and pieces of batches in a stage.

        ``progress`` is how many rows are left from the unfinished batch on, how many of that one are added, and whether
        no batch is finished yet.
        """
        left, filled, first = progress
        staged, i = 0, 0
        while i < rows:
            size = min(batch, left)
            if filled == 0 and size == batch and rows - i >= batch:
                n = (rows - i) // batch
                staged = full_batches(stage, room, i, n, batch, model, settings, first, next_block, staged)
                first, left, i = False, left - n * batch, i + n * batch
            else:
                take = min(rows - i, size - filled)
                part(stage, room, i, i + take, size, model, settings)
                filled, i = filled + take, i + take
                if filled == size:
                    finish(model, size, settings, first)
                    first, left, filled = False, left - size, 0
        return (left, filled, first), staged

    return through


@inlined
def _next_block(source: Any, stage: Any, room: int, place: Any, of_blocks: Any, j: int) -> Any:
    """Block number j of the epoch, on its way into a stage; no rows where there is none."""
    order, keys, tail, rows, block, shuffled = of_blocks
    base, count, ahead = 0, 0, 0
    if j < order.size:
        base = order[j] * block
        count = min(block, rows - base)
        places(place, keys[order[j]], tail, count, block, shuffled)
    if j + 1 < order.size and rows - order[j + 1] * block >= block:
        ahead = (order[j + 1] - order[j]) * block
    return NextBlock(source, stage, room, place, base, count, ahead)
