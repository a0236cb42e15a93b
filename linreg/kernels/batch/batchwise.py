"""Batches one after the other, their sums in memory: what the kernels with more than a handful of parameters share."""

from typing import Any

from linreg.kernels.jit import inlined


def in_slices(part: Any, feed: Any, rows: int) -> Any:
    """``fed``: a batch some rows at a time, and between them as many rows of the other stage."""

    @inlined
    def fed(stage: Any, s: int, start: int, stop: int, size: int, model: Any, how: Any, coming: Any, done: int) -> int:
        for i in range(start, stop, rows):
            until = min(i + rows, stop)
            part(stage, s, i, until, size, model, how)
            done = feed(coming, done, until - i)
        return done

    return fed


def whole_batches(fed: Any, finish: Any) -> Any:
    """``whole`` of ``Kernels``, of a ``fed`` that adds the products of a batch and fills the other stage meanwhile."""

    @inlined
    def whole(
        stage: Any,
        s: int,
        start: int,
        batches: int,
        size: int,
        model: Any,
        how: Any,
        first: bool,
        coming: Any,
        done: int,
    ) -> int:
        for n in range(start, start + batches * size, size):
            done = fed(stage, s, n, n + size, size, model, how, coming, done)
            finish(model, size, how, first)
            first = False
        return done

    return whole
