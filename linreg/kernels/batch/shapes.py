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


class Model(NamedTuple):
    """What changes while rows are walked, flat arrays in a kernel's own layout: its sums of products are 0 between
    batches.
    """

    theta: Any
    velocity: Any
    sums: Any


class NextBlock(NamedTuple):
    """A block on its way into a stage; see ``staging``.

    Args:
        source: x, y and the weights, flat.
        stage: padded rows, and columns.
        room: S, rows of a column.
        place: where each row of the block goes.
        base: the block's first row.
        rows: how many it has.
        ahead: how far on the rows lie that are asked for meanwhile.
    """

    source: Any
    stage: Any
    room: int
    place: Any
    base: int
    rows: int
    ahead: int


class Kernels(NamedTuple):
    """How batches are computed, inlined into a loop.

    Args:
        part: ``(stage, room, start, stop, size, model, settings)`` adds the products of some rows of a batch of
            ``size``.
        finish: ``(model, size, settings, first)`` makes the step that the sums ask for, and leaves 0 there.
        full_batches: ``(stage, room, start, batches, size, model, settings, first, next_block, staged)`` does batches
            that lie in a stage as a whole, and fills the other one meanwhile; returns how many of its rows are there.
        sums: how many numbers ``Model.sums`` holds.
    """

    part: Any
    finish: Any
    full_batches: Any
    sums: int
