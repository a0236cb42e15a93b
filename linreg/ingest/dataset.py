"""The rows of a run: read, checked and parted into training, validation and test rows.

``read_dataset`` is the whole way from a config's ``[data]`` to ``Dataset``; ``records.record_dataset`` records the rows
as well, as they are read.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from linreg.data_config import DataConfig
from linreg.design import Design
from linreg.errors import UserError
from linreg.files import faults, stream
from linreg.files.partitions import Partition, digest, find
from linreg.files.paths import Tell, folder_columns
from linreg.files.tables import is_dates
from linreg.ingest.blocks import Reading, read_partition
from linreg.ingest.checks import extras, numbers
from linreg.ingest.levels import check_known, design_of, gaps_in, levels_of_rows, statistics_of
from linreg.ingest.part import ALL, DROPPED, WEIGHTLESS, PartitionRows, row_numbers
from linreg.rows import split
from linreg.rows.rows import Rows


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


def read_dataset(
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
    partitions = sorted_by_name(config, partitions)
    config = typed(config, partitions)
    reading = Reading(config, dtype, optional, optional_gaps, recorded=False)
    parts = [read_partition(p, reading, first=partitions[0]) for p in partitions]
    by_role = [[levels_of_rows(config, part, role) for role in ALL] for part in parts]
    gaps = set().union(*(gaps_in(config, part, split.TRAIN) for part in parts))
    design = design_of(config, set().union(*(levels[0] for levels in by_role)), gaps, statistics_of(config, parts))
    if design:
        check_known(config, design, partitions, [set().union(*levels) for levels in by_role])
    return assemble(config, partitions, [part.counts for part in parts], parts, optional, design)


def sorted_by_name(config: DataConfig, partitions: Sequence[Partition] | None = None) -> list[Partition]:
    """The partitions in the order in which they are recorded."""
    return sorted(find_files(config) if partitions is None else partitions, key=lambda p: p.name)


def typed(config: DataConfig, partitions: Sequence[Partition]) -> DataConfig:
    """The config with those columns of its formula as categories that hold text.

    Args:
        partitions: of which the first that has a value there says what it holds.

    Raises:
        UserError: a column is missing there, or holds dates.
    """
    undecided = [name for name in (config.parsed.bare if config.parsed else ()) if name not in config.categorical]
    texts: list[str] = []
    for partition in partitions if undecided else ():
        named = folder_columns(partition.name)
        source = stream.read(partition, [], optional=[name for name in undecided if name not in named])
        if source.rows == 0:
            continue
        numbers = [name for name in undecided if name in source.schema.names]
        first = next(source.batches(numbers)) if numbers else None
        if own := [name for name in undecided if name not in numbers]:
            _refuse_dates(partition, own)
        texts += own
        undecided = [name for name in numbers if first and first.column(name).null_count == len(first)]
        if not undecided:
            break
    return replace(config, categorical=(*config.categorical, *texts)) if texts else config


def _refuse_dates(partition: Partition, texts: Sequence[str]) -> None:
    levels = next(stream.read(partition, [], categories=dict.fromkeys(texts, ())).batches())
    if dates := [name for name in texts if is_dates(levels.column(name).dictionary)]:
        what = f"column '{dates[0]}' holds dates: {faults.INSTEAD_OF_DATES}; as a category it is C({dates[0]})"
        raise UserError(f"{partition.label}: {what}")


def find_files(
    config: DataConfig, *, known: Mapping[str, Partition] | None = None, tell: Tell = warnings.warn
) -> list[Partition]:
    """The files of a config's data, as ``partitions.find`` gives them."""
    window: dict[str, Any] = {"window": config.window, "window_by": config.window_by}
    return find(config.path, known=known, raw_files=config.raw_files, tell=tell, **window)


def assemble(
    config: DataConfig,
    partitions: Sequence[Partition],
    counts: Sequence[Mapping[int, int]],
    parts: Sequence[PartitionRows],
    optional: Sequence[str] = (),
    design: Design | None = None,
) -> Dataset:
    """The data of a run.

    Args:
        partitions, counts: the files, and how many rows of each role every one has.
        parts: their held rows, in this order; a part may be of several files.
        optional: as ``read_dataset`` takes it.
        design: the terms of the features; None: they are the columns themselves.

    Raises:
        UserError: a role that should have rows has none, or the training rows are too few.
    """
    count = {role: sum(rows[role] for rows in counts) for role in counts[0]}
    if not any(count.values()):
        raise faults.no_rows(partitions[0].label)
    _check_counts(config, count, len(design.terms) if design else len(config.features))
    extra = [c for c in extras(config, optional) if all(c in part.table.column_names for part in parts)]
    train, validation, test = (rows_of(config, parts, role, extra, design) for role in ALL)
    judged = split.TEST if config.test_fraction > 0 else split.TRAIN
    return Dataset(
        partitions=tuple(partitions),
        digest=digest(partitions),
        train_rows=count[split.TRAIN],
        validation_rows=count[split.VALIDATION],
        test_rows=count[judged],
        dropped=count[DROPPED],
        weightless=count[WEIGHTLESS],
        counts=tuple(counts),
        train=train,
        validation=validation,
        test=test if judged == split.TEST else train,
    )


def rows_of(
    config: DataConfig,
    parts: Sequence[PartitionRows],
    role: int,
    extra: Sequence[str] = (),
    design: Design | None = None,
) -> Rows:
    """The rows of a role that are held, with some columns more than are needed."""
    tables = [part.table.select([*numbers(config), *config.categorical, *extra]) for part in parts]
    chosen = [row_numbers(part.role == role) for part in parts]
    options: dict[str, Any] = {"weight": config.weight, "gaps": config.fills, "row_numbers": chosen}
    if design is None:
        return Rows(tables, config.features, config.targets, **options)
    return Rows(tables, tuple(design.terms), config.targets, design=design, **options)


def _check_counts(config: DataConfig, count: dict[int, int], features: int) -> None:
    train, validation, test = (count[role] for role in (split.TRAIN, split.VALIDATION, split.TEST))
    dropped = count[DROPPED] + count[WEIGHTLESS]
    rows = f"{train + validation + test} rows" + (f" ({dropped} more were dropped)" if dropped else "")
    for name, held_out in (("test", test), ("validation", validation)):
        share = getattr(config, f"{name}_fraction")
        if share > 0 and not held_out:
            remedy = f"raise data.{name}_fraction, add rows, or change data.split_seed"
            raise UserError(f"{config.path}: none of {rows} is a {name} row at data.{name}_fraction {share}: {remedy}")
    needed = features + 1
    if train < needed:
        what = f"{train} training rows, of {rows}, are too few for {needed} parameters a target ({needed - 1} features"
        remedy = "add rows, or take fewer features or a lower test_fraction or validation_fraction"
        raise UserError(f"{config.path}: {what} and the bias): {remedy}")
