"""What a column has to do with others: copies of a target, columns that others determine. It opens no file.

Shapes: N rows, F columns.
"""

from collections.abc import Sequence
from math import lgamma, log

import numpy as np
import numpy.typing as npt

from linreg.profile.columns import NUMBERS, Column

_CORRELATION = 0.9999  # from here on a column is a copy of the target
_CHANCE = log(1e-6)  # how probable it may be that rows are in the target's order by accident
_SAME = 1e-8  # of a column's spread: what another one does not explain of a copy
_ROWS = 5_000  # that show whether something may be so
Codes = npt.NDArray[np.int64]
Float = npt.NDArray[np.float64]


def leak(column: Column, target: Column) -> str:
    """Why a column looks as if it were made from the target; empty where it does not.

    A correlation beyond 0.9999; one value for each value of the target, and the other way round; or values that stand
    in the target's order row by row, as its logarithm, its rank and its ranges do.
    """
    rows = _complete([column, target])
    few = _spread(rows, 1)
    if len(few) < len(rows) and not _leak(column, target, few):
        return ""
    return _leak(column, target, rows)


def _leak(column: Column, target: Column, rows: Codes) -> str:
    assert target.number_N is not None
    t_N, name = target.number_N[rows], target.name
    codes, target_codes = _dense(column.code_N[rows]), _dense(target.code_N[rows])
    if len(t_N) < 3 or codes.max() == 0:
        return ""
    if column.number_N is not None and np.isfinite(column.number_N[rows]).all():
        r = _correlation(column.number_N[rows], t_N)
        if abs(r) > _CORRELATION:
            return f"a copy of {name}, or made from it: their correlation is {r:.6g}"
    by_target, by_column = _determines(target_codes, codes), _determines(codes, target_codes)
    if by_target and by_column and len(codes) >= 2 * (codes.max() + 1):
        return f"one value for each value of {name}: made from it, or it from this"
    if by_target and _runs_chance(codes, target_codes, ordered=column.type in NUMBERS) < _CHANCE:
        return f"in the order of {name} row by row, as if it were made from it"
    rounded = by_column and column.type in NUMBERS and target_codes.max() >= 10
    if rounded and _runs_chance(target_codes, codes, ordered=True) < _CHANCE:
        return f"in the order of {name} row by row, as if that were made from it"
    return ""


def determined_by(column: Column, category: Column) -> str:
    """Why a column says nothing beside a category: each of its levels has one value of it. Empty where that is not so.

    Levels have to have two rows each in the mean: else it would hold by accident.
    """
    both = (column.code_N >= 0) & (category.code_N >= 0)
    if not both.any():
        return ""
    codes, levels = _dense(column.code_N[both]), _dense(category.code_N[both])
    if len(codes) < 2 * (levels.max() + 1) or not _determines(levels, codes):
        return ""
    if codes.max() == levels.max():
        return f"a code of {category.name}, one for each of its levels"
    return f"determined by {category.name}: each of its levels has one value of it"


def linear_dependence(columns: Sequence[Column]) -> dict[str, tuple[str, ...]]:
    """Columns of numbers that are exactly a sum of multiples of columns before them: name to the names of these."""
    if not columns or len(rows := _spread(_complete(columns), len(columns))) <= len(columns) + 1:
        return {}
    x_NF = np.stack([_scaled(column, rows) for column in columns], axis=1)
    left_over_F = np.abs(np.diagonal(np.linalg.qr(x_NF, mode="r")))
    norm_F = np.linalg.norm(x_NF, axis=0)
    free = [j for j in range(len(columns)) if left_over_F[j] > _SAME * norm_F[j]]
    dependent = [j for j in range(len(columns)) if norm_F[j] > 0 and j not in free]
    names = [column.name for column in columns]
    return {names[j]: tuple(names[k] for k in _parts(x_NF, j, [k for k in free if k < j])) for j in dependent}


def gives(columns: Sequence[Column], target: Column) -> tuple[float, tuple[str, ...]]:
    """How near a sum of multiples of columns of numbers comes to a target, as a correlation; and which it needs.

    The names are empty where it does not come beyond 0.9999; else those without which it would not, or all.
    """
    rows = _spread(_complete([*columns, target]), len(columns))
    if not columns or len(rows) <= 2 * len(columns) + 2:
        return 0.0, ()
    x_NF, y_N = np.stack([_scaled(c, rows) for c in columns], axis=1), _scaled(target, rows)
    weight_F = np.linalg.lstsq(x_NF, y_N, rcond=None)[0]
    residual, total = float(((y_N - x_NF @ weight_F) ** 2).sum()), float((y_N**2).sum())
    correlation = np.sqrt(max(0.0, 1 - residual / total)) if total else 0.0
    if correlation <= _CORRELATION:
        return float(correlation), ()
    gained_F = weight_F**2 / np.diagonal(np.linalg.pinv(x_NF.T @ x_NF))  # of the residual, by leaving one out
    needed = [c.name for c, gained in zip(columns, gained_F, strict=True) if gained > (1 - _CORRELATION**2) * total]
    return float(correlation), tuple(needed or [c.name for c in columns])


def _complete(columns: Sequence[Column]) -> Codes:
    """The rows that have every value."""
    return np.flatnonzero(np.logical_and.reduce([column.code_N >= 0 for column in columns]))


def _spread(rows: Codes, columns: int) -> Codes:
    """Enough of the rows for so many columns, from all of them."""
    return rows[:: max(1, len(rows) // max(_ROWS, 4 * columns))]


def _parts(x_NF: Float, j: int, before: Sequence[int]) -> Sequence[int]:
    """Which of the columns before it a column is a sum of."""
    weight_F = np.linalg.lstsq(x_NF[:, before], x_NF[:, j], rcond=None)[0]
    return [k for k, weight in zip(before, weight_F, strict=True) if abs(weight) > 1e-6]


def _scaled(column: Column, rows: Codes) -> Float:
    """The values about their mean, the largest being 1."""
    assert column.number_N is not None
    values = column.number_N[rows]
    scale = np.abs(values).max() or 1.0
    centred = values / scale - np.mean(values / scale)
    most = np.abs(centred).max()
    return np.asarray(centred / most if most > 1e-13 else np.zeros_like(centred))


def _correlation(x_N: Float, y_N: Float) -> float:
    x_N, y_N = (v / (np.abs(v).max() or 1.0) for v in (x_N, y_N))
    x_N, y_N = x_N - x_N.mean(), y_N - y_N.mean()
    norm = float(np.linalg.norm(x_N) * np.linalg.norm(y_N))
    return float(x_N @ y_N) / norm if norm > 0 else 0.0


def _dense(codes: Codes) -> Codes:
    """The codes counted from 0, in their order, without those that no row has."""
    return np.unique(codes, return_inverse=True)[1].astype(np.int64) if len(codes) else codes


def _determines(by: Codes, codes: Codes) -> bool:
    """Whether rows of one value of ``by`` have one value of ``codes``."""
    return bool(len(np.unique(by * (codes.max() + 1) + codes)) == by.max() + 1)


def _runs_chance(codes: Codes, along: Codes, *, ordered: bool) -> float:
    """How probable it is, as a logarithm, that a column falls into one run a value along another by accident.

    0 where it does not. Of all orders of N rows ``prod n_k!`` keep the runs of one order of the values, which may be
    any of K! where the values themselves have none, and one of 2 where they have.

    Args:
        codes: K values, counted from 0.
        along: what orders the rows.
        ordered: whether the values must rise or fall.
    """
    sorted_codes = codes[np.lexsort((codes, along))]
    steps = np.diff(sorted_codes)
    runs = bool((steps >= 0).all() or (np.diff(codes[np.lexsort((-codes, along))]) <= 0).all())
    if not ordered:
        runs = int((steps != 0).sum()) == codes.max()
    if not runs:
        return 0.0
    counts = np.bincount(codes)
    arrangements = log(2) if ordered else lgamma(len(counts) + 1)
    return arrangements + sum(lgamma(count + 1) for count in counts[counts > 1]) - lgamma(len(codes) + 1)
