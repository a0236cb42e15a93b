"""From a config's ``[data]`` to the records and the rows of a run, each file read once and one after the other.

    recorded = record_dataset(config.data, held=(split.TEST,))
    recorded.record.moments, recorded.dataset.test

The rows of a file become records as soon as they are read (``blocks``), and of the rows themselves only those stay that
something later needs: so memory does not grow with the rows that train. Files that are known from an earlier run are
not read at all (``cache``).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from linreg.data_config import DataConfig
from linreg.files.partitions import Partition
from linreg.ingest.blocks import Reading, read_partition
from linreg.ingest.cache import MOST, RecordCache, held_rows, key_of
from linreg.ingest.cache_file import Records
from linreg.ingest.checks import extras
from linreg.ingest.dataset import Dataset, assemble, rows_of, sorted_by_name, typed
from linreg.ingest.levels import (
    check_known,
    design_of,
    extent_of,
    gaps_of,
    in_design,
    known_levels,
    recorded_statistics,
)
from linreg.ingest.part import ALL, FOLD, PartitionRows, among, picked
from linreg.moments import from_rows
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Moments
from linreg.moments.ranges import Ranges, categories_of
from linreg.moments.record_stack import merge_records
from linreg.moments.training_record import TrainingRecord, merge_partitions, record_partition
from linreg.rows import split
from linreg.threads import cores, in_threads, one_thread


@dataclass(frozen=True)
class RecordedDataset:
    """What was read.

    Args:
        dataset: the rows that are held.
        record: the record of all training rows.
        validation: that of the validation rows, gaps filled with the training means; None where there are none.
        test: that of the rows that judge, gaps still open.
        extents: the range of every partition, features then targets, in the order of the partitions.
        read: how many files had to be read.
        folds: the record of the training rows of each fold; empty where none were asked for.
    """

    dataset: Dataset
    record: TrainingRecord
    validation: Moments | None
    test: MomentsWithGaps
    extents: tuple[Ranges, ...]
    read: int
    folds: tuple[MomentsWithGaps, ...] = ()


def record_dataset(
    config: DataConfig,
    *,
    partitions: Sequence[Partition] | None = None,
    dtype: str = "float32",
    optional: Sequence[str] = (),
    optional_gaps: bool = False,
    held: Collection[int] = ALL,
    folds: int = 0,
    device: torch.device | None = None,
    cache: Path | None = None,
    most: int = MOST,
) -> RecordedDataset:
    """Read, check, split and record the data.

    Args:
        partitions, dtype, optional, optional_gaps: as ``dataset.read_dataset`` takes them.
        held: the roles whose rows stay.
        folds: how many folds the training rows are recorded by as well; 0: none.
        device: makes the records, where there are neither folds, nor categories, nor a formula; None: the CPU does.
        cache: the folder where records and held rows are kept from run to run (``cache``); of use without folds and
            without a device.
        most: how many bytes it may take.

    Raises:
        UserError: a file, a column, a value or the number of rows is not as it must be.
    """
    partitions = sorted_by_name(config, partitions)
    config = typed(config, partitions)
    device = None if folds or config.categorical or config.formula else device
    optional = extras(config, optional)  # a champion of the same columns asks for no other entries
    reading = Reading(config, dtype, optional, optional_gaps and bool(optional), held, folds)
    with one_thread():  # the bits must not hang on how many threads there are
        kept = (
            RecordCache.open(cache, key_of(reading), most=most) if cache and not device and not folds else RecordCache()
        )
        fresh = _read([p for p in partitions if not kept.knows(p)], reading, partitions[0], device)
        kept.add(fresh, partitions)
        locations = [kept.location(p) for p in partitions]
        counts, records, extents = (
            [getattr(file, name)[i] for file, i in locations] for name in ("counts", "records", "extents")
        )
        levels = [known_levels(some, ALL) for some in records]
        trained = [known_levels(some, [split.TRAIN]) for some in records]
        gaps = set().union(*(gaps_of(some, split.TRAIN) for some in records))
        design = design_of(config, set().union(*trained), gaps, recorded_statistics(records))
        if design:
            check_known(config, design, partitions, levels)
        categories = categories_of(design)
        extents = [extent_of(design, config.factors, *own) for own in zip(extents, levels, strict=True)]
        extents = [replace(extent, categories=categories) for extent in extents]
        dataset = assemble(config, partitions, counts, held_rows(locations), optional, design)
        return _merged(dataset, records, extents, len(fresh), folds)


def _read(
    partitions: Sequence[Partition], reading: Reading, first: Partition, device: torch.device | None
) -> list[PartitionRows]:
    """Several files side by side, or one after the other with all cores on each."""
    read = partial(_on_device, device=device) if device else read_partition
    read = partial(read, reading=reading, first=first)
    if 1 < cores() <= len(partitions) and not (device and split.TRAIN in reading.held):
        return in_threads(partial(read, threads=1), partitions)
    return [read(partition) for partition in partitions]


def _on_device(partition: Partition, *, reading: Reading, device: torch.device, **options: Any) -> PartitionRows:
    """One file of which a device makes the records."""
    part = read_partition(partition, replace(reading, held=ALL, recorded=False), **options)
    records = {r: record_partition(rows_of(reading.config, [part], r), device) for r in ALL if part.counts[r]}
    kept = among(part.role, reading.held)
    return replace(part, records=records, table=picked(part.table, kept), role=part.role[kept])


def _merged(
    dataset: Dataset, records: Sequence[Records], extents: Sequence[Ranges], read: int, folds: int
) -> RecordedDataset:
    """The records of all partitions as one for each role and fold."""
    groups, design = (*ALL, *range(FOLD, FOLD + folds)), dataset.train.design
    parts = {group: [record[group][0] for record in records if group in record] for group in groups}
    merged = {group: in_design(merge_records(some), design) for group, some in parts.items() if some}
    plain = sum(record[split.TRAIN][1] == from_rows.PLAIN for record in records if split.TRAIN in record)
    known: dict[str, Any] = {"merged": merged[split.TRAIN], "in_design": partial(in_design, design=design)}
    record = merge_partitions(parts[split.TRAIN], plain=plain, **known)
    rows = dataset.train
    nothing = Moments.leaf(np.empty((0, len(rows.features) + len(rows.targets))), rows.features, rows.targets)
    return RecordedDataset(
        dataset,
        record,
        validation=merged[split.VALIDATION].filled(record.fill_F) if split.VALIDATION in merged else None,
        test=merged.get(split.TEST, merged[split.TRAIN]),
        extents=tuple(extents),
        read=read,
        folds=tuple(merged.get(FOLD + k, MomentsWithGaps(nothing, (), 0)) for k in range(folds)),
    )
