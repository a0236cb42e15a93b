"""What every trainer is: a frozen record of its hyperparameters that owns one epoch, state in and state out.

    init(problem) -> state                the seeded start, everything the next epoch needs
    step(problem, state) -> state         one epoch; the state handed in is left as it was
    theta(problem, state) -> theta_DO     the parameters as float64, bias first, in the trained coordinates

The state is a dict of tensors and nothing else, so that it can be saved and taken up again. The loop, the history and
every reason to stop are in ``linreg.training``; no trainer knows another.

Shapes: N rows, F features, O targets, D = F + 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch

from linreg.least_squares.objective import Objective
from linreg.metrics import Float
from linreg.moments.moments import Moments

State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Problem:
    """One data set, ready to train on.

    Args:
        objective: the loss, from the record of the rows.
        x_NF, y_NO: the rows in the trained coordinates, on the device; None for trainers that need no rows.
        seed: of the starting parameters and of the batch order.
        dtype, device: of the trained tensors.
        weight_N: how much each row counts, 1 on average; None where all count the same.
        warm_DO: the parameters to start from, bias first; None for the seeded ones.
    """

    objective: Objective
    x_NF: torch.Tensor | None
    y_NO: torch.Tensor | None
    seed: int
    dtype: torch.dtype
    device: torch.device
    weight_N: torch.Tensor | None = None
    warm_DO: Float | None = None

    def rows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows; only for trainers with ``needs_rows``."""
        assert self.x_NF is not None
        assert self.y_NO is not None
        return self.x_NF, self.y_NO

    def start(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The start, ``weight_OF`` and ``bias_O``, on the CPU."""
        if self.warm_DO is None:
            return seeded_start(self.objective.moments, self.seed, self.dtype)
        warm = torch.from_numpy(self.warm_DO).to(self.dtype)
        return warm[1:].T.contiguous(), warm[0].clone()


def seeded_start(moments: Moments, seed: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Standard normal ``weight_OF`` and ``bias_O``, the same for every trainer; 0 for a bias that there is not.

    Drawn in float32 as the tutorial does, then cast, so that both dtypes start at the same point.
    """
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn((len(moments.targets), len(moments.features)), generator=generator)
    bias = torch.randn(len(moments.targets), generator=generator) * float(moments.intercept)
    return weight.to(dtype), bias.to(dtype)


class Trainer(Protocol):
    """A way to find the parameters. See the module for the contract.

    ``devices``: the types of devices that it runs on; ``uses_gpu_by_default``: whether ``train.device = "auto"`` means
    the first GPU there is.
    """

    name: ClassVar[str]
    needs_rows: ClassVar[bool]
    mini_batches: ClassVar[bool]
    iterates: ClassVar[bool]
    takes_l1: ClassVar[bool]
    devices: ClassVar[tuple[str, ...]]
    uses_gpu_by_default: ClassVar[bool]

    def init(self, problem: Problem) -> State:
        """The state before the first epoch."""

    def step(self, problem: Problem, state: State) -> State:
        """The state one epoch later."""

    def theta(self, problem: Problem, state: State) -> Float:
        """The parameters of a state, float64 of shape (D, O), bias first."""


def stack(weight_OF: torch.Tensor, bias_O: torch.Tensor) -> Float:
    """``theta_DO`` of a weight and a bias: a copy, so that a later step does not reach into it."""
    w, b = (t.detach().to("cpu", torch.float64).numpy() for t in (weight_OF, bias_O))
    return np.vstack([b, w.T])
