"""The contenders of ``minibatch``: an epoch of our trainer, of the tutorial's loop, of scikit-learn's SGDRegressor.

``same_loop`` and ``same_loss`` check that they compute the same thing. Nothing is timed here.

Shapes: N rows, F features, O targets, D = F + 1.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

from bench import data
from bench.data import Array
from linreg.config import TrainConfig
from linreg.least_squares.objective import Objective
from linreg.metrics import Float
from linreg.moments.moments import Moments
from linreg.rows.batches import batches
from linreg.rows.rows import LEAF
from linreg.training.choose import Problem, State, Trainer, choose
from linreg.training.trainers.contract import stack
from linreg.training.trainers.fused import Fused
from linreg.tutorial import fit

NAME = "fused"
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


def ours(shape: Shape) -> Trainer:
    """The trainer."""
    options: dict[str, Any] = {"batch_size": shape.batch_size, "shuffle": shape.shuffle}
    return choose(TrainConfig(trainer=NAME, learning_rate=shape.learning_rate, **options))[0]


def loop(shape: Shape, problem: Problem) -> None:
    """An epoch as the tutorial's readers run it."""
    x_NF, y_NO = (t[: shape.loop_rows] for t in problem.rows())
    model = nn.Linear(shape.features, shape.targets)
    loader = DataLoader(TensorDataset(x_NF, y_NO), batch_size=shape.batch_size, shuffle=shape.shuffle)
    fit(1, model, mse_loss, torch.optim.SGD(model.parameters(), lr=shape.learning_rate), loader)


def sgd(shape: Shape, problem: Problem, y_N: Array, linear: Any, *, epochs: int = 1, **start: Array) -> Any:
    """One target, with nothing switched on that ours does not do; ``linear`` is ``sklearn.linear_model``."""
    settings = {"max_iter": epochs, "tol": None, "penalty": None, "learning_rate": "constant", "eta0": shape.eta}
    model = linear.SGDRegressor(shuffle=shape.shuffle, random_state=0, **settings)
    return model.fit(problem.rows()[0].numpy(), y_N, **start)


def prepared(shape: Shape, n: int) -> Problem:
    """So many rows as a trainer takes them."""
    x_NF, y_NO = data.arrays(n, shape.features, shape.targets)
    names = data.names(shape.features, shape.targets)
    leaves = (np.hstack([x_NF[i : i + LEAF], y_NO[i : i + LEAF]]).astype(np.float64) for i in range(0, n, LEAF))
    objective = Objective.of(Moments.of(leaves, *names))
    tensors = torch.from_numpy(x_NF), torch.from_numpy(y_NO)
    return Problem(objective, *tensors, seed=0, dtype=torch.float32, device=torch.device("cpu"))


def same_loop(shape: Shape, trainer: Trainer) -> None:
    """The tutorial's fit, given our start and our batches, comes to our parameters, to float32's rounding."""
    problem = prepared(shape, 20 * shape.batch_size + shape.batch_size // 2)
    timed = replace(trainer, epochs=10**9) if isinstance(trainer, Fused) else trainer  # the kernel of long trainings
    theta_DO = timed.theta(problem, timed.step(problem, timed.init(problem)))
    np.testing.assert_allclose(theta_DO, _tutorial(shape, problem), rtol=2e-5, atol=2e-5)


def _tutorial(shape: Shape, problem: Problem) -> Float:
    model = nn.Linear(shape.features, shape.targets)
    model.load_state_dict(dict(zip(("weight", "bias"), problem.start(), strict=True)))
    n = len(problem.rows()[0])
    order: Any = list(batches(n, shape.batch_size, seed=problem.seed, epoch=1))
    order = order if shape.shuffle else torch.arange(n).split(shape.batch_size)
    loader = DataLoader(TensorDataset(*problem.rows()), sampler=order, batch_size=None)
    fit(1, model, mse_loss, torch.optim.SGD(model.parameters(), lr=shape.learning_rate), loader)
    return stack(model.weight, model.bias)


def same_loss(shape: Shape, trainer: Trainer, problem: Problem, linear: Any) -> None:
    """From one start, SGDRegressor and we come to the same loss, within the margin; one epoch does at full size."""
    state: State = trainer.init(problem)
    epochs = math.ceil(10 / (shape.eta * shape.rows))  # until the start is forgotten but for exp(-10)
    for _ in range(epochs):
        state = trainer.step(problem, state)
    theirs = np.empty((shape.features + 1, shape.targets))
    weight_OF, bias_O = (t.numpy() for t in problem.start())
    for j, y_N in enumerate(problem.rows()[1].T):
        start = {"coef_init": weight_OF[j].copy(), "intercept_init": bias_O[j : j + 1].copy()}
        model = sgd(shape, problem, y_N.contiguous().numpy(), linear, epochs=epochs, **start)
        theirs[:, j] = np.concatenate([model.intercept_, model.coef_])
    loss = problem.objective.loss
    np.testing.assert_allclose(loss(trainer.theta(problem, state)), loss(theirs), rtol=MARGIN)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """What suits the loop best, and what the others have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
