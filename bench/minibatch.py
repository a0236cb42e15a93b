"""Epochs of mini-batch descent: ours beside the tutorial's loop, scikit-learn's SGDRegressor and one thread's read.

All are float32, on one thread, over the same rows in memory. Ours is one ``step`` of a trainer on a prepared problem:
rows are converted, and code compiled, before the clock starts. The tutorial's loop is the slowest by far, so it runs on
fewer rows; they fit the cache, which is to its advantage. SGDRegressor has batches of one row and fits one target.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bench import descents, limits
from bench.descents import MARGIN, NAME, Shape
from bench.harness import Contender, Measured, Result, in_turn, load, more_is_better, peer, seconds, without
from linreg.training.choose import Problem, Trainer

LOOP, SGD, READ = "tutorial's loop", "SGDRegressor", "one-thread read"
SHAPES = (
    Shape(3, 2, 5, 4_000_000, 20_000, {LOOP: 5000, SGD: 40}),
    Shape(32, 1, 64, 1 << 22, 100_000, {LOOP: 200, SGD: 12, READ: 0.25}),
    Shape(32, 1, 64, 1 << 22, 100_000, {LOOP: 200, SGD: 12, READ: 0.5}, shuffle=False),
    Shape(256, 4, 1024, 1 << 19, 100_000, {LOOP: 25, SGD: 20}),
)


def run(*, rows: int | None = None, rounds: int = 7, read_bytes: int = limits.GIB) -> list[Result]:
    """A result a shape; ``rows`` in place of the shapes' own for a trial."""
    shapes = [s if rows is None else replace(s, rows=rows, loop_rows=min(rows, s.loop_rows)) for s in SHAPES]
    trainers = [descents.ours(shape) for shape in shapes]
    memory = limits.memory(read_bytes)
    with descents.one_torch_thread():
        pairs = zip(shapes, trainers, strict=True)
        return [_measure(shape, trainer, memory, rounds) for shape, trainer in pairs]


def _measure(shape: Shape, trainer: Trainer, memory: limits.Words, rounds: int) -> Result:
    busy, problem = load(), descents.prepared(shape, shape.rows)
    descents.same_loop(shape, trainer)
    linear = peer("sklearn.linear_model")
    if linear is not None:
        descents.same_loss(shape, trainer, problem, linear)
    measured = in_turn(_contenders(shape, trainer, problem, memory, linear), rounds)
    note = _note(shape, measured, f"medians of {rounds} taken in turn; {busy}{without(SGDRegressor=linear)}")
    return more_is_better(str(shape), "M rows/s", measured, shape.target, note=note)


def _contenders(
    shape: Shape, trainer: Trainer, problem: Problem, memory: limits.Words, linear: Any
) -> dict[str, Contender]:
    state = trainer.step(problem, trainer.init(problem))  # one warm epoch: compiled, pages touched
    row_bytes = 4 * (shape.features + shape.targets)
    out: dict[str, Contender] = {
        "ours": lambda: _speed(shape.rows, lambda: trainer.step(problem, state)),
        LOOP: lambda: _speed(shape.loop_rows, lambda: descents.loop(shape, problem)),
        READ: lambda: (1000 * (bandwidth := limits.read_bandwidth(memory)) / row_bytes, bandwidth),
    }
    if linear is not None:
        columns = [c.contiguous().numpy() for c in problem.rows()[1].T]
        out[SGD] = lambda: _speed(shape.rows, lambda: [descents.sgd(shape, problem, y_N, linear) for y_N in columns])
    return out


def _speed(rows: int, work: Callable[[], object]) -> tuple[float, ...]:
    """Millions of rows a second; a second number keeps the place of the limit's gigabytes a second."""
    (elapsed,) = seconds(work)
    return rows / elapsed / 1e6, 0.0


def _note(shape: Shape, measured: Measured, measurement: str) -> str:
    bandwidth = float(np.median([m[1] for m in measured[READ]]))
    return (
        f"an epoch of trainer {NAME}, {shape.rows:,} rows in float32, rate {shape.learning_rate:.3g}, after "
        f"a warm epoch; all on one thread; the loop on {shape.loop_rows:,} of the rows, its parameters equal to ours "
        f"given the same batches; SGDRegressor (batches of 1, one fit a target, eta0 {shape.eta:.3g}) reaches the same "
        f"loss within {MARGIN:.0%}; the limit reads features and targets once at {bandwidth:.1f} GB/s; {measurement}"
    )
