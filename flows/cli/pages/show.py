"""The page of ``linreg show``: a table of coefficients a target, how good the fit is, and what it takes for granted.

It fits the terminal: of many features those with the largest t are listed, and the rest is in ``--json``.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from flows.cli.pages.columns import WIDTH, grid, page_width, short, shortened, wrapped
from flows.cli.pages.heading import heading
from flows.tracking.registry import Version
from linreg.errors import apart

if TYPE_CHECKING:
    from linreg.least_squares.results import Coefficient, Inference, TargetInference
    from linreg.moments.lineage import Lineage

MOST_FEATURES = 25
MOST_EFFECTS = 5
HIGH_INFLATION = 10.0
NOT_KEPT = (
    "none were kept with this version, registered before standard errors were computed: a run on newer data or with "
    "another config keeps them"
)


def page(
    version: Version,
    inference: "Inference",
    *,
    lineage: "Lineage | None" = None,
    spreads: Mapping[str, float] = MappingProxyType({}),
    levels: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> str:
    """All of it.

    Args:
        version: as the registry has it.
        inference: what its training rows say about its parameters.
        lineage: the files that it learned from; None where they were not kept.
        spreads: the standard deviation of each feature in its training rows; empty where it is not on record.
        levels: those of each category, the base first.
    """
    lines, base = [*heading(version, lineage), ""], _bases(levels)
    if inference.valid:
        titles = shortened(list(inference.targets), page_width(WIDTH))
        for title, target in zip(titles, inference.targets.values(), strict=True):
            lines += [title, *_target(target, inference), *_effects(target, spreads), ""]
        lines += _facts({"columns": _columns(inference), "base": base, "assumed": "; ".join(inference.assumptions)})
    else:
        lines += [*_bare(inference), ""]
        for name, target in zip(shortened(list(inference.targets)), inference.targets.values(), strict=True):
            lines += _effects(target, spreads, of=name)
        lines += [""] if spreads else []
        lines += _facts({"columns": _columns(inference), "base": base})
        lines.append(wrapped(f"no standard errors: {inference.inference}", "  ", first=""))
    return "\n".join(lines)


def _target(target: "TargetInference", inference: "Inference") -> Iterator[str]:
    """The table of one target and the two lines under it."""
    head = ["", "estimate", "std error", "t", "p", f"{inference.level:.0%} low", f"{inference.level:.0%} high"]
    if inference.partitions:
        head.insert(3, "clustered")
    own = apart("intercept", target.coefficients)
    rows = [(own, target.intercept)] * _has_intercept(target) + [*_chosen(target.coefficients)]
    yield grid(head, [[n, *_cells(c)] for n, c in rows], indent="  ", width=page_width(WIDTH))
    yield from _rest(len(target.coefficients), "with smaller t")
    q = target.quality
    yield wrapped(
        f"R2 {q.r2 or 0:.5f}, adjusted {q.adjusted_r2 or 0:.5f}; residual standard error "
        f"{_number(q.residual_standard_error, 5)} on {inference.degrees_of_freedom:,} degrees of freedom"
    )
    f_test = f"F {_number(q.f_statistic, 5)} (p {_p(q.f_p_value)})"
    yield wrapped(f"{f_test}; AIC {_number(q.aic, 6)}, BIC {_number(q.bic, 6)}")
    yield from _clustered(target, inference)


def _clustered(target: "TargetInference", inference: "Inference") -> Iterator[str]:
    """Which of the two errors to go by."""
    pairs = [(c.errors.standard_error, c.clustered) for c in (target.intercept, *target.coefficients.values())]
    ratios = [c.standard_error / s for s, c in pairs if c and s and c.standard_error]
    if ratios and max(ratios) > 1.5:
        words = (
            f"errors clustered by {inference.partitions:,} partitions are up to {max(ratios):.1f} times as large: rows "
            "of a partition depend on each other, so go by the clustered ones (their t, p and intervals: --json)"
        )
        yield wrapped(words, "  ")


def _effects(target: "TargetInference", spreads: Mapping[str, float], of: str = "it") -> Iterator[str]:
    """What a usual change of each feature does to the target, the most first: which features matter."""
    sizes = {f: c.estimate * spreads[f] for f, c in target.coefficients.items() if f in spreads}
    order = sorted(sizes, key=lambda f: -abs(sizes[f]))
    if order:
        names = shortened(order[:MOST_EFFECTS])
        words = f"one standard deviation of {names[0]} moves {of} by {sizes[order[0]]:.3g}"
        words += "".join(f", of {name} by {sizes[f]:.3g}" for name, f in zip(names[1:], order[1:], strict=False))
        words += f"; {len(order) - MOST_EFFECTS:,} more move it less" if len(order) > MOST_EFFECTS else ""
        yield wrapped(words)


def _bare(inference: "Inference") -> Iterator[str]:
    """Estimates alone, the targets side by side."""
    targets = list(inference.targets.values())
    names = list(targets[0].coefficients)
    rows = [[apart("intercept", names), *(_number(t.intercept.estimate, 6) for t in targets)]]
    rows = rows if any(map(_has_intercept, targets)) else []
    rows += [[f, *(_number(t.coefficients[f].estimate, 6) for t in targets)] for f in names[:MOST_FEATURES]]
    rows += [[apart("R2, training rows", names), *(_number(t.quality.r2, 4) for t in targets)]]
    yield grid(["", *inference.targets], rows, width=page_width(WIDTH))
    yield from _rest(len(names), "")


def _has_intercept(target: "TargetInference") -> bool:
    """Whether it is more than a 0 that stands for none."""
    return target.intercept.estimate != 0 or target.intercept.errors.standard_error is not None


def _chosen(coefficients: Mapping[str, "Coefficient"]) -> Iterable[tuple[str, "Coefficient"]]:
    """All, in the order of the columns; of too many, those with the largest t."""
    if len(coefficients) <= MOST_FEATURES:
        return coefficients.items()
    return sorted(coefficients.items(), key=lambda pair: -abs(pair[1].errors.t or 0))[:MOST_FEATURES]


def _rest(features: int, which: str) -> Iterator[str]:
    if features > MOST_FEATURES:
        yield f"  and {features - MOST_FEATURES:,} more {which}".rstrip() + ": --json lists them all"


def _cells(c: "Coefficient") -> list[str]:
    """One row, all to the digits that the standard error leaves meaning in."""
    e, clustered = c.errors, [c.clustered.standard_error] if c.clustered else []
    numbers = [c.estimate, e.standard_error, *clustered, e.low, e.high]  # one that float64 cannot hold is None
    finite = [v for v in numbers if v is not None]
    decimals = 3 - math.floor(math.log10(e.standard_error)) if e.standard_error else 99
    width = max(len(f"{v:.{max(decimals, 0)}f}") for v in finite) if decimals < 12 else 99
    texts = ["" if v is None else f"{v:.{max(decimals, 0)}f}" if width <= 12 else f"{v:.6g}" for v in numbers]
    return [*texts[:-2], "" if e.t is None else f"{e.t:.2f}" if abs(e.t) < 1e6 else f"{e.t:.3g}", _p(e.p), *texts[-2:]]


def _bases(levels: Mapping[str, Sequence[str]]) -> str:
    """Which level the coefficients of the others are differences from."""
    known = {column: some for column, some in levels.items() if some}
    names = zip(shortened(list(known)), known.values(), strict=True)
    return ", ".join(f"{name} {short(some[0])} ({len(some):,} levels)" for name, some in names)


def _columns(inference: "Inference") -> str:
    """Condition number and the features that the others nearly determine."""
    condition = inference.condition_number
    words = [] if condition is None else [f"condition number {condition:.3g} of the raw columns"]
    high = {f: v for f, v in inference.variance_inflation.items() if v is not None and v > HIGH_INFLATION}
    worst = sorted(high, key=lambda f: -high[f])
    if worst:
        shown = ", ".join(f"{name} {high[f]:.3g}" for name, f in zip(shortened(worst[:8]), worst, strict=False))
        more = f" and {len(worst) - 8} more" if len(worst) > 8 else ""
        words.append(f"variance inflation above {HIGH_INFLATION:g}: {shown}{more}")
    elif condition is not None:
        words.append(f"no variance inflation above {HIGH_INFLATION:g}")
    return "; ".join(words)


def _facts(named: Mapping[str, str]) -> list[str]:
    """Texts with their names in front, wrapped."""
    return [wrapped(text, " " * 11, first=f"{name:<11}") for name, text in named.items() if text]


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}g}"


def _p(value: float | None) -> str:
    return "<1e-300" if value is not None and value < 1e-300 else _number(value, 2)
