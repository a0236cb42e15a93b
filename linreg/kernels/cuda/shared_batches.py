"""Batches that many programs share: the buffers of ``steps.part`` and ``steps.finish``, and a graph of many of them.

Shapes: F features, O targets, D = 1 + F, G programs. It needs Triton once a step is made.
"""

from collections.abc import Callable

import torch

from linreg.kernels.cuda import batch_order as order
from linreg.kernels.cuda import tiles
from linreg.kernels.cuda.graph import replayed
from linreg.kernels.cuda.shapes import Both, How, Rows, Shape, constants, sent

AT_ONCE = 64  # batches of a recorded graph


class Parts:
    """All that a way through the batches of one shape keeps."""

    def __init__(self, shape: Shape, begun: order.Order) -> None:
        self.shape = shape
        self.programs, self.each = tiles.spans(shape.features, shape.targets, shape.batch)
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
        self.how.copy_(sent(how.numbers(), torch.float64, self.shape.device))
        now = [0, 0, self.shape.batches, int(first), begun.start]
        self.clock.copy_(sent(now, torch.int64, self.shape.device))
        self.theta.copy_(both[0])
        self.velocity.copy_(both[1])

    def step(self, rows: Rows) -> None:
        """The batch that the clock says."""
        from linreg.kernels.cuda import descent_kernels as steps

        s, w = self.shape, rows.x_NF if rows.weight_N is None else rows.weight_N
        sizes = (s.features, s.targets)
        steps.part[(self.programs,)](
            rows.x_NF, rows.y_NO, w, *self.order[:3], self.theta, self.partial, self.clock, s.rows, s.batch, self.each,
            self.order.left, self.order.whole, *sizes, **constants(s), **tiles.tile(*sizes, tiles.tile_rows(*sizes)),
        )  # fmt: skip
        tile = tiles.finish_tile(s.features, self.programs)
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
