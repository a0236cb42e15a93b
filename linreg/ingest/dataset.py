"""The rows of a run: read, checked and parted into training, validation and test rows.

``load`` is the whole way from a config's ``[data]`` to ``Dataset``; ``read`` does the same and records the rows as they
are read, both by ``blocks``. ``Rows`` (in ``rows``) hands the rows out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linreg.config import DataConfig
from linreg.errors import UserError
from linreg.files import faults
from linreg.files import partitions as source
from linreg.files.partitions import Partition
from linreg.ingest.blocks import Reading, read_partition
from linreg.ingest.checks import extras, numbers
from linreg.ingest.part import DROPPED, WEIGHTLESS, PartitionRows
from linreg.rows import split
from linreg.rows.rows import RowNumbers, Rows

__all__ = ["Dataset", "Rows", "assembled", "load", "sorted_by_name"]


@dataclass(frozen=True)
class Dataset:
    """The data of a run.

    Args:
        partitions: the files, sorted by name.
        digest: of the content of all of them.
        train_rows, validation_rows, test_rows: how many rows each role has; without a ``test_fraction`` the training
            rows are the test rows.
        counts: how many rows of each role every partition has.
        dropped: how many were left out for a missing value.
        weightless: how many were left out because they weigh 0.
        train, validation, test: the rows of each role that are held; without a ``test_fraction``, ``test`` is
            ``train``.

    >>> import linreg
    >>> data = linreg.DataConfig(
    ...     path="data/crops-15.csv", features=("temp", "rainfall"), targets=("apples",), test_fraction=0.2
    ... )
    >>> dataset = linreg.read_dataset(data)
    >>> len(dataset.train), len(dataset.test), dataset.rows
    (14, 1, 15)
    """

    partitions: tuple[Partition, ...]
    digest: str
    train_rows: int
    validation_rows: int
    test_rows: int
    dropped: int
    weightless: int
    counts: tuple[Mapping[int, int], ...]
    train: Rows
    validation: Rows
    test: Rows

    @property
    def rows(self) -> int:
        """How many rows are used, over all roles."""
        return self.train_rows + self.validation_rows + (self.test_rows if self.test is not self.train else 0)

    @property
    def empty(self) -> tuple[str, ...]:
        """The names of the files that have no row."""
        return tuple(p.name for p, count in zip(self.partitions, self.counts, strict=True) if not any(count.values()))

    @property
    def judges(self) -> tuple[int, ...]:
        """How many of the rows that judge each partition has: they lie in ``test`` in this order."""
        role = split.TRAIN if self.test is self.train else split.TEST
        return tuple(count[role] for count in self.counts)


def load(
    config: DataConfig,
    *,
    partitions: Sequence[Partition] | None = None,
    dtype: str = "float32",
    optional: Sequence[str] = (),
    optional_gaps: bool = False,
) -> Dataset:
    """Read, check and split the data, and hold all of it; nothing is recorded.

    Args:
        partitions: what ``partitions.find`` gave; None: it is asked.
        dtype: ``float32`` or ``float64``: what every value must fit into.
        optional: columns to hold where every partition has them, complete.
        optional_gaps: they may have gaps.

    Raises:
        UserError: a file, a column, a value or the number of rows is not as it must be.

    >>> import linreg
    >>> data = linreg.DataConfig(path="data/crops-15.csv", features=("temp", "rainfall"), targets=("apples",))
    >>> len(linreg.read_dataset(data).train)
    15
    """
    found = sorted_by_name(config, partitions)
    reading = Reading(config, dtype, optional, optional_gaps, recorded=False)
    return assembled(config, [read_partition(p, reading, first=found[0]) for p in found], optional)


def sorted_by_name(config: DataConfig, partitions: Sequence[Partition] | None = None) -> list[Partition]:
    """The partitions in the order in which they are recorded."""
    if partitions is None:
        partitions = source.find(config.path, window=config.window, window_by=config.window_by)
    return sorted(partitions, key=lambda p: p.name)


def assembled(config: DataConfig, parts: Sequence[PartitionRows], optional: Sequence[str] = ()) -> Dataset:
    """The data of a run from its partitions; arguments as ``load``.

    Raises:
        UserError: a role that should have rows has none, or the training rows are too few.
    """
    count = {role: sum(part.counts[role] for part in parts) for role in parts[0].counts}
    if not any(count.values()):
        raise faults.no_rows(parts[0].partition.label)
    _check_counts(config, count)
    keep = [*numbers(config), *_in_all(parts, extras(config, optional))]
    train, validation, test = (
        _rows(config, parts, keep, [p.role == r for p in parts]) for r in (split.TRAIN, split.VALIDATION, split.TEST)
    )
    judged = split.TEST if config.test_fraction > 0 else split.TRAIN
    found = tuple(part.partition for part in parts)
    return Dataset(
        partitions=found,
        digest=source.digest(found),
        train_rows=count[split.TRAIN],
        validation_rows=count[split.VALIDATION],
        test_rows=count[judged],
        dropped=count[DROPPED],
        weightless=count[WEIGHTLESS],
        counts=tuple(part.counts for part in parts),
        train=train,
        validation=validation,
        test=test if judged == split.TEST else train,
    )


def _in_all(parts: Sequence[PartitionRows], columns: Sequence[str]) -> list[str]:
    return [c for c in columns if all(c in part.table.column_names for part in parts)]


def _rows(
    config: DataConfig, parts: Sequence[PartitionRows], keep: list[str], masks: Sequence[npt.NDArray[np.bool_]]
) -> Rows:
    """The rows of every partition where its mask says so."""
    tables, chosen = [part.table.select(keep) for part in parts], [_where(mask) for mask in masks]
    gaps = config.missing == "mean"
    return Rows(tables, config.features, config.targets, weight=config.weight, gaps=gaps, row_numbers=chosen)


def _where(mask: npt.NDArray[np.bool_]) -> RowNumbers | None:
    """The numbers of the rows that a mask marks; None: all of them."""
    return None if mask.all() else np.flatnonzero(mask).astype(np.uint32)


def _check_counts(config: DataConfig, count: dict[int, int]) -> None:
    train, validation, test = (count[role] for role in (split.TRAIN, split.VALIDATION, split.TEST))
    dropped = count[DROPPED] + count[WEIGHTLESS]
    rows = f"{train + validation + test} rows" + (f" ({dropped} more were dropped)" if dropped else "")
    for name, held_out in (("test", test), ("validation", validation)):
        share = getattr(config, f"{name}_fraction")
        if share > 0 and not held_out:
            remedy = f"raise data.{name}_fraction, add rows, or change data.split_seed"
            raise UserError(f"{config.path}: none of {rows} is a {name} row at data.{name}_fraction {share}: {remedy}")
    needed = len(config.features) + 1
    if train < needed:
        what = f"{train} training rows, of {rows}, are too few for {needed} parameters a target ({needed - 1} features"
        remedy = "add rows, or take fewer features or a lower test_fraction or validation_fraction"
        raise UserError(f"{config.path}: {what} and the bias): {remedy}")
