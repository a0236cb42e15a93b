"""The sections of the config that judge: a model by the gate, new rows by their drift."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from linreg.errors import nearest
from linreg.section import Section, choice, require

GateRule = Literal["better", "not_worse", "limits"]

MEASURES = ("mean", "spread", "correlation", "bias", "error", "range")  # of drift; all but range in standard errors
WARN = {"mean": 6.0, "spread": 8.0, "correlation": 6.0, "bias": 6.0, "error": 8.0, "range": 8.0}


@dataclass(frozen=True, kw_only=True)
class GateConfig(Section):
    """What a model must reach to be registered, and to become the champion.

    Args:
        max_rmse: the largest root mean squared error; a number, or a table of targets (``"*"``: all of them).
        min_r2: the smallest R2; likewise.
        rule: which model within the limits takes the champion's place: one that is surely ``better``, one that is not
            surely worse (``not_worse``), or every one (``limits``).
        margin: a share of the champion's loss: the gain that the interval's lower end must exceed under ``better``, the
            loss that its upper end must exceed for the champion to stay under ``not_worse``.
    """

    max_rmse: float | dict[str, float] | None = None
    min_r2: float | dict[str, float] | None = None
    rule: GateRule = "better"
    margin: float = 0.0

    def __post_init__(self) -> None:
        for name, limit in self.limits().items():
            require(math.isfinite(limit), f"gate.{name}", "must be a finite number", limit)
        choice(self.rule, get_args(GateRule), "gate.rule")
        require(math.isfinite(self.margin) and self.margin >= 0, "gate.margin", "must be at least 0", self.margin)

    def limits(self) -> dict[str, float]:
        """The limits by name: ``max_rmse``, ``min_r2``, and ``max_rmse.TARGET`` for a target's own."""
        out: dict[str, float] = {}
        for name in ("max_rmse", "min_r2"):
            value = getattr(self, name)
            table = value if isinstance(value, dict) else {} if value is None else {"*": value}
            out |= {name if target == "*" else f"{name}.{target}": limit for target, limit in table.items()}
        return out


@dataclass(frozen=True, kw_only=True)
class DriftConfig(Section):
    """How far new rows may be from those that the champion learned from.

    Each is a number, for all measures that are counted in standard errors, or a table by measure; 0: off. ``range``
    counts in spreads of the column.

    Args:
        warn: what lies beyond is told; a measure that a table leaves out keeps its default.
        stop: what lies beyond stops the run before it trains; a measure that a table leaves out stops nothing.
    """

    warn: float | dict[str, float] = field(default_factory=lambda: dict(WARN))
    stop: float | dict[str, float] = 0.0

    def __post_init__(self) -> None:
        for name in ("warn", "stop"):
            for measure, limit in self._table(name).items():
                key = f"drift.{name}" if measure == "*" else f"drift.{name}.{measure}"
                require(measure in ("*", *MEASURES), key, f"names no measure{nearest(measure, MEASURES)}")
                finite = math.isfinite(limit) and limit >= 0
                require(finite, key, "must be a finite number, at least 0 (0: off)", limit)

    def _table(self, name: str) -> dict[str, float]:
        value = getattr(self, name)
        return value if isinstance(value, dict) else {"*": value}

    def limits(self, name: Literal["warn", "stop"]) -> dict[str, float]:
        """The limits by measure; one that is off is left out."""
        table, default = self._table(name), WARN if name == "warn" else {}
        common = table.get("*")
        if common is not None:  # one number cannot be both standard errors and spreads: for the range it is on or off
            default = dict.fromkeys(MEASURES, common) | ({"range": default.get("range", 0.0)} if common else {})
        both = default | table
        return {measure: both[measure] for measure in MEASURES if both.get(measure, 0.0) > 0}
