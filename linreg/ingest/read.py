"""From a config's ``[data]`` to the records and the rows of a run, each file read once and one after the other.

    found = read_dataset(config.data, held=(split.TEST,))
    found.record.moments, found.dataset.test

The training and validation rows of a file become records as soon as they are read (``blocks``), and of the rows
themselves only those stay that something later needs: so memory does not grow with the rows that train. Files that are
known from an earlier run are not read at all (``cache``).
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
from linreg.ingest.cache import MOST, Ledger, key_of, trim
from linreg.ingest.cache_file import Pack
from linreg.ingest.cached import Gathered, Place
from linreg.ingest.checks import extras, numbers
from linreg.ingest.dataset import Dataset, assembled, sorted_by_name
from linreg.ingest.part import FOLD, RECORDED, PartitionRows, among, picked
from linreg.moments.merge import merge_gapped
from linreg.moments.missing import Gapped
from linreg.moments.moments import Moments
from linreg.moments.ranges import Extent
from linreg.moments.training_record import Record, gapped_by, joined
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
    record: Record
    validation: Moments | None
    test: Gapped
    extents: tuple[Extent, ...]
    read: int
    folds: tuple[Gapped, ...] = ()


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
        device: the card that makes the records, where there are no folds; None: the CPU does.
        cache: the folder where records and held rows are kept from run to run (``cache``); of use without folds and
            without a card.
        most: how many bytes it may take.

    Raises:
        UserError: a file, a column, a value or the number of rows is not as it must be.
    """
    found, device = sorted_by_name(config, partitions), None if folds else device
    optional = extras(config, optional)  # a champion of the same columns asks for no other ledger
    asked: dict[str, Any] = {"dtype": dtype, "optional": optional, "optional_gaps": optional_gaps and bool(optional)}
    reading = Reading(config, **asked, held=held, folds=folds)
    read = partial(_on_device, reading, device) if device else partial(read_partition, reading=reading)
    side_by_side = len(found) >= cores() > 1 and not (device and split.TRAIN in held)
    read_all = partial(_all if side_by_side else _one_by_one, partial(read, first=found[0]))
    with one_thread():  # the bits must not hang on how many threads there are
        key = key_of(config, **asked, held=held)
        ledger = Ledger.open(cache, key, most=most) if cache and not device and not folds else None
        return _gathered(config, found, read_all, ledger, optional, apart=split.TRAIN in held, folds=folds)


def _gathered(
    config: DataConfig,
    found: Sequence[Partition],
    read_all: Callable[[Sequence[Partition]], Sequence[PartitionRows]],
    ledger: Ledger | None,
    optional: Sequence[str],
    *,
    apart: bool,
    folds: int,
) -> DatasetRead:
    """What came of all partitions, those that are known and those that had to be read."""
    known = [ledger.known(p) if ledger else None for p in found]
    rest = [p for p, place in zip(found, known, strict=True) if place is None]
    parts = read_all(rest)
    fresh = Pack.of(parts) if rest else None
    if ledger and fresh:
        ledger.add(fresh, found)
        trim(ledger.folder.parent, most=ledger.most)
    places = _in_order(known, fresh)
    gathered = Gathered.of(places)
    dataset = replace(
        assembled(config, gathered.parts(found[0], optional, numbers(config), apart=apart), optional),
        partitions=tuple(found),
        digest=source.digest(found),
        counts=gathered.counts(),
    )
    records = tuple(_fold(dataset.train, parts, k) for k in range(folds))
    return replace(_recorded(dataset, gathered, ledger, len(rest)), folds=records)


def _in_order(known: Sequence[Place | None], fresh: Pack | None) -> list[Place]:
    """The place of every partition: those that are not known are the fresh ones, one after the other."""
    coming = iter([(fresh, i) for i in range(len(fresh.names))] if fresh else ())
    return [place or next(coming) for place in known]


def _recorded(dataset: Dataset, gathered: Gathered, ledger: Ledger | None, read: int) -> DatasetRead:
    """The records of all partitions as one, with those that were merged before where there is a ledger."""
    columns = len(dataset.train.features) + len(dataset.train.targets)
    series = {r: found for r in RECORDED if len(found := gathered.series(r))}
    whole: dict[int, Gapped] = {}
    for r, records in series.items():
        branches = ledger.branches(r, columns) if ledger else None
        whole[r] = merge_gapped(records, branches)
        if branches:
            branches.save()
    train = series[split.TRAIN]
    record = joined(train, plain=train.plain, whole=whole[split.TRAIN])
    filled = whole[split.VALIDATION].filled(record.fill_F) if split.VALIDATION in whole else None
    judges = whole.get(split.TEST, whole[split.TRAIN])
    return DatasetRead(dataset, record, filled, judges, gathered.extents(), read)


def _fold(header: Rows, parts: Sequence[PartitionRows], k: int) -> Gapped:
    """The record of a fold of all partitions, which may be empty."""
    records = [part.records[FOLD + k][0] for part in parts if FOLD + k in part.records]
    if records:
        return merge_gapped(records)
    names = header.features, header.targets
    return Gapped(Moments.leaf(np.empty((0, len([*names[0], *names[1]]))), *names), (), 0)


def _all(read: Callable[..., PartitionRows], found: Sequence[Partition]) -> list[PartitionRows]:
    """Several files side by side."""
    return in_threads(partial(read, threads=1), found)


def _one_by_one(read: Callable[..., PartitionRows], found: Sequence[Partition]) -> list[PartitionRows]:
    """One after the other, with all cores on each."""
    return [read(partition) for partition in found]


def _on_device(reading: Reading, device: torch.device, partition: Partition, **how: Any) -> PartitionRows:
    """One file of which a card makes the records."""
    part = read_partition(partition, replace(reading, held=ALL, recorded=False), **how)
    rows = {r: _rows(part, reading.config, r) for r in RECORDED if part.counts[r]}
    kept = among(part.role, reading.held)
    records = {r: gapped_by(each, device) for r, each in rows.items()}
    return replace(part, records=records, table=picked(part.table, kept), role=part.role[kept])


def _rows(part: PartitionRows, config: DataConfig, role: int) -> Rows:
    """The rows of one role."""
    chosen = np.flatnonzero(part.role == role).astype(np.uint32)
    gaps = config.missing == "mean"
    return Rows([part.table], config.features, config.targets, weight=config.weight, gaps=gaps, chosen=[chosen])
