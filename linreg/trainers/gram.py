"""Full-batch descent from moments: the same updates in the Hessian's eigenbasis, whatever the number of rows.

With ``u = V' theta`` and the gradient ``eigenvalues * u - slope``, every update of the tutorial's loop is an
elementwise one on D x O numbers. It needs no rows.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from linreg.trainers.contract import Problem, State, stack

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Gram:
    """Exact full-batch gradient descent in float64; weight decay is part of the objective."""

    learning_rate: float
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False

    name: ClassVar[str] = "gram"
    needs_rows: ClassVar[bool] = False
    mini_batches: ClassVar[bool] = False
    iterates: ClassVar[bool] = True

    def init(self, problem: Problem) -> State:
        """The seeded start, turned into the eigenbasis, and the two vectors that every update needs."""
        objective = problem.objective
        u = objective.basis_DD.T @ stack(*problem.start())
        fixed = {"eigenvalues": objective.eigenvalues_D[:, None], "slope": objective.slope_DO}
        return {k: torch.from_numpy(v) for k, v in {"u": u, **fixed}.items()}

    def step(self, problem: Problem, state: State) -> State:  # noqa: ARG002 - the contract's signature
        """One update of all D x O coordinates."""
        u, eigenvalues, slope = (state[k].numpy() for k in ("u", "eigenvalues", "slope"))
        gradient = eigenvalues * u - slope
        if not self.momentum:
            return {**state, "u": torch.from_numpy(u - self.learning_rate * gradient)}
        old = state.get("velocity")
        v = gradient if old is None else self.momentum * old.numpy() + (1 - self.dampening) * gradient
        direction = gradient + self.momentum * v if self.nesterov else v
        return {**state, "u": torch.from_numpy(u - self.learning_rate * direction), "velocity": torch.from_numpy(v)}

    def theta(self, problem: Problem, state: State) -> Float:
        """Back from the eigenbasis."""
        return np.asarray(problem.objective.basis_DD @ state["u"].numpy())
