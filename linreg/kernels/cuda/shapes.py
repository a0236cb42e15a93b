"""What an epoch on a card is of: its rows, its hyperparameters, and the shape that the way is chosen by.

Shapes: N rows, F features, O targets, B rows a batch, S rows of a block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

Both = tuple[torch.Tensor, torch.Tensor]  # parameters and velocities, (O, D) each


class Rows(NamedTuple):
    """The rows on the card, each one's numbers next to each other, and their weights: 1 on average; None: all 1."""

    x_NF: torch.Tensor
    y_NO: torch.Tensor
    weight_N: torch.Tensor | None = None


@dataclass(frozen=True)
class How:
    """The hyperparameters of an epoch, as ``torch.optim.SGD`` has them; the decay is of the weights alone."""

    rate: float
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    decay: float = 0.0

    def numbers(self) -> list[float]:
        """What changes from epoch to epoch, as kernels read it."""
        return [self.rate, self.momentum, 1 - self.dampening, self.decay]


class Shape(NamedTuple):
    """What a way is chosen by, and its buffers are made for.

    Args:
        batch: B; N for full batches.
        block: S, rows of a block; 0 where rows are walked in order.
    """

    rows: int
    features: int
    targets: int
    batch: int
    block: int
    weighted: bool
    momentum: bool
    nesterov: bool
    dtype: torch.dtype
    device: torch.device

    @property
    def batches(self) -> int:
        """How many an epoch has."""
        return -(-self.rows // self.batch)


def sent(numbers: Sequence[float], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Numbers on a device; on a card without waiting for it, so that the next epoch is asked for meanwhile."""
    pinned = torch.tensor(numbers, dtype=dtype, pin_memory=device.type == "cuda")
    return pinned.to(device, non_blocking=True)


def constants(shape: Shape) -> dict[str, Any]:
    """What the kernels of ``steps`` are compiled for, but for their tiles and the update."""
    bits = max(shape.block - 1, 1).bit_length()
    return {"BITS": bits, "SHUFFLED": shape.block > 0, "WEIGHTED": shape.weighted}
