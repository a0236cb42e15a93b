"""What the numbers of a block must be: there, finite, within the dtype, weights not negative; which rows are left out.

A block only notices that something is wrong (``Suspect``); ``first_fault`` then reads the file once more and says
what, with ``value_faults``. It computes nothing from the values.

Shapes: n rows of a block, P features and targets.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from linreg.data_config import DataConfig
from linreg.expression import columns_of
from linreg.files.value_faults import SQUARED, ValueFault, largest, no_date, no_level, no_value, out_of_range
from linreg.ingest.part import DROPPED, WEIGHTLESS, Mask, Role
from linreg.metrics import Float
from linreg.moments.ranges import Ranges
from linreg.rows.terms import float64


class Suspect(Exception):
    """A value is not as it must be."""


def numbers(config: DataConfig) -> list[str]:
    """The columns of numbers, and dates, that every row needs: for features, for targets, the weight."""
    return [*config.numbers, *config.outcomes, *([config.weight] if config.weight else [])]


def extras(config: DataConfig, optional: Sequence[str]) -> list[str]:
    """Those of the optional columns that are not needed anyway."""
    return [c for c in dict.fromkeys(optional) if c not in (*numbers(config), *config.categorical)]


def value_faults(config: DataConfig, dtype: str) -> list[ValueFault]:
    """What no value may be, in the order in which it is told."""
    names, weight = numbers(config), config.weight
    negative = ValueFault(weight, "is negative", "a row weighs 0 or more (data.weight)", lambda x_n: x_n < 0)
    tiny = ValueFault(weight, "is too small to be squared", "rescale the column", _tiny)
    ranges = [fault for name in names if name not in config.dates for fault in out_of_range(name, dtype)]
    ranges += map(no_date, config.dates)
    needed = [name for name in names if _needed(name, config)]
    gaps = [_gap(name, config) for name in needed]
    levels = [no_level(name, _remedy(name, config)) for name in config.categorical]
    first = {name: next(columns_of(made)) for name, made in config.computed.items()}
    levels += [no_level(first[name], _remedy(name, config), name) for name in first if name in config.categories]
    numeric = [name for name in first if name not in config.categories]
    undefined = [fault for name in numeric for fault in no_value(first[name], name, dtype)]
    return [*([negative, tiny] if weight else []), *ranges, *gaps, *levels, *undefined]


def leave_out(table: pa.Table, role: Role, config: DataConfig, dtype: str) -> Ranges:
    """Mark the rows that are not used: those that weigh nothing, and those that lack what they need.

    Returns:
        the range of features and targets over the rows that are.

    Raises:
        Suspect: a value is not as it must be.
    """
    names, most = numbers(config), largest(dtype)
    low, high = np.array([_ends(table[name].chunk(0)) for name in names]).T
    fine = (low >= -most) & (high <= most)  # NaN is neither
    weightless = _weightless(table, config)
    role[weightless] = WEIGHTLESS
    for name in [name for name, good in zip(names, fine, strict=True) if not good]:
        role[_absent(table, name, weightless, most, config)] = DROPPED
    for name in config.categories:
        role[_without_level(table[name], weightless, config)] = DROPPED
    p, used = len(config.numbers) + len(config.targets), role >= 0
    if config.parsed:
        return _formula_ranges(table, used, config, most)
    if fine.all() and used.all():
        return Ranges(low[:p], high[:p])
    return Ranges.of(float64(table[name])[used] for name in names[:p])


def _formula_ranges(table: pa.Table, used: Mask, config: DataConfig, most: float) -> Ranges:
    """The range of a formula's factors and targets over the rows that are used."""
    columns = [float64(table[name])[used] for name in (*config.factors, *config.targets)]
    if any((np.abs(x_n) > most).any() for x_n in columns):
        raise Suspect
    return Ranges.of(columns)


def is_complete(column: pa.ChunkedArray, role: Role, *, gaps: bool) -> bool:
    """Whether the rows that are used all have a finite value there, or a gap where gaps are allowed."""
    values = float64(column)[role >= 0]
    return bool((np.isfinite(values) | (gaps & np.isnan(values))).all())


def _ends(column: pa.Array) -> tuple[float, float]:
    """The smallest and the largest value, NaN where one is missing: two quick passes over the column as it lies."""
    if column.null_count or not len(column):
        return np.nan, np.nan
    values = np.asarray(column)
    return float(values.min()), float(values.max())


def _weightless(table: pa.Table, config: DataConfig) -> Mask:
    """Which rows weigh 0, shape (n,): they are not there, whatever else stands in them."""
    if not config.weight:
        return np.zeros(len(table), dtype=bool)
    weight_n = float64(table[config.weight])
    if (weight_n < 0).any() or _tiny(weight_n).any():
        raise Suspect
    return np.asarray(weight_n == 0)


def _absent(table: pa.Table, name: str, weightless: Mask, most: float, config: DataConfig) -> Mask:
    """Which rows are dropped since they lack a value; those that weigh nothing are not looked at."""
    x_n = np.where(weightless, 0.0, float64(table[name]))
    absent = np.isnan(x_n)
    if (np.abs(x_n) > most).any() or (absent.any() and _needed(name, config)):
        raise Suspect
    filled = config.fills and name in config.numbers  # later, when all rows are known
    return absent & (not filled)


def _without_level(column: pa.ChunkedArray, weightless: Mask, config: DataConfig) -> Mask:
    """Which rows are dropped since they are at no level."""
    if not column.null_count:
        return np.zeros(len(column), dtype=bool)
    absent = np.asarray(column.is_null()) & ~weightless
    if absent.any() and config.missing != "drop":
        raise Suspect
    return np.asarray(absent)


def _gap(name: str, config: DataConfig) -> ValueFault:
    computed = name if name in config.dates else ""
    return ValueFault(name, "is missing", _remedy(name, config), np.isnan, computed)


def _needed(name: str, config: DataConfig) -> bool:
    """Whether a missing value is a fault."""
    return config.missing == "error" or (config.fills and name == config.weight)


def _remedy(name: str, config: DataConfig) -> str:
    number = name in config.numbers and config.missing == "error"
    instead = ' or "mean"' if number else ' or "indicator"' if name in config.categories else ""
    return f'fill it, or set data.missing = "drop"{instead}'


def _tiny(weight_n: Float) -> Mask:
    return np.asarray((weight_n > 0) & (weight_n < 1 / SQUARED))
