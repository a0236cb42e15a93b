"""What every case shares: a result, medians of contenders run in turn, the machine's description, the table."""

import os
import platform
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """A measured case.

    Args:
        case: its name.
        unit: of ``ours`` and ``against``.
        ours: the median.
        against: the medians of peers and limits.
        ratio: turned so that larger is better; a limit's ratio is the share of it that is reached.
        target: the ratios that have to be reached.
        note: how it was measured.
    """

    case: str
    unit: str
    ours: float
    against: dict[str, float]
    ratio: dict[str, float]
    target: dict[str, float]
    note: str

    def to_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints; the note stays out of it."""
        return {name: value for name, value in asdict(self).items() if name != "note"}


def in_turn(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median of what each contender measures, all of them run once a round, so that all meet the same machine."""
    measured: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            measured[name].append(run())
    return {name: statistics.median(values) for name, values in measured.items()}


def less_is_better(case: str, unit: str, medians: Mapping[str, float], target: dict[str, float], note: str) -> Result:
    """A result from medians of times, of which ``ours`` is one."""
    against = {name: value for name, value in medians.items() if name != "ours"}
    ratio = {name: value / medians["ours"] for name, value in against.items()}
    return Result(case, unit, medians["ours"], against, ratio, target, note)


def machine() -> str:
    """The machine in a line."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as f:
            model = next(line.partition(":")[2].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux: the platform's own word does
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )


def table(results: list[Result]) -> str:
    """The results for people to read."""
    lines = [f"{'case':<12}{'against':<22}{'ours':>12}{'theirs':>12}  {'unit':<12}{'ratio':>9}{'target':>9}"]
    for r in results:
        for name, value in r.against.items():
            goal = f"{r.target[name]:.3g}" if name in r.target else ""
            lines.append(
                f"{r.case:<12}{name:<22}{r.ours:>12.4g}{value:>12.4g}  {r.unit:<12}{r.ratio[name]:>9.3g}{goal:>9}"
            )
    return "\n".join([machine(), *lines, *(f"{r.case}: {r.note}" for r in results)])
