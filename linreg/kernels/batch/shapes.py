"""What a compiled loop is made for: number types, the shape of a model, and what passes between its parts."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np

VECTOR = 64  # bytes of a vector: the widest registers there are


def numba_type(dtype: np.dtype[Any]) -> Any:
    """numba's name of float32 or float64."""
    return numba.float32 if dtype == np.float32 else numba.float64


def vector_lanes(dtype: np.dtype[Any]) -> int:
    """How many of them a vector holds."""
    return VECTOR // dtype.itemsize


@dataclass(frozen=True)
class Shape:
    """Models that one compiled loop serves.

    Args:
        dtype: of rows and parameters.
        features, targets: F and O.
        weighted: rows count differently.
        momentum: there is a velocity.
    """

    dtype: np.dtype[Any]
    features: int
    targets: int
    weighted: bool = False
    momentum: bool = False

    @property
    def lanes(self) -> int:
        """L, of a vector."""
        return vector_lanes(self.dtype)

    @property
    def chunks(self) -> int:
        """C, vectors that hold the features of a row."""
        return -(-self.features // self.lanes)

    @property
    def width(self) -> int:
        """Features of a row padded to whole vectors, C L."""
        return self.chunks * self.lanes


class Stage(NamedTuple):
    """Rows of a block as a kernel reads them; see ``staging``.

    Args:
        rows: padded to whole vectors, where a kernel takes them by row.
        columns: each ``room`` long.
        room: S.
    """

    rows: Any
    columns: Any
    room: int


class Model(NamedTuple):
    """What changes while rows are walked, flat arrays in a kernel's own layout, and the numbers of the epoch.

    Its sums of products are 0 between batches.
    """

    theta: Any
    velocity: Any
    sums: Any
    settings: Any


class NextBlock(NamedTuple):
    """A block on its way into a stage; see ``staging``.

    Args:
        source: x, y and the weights, flat.
        stage: where it goes.
        place: where each of its rows goes there.
        base: the block's first row.
        rows: how many it has.
        ahead: how far on the rows lie that are asked for meanwhile.
    """

    source: Any
    stage: Any
    place: Any
    base: int
    rows: int
    ahead: int


class Kernels(NamedTuple):
    """How batches are computed, inlined into a loop.

    Args:
        part: ``(stage, start, stop, model, next_block, staged)`` adds the products of some rows of a batch, and fills
            as many of the next block's stage meanwhile; returns how many of them are there.
        finish: ``(model, size, first)`` makes the step that the sums of a batch of ``size`` rows ask for, and leaves 0
            there.
        sums: how many numbers ``Model.sums`` holds.
        full_batches: ``(stage, start, batches, size, model, first, next_block, staged)`` is ``part`` and ``finish`` of
            batches that lie in a stage as a whole, where the parameters stay in registers from one to the next.
    """

    part: Any
    finish: Any
    sums: int
    full_batches: Any = None
