"""The design of a run with categories: which levels there are, and what becomes of the others.

Levels are those of the training rows of all partitions, whatever the history that led to them. It computes nothing from
rows but which levels these are at.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache, reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from linreg.data_config import DataConfig
from linreg.design import MISSING, Design, Level, Term
from linreg.errors import UserError, listed
from linreg.expression import CALENDAR, columns_of
from linreg.files import stream
from linreg.files.partitions import Partition
from linreg.files.tables import as_level, with_dates
from linreg.files.value_faults import first_fault, plain_values, unseen_level
from linreg.formula import KEY
from linreg.ingest.formula_terms import Statistics, formula_terms, inputs_of
from linreg.ingest.part import PartitionRows
from linreg.moments.by_level import MomentsByLevel
from linreg.moments.missing_values import MomentsWithGaps
from linreg.moments.ranges import Ranges
from linreg.moments.record_stack import Record, merge_records
from linreg.rows import split
from linreg.rows.terms import float64, prepared, with_computed

MOST_TERMS = 2048  # columns of a design: their record takes 32 MB, its singular values some seconds, ten folds a minute


def design_of(config: DataConfig, known: Collection[Level], gaps: Collection[str], of: Statistics) -> Design | None:
    """The terms of the features, in their order; None where these are the columns themselves.

    Args:
        known: the levels that training rows have.
        gaps: the columns of numbers that they lack somewhere.
        of: tells the mean and the spread of a number over the training rows.

    Raises:
        UserError: the levels are too many.
    """
    indicators = set(gaps) if config.missing == "indicator" else set()
    if not config.categorical and not indicators and not config.formula:
        return None
    levels = {c: _levels(config, c, {level for column, level in known if column == c}) for c in config.categories}
    terms = formula_terms(config, config.parsed, levels, indicators, of) if config.parsed else None
    terms = _terms(config, levels, indicators) if terms is None else terms
    if not terms:
        what = f"all training rows are at one level of {listed(config.categories)}"
        raise UserError(f"{config.path}: {what}, so there is nothing to learn from: name other features, or add rows")
    if len(terms) > MOST_TERMS:
        _refuse(config, levels, len(terms))
    design = Design(terms, levels, config.unseen, gaps_are_levels=config.missing == "indicator")
    return replace(design, computed=config.computed, dates=config.dates, intercept=config.intercept)


def _terms(config: DataConfig, levels: Mapping[str, Sequence[str]], indicators: Collection[str]) -> dict[str, Term]:
    """The terms of features that stand by themselves."""
    terms: dict[str, Term] = {}
    for name in config.inputs:
        own = [Term(levels=((name, level),)) for level in levels[name][1:]] if name in levels else [Term((name,))]
        own += [Term(missing=(name,))] if name in indicators else []
        if twice := [term.name for term in own if term.name in (*terms, *config.targets)]:
            what = f"two columns, one of them a level or a gap of another, are both called {twice[0]!r}"
            raise UserError(f"{config.path}: {what}: rename a column or a level")
        terms |= {term.name: term for term in own}
    return terms


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
    rows = _held(config, part, role)
    return {(c, level) for c in config.categories for level in pc.unique(rows[c].cast("string")).to_pylist() if level}


def gaps_in(config: DataConfig, part: PartitionRows, role: int) -> set[str]:
    """The columns of numbers that the held rows of a role lack somewhere."""
    rows = _held(config, part, role)
    return {name for name in config.factors if np.isnan(float64(rows[name])).any()}


def statistics_of(config: DataConfig, parts: Sequence[PartitionRows]) -> Statistics:
    """What tells the mean and the spread of a number over the training rows that are held."""

    def of(name: str) -> tuple[float, float]:
        rows = [_held(config, part, split.TRAIN) for part in parts]
        x_N = np.concatenate([float64(table[name]) for table in rows])
        w_N = np.concatenate([float64(t[config.weight]) if config.weight else np.ones(len(t)) for t in rows])
        w_N = np.where(np.isnan(x_N), 0.0, w_N)
        mean = float(np.average(np.nan_to_num(x_N), weights=w_N))
        variance = float(np.average((np.nan_to_num(x_N) - mean) ** 2, weights=w_N))
        return mean, (variance * _without_bias(int(np.count_nonzero(w_N)))) ** 0.5

    return of


def recorded_statistics(records: Sequence[Mapping[int, tuple[Record, str]]]) -> Statistics:
    """The same of the recorded training rows."""

    @cache
    def merged() -> MomentsByLevel:
        record = merge_records([some[split.TRAIN][0] for some in records if split.TRAIN in some])
        return MomentsByLevel.of(record) if isinstance(record, MomentsWithGaps) else record

    def of(name: str) -> tuple[float, float]:
        mean, variance, share = merged().mean_and_variance(name)
        return mean, (variance * _without_bias(share * merged().moments.rows)) ** 0.5

    return of


def _without_bias(rows: float) -> float:
    return rows / max(rows - 1, 1)


def _held(config: DataConfig, part: PartitionRows, role: int) -> pa.Table:
    return prepared(part.table.filter(part.role == role), inputs_of(config))


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
            if level not in design.levels.get(column, (level,)):
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
            ends = [(0.0, 1.0)]
        else:
            ends = [(float(level in levels and count[level[0]] == 1), float(level in levels)) for level in term.levels]
            numbers_at = [(extent.low_P[at[name]], extent.high_P[at[name]]) for name in term.numbers]
            shifts = term.affine or ((0.0, 1.0),) * len(numbers_at)
            ends += [((a - m) / s, (b - m) / s) for (a, b), (m, s) in zip(numbers_at, shifts, strict=True)]
        smallest, largest = reduce(_times, ends)
        low.append(smallest)
        high.append(largest)
    targets = slice(len(numbers), None)
    return Ranges(np.array([*low, *extent.low_P[targets]]), np.array([*high, *extent.high_P[targets]]))


def _times(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    """The range of a product; of no rows where one of them is."""
    if a[0] > a[1] or b[0] > b[1]:
        return np.inf, -np.inf
    ends = [x * y for x in a for y in b]
    return min(ends), max(ends)


def _levels(config: DataConfig, column: str, known: Collection[str]) -> tuple[str, ...]:
    """The levels of a category, the base first: as listed, those that rows have; else sorted, codes by their number."""
    gap = [MISSING] if config.missing == "indicator" and MISSING in known else []  # never the base
    if listing := [as_level(level) for level in config.levels.get(column, ())]:
        levels = [level for level in listing if level in known and level not in gap]
        if not levels:
            what = f"data.levels.{column} lists {listed(listing)}, and training rows are at {listed(sorted(known))}"
            raise UserError(f"{config.path}: {what}: list levels as the data have them")
        return (*_base_first(config, column, levels), *gap)
    rest = [level for level in known if level not in gap]
    order: Callable[[str], int | str] = int if all(map(_is_code, rest)) else str
    if column in config.computed:
        order = CALENDAR[config.computed[column][0]].index
    in_order = sorted(rest, key=order)
    return (*_base_first(config, column, in_order), *gap)


def _base_first(config: DataConfig, column: str, levels: Sequence[str]) -> list[str]:
    """The levels, first the one that ``C()`` names as the base."""
    factors = config.parsed.factors if config.parsed else ()
    base = as_level(next((f.base for f in factors if f.is_category and f.column == column), ""))
    if base and base not in levels:
        what = f"{KEY} has {base!r} as the base of '{column}', and training rows are at {listed(levels)}"
        raise UserError(f"{config.path}: {what}: name one of these")
    return [base, *(level for level in levels if level != base)] if base else list(levels)


def _is_code(level: str) -> bool:
    return re.fullmatch("0|-?[1-9][0-9]{0,17}", level) is not None


def _refuse(config: DataConfig, levels: Mapping[str, Sequence[str]], terms: int) -> None:
    column = max(levels, key=lambda name: len(levels[name]), default="")
    cause = f"column '{column}' has {len(levels[column]):,} levels, and the design" if column else "the design has"
    raise UserError(
        f"{config.path}: {cause} {terms:,} columns: its record alone would take {8e-9 * terms**2:.2g} GB, more than "
        f"{MOST_TERMS:,} are not taken; group rare levels, or leave columns out"
    )


def _unseen(config: DataConfig, design: Design, partition: Partition, column: str) -> UserError:
    known = design.levels[column]
    what = "is not among data.levels" if column in config.levels else "is a level that no training row has"
    if made := config.computed.get(column):
        date = next(columns_of(made))

        def compute(batch: pa.RecordBatch) -> dict[str, Any]:
            frame = with_computed(with_dates(pa.Table.from_batches([batch]), [date]), {column: made})
            return {column: plain_values(frame[column])}

        source, what = stream.read(partition, [], dates=[date]), f"has a level of {column} that no training row has"
        fault = first_fault(source, [unseen_level(date, known, what, column)], compute=compute)
    else:
        source = stream.read(partition, [], categories={column: config.levels.get(column, ())})
        fault = first_fault(source, [unseen_level(column, known, what)])
    return fault or UserError(f"{partition.label}: changed while it was read: run again")
