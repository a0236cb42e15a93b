"""A file becomes records while it is read: block by block, on every core, and never held as a whole.

    part = read_partition(partition, Reading(config, held=(split.TEST,)))

A block is ``LEAF`` rows of the file, whatever their roles and however the file hands them out, so the bits hang on the
file alone. Of its rows only those stay whose roles are ``held``.

Shapes: n rows of a block.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import chain
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linreg.data_config import DataConfig
from linreg.design import MISSING, Design, Term
from linreg.errors import UserError
from linreg.files import stream
from linreg.files.csv_stream import OptionalText
from linreg.files.faults import ColumnMissing
from linreg.files.partitions import Partition
from linreg.files.paths import folder_columns
from linreg.files.stream import Stream
from linreg.files.tables import with_dates
from linreg.files.value_faults import first_fault, plain_values
from linreg.ingest import checks
from linreg.ingest.formula_terms import inputs_of, products_of
from linreg.ingest.part import ALL, FOLD, Mask, PartitionRows, Role, among, counted, group_mask, picked, row_numbers
from linreg.moments import from_rows
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.parted_leaf import part_leaf
from linreg.moments.ranges import Ranges
from linreg.moments.record_stack import Record, merge_records
from linreg.rows import split
from linreg.rows.rows import LEAF, Rows, TableBlock, block
from linreg.rows.terms import levels_of, prepared
from linreg.threads import in_order

Keys = Sequence[pa.ChunkedArray]


@dataclass(frozen=True)
class Reading:
    """What is made of every file.

    Args:
        dtype: what every value must fit into.
        optional: columns to hold where every row that is used has them.
        optional_gaps: they may have gaps.
        held: the roles whose rows stay.
        folds: how many folds the training rows are recorded by, besides; 0: none.
        recorded: whether rows become records at all.
    """

    config: DataConfig
    dtype: str = "float32"
    optional: Sequence[str] = ()
    optional_gaps: bool = False
    held: Collection[int] = ALL
    folds: int = 0
    recorded: bool = True

    @cached_property
    def products(self) -> list[tuple[str, ...]]:
        """The columns whose product each group of terms is."""
        return products_of(self.config)

    @cached_property
    def header(self) -> Rows:
        """Which columns of numbers a record has; with categories, what they are multiplied with comes to them."""
        terms = {term.name: term for term in map(Term, self.products)} if self.config.formula else {}
        design = Design(terms) if terms and not self.config.categories else None
        names = tuple(terms) if design else self.config.numbers
        return Rows((), names, self.config.targets, design=design, weight=self.config.weight)

    @property
    def groups(self) -> list[int]:
        """The roles that may have rows, and the folds: each is recorded by itself."""
        share = {split.VALIDATION: self.config.validation_fraction, split.TEST: self.config.test_fraction}
        return [*(r for r in ALL if share.get(r, 1)), *range(FOLD, FOLD + self.folds)] * self.recorded


@dataclass(frozen=True)
class _Leaf:
    """What is kept of one block; ``incomplete`` names optional columns."""

    held: pa.Table
    role: Role
    counts: dict[int, int]
    records: dict[int, Record]
    extent: Ranges
    incomplete: set[str]


@dataclass(frozen=True)
class _File:
    """A file that is open, and what is to be made of it.

    Args:
        folders: the columns that the folders of the file name, ``day=2026-11-01/``: one value for every row.
    """

    stream: Stream
    partition: Partition
    reading: Reading
    folders: Mapping[str, str]

    def frame(self, table: pa.Table) -> pa.Table:
        """The columns of a block that are numbers, dates or categories, and what a formula computes of them.

        The keys that are read stand behind them.
        """
        config = self.reading.config
        count = table.num_columns - sum(k not in self.folders for k in self.keys)
        read = with_dates(table.select(range(count)), config.dates)
        for name in config.categorical if config.missing == "indicator" else ():
            if MISSING in levels_of(read[name]):
                what = f"column '{name}' has a level called {MISSING!r}, as data.missing = \"indicator\" calls a gap"
                raise UserError(f"{self.partition.label}: {what}: rename it")
        return prepared(read, inputs_of(config))

    def seen(self, batch: pa.RecordBatch) -> dict[str, npt.NDArray[Any]]:
        """The dates and the computed columns of a batch, for a message."""
        frame = self.frame(pa.Table.from_batches([batch]))
        return {n: plain_values(frame[n]) for n in (*self.reading.config.dates, *self.reading.config.computed)}

    def keys_of(self, table: pa.Table) -> Keys:
        """What the rows of a block are known by."""
        keys = [k for k in self.keys if k not in self.folders]
        read = iter(table.columns[table.num_columns - len(keys) :])
        return [_constant(self.folders[k], len(table)) if k in self.folders else next(read) for k in self.keys]

    @property
    def keys(self) -> list[str]:
        """The key columns. One that is a feature too is read as it stands: its role must not hang on its being one."""
        return list(dict.fromkeys(self.reading.config.key))


def read_partition(
    partition: Partition, reading: Reading, *, first: Partition | None = None, threads: int = 0
) -> PartitionRows:
    """Read, check and record one file.

    Args:
        first: the partition that came first, which has the columns.
        threads: how many; 0: one a core. The bits do not depend on it.

    Raises:
        UserError: the file, a column or a value is not as it must be.
    """
    try:
        return _read(_opened(partition, reading, first), threads)
    except OptionalText as e:
        others = [c for c in reading.optional if c not in e.args]
        return read_partition(partition, replace(reading, optional=others), first=first, threads=threads)


def _opened(partition: Partition, reading: Reading, first: Partition | None) -> _File:
    config = reading.config
    columns = [name for name in checks.numbers(config) if name not in config.dates]
    extra = checks.extras(config, reading.optional)
    folders = folder_columns(partition.name)
    texts = [k for k in dict.fromkeys(config.key) if k not in folders]
    categories = {c: config.levels.get(c, ()) for c in config.categorical}
    wanted: dict[str, Any] = {"optional": extra, "categories": categories, "dates": config.dates, "texts": texts}
    try:
        return _File(stream.read(partition, columns, **wanted), partition, reading, folders)
    except ColumnMissing as e:
        if first is None or partition is first:
            raise
        raise UserError(f"{e}; {first.label} has it: files of one data set need the same columns") from e


def _read(file: _File, threads: int) -> PartitionRows:
    blocks = _blocks(file.stream, threads)
    first = next(blocks)
    parting = _parting(file, first[1])
    by_role = {role: _method(file, role, parting, *first) for role in ALL}
    methods = {group: by_role.get(group, by_role[split.TRAIN]) for group in file.reading.groups}
    try:
        return _part(file, parting, methods, chain([first], blocks), threads)
    except checks.Suspect:
        config, dtype = file.reading.config, file.reading.dtype
        compute = file.seen if config.computed else None
        fault = first_fault(file.stream, checks.value_faults(config, dtype), weight=config.weight, compute=compute)
        raise fault or AssertionError("a value is wrong, and none was found") from None


def _parting(file: _File, table: pa.Table) -> str:
    """The category whose levels part the rows of the file: the one that has the most in the first block."""
    frame, names = file.frame(table), file.reading.config.categories
    return max(names, key=lambda name: len(levels_of(frame[name])), default="")


def _blocks(stream: Stream, threads: int) -> Iterator[tuple[int, pa.Table]]:
    """The rows, cut where blocks end, each column in one piece; with the number of the first row. At least one."""
    waiting: list[pa.RecordBatch] = []
    start = at = 0
    for batch in stream.batches(rows=LEAF, threads=threads):
        while len(batch):
            waiting.append(batch.slice(0, LEAF - at % LEAF))
            batch = batch.slice(len(waiting[-1]))
            at += len(waiting[-1])
            if at % LEAF == 0:
                yield start, pa.Table.from_batches(waiting).combine_chunks()
                start, waiting = at, []
    if waiting:
        yield start, pa.Table.from_batches(waiting).combine_chunks()
    if not at:
        yield 0, stream.schema.empty_table()


def _method(file: _File, role: int, parting: str, start: int, table: pa.Table) -> str:
    """How the rows of a role are recorded, by the size of the file and its first block."""

    def first() -> TableBlock:
        frame = file.frame(table)
        at_level = ~np.any(
            [np.zeros(len(frame), bool), *(frame[c].is_null() for c in file.reading.config.categories)], axis=0
        )
        mask = at_level & (_roles(file, start, len(table), file.keys_of(table)) == role)
        return frame, row_numbers(mask if mask.any() else at_level)

    if not parting:
        return from_rows.choose_method(file.reading.header, file.stream.about_rows, first)
    frame, rows = first()
    if not len(frame if rows is None else rows):
        return from_rows.NUMPY
    leaf = part_leaf(file.reading.header, file.reading.products, parting, (frame, rows))
    return from_rows.choose_method(leaf.header, file.stream.about_rows, lambda: (leaf.table, None))


def _part(
    file: _File, parting: str, methods: Mapping[int, str], blocks: Iterator[tuple[int, pa.Table]], threads: int
) -> PartitionRows:
    """Everything that is made of the file; once more by reflections where plain sums turn out not to do."""
    kept = list(in_order(lambda placed: _leaf(file, parting, methods, *placed), blocks, threads=threads))
    merged = {
        group: merge_records(records)
        for group in methods
        if (records := [leaf.records[group] for leaf in kept if group in leaf.records])
    }
    poor = [group for group, record in merged.items() if not from_rows.is_accurate(methods[group], record.moments)]
    if poor:
        better = {**methods, **dict.fromkeys(poor, from_rows.FACTOR)}
        return _part(file, parting, better, _blocks(file.stream, threads), threads)
    incomplete = set().union(*(leaf.incomplete for leaf in kept))
    return PartitionRows(
        file.partition,
        pa.concat_tables([leaf.held for leaf in kept]).drop_columns(list(incomplete)),
        np.concatenate([leaf.role for leaf in kept]),
        {role: sum(leaf.counts[role] for leaf in kept) for role in kept[0].counts},
        {group: (record, methods[group]) for group, record in merged.items()},
        reduce(add, (leaf.extent for leaf in kept)),
    )


def _leaf(file: _File, parting: str, methods: Mapping[int, str], start: int, table: pa.Table) -> _Leaf:
    """Check and record one block.

    Raises:
        Suspect: a value is not as it must be.
    """
    config, frame, keys = file.reading.config, file.frame(table), file.keys_of(table)
    role = _roles(file, start, len(table), keys)
    extent = checks.leave_out(frame, role, config, file.reading.dtype)
    extra = [c for c in frame.column_names if c not in {*checks.numbers(config), *config.categories, *config.computed}]
    gaps = file.reading.optional_gaps
    incomplete = {c for c in extra if not checks.is_complete(frame[c], role, gaps=gaps)}
    fold = _folds(file, start, role, keys)
    masks = {group: group_mask(role, group, fold) for group in methods}
    records = {g: _record(file.reading, parting, methods[g], frame, mask) for g, mask in masks.items() if mask.any()}
    kept = among(role, file.reading.held)
    held = picked(frame.drop_columns(list(config.computed)), kept)
    return _Leaf(held, role[kept], counted(role), records, extent, incomplete)


def _record(reading: Reading, parting: str, method: str, table: pa.Table, mask: Mask) -> Record:
    """The record of some rows of a block, gaps still open."""
    header, rows = reading.header, row_numbers(mask)
    if parting:
        return part_leaf(header, reading.products, parting, (table, rows), method=method).recorded(method)
    gaps = Rows([table], header.features, (), design=header.design, gaps=reading.config.fills)
    if gaps.complete():
        return MomentsWithGaps(from_rows.record_leaf(header, method, (table, rows)), (), 0)
    weights = [block(table, rows, [header.weight])[:, 0]] if header.weight else None
    values = block(table, rows, (*header.features, *header.targets), header.design)
    return MomentsWithGaps.of([values], header.features, header.targets, weights=weights)


def _constant(value: str, rows: int) -> pa.ChunkedArray:
    return pa.chunked_array([pa.repeat(value, rows)])


def _roles(file: _File, start: int, rows: int, keys: Keys) -> Role:
    c = file.reading.config
    shares = {"test_fraction": c.test_fraction, "validation_fraction": c.validation_fraction}
    try:
        return split.roles(file.partition.name, rows, keys, seed=c.split_seed, start=start, **shares)
    except UserError as e:
        raise UserError(f"{file.partition.label}: {e}") from e


def _folds(file: _File, start: int, role: Role, keys: Keys) -> npt.NDArray[np.int16] | None:
    """The fold of each row."""
    if not file.reading.folds:
        return None
    seed, count = file.reading.config.split_seed, file.reading.folds
    return split.folds(file.partition.name, len(role), keys, count=count, seed=seed, start=start)
