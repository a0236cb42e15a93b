"""Epochs of mini-batch descent: ours beside the tutorial's loop, scikit-learn's SGDRegressor and one thread's read.

All are float32, on one thread, over the same rows in memory. Ours is one ``step`` of a trainer on a prepared problem:
rows are converted, and code compiled, before the clock starts. The tutorial's loop is the slowest by far, so it runs on
fewer rows; they fit the cache, which is to its advantage. SGDRegressor has batches of one row and fits one target.

Shapes: N rows, F features, O targets, D = F + 1.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

from bench import data, limits
from bench.harness import Measured, Result, in_turn, load, more_is_better, peer, seconds, without
from linreg.batches import batches
from linreg.config import TrainConfig
from linreg.moments import Moments
from linreg.objective import Float, Objective
from linreg.rows import LEAF
from linreg.trainers import TRAINERS, Problem, State, Trainer, choose
from linreg.trainers.contract import stack
from linreg.tutorial import fit

NAME = "fused" if "fused" in TRAINERS else "builtin"  # builtin stands in where the compiled trainer is not there yet
LOOP, SGD, READ = "tutorial's loop", "SGDRegressor", "one-thread read"
MARGIN = 0.05  # of the loss: batches of another size and order take another way to the same place


@dataclass(frozen=True)
class Shape:
    """One of the sizes that are measured.

    Args:
        rows: 512 MiB of features and more, or 4,000,000 rows: more than any cache holds.
        loop_rows: of which the tutorial's loop walks.
        target: the ratios that have to be reached.
    """

    features: int
    targets: int
    batch_size: int
    rows: int
    loop_rows: int
    target: dict[str, float]
    shuffle: bool = True

    def __str__(self) -> str:
        order = "shuffled" if self.shuffle else "in order"
        return f"minibatch F={self.features} O={self.targets} B={self.batch_size} {order}"

    @property
    def eta(self) -> float:
        """SGDRegressor's rate: small enough that batches of any of the sizes come to nearly the same loss."""
        return 0.02 / (self.features + 1)

    @property
    def learning_rate(self) -> float:
        """Ours, the loss being a mean over B x O squares and SGDRegressor's half of one: an epoch moves as far."""
        return self.eta * self.batch_size * self.targets / 2


SHAPES = (
    Shape(3, 2, 5, 4_000_000, 20_000, {LOOP: 5000, SGD: 40}),
    Shape(32, 1, 64, 1 << 22, 100_000, {LOOP: 200, SGD: 12, READ: 0.25}),
    Shape(32, 1, 64, 1 << 22, 100_000, {LOOP: 200, SGD: 12, READ: 0.5}, shuffle=False),
    Shape(256, 4, 1024, 1 << 19, 100_000, {LOOP: 25, SGD: 20}),
)


def run(*, rows: int | None = None, rounds: int = 7, read_bytes: int = limits.GIB) -> list[Result]:
    """A result a shape; ``rows`` in place of the shapes' own for a trial."""
    shapes = [s if rows is None else replace(s, rows=rows, loop_rows=min(rows, s.loop_rows)) for s in SHAPES]
    memory = limits.memory(read_bytes)
    with one_torch_thread():
        return [_measure(shape, memory, rounds) for shape in shapes if _ours(shape) is not None]


def _measure(shape: Shape, memory: limits.Words, rounds: int) -> Result:
    busy, problem = load(), _problem(shape, shape.rows)
    _check_the_loop(shape)
    linear = peer("sklearn.linear_model")
    if linear is not None:
        _check_sgd(shape, problem, linear)
    measured = in_turn(_contenders(shape, problem, memory, linear), rounds)
    return more_is_better(str(shape), "M rows/s", measured, shape.target, note=_note(shape, measured, rounds, busy))


def _contenders(
    shape: Shape, problem: Problem, memory: limits.Words, linear: Any
) -> dict[str, Callable[[], tuple[float, ...]]]:
    trainer = _ours(shape)
    assert trainer is not None
    state = trainer.step(problem, trainer.init(problem))  # one warm epoch: compiled, pages touched
    row_bytes = 4 * (shape.features + shape.targets)
    out = {
        "ours": lambda: _speed(shape.rows, lambda: trainer.step(problem, state)),
        LOOP: lambda: _speed(shape.loop_rows, lambda: _loop(shape, problem)),
        READ: lambda: (1000 * (bandwidth := limits.read_bandwidth(memory)) / row_bytes, bandwidth),
    }
    if linear is not None:
        columns = [c.contiguous().numpy() for c in problem.rows()[1].T]
        out[SGD] = lambda: _speed(shape.rows, lambda: [_sgd(shape, problem, y_N, linear) for y_N in columns])
    return out


def _speed(rows: int, work: Callable[[], object]) -> tuple[float, ...]:
    """Millions of rows a second; a second number keeps the place of the limit's gigabytes a second."""
    (elapsed,) = seconds(work)
    return rows / elapsed / 1e6, 0.0


def _ours(shape: Shape) -> Trainer | None:
    """The trainer; None where it cannot walk the rows in order. The one place that knows how it is told to."""
    config = TrainConfig(trainer=NAME, batch_size=shape.batch_size, learning_rate=shape.learning_rate)
    trainer: Any = choose(config)[0]
    if any(f.name == "shuffle" for f in fields(trainer)):
        trainer = replace(trainer, shuffle=shape.shuffle)
    elif not shape.shuffle:
        return None
    ours: Trainer = trainer
    return ours


def _loop(shape: Shape, problem: Problem) -> None:
    """An epoch as the tutorial's readers run it."""
    x_NF, y_NO = (t[: shape.loop_rows] for t in problem.rows())
    model = nn.Linear(shape.features, shape.targets)
    loader = DataLoader(TensorDataset(x_NF, y_NO), batch_size=shape.batch_size, shuffle=shape.shuffle)
    fit(1, model, mse_loss, torch.optim.SGD(model.parameters(), lr=shape.learning_rate), loader)


def _sgd(shape: Shape, problem: Problem, y_N: np.ndarray, linear: Any, *, epochs: int = 1, **start: np.ndarray) -> Any:
    """One target, with nothing switched on that ours does not do."""
    settings = {"max_iter": epochs, "tol": None, "penalty": None, "learning_rate": "constant", "eta0": shape.eta}
    model = linear.SGDRegressor(shuffle=shape.shuffle, random_state=0, **settings)
    return model.fit(problem.rows()[0].numpy(), y_N, **start)


def _problem(shape: Shape, n: int) -> Problem:
    x_NF, y_NO = data.arrays(n, shape.features, shape.targets)
    names = data.names(shape.features, shape.targets)
    leaves = (np.hstack([x_NF[i : i + LEAF], y_NO[i : i + LEAF]]).astype(np.float64) for i in range(0, n, LEAF))
    objective = Objective.of(Moments.of(leaves, *names))
    tensors = torch.from_numpy(x_NF), torch.from_numpy(y_NO)
    return Problem(objective, *tensors, seed=0, dtype=torch.float32, device=torch.device("cpu"))


def _check_the_loop(shape: Shape) -> None:
    """The tutorial's fit, given our start and our batches, comes to our parameters, to float32's rounding."""
    problem, trainer = _problem(shape, 20 * shape.batch_size + shape.batch_size // 2), _ours(shape)
    assert trainer is not None
    ours = trainer.theta(problem, trainer.step(problem, trainer.init(problem)))
    np.testing.assert_allclose(ours, _tutorial(shape, problem), rtol=2e-5, atol=2e-5)


def _tutorial(shape: Shape, problem: Problem) -> Float:
    model = nn.Linear(shape.features, shape.targets)
    model.load_state_dict(dict(zip(("weight", "bias"), problem.start(), strict=True)))
    n = len(problem.rows()[0])
    order: Any = list(batches(n, shape.batch_size, seed=problem.seed, epoch=1))
    order = order if shape.shuffle else torch.arange(n).split(shape.batch_size)
    loader = DataLoader(TensorDataset(*problem.rows()), sampler=order, batch_size=None)
    fit(1, model, mse_loss, torch.optim.SGD(model.parameters(), lr=shape.learning_rate), loader)
    return stack(model.weight, model.bias)


def _check_sgd(shape: Shape, problem: Problem, linear: Any) -> None:
    """From one start, SGDRegressor and we come to the same loss, within the margin; one epoch does at full size."""
    trainer = _ours(shape)
    assert trainer is not None
    state: State = trainer.init(problem)
    epochs = math.ceil(10 / (shape.eta * shape.rows))  # until the start is forgotten but for exp(-10)
    for _ in range(epochs):
        state = trainer.step(problem, state)
    theirs = np.empty((shape.features + 1, shape.targets))
    weight_OF, bias_O = (t.numpy() for t in problem.start())
    for j, y_N in enumerate(problem.rows()[1].T):
        start = {"coef_init": weight_OF[j].copy(), "intercept_init": bias_O[j : j + 1].copy()}
        model = _sgd(shape, problem, y_N.contiguous().numpy(), linear, epochs=epochs, **start)
        theirs[:, j] = np.concatenate([model.intercept_, model.coef_])
    loss = problem.objective.loss
    np.testing.assert_allclose(loss(trainer.theta(problem, state)), loss(theirs), rtol=MARGIN)


def _note(shape: Shape, measured: Measured, rounds: int, busy: str) -> str:
    bandwidth = float(np.median([m[1] for m in measured[READ]]))
    stand_in = "" if NAME == "fused" else " (in place of fused, which is not there yet; none walks the rows in order)"
    return (
        f"an epoch of trainer {NAME}{stand_in}, {shape.rows:,} rows in float32, rate {shape.learning_rate:.3g}, after "
        f"a warm epoch; all on one thread; the loop on {shape.loop_rows:,} of the rows, its parameters equal to ours "
        f"given the same batches; SGDRegressor (batches of 1, one fit a target, eta0 {shape.eta:.3g}) reaches the same "
        f"loss within {MARGIN:.0%}; the limit reads features and targets once at {bandwidth:.1f} GB/s; medians of "
        f"{rounds} taken in turn; {busy}{without(SGDRegressor=peer('sklearn.linear_model'))}"
    )


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """What suits the loop best, and what the others have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
