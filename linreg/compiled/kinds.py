"""The number types of compiled loops."""

from typing import Any

import numba
import numpy as np

VECTOR = 64  # bytes of a vector: the widest registers there are


def numba_type(dtype: np.dtype[Any]) -> Any:
    """numba's name of float32 or float64."""
    return numba.float32 if dtype == np.float32 else numba.float64


def vector_lanes(dtype: np.dtype[Any]) -> int:
    """How many of them a vector holds."""
    return VECTOR // dtype.itemsize
