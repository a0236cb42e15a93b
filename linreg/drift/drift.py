"""Drift: how far new partitions are from the rows that the champion learned from, by their records alone.

    result = drift(Sample("champion", moments, ranges), new, known, champion)
    result.worst()                                   # {"drift.mean": 7.2, ...}, every number finite
    exceeded(result, config.drift).stop              # what stops the run (``findings``)

Six measures. ``mean``, ``spread``: of each column. ``correlation``: of each pair of columns. ``bias``, ``error``: mean
and spread of the champion's residuals, a target. These five count in standard errors (``shifts`` says which).
``range``: how far a value lies outside of all that the champion learned from, in spreads of its column.

It reads no file and decides nothing. Columns are matched by name; what cannot be compared is said in words.

Shapes: n new records, all of them together the last where there are several; S columns, M quantities of a measure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from linreg.design import Design
from linreg.drift.column_stats import Scope
from linreg.drift.differences import Shifts, safe_ratio
from linreg.drift.findings import MOST_FINDINGS, Drift, Finding, Unit
from linreg.drift.shifts import Comparison, correlations, means, spreads, worst_of
from linreg.judging_config import MEASURES
from linreg.metrics import Float
from linreg.model import LinearModel
from linreg.moments.deferred import DeferredMoments, PartitionMoments
from linreg.moments.levels import Others, levels_besides, with_levels
from linreg.moments.ranges import Ranges, indicators

Names = Sequence[tuple[str, ...]]  # the column, the target or the pair of each quantity


@dataclass(frozen=True)
class Sample:
    """Some training rows: those of one partition, or all that the champion learned from.

    Args:
        name: of the partition, for the words.
        moments: their record.
        ranges: the range of their columns, features then targets; None: not known.
    """

    name: str
    moments: PartitionMoments
    ranges: Ranges | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Features, then targets."""
        return (*self.moments.features, *self.moments.targets)


def drift(
    reference: Sample,
    new: Sequence[Sample],
    known: Sequence[Sample] = (),
    model: LinearModel | None = None,
    *,
    design: Design | None = None,
) -> Drift:
    """Compare new partitions with the champion's training rows, each by itself and all together.

    Args:
        reference: all rows that the champion learned from.
        new: partitions that it did not learn from; those without rows are skipped.
        known: partitions of today that it did learn from: they tell how partitions differ among themselves.
        model: the champion; None: nothing is said of residuals.
        design: of today's columns: a level that it does not know is a column of zeros to the champion, and two levels
            of one category are no pair.

    >>> import numpy as np
    >>> import linreg
    >>> from linreg.drift.drift import Sample
    >>> rows_NP = np.random.default_rng(0).normal(size=(500, 2))
    >>> known, new = (linreg.Moments.of([block], ("x",), ("y",)) for block in (rows_NP, rows_NP[:100] + [3.0, 0.0]))
    >>> result = linreg.measure_drift(Sample("known", known), [Sample("today", new)])
    >>> finding = result.findings["mean"][0]
    >>> finding.columns, round(finding.value)  # so many standard errors
    (('x',), 28)
    """
    new, known = ([s for s in part if s.moments.rows] for part in (new, known))
    names, model, levels, notes = _comparable(reference, [*new, *known], model, design)
    too_few = reference.moments.rows < 2
    if too_few or not new or not names:
        notes += ("everything: the champion learned from fewer than 2 rows",) * too_few
        return Drift(dict.fromkeys(MEASURES, ()), len(new), len(known), notes)
    of_reference = reference.moments.moments
    origin_S = of_reference.mean_P[_indices(reference, names)]
    new_records, known_records = ([_with_levels(s.moments, levels) for s in part] for part in (new, known))
    scope = Scope(names, origin_S, model, indicators(design))
    comparison = Comparison.of(of_reference, new_records, known_records, scope)
    ranges, range_notes = _range(comparison, reference, new)
    findings = {**_in_standard_errors(comparison, new), "range": ranges}
    return Drift({measure: findings[measure] for measure in MEASURES}, len(new), len(known), notes + range_notes)


def _comparable(
    reference: Sample, others: Sequence[Sample], model: LinearModel | None, design: Design | None
) -> tuple[tuple[str, ...], LinearModel | None, Others, tuple[str, ...]]:
    """The columns that all have, the model with the targets among them, its levels besides, and what falls out."""
    shared = set(reference.columns).intersection(*(s.columns for s in others))
    added = sorted({name for s in others for name in s.columns} - set(reference.columns))
    notes = [f"{name}: the champion did not learn from it" for name in added]
    notes += [f"{name}: not among the columns of today" for name in reference.columns if name not in shared]
    today = set(reference.columns if not others else others[0].columns).intersection(*(s.columns for s in others))
    levels = levels_besides(model, today, design) if model else {}
    reason = _why_no_residuals(reference, shared.union(levels), model) if model else ""
    if reason:
        notes.append(f"the champion's residuals: {reason}")
    names = tuple(name for name in reference.columns if name in shared)
    if model is None or reason:
        return names, None, {}, tuple(notes)
    return names, _with_targets(model, shared), levels, tuple(notes)


def _with_levels(record: PartitionMoments, levels: Others) -> PartitionMoments:
    if not levels:
        return record
    features = (*record.features, *levels)
    return DeferredMoments(
        features, record.targets, record.rows, record.weight, lambda: with_levels(record.moments, levels)
    )


def _why_no_residuals(reference: Sample, shared: set[str], model: LinearModel) -> str:
    missing = [name for name in model.features if name not in shared]
    if missing:
        return f"it needs {', '.join(missing)}"
    if not shared & set(model.targets):
        return "none of its targets is among the columns of today"
    few = reference.moments.rows <= len(model.features) + 1
    return "it has as many parameters as it learned from rows" if few else ""


def _with_targets(model: LinearModel, shared: set[str]) -> LinearModel:
    """The model of those of its targets that are there."""
    o = [i for i, name in enumerate(model.targets) if name in shared]
    targets = tuple(model.targets[i] for i in o)
    return replace(model, weight_OF=model.weight_OF[o], bias_O=model.bias_O[o], targets=targets)


def _in_standard_errors(comparison: Comparison, new: Sequence[Sample]) -> dict[str, tuple[Finding, ...]]:
    """The findings of all measures but the range."""
    scope = comparison.scope
    columns, targets = ([(name,) for name in part] for part in (scope.columns, scope.targets))
    correlation_shifts, worst_pairs = worst_of(correlations(comparison), scope)
    out = {"correlation": _findings("correlation", correlation_shifts, worst_pairs, new)}
    for measures, shifts in ((("mean", "bias"), means(comparison)), (("spread", "error"), spreads(comparison))):
        halves = shifts.map(lambda x: x[:, : len(columns)]), shifts.map(lambda x: x[:, len(columns) :])
        for measure, half, names in zip(measures, halves, (columns, targets), strict=True):
            out[measure] = _findings(measure, half, [names] * len(half.value_nM), new)
    return out


def _findings(measure: str, shifts: Shifts, names_n: Sequence[Names], new: Sequence[Sample]) -> tuple[Finding, ...]:
    """As records, the worst first; ``names_n``: the quantities of each new record."""
    partitions: list[tuple[str | None, int]] = [(s.name, s.moments.rows) for s in new]
    partitions.append((None, sum(rows for _, rows in partitions)))
    size_nM = np.abs(shifts.value_nM)
    order = np.argsort(-size_nM, axis=None, kind="stable")[: np.isfinite(size_nM).sum()]  # NaN sorts last
    out = []
    for i, m in zip(*np.unravel_index(order[:MOST_FINDINGS], size_nM.shape), strict=True):
        value, size, was, now = (float(x[i, m]) for x in shifts[:4])
        unit: Unit = "partition" if shifts.grouped_nM[i, m] else "row"
        name, rows = partitions[i]
        out.append(Finding(measure, names_n[i][m], name, rows, value, size, was, now, unit))
    return tuple(out)


def _range(
    comparison: Comparison, reference: Sample, new: Sequence[Sample]
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """How far each column of each new partition reaches beyond the reference; what is not known, in words."""
    recorded = [s for s in new if s.ranges]
    if reference.ranges is None or not recorded:
        return (), ("range: the ranges of the columns are not recorded",)
    names = comparison.scope.columns
    low_S, high_S = _ends(reference, names)
    low_nS, high_nS = (np.stack(ends) for ends in zip(*(_ends(s, names) for s in recorded), strict=True))
    spread_S = np.sqrt(comparison.reference.variance_nC[0, : len(names)])
    below_nS, above_nS = safe_ratio(low_S - low_nS, spread_S), safe_ratio(high_nS - high_S, spread_S)
    is_above = above_nS >= below_nS
    has_values = np.isfinite(low_S) & np.isfinite(low_nS)  # of a column without any value nothing is
    value_nS = np.where(has_values, np.maximum(np.maximum(below_nS, above_nS), 0.0), np.nan)
    was_nS, now_nS = np.where(is_above, high_S, low_S), np.where(is_above, high_nS, low_nS)
    shifts = Shifts(value_nS, value_nS, was_nS, now_nS, np.zeros(value_nS.shape, dtype=bool))
    return _findings("range", shifts, [[(name,) for name in names]] * len(recorded), recorded), ()


def _ends(sample: Sample, names: tuple[str, ...]) -> tuple[Float, Float]:
    assert sample.ranges
    indices = _indices(sample, names)
    return sample.ranges.low_P[indices], sample.ranges.high_P[indices]


def _indices(sample: Sample, names: tuple[str, ...]) -> list[int]:
    return [sample.columns.index(name) for name in names]
