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
from linreg.kernels.batch.shapes import Kernels, Model, NextBlock, Shape, Stage
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
    return _walk(shape, feed, kernels, "one", by_column=small, short=short and small)


@cache
def epoch_of_many(shape: Shape) -> Any:
    """The same for as many models as a vector has lanes; ``model_lanes`` says what ``theta`` and ``settings`` hold."""
    feed = feeder(shape, by_column=False)
    return _walk(shape, feed, model_lanes.kernels(shape, feed), "many")


def _walk(
    shape: Shape, feed: Any, kernels: Kernels, models: str, *, by_column: bool = False, short: bool = False
) -> Any:
    """The compiled function: blocks through two stages, batches through the blocks."""
    o, sums, dtype, width = shape.targets, kernels.sums, shape.dtype, 0 if by_column else shape.width
    columns = o + shape.weighted + (shape.features if by_column else 0)
    room_beyond = shape.lanes  # a vector may be read from the last row on
    whole = shape.features == shape.width and o == 1 and not shape.weighted
    in_place = not by_column and whole and feature_lanes.by_row(shape)  # tiles read beyond the last row
    through = _through(kernels)

    @inlined
    def empty_stage(block: int) -> Any:
        room = block + room_beyond
        return Stage(np.zeros(room * width, dtype), np.zeros(room * columns, dtype), room)

    @compiled(shape, models, short)
    def walk(
        source: Any, order: Any, keys: Any, tail: Any, block: int, batch: int, shuffled: bool,
        theta: Any, velocity: Any, settings: Any, first: bool,
    ) -> None:  # fmt: skip
        rows = source[1].size // o
        model, progress = Model(theta, velocity, np.zeros(sums, dtype), settings), (rows, 0, first)
        stage, other, place = empty_stage(block), empty_stage(block), np.zeros(block, np.uint32)
        of_blocks = (order, keys, tail, rows, block, shuffled)
        if in_place and not shuffled:  # whole vectors, read where they lie
            nothing = _next_block(source, other, place, of_blocks, order.size)
            through(Stage(source[0], source[1], 0), rows, batch, model, progress, nothing)
            return
        next_block = _next_block(source, stage, place, of_blocks, 0)
        feed(next_block, 0, next_block.rows)
        for j in range(order.size):
            count = next_block.rows
            next_block = _next_block(source, other, place, of_blocks, j + 1)
            progress, staged = through(stage, count, batch, model, progress, next_block)
            feed(next_block, staged, next_block.rows)
            stage, other = other, stage

    return walk


def _through(kernels: Kernels) -> Any:
    part, finish, full_batches = kernels.part, kernels.finish, kernels.full_batches
    in_registers = full_batches is not None

    @inlined
    def through(stage: Any, rows: int, batch: int, model: Any, progress: Any, next_block: Any) -> Any:
        """The batches and pieces of batches in a stage.

        ``progress`` is how many rows are left from the unfinished batch on, how many of that one are added, and whether
        no batch is finished yet.
        """
        left, filled, first = progress
        staged, i = 0, 0
        while i < rows:
            size = min(batch, left)
            if in_registers and filled == 0 and size == batch and rows - i >= batch:
                n = (rows - i) // batch
                staged = full_batches(stage, i, n, batch, model, first, next_block, staged)
                first, left, i = False, left - n * batch, i + n * batch
            else:
                take = min(rows - i, size - filled)
                staged = part(stage, i, i + take, model, next_block, staged)
                filled, i = filled + take, i + take
                if filled == size:
                    finish(model, size, first)
                    first, left, filled = False, left - size, 0
        return (left, filled, first), staged

    return through


@inlined
def _next_block(source: Any, stage: Any, place: Any, of_blocks: Any, j: int) -> Any:
    """Block number j of the epoch, on its way into a stage; no rows where there is none."""
    order, keys, tail, rows, block, shuffled = of_blocks
    base, count, ahead = 0, 0, 0
    if j < order.size:
        base = order[j] * block
        count = min(block, rows - base)
        places(place, keys[order[j]], tail, count, block, shuffled)
    if j + 1 < order.size and rows - order[j + 1] * block >= block:
        ahead = (order[j + 1] - order[j]) * block
    return NextBlock(source, stage, place, base, count, ahead)
