"""The record of one partition, made on a card: the factor R of ``sqrt(w) [1 | Z - c]``, as ``linreg.leaves`` has it.

    plain      sums of products about the means of a sample, and their Cholesky factor: one pass at the memory's speed;
               for many rows whose columns are unlike each other, in the sample and in the end, as in ``leaves``
    whitened   the rows times the inverse of a factor of the sample (``dense``), and again with what came of it until
               that is nearly orthogonal: as good as LAPACK on the rows

Where neither is good enough (columns that are constant, or determine each other to twelve digits) there is no record,
and the CPU makes it. Leaves of 65,536 rows and a fixed tree: the same bits every time on the same type of card.

Shapes: N rows, P = F + O columns, K = 1 + P.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from linreg.kernels.cuda import cholesky_qr as dense
from linreg.kernels.cuda import has_triton, on
from linreg.kernels.cuda.reduction import LEAF, leaves, tree
from linreg.kernels.cuda.transfer import Chunk, Host, Leaf, OnCard

if TYPE_CHECKING:  # these need packages that a card does without
    from linreg.moments.moments import Moments
    from linreg.rows.rows import Rows

__all__ = ["Factor", "OnCard", "factor", "gram", "moments"]

Float = npt.NDArray[np.float64]

LONG = 8e9  # rows times K squared from which the plain way serves, as in ``leaves``
UNLIKE = 300.0  # the largest condition number of the scaled columns for it
SINGULAR = 1e12  # the condition number from which a factor whitens nothing
ORTHOGONAL = 10.0  # the condition number of whitened rows whose sums of products lose no digit
SAMPLE = 2048  # rows: a condition number and a first factor need no more
PASSES = 3


class Factor(NamedTuple):
    """What was subtracted, the factor R with a diagonal that is never negative, and the way it was computed."""

    shift_P: Float
    root_KK: Float
    way: str


class Source(Protocol):
    """Rows, to be gone through as often as it takes; ``rows``: about how many."""

    @property
    def rows(self) -> int: ...

    def sample(self, count: int) -> tuple[Float, Float | None]:
        """About so many rows from everywhere, (n, P), and their weights."""

    def chunks(self) -> Iterable[Chunk]:
        """All of them on the card, each chunk but the last of whole leaves."""


def moments(rows: "Rows", device: torch.device) -> "tuple[Moments, str] | None":
    """The moments of one partition without gaps, and the way they were computed.

    None where the CPU has to make them: few rows, or columns that are constant or determine each other.
    """
    from linreg.moments.moments import Moments

    if len(rows) < LEAF:
        return None
    pieces = list(rows.full_blocks())
    assert len(pieces) == -(-len(rows) // LEAF), "one partition at a time"
    found = factor(Host(lambda i: _leaf(rows, pieces[i]), len(pieces), device), device)
    if found is None:
        return None
    names, n = (rows.features, rows.targets), len(rows)
    if not rows.weight:
        return Moments(*names, n, float(n), found.shift_P, found.root_KK, 0.0, float(n)), found.way
    w = np.concatenate([_leaf(rows, p).weight_N for p in pieces])
    counts, logs = (int(np.count_nonzero(w)), float(w.sum())), float(np.log(w[w > 0]).sum())
    return Moments(*names, *counts, found.shift_P, found.root_KK, logs, float(w @ w)), found.way


def factor(source: Source, device: torch.device, *, way: str = "") -> Factor | None:
    """The factor of all rows; None where it would not be as good as LAPACK's.

    Args:
        way: to be taken, ``plain`` or ``whitened``; empty: as the module says.
    """
    shift_P, sampled_KK = _sampled(*source.sample(SAMPLE))
    long = source.rows * len(sampled_KK) ** 2.0 >= LONG
    with on(device):
        if way == "plain" or (not way and long and condition(shift_P, sampled_KK) <= UNLIKE):
            root_KK = _plain(source, shift_P, device)
            if root_KK is not None and (way or condition(shift_P, root_KK) <= UNLIKE):
                return Factor(shift_P, root_KK, "plain")
        root_KK = None if way == "plain" else _whitened(source, shift_P, sampled_KK, device)
    return None if root_KK is None else Factor(shift_P, root_KK, "whitened")


def _sampled(z_MP: Float, weight_M: Float | None) -> tuple[Float, Float]:
    """The shift, a sample's means, and the sample's own factor."""
    w = np.ones(len(z_MP)) if weight_M is None else weight_M
    total = float(w.sum())
    shift_P = np.asarray(w @ z_MP / total) if total > 0 else z_MP.mean(axis=0)
    root_M = np.sqrt(w)[:, None]
    root_KK = np.linalg.qr(np.hstack([root_M, root_M * (z_MP - shift_P)]), mode="r")
    return shift_P, upright(np.asarray(root_KK))


def _plain(source: Source, shift_P: Float, device: torch.device) -> Float | None:
    return _root(gram(source, torch.from_numpy(shift_P).to(device)))


def gram(source: Source, shift_P: torch.Tensor) -> Float:
    """The sums of products of ``sqrt(w) [1 | Z - shift]``, (K, K), in one pass; ``shift_P`` on the card."""
    if has_triton() and shift_P.device.type == "cuda":
        from linreg.kernels.cuda import gram_kernels as products

        if products.fits(len(shift_P)):
            squares = (leaves(products.squares(c.z_PN, shift_P, c.root_N, c.rows)) for c in source.chunks())
            return ones_first(_summed(squares), *products.layout(len(shift_P)), len(shift_P))
    return _summed(dense.leaf_sums(c.z_PN, shift_P, c.root_N, c.rows) for c in source.chunks())


def _whitened(source: Source, shift_P: Float, root_KK: Float, device: torch.device) -> Float | None:
    shift = torch.from_numpy(shift_P).to(device)
    for _ in range(PASSES):
        if condition(shift_P, root_KK) > SINGULAR:
            return None
        whiten = dense.Whitener.of(root_KK, device)
        inner_KK = _root(_summed(dense.leaf_sums(c.z_PN, shift, c.root_N, c.rows, whiten) for c in source.chunks()))
        if inner_KK is None:
            return None
        root_KK = np.triu(inner_KK @ root_KK)
        if np.linalg.cond(inner_KK) <= ORTHOGONAL:
            return root_KK
    return None


def _summed(sums: Iterable[torch.Tensor]) -> Float:
    """The sum over all leaves of all chunks."""
    return np.asarray(tree(torch.cat(list(sums))).cpu().numpy())


def _root(gram_KK: Float) -> Float | None:
    """The Cholesky factor; None where there is none."""
    if not np.isfinite(gram_KK).all():
        return None
    try:
        return np.asarray(np.linalg.cholesky(gram_KK, upper=True))
    except np.linalg.LinAlgError:
        return None


def ones_first(square_WW: Float, width: int, ones: int, columns: int) -> Float:
    """The sums of products of ``[1 | Z]``, whole, of a square that has them elsewhere and above the diagonal alone."""
    assert square_WW.shape == (width, width)
    i = np.array([ones, *range(columns)])
    return np.asarray(square_WW[np.minimum.outer(i, i), np.maximum.outer(i, i)])


def upright(root_KK: Float) -> Float:
    """The factor with a diagonal that is never negative."""
    return np.where(np.diag(root_KK) < 0, -1.0, 1.0)[:, None] * root_KK


def condition(shift_P: Float, root_KK: Float) -> float:
    """The condition number of the centred columns, each at norm 1; infinite where one is constant."""
    centred_PP = root_KK[1:, 1:]
    if len(root_KK) <= len(shift_P) or root_KK[0, 0] == 0:
        return float("inf")
    norms = np.linalg.norm(centred_PP, axis=0)
    means = np.abs(shift_P + root_KK[0, 1:] / root_KK[0, 0])
    if not (norms > 4 * np.finfo(float).eps * means * root_KK[0, 0]).all():
        return float("inf")
    values = np.linalg.svd(centred_PP / norms, compute_uv=False)
    return float(values[0] / values[-1]) if values[-1] > 0 else float("inf")


def _leaf(rows: "Rows", piece: "tuple[pa.Table, Any]") -> Leaf:
    """The columns of a piece: views where they are floats, float64 copies where they are not."""
    from linreg.rows.rows import float64

    table, some = piece
    weight_N = float64(table[rows.weight]) if rows.weight else None
    weight_N = weight_N if weight_N is None or some is None else weight_N[some]
    return Leaf([_values(table[name]) for name in (*rows.features, *rows.targets)], some, weight_N)


def _values(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    from linreg.rows.rows import float64

    single = pa.types.is_float32(column.type) and column.num_chunks == 1
    return np.asarray(column.chunk(0)) if single else float64(column)
