"""No descent: the optimum of the trained loss, from moments. The reference that all other trainers are measured by."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from linreg.training.trainers.contract import Problem, State


@dataclass(frozen=True)
class Exact:
    """Least squares, ridge with weight decay, lasso or elastic net with an L1 penalty, to float64's last digits."""

    name: ClassVar[str] = "exact"
    needs_rows: ClassVar[bool] = False
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    uses_gpu_by_default: ClassVar[bool] = False
    mini_batches: ClassVar[bool] = False
    iterates: ClassVar[bool] = False
    takes_l1: ClassVar[bool] = True

    def init(self, problem: Problem) -> State:
        """The optimum."""
        return {"theta": torch.from_numpy(problem.objective.optimum_DO.copy())}

    def step(self, problem: Problem, state: State) -> State:  # noqa: ARG002 - the contract's signature
        """Nothing is left to do."""
        return state

    def theta(self, problem: Problem, state: State) -> npt.NDArray[np.float64]:  # noqa: ARG002 - the contract's signature
        """The optimum."""
        return np.asarray(state["theta"].numpy().copy())
