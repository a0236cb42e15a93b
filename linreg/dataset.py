"""The rows of a run: read, checked and parted into training, validation and test rows.

``load`` is the whole way from a config's ``[data]`` to ``Dataset``; ``Rows`` (in ``rows``) hands the rows out. Values
are judged here: missing, infinite, beyond the dtype. It computes nothing from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linreg import source, split
from linreg.config import DataConfig
from linreg.errors import UserError
from linreg.rows import Float, Rows, float64
from linreg.source import Partition
from linreg.tables import ColumnMissing

_Part = tuple[pa.Table, npt.NDArray[np.int8]]  # one partition: its columns, and the role of each row
__all__ = ["Dataset", "Rows", "load", "read_complete"]

_SQUARED = 1e150  # the sum of squares of larger values is beyond float64


@dataclass(frozen=True)
class Dataset:
    """The data of a run.

    Args:
        partitions: the files, sorted by name.
        digest: of the content of all of them.
        rows: how many rows were kept, over all roles.
        dropped: how many were left out for a missing value.
        train, validation, test: the rows of each role; ``test`` is ``train`` where ``test_fraction`` is 0.
    """

    partitions: tuple[Partition, ...]
    digest: str
    rows: int
    dropped: int
    train: Rows
    validation: Rows
    test: Rows


def load(
    config: DataConfig,
    *,
    partitions: Sequence[Partition] | None = None,
    dtype: str = "float32",
    optional: Sequence[str] = (),
) -> Dataset:
    """Read, check and split the data.

    Args:
        partitions: what ``source.find`` gave; None: it is asked.
        dtype: ``float32`` or ``float64``: what every value must fit into.
        optional: columns to hold where every partition has them, complete.

    Raises:
        UserError: a file, a column, a value or the number of rows is not as it must be.
    """
    found = sorted(source.find(config.path) if partitions is None else partitions, key=lambda p: p.name)
    parts = [_read(p, found[0], config, dtype, optional) for p in found]
    keep = _kept_columns(config, parts, optional)
    tables = [[_of_role(table.select(keep), role, r) for table, role in parts] for r in range(3)]
    train, validation, test = (Rows(t, config.features, config.targets) for t in tables)
    dropped = sum(int((role < 0).sum()) for _, role in parts)
    rows = len(train) + len(validation) + len(test)
    _check_counts(config, len(train), len(validation), len(test), dropped)
    judged = test if config.test_fraction > 0 else train
    return Dataset(tuple(found), source.digest(found), rows, dropped, train, validation, judged)


def read_complete(partition: Partition, columns: Sequence[str]) -> pa.Table:
    """Read columns of which every value must be there and finite, as for scoring; rows in file order.

    Raises:
        UserError: the file is not as it must be, or a value is missing or infinite.
    """
    table = source.read(partition, columns)
    _refuse(partition, _missing(partition, table, "float64"), "fill it, or leave the row out")
    return table


def _read(partition: Partition, first: Partition, config: DataConfig, dtype: str, optional: Sequence[str]) -> _Part:
    """One partition's numbers, and the role of each row: -1 where it is dropped."""
    numbers = [*config.features, *config.targets]
    extra = [c for c in dict.fromkeys(optional) if c not in numbers]
    inline = [k for k in dict.fromkeys(config.key) if k not in (*numbers, *extra)]
    try:
        table = source.read(partition, [*numbers, *inline], optional=extra, text_ok=inline)
    except ColumnMissing as e:
        if partition is first:
            raise
        raise UserError(f"{e}; {first.label} has it: files of one data set need the same columns") from e
    role = _roles(partition, table, config, inline)
    table = table.drop_columns(inline).combine_chunks()
    missing = _missing(partition, table.select(numbers), dtype)
    if config.missing == "error":
        _refuse(partition, missing, 'fill it, or set data.missing = "drop"')
    for bad in missing.values():
        role[bad] = -1
    return table, role


def _roles(partition: Partition, table: pa.Table, config: DataConfig, inline: Sequence[str]) -> npt.NDArray[np.int8]:
    """A key that is a feature too is read again as it stands: its role must not hang on its being a feature."""
    names = list(dict.fromkeys(config.key))
    keys = table if names == inline else source.read(partition, names, text_ok=names)
    try:
        return split.roles(
            partition.name,
            len(table),
            [keys[k] for k in names],
            test_fraction=config.test_fraction,
            validation_fraction=config.validation_fraction,
            seed=config.split_seed,
        )
    except UserError as e:
        raise UserError(f"{partition.label}: {e}") from e


def _missing(partition: Partition, table: pa.Table, dtype: str) -> dict[str, npt.NDArray[np.bool_]]:
    """Which rows lack a value, shape (n,), for the columns where some do."""
    out = {}
    for name in table.column_names:
        if pa.types.is_floating(table[name].type) or table[name].null_count:
            values = float64(table[name])
            _check_range(partition, name, values, dtype)
            bad = np.isnan(values)
            if bad.any():
                out[name] = bad
    return out


def _refuse(partition: Partition, missing: dict[str, npt.NDArray[np.bool_]], remedy: str) -> None:
    for name, bad in missing.items():
        raise _fault(partition, name, bad, "is missing", remedy)


def _check_range(partition: Partition, name: str, values: Float, dtype: str) -> None:
    infinite = np.isinf(values)
    if infinite.any():
        raise _fault(partition, name, infinite, "is infinite or beyond float64", "correct or remove it")
    largest = min(float(np.finfo(np.dtype(dtype)).max), _SQUARED)
    if np.fmax.reduce(values, initial=0.0) > largest or np.fmin.reduce(values, initial=0.0) < -largest:
        beyond = np.abs(values) > largest
        remedy = "rescale the column" + ("" if largest == _SQUARED else ', or set train.dtype = "float64"')
        what = "is too large to be squared" if largest == _SQUARED else f"is beyond {dtype}"
        raise _fault(partition, name, beyond, what, remedy)


def _fault(partition: Partition, name: str, bad: npt.NDArray[np.bool_], what: str, remedy: str) -> UserError:
    where, text = source.locate(partition, int(np.flatnonzero(bad)[0]), name)
    more = f" ({int(bad.sum())} such in the column)" if bad.sum() > 1 else ""
    value = f"the value {text[:40]!r}" if text else "the value"
    return UserError(f"{partition.label}: {where}, column '{name}': {value} {what}{more}: {remedy}")


def _kept_columns(config: DataConfig, parts: Sequence[_Part], optional: Sequence[str]) -> list[str]:
    numbers = [*config.features, *config.targets]
    return numbers + [c for c in dict.fromkeys(optional) if c not in numbers and all(_complete(p, c) for p in parts)]


def _complete(part: _Part, column: str) -> bool:
    """Whether the kept rows of a partition all have a finite value there."""
    table, role = part
    return column in table.column_names and bool(np.isfinite(float64(table[column]))[role >= 0].all())


def _of_role(table: pa.Table, role: npt.NDArray[np.int8], wanted: int) -> pa.Table:
    mask = role == wanted
    return table if mask.all() else table.filter(pa.array(mask)).combine_chunks()


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
