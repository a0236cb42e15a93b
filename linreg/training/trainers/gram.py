"""Full-batch descent from moments: the same updates in the Hessian's eigenbasis, whatever the number of rows.

With ``u = V' theta`` and the gradient ``eigenvalues * u - slope``, every update of the tutorial's loop is an
elementwise one on D x O numbers. With an L1 penalty it is proximal gradient descent: after each update the weights are
drawn towards zero by ``rate * l1``, and stay there once they reach it. It needs no rows.

Source of the proximal step: Daubechies, Defrise and De Mol 2004; Beck and Teboulle 2009 (ISTA).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from linreg.training.trainers.contract import Problem, State, stack
from linreg.training.trainers.descent import Descent

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Gram(Descent):
    """Exact full-batch gradient descent in float64; weight decay is part of the objective.

    Args:
        l1: the penalty on the absolute weights; without momentum.
    """

    l1: float = 0.0

    name: ClassVar[str] = "gram"
    needs_rows: ClassVar[bool] = False
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    uses_gpu_by_default: ClassVar[bool] = False
    mini_batches: ClassVar[bool] = False
    takes_l1: ClassVar[bool] = True

    def init(self, problem: Problem) -> State:
        """The start, turned into the eigenbasis, and the two vectors that every update needs."""
        objective = problem.objective
        theta = stack(*problem.start())
        fixed = {"eigenvalues": objective.eigenvalues_D[:, None], "slope": objective.slope_DO}
        # a penalty acts on the weights themselves, and what it has made zero must stay zero to the bit
        own = {"theta": theta} if self.l1 else {"u": objective.basis_DD.T @ theta}
        return {"epoch": torch.tensor(0), **{k: torch.from_numpy(v) for k, v in {**own, **fixed}.items()}}

    def step(self, problem: Problem, state: State) -> State:
        """One update of all D x O coordinates."""
        epoch = int(state["epoch"]) + 1
        move = self._shrunk if self.l1 else self._moved
        changed = move(problem, {k: v.numpy() for k, v in state.items()}, self.rate(epoch))
        return {**state, "epoch": torch.tensor(epoch), **{k: torch.from_numpy(v) for k, v in changed.items()}}

    def _moved(self, problem: Problem, state: dict[str, Float], rate: float) -> dict[str, Float]:  # noqa: ARG002 - as _shrunk
        """The update of ``torch.optim.SGD``, each coordinate by itself."""
        u, old = state["u"], state.get("velocity")
        gradient = state["eigenvalues"] * u - state["slope"]
        if not self.momentum:
            return {"u": u - rate * gradient}
        v = gradient if old is None else self.momentum * old + (1 - self.dampening) * gradient
        direction = gradient + self.momentum * v if self.nesterov else v
        return {"u": u - rate * direction, "velocity": v}

    def _shrunk(self, problem: Problem, state: dict[str, Float], rate: float) -> dict[str, Float]:
        """A plain update, then every weight ``rate * l1`` nearer to zero, or there; the bias as it is."""
        basis_DD, theta = problem.objective.basis_DD, state["theta"]
        moved = theta - rate * (basis_DD @ (state["eigenvalues"] * (basis_DD.T @ theta) - state["slope"]))
        moved[1:] = np.sign(moved[1:]) * np.maximum(np.abs(moved[1:]) - rate * self.l1, 0.0)
        return {"theta": moved}

    def theta(self, problem: Problem, state: State) -> Float:
        """Back from the eigenbasis."""
        if self.l1:
            return np.asarray(state["theta"].numpy().copy())
        return np.asarray(problem.objective.basis_DD @ state["u"].numpy())
