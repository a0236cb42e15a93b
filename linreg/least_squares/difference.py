"""What moved between two fitted models, and why: each coefficient's change, split by its causes.

    moved = difference(Fitted(model_a, moments_a), Fitted(model_b, moments_b), shared="nested")
    moved.targets["apples"].coefficients["temp"].causes      # data, columns, penalty, optimiser

Each training has an optimum, which its record gives; where its optimiser stopped is something else. On the way from A's
optimum to B's one thing changes at a time,

    A's rows, all columns of A  ->  the columns that both have  ->  B's rows  ->  all columns of B  ->  B's penalty

and each step has one cause: the data, the columns that only one has, the penalty. The rest of the move is how B's
optimiser stopped farther from its optimum than A's from its own, or on another side of it.

It opens no file, and does not say why the data moved.

Shapes: F features that both have, O targets that both have, D = F + 1 parameters a target (intercept first).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from linreg.errors import listed
from linreg.least_squares.coefficient_changes import Causes, CoefficientChange, Difference, TargetChanges, Unit
from linreg.least_squares.objective import Objective
from linreg.least_squares.standard_errors import Shared, StandardErrors, difference_errors, distance
from linreg.least_squares.validity import caller_reasons, optimum_reasons
from linreg.metrics import Float
from linreg.model import LinearModel
from linreg.moments.moments import Moments
from linreg.moments.subset import subset
from linreg.threads import one_thread


@dataclass(frozen=True)
class Penalty:
    """What the trained loss has beside the squares: as in ``TrainConfig``."""

    weight_decay: float = 0.0
    l1: float = 0.0
    standardize: bool = False

    @property
    def active(self) -> bool:
        """Whether there is any; ``standardize`` alone moves no optimum."""
        return self.weight_decay > 0 or self.l1 > 0


@dataclass(frozen=True)
class Fitted:
    """One of the two models.

    Args:
        model: the parameters where the optimiser stopped.
        moments: the record of its training rows; None where none was kept.
        penalty: None where it is not known.
    """

    model: LinearModel
    moments: Moments | None
    penalty: Penalty | None = Penalty()


def difference(before: Fitted, after: Fitted, *, shared: Shared = None, reasons: Sequence[str] = ()) -> Difference:
    """Compare two fitted models.

    Args:
        before, after: A and B.
        shared: which training rows are common to both, as ``difference_errors`` takes it: the standard errors are then
            those of the optimum's move. ``"same"``: all of them, so that the data's part is exactly 0; None: not known.
            In these two cases they are those of A's own optimum.
        reasons: why standard errors would not hold, as far as the caller knows; then there are none.

    Raises:
        ValueError: ``shared`` is below 0, or more than one of the records weighs.
    """
    pair = _Pair.of(before, after)
    with one_thread():  # small factors: a second thread only waits, and moves the bits
        causes, unexplained = _causes(pair, same=shared == "same")
        error_DO, no_errors = _errors(pair, shared, reasons)
        stopped = _distance_of(before), _distance_of(after)
    targets = {name: _changes(pair, o, causes, error_DO) for o, name in enumerate(pair.targets)}
    unit: Unit | None = "estimate" if shared in (None, "same") else "difference"
    unit = None if error_DO is None or not np.isfinite(error_DO).any() else unit
    return Difference(targets, unit, unexplained, no_errors, stopped)


@dataclass(frozen=True)
class _Pair:
    """Two models and the columns that both have, in A's order."""

    before: Fitted
    after: Fitted
    features: tuple[str, ...]
    targets: tuple[str, ...]

    @classmethod
    def of(cls, before: Fitted, after: Fitted) -> "_Pair":
        a, b = before.model, after.model
        return cls(
            before,
            after,
            tuple(n for n in a.features if n in b.features),
            tuple(n for n in a.targets if n in b.targets),
        )

    def theta(self, model: LinearModel) -> Float:
        """Intercept and slopes of the columns that both have, shape (D, O)."""
        o = [model.targets.index(t) for t in self.targets]
        f = [model.features.index(n) for n in self.features]
        return np.vstack([model.intercept_O[o], model.weight_OF[np.ix_(o, f)].T])

    def unknown(self) -> tuple[str, ...]:
        """Why nothing can be said of the optima; empty where it can."""
        sides = {"before": self.before, "after": self.after}
        lacking = [f"{n}: no record of its training rows was kept" for n, s in sides.items() if s.moments is None]
        unsure = [
            f"{n}: it is not on record whether its loss had a penalty" for n, s in sides.items() if s.penalty is None
        ]
        return (*lacking, *unsure)


@dataclass(frozen=True)
class _Stage:
    """An optimum on the way: of a record, under a penalty beside the mean loss of ``targets`` targets."""

    moments: Moments
    penalty: Penalty
    targets: int

    def optimum(self) -> LinearModel:
        """The record may have fewer targets than the loss had: beside their mean the same penalty would weigh less."""
        moments = self.moments
        if not self.penalty.active:
            s = moments.solve()
            return LinearModel(s.weight_OF, s.bias_O, s.mean_F, moments.features, moments.targets)
        times = self.targets / len(moments.targets)
        decay, l1 = self.penalty.weight_decay * times, self.penalty.l1 * times
        objective = Objective.of(moments, standardize=self.penalty.standardize, weight_decay=decay, l1=l1)
        return objective.model(objective.optimum_DO)

    @property
    def open(self) -> tuple[str, ...]:
        """The features whose coefficients it leaves open."""
        return () if self.penalty.weight_decay > 0 else self.moments.solve().deficient


def _stages(pair: _Pair, *, same: bool) -> list[_Stage]:
    """The optima on the way from A's to B's, five; where nothing changes between two, they are the same to the bit.

    Args:
        same: both records are of the same rows.
    """
    sides = []
    for side in (pair.before, pair.after):
        assert side.moments is not None, "unknown() was asked first"
        assert side.penalty is not None, "unknown() was asked first"
        features = [*pair.features, *(f for f in side.model.features if f not in pair.features)]
        all_columns, shared_columns = (subset(side.moments, f, pair.targets) for f in (features, pair.features))
        sides.append([_Stage(m, side.penalty, len(side.model.targets)) for m in (all_columns, shared_columns)])
    (all_a, shared_a), (all_b, shared_b) = sides
    shared_b = shared_a if same else shared_b  # the same rows of the same columns: what differs is rounding
    under_a = [replace(stage, penalty=all_a.penalty, targets=all_a.targets) for stage in (shared_b, all_b)]
    return [all_a, shared_a, *under_a, all_b]


def _causes(pair: _Pair, *, same: bool) -> tuple[list[list[Causes | None]], tuple[str, ...]]:
    """The causes of every change, (D, O), and why some are missing."""
    reasons = pair.unknown()
    if reasons or not pair.targets:
        return [[None] * len(pair.targets)] * (1 + len(pair.features)), reasons
    stages = _stages(pair, same=same)
    t = [pair.theta(stage.optimum()) for stage in stages]
    data, columns, penalty = t[2] - t[1], (t[1] - t[0]) + (t[3] - t[2]), t[4] - t[3]
    optimiser = (pair.theta(pair.after.model) - t[4]) - (pair.theta(pair.before.model) - t[0])
    names = {name for stage in stages for name in stage.open}
    open_D = {0, *(1 + i for i, f in enumerate(pair.features) if f in names)} if names else set()
    rows = enumerate(np.stack([data, columns, penalty, optimiser], axis=-1))
    return [[None if d in open_D else Causes(*map(float, four)) for four in row] for d, row in rows], _why_open(names)


def _why_open(names: set[str]) -> tuple[str, ...]:
    """What is said of coefficients that are left open."""
    if not names:
        return ()
    words = "constant, or determined by each other, so that many optima are as good (the intercept's too)"
    return (f"{listed(sorted(names))}: {words}",)


def _errors(pair: _Pair, shared: Shared, reasons: Sequence[str]) -> tuple[Float | None, tuple[str, ...]]:
    """The standard errors of every change, (D, O), NaN where there is none; or why there are none at all.

    They are those of least squares on the columns that both have.
    """
    a, b = pair.before.moments, pair.after.moments
    if pair.unknown() or a is None or b is None or not pair.targets:
        return None, pair.unknown()
    a, b = (subset(m, pair.features, pair.targets) for m in (a, b))
    sides = {"before": (pair.before, a)} | ({} if shared in (None, "same") else {"after": (pair.after, b)})
    side_reasons = [
        f"{name}: {line}" for name, (side, m) in sides.items() for line in (*_regularised(side), *optimum_reasons(m))
    ]
    if side_reasons or reasons:
        return None, (*reasons, *side_reasons)
    if shared is None or shared == "same":
        return StandardErrors(a).error_DO, ()
    return difference_errors(StandardErrors(a), StandardErrors(b), shared), ()


def _regularised(side: Fitted) -> tuple[str, ...]:
    return caller_reasons(weight_decay=side.penalty.weight_decay, l1=side.penalty.l1) if side.penalty else ()


def _distance_of(side: Fitted) -> float | None:
    """How far an optimiser stopped from its optimum, in standard errors."""
    if side.moments is None or side.penalty is None or side.penalty.active or optimum_reasons(side.moments):
        return None
    return distance(side.model, subset(side.moments, side.model.features, side.model.targets))


def _changes(pair: _Pair, o: int, causes: Sequence[Sequence[Causes | None]], error_DO: Float | None) -> TargetChanges:
    """The changes of one target."""
    ends = [pair.theta(side.model)[:, o].tolist() for side in (pair.before, pair.after)]
    errors = [None] * len(ends[0]) if error_DO is None else [e if e > 0 else None for e in error_DO[:, o].tolist()]
    columns = zip(*ends, [row[o] for row in causes], errors, [None, *_spreads(pair)], strict=True)
    intercept, *slopes = (CoefficientChange(*five) for five in columns)
    return TargetChanges(intercept, dict(zip(pair.features, slopes, strict=True)))


def _spreads(pair: _Pair) -> list[float | None]:
    """The features' standard deviations over B's rows."""
    moments = pair.after.moments or pair.before.moments
    if moments is None:
        return [None] * len(pair.features)
    spread = dict(zip(moments.features, moments.spread_P.tolist(), strict=False))
    return [spread[f] for f in pair.features]
