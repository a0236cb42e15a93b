"""The order in which mini-batch descent walks the rows: the same for every trainer, decided by seed and epoch alone.

Two steps, so that a shuffled epoch costs hardly more than one in order. Once, when rows become tensors, each gets a
random place among all of them (``place``): whatever order they came in is gone. Then every epoch shuffles whole blocks
of neighbours, and the rows inside each (``epoch_order``), which a cache holds.

Both are our own integer arithmetic (SplitMix64 of seed, epoch and row), so they are the same on every machine and with
every version of numpy and torch, and an epoch needs none of the epochs before it.

Shapes: N rows, C blocks of S rows, the last one with the T rows that are left, if any.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from linreg.rows.splitmix import splitmix64

if TYPE_CHECKING:
    import torch

BLOCK, LARGEST_BLOCK = 1024, 65_536  # rows; a batch is to be a small part of its block
Index = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Blocks:
    """How one epoch walks the rows.

    Args:
        size: S, rows of a whole block; a power of two.
        order_C: the blocks in the order of the epoch.
        keys_C3: odd numbers that say how each whole block is shuffled.
        tail_T: where each row of the last block goes, if that one is not whole.
    """

    size: int
    order_C: Index
    keys_C3: Words
    tail_T: Words


def block_rows(batch_size: int) -> int:
    """S for batches of that many rows: room for four of them."""
    return min(max(BLOCK, 1 << (4 * batch_size - 1).bit_length()), LARGEST_BLOCK)


def epoch_blocks(rows: int, batch_size: int, *, seed: int, epoch: int) -> Blocks:
    """How an epoch walks ``rows`` rows in batches of ``batch_size``."""
    size = block_rows(batch_size)
    stream = splitmix64(splitmix64(np.array([seed], dtype=np.uint64)) ^ np.uint64(epoch))
    count = -(-rows // size)
    words_C3 = splitmix64(np.arange(3 * count, dtype=np.uint64) ^ ~stream).reshape(count, 3)
    keys = words_C3.astype(np.uint32) | np.uint32(1)
    tail = _tail(rows % size, keys[-1], stream) if rows % size else np.empty(0, np.uint32)
    return Blocks(size, np.argsort(words_C3[:, 0] >> np.uint64(32), kind="stable"), keys, tail)


def epoch_order(rows: int, batch_size: int, *, seed: int, epoch: int) -> Index:
    """A permutation of ``range(rows)``: the rows in the order of the epoch."""
    blocks = epoch_blocks(rows, batch_size, seed=seed, epoch=epoch)
    full, size = rows // blocks.size, blocks.size
    order_CS = np.empty((full, size), np.int64)
    place_CS = scrambled(np.arange(size, dtype=np.uint32), blocks.keys_C3[:full, :, None], size)
    rows_CS = np.arange(full * size).reshape(full, size)
    np.put_along_axis(order_CS, place_CS.astype(np.int64), rows_CS, axis=1)
    tail = np.empty(len(blocks.tail_T), np.int64)
    tail[blocks.tail_T] = np.arange(full * size, rows)
    return np.concatenate([tail if c == full else order_CS[c] for c in blocks.order_C])


def scrambled(word: Words, keys: Words, size: int) -> Words:
    """A permutation of ``range(size)`` at ``word``: three odd multiplications with the upper half folded in between.

    Args:
        keys: three odd numbers a permutation; the second last axis.
        size: a power of two.
    """
    mask, half = np.uint32(size - 1), np.uint32(((size - 1).bit_length() + 1) // 2)
    a, b, c = (keys[..., i, :] for i in range(3))
    word = (word * a + b) & mask
    word = ((word ^ (word >> half)) * b + c) & mask
    return np.asarray(((word ^ (word >> half)) * c + a) & mask)


def batches(
    rows: int, batch_size: int, *, seed: int, epoch: int, shuffle: bool = True
) -> "Iterator[torch.Tensor | slice]":
    """What selects each batch of one epoch: all rows in order for a full batch, else a shuffled index of rows.

    The last batch is the smaller one where ``batch_size`` does not divide ``rows``.
    """
    if batch_size == 0 or batch_size >= rows:
        yield slice(None)
    elif shuffle:
        import torch

        yield from torch.from_numpy(epoch_order(rows, batch_size, seed=seed, epoch=epoch)).split(batch_size)
    else:
        yield from (slice(start, start + batch_size) for start in range(0, rows, batch_size))


def mixes(rows: int, batch_size: int) -> bool:
    """Whether rows need a random place first: where they fill more than a block."""
    return 0 < batch_size < rows and rows > block_rows(batch_size)


def place(start: int, stop: int, rows: int) -> Index:
    """The random places of rows ``start`` to ``stop`` among all ``rows``, int64 of shape (stop - start,).

    One permutation for every seed, so that rows once in place serve all of them.
    """
    word = _scattered(np.arange(start, stop, dtype=np.uint64), rows)
    while (outside := np.flatnonzero(word >= rows)).size:
        word[outside] = _scattered(word[outside], rows)
    return word.astype(np.int64)


def _scattered(word: npt.NDArray[np.uint64], rows: int) -> npt.NDArray[np.uint64]:
    """A permutation of the smallest power of two that is not below ``rows``, at ``word``."""
    bits = max((rows - 1).bit_length(), 2)
    mask, half = np.uint64((1 << bits) - 1), np.uint64((bits + 1) // 2)
    for key in splitmix64(np.arange(4, dtype=np.uint64)):
        word = (word * (key | np.uint64(1)) + (key >> np.uint64(32))) & mask
        word = word ^ (word >> half)
    return np.asarray(word)


def _tail(rows: int, keys: Words, stream: npt.NDArray[np.uint64]) -> Words:
    """Where each row of a block that is not whole goes: by rank, of a random word or of its place in a whole one."""
    if rows <= BLOCK:
        rank = splitmix64(np.arange(rows, dtype=np.uint64) ^ stream)
    else:
        rank = scrambled(np.arange(rows, dtype=np.uint32), keys[:, None], 1 << (rows - 1).bit_length()).astype(
            np.uint64
        )
    out = np.empty(rows, np.uint32)
    out[np.argsort(rank, kind="stable")] = np.arange(rows, dtype=np.uint32)
    return out
