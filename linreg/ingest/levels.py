"""The design of a run with categories: which levels there are, and what becomes of the others.

Levels are those of the training rows of all partitions, whatever the history that led to them. It computes nothing from
rows but which levels these are at.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import pyarrow.compute as pc

from linreg.data_config import DataConfig
from linreg.design import MISSING, Design, Level, Term
from linreg.errors import UserError, listed
from linreg.files import stream
from linreg.files.partitions import Partition
from linreg.files.tables import as_level
from linreg.files.value_faults import first_fault, unseen_level
from linreg.ingest.part import PartitionRows
from linreg.moments.by_level import MomentsByLevel
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.ranges import Ranges
from linreg.moments.record_stack import Record
from linreg.rows.terms import float64

MOST_TERMS = 2048  # columns of a design: their record takes 32 MB, its singular values some seconds, ten folds a minute


def design_of(config: DataConfig, known: Collection[Level], gaps: Collection[str]) -> Design | None:
    """The terms of the features, in their order; None where these are the columns themselves.

    Args:
        known: the levels that training rows have.
        gaps: the columns of numbers that they lack somewhere.

    Raises:
        UserError: the levels are too many.
    """
    indicators = set(gaps) if config.missing == "indicator" else set()
    if not config.categorical and not indicators:
        return None
    levels = {c: _levels(config, c, {level for column, level in known if column == c}) for c in config.categorical}
    terms: dict[str, Term] = {}
    for name in config.inputs:
        own = [Term(levels=((name, level),)) for level in levels[name][1:]] if name in levels else [Term((name,))]
        own += [Term(missing=(name,))] if name in indicators else []
        if twice := [term.name for term in own if term.name in (*terms, *config.targets)]:
            what = f"two columns, one of them a level or a gap of another, are both called {twice[0]!r}"
            raise UserError(f"{config.path}: {what}: rename a column or a level")
        terms |= {term.name: term for term in own}
    if not terms:
        what = f"all training rows are at one level of {listed(config.categorical)}"
        raise UserError(f"{config.path}: {what}, so there is nothing to learn from: name other features, or add rows")
    if len(terms) > MOST_TERMS:
        _refuse(config, levels, len(terms))
    return Design(terms, levels, config.unseen, gaps_are_levels=config.missing == "indicator")


def known_levels(records: Mapping[int, tuple[Record, str]], roles: Collection[int]) -> set[Level]:
    """The levels that the recorded rows of these roles are at."""
    by_level = [record for role, (record, _) in records.items() if role in roles and isinstance(record, MomentsByLevel)]
    return set().union(*(record.known_levels() for record in by_level))


def in_design(record: Record, design: Design | None) -> MomentsWithGaps:
    """The record of the design's columns."""
    if design is None:
        assert isinstance(record, MomentsWithGaps)  # only what has categories is recorded by level
        return record
    return (MomentsByLevel.of(record) if isinstance(record, MomentsWithGaps) else record).expanded(design)


def gaps_of(records: Mapping[int, tuple[Record, str]], role: int) -> set[str]:
    """The columns of numbers that the recorded rows of a role lack somewhere."""
    return set(records[role][0].gaps) if role in records else set()


def levels_of_rows(config: DataConfig, part: PartitionRows, role: int) -> set[Level]:
    """The levels that the held rows of a role are at."""
    rows = part.table.filter(part.role == role)
    return {(c, level) for c in config.categorical for level in pc.unique(rows[c].cast("string")).to_pylist() if level}


def gaps_in(config: DataConfig, part: PartitionRows, role: int) -> set[str]:
    """The columns of numbers that the held rows of a role lack somewhere."""
    rows = part.table.filter(part.role == role)
    return {name for name in config.numbers if np.isnan(float64(rows[name])).any()}


def check_known(
    config: DataConfig, design: Design, partitions: Sequence[Partition], levels: Sequence[Collection[Level]]
) -> None:
    """Refuse rows at a level that the design does not know, unless ``data.unseen`` says what they count as.

    Args:
        levels: those that the rows of each partition are at, whatever their role.

    Raises:
        UserError: names the first file, line and level.
    """
    if config.unseen == "base":
        return
    for partition, own in zip(partitions, levels, strict=True):
        for column, level in sorted(own):
            if level not in design.levels[column]:
                raise _unseen(config, design, partition, column)


def extent_of(design: Design | None, numbers: Sequence[str], extent: Ranges, levels: Collection[Level]) -> Ranges:
    """The range of the design's columns and the targets in a partition, of that of its numbers and targets."""
    if design is None:
        return extent
    at = {name: i for i, name in enumerate(numbers)}
    count = Counter(column for column, _ in levels)
    low: list[float] = []
    high: list[float] = []
    for term in design.terms.values():
        if term.missing:
            low.append(0.0)
            high.append(1.0)
        elif term.numbers:
            low.append(extent.low_P[at[term.numbers[0]]])
            high.append(extent.high_P[at[term.numbers[0]]])
        else:
            level = term.levels[0]
            low.append(float(level in levels and count[level[0]] == 1))
            high.append(float(level in levels))
    targets = slice(len(numbers), None)
    return Ranges(np.array([*low, *extent.low_P[targets]]), np.array([*high, *extent.high_P[targets]]))


def _levels(config: DataConfig, column: str, known: Collection[str]) -> tuple[str, ...]:
    """The levels of a category, the base first: as listed, those that rows have; else sorted, codes by their number."""
    gap = [MISSING] if config.missing == "indicator" and MISSING in known else []  # never the base
    if in_order := [as_level(level) for level in config.levels.get(column, ())]:
        levels = [level for level in in_order if level in known and level not in gap]
        if not levels:
            what = f"data.levels.{column} lists {listed(in_order)}, and training rows are at {listed(sorted(known))}"
            raise UserError(f"{config.path}: {what}: list levels as the data have them")
        return (*levels, *gap)
    rest = [level for level in known if level not in gap]
    order: Callable[[str], int | str] = int if all(map(_is_code, rest)) else str
    return (*sorted(rest, key=order), *gap)


def _is_code(level: str) -> bool:
    return re.fullmatch("0|-?[1-9][0-9]{0,17}", level) is not None


def _refuse(config: DataConfig, levels: Mapping[str, Sequence[str]], terms: int) -> None:
    column = max(levels, key=lambda name: len(levels[name]))
    gigabytes = 8e-9 * terms**2
    raise UserError(
        f"{config.path}: column '{column}' of data.categorical has {len(levels[column]):,} levels, and the design "
        f"{terms:,} columns: its record alone would take {gigabytes:.2g} GB, more than {MOST_TERMS:,} are not taken; "
        "group rare levels, or leave the column out"
    )


def _unseen(config: DataConfig, design: Design, partition: Partition, column: str) -> UserError:
    known = design.levels[column]
    what = "is not among data.levels" if column in config.levels else "is a level that no training row has"
    source = stream.read(partition, [], categories={column: config.levels.get(column, ())})
    fault = first_fault(source, [unseen_level(column, known, what)])
    return fault or UserError(f"{partition.label}: changed while it was read: run again")
