"""From a config's ``[data]`` to the records and the rows of a run, each file read once and one after the other.

    found = take_in(config.data, held=(split.TEST,))
    found.record.moments, found.dataset.test

The training and validation rows of a file become records as soon as they are read, and of the rows themselves only
those stay that something later needs: so memory does not grow with the rows that train. Files that allow it are read
leaf by leaf (``parquet_blocks``), the others whole (``checks``), those that are known from an earlier run not at all
(``cache``); the records are the same, to the bit.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from linreg.config import DataConfig
from linreg.files import partitions as source
from linreg.files.partitions import Partition
from linreg.ingest import parquet_blocks as leafwise
from linreg.ingest.cache import MOST, RecordCache, held_rows, key_of
from linreg.ingest.cache_file import Records
from linreg.ingest.checks import extras, read_part
from linreg.ingest.dataset import Dataset, Folds, assembled, sorted_by_name
from linreg.ingest.parquet_sections import Irregular
from linreg.ingest.part import RECORDED, Part, among
from linreg.moments import from_rows as leaves
from linreg.moments.merge import merge_gapped
from linreg.moments.missing import MomentsWithGaps
from linreg.moments.moments import Moments
from linreg.moments.ranges import Ranges
from linreg.moments.training_record import Record, gapped_by, joined
from linreg.rows import split
from linreg.rows.rows import Rows
from linreg.threads import cores, in_threads, one_thread

HELD_OUT = (split.VALIDATION, split.TEST)
ALL = (split.TRAIN, *HELD_OUT)


@dataclass(frozen=True)
class Intake:
    """What was read.

    Args:
        dataset: the rows that are held.
        record: the record of all training rows.
        validation: that of the validation rows, gaps filled with the training means; None where there are none.
        test: that of the rows that judge, gaps still open.
        extents: the range of every partition, features then targets, in the order of the partitions.
        read: how many files had to be read.
    """

    dataset: Dataset
    record: Record
    validation: Moments | None
    test: MomentsWithGaps
    extents: tuple[Ranges, ...]
    read: int


def take_in(
    config: DataConfig,
    *,
    partitions: Sequence[Partition] | None = None,
    dtype: str = "float32",
    optional: Sequence[str] = (),
    optional_gaps: bool = False,
    held: Collection[int] = ALL,
    folds: Folds | None = None,
    device: torch.device | None = None,
    cache: Path | None = None,
    most: int = MOST,
) -> Intake:
    """Read, check, split and record the data.

    Args:
        partitions, dtype, optional, optional_gaps, folds: as ``dataset.load`` takes them; folds need the training rows.
        held: the roles whose rows stay.
        device: makes the records; None: the CPU does.
        cache: the folder where records and held rows are kept from run to run (``cache``); of use without folds and
            without a device.
        most: how many bytes it may take.

    Raises:
        UserError: a file, a column, a value or the number of rows is not as it must be.
    """
    found = sorted_by_name(config, partitions)
    optional = extras(config, optional)  # a champion of the same columns asks for no other entries
    asked: dict[str, Any] = {"dtype": dtype, "optional": optional, "optional_gaps": optional_gaps and bool(optional)}
    whole = partial(read_part, first=found[0], config=config, **asked)
    needs_all = optional or device
    leaf_by_leaf = None if needs_all else partial(leafwise.recorded, config=config, dtype=dtype)
    read = partial(_part, whole=whole, leaf_by_leaf=leaf_by_leaf, config=config, held=held, device=device)
    kept = cache is not None and not device and not folds
    with_rows = split.TRAIN in held or folds is not None
    read_all = partial(_one_by_one if device and with_rows else _all, read)
    with one_thread():  # the bits must not hang on how many threads there are
        if folds:
            return _with_folds(config, read_all(found), optional, folds)
        key = key_of(config, **asked, held=held)
        records = RecordCache.open(cache, key, most=most) if cache and kept else RecordCache()
        return _with_cache(config, found, read_all, records, optional)


def _with_folds(config: DataConfig, parts: Sequence[Part], optional: Sequence[str], folds: Folds) -> Intake:
    """What came of parts whose rows are all held, each as a table of its own, with their keys."""
    dataset = assembled(config, parts, optional, folds)
    return _recorded(dataset, [part.records for part in parts], [part.extent for part in parts], len(parts))


def _with_cache(
    config: DataConfig,
    partitions: Sequence[Partition],
    read_all: Callable[[Sequence[Partition]], Sequence[Part]],
    cache: RecordCache,
    optional: Sequence[str],
) -> Intake:
    """What came of all partitions, those that are known and those that had to be read."""
    fresh = [p for p in partitions if not cache.knows(p)]
    cache.add(read_all(fresh), partitions)
    locations = [cache.location(p) for p in partitions]
    dataset = replace(
        assembled(config, held_rows(locations), optional),
        partitions=tuple(partitions),
        digest=source.digest(partitions),
        counts=tuple(file.counts[i] for file, i in locations),
    )
    records, extents = ([getattr(file, name)[i] for file, i in locations] for name in ("records", "extents"))
    return _recorded(dataset, records, extents, len(fresh))


def _recorded(dataset: Dataset, records: Sequence[Records], extents: Sequence[Ranges], read: int) -> Intake:
    """The records of all partitions as one."""
    by_role = {r: [record[r] for record in records if r in record] for r in RECORDED}
    gapped = {r: [record for record, _ in some] for r, some in by_role.items() if some}
    whole = {r: merge_gapped(some) for r, some in gapped.items()}
    plain = sum(way == leaves.PLAIN for _, way in by_role[split.TRAIN])
    record = joined(gapped[split.TRAIN], plain=plain, whole=whole[split.TRAIN])
    filled = whole[split.VALIDATION].filled(record.fill_F) if split.VALIDATION in whole else None
    judges = whole.get(split.TEST, whole[split.TRAIN])
    return Intake(dataset, record, filled, judges, tuple(extents), read)


def _all(read: Callable[..., Part], found: Sequence[Partition]) -> list[Part]:
    """Several files side by side, or one after the other with all cores on each."""
    if 1 < cores() <= len(found):
        return in_threads(partial(read, threads=1), found)
    return _one_by_one(read, found)


def _one_by_one(read: Callable[..., Part], found: Sequence[Partition]) -> list[Part]:
    return [read(partition) for partition in found]


def _part(
    partition: Partition,
    *,
    whole: Callable[[Partition], Part],
    leaf_by_leaf: Callable[..., Part] | None,
    config: DataConfig,
    held: Collection[int],
    device: torch.device | None,
    threads: int = 0,
) -> Part:
    """One file, recorded, with the rows that stay."""
    if leaf_by_leaf:
        with suppress(Irregular):
            return leaf_by_leaf(partition, held=held, threads=threads)
    part = whole(partition)
    rows = {r: _rows(part, config, r) for r in RECORDED if part.counts[r]}
    return _reduced(replace(part, records={r: gapped_by(each, device) for r, each in rows.items()}), held)


def _rows(part: Part, config: DataConfig, role: int) -> Rows:
    """The rows of one role."""
    chosen = np.flatnonzero(part.role == role).astype(np.uint32)
    gaps = config.missing == "mean"
    named = config.features, config.targets
    return Rows([part.table], *named, weight=config.weight, gaps=gaps, row_numbers=[chosen])


def _reduced(part: Part, held: Collection[int]) -> Part:
    """Without the rows that nothing needs."""
    kept = among(part.role, held)
    if kept.all():
        return part
    where = pa.array(np.flatnonzero(kept))
    return replace(part, table=part.table.take(where), role=part.role[kept], keys=[k.take(where) for k in part.keys])
