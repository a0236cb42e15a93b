"""One epoch of full or mini-batch descent by torch's own operations, on any device.

``fused`` takes it where no compiled loop serves: on a CUDA device, and on the CPU in trainings too short for a compiler
to pay. The gradient is in closed form and a batch's rows are gathered by their numbers. On a CUDA device an epoch of
many batches records its step once, as a CUDA graph, so that no Python runs between the kernels of the others.

Shapes: N rows, F features, O targets, B rows a batch.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch

from linreg.rows.batches import epoch_order
from linreg.training.trainers.contract import Problem, State
from linreg.training.trainers.sgd import Sgd

RECORDED = {"cuda": 100}  # batches of an epoch from which its step is recorded, by type of device; not measured yet


def torch_epoch(trainer: Sgd, problem: Problem, state: State) -> State:
    """The state one epoch later; the same bits every time, for any number of threads."""
    rows, epoch = len(problem.rows()[0]), int(state["epoch"]) + 1
    parameters = {name: value.clone() for name, value in state.items() if name != "epoch"}
    step = _Step(trainer, problem, trainer.rate(epoch), parameters)
    size = trainer.batch_size or rows
    with _one_thread():
        if size >= rows:
            step(None)
        else:
            _walk(step, _order(trainer, problem, epoch).to(problem.device), size)
    return {**parameters, "epoch": torch.tensor(epoch)}


def _order(trainer: Sgd, problem: Problem, epoch: int) -> torch.Tensor:
    """The numbers of the rows in the order of the epoch, on the CPU."""
    rows = len(problem.rows()[0])
    if not trainer.shuffle:
        return torch.arange(rows)
    return torch.from_numpy(epoch_order(rows, trainer.batch_size, seed=problem.seed, epoch=epoch))


def _walk(step: "_Step", order_N: torch.Tensor, size: int) -> None:
    """Every batch of an order: the first by itself, since it makes the velocities and loads what a graph may not."""
    first, *others = order_N.split(size)
    step(first)
    recorded = len(others) >= RECORDED.get(order_N.device.type, math.inf)
    full_step = _recorded(step, first) if recorded else step
    for rows_B in others:
        (full_step if len(rows_B) == size else step)(rows_B)


@dataclass(frozen=True)
class _Step:
    """The update of ``torch.optim.SGD`` that a batch makes, in place."""

    trainer: Sgd
    problem: Problem
    rate: float
    parameters: dict[str, torch.Tensor]

    def __call__(self, rows_B: torch.Tensor | None) -> None:
        """Move the parameters by the batch of these rows, None: of all; the decay is of the weights alone."""
        x_BF, y_BO = (_picked(values, rows_B) for values in self.problem.rows())
        weight, bias = self.parameters["weight"], self.parameters["bias"]
        r_BO = torch.addmm(bias, x_BF, weight.T).sub_(y_BO).mul_(2 / y_BO.numel())
        if self.problem.weight_N is not None:
            r_BO *= _picked(self.problem.weight_N, rows_B)[:, None]
        decayed = torch.addmm(weight, r_BO.T, x_BF, beta=self.trainer.weight_decay)
        for name, gradient in (("weight", decayed), ("bias", r_BO.sum(0))):
            self.parameters[name].sub_(self._direction(name, gradient), alpha=self.rate)

    def _direction(self, name: str, gradient: torch.Tensor) -> torch.Tensor:
        """What the rate multiplies: the gradient, or the velocity that it feeds."""
        momentum, dampening = self.trainer.momentum, self.trainer.dampening
        if not momentum:
            return gradient
        velocity = self.parameters.get(f"{name}_velocity")
        if velocity is None:
            velocity = self.parameters[f"{name}_velocity"] = gradient.clone()
        else:
            velocity.mul_(momentum).add_(gradient, alpha=1 - dampening)
        return gradient.add(velocity, alpha=momentum) if self.trainer.nesterov else velocity


def _picked(values: torch.Tensor, rows_B: torch.Tensor | None) -> torch.Tensor:
    return values if rows_B is None else values.index_select(0, rows_B)


def _recorded(step: _Step, rows_B: torch.Tensor) -> Callable[[torch.Tensor], None]:
    """The step for as many rows as these, recorded: it reads their numbers from one place in memory."""
    place_B = rows_B.clone()
    replay = _captured(lambda: step(place_B), rows_B.device)

    def step_again(rows_B: torch.Tensor) -> None:
        place_B.copy_(rows_B)
        replay()

    return step_again


def _captured(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """The work as a CUDA graph; it is not done yet."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=_capture_stream(device)):
        work()
    return graph.replay


@cache  # a stream keeps a workspace of the matrix products for itself
def _capture_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread of torch on the CPU: the bits of its products must not hang on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
