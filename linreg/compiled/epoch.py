"""One epoch of mini-batch descent over rows in memory, with the closed-form gradient of the mean squared error.

Blocks of rows go through two stages in turn: one is used while the next is filled, shuffled on its way, so that the
shuffle and the wait for memory hide behind the arithmetic. How a batch is computed is ``narrow``'s or ``wide``'s.

The same rows, order and parameters give the same bits on every machine.

Shapes: N rows, F features, O targets, C blocks of S rows; arrays are flat, and all of one dtype.
"""

from functools import cache, partial
from typing import Any

import numpy as np

from linreg.compiled import narrow, wide
from linreg.compiled.kinds import vector_lanes
from linreg.compiled.machine_code import compiled
from linreg.compiled.staging import filler, places


@cache
def epoch(dtype: np.dtype[Any], features: int, targets: int, *, short: bool, momentum: bool, weighted: bool) -> Any:
    """A compiled epoch: ``(source, order_C, keys_C3, tail, block, batch, shuffled, theta, velocity, how, first)``.

    Args:
        short: a batch has at most ``FEW`` rows.

    Of the compiled function's, ``source`` is x, y and the weights (empty without); ``theta`` and ``velocity`` are
    changed in place, in the layout of ``pack``; ``how`` holds rate, momentum, 1 - dampening, nesterov (0 or 1), weight
    decay, and 1 - rate * weight decay; ``first`` says that there is no velocity yet.
    """
    small, options = narrow.fits(features, targets), {"momentum": momentum, "weighted": weighted}
    fill = filler(dtype, features, targets, weighted=weighted, by_column=small)
    make = partial(narrow.kernels, short=short) if small else wide.kernels
    part, finish, whole = make(dtype, features, targets, fill, **options)
    lanes, f, o = vector_lanes(dtype), features, targets
    width = 0 if small else -(-f // lanes) * lanes
    columns = o + weighted + (f if small else 0)
    gradient = (f + 1) * o * lanes if small else width * o + o

    @compiled(dtype, features, targets, short and small, momentum, weighted)
    def walk(
        source: Any,
        order: Any,
        keys: Any,
        tail: Any,
        block: int,
        batch: int,
        shuffled: bool,
        theta: Any,
        velocity: Any,
        how: Any,
        first: bool,
    ) -> None:
        rows = source[1].size // o
        s = block + lanes
        stage = (np.zeros(s * width, dtype), np.zeros(s * columns, dtype))
        other = (np.zeros(s * width, dtype), np.zeros(s * columns, dtype))
        g, place = np.zeros(gradient, dtype), np.zeros(block, np.uint32)
        left, size, filled = rows, min(batch, rows), 0
        base = order[0] * block
        here = min(block, rows - base)
        places(place, keys[order[0]], tail, here, block, shuffled)
        fill(source, stage, s, place, base, 0, here, 0)
        for j in range(order.size):
            base, coming, ahead, done, i = 0, 0, 0, 0, 0
            if j + 1 < order.size:
                base = order[j + 1] * block
                coming = min(block, rows - base)
                places(place, keys[order[j + 1]], tail, coming, block, shuffled)
                if j + 2 < order.size and rows - order[j + 2] * block >= block:
                    ahead = (order[j + 2] - order[j + 1]) * block
            while i < here:
                if filled == 0 and size == batch and here - i >= batch:
                    n = (here - i) // batch
                    done = whole(
                        stage,
                        s,
                        i,
                        n,
                        batch,
                        theta,
                        velocity,
                        g,
                        how,
                        first,
                        source,
                        other,
                        place,
                        base,
                        done,
                        coming,
                        ahead,
                    )
                    first, left, i = False, left - n * batch, i + n * batch
                else:
                    take = min(here - i, size - filled)
                    part(stage, s, i, i + take, size, theta, g, how)
                    filled, i = filled + take, i + take
                    if filled == size:
                        finish(theta, velocity, g, size, how, first)
                        first, left, filled = False, left - size, 0
                size = min(batch, left)
            fill(source, other, s, place, base, done, coming, ahead)
            stage, other, here = other, stage, coming

    return walk


FEW = narrow.FEW  # rows of a short batch


def pack(weight_OF: Any, bias_O: Any) -> Any:
    """Parameters or velocities in the layout of ``epoch``: (O, F + 1) for few, else padded weights and biases."""
    targets, features = weight_OF.shape
    if narrow.fits(features, targets):
        return np.hstack([weight_OF, bias_O[:, None]]).ravel()
    lanes = vector_lanes(weight_OF.dtype)
    padded = np.zeros((targets, -(-features // lanes) * lanes), weight_OF.dtype)
    padded[:, :features] = weight_OF
    return np.concatenate([padded.ravel(), bias_O])


def unpack(packed: Any, features: int, targets: int) -> tuple[Any, Any]:
    """The weights (O, F) and biases (O) of ``pack``: copies."""
    if narrow.fits(features, targets):
        both = packed.reshape(targets, features + 1)
        return both[:, :-1].copy(), both[:, -1].copy()
    weights = packed[: len(packed) - targets].reshape(targets, -1)
    return weights[:, :features].copy(), packed[len(packed) - targets :].copy()
