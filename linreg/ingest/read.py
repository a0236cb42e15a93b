"""From a config's ``[data]`` to the records and the rows of a run, each file read once and one after the other.

    dataset_read = read_dataset(config.data, held=(split.TEST,))
    dataset_read.record.moments, dataset_read.dataset.test

The training and validation rows of a file become records as soon as they are read (``blocks``), and of the rows
themselves only those stay that something later needs: so memory does not grow with the rows that train. Files that are
known from an earlier run are not read at all (``cache``); the records are the same, to the bit.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from linreg.config import DataConfig
from linreg.files import partitions as source
from linreg.files.partitions import Partition
from linreg.ingest.blocks import Reading, read_partition
from linreg.ingest.cache import MOST, RecordCache, held_rows, key_of
from linreg.ingest.cache_file import Records
from linreg.ingest.checks import extras
from linreg.ingest.dataset import Dataset, assembled, sorted_by_name
from linreg.ingest.part import FOLD, RECORDED, PartitionRows, among, picked
from linreg.moments import from_rows
from linreg.moments.merge import merge_gapped
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.moments import Moments
from linreg.moments.ranges import Ranges
from linreg.moments.training_record import TrainingRecord, merge_partitions, record_partition
from linreg.rows import split
from linreg.rows.rows import Rows
from linreg.threads import cores, in_threads, one_thread

HELD_OUT = (split.VALIDATION, split.TEST)
ALL = (split.TRAIN, *HELD_OUT)


@dataclass(frozen=True)
class DatasetRead:
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


def read_dataset(
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
) -> DatasetRead:
    """Read, check, split and record the data.

    Args:
        partitions, dtype, optional, optional_gaps: as ``dataset.load`` takes them.
        held: the roles whose rows stay.
        folds: how many folds the training rows are recorded by as well; 0: none.
        device: makes the records, where there are no folds; None: the CPU does.
        cache: the folder where records and held rows are kept from run to run (``cache``); of use without folds and
            without a device.
        most: how many bytes it may take.

    Raises:
        UserError: a file, a column, a value or the number of rows is not as it must be.
    """
    found, device = sorted_by_name(config, partitions), None if folds else device
    optional = extras(config, optional)  # a champion of the same columns asks for no other entries
    asked: dict[str, Any] = {"dtype": dtype, "optional": optional, "optional_gaps": optional_gaps and bool(optional)}
    reading = Reading(config, **asked, held=held, folds=folds)
    read = partial(_on_device, reading, device) if device else partial(read_partition, reading=reading)
    one_by_one = device is not None and split.TRAIN in held
    read_all = partial(_one_by_one if one_by_one else _all, partial(read, first=found[0]))
    with one_thread():  # the bits must not hang on how many threads there are
        key = key_of(config, **asked, held=held)
        records = RecordCache.open(cache, key, most=most) if cache and not device and not folds else RecordCache()
        return _with_cache(config, found, read_all, records, optional, folds=folds)


def _with_cache(
    config: DataConfig,
    partitions: Sequence[Partition],
    read_all: Callable[[Sequence[Partition]], Sequence[PartitionRows]],
    cache: RecordCache,
    optional: Sequence[str],
    *,
    folds: int,
) -> DatasetRead:
    """What came of all partitions, those that are known and those that had to be read; for folds all of them are."""
    fresh = read_all([p for p in partitions if not cache.knows(p)])
    cache.add(fresh, partitions)
    locations = [cache.location(p) for p in partitions]
    dataset = replace(
        assembled(config, held_rows(locations), optional),
        partitions=tuple(partitions),
        digest=source.digest(partitions),
        counts=tuple(file.counts[i] for file, i in locations),
    )
    records, extents = ([getattr(file, name)[i] for file, i in locations] for name in ("records", "extents"))
    by_fold = tuple(_fold(config, fresh, k) for k in range(folds))
    return replace(_recorded(dataset, records, extents, len(fresh)), folds=by_fold)


def _recorded(dataset: Dataset, records: Sequence[Records], extents: Sequence[Ranges], read: int) -> DatasetRead:
    """The records of all partitions as one."""
    by_role = {r: [record[r] for record in records if r in record] for r in RECORDED}
    gapped = {r: [record for record, _ in some] for r, some in by_role.items() if some}
    whole = {r: merge_gapped(some) for r, some in gapped.items()}
    plain = sum(way == from_rows.PLAIN for _, way in by_role[split.TRAIN])
    record = merge_partitions(gapped[split.TRAIN], plain=plain, merged=whole[split.TRAIN])
    filled = whole[split.VALIDATION].filled(record.fill_F) if split.VALIDATION in whole else None
    judges = whole.get(split.TEST, whole[split.TRAIN])
    return DatasetRead(dataset, record, filled, judges, tuple(extents), read)


def _fold(config: DataConfig, parts: Sequence[PartitionRows], k: int) -> MomentsWithGaps:
    """The record of a fold of all partitions, which may be empty."""
    records = [part.records[FOLD + k][0] for part in parts if FOLD + k in part.records]
    if records:
        return merge_gapped(records)
    nothing = np.empty((0, len(config.features) + len(config.targets)))
    return MomentsWithGaps(Moments.leaf(nothing, config.features, config.targets), (), 0)


def _all(read: Callable[..., PartitionRows], found: Sequence[Partition]) -> list[PartitionRows]:
    """Several files side by side, or one after the other with all cores on each."""
    if 1 < cores() <= len(found):
        return in_threads(partial(read, threads=1), found)
    return _one_by_one(read, found)


def _one_by_one(read: Callable[..., PartitionRows], found: Sequence[Partition]) -> list[PartitionRows]:
    return [read(partition) for partition in found]


def _on_device(reading: Reading, device: torch.device, partition: Partition, **how: Any) -> PartitionRows:
    """One file of which a device makes the records."""
    part = read_partition(partition, replace(reading, held=ALL, recorded=False), **how)
    rows = {r: _rows(part, reading.config, r) for r in RECORDED if part.counts[r]}
    kept = among(part.role, reading.held)
    records = {r: record_partition(each, device) for r, each in rows.items()}
    return replace(part, records=records, table=picked(part.table, kept), role=part.role[kept])


def _rows(part: PartitionRows, config: DataConfig, role: int) -> Rows:
    """The rows of one role."""
    row_numbers = np.flatnonzero(part.role == role).astype(np.uint32)
    gaps = config.missing == "mean"
    return Rows(
        [part.table], config.features, config.targets, weight=config.weight, gaps=gaps, row_numbers=[row_numbers]
    )
