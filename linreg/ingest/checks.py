"""One partition's numbers, judged: missing, infinite, beyond the dtype, weights below zero; and the role of each row.

``read_part`` reads a file as a whole and tells the first fault in words: file, line, column, value, and what to do. It
computes nothing from the values.

Shapes: n rows of one partition.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from linreg.config import DataConfig
from linreg.errors import UserError
from linreg.files import partitions as source
from linreg.files.partitions import Partition
from linreg.files.paths import folder_columns
from linreg.files.tables import ColumnMissing
from linreg.ingest.part import DROPPED, WEIGHTLESS, Mask, Part, Role, counted
from linreg.moments.ranges import Ranges
from linreg.rows import split
from linreg.rows.rows import Float, float64
from linreg.threads import in_threads

SQUARED = 1e150  # the sum of squares of larger values is beyond float64


def numbers(config: DataConfig) -> list[str]:
    """The columns that every row needs: features, targets, the weight."""
    return [*config.features, *config.targets, *([config.weight] if config.weight else [])]


def extras(config: DataConfig, optional: Sequence[str]) -> list[str]:
    """Those of the optional columns that are not needed anyway."""
    return [c for c in dict.fromkeys(optional) if c not in numbers(config)]


def largest(dtype: str) -> float:
    """What a value of that dtype may be: it is held by the dtype, and its square by float64."""
    return min(float(np.finfo(np.dtype(dtype)).max), SQUARED)


def read_part(
    partition: Partition,
    first: Partition,
    config: DataConfig,
    dtype: str,
    optional: Sequence[str] = (),
    *,
    optional_gaps: bool = False,
) -> Part:
    """Read one partition whole; arguments as ``dataset.load``.

    Args:
        first: the partition that came first, which has the columns.

    Raises:
        UserError: the file, a column or a value is not as it must be.
    """
    extra = extras(config, optional)
    folders = folder_columns(partition.name)
    inline = [k for k in dict.fromkeys(config.key) if k not in (*numbers(config), *extra, *folders)]
    try:
        table = source.read(partition, [*numbers(config), *inline], optional=extra, text_ok=inline)
    except ColumnMissing as e:
        if partition is first:
            raise
        raise UserError(f"{e}; {first.label} has it: files of one data set need the same columns") from e
    keys = _keys(partition, table, config, inline)
    role = _roles(partition, len(table), keys, config)
    table = table.drop_columns(inline)
    weightless = _weightless(partition, table, config)
    missing = _missing(partition, table.select(numbers(config)), dtype, weightless)
    _leave_out(partition, role, weightless, missing, config)
    unusable = [c for c in extra if c in table.column_names and not _complete(table[c], role, gaps=optional_gaps)]
    used = table.select([*config.features, *config.targets])
    return Part(partition, table.drop_columns(unusable), role, keys, counted(role), extent=_extent(used, role))


def all_within(column: pa.ChunkedArray, most: float) -> bool:
    """Whether every value is there, finite and not too large; integers are, where they are there."""
    if not pa.types.is_floating(column.type):
        return not column.null_count
    low, high = ends(column)
    return low >= -most and high <= most


def ends(column: pa.ChunkedArray) -> tuple[float, float]:
    """The smallest and the largest value, NaN where one is missing: two quick passes over the column as it lies."""
    if column.null_count:
        return np.nan, np.nan
    chunks = [np.asarray(chunk) for chunk in column.chunks if len(chunk)]
    low, high = (np.array([f(c) for c in chunks], dtype=np.float64) for f in (np.min, np.max))
    return float(np.min(low, initial=np.inf)), float(np.max(high, initial=-np.inf))


def _extent(table: pa.Table, role: Role) -> Ranges:
    """The range of every column over the rows that have a role."""
    used = role >= 0
    values = (float64(column) for column in table.columns)
    return Ranges.of(values if used.all() else (v[used] for v in values))


def _complete(column: pa.ChunkedArray, role: Role, *, gaps: bool) -> bool:
    """Whether the rows that are used all have a finite value there, or a gap where gaps are allowed."""
    values = float64(column)[role >= 0]
    return bool((np.isfinite(values) | (gaps & np.isnan(values))).all())


def _leave_out(
    partition: Partition, role: Role, weightless: Mask, missing: dict[str, Mask], config: DataConfig
) -> None:
    """Mark the rows that are not used: those that weigh nothing, and those that lack what they need."""
    role[weightless] = WEIGHTLESS
    for name, bad in missing.items():
        if config.missing == "mean" and name in config.features:
            continue  # filled in later, when all rows are known
        if config.missing == "error" or (config.missing == "mean" and name == config.weight):
            instead = ' or "mean"' if name in config.features and config.missing == "error" else ""
            raise _fault(partition, name, bad, "is missing", f'fill it, or set data.missing = "drop"{instead}')
        role[bad] = DROPPED


def _weightless(partition: Partition, table: pa.Table, config: DataConfig) -> Mask:
    """Which rows weigh 0, shape (n,): they are not there, whatever else stands in them."""
    if not config.weight:
        return np.zeros(len(table), dtype=bool)
    weights = float64(table[config.weight])
    if (weights < 0).any():
        raise _fault(partition, config.weight, weights < 0, "is negative", "a row weighs 0 or more (data.weight)")
    tiny = (weights > 0) & (weights < 1 / SQUARED)
    if tiny.any():
        raise _fault(partition, config.weight, tiny, "is too small to be squared", "rescale the column")
    return np.asarray(weights == 0)


def _keys(partition: Partition, table: pa.Table, config: DataConfig, inline: Sequence[str]) -> list[pa.ChunkedArray]:
    """A key that is a feature too is read again as it stands: its role must not hang on its being a feature.

    One that a folder names, ``day=2026-11-01/``, is that for every row, whatever the file holds.
    """
    names, folders = list(dict.fromkeys(config.key)), folder_columns(partition.name)
    read = [k for k in names if k not in folders]
    keys = table if read == inline else source.read(partition, read, text_ok=read)
    return [pa.chunked_array([pa.repeat(folders[k], len(table))]) if k in folders else keys[k] for k in names]


def _roles(partition: Partition, rows: int, keys: Sequence[pa.ChunkedArray], config: DataConfig) -> Role:
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


def _missing(partition: Partition, table: pa.Table, dtype: str, skipped: Mask) -> dict[str, Mask]:
    """Which rows lack a value, shape (n,), for the columns where some do; those skipped are not looked at."""
    out, most = {}, largest(dtype)
    fine = in_threads(lambda column: all_within(column, most), table.columns)
    for name in [name for name, good in zip(table.column_names, fine, strict=True) if not good]:
        values = float64(table[name])
        if skipped.any():
            values = np.where(skipped, 0.0, values)
        _check_range(partition, name, values, dtype)
        bad = np.isnan(values)
        if bad.any():
            out[name] = bad
    return out


def _check_range(partition: Partition, name: str, values: Float, dtype: str) -> None:
    infinite, most = np.isinf(values), largest(dtype)
    if infinite.any():
        raise _fault(partition, name, infinite, "is infinite or beyond float64", "correct or remove it")
    if np.fmax.reduce(values, initial=0.0) > most or np.fmin.reduce(values, initial=0.0) < -most:
        beyond = np.abs(values) > most
        remedy = "rescale the column" + ("" if most == SQUARED else ', or set train.dtype = "float64"')
        what = "is too large to be squared" if most == SQUARED else f"is beyond {dtype}"
        raise _fault(partition, name, beyond, what, remedy)


def _fault(partition: Partition, name: str, bad: Mask, what: str, remedy: str) -> UserError:
    where, text = source.locate(partition, int(np.flatnonzero(bad)[0]), name)
    more = f" ({int(bad.sum())} such in the column)" if bad.sum() > 1 else ""
    value = f"the value {text[:40]!r}" if text else "the value"
    return UserError(f"{partition.label}: {where}, column '{name}': {value} {what}{more}: {remedy}")
