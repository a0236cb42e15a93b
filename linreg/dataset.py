"""The rows of a run: read, checked and parted into training, validation and test rows.

``load`` is the whole way from a config's ``[data]`` to ``Dataset``; ``Rows`` (in ``rows``) hands the rows out. Values
are judged here: missing, infinite, beyond the dtype. It computes nothing from them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linreg import source, split
from linreg.config import DataConfig
from linreg.errors import UserError
from linreg.rows import Chosen, Float, Rows, float64
from linreg.source import Partition
from linreg.tables import ColumnMissing
from linreg.threads import in_threads

__all__ = ["Dataset", "Rows", "load", "read_complete"]

_SQUARED = 1e150  # the sum of squares of larger values is beyond float64
_DROPPED, _WEIGHTLESS = -1, -2  # the roles of rows that are left out, beside those of ``split``
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Part:
    """One partition: its numbers, what its rows are known by, and the role of each."""

    partition: Partition
    table: pa.Table
    keys: list[pa.ChunkedArray]
    role: npt.NDArray[np.int8]


@dataclass(frozen=True)
class Dataset:
    """The data of a run.

    Args:
        partitions: the files, sorted by name.
        digest: of the content of all of them.
        rows: how many rows were kept, over all roles.
        dropped: how many were left out for a missing value.
        weightless: how many were left out because they weigh 0.
        train, validation, test: the rows of each role; ``test`` is ``train`` where ``test_fraction`` is 0.
        folds: the training rows once more, parted for cross-validation; empty where none were asked for.
    """

    partitions: tuple[Partition, ...]
    digest: str
    rows: int
    dropped: int
    weightless: int
    train: Rows
    validation: Rows
    test: Rows
    folds: tuple[Rows, ...] = ()


def load(
    config: DataConfig,
    *,
    partitions: Sequence[Partition] | None = None,
    dtype: str = "float32",
    optional: Sequence[str] = (),
    optional_gaps: bool = False,
    folds: Callable[[int], int] | None = None,
) -> Dataset:
    """Read, check and split the data.

    Args:
        partitions: what ``source.find`` gave; None: it is asked.
        dtype: ``float32`` or ``float64``: what every value must fit into.
        optional: columns to hold where every partition has them, complete.
        optional_gaps: they may have gaps.
        folds: how many folds so many training rows are parted into, 0 for none; None: none.

    Raises:
        UserError: a file, a column, a value or the number of rows is not as it must be.
    """
    found = sorted(source.find(config.path) if partitions is None else partitions, key=lambda p: p.name)
    parts = [_read(p, found[0], config, dtype, optional) for p in found]
    keep = _kept_columns(config, parts, optional, optional_gaps)
    train, validation, test = (_rows(config, parts, keep, [p.role == r for p in parts]) for r in range(3))
    dropped, weightless = (sum(int((p.role == why).sum()) for p in parts) for why in (_DROPPED, _WEIGHTLESS))
    rows = len(train) + len(validation) + len(test)
    _check_counts(config, len(train), len(validation), len(test), dropped + weightless)
    judged = test if config.test_fraction > 0 else train
    apart = _folds(config, parts, keep, folds(len(train))) if folds else ()
    return Dataset(tuple(found), source.digest(found), rows, dropped, weightless, train, validation, judged, apart)


def read_complete(partition: Partition, columns: Sequence[str], *, gaps: bool = False) -> pa.Table:
    """Read columns of which every value must be there and finite, as for scoring; rows in file order.

    Args:
        gaps: a value may be missing: whoever scores the rows fills it.

    Raises:
        UserError: the file is not as it must be, or a value is missing or infinite.
    """
    table = source.read(partition, columns)
    missing = _missing(partition, table, "float64")
    if not gaps:
        _refuse(partition, missing, "fill it, or leave the row out")
    return table


def _read(partition: Partition, first: Partition, config: DataConfig, dtype: str, optional: Sequence[str]) -> _Part:
    """One partition's numbers, and the role of each row."""
    numbers = [*config.features, *config.targets, *([config.weight] if config.weight else [])]
    extra = [c for c in dict.fromkeys(optional) if c not in numbers]
    inline = [k for k in dict.fromkeys(config.key) if k not in (*numbers, *extra)]
    try:
        table = source.read(partition, [*numbers, *inline], optional=extra, text_ok=inline)
    except ColumnMissing as e:
        if partition is first:
            raise
        raise UserError(f"{e}; {first.label} has it: files of one data set need the same columns") from e
    keys = _keys(partition, table, config, inline)
    role = _roles(partition, len(table), keys, config)
    table = table.drop_columns(inline).combine_chunks()
    weightless = _weightless(partition, table, config)
    missing = _missing(partition, table.select(numbers), dtype, weightless)
    _leave_out(partition, role, weightless, missing, config)
    return _Part(partition, table, keys, role)


def _leave_out(
    partition: Partition, role: npt.NDArray[np.int8], weightless: Mask, missing: dict[str, Mask], config: DataConfig
) -> None:
    """Mark the rows that are not used: those that weigh nothing, and those that lack what they need."""
    role[weightless] = _WEIGHTLESS
    for name, bad in missing.items():
        if config.missing == "mean" and name in config.features:
            continue  # filled in later, when all rows are known
        if config.missing == "error" or (config.missing == "mean" and name == config.weight):
            _refuse(partition, {name: bad}, 'fill it, or set data.missing = "drop"')
        role[bad] = _DROPPED


def _weightless(partition: Partition, table: pa.Table, config: DataConfig) -> Mask:
    """Which rows weigh 0, shape (n,): they are not there, whatever else stands in them."""
    if not config.weight:
        return np.zeros(len(table), dtype=bool)
    weights = float64(table[config.weight])
    if (weights < 0).any():
        raise _fault(partition, config.weight, weights < 0, "is negative", "a row weighs 0 or more (data.weight)")
    tiny = (weights > 0) & (weights < 1 / _SQUARED)
    if tiny.any():
        raise _fault(partition, config.weight, tiny, "is too small to be squared", "rescale the column")
    return np.asarray(weights == 0)


def _keys(partition: Partition, table: pa.Table, config: DataConfig, inline: Sequence[str]) -> list[pa.ChunkedArray]:
    """A key that is a feature too is read again as it stands: its role must not hang on its being a feature."""
    names = list(dict.fromkeys(config.key))
    keys = table if names == inline else source.read(partition, names, text_ok=names)
    return [keys[k] for k in names]


def _roles(
    partition: Partition, rows: int, keys: Sequence[pa.ChunkedArray], config: DataConfig
) -> npt.NDArray[np.int8]:
    try:
        return split.roles(
            partition.name,
            rows,
            keys,
            test_fraction=config.test_fraction,
            validation_fraction=config.validation_fraction,
            seed=config.split_seed,
        )
    except UserError as e:
        raise UserError(f"{partition.label}: {e}") from e


def _missing(partition: Partition, table: pa.Table, dtype: str, skipped: Mask | None = None) -> dict[str, Mask]:
    """Which rows lack a value, shape (n,), for the columns where some do; those skipped are not looked at."""
    out = {}
    largest = min(float(np.finfo(np.dtype(dtype)).max), _SQUARED)
    for name, fine in zip(
        table.column_names, in_threads(lambda c: _all_within(c, largest), table.columns), strict=True
    ):
        if not fine:
            values = float64(table[name])
            if skipped is not None and skipped.any():
                values = np.where(skipped, 0.0, values)
            _check_range(partition, name, values, dtype, largest)
            bad = np.isnan(values)
            if bad.any():
                out[name] = bad
    return out


def _refuse(partition: Partition, missing: dict[str, Mask], remedy: str) -> None:
    for name, bad in missing.items():
        raise _fault(partition, name, bad, "is missing", remedy)


def _all_within(column: pa.ChunkedArray, largest: float) -> bool:
    """Whether every value is there, finite and not too large: two quick passes over it as it lies."""
    if column.null_count:
        return False
    if not pa.types.is_floating(column.type):
        return True
    chunks = [np.asarray(chunk) for chunk in column.chunks]
    return all(c.min() >= -largest and c.max() <= largest for c in chunks if len(c))  # NaN is neither


def _check_range(partition: Partition, name: str, values: Float, dtype: str, largest: float) -> None:
    infinite = np.isinf(values)
    if infinite.any():
        raise _fault(partition, name, infinite, "is infinite or beyond float64", "correct or remove it")
    if np.fmax.reduce(values, initial=0.0) > largest or np.fmin.reduce(values, initial=0.0) < -largest:
        beyond = np.abs(values) > largest
        remedy = "rescale the column" + ("" if largest == _SQUARED else ', or set train.dtype = "float64"')
        what = "is too large to be squared" if largest == _SQUARED else f"is beyond {dtype}"
        raise _fault(partition, name, beyond, what, remedy)


def _fault(partition: Partition, name: str, bad: Mask, what: str, remedy: str) -> UserError:
    where, text = source.locate(partition, int(np.flatnonzero(bad)[0]), name)
    more = f" ({int(bad.sum())} such in the column)" if bad.sum() > 1 else ""
    value = f"the value {text[:40]!r}" if text else "the value"
    return UserError(f"{partition.label}: {where}, column '{name}': {value} {what}{more}: {remedy}")


def _kept_columns(config: DataConfig, parts: Sequence[_Part], optional: Sequence[str], gaps: bool) -> list[str]:
    numbers = [*config.features, *config.targets, *([config.weight] if config.weight else [])]
    more = [c for c in dict.fromkeys(optional) if c not in numbers and all(_complete(p, c, gaps) for p in parts)]
    return numbers + more


def _complete(part: _Part, column: str, gaps: bool) -> bool:
    """Whether the kept rows of a partition all have a finite value there, or a gap where gaps are allowed."""
    if column not in part.table.column_names:
        return False
    values = float64(part.table[column])[part.role >= 0]
    return bool((np.isfinite(values) | (gaps & np.isnan(values))).all())


def _rows(config: DataConfig, parts: Sequence[_Part], keep: list[str], masks: Sequence[Mask]) -> Rows:
    """The rows of every partition where its mask says so."""
    tables, chosen = [part.table.select(keep) for part in parts], [_where(mask) for mask in masks]
    gaps = config.missing == "mean"
    return Rows(tables, config.features, config.targets, weight=config.weight, gaps=gaps, chosen=chosen)


def _where(mask: Mask) -> Chosen | None:
    """The numbers of the rows that a mask marks; None: all of them."""
    return None if mask.all() else np.flatnonzero(mask).astype(np.uint32)


def _folds(config: DataConfig, parts: Sequence[_Part], keep: list[str], count: int) -> tuple[Rows, ...]:
    """The training rows of each fold."""
    which = [
        split.folds(p.partition.name, len(p.table), p.keys, count=count, seed=config.split_seed) for p in parts
    ] * bool(count)
    return tuple(
        _rows(config, parts, keep, [(p.role == split.TRAIN) & (w == k) for p, w in zip(parts, which, strict=True)])
        for k in range(count)
    )


def _check_counts(config: DataConfig, train: int, validation: int, test: int, dropped: int) -> None:
    rows = f"{train + validation + test} rows" + (f" ({dropped} more were dropped)" if dropped else "")
    for name, count in (("test", test), ("validation", validation)):
        share = getattr(config, f"{name}_fraction")
        if share > 0 and not count:
            remedy = f"raise data.{name}_fraction, add rows, or change data.split_seed"
            raise UserError(f"{config.path}: none of {rows} is a {name} row at data.{name}_fraction {share}: {remedy}")
    needed = len(config.features) + 1
    if train < needed:
        what = f"{train} training rows, of {rows}, are too few for {needed} parameters a target ({needed - 1} features"
        remedy = "add rows, or take fewer features or a lower test_fraction or validation_fraction"
        raise UserError(f"{config.path}: {what} and the bias): {remedy}")
