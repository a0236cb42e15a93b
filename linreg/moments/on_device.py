"""The triangular factor of a leaf's rows, by torch on a CUDA device or any other.

Columns go there as wide as they lie in memory and become float64 there. Householder reflections, as on the CPU: right
for columns that are constant or determine each other too. A panel of rows has a factor of its own, then the panels'
factors have one: all panels of a level are one call.

Shapes: N rows, P columns, K = 1 + P.

Source: Demmel, Grigori, Hoemmen and Langou 2012 (TSQR).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from linreg.metrics import Float
from linreg.moments.moments import upright

PANEL = 256  # rows: few, so that little rounding adds up, and what cuBLAS takes as a batch


def factor(columns: Sequence[npt.NDArray[Any]], root_N: Float | None, device: torch.device) -> tuple[Float, Float]:
    """R of ``root * [1 | Z - c]``, its diagonal never negative, and the shift ``c``, the columns' weighted means.

    Args:
        columns: P of them, each of shape (N,), float32 or float64.
        root_N: the square roots of the rows' weights; None: all 1.
    """
    z_PN = torch.from_numpy(np.stack(columns)).to(device).to(torch.float64)
    root = z_PN.new_ones(z_PN.shape[1]) if root_N is None else torch.from_numpy(root_N).to(device)
    total = (root @ root).clamp(min=np.finfo(float).tiny)  # rows that all weigh nothing have the factor 0
    shift_P = z_PN @ root**2 / total
    v_KN = torch.cat([root[None], (z_PN - shift_P[:, None]) * root])
    return upright(_triangle(v_KN.T).cpu().numpy()), shift_P.cpu().numpy()


def _triangle(a_NK: torch.Tensor) -> torch.Tensor:
    """The triangular factor of tall rows; of fewer rows than columns, as many rows."""
    columns = a_NK.shape[1]
    size = max(PANEL, 4 * columns)
    while len(a_NK) >= 2 * size:
        whole = len(a_NK) // size * size
        heads = torch.linalg.qr(a_NK[:whole].reshape(-1, size, columns), mode="r").R
        a_NK = torch.cat([heads.flatten(0, 1), a_NK[whole:]])
    root: torch.Tensor = torch.linalg.qr(a_NK, mode="r").R
    return root
