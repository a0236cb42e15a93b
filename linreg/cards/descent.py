"""Epochs of gradient descent on a card, full or mini-batch: the updates of ``torch.optim.SGD`` on the usual batches.

    one program      all batches of an epoch, where a batch is one tile of a kernel (``steps.walk``)
    parts            a batch, or all rows, on many programs (``steps.part``, ``steps.finish``); many batches by a
                     recorded graph that is replayed
    torch            its own operations, for more parameters than the kernels take, or without Triton (``gathered``)

The way hangs on the shape alone, and every sum has a fixed order, so a seed gives the same bits every time on the same
type of card.

Shapes: N rows, F features, O targets, D = 1 + F, B rows a batch, G programs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch

from linreg.batches import Blocks
from linreg.cards import gathered, has_triton, on, order
from linreg.cards.graph import replayed

AT_ONCE = 64  # batches of a recorded graph

State = Mapping[str, torch.Tensor]


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


def epoch(rows: Rows, blocks: Blocks | None, batch: int, how: How, state: State) -> dict[str, torch.Tensor]:
    """The state one epoch later: ``weight``, ``bias`` and, with momentum, their velocities.

    Args:
        blocks: the epoch's order; None: the rows as they stand.
        batch: rows a step, at most N.
    """
    x, y = rows.x_NF, rows.y_NO
    block = blocks.size if blocks else 0
    options = (rows.weight_N is not None, how.momentum > 0, how.nesterov)
    shape = Shape(len(x), x.shape[1], y.shape[1], batch, block, *options, x.dtype, x.device)
    with on(x.device):
        if not kernels(shape):
            return gathered.epoch(rows, blocks, batch, how, state)
        theta, velocity, first = _packed(state)
        begun = order.of(blocks, len(x)) if blocks else order.none(len(x), x.device)
        run = _walked if _one_program(shape) else _in_parts
        theta, velocity = run(shape, rows, begun, how, (theta, velocity), first)
        return _unpacked(theta, velocity if how.momentum else None)


def kernels(shape: Shape) -> bool:
    """Whether Triton's kernels take it."""
    if not has_triton():
        return False
    from linreg.cards import steps

    return steps.fits(shape.features, shape.targets)


def _one_program(shape: Shape) -> bool:
    from linreg.cards import steps

    return steps.is_a_tile(shape.features, shape.targets, shape.batch)


def _packed(state: State) -> tuple[torch.Tensor, torch.Tensor, bool]:
    """``theta_OD``, ``velocity_OD`` (zeros where there is none yet), and whether there is none."""
    theta = torch.cat([state["bias"][:, None], state["weight"]], 1)
    if "weight_velocity" not in state:
        return theta, torch.zeros_like(theta), True
    return theta, torch.cat([state["bias_velocity"][:, None], state["weight_velocity"]], 1), False


def _unpacked(theta: torch.Tensor, velocity: torch.Tensor | None) -> dict[str, torch.Tensor]:
    out = {"weight": theta[:, 1:].contiguous(), "bias": theta[:, 0].clone()}
    if velocity is not None:
        out |= {"weight_velocity": velocity[:, 1:].contiguous(), "bias_velocity": velocity[:, 0].clone()}
    return out


Both = tuple[torch.Tensor, torch.Tensor]


def _sent(numbers: Sequence[float], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Numbers on a device; on a card without waiting for it, so that the next epoch is asked for meanwhile."""
    pinned = torch.tensor(numbers, dtype=dtype, pin_memory=device.type == "cuda")
    return pinned.to(device, non_blocking=True)


def _constants(shape: Shape) -> dict[str, Any]:
    bits = max(shape.block - 1, 1).bit_length()
    return {"BITS": bits, "SHUFFLED": shape.block > 0, "WEIGHTED": shape.weighted}


def _walked(shape: Shape, rows: Rows, begun: order.Order, how: How, both: Both, first: bool) -> Both:
    """An epoch by one program."""
    from linreg.cards import steps

    numbers = _sent(how.numbers(), torch.float64, shape.device)
    w = rows.x_NF if rows.weight_N is None else rows.weight_N
    begun = begun.to(shape.device)
    steps.walk[(1,)](
        rows.x_NF, rows.y_NO, w, *begun[:3], *both, numbers, shape.rows, shape.batch, begun.start, begun.left,
        begun.whole, int(first), shape.features, shape.targets, **_constants(shape), MOMENTUM=shape.momentum,
        NESTEROV=shape.nesterov, **steps.tile(shape.features, shape.targets, shape.batch),
    )  # fmt: skip
    return both


def _in_parts(shape: Shape, rows: Rows, begun: order.Order, how: How, both: Both, first: bool) -> Both:
    """An epoch by many programs a batch."""
    if shape.batches == 1:
        parts = Parts(shape, begun)
        parts.load(begun, how, both, first)
        parts.step(rows)
        return parts.theta, parts.velocity
    w = rows.weight_N
    parts = _kept(shape, (rows.x_NF.data_ptr(), rows.y_NO.data_ptr(), 0 if w is None else w.data_ptr()))
    return parts.epoch(rows, begun, how, both, first)


@lru_cache(maxsize=2)  # a graph knows addresses: while they are the same ones, whatever lies there is what it walks
def _kept(shape: Shape, _addresses: tuple[int, int, int]) -> "Parts":
    return Parts(shape, order.room(shape.rows, shape.block, shape.device))


class Parts:
    """The buffers of ``steps.part`` and ``steps.finish``, and the graph of many of them."""

    def __init__(self, shape: Shape, begun: order.Order) -> None:
        from linreg.cards import steps

        self.shape = shape
        self.programs, self.each = steps.spans(shape.features, shape.targets, shape.batch)
        room = (self.programs + 2, shape.targets, shape.features + 1)
        new = torch.zeros(room, dtype=shape.dtype, device=shape.device)
        self.theta, self.velocity, self.partial = new[0], new[1], new[2:]
        self.order = begun.to(shape.device)
        self.how = torch.zeros(4, dtype=torch.float64, device=shape.device)
        self.clock = torch.zeros(5, dtype=torch.int64, device=shape.device)  # no batches: a step does nothing
        self.replay: tuple[Callable[[], None], int] | None = None

    def load(self, begun: order.Order, how: How, both: Both, first: bool) -> None:
        """Put an epoch's beginning in place."""
        self.order.copy(begun)
        self.how.copy_(_sent(how.numbers(), torch.float64, self.shape.device))
        now = [0, 0, self.shape.batches, int(first), begun.start]
        self.clock.copy_(_sent(now, torch.int64, self.shape.device))
        self.theta.copy_(both[0])
        self.velocity.copy_(both[1])

    def step(self, rows: Rows) -> None:
        """The batch that the clock says."""
        from linreg.cards import steps

        s, w = self.shape, rows.x_NF if rows.weight_N is None else rows.weight_N
        sizes = (s.features, s.targets)
        steps.part[(self.programs,)](
            rows.x_NF, rows.y_NO, w, *self.order[:3], self.theta, self.partial, self.clock, s.rows, s.batch, self.each,
            self.order.left, self.order.whole, *sizes, **_constants(s), **steps.tile(*sizes, steps.tile_rows(*sizes)),
        )  # fmt: skip
        tile = steps.finish_tile(s.features, self.programs)
        steps.finish[(s.targets, -(-(s.features + 1) // tile["BD"]))](
            self.partial, self.theta, self.velocity, self.how, self.clock, s.rows, s.batch, self.programs, *sizes,
            MOMENTUM=s.momentum, NESTEROV=s.nesterov, **tile,
        )  # fmt: skip

    def _steps(self, rows: Rows, count: int) -> None:
        for _ in range(count):
            self.step(rows)

    def epoch(self, rows: Rows, begun: order.Order, how: How, both: Both, first: bool) -> Both:
        """All batches, so many at once; those of the graph that are beyond the last one do nothing."""
        if self.replay is None:
            count = min(AT_ONCE, self.shape.batches)
            self.replay = replayed(lambda: self._steps(rows, count), self.shape.device), count
        replay, count = self.replay
        self.load(begun, how, both, first)
        for _ in range(-(-self.shape.batches // count)):
            replay()
        return self.theta.clone(), self.velocity.clone()
