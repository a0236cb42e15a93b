"""Sixteen models in one pass over the rows, beside one model of ours, and sixteen fits of SGDRegressor.

Shapes: N rows, F features, O targets, K models.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from bench import descents
from bench.descents import MARGIN, Shape
from bench.harness import Contender, Result, in_turn, less_is_better, load, peer, seconds, without
from linreg.training.choose import Problem
from linreg.training.trainers.fused import Fused, State, step_many

MODELS = 16
ONE, SGD = "one model", "SGDRegressor"
SHAPES = (
    Shape(3, 2, 5, 4_000_000, 0, {ONE: 0.67, SGD: 100}),
    Shape(32, 1, 64, 1 << 22, 0, {ONE: 0.4, SGD: 100}),
)
ROUNDING = 1e-4  # of float32 over an epoch, beside the largest parameter
SHARE = 8  # of the rows, one in so many are SGDRegressor's: its time is in proportion


def run(*, rows: int | None = None, rounds: int = 7) -> list[Result]:
    """A result a shape; ``rows`` in place of the shapes' own for a trial."""
    shapes = [s if rows is None else replace(s, rows=rows) for s in SHAPES]
    with descents.one_torch_thread():
        return [_measure(shape, rounds) for shape in shapes]


def _measure(shape: Shape, rounds: int) -> Result:
    busy, problem, linear = load(), descents.prepared(shape, shape.rows), peer("sklearn.linear_model")
    trainers = _trainers(shape)
    states = [t.init(problem) for t in trainers]
    _check_the_same(trainers, problem, states)
    if linear is not None:
        descents.same_loss(shape, trainers[-1], problem, linear)
    measured = in_turn(_contenders(shape, trainers, problem, states, linear), rounds)
    note = (
        f"an epoch of {MODELS} models of trainer fused, {shape.rows:,} rows in float32, rates up to "
        f"{shape.learning_rate:.3g}, after a warm epoch; to rounding as one by one; {ONE}: an epoch of one of them; "
        f"{SGD}: {MODELS} fits a target on 1/{SHARE} of the rows, times {SHARE}, the same loss within {MARGIN:.0%}; "
        f"all on one thread; medians of {rounds} taken in turn; {busy}{without(SGDRegressor=linear)}"
    )
    name = f"sweep F={shape.features} O={shape.targets} B={shape.batch_size}"
    return less_is_better(name, "s", measured, shape.target, note=note)


def _trainers(shape: Shape) -> list[Fused]:
    rates = np.geomspace(0.1, 1, MODELS) * shape.learning_rate
    long = {"epochs": 10**6}  # of a training for which compiled code pays, however few rows a trial has
    return [Fused(learning_rate=float(rate), batch_size=shape.batch_size, **long) for rate in rates]


def _contenders(
    shape: Shape, trainers: list[Fused], problem: Problem, states: list[State], linear: Any
) -> dict[str, Contender]:
    out: dict[str, Contender] = {
        "ours": lambda: seconds(lambda: step_many(trainers, problem, states)),
        ONE: lambda: seconds(lambda: trainers[-1].step(problem, states[-1])),
    }
    if linear is not None:
        part = replace(problem, x_NF=problem.rows()[0][::SHARE].contiguous(), y_NO=problem.rows()[1][::SHARE])
        columns = [c.contiguous().numpy() for c in part.rows()[1].T]
        out[SGD] = lambda: (
            SHARE * sum(seconds(lambda y=y: descents.sgd(shape, part, y, linear))[0] for y in columns * MODELS),
        )
    return out


def _check_the_same(trainers: list[Fused], problem: Problem, states: list[State]) -> None:
    """To rounding what each model does alone."""
    for trainer, state, moved in zip(trainers, states, step_many(trainers, problem, states), strict=True):
        alone = trainer.theta(problem, trainer.step(problem, state))
        np.testing.assert_allclose(trainer.theta(problem, moved), alone, rtol=0, atol=ROUNDING * np.abs(alone).max())
