"""Batches one after the other, their sums in memory: what the kernels with more than a handful of parameters share."""

from typing import Any

from linreg.kernels.jit import inlined


def in_slices(part: Any, feed: Any, rows: int) -> Any:
    """``fed``: a batch some rows at a time, and between them as many rows of the other stage."""

    @inlined
    def fed(
        stage: Any, s: int, start: int, stop: int, size: int, model: Any, settings: Any, next_block: Any, staged: int
    ) -> int:
        for i in range(start, stop, rows):
            until = min(i + rows, stop)
            part(stage, s, i, until, size, model, settings)
            staged = feed(next_block, staged, until - i)
        return staged

    return fed


def whole_batches(fed: Any, finish: Any) -> Any:
    """``full_batches`` of ``Kernels``, of a ``fed`` that adds a batch's products and fills the other stage."""

    @inlined
    def full_batches(
        stage: Any,
        s: int,
        start: int,
        batches: int,
        size: int,
        model: Any,
        settings: Any,
        first: bool,
        next_block: Any,
        staged: int,
    ) -> int:
        for n in range(start, start + batches * size, size):
            staged = fed(stage, s, n, n + size, size, model, settings, next_block, staged)
            finish(model, size, settings, first)
            first = False
        return staged

    return full_batches
