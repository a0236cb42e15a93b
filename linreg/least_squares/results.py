"""What inference comes to, as records: a coefficient, a target, the model; and their JSON, strict, both ways.

Every number is finite or None. Estimates and errors are in the data's own units. Nothing is computed here; that is done
in ``inference``.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

VALID = "valid"
MOST_FACTORS = 100  # of the variance inflation factors among the metrics; all of them are in the record


@dataclass(frozen=True)
class Errors:
    """How sure an estimate is.

    Args:
        standard_error: of the estimate, in its units.
        t: estimate / standard_error.
        p: two-sided, of a true coefficient of zero.
        low, high: ends of the interval.
    """

    standard_error: float | None = None
    t: float | None = None
    p: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Coefficient:
    """The intercept (the prediction where all features are zero) or a slope.

    Args:
        estimate: the model's own, in target units (per feature unit).
        errors: classical ones; all None where inference is not valid.
        clustered: those that allow rows of one partition to depend on each other; None without enough partitions.
    """

    estimate: float
    errors: Errors = Errors()
    clustered: Errors | None = None

    def to_json(self) -> dict[str, Any]:
        """``{"estimate","standard_error","t","p","low","high"}``, and ``clustered`` where there is one."""
        out = {"estimate": self.estimate, **asdict(self.errors)}
        return out | ({"clustered": asdict(self.clustered)} if self.clustered else {})

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Coefficient":
        """Read what ``to_json`` gave."""
        clustered = Errors(**document["clustered"]) if "clustered" in document else None
        return cls(document["estimate"], Errors(**{f.name: document[f.name] for f in fields(Errors)}), clustered)


@dataclass(frozen=True)
class Quality:
    """How well one target is explained on the training rows; all but ``r2`` None where inference is not valid.

    Args:
        r2: of the model as it is, centred and weighted.
        adjusted_r2: ``1 - (1 - r2) (n - 1) / (n - F - 1)``.
        residual_standard_error: in the target's units; of a row of weight 1.
        f_statistic, f_p_value: of all slopes being zero.
        log_likelihood, aic, bic: of normal errors, at the optimum; F + 1 parameters are counted.
    """

    r2: float | None
    adjusted_r2: float | None = None
    residual_standard_error: float | None = None
    f_statistic: float | None = None
    f_p_value: float | None = None
    log_likelihood: float | None = None
    aic: float | None = None
    bic: float | None = None


@dataclass(frozen=True)
class TargetInference:
    """All that is said of one target: its quality, its intercept, and its slopes by feature."""

    quality: Quality
    intercept: Coefficient
    coefficients: Mapping[str, Coefficient]

    def to_json(self) -> dict[str, Any]:
        """The quality's numbers, ``intercept``, and ``coefficients`` by feature."""
        slopes = {name: c.to_json() for name, c in self.coefficients.items()}
        return {**asdict(self.quality), "intercept": self.intercept.to_json(), "coefficients": slopes}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "TargetInference":
        """Read what ``to_json`` gave."""
        slopes = {name: Coefficient.from_json(c) for name, c in document["coefficients"].items()}
        quality = Quality(**{f.name: document[f.name] for f in fields(Quality)})
        return cls(quality, Coefficient.from_json(document["intercept"]), slopes)


@dataclass(frozen=True)
class Inference:
    """What the training rows say about a model's parameters.

    Args:
        inference: ``valid``, or why not and what to do, in one line.
        level: of the intervals.
        rows: training rows with a weight above zero.
        degrees_of_freedom: of the residuals, rows - F - 1; None where they are too few or the rank is deficient.
        partitions: counted as clusters; 0 where there are no clustered errors.
        condition_number: of the Hessian of the loss on the raw columns, bias included; None where it is singular.
        variance_inflation: by feature, ``1 / (1 - R2 of the feature on the others)``; None with a deficient rank.
        deficient: the features that are constant or determine each other.
        assumptions: what the errors and intervals take for granted.
        targets: by name.
    """

    inference: str
    level: float
    rows: int
    degrees_of_freedom: int | None
    partitions: int
    condition_number: float | None
    variance_inflation: Mapping[str, float | None]
    deficient: tuple[str, ...]
    assumptions: tuple[str, ...]
    targets: Mapping[str, TargetInference]

    @property
    def valid(self) -> bool:
        """Whether there are errors and intervals."""
        return self.inference == VALID

    def to_json(self) -> dict[str, Any]:
        """All of it as one JSON object."""
        lists = {"deficient": list(self.deficient), "assumptions": list(self.assumptions)}
        targets = {name: t.to_json() for name, t in self.targets.items()}
        return vars(self) | lists | {"variance_inflation": dict(self.variance_inflation), "targets": targets}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Inference":
        """Read what ``to_json`` gave."""
        lists = {name: tuple(document[name]) for name in ("deficient", "assumptions")}
        targets = {name: TargetInference.from_json(t) for name, t in document["targets"].items()}
        return cls(**{f.name: document[f.name] for f in fields(cls)} | lists | {"targets": targets})

    def metrics(self) -> dict[str, float]:
        """What there is of it by metric name: ``train_r2.apples``, ``aic.apples``, ``variance_inflation.temp``."""
        metrics: dict[str, float | None] = {}
        for name, target in self.targets.items():
            quality = asdict(target.quality)
            metrics |= {f"train_{k}.{name}": quality.pop(k) for k in ("r2", "adjusted_r2")}
            metrics |= {f"{k}.{name}": value for k, value in quality.items()}
        inflation = {name: v for name, v in self.variance_inflation.items() if v is not None}
        worst = sorted(inflation, key=lambda name: -inflation[name])[:MOST_FACTORS]
        metrics |= {f"variance_inflation.{name}": v for name, v in inflation.items() if name in set(worst)}
        return {name: value for name, value in metrics.items() if value is not None}
