"""A Parquet file leaf by leaf: decoded, checked and recorded in the cache, on every core, and never held as a whole.

    part = recorded(partition, config, "float32", held=(split.TEST,))

Only where nothing needs a second look: a local file that shows any change, numbers without gaps, no keys, no weights,
nothing missing and nothing too large. Everything else raises ``Irregular``: ``checks.read_part`` then reads the file
whole, tells faults in words, and gives the same record to the bit.

Each section of a file (``parquet_sections``) is decoded and recorded by one thread. A leaf that lies across two of them
is put together at the end.

Shapes: n rows of a leaf.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from itertools import groupby
from operator import add

import numpy as np
import pyarrow as pa

from linreg.config import DataConfig
from linreg.errors import UserError
from linreg.files import partitions as source
from linreg.files import tables
from linreg.files.partitions import Partition
from linreg.ingest.checks import ends, largest, numbers
from linreg.ingest.parquet_sections import Irregular, Section, Sections
from linreg.ingest.part import RECORDED, Part, Role, among, counted
from linreg.moments import from_rows as leaves
from linreg.moments.missing import MomentsWithGaps
from linreg.moments.moments import Moments
from linreg.moments.ranges import Ranges
from linreg.rows import split
from linreg.rows.batches import Index
from linreg.rows.rows import LEAF, Rows, TableBlock
from linreg.threads import in_threads


@dataclass(frozen=True)
class _Leaf:
    """What is kept of one leaf, or of a part of one."""

    held: pa.Table
    role: Role
    counts: dict[int, int]
    records: dict[int, Moments]
    extent: Ranges


@dataclass(frozen=True)
class _Fragment:
    """Rows of a leaf whose others lie in another section."""

    start: int
    table: pa.Table


@dataclass(frozen=True)
class _File:
    """A file that can be read leaf by leaf, and what is to be made of it."""

    partition: Partition
    config: DataConfig
    most: float
    held: Collection[int]
    source: Sections

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.source.rows

    @property
    def header(self) -> Rows:
        """Which columns there are."""
        return Rows((), self.config.features, self.config.targets)


def recorded(partition: Partition, config: DataConfig, dtype: str, *, held: Collection[int], threads: int = 0) -> Part:
    """Record the rows of each role of a partition by themselves, and hold those of some roles.

    Args:
        dtype: what every value must fit into.
        held: the roles whose rows are wanted.
        threads: how many; 0: one a core. The bits do not depend on it.

    Raises:
        Irregular: the file has to be read as a whole.
    """
    if config.key or config.weight or tables.kind(partition.name) != "parquet" or not source.unchanged(partition):
        raise Irregular
    with _or_irregular():
        file = _opened(partition, config, dtype, held)
        part = _part(file, _ways(file), threads)
    if not source.unchanged(partition):
        raise Irregular
    return part


@contextmanager
def _or_irregular() -> Iterator[None]:
    """What is wrong with a file is told by those who read it whole."""
    try:
        yield
    except (UserError, pa.ArrowException, OSError) as e:
        raise Irregular from e


def _opened(partition: Partition, config: DataConfig, dtype: str, held: Collection[int]) -> _File:
    return _File(partition, config, largest(dtype), held, Sections.of(partition, numbers(config)))


def _ways(file: _File) -> dict[int, str]:
    """The way in which each role is recorded, if it has rows."""
    share = {split.VALIDATION: file.config.validation_fraction, split.TEST: file.config.test_fraction}
    roles = [r for r in RECORDED if share.get(r, 1)]
    return {r: leaves.way_of(file.header, file.rows, partial(_first, file, r)) for r in roles}


def _first(file: _File, r: int) -> TableBlock:
    """The first leaf with rows of a role."""
    for section in file.source.sections:
        for start, table in file.source.fragments(section):
            role = _roles(file, start, len(table))
            if (role == r).any():
                return _piece(table, role, r)
    raise Irregular


def _part(file: _File, ways: dict[int, str], threads: int) -> Part:
    """Everything that is made of the file; once more by reflections where plain sums turn out not to do."""
    done = in_threads(partial(_section, file, ways), file.source.sections, threads=threads)
    found = [leaf for leaf, _ in sorted(_whole(file, ways, done), key=lambda placed: placed[1])]
    records = {r: [f.records[r] for f in found if r in f.records] for r in ways}
    merged = {r: leaves.merged(ways[r], each) for r, each in records.items() if each}
    poor = [r for r, moments in merged.items() if not leaves.holds(ways[r], moments)]
    if poor:
        return _part(file, ways | dict.fromkeys(poor, leaves.FACTOR), threads)
    return Part(
        file.partition,
        pa.concat_tables([f.held for f in found]),
        np.concatenate([f.role for f in found]),
        (),
        {r: sum(f.counts[r] for f in found) for r in found[0].counts},
        {r: (MomentsWithGaps(moments, (), 0), ways[r]) for r, moments in merged.items()},
        reduce(add, (f.extent for f in found)),
    )


def _section(file: _File, ways: dict[int, str], section: Section) -> list[tuple[_Leaf | _Fragment, int]]:
    """The leaves of a section, and the fragments at its ends; each with its first row."""
    out: list[tuple[_Leaf | _Fragment, int]] = []
    for start, table in file.source.fragments(section):
        stop = start + len(table)
        is_whole = start % LEAF == 0 and (stop % LEAF == 0 or stop == file.rows)
        out.append((_leaf(file, ways, start, table) if is_whole else _Fragment(start, table), start))
    return out


def _whole(
    file: _File, ways: dict[int, str], done: Sequence[Sequence[tuple[_Leaf | _Fragment, int]]]
) -> Iterator[tuple[_Leaf, int]]:
    """All leaves, those in fragments put together."""
    flat = [found for section in done for found in section]
    yield from ((leaf, start) for leaf, start in flat if isinstance(leaf, _Leaf))
    fragments = [f for f, _ in flat if isinstance(f, _Fragment)]
    for _, parts in groupby(fragments, lambda f: f.start // LEAF):
        same = list(parts)
        yield (
            _leaf(file, ways, same[0].start, pa.concat_tables([f.table for f in same]).combine_chunks()),
            same[0].start,
        )


def _leaf(file: _File, ways: dict[int, str], start: int, table: pa.Table) -> _Leaf:
    """Check and record one leaf; raises ``Irregular`` where a value needs a second look."""
    extent = Ranges(*np.array([ends(column) for column in table.columns]).T)
    if not ((extent.low_P >= -file.most) & (extent.high_P <= file.most)).all():  # NaN is neither
        raise Irregular
    role = _roles(file, start, len(table))
    counts = counted(role)
    records = {r: leaves.leaf(file.header, way, _piece(table, role, r)) for r, way in ways.items() if counts[r]}
    kept = among(role, file.held)
    return _Leaf(table if kept.all() else _picked(table, np.flatnonzero(kept)), role[kept], counts, records, extent)


def _picked(table: pa.Table, rows: Index) -> pa.Table:
    """Some rows of numbers in one piece, none of which is null: several times faster than Arrow's own way."""
    return pa.table({name: np.asarray(table[name].chunk(0))[rows] for name in table.column_names})


def _piece(table: pa.Table, role: Role, r: int) -> TableBlock:
    mask = role == r
    return table, None if mask.all() else np.flatnonzero(mask).astype(np.uint32)


def _roles(file: _File, start: int, rows: int) -> Role:
    c = file.config
    return split.roles(
        file.partition.name,
        rows,
        test_fraction=c.test_fraction,
        validation_fraction=c.validation_fraction,
        seed=c.split_seed,
        start=start,
    )
