"""Full-batch descent from moments: the same updates in the Hessian's eigenbasis, whatever the number of rows.

It needs no rows. The updates are ``recurrence``'s; ``full_batch`` runs many epochs and models of it at once.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from linreg.metrics import Float
from linreg.training import recurrence
from linreg.training.trainers.contract import Problem, State, stack


@dataclass(frozen=True)
class Gram(recurrence.FullBatchDescent):
    """Exact full-batch gradient descent in float64; weight decay is part of the objective."""

    name: ClassVar[str] = "gram"
    needs_rows: ClassVar[bool] = False
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    uses_gpu_by_default: ClassVar[bool] = False
    mini_batches: ClassVar[bool] = False
    takes_l1: ClassVar[bool] = True

    def init(self, problem: Problem) -> State:
        """The start, turned into the eigenbasis."""
        return as_state(0, recurrence.begin(problem.objective, self, stack(*problem.start())))

    def step(self, problem: Problem, state: State) -> State:
        """One update of all D x O parameters."""
        done = int(state["epoch"])
        chunk = recurrence.walk([problem.objective], [self], [as_arrays(state)], done=done, epochs=1)
        return as_state(done + 1, chunk.state(0, 1))

    def theta(self, problem: Problem, state: State) -> Float:
        """Back from the eigenbasis."""
        return recurrence.parameters(problem.objective, as_arrays(state))


def as_arrays(state: State) -> recurrence.Arrays:
    """A state as ``recurrence`` takes it, its memory shared."""
    return {name: value.numpy() for name, value in state.items() if name != "epoch"}


def as_state(epoch: int, arrays: recurrence.Arrays) -> State:
    """The state of ``recurrence`` after so many epochs, its memory shared."""
    return {"epoch": torch.tensor(epoch), **{name: torch.from_numpy(value) for name, value in arrays.items()}}
