"""From a config's ``[data]`` to the records and the rows of a run, each file read once and one after the other.

    found = take_in(config.data, held=(split.TEST,))
    found.record.moments, found.dataset.test

The training and validation rows of a file become records as soon as they are read, and of the rows themselves only
those stay that something later needs: so memory does not grow with the rows that train. Files that allow it are read
leaf by leaf (``leafwise``), the others whole (``checks``); the records are the same, to the bit.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
import torch

from linreg import leafwise, leaves, split
from linreg.checks import Part, among, extras, read_part
from linreg.config import DataConfig
from linreg.dataset import Dataset, Folds, assembled, sorted_by_name
from linreg.moments import Moments, merge
from linreg.record import Record, gapped_by, joined
from linreg.rows import Rows
from linreg.source import Partition
from linreg.threads import cores, in_threads, one_thread

HELD_OUT = (split.VALIDATION, split.TEST)
ALL = (split.TRAIN, *HELD_OUT)
_RECORDED = (split.TRAIN, split.VALIDATION)


@dataclass(frozen=True)
class Intake:
    """What was read.

    Args:
        dataset: the rows that are held.
        record: the record of all training rows.
        validation: that of the validation rows, gaps filled with the training means; None where there are none.
    """

    dataset: Dataset
    record: Record
    validation: Moments | None


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
) -> Intake:
    """Read, check, split and record the data.

    Args:
        partitions, dtype, optional, optional_gaps, folds: as ``dataset.load`` takes them; folds need the training rows.
        held: the roles whose rows stay.
        device: the card that makes the records; None: the CPU does.

    Raises:
        UserError: a file, a column, a value or the number of rows is not as it must be.
    """
    found = sorted_by_name(config, partitions)
    whole = partial(
        read_part, first=found[0], config=config, dtype=dtype, optional=optional, optional_gaps=optional_gaps
    )
    needs_all = extras(config, optional) or device
    leaf_by_leaf = None if needs_all else partial(leafwise.recorded, config=config, dtype=dtype)
    read = partial(_part, whole=whole, leaf_by_leaf=leaf_by_leaf, config=config, held=held, device=device)
    with one_thread():  # the bits must not hang on how many threads there are
        parts = [read(partition) for partition in found] if device else _all(read, found)
        dataset = assembled(config, parts, optional, folds)
        record = _joined(parts)
        validation = [p.records[split.VALIDATION][0] for p in parts if split.VALIDATION in p.records]
        return Intake(dataset, record, merge(validation).filled(record.fill_F) if validation else None)


def _all(read: Callable[..., Part], found: Sequence[Partition]) -> list[Part]:
    """Several files side by side, or one after the other with all cores on each."""
    if len(found) < cores():
        return [read(partition) for partition in found]
    return in_threads(partial(read, threads=1), found)


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
        with suppress(leafwise.Irregular):
            return leaf_by_leaf(partition, held=held, threads=threads)
    part = whole(partition)
    rows = {r: _rows(part, config, r) for r in _RECORDED if part.counts[r]}
    return _reduced(replace(part, records={r: gapped_by(each, device) for r, each in rows.items()}), held)


def _rows(part: Part, config: DataConfig, role: int) -> Rows:
    """The rows of one role."""
    chosen = np.flatnonzero(part.role == role).astype(np.uint32)
    gaps = config.missing == "mean"
    named = config.features, config.targets
    return Rows([part.table], *named, weight=config.weight, gaps=gaps, chosen=[chosen])


def _reduced(part: Part, held: Collection[int]) -> Part:
    """Without the rows that nothing needs."""
    kept = among(part.role, held)
    if kept.all():
        return part
    where = pa.array(np.flatnonzero(kept))
    return replace(part, table=part.table.take(where), role=part.role[kept], keys=[k.take(where) for k in part.keys])


def _joined(parts: Sequence[Part]) -> Record:
    found = [part.records[split.TRAIN] for part in parts if split.TRAIN in part.records]
    return joined([each for each, _ in found], plain=sum(way == leaves.PLAIN for _, way in found))
