"""Epochs of gradient descent on a card, full or mini-batch: the updates of ``torch.optim.SGD`` on the usual batches.

    one program      all batches of an epoch, where a batch is one tile of a kernel (``steps.walk``)
    parts            a batch, or all rows, on many programs (``steps.part``, ``steps.finish``); many batches by a
                     recorded graph that is replayed
    torch            its own operations, for more parameters than the kernels take, or without Triton (``gathered``)

The way hangs on the shape alone, and every sum has a fixed order, so a seed gives the same bits every time on the same
type of card.

Shapes: N rows, F features, O targets, D = 1 + F, B rows a batch, G programs.
"""

from collections.abc import Mapping
from functools import lru_cache

import torch

from linreg.kernels.cuda import batch_order as order
from linreg.kernels.cuda import has_triton, on, tiles
from linreg.kernels.cuda import torch_epoch as gathered
from linreg.kernels.cuda.shapes import Both, How, Rows, Shape, constants, sent
from linreg.kernels.cuda.shared_batches import Parts
from linreg.rows.batches import Blocks

__all__ = ["How", "Rows", "Shape", "epoch"]

State = Mapping[str, torch.Tensor]


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
        one = tiles.is_a_tile(shape.features, shape.targets, shape.batch)
        run = _walked if one else _in_parts
        theta, velocity = run(shape, rows, begun, how, (theta, velocity), first)
        return _unpacked(theta, velocity if how.momentum else None)


def kernels(shape: Shape) -> bool:
    """Whether Triton's kernels take it."""
    return has_triton() and tiles.fits(shape.features, shape.targets)


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


def _walked(shape: Shape, rows: Rows, begun: order.Order, how: How, both: Both, first: bool) -> Both:
    """An epoch by one program."""
    from linreg.kernels.cuda import descent_kernels as steps

    numbers = sent(how.numbers(), torch.float64, shape.device)
    w = rows.x_NF if rows.weight_N is None else rows.weight_N
    begun = begun.to(shape.device)
    steps.walk[(1,)](
        rows.x_NF, rows.y_NO, w, *begun[:3], *both, numbers, shape.rows, shape.batch, begun.start, begun.left,
        begun.whole, int(first), shape.features, shape.targets, **constants(shape), MOMENTUM=shape.momentum,
        NESTEROV=shape.nesterov, **tiles.tile(shape.features, shape.targets, shape.batch),
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
def _kept(shape: Shape, _addresses: tuple[int, int, int]) -> Parts:
    return Parts(shape, order.room(shape.rows, shape.block, shape.device))
