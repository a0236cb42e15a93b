"""One epoch of mini-batch descent over rows in memory, with the closed-form gradient of the mean squared error.

Blocks of rows go through two stages in turn: one is used while the next is filled, shuffled on its way, so that the
shuffle and the wait for memory hide behind the arithmetic. How a batch is computed is ``narrow``'s or ``wide``'s.

The same rows, order and parameters give the same bits on every machine.

Shapes: N rows, F features, O targets, C blocks of S rows; arrays are flat, and all of one dtype.
"""

from functools import cache, partial
from typing import Any

import numpy as np

from linreg.compiled import many, narrow, wide
from linreg.compiled.kinds import vector_lanes
from linreg.compiled.machine_code import compiled
from linreg.compiled.staging import filler, places

FEW = narrow.FEW  # rows of a short batch


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
    lanes = vector_lanes(dtype)
    gradient = (features + 1) * targets * lanes if small else (-(-features // lanes) * lanes + 1) * targets
    key = dtype, features, targets, short and small, momentum, weighted
    return _walk(
        dtype, features, targets, weighted, fill, make(dtype, features, targets, fill, **options), gradient, key
    )


@cache
def epoch_of_many(dtype: np.dtype[Any], features: int, targets: int, *, batch: int, weighted: bool) -> Any:
    """The same for as many models as a vector has lanes; ``many`` says what ``theta`` and ``how`` hold."""
    small, lanes = narrow.fits(features, targets), vector_lanes(dtype)
    batch = batch if small and batch <= FEW else 0  # only of short batches is the length compiled in
    fill = filler(dtype, features, targets, weighted=weighted, by_column=small)
    make = partial(many.few, batch=batch) if small else many.many_features
    kernels = make(dtype, features, targets, fill, weighted=weighted)
    rows_a_step = (FEW if batch else lanes) if small else 1
    gradient = (features + 1) * targets * lanes * rows_a_step
    key = "many", dtype, features, targets, batch, weighted
    return _walk(dtype, features, targets, weighted, fill, kernels, gradient, key)


def _walk(
    dtype: np.dtype[Any],
    f: int,
    o: int,
    weighted: bool,
    fill: Any,
    kernels: Any,
    gradient: int,
    key: tuple[object, ...],
) -> Any:
    """Blocks through two stages, batches through the blocks."""
    part, finish, whole = kernels
    small, lanes = narrow.fits(f, o), vector_lanes(dtype)
    width = 0 if small else -(-f // lanes) * lanes
    columns = o + weighted + (f if small else 0)
    # rows in order that are whole vectors need no stage: they are read where they lie
    direct = not small and f == width and o == 1 and not weighted and width // lanes <= wide.FEW

    @compiled(*key)
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
        if direct and not shuffled:
            g = np.zeros(gradient, dtype)
            for start in range(0, rows, batch):
                stop = min(start + batch, rows)
                part((source[0], source[1]), 0, start, stop, stop - start, theta, g, how)
                finish(theta, velocity, g, stop - start, how, first)
                first = False
            return
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


def pack_many(thetas: Any, features: int, targets: int) -> Any:
    """The parameters of up to L models, each as ``pack`` has it, in the layout of ``epoch_of_many``, flat."""
    lanes = vector_lanes(thetas[0].dtype)
    columns = np.stack([*thetas, *[thetas[-1]] * (lanes - len(thetas))], axis=1)
    return np.ascontiguousarray(columns[_without_padding(len(columns), features, targets, lanes)]).ravel()


def pack_how(how_K3: Any) -> Any:
    """Rate, weight decay and 1 - rate * weight decay of up to L models, in the layout of ``epoch_of_many``, flat."""
    lanes = vector_lanes(how_K3.dtype)
    return np.stack([*how_K3, *[how_K3[-1]] * (lanes - len(how_K3))], axis=1).ravel()


def unpack_many(packed: Any, features: int, targets: int, count: int) -> list[Any]:
    """The parameters of the first models, each as ``pack`` has it."""
    lanes = vector_lanes(packed.dtype)
    columns = packed.reshape(-1, lanes)
    width = features + 1 if narrow.fits(features, targets) else -(-features // lanes) * lanes + 1
    out = np.zeros((targets * width, lanes), packed.dtype)
    out[_without_padding(len(out), features, targets, lanes)] = columns
    return [np.ascontiguousarray(out[:, k]) for k in range(count)]


def _without_padding(length: int, features: int, targets: int, lanes: int) -> Any:
    """Which of the numbers of ``pack`` are parameters."""
    keep = np.ones(length, dtype=bool)
    if not narrow.fits(features, targets):
        weights = keep[: length - targets].reshape(targets, -1)
        weights[:, features:] = False
    return keep
