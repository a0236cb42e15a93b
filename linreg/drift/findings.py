"""What was found about drift, as records: one difference, all of them, those beyond a limit; in words and as JSON.

    for finding in exceeded(drift(...), config.drift).stop: print(finding.words)

Every number is finite. Nothing is computed here; that is done in ``drift``.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from linreg.judging_config import MEASURES, DriftConfig

Unit = Literal["partition", "row"]

LARGEST = 1e9  # a larger number, or one without end, counts as this
MOST_FINDINGS = 100  # kept of a measure, the worst ones

_UNITS = {"partition": "as partitions vary", "row": "as rows vary"}


@dataclass(frozen=True)
class Finding:
    """One difference.

    Args:
        measure: ``mean``, ``spread``, ``correlation``, ``bias``, ``error`` or ``range``.
        columns: the column, the target, or the pair.
        partition: the new partition's name; None: all new ones together.
        rows: how many are new.
        value: in standard errors, signed; of ``range`` in spreads, 0 where nothing lies outside.
        size: the effect. ``mean``, ``bias``, ``range``: in spreads of the column, or of the residuals; ``spread``,
            ``error``: how many times as large; ``correlation``: its change.
        was, now: in the column's units: means, spreads, correlations, mean residuals, their spreads; of ``range`` the
            end that is passed, and what is reached.
        unit: what the standard error is made of: how partitions vary, or rows.
    """

    measure: str
    columns: tuple[str, ...]
    partition: str | None
    rows: int
    value: float
    size: float
    was: float
    now: float
    unit: Unit

    @property
    def words(self) -> str:
        """In one line."""
        name, partition = " and ".join(self.columns), self.partition or "all new partitions together"
        if self.measure == "range":
            if not self.value:
                return f"{name} stays within what the champion learned from in {partition}"
            side = "above" if self.now > self.was else "below"
            distance = f"{_capped(self.value)} spreads {side} all that the champion learned from"
            return f"{name} reaches {self.now:.6g}, {distance}, in {partition}"
        quantity, more, less, effect = _WORDS[self.measure]
        distance = f"{_capped(abs(self.value))} standard errors {more if self.value >= 0 else less}"
        return f"{quantity} of {name} is {distance} ({effect(self)}) in {partition}, {_UNITS[self.unit]}"

    def to_json(self) -> dict[str, Any]:
        """All fields, and the words."""
        return {**asdict(self), "columns": list(self.columns), "words": self.words}


@dataclass(frozen=True)
class Drift:
    """All differences.

    Args:
        findings: by measure, the worst first, at most ``MOST_FINDINGS`` of each.
        new: partitions that were compared.
        known: partitions that told what is usual.
        not_compared: what could not be, and why, each in words.
    """

    findings: Mapping[str, tuple[Finding, ...]]
    new: int
    known: int
    not_compared: tuple[str, ...] = ()

    def worst(self) -> dict[str, float]:
        """The largest of each measure, without its sign: ``{"drift.mean": 7.2, ...}``."""
        return {f"drift.{m}": abs(self.findings[m][0].value) for m in MEASURES if self.findings[m]}

    def to_json(self) -> dict[str, Any]:
        """``{"new","known","not_compared","worst","findings": {"mean": [...], ...}}``."""
        findings = {m: [f.to_json() for f in worst_first] for m, worst_first in self.findings.items()}
        counts = {"new": self.new, "known": self.known, "not_compared": list(self.not_compared)}
        return {**counts, "worst": self.worst(), "findings": findings}


@dataclass(frozen=True)
class Exceeded:
    """A finding beyond a limit; ``key`` is the limit's in the config."""

    finding: Finding
    key: str
    limit: float

    @property
    def words(self) -> str:
        """In one line, the limit's name in it."""
        return f"{self.finding.words}: above {self.key} {self.limit:g}"

    def to_json(self) -> dict[str, Any]:
        """The finding with its limit."""
        return {**self.finding.to_json(), "key": self.key, "limit": self.limit, "words": self.words}


@dataclass(frozen=True)
class Judged:
    """The findings beyond a limit: those to tell, and those that stop the run. A finding can be among both."""

    warn: tuple[Exceeded, ...]
    stop: tuple[Exceeded, ...]


def exceeded(drift: Drift, config: DriftConfig) -> Judged:
    """The findings beyond the limits, by measure, the worst first."""
    return Judged(_beyond(drift, config, "warn"), _beyond(drift, config, "stop"))


def _beyond(drift: Drift, config: DriftConfig, name: Literal["warn", "stop"]) -> tuple[Exceeded, ...]:
    return tuple(
        Exceeded(finding, f"drift.{name}.{measure}", limit)
        for measure, limit in config.limits(name).items()
        for finding in drift.findings[measure]
        if abs(finding.value) > limit
    )


def _capped(value: float) -> str:
    return f"over {LARGEST:g}" if value >= LARGEST else _figure(value)


def _figure(value: float) -> str:
    """Three digits."""
    return f"{float(f'{value:.3g}'):,g}"


def _times(finding: Finding) -> str:
    if finding.now == 0:
        return "it does not vary"
    return f"{_figure(finding.size)} times" if finding.was > 0 else "it did not vary"


_WORDS: dict[str, tuple[str, str, str, Callable[[Finding], str]]] = {
    "mean": ("mean", "higher", "lower", lambda f: f"{f.now:.6g}, was {f.was:.6g}: {_capped(abs(f.size))} spreads"),
    "spread": ("spread", "larger", "smaller", _times),
    "correlation": ("correlation", "higher", "lower", lambda f: f"{f.now:.3g}, was {f.was:.3g}"),
    "bias": ("mean residual", "higher", "lower", lambda f: f"{_capped(abs(f.size))} residual spreads"),
    "error": ("residual spread", "larger", "smaller", _times),
}
