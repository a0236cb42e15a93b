"""Where the row lies that comes next: the batches of ``linreg.batches``, by integer arithmetic where they are used.

``linreg.batches`` says where a row goes; a card has to know which row stands at a place, so every step is undone:
an odd multiplication by its inverse modulo 2^32, folding in the upper half by folding it in again.

Shapes: N rows, C blocks of S rows, the last one with the T rows that are left, if any.
"""

from typing import NamedTuple

import numpy as np
import torch

from linreg.rows.batches import Blocks, Words


class Order(NamedTuple):
    """One epoch's order.

    Args:
        order_C: the blocks in the order of the epoch, int32.
        keys_C6: of each block a, b, c and their inverses: 32-bit words.
        tail_T: the row at each place of the block that is not whole, int32; one element where there is none.
        start: the place, in the epoch, of that block's first row; N where there is none.
        left, whole: T, and how many blocks are whole.
    """

    order_C: torch.Tensor
    keys_C6: torch.Tensor
    tail_T: torch.Tensor
    start: int
    left: int
    whole: int

    def to(self, device: torch.device) -> "Order":
        """The same on a device."""
        blocks, keys, tail = (t.to(device) for t in self[:3])
        return Order(blocks, keys, tail, *self[3:])

    def copy(self, other: "Order") -> None:
        """Take over the words of another epoch's order over the same rows; ``start`` is a number, and stays."""
        for mine, its in zip(self[:3], other[:3], strict=True):
            mine.copy_(its)


def of(blocks: Blocks, rows: int) -> Order:
    """The order of an epoch, on the CPU."""
    keys_C6 = np.hstack([blocks.keys_C3, inverse(blocks.keys_C3)])
    left, whole = len(blocks.tail_T), rows // blocks.size
    tail = np.zeros(max(1, left), np.int32)
    tail[blocks.tail_T] = np.arange(left, dtype=np.int32)
    start = int(np.flatnonzero(blocks.order_C == whole)[0]) * blocks.size if left else rows
    words = (blocks.order_C.astype(np.int32), keys_C6.view(np.int32), tail)
    order, keys, last = (torch.from_numpy(np.ascontiguousarray(a)) for a in words)
    return Order(order, keys, last, start, left, whole)


def none(rows: int, device: torch.device) -> Order:
    """What stands for an order where rows are walked as they stand: words that nobody reads."""
    word = torch.zeros(1, dtype=torch.int32, device=device)
    return Order(word, word, word, rows, 0, 0)


def room(rows: int, block: int, device: torch.device) -> Order:
    """Room for the order of any epoch, blocks of so many rows; 0: rows are walked as they stand."""
    if not block:
        return none(rows, device)
    count, left = -(-rows // block), rows % block
    shapes = ((count,), (count, 6), (max(1, left),))
    order, keys, tail = (torch.zeros(s, dtype=torch.int32, device=device) for s in shapes)
    return Order(order, keys, tail, rows, left, rows // block)


def inverse(odd: Words) -> Words:
    """The inverses of odd 32-bit words modulo 2^32; each step doubles the bits that are right, from three on."""
    found = odd.copy()
    for _ in range(4):
        found = found * (np.uint32(2) - odd * found)
    return found
