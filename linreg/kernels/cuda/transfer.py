"""Columns on their way to a card: from host memory through two pinned buffers, copied while the card computes.

While the card works on one chunk of leaves, the next one is on its way over the bus, and the one after that is being
written into the buffer that has become free. On the CPU, where tests run it, a chunk is handed on as it is.

Shapes: N rows, P columns; a chunk is z_PN, its columns one after the other, with room for more rows than it has.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from linreg.kernels.cuda.reduction import LEAF

CHUNK = 1 << 25  # bytes: long enough for the bus, short enough that two of them pinned cost little


class Leaf(NamedTuple):
    """Up to ``LEAF`` rows in host memory.

    Args:
        columns: P of them, float32 or float64.
        chosen_N: the numbers of the rows that count; None: all do.
        weight_N: their weights, float64; None: all 1.
    """

    columns: Sequence[npt.NDArray[Any]]
    chosen_N: npt.NDArray[Any] | None = None
    weight_N: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.columns[0]) if self.chosen_N is None else len(self.chosen_N)

    def column(self, p: int) -> npt.NDArray[Any]:
        """The rows of a column that count."""
        return self.columns[p] if self.chosen_N is None else self.columns[p][self.chosen_N]


class Chunk(NamedTuple):
    """Some leaves on the card; ``root_N`` are the square roots of the weights, None where all weigh 1."""

    z_PN: torch.Tensor
    root_N: torch.Tensor | None
    rows: int


@dataclass(frozen=True)
class Host:
    """Leaves in host memory, all of ``LEAF`` rows but the last.

    Args:
        read: gives leaf number i; called from one thread.
        leaves: how many there are.
        device: where they go.
    """

    read: Callable[[int], Leaf]
    leaves: int
    device: torch.device

    @property
    def rows(self) -> int:
        """Hardly fewer."""
        return self.leaves * LEAF

    def sample(self, count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None]:
        """About so many rows from everywhere, (n, P), and their weights."""
        each = -(-count // self.leaves)
        taken = [_some(self.read(i), each) for i in range(self.leaves)]
        weights = [w for _, w in taken if w is not None]
        return np.concatenate([z for z, _ in taken]), np.concatenate(weights) if weights else None

    def chunks(self) -> Iterator[Chunk]:
        """Every chunk, on the card; each is good until the next but one is asked for."""
        first = self.read(0)
        wide = next((c.dtype for c in first.columns if c.dtype != np.float32), np.dtype(np.float32))
        dtype = torch.float32 if wide == np.float32 else torch.float64
        together = max(1, CHUNK // (LEAF * len(first.columns) * dtype.itemsize))
        room = LEAF * min(together, self.leaves)
        slots = [_Slot(len(first.columns), room, dtype, first.weight_N is not None, self.device) for _ in range(2)]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for turn, start in enumerate(range(0, self.leaves, together)):
                slot = slots[turn % 2]
                rows = slot.fill([self.read(i) for i in range(start, min(start + together, self.leaves))], pool)
                yield slot.send(rows)
                slot.done()


@dataclass(frozen=True)
class OnCard:
    """Rows that lie on a card: columns one after the other, (P, N), and their weights."""

    z_PN: torch.Tensor
    weight_N: torch.Tensor | None = None

    @property
    def rows(self) -> int:
        """How many."""
        return self.z_PN.shape[1]

    def sample(self, count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None]:
        """About so many rows from everywhere."""
        i = torch.linspace(0, self.z_PN.shape[1] - 1, min(count, self.z_PN.shape[1]), dtype=torch.float64).long()
        i = i.to(self.z_PN.device)
        weight_N = None if self.weight_N is None else self.weight_N[i].cpu().double().numpy()
        return self.z_PN[:, i].cpu().double().T.numpy(), weight_N

    def chunks(self) -> Iterator[Chunk]:
        """All of them at once."""
        root_N = None if self.weight_N is None else self.weight_N.double().sqrt()
        yield Chunk(self.z_PN, root_N, self.z_PN.shape[1])


def _some(leaf: Leaf, count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None]:
    i = np.linspace(0, len(leaf) - 1, min(count, len(leaf))).astype(np.int64)
    at = i if leaf.chosen_N is None else leaf.chosen_N[i]
    z = np.stack([c[at].astype(np.float64) for c in leaf.columns], axis=1)
    return z, None if leaf.weight_N is None else leaf.weight_N[i]


class _Slot:
    """One pinned buffer and its place on the card, with what has to have happened before either is used again."""

    def __init__(self, columns: int, room: int, dtype: torch.dtype, weighted: bool, device: torch.device) -> None:
        self.on_card = device.type == "cuda"
        self.device = device
        kinds = [((columns, room), dtype), *([((room,), torch.float64)] if weighted else [])]
        self.host = [torch.empty(shape, dtype=kind, pin_memory=self.on_card) for shape, kind in kinds]
        if self.on_card:
            self.card = [torch.empty(shape, dtype=kind, device=device) for shape, kind in kinds]
            self.stream = torch.cuda.Stream(device)
            self.copied, self.used = torch.cuda.Event(), torch.cuda.Event()
            self.done()  # the memory may be another's until the work asked for so far is over

    def fill(self, leaves: Sequence[Leaf], pool: ThreadPoolExecutor) -> int:
        """Write leaves into the pinned buffer, a column a thread, once its last copy is over; how many rows."""
        if self.on_card:
            self.copied.synchronize()
        z_PN = self.host[0].numpy()

        def put(p: int) -> None:
            start = 0
            for leaf in leaves:
                z_PN[p, start : start + len(leaf)] = leaf.column(p)
                start += len(leaf)

        list(pool.map(put, range(len(z_PN))))
        if len(self.host) > 1:
            root_N, start = self.host[1].numpy(), 0
            for leaf in leaves:
                assert leaf.weight_N is not None
                np.sqrt(leaf.weight_N, out=root_N[start : start + len(leaf)])
                start += len(leaf)
        return sum(map(len, leaves))

    def send(self, rows: int) -> Chunk:
        """Start the copy, and make the work that follows wait for it."""
        if not self.on_card:
            return Chunk(self.host[0], self.host[1] if len(self.host) > 1 else None, rows)
        with torch.cuda.stream(self.stream):
            self.stream.wait_event(self.used)
            for card, host in zip(self.card, self.host, strict=True):
                card.copy_(host, non_blocking=True)
            self.copied.record(self.stream)
        torch.cuda.current_stream(self.device).wait_event(self.copied)
        return Chunk(self.card[0], self.card[1] if len(self.card) > 1 else None, rows)

    def done(self) -> None:
        """The work on the chunk has been asked for: the next copy waits for it."""
        if self.on_card:
            self.used.record(torch.cuda.current_stream(self.device))
