"""The order in which mini-batch descent walks the rows: the same for every trainer, decided by seed and epoch alone.

The numbers come from our own integer generator (SplitMix64 of seed, epoch and row), so that they are the same on every
machine and with every version of numpy and torch, and an epoch needs none of the epochs before it.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from linreg.hashing import splitmix64


def epoch_order(rows: int, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """A permutation of ``range(rows)``: row i stands where its random word ranks."""
    stream = splitmix64(splitmix64(np.array([seed], dtype=np.uint64)) ^ np.uint64(epoch))
    return np.argsort(splitmix64(np.arange(rows, dtype=np.uint64) ^ stream), kind="stable")


def batches(rows: int, batch_size: int, *, seed: int, epoch: int) -> Iterator[torch.Tensor | slice]:
    """What selects each batch of one epoch: all rows in order for a full batch, else a shuffled index of rows.

    The last batch is the smaller one where ``batch_size`` does not divide ``rows``.
    """
    if batch_size == 0 or batch_size >= rows:
        yield slice(None)
        return
    yield from torch.from_numpy(epoch_order(rows, seed=seed, epoch=epoch)).split(batch_size)
