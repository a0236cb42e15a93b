"""Standard errors, t and p values, intervals, R2, F, AIC and BIC of a fitted model; or why there are none.

    result = infer(fitted.model, moments)
    result.inference                                 # "valid", or the reason
    result.targets["apples"].coefficients["temp"]    # estimate, standard error, t, p, low, high

They hold for least squares alone: full rank, rows enough, no penalty, no filled-in values, no warm start, no selection,
and parameters within 0.01 standard error of the optimum. Where one of these fails the reason is given instead, and only
the estimates stand. A constant column has no errors, and takes none from the others. It reads no rows: the record of
them and the model are enough.

Shapes: N rows, F features, O targets, D = F + 1 parameters (intercept first).

Source: Seber and Lee, Linear Regression Analysis, chapters 3 to 5; definitions as in statsmodels' OLS and WLS.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.special import fdtrc, stdtr

from linreg.errors import UserError
from linreg.least_squares.objective import Objective
from linreg.least_squares.results import VALID, Coefficient, Errors, Inference, Quality, TargetInference
from linreg.least_squares.standard_errors import StandardErrors, excess_O, spans_constant
from linreg.least_squares.validity import NEAR, NEARER, record_reasons
from linreg.metrics import Float, finite, r2_of
from linreg.model import LinearModel
from linreg.moments.deferred import DeferredMoments, PartitionMoments
from linreg.moments.moments import Moments
from linreg.moments.subset import subset
from linreg.sampling import FEWEST_PARTITIONS, quantile

Kind = Literal["confidence", "prediction"]

LEVEL = 0.95


def infer(
    model: LinearModel,
    moments: Moments,
    *,
    reasons: Sequence[str] = (),
    remedy: str = NEARER,
    partitions: Sequence[PartitionMoments] = (),
    level: float = LEVEL,
) -> Inference:
    """Say what the recorded training rows allow to be said about the model's parameters.

    Args:
        model: as it was trained; its estimates are the ones reported.
        moments: the record of its training rows.
        reasons: why inference is not valid as far as the caller knows; ``validity.caller_reasons`` words them.
        remedy: what to do where the parameters are away from the optimum; ``validity.remedy`` words it.
        partitions: the records of the partitions, adding up to ``moments``; from 30 on, clustered errors are given.
        level: of the intervals.

    Raises:
        ValueError: the model, the record and the partitions are not of the same columns and rows.

    >>> import linreg
    >>> columns = {"features": ("temp", "rainfall", "humidity"), "targets": ("apples", "oranges")}
    >>> rows = linreg.read_dataset(linreg.DataConfig(path="data/crops-15.csv", **columns)).train
    >>> moments = linreg.Moments.of(rows.blocks(), rows.features, rows.targets)
    >>> model = linreg.fit(rows, linreg.TrainConfig(trainer="exact")).model
    >>> inference = linreg.infer(model, moments)
    >>> inference.valid, round(inference.targets["apples"].coefficients["temp"].errors.standard_error, 5)
    (True, 0.02831)
    """
    spread_P = moments.equations.spread_P
    constant = {n for n, spread in zip(moments.features, spread_P, strict=False) if spread == 0}
    if 0 < len(constant) < len(moments.features):
        options: dict[str, Any] = {"reasons": reasons, "remedy": remedy, "level": level}
        return _beside_constants(model, moments, partitions, constant, options)
    clusters = _clusters(model, moments, partitions)
    all_reasons = (*reasons, *record_reasons(model, moments, reasons, remedy=remedy))
    full_rank = moments.solve().rank == len(moments.features)
    enough = full_rank and moments.rows > len(moments.features) + moments.intercept
    inflation_F = StandardErrors(moments).inflation_F if full_rank else [None] * len(moments.features)
    return Inference(
        inference="; ".join(all_reasons) or VALID,
        level=level,
        rows=moments.rows,
        degrees_of_freedom=StandardErrors(moments).degrees if enough else None,
        partitions=0 if all_reasons else len(clusters),
        condition_number=finite(Objective.of(moments).condition_number),
        variance_inflation={n: finite(v) for n, v in zip(moments.features, inflation_F, strict=True)},
        deficient=moments.solve().deficient,
        assumptions=() if all_reasons else _assumptions(moments, clustered=bool(clusters)),
        targets=_targets(model, moments, clusters, level, valid=not all_reasons),
    )


def _beside_constants(
    model: LinearModel,
    moments: Moments,
    partitions: Sequence[PartitionMoments],
    constant: Collection[str],
    options: Mapping[str, Any],
) -> Inference:
    """What is said of the other columns; nothing tells a constant's slope, or its part of the intercept, from another.

    Args:
        constant: some of the features.
        options: of ``infer``.
    """
    varies = np.array([name not in constant for name in moments.features])
    columns = tuple(np.array(moments.features)[varies].tolist()), moments.targets
    part_O = model.weight_OF[:, ~varies] @ (moments.mean_P[: len(varies)] - model.mean_F)[~varies]
    others = replace(
        model,
        weight_OF=model.weight_OF[:, varies],
        bias_O=model.bias_O + part_O,
        mean_F=model.mean_F[varies],
        features=columns[0],
        fill_F=None if model.fill_F is None else model.fill_F[varies],
    )

    def deferred(p: PartitionMoments) -> DeferredMoments:
        return DeferredMoments(*columns, p.rows, p.weight, lambda: subset(p.moments, *columns))

    inferred = infer(others, subset(moments, *columns), partitions=[*map(deferred, partitions)], **options)
    targets = {}
    for o, (name, target) in enumerate(inferred.targets.items()):
        nothing = Errors() if target.intercept.clustered else None
        slopes = zip(model.features, model.weight_OF[o].tolist(), strict=True)
        own = {feature: Coefficient(slope, clustered=nothing) for feature, slope in slopes}
        intercept = Coefficient(float(model.intercept_O[o]), clustered=nothing)
        if abs(target.intercept.estimate - intercept.estimate) <= NEAR * (target.intercept.errors.standard_error or 0):
            intercept = replace(target.intercept, estimate=intercept.estimate)
        targets[name] = replace(target, intercept=intercept, coefficients=own | dict(target.coefficients))
    inflation = {n: inferred.variance_inflation.get(n) for n in moments.features}
    return replace(inferred, targets=targets, variance_inflation=inflation, deficient=moments.solve().deficient)


def intervals(
    model: LinearModel,
    moments: Moments,
    x_NF: Float,
    *,
    kind: Kind = "confidence",
    level: float = LEVEL,
) -> tuple[Float, Float]:
    """The interval of each row's mean (``confidence``), or of a new observation of weight 1 (``prediction``).

    Args:
        model: as it was trained.
        moments: the record of its training rows.
        x_NF: the rows, columns in the order of the model's features.
        kind: of which of the two.
        level: of each interval by itself.

    Returns:
        low and high, each float64 of shape (N, O), in the targets' units.

    Raises:
        UserError: the record or the model do not allow any; the line says why.

    >>> import linreg
    >>> columns = {"features": ("temp", "rainfall", "humidity"), "targets": ("apples", "oranges")}
    >>> rows = linreg.read_dataset(linreg.DataConfig(path="data/crops-15.csv", **columns)).train
    >>> moments = linreg.Moments.of(rows.blocks(), rows.features, rows.targets)
    >>> model = linreg.fit(rows, linreg.TrainConfig(trainer="exact")).model
    >>> low_NO, high_NO = linreg.intervals(model, moments, [[73.0, 67.0, 43.0]], kind="prediction")
    >>> low_NO.round(1).tolist(), high_NO.round(1).tolist()
    ([[54.4, 66.9]], [[60.3, 72.1]])
    """
    x_NF = np.asarray(x_NF, dtype=np.float64)
    predicted_NO, half_NO = model.predict(x_NF), HalfWidths.of(model, moments, kind=kind, level=level)(x_NF)
    return predicted_NO - half_NO, predicted_NO + half_NO


@dataclass(frozen=True)
class HalfWidths:
    """How far each row's interval reaches to either side, for rows that come block by block.

    Args:
        errors: of the record of the training rows.
        kind: of a row's mean (``confidence``), or of a new observation of weight 1 (``prediction``).
        reach_O: Student's t times the residual standard error, in the targets' units.
    """

    errors: StandardErrors
    kind: Kind
    reach_O: Float

    @classmethod
    def of(cls, model: LinearModel, moments: Moments, *, kind: Kind, level: float = LEVEL) -> "HalfWidths":
        """Of a model and the record of its training rows; raises ``UserError`` where they allow no intervals."""
        reasons = record_reasons(model, moments)
        if reasons:
            raise UserError(f"no intervals: {'; '.join(reasons)}")
        errors = StandardErrors(moments)
        t = quantile(level, errors.degrees)
        if not np.isfinite(t):
            raise UserError(f"an interval of level {level!r} has no end: take a level further from 1")
        return cls(errors, kind, t * errors.deviation_O)

    def __call__(self, x_NF: Float) -> Float:
        """The half-widths of rows (N, F): float64 of shape (N, O)."""
        norm_N = self.errors.mean_norm_N(x_NF)
        if self.kind == "prediction":
            norm_N = np.hypot(1.0, norm_N)
        return norm_N[:, None] * self.reach_O


def _clusters(model: LinearModel, moments: Moments, partitions: Sequence[PartitionMoments]) -> list[PartitionMoments]:
    """The partitions that have rows, where they are enough to cluster by."""
    columns = (moments.features, moments.targets)
    others = [(model.features, model.targets), *((p.features, p.targets) for p in partitions)]
    if any(other != columns for other in others):
        raise ValueError("the model, the record and the partitions are not of the same columns")
    filled = [p for p in partitions if p.rows]
    if partitions and sum(p.rows for p in filled) != moments.rows:
        raise ValueError("the partitions do not add up to the record")
    return filled if len(filled) >= FEWEST_PARTITIONS else []


def _targets(
    model: LinearModel, moments: Moments, clusters: Sequence[PartitionMoments], level: float, *, valid: bool
) -> dict[str, TargetInference]:
    """The estimates and R2; with their errors and the quality of the fit where inference is valid."""
    estimate_DO = np.vstack([model.intercept_O, model.weight_OF.T])
    targets = len(model.targets)
    classical = [[Errors()] * targets] * len(estimate_DO)
    clustered: Sequence[Sequence[Errors | None]] = [[None] * targets] * len(estimate_DO)
    quality = [Quality(finite(r2)) for r2 in _r2(model, moments)]
    if valid:
        errors = StandardErrors(moments)
        classical, quality = _errors(estimate_DO, errors.error_DO, errors.degrees, level), _quality(model, moments)
        if clusters:
            clustered = _errors(estimate_DO, errors.clustered_DO(clusters), len(clusters) - 1, level)
    out = {}
    for o, target in enumerate(model.targets):
        rows = zip(estimate_DO[:, o].tolist(), classical, clustered, strict=True)
        intercept, *slopes = (Coefficient(estimate, own[o], by_partition[o]) for estimate, own, by_partition in rows)
        out[target] = TargetInference(quality[o], intercept, dict(zip(model.features, slopes, strict=True)))
    return out


def _errors(estimate_DO: Float, error_DO: Float, degrees: int, level: float) -> list[list[Errors]]:
    """t, p and interval of each parameter; a clustered error can be 0, and has then no t."""
    t_DO = np.divide(estimate_DO, error_DO, out=np.full_like(error_DO, np.nan), where=error_DO > 0)
    half_DO = quantile(level, degrees) * error_DO
    columns = (error_DO, t_DO, 2 * stdtr(degrees, -np.abs(t_DO)), estimate_DO - half_DO, estimate_DO + half_DO)
    return [[Errors(*map(finite, five)) for five in row] for row in np.stack(columns, axis=-1)]


def _r2(model: LinearModel, moments: Moments) -> Float:
    """1 - RSS / TSS on the training rows; 0 of a constant target, as in ``metrics``."""
    f = len(moments.features)
    about = _about(moments)
    total_O = (about.centred_PP[:, f:] ** 2).sum(axis=0)
    residual_O = moments.solve().residual_O + excess_O(model, moments)
    return r2_of(residual_O, np.where(about.spread_P[f:] > 0, total_O, 0.0))


def _about(moments: Moments) -> Moments:
    """The record about what R2 and F are: the mean, or zero, where the features hold no constant either."""
    return moments if spans_constant(moments) else moments.equations


def _quality(model: LinearModel, moments: Moments) -> list[Quality]:
    """R2, F and the likelihood of each target; all but R2 at the optimum, from R's own blocks."""
    f, n, degrees = len(moments.features), moments.rows, StandardErrors(moments).degrees
    r2_O, rss_O, s_O = _r2(model, moments), moments.solve().residual_O, StandardErrors(moments).deviation_O
    about, constants = _about(moments), spans_constant(moments) - moments.intercept
    explained_O = (moments.equations.centred_PP[:f, f:] ** 2).sum(axis=0)
    explained_O = (about.centred_PP[:, f:] ** 2).sum(axis=0) - rss_O if constants else explained_O
    f_O = explained_O / max(f - constants, 1) / s_O**2
    likelihood_O = -n / 2 * (np.log(2 * np.pi * rss_O / n) + 1) + moments.log_weight / 2
    adjusted_O = 1 - (1 - r2_O) * (n - spans_constant(moments)) / degrees
    p_O = fdtrc(max(f - constants, 1), degrees, f_O)
    aic_O, bic_O = (cost * (f + moments.intercept) - 2 * likelihood_O for cost in (2, math.log(n)))
    columns = np.column_stack([r2_O, adjusted_O, s_O, f_O, p_O, likelihood_O, aic_O, bic_O])
    return [Quality(*map(finite, row)) for row in columns]


def _assumptions(moments: Moments, *, clustered: bool) -> tuple[str, ...]:
    weighted = moments.weight != moments.rows or moments.log_weight != 0
    variance = "a variance inverse to the row's weight" if weighted else "one variance a target"
    lines = [
        "each target's mean is linear in the features",
        f"errors are independent, with {variance}",
        "errors are normal, or the rows many",
        "neither the features nor the model were chosen by looking at these rows",
    ]
    if clustered:
        lines.append("the clustered errors take only the partitions to be independent of each other")
    return tuple(lines)
