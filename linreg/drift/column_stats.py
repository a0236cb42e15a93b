"""Means, variances and correlations of columns in many records at once, and of a model's residuals in them.

    stats = Stats.of([record, ...], Scope(("temp", "apples"), origin_S, model))

All from the triangular factor: a column's variance is the norm of its centred part, a residual is a column operation
(see ``Moments.mean_squared_error``), so nothing large is subtracted from anything large. Records of the same columns
are stacked: hundreds of small ones cost what a few do. Rows count by their effective number, ``(sum w)^2 / sum w^2``.

Shapes: n records, S columns, O targets, C = S + O columns and residuals, M pairs of columns, K = 1 + columns of a
record.

Source: Kish 1965 (effective number); Fisher 1921 (z of a correlation).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from linreg.metrics import Float
from linreg.model import LinearModel
from linreg.moments.deferred import PartitionMoments
from linreg.moments.moments import Moments

ROUNDING = 4 * np.finfo(float).eps  # of a column's size: what varies less does not vary (``Moments.spread_P``)
FEWEST_FOR_PAIRS = 4  # z has the variance 1 / (n - 3)
_BLOCK = 2**22  # numbers of the factors that are worked on at once


class Scope(NamedTuple):
    """What is looked at.

    Args:
        columns: S names, each in every record.
        origin_S: where their means are told from: columns far from zero lose no digits.
        model: whose residuals are looked at; all its columns are in every record. None: no residuals.
        categories: of each column that is a level's, the category.
    """

    columns: tuple[str, ...]
    origin_S: Float
    model: LinearModel | None
    categories: Mapping[str, str] = {}

    @property
    def targets(self) -> tuple[str, ...]:
        """The O targets whose residuals are looked at."""
        return self.model.targets if self.model else ()

    @property
    def parameters(self) -> int:
        """Of the model, for each target; D."""
        return 1 + len(self.model.features) if self.model else 0

    @property
    def pairs(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """The first and the second column of each pair, shape (M,).

        Two levels of one category are none: how often each of them is says all.
        """
        i, j = np.triu_indices(len(self.columns), 1)
        number = {category: k for k, category in enumerate(dict.fromkeys(self.categories.values()), 1)}
        category_S = np.array([number.get(self.categories.get(name, ""), 0) for name in self.columns], dtype=np.intp)
        apart = (category_S[i] != category_S[j]) | (category_S[i] == 0)
        return i[apart], j[apart]


@dataclass(frozen=True)
class Stats:
    """Of n records.

    Args:
        count_n: effective number of rows.
        mean_nC: means of the columns, from the origin, and of the residuals.
        variance_nC: with ``n - 1``; 0 where rounding alone makes a column vary, NaN where one row is all there is.
        rounding_nC: what the input's own rounding leaves undecided in a value.
        z_nM: Fisher's z of each pair; NaN where a column of it is constant or the rows are too few.
    """

    count_n: Float
    mean_nC: Float
    variance_nC: Float
    rounding_nC: Float
    z_nM: Float

    @classmethod
    def of(cls, records: Sequence[PartitionMoments], scope: Scope) -> "Stats":
        """Of records that have rows, in their order."""
        groups: dict[tuple[tuple[str, ...], ...], list[int]] = {}
        for i, record in enumerate(records):
            groups.setdefault((record.features, record.targets), []).append(i)
        blocks = [b for numbers in groups.values() for b in _blocks(numbers, _width(records[numbers[0]]))]
        parts = [_of_same_columns([records[i].moments for i in block], scope) for block in blocks]
        order = np.argsort([i for block in blocks for i in block])
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts])[order] for f in fields(cls)))

    def __getitem__(self, records: slice) -> "Stats":
        """Of some of the records."""
        return Stats(*(getattr(self, f.name)[records] for f in fields(self)))


def largest_z(count_n: Float) -> Float:
    """The largest z that n rows can tell: that of ``1 - 1 / (2 n)``.

    Few rows of two columns with few values agree by chance; columns that determine each other reach it in every record.
    """
    return np.asarray(np.arctanh(1 - 1 / (2 * np.maximum(count_n, FEWEST_FOR_PAIRS))))


def _width(record: PartitionMoments) -> int:
    return 1 + len(record.features) + len(record.targets)


def _blocks(numbers: list[int], k: int) -> list[list[int]]:
    step = max(1, _BLOCK // k**2)
    return [numbers[i : i + step] for i in range(0, len(numbers), step)]


def _of_same_columns(records: Sequence[Moments], scope: Scope) -> Stats:
    """Of records of the same columns."""
    names = (*records[0].features, *records[0].targets)
    column_S = np.array([names.index(name) for name in scope.columns], dtype=np.intp)
    root_nKK, shift_nP = np.stack([r.root_KK for r in records]), np.stack([r.shift_P for r in records])
    weight_n = np.array([r.weight for r in records])
    count_n = np.array([r.weight**2 / r.square_weight for r in records])

    mean_nP = root_nKK[:, 0, 1:] / root_nKK[:, 0, :1]
    mean_nC, centred_nKC = (mean_nP + shift_nP)[:, column_S], root_nKK.take(1 + column_S, axis=2)[:, 1:]
    size_nC = _size(mean_nC, centred_nKC, weight_n)
    mean_nC = (shift_nP[:, column_S] - scope.origin_S) + mean_nP[:, column_S]
    if scope.model:
        residual = _residuals(scope.model, names, mean_nP, shift_nP, root_nKK, weight_n)
        mean_nC, centred_nKC, size_nC = (
            np.concatenate([a, b], axis=-1) for a, b in zip((mean_nC, centred_nKC, size_nC), residual, strict=True)
        )

    rounding_nC = ROUNDING * size_nC
    population_nC = (centred_nKC**2).sum(axis=1) / weight_n[:, None]
    population_nC[population_nC <= rounding_nC**2] = 0.0
    degrees_n = np.where(count_n >= 2, count_n - 1, np.nan)
    variance_nC = population_nC * (count_n / degrees_n)[:, None]
    s = len(scope.columns)
    z_nM = _fisher(centred_nKC[:, :, :s], population_nC[:, :s] > 0, count_n, scope)
    return Stats(count_n, mean_nC, variance_nC, rounding_nC, z_nM)


def _size(mean_nC: Float, centred_nKC: Float, weight_n: Float) -> Float:
    """The root mean square of each column, about zero."""
    return np.asarray(np.sqrt(mean_nC**2 + (centred_nKC**2).sum(axis=1) / weight_n[:, None]))


def _residuals(
    model: LinearModel, names: tuple[str, ...], mean_nP: Float, shift_nP: Float, root_nKK: Float, weight_n: Float
) -> tuple[Float, Float, Float]:
    """``y - (x - mean) W' - b`` as columns of the factor: its mean, the centred rest, and the size of its terms."""
    x, y = (np.array([names.index(n) for n in part], dtype=np.intp) for part in (model.features, model.targets))
    mean_nF, mean_nO = (shift_nP[:, x] - model.mean_F) + mean_nP[:, x], (shift_nP[:, y] - model.bias_O) + mean_nP[:, y]
    centred_nKF, centred_nKO = (root_nKK.take(1 + i, axis=2)[:, 1:] for i in (x, y))
    full_nP = mean_nP + shift_nP
    size_nF, size_nO = (_size(full_nP[:, i], centred, weight_n) for i, centred in ((x, centred_nKF), (y, centred_nKO)))
    weight_FO = model.weight_OF.T
    return mean_nO - mean_nF @ weight_FO, centred_nKO - centred_nKF @ weight_FO, size_nO + size_nF @ np.abs(weight_FO)


def _fisher(centred_nKS: Float, varies_nS: npt.NDArray[np.bool_], count_n: Float, scope: Scope) -> Float:
    """z of each pair."""
    i, j = scope.pairs
    norm_nS = np.where(varies_nS, np.linalg.norm(centred_nKS, axis=1), 1.0)
    unit_nKS = centred_nKS / norm_nS[:, None]
    r_nM = (unit_nKS.swapaxes(1, 2) @ unit_nKS)[:, i, j]
    limit_n1 = np.tanh(largest_z(count_n))[:, None]
    known_nM = varies_nS[:, i] & varies_nS[:, j] & (count_n >= FEWEST_FOR_PAIRS)[:, None]
    return np.where(known_nM, np.arctanh(np.clip(r_nM, -limit_n1, limit_n1)), np.nan)
