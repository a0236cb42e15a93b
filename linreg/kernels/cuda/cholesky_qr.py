"""Sums of products by torch's matrix products: for more columns than a kernel takes, and for columns that are alike.

A leaf at a time, ``V = sqrt(w) [1 | Z - c]``, and for columns that are alike its rows whitened by a factor R that is
about right: ``V R^-1``. Its sums of products are close to the identity, so their Cholesky factor loses nothing, and the
rows' own factor is that times R. Multiplying by ``R^-1`` alone would lose as many digits as R's condition number has:
one step of refinement, ``V <- V + (Z - V R) R^-1``, gives them back.

Shapes: N rows, P columns, K = 1 + P, S spans of a leaf; rows are the last axis: z_PN, v_KN.

Source: Yamamoto, Nakatsukasa, Yanagisawa and Fukaya 2015 (CholeskyQR2); Higham 2002, chapter 12 (refinement in fixed
precision).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from linreg.kernels.cuda.reduction import LEAF, SPAN, tree


@dataclass(frozen=True)
class Whitener:
    """A factor of the rows that is about right, and its inverse, both transposed: (K, K) on the card."""

    root: torch.Tensor
    inverse: torch.Tensor

    @classmethod
    def of(cls, root_KK: npt.NDArray[np.float64], device: torch.device) -> "Whitener":
        """Of a factor that is not singular."""
        inverse_KK = np.linalg.solve(root_KK, np.eye(len(root_KK)))
        root, inverse = (torch.from_numpy(a.T.copy()).to(device) for a in (root_KK, inverse_KK))
        return cls(root, inverse)

    def __call__(self, v_KN: torch.Tensor) -> torch.Tensor:
        """The rows whitened."""
        white_KN = self.inverse @ v_KN
        return white_KN + self.inverse @ (v_KN - self.root @ white_KN)


def leaf_sums(
    z_PN: torch.Tensor,
    shift_P: torch.Tensor,
    root_N: torch.Tensor | None,
    rows: int,
    whiten: Whitener | None = None,
) -> torch.Tensor:
    """The sums of products of every leaf, (L, K, K), the ones first; whitened where a whitener is given.

    Args:
        root_N: the square roots of the weights, float64; None: all 1.
    """
    found = [_leaf(z_PN, shift_P, root_N, start, min(LEAF, rows - start), whiten) for start in range(0, rows, LEAF)]
    return torch.stack(found)


def _leaf(
    z_PN: torch.Tensor,
    shift_P: torch.Tensor,
    root_N: torch.Tensor | None,
    start: int,
    count: int,
    whiten: Whitener | None,
) -> torch.Tensor:
    # a leaf has all its rows, those that are not there being 0: products of one shape are added up in one order
    v_KN = torch.zeros((1 + len(z_PN), LEAF), dtype=torch.float64, device=z_PN.device)
    v_KN[0, :count] = 1.0
    v_KN[1:, :count] = z_PN[:, start : start + count].to(torch.float64) - shift_P[:, None]
    if root_N is not None:
        v_KN[:, :count] *= root_N[start : start + count]
    if whiten is not None:
        v_KN = whiten(v_KN)
    parts = v_KN.view(len(v_KN), -1, SPAN).transpose(0, 1)
    return tree(torch.bmm(parts, parts.transpose(1, 2)))
