"""What ``difference`` comes to, as records: a coefficient's change and its causes, a target, both models.

Every number of the JSON is finite or None, and none is rounded. Nothing is computed here but sums and ratios.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from statistics import NormalDist
from typing import Any, Literal

from linreg.errors import apart
from linreg.metrics import finite

Unit = Literal["difference", "estimate"]

INTERCEPT = "intercept"


@dataclass(frozen=True)
class Causes:
    """What a change is made of, in the coefficient's own units.

    Args:
        data: the optimum's change because the rows are others, over the columns that both have, under A's penalty.
        columns: its change because the other columns are others; exactly 0 where none is.
        penalty: its change because the penalty is another; exactly 0 where it is not.
        optimiser: (after - B's optimum) - (before - A's optimum).
    """

    data: float
    columns: float
    penalty: float
    optimiser: float

    @property
    def total(self) -> float:
        """Their sum, in this order."""
        return self.data + self.columns + self.penalty + self.optimiser


@dataclass(frozen=True)
class CoefficientChange:
    """One coefficient, or the intercept (the prediction where all features are zero), before and after.

    Args:
        before, after: the models' own, in target units (per feature unit).
        causes: None where an optimum is not on record, or the rows leave this coefficient open.
        standard_error: the unit that ``Difference.unit`` names; None where there is none.
        spread: the feature's standard deviation over B's training rows (A's where B has no record); None of the
            intercept.
    """

    before: float
    after: float
    causes: Causes | None = None
    standard_error: float | None = None
    spread: float | None = None

    @property
    def change(self) -> float:
        """The sum of the causes, to the bit; it is ``after - before`` up to the rounding of these two."""
        return self.causes.total if self.causes else self.after - self.before

    @property
    def effect(self) -> float | None:
        """What the change does to the prediction of a row one spread above the mean, in the target's units."""
        return None if self.spread is None else finite(self.change * self.spread)

    def in_errors(self, change: float) -> float | None:
        """The change, or what one cause has in it, in standard errors."""
        return finite(change / self.standard_error) if self.standard_error else None

    def to_json(self) -> dict[str, Any]:
        """``{"before","after","move","data","columns","penalty","optimiser","effect","standard_error"}``, and
        ``standard_errors``: the change and its causes in standard errors.
        """
        causes: dict[str, float | None] = dict.fromkeys(f.name for f in fields(Causes))
        causes |= asdict(self.causes) if self.causes else {}
        ends = {"before": self.before, "after": self.after, "move": self.change}
        scaled = {n: None if v is None else self.in_errors(v) for n, v in ({"move": self.change} | causes).items()}
        unit = {"effect": self.effect, "standard_error": self.standard_error, "standard_errors": scaled}
        return ends | causes | unit


@dataclass(frozen=True)
class TargetChanges:
    """The changes of one target: its intercept, and the slopes of the features that both models have."""

    intercept: CoefficientChange
    coefficients: Mapping[str, CoefficientChange]

    def __iter__(self) -> Iterator[tuple[str, CoefficientChange]]:
        """Each with its name, the intercept first, under a name that no feature has."""
        yield apart(INTERCEPT, self.coefficients), self.intercept
        yield from self.coefficients.items()

    def to_json(self) -> dict[str, Any]:
        """``{"intercept", "coefficients"}``."""
        slopes = {name: change.to_json() for name, change in self.coefficients.items()}
        return {"intercept": self.intercept.to_json(), "coefficients": slopes}


@dataclass(frozen=True)
class Difference:
    """What moved between two models.

    Args:
        targets: those that both have, by name.
        unit: what ``standard_error`` is the error of: ``difference``, how far the optimum moves by chance from A's
            rows to B's; ``estimate``, A's own optimum, where it is not known which rows the two share; None where there
            are no errors.
        unexplained: why some changes, or all, have no causes; in words.
        no_errors: why there are no standard errors; in words.
        stopped: how far each optimiser stopped from its optimum, in standard errors of its own estimates, the most of
            any parameter or prediction (``standard_errors.distance``); None where the record or a penalty allows none.
    """

    targets: Mapping[str, TargetChanges]
    unit: Unit | None
    unexplained: tuple[str, ...]
    no_errors: tuple[str, ...]
    stopped: tuple[float | None, float | None]

    def __iter__(self) -> Iterator[tuple[str, str, CoefficientChange]]:
        """Every change: target, name, change."""
        for target, changes in self.targets.items():
            for name, change in changes:
                yield target, name, change

    @property
    def largest_by_chance(self) -> tuple[int, float]:
        """Of how many changes the largest passes what, in standard errors, in 1 case of 20 by chance (Bonferroni).

        0 changes where it is not known how far chance moves them.
        """
        count = sum(change.standard_error is not None for _, _, change in self)
        if self.unit != "difference" or not count:
            return 0, 0.0
        return count, -NormalDist().inv_cdf(0.025 / count)

    @property
    def data_may_be_chance(self) -> bool:
        """Whether chance alone may have moved the optimum as far as the data did."""
        sizes = [change.in_errors(change.causes.data) for _, _, change in self if change.causes]
        return max((abs(size) for size in sizes if size is not None), default=0.0) < self.largest_by_chance[1]
