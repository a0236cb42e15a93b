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
        spread: least and greatest of every contender's measurements, ``ours`` among them.
    """

    case: str
    unit: str
    ours: float
    against: dict[str, float]
    ratio: dict[str, float]
    target: dict[str, float]
    note: str
    spread: dict[str, tuple[float, float]]

    def to_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints; note and spread stay out of it, and go into what is kept."""
        return {name: value for name, value in asdict(self).items() if name not in ("note", "spread")}


Measured = dict[str, list[tuple[float, ...]]]


def in_turn(contenders: Mapping[str, Callable[[], tuple[float, ...]]], rounds: int) -> Measured:
    """What each contender measures, all of them run once a round, so that all meet the same machine.

    Each round begins with another one: what a contender leaves behind (threads that still spin, pages that are free)
    falls on all alike.
    """
    names = list(contenders)
    measured: Measured = {name: [] for name in names}
    for i in range(rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            measured[name].append(contenders[name]())
    return measured


def less_is_better(
    case: str, unit: str, measured: Measured, target: dict[str, float], *, note: str, column: int = 0
) -> Result:
    """A result from measured times, of which ``ours`` is one; ``column`` says which number of each measurement."""
    values = {name: [m[column] for m in rows] for name, rows in measured.items()}
    medians = {name: statistics.median(v) for name, v in values.items()}
    spread = {name: (min(v), max(v)) for name, v in values.items()}
    ours = medians.pop("ours")
    ratio = {name: value / ours for name, value in medians.items()}
    return Result(case, unit, ours, medians, ratio, target, note, spread)


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


def load() -> str:
    """How busy the machine is with other work; what is measured on a busy one is to be read with that in mind."""
    return f"load average {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else "load unknown"


def table(results: list[Result]) -> str:
    """The results for people to read."""
    lines = [f"{'case':<12}{'against':<16}{'ours':>10}{'theirs':>10}  {'unit':<8}{'ratio':>8}{'target':>8}  reached"]
    for r in results:
        for name, value in r.against.items():
            goal, reached = "", ""
            if name in r.target:
                goal, reached = f"{r.target[name]:.3g}", "yes" if r.ratio[name] >= r.target[name] else "no"
            lines.append(
                f"{r.case:<12}{name:<16}{r.ours:>10.4g}{value:>10.4g}  {r.unit:<8}{r.ratio[name]:>8.3g}{goal:>8}  "
                f"{reached}".rstrip()
            )
    return "\n".join([*lines, "", *(f"{r.case} ({r.unit}): {r.note}" for r in results)])
