"""Moments: all that mean squared error needs to know about any number of rows, in one small record.

Of the rows ``[X | Y]`` it keeps the count, the weight, a shift ``c`` and ``root``, the upper triangular factor R of
``sqrt(w) * [1 | X - c | Y - c]``, in float64, so that ``R'R`` holds every sum of products. R is made by Householder QR:
nothing is squared, so nothing cancels (``from_rows`` has the exception). Two records merge by a QR of their stacked Rs.

Shapes: N rows, F features, O targets, P = F + O columns, K = 1 + P. It opens no data files and trains nothing.

Source: Golub and Van Loan, Matrix Computations, chapter 5 (orthogonalisation and least squares); Chan, Golub and
LeVeque 1983 (merging centred sums).
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from linreg.errors import UserError
from linreg.metrics import Float
from linreg.moments import solution
from linreg.moments.solution import Solution
from linreg.threads import one_thread

Mergeable = TypeVar("Mergeable", bound="_Adds")

PANEL = 4096  # rows a first QR: small enough to stay in the cache


class _Adds(Protocol):
    """A record: it adds up with others of its kind."""

    def __add__(self: Mergeable, other: Mergeable) -> Mergeable: ...


@dataclass(frozen=True)
class Moments:
    """The record of some rows. See the module for what it means.

    Args:
        features, targets: the column names, in the order of the factor.
        rows: count of rows with a weight above zero.
        weight: sum of the weights; equals ``rows`` where none are given.
        shift_P: what was subtracted from the columns.
        root_KK: the factor R, with a diagonal that is never negative.
        log_weight: sum of the logarithms of the weights above zero; a likelihood needs it.
        square_weight: sum of the squared weights; equals ``rows`` where none are given.
        intercept: whether a model of these rows has one; without, its fit is through the origin (``equations``).

    >>> import linreg
    >>> columns = {"features": ("temp", "rainfall", "humidity"), "targets": ("apples", "oranges")}
    >>> rows = linreg.read_dataset(linreg.DataConfig(path="data/crops-15.csv", **columns)).train
    >>> moments = linreg.Moments.of(rows.blocks(), rows.features, rows.targets)
    >>> moments.rows, moments.mean_P.round(2).tolist()
    (15, [84.47, 85.53, 54.53, 76.0, 92.0])
    >>> (moments + moments).rows  # the record of the same rows twice
    30
    """

    features: tuple[str, ...]
    targets: tuple[str, ...]
    rows: int
    weight: float
    shift_P: Float
    root_KK: Float
    log_weight: float = 0.0
    square_weight: float = 0.0
    intercept: bool = True

    @classmethod
    def of(
        cls,
        blocks: Iterable[Float],
        features: Sequence[str],
        targets: Sequence[str],
        *,
        weights: Iterable[Float] | None = None,
    ) -> "Moments":
        """Record blocks of rows, each float64 of shape (n, F + O), in one pass.

        Each block is a leaf and the leaves are merged as a balanced tree, so the same blocks give the same bits.

        Args:
            weights: of the rows of each block, each of shape (n,); none: all rows weigh 1.

        Raises:
            UserError: there is no row.
        """
        names = tuple(features), tuple(targets)
        return record_blocks(lambda z_NP, weight_N: cls.leaf(z_NP, *names, weight_N), blocks, weights)

    @classmethod
    def leaf(
        cls,
        z_NP: Float,
        features: tuple[str, ...],
        targets: tuple[str, ...],
        weight_N: Float | None = None,
        *,
        shift_P: Float | None = None,
    ) -> "Moments":
        """Record one block of rows, shifted by its own means where no shift is given."""
        w = np.ones(len(z_NP)) if weight_N is None else np.asarray(weight_N, dtype=np.float64)
        total = float(w.sum())
        if total == 0:
            return cls(features, targets, 0, 0.0, np.zeros(z_NP.shape[1]), np.zeros((1 + z_NP.shape[1],) * 2))
        if shift_P is None:
            shift_P = w @ z_NP / total if weight_N is not None else z_NP.mean(axis=0)
        a = np.empty((len(z_NP), 1 + z_NP.shape[1]))
        a[:, 0] = 1.0
        np.subtract(z_NP, shift_P, out=a[:, 1:])
        if weight_N is not None:
            a *= np.sqrt(w)[:, None]
        logs = float(np.log(w[w > 0]).sum()) if weight_N is not None else 0.0
        return cls(features, targets, int(np.count_nonzero(w)), total, shift_P, factor(a), logs, float(w @ w))

    def __add__(self, other: "Moments") -> "Moments":
        """The record of both sets of rows."""
        if (self.features, self.targets) != (other.features, other.targets):
            raise ValueError("records of different columns do not add up")
        if not other.rows or not self.rows:
            return self if self.rows else other
        stacked = np.vstack([self.root_KK, shifted(other.root_KK, other.shift_P - self.shift_P)])
        sums = {n: getattr(self, n) + getattr(other, n) for n in ("rows", "weight", "log_weight", "square_weight")}
        return replace(self, root_KK=factor(stacked), **sums)

    @property
    def mean_P(self) -> Float:
        """The columns' weighted means."""
        return np.asarray(self.shift_P + self.root_KK[0, 1:] / self.root_KK[0, 0])

    @property
    def centred_PP(self) -> Float:
        """The factor of the centred columns: its columns' squared norms are sums of squares about the mean."""
        return self.root_KK[1:, 1:]

    @property
    def spread_P(self) -> Float:
        """The columns' population standard deviations; exactly 0 for a column that rounding alone makes vary."""
        spread = np.linalg.norm(self.centred_PP, axis=0) / np.sqrt(self.weight)
        return np.where(spread <= 4 * np.finfo(float).eps * np.abs(self.mean_P), 0.0, spread)

    @property
    def moments(self) -> "Moments":
        """Itself, as ``DeferredMoments`` gives the record that it stands for."""
        return self

    def at(self, centre_P: Float) -> Float:
        """The factor of ``sqrt(w) * [1 | Z - centre]``, shape (K, K)."""
        return shifted(self.root_KK, self.shift_P - centre_P)

    def mean_squared_error(self, weight_XOF: Float, bias_XO: Float, mean_F: Float) -> Float:
        """The weighted mean squared error of ``(x - mean) W' + b`` on the recorded rows; shape (..., O).

        The norm of the factor times the model: squares are added and none is subtracted, so it keeps its digits however
        small it is beside the targets.
        """
        f = len(self.features)
        root_KK = self.at(np.concatenate([mean_F, self.shift_P[f:]]))
        away_XO = root_KK[0, 0] * (self.shift_P[f:] - bias_XO)  # centring the targets at the bias moves the first row
        target_XKO = root_KK[:, 1 + f :] + np.eye(len(root_KK), 1) * away_XO[..., None, :]
        residual_XKO = root_KK[:, 1 : 1 + f] @ np.swapaxes(weight_XOF, -1, -2) - target_XKO
        return np.asarray((residual_XKO**2).sum(axis=-2) / self.weight)

    @cached_property
    def solution(self) -> Solution:
        """The least-squares optimum."""
        e = self.equations
        return solution.of(e.features, e.mean_P, e.spread_P, e.centred_PP)

    def solve(self) -> Solution:
        """The least-squares optimum of all targets, with the rank and the columns that make it deficient.

        Without an intercept bias and means are 0, and residuals and rank are about zero.
        """
        return self.solution

    @cached_property
    def equations(self) -> "Moments":
        """The record whose ordinary optimum is the model's: itself, or, without an intercept, that about zero.

        That is the record of the rows and of their mirror images ``-z``, each at half its weight: its means are 0 and
        its products are those about zero.
        """
        if self.intercept:
            return self
        root = np.zeros_like(self.root_KK)
        root[0, 0] = self.root_KK[0, 0]
        root[1:, 1:] = factor(self.at(np.zeros_like(self.shift_P))[:, 1:])
        return replace(self, shift_P=np.zeros_like(self.shift_P), root_KK=root)

    def save(self, path: str | Path, **metadata: str) -> None:
        """Write the record as one safetensors file, with ``metadata`` beside its own."""
        own = {"features": json.dumps(self.features), "targets": json.dumps(self.targets), "rows": str(self.rows)}
        own |= {} if self.intercept else {"intercept": "none"}
        weight = np.array([self.weight, self.log_weight, self.square_weight])
        tensors = {"weight": weight, "shift": self.shift_P, "root": np.ascontiguousarray(self.root_KK)}
        Path(path).write_bytes(save(tensors, metadata=metadata | own))  # an OSError where it fails

    @classmethod
    def load(cls, path: str | Path) -> "Moments":
        """Read what ``save`` wrote, to the bit.

        Raises:
            UserError: the file is missing, or not a record.
        """
        return cls.load_with(path)[0]

    @classmethod
    def load_with(cls, path: str | Path) -> "tuple[Moments, dict[str, str]]":
        """The same, and the metadata; errors as ``load``."""
        try:
            with safe_open(str(path), framework="numpy") as f:
                metadata = dict(f.metadata() or {})
                weight, shift, root = (f.get_tensor(k) for k in ("weight", "shift", "root"))
            features, targets = (tuple(json.loads(metadata[k])) for k in ("features", "targets"))
            total, logs, squares = map(float, weight)
            intercept = metadata.get("intercept") != "none"
            return cls(features, targets, int(metadata["rows"]), total, shift, root, logs, squares, intercept), metadata
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as e:
            raise UserError(f"{path} is not a whole moments file ({e}): build it again") from e


def record_blocks(
    record: Callable[[Float, Float | None], Mergeable], blocks: Iterable[Float], weights: Iterable[Float] | None
) -> Mergeable:
    """``record`` of each block of rows and its weights, merged; raises ``UserError`` where there is no row."""
    pairs = ((block, None) for block in blocks) if weights is None else zip(blocks, weights, strict=True)
    with one_thread():  # narrow panels lose time to a second, and the bits must not hang on how many there are
        records = [record(z_NP, weight_N) for z_NP, weight_N in pairs if len(z_NP)]
        if not records:
            raise UserError("there are no rows to learn from: check data.path and the split")
        return merge(records)


def merge(records: Iterable[Mergeable]) -> Mergeable:
    """Merge records as a balanced tree of neighbours: the same records in the same order give the same bits.

    Of records that come one by one only a branch of the tree is held.
    """
    branch: list[tuple[int, Mergeable]] = []  # of 2^k records each, k falling
    for record in records:
        size = 1
        while branch and branch[-1][0] == size:
            record, size = branch.pop()[1] + record, 2 * size
        branch.append((size, record))
    _, merged = branch.pop()
    while branch:
        merged = branch.pop()[1] + merged
    return merged


def factor(a_NK: Float) -> Float:
    """The triangular factor of tall rows, (K, K), its diagonal never negative: of panels that fit the cache, then of
    the panels' factors.
    """
    while len(a_NK) >= 2 * max(PANEL, 4 * a_NK.shape[1]):
        size = max(PANEL, 4 * a_NK.shape[1])
        whole = len(a_NK) // size * size
        heads = np.asarray(np.linalg.qr(a_NK[:whole].reshape(-1, size, a_NK.shape[1]), mode="r"))
        a_NK = np.vstack([heads.reshape(-1, a_NK.shape[1]), a_NK[whole:]])
    return upright(np.asarray(np.linalg.qr(a_NK, mode="r")))


def upright(r: Float) -> Float:
    """The factor (K, K) with a diagonal that is never negative, of one that may have fewer rows."""
    k = r.shape[1]
    root = np.zeros((k, k))
    root[: len(r)] = np.triu(r)
    return np.where(np.diag(root) < 0, -1.0, 1.0)[:, None] * root


def shifted(root_KK: Float, by_P: Float) -> Float:
    """The factor after ``by`` is added to the columns: only the row that belongs to the ones changes."""
    shifted_KK = root_KK.copy()
    shifted_KK[0, 1:] += shifted_KK[0, 0] * by_P
    return shifted_KK
