"""Between reading and training: are today's new files like what the champion learned from?

The numbers are ``linreg.drift``'s; here is what is compared with what, what is told of it, and whether the run stops.
New is a file whose content the champion did not learn from, whatever it is called.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from flows.steps.run_input import RunInput
from linreg.drift.drift import Sample
from linreg.drift.drift import drift as measure_drift
from linreg.drift.findings import Drift, Exceeded, Judged, exceeded
from linreg.judging_config import DriftConfig

MOST_LINES = 5  # of what is beyond a limit; all of it is in drift.json


@dataclass(frozen=True)
class DriftReport:
    """What came of the comparison.

    Args:
        version: the champion's number; None: there is none.
        drift: all differences; None where nothing was compared.
        judged: those beyond a limit.
        why_not: why nothing was compared, in words.
        blind: there are files that could be new, and nothing of the champion to compare them with.
    """

    version: int | None = None
    drift: Drift | None = None
    judged: Judged = field(default_factory=lambda: Judged((), ()))
    why_not: str = ""
    blind: bool = False

    @property
    def verdict(self) -> str:
        """``stop``, ``warn``, ``none``, or ``not compared``."""
        if self.drift is None:
            return "not compared"
        return "stop" if self.judged.stop else "warn" if self.judged.warn else "none"

    @property
    def metrics(self) -> dict[str, float]:
        """The largest difference of each measure, by name."""
        return self.drift.worst() if self.drift else {}

    @property
    def lines(self) -> tuple[str, ...]:
        """What is beyond a limit, the worst of each column; or that nothing is. Empty where nothing was compared."""
        if self.drift is None:
            return ()
        beyond = _distinct(self.judged.stop or self.judged.warn)
        more = len(beyond) - MOST_LINES
        lines = [e.words for e in beyond[:MOST_LINES]] + ([f"and {more:,} more"] if more > 0 else [])
        return tuple(lines) or (f"{self._files} like what version {self.version} learned from, within drift.warn",)

    @property
    def notes(self) -> tuple[str, ...]:
        """The lines, for those who read the result; and that nothing was compared, where something should have been."""
        lines = (f"not compared: {self.why_not}",) if self.blind else self.lines
        return tuple(f"drift: {line}" for line in lines)

    @property
    def reason(self) -> str:
        """Why the run stops."""
        first, *more = _distinct(self.judged.stop)
        rest = f"; and {len(more):,} more" if more else ""
        return f"the data moved away from what version {self.version} learned from: {first.words}{rest}"

    @property
    def _files(self) -> str:
        new = self.drift.new if self.drift else 0
        return "1 new file is" if new == 1 else f"{new:,} new files are"


def compare(limits: DriftConfig, run_input: RunInput) -> DriftReport:
    """Compare the training rows of the new files with those of the champion."""
    champion = run_input.champion
    if champion is None:
        return DriftReport(why_not="there is no champion yet")
    number = champion.version.version
    if champion.moments is None or champion.lineage is None:
        reason = champion.fault or f"version {number} is of a release that kept no record of its rows"
        return DriftReport(number, why_not=reason, blind=True)
    known_content = champion.lineage.digests
    samples = [(p.digest in known_content, Sample(p.name, m, e)) for p, m, e in run_input.trained]
    known, new = ([s for is_known, s in samples if is_known == which] for which in (True, False))
    if not new:
        return DriftReport(number, why_not=f"version {number} learned from all of today's files")
    reference = Sample("champion", champion.moments, champion.lineage.ranges)
    drift = measure_drift(reference, new, known, champion.model, design=run_input.dataset.train.design)
    return DriftReport(number, drift, exceeded(drift, limits))


def _distinct(beyond: Sequence[Exceeded]) -> list[Exceeded]:
    """The worst of each measure and column."""
    out: dict[tuple[str, tuple[str, ...]], Exceeded] = {}
    for excess in beyond:
        out.setdefault((excess.finding.measure, excess.finding.columns), excess)
    return list(out.values())
