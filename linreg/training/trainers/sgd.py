"""What the trainers that walk the rows have in common: hyperparameters, start and parameters."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from linreg.training.descent import Descent
from linreg.training.trainers.contract import Problem, State, stack


@dataclass(frozen=True)
class Sgd(Descent):
    """Stochastic gradient descent, full or mini-batch, with the hyperparameters of ``torch.optim.SGD``.

    Args:
        batch_size: rows a step; 0: the whole set.
        shuffle: whether each epoch has an order of its own.
        weight_decay: of the weights alone.
    """

    batch_size: int = 0
    shuffle: bool = True
    weight_decay: float = 0.0

    needs_rows: ClassVar[bool] = True
    mini_batches: ClassVar[bool] = True
    takes_l1: ClassVar[bool] = False
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda", "mps")
    uses_gpu_by_default: ClassVar[bool] = True

    def init(self, problem: Problem) -> State:
        """The start, the same as every other trainer's; velocities begin with the first gradient."""
        weight, bias = (t.to(problem.device) for t in problem.start())
        return {"weight": weight, "bias": bias, "epoch": torch.tensor(0)}

    def theta(self, problem: Problem, state: State) -> npt.NDArray[np.float64]:  # noqa: ARG002 - the contract's signature
        """The parameters as they are."""
        return stack(state["weight"], state["bias"])
