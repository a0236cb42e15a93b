"""What every case shares: a result, medians of contenders run in turn, the machine's description, the table."""

import importlib
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from types import ModuleType
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


Contender = Callable[[], tuple[float, ...]]
Measured = dict[str, list[tuple[float, ...]]]


def in_turn(contenders: Mapping[str, Contender], rounds: int) -> Measured:
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
    """A result from measured times, of which ``ours`` is one: medians and ratios.

    Args:
        target: that of a peer which did not run is left out.
        column: which number of each measurement.
    """
    values = {name: [m[column] for m in rows] for name, rows in measured.items()}
    medians = {name: statistics.median(v) for name, v in values.items()}
    spread = {name: (min(v), max(v)) for name, v in values.items()}
    ours = medians.pop("ours")
    ratio = {name: value / ours for name, value in medians.items()}
    return Result(case, unit, ours, medians, ratio, {k: v for k, v in target.items() if k in medians}, note, spread)


def more_is_better(case: str, unit: str, measured: Measured, target: dict[str, float], *, note: str) -> Result:
    """A result from measured speeds; else as ``less_is_better``."""
    result = less_is_better(case, unit, measured, target, note=note)
    return replace(result, ratio={name: 1 / ratio for name, ratio in result.ratio.items()})


def seconds(work: Callable[[], object], *, times: float = 1) -> tuple[float]:
    """How long the work takes, multiplied by ``times``: a measurement for ``in_turn``."""
    began = time.perf_counter()
    work()
    return ((time.perf_counter() - began) * times,)


def timed(contenders: Mapping[str, Callable[[], object]]) -> dict[str, Contender]:
    """Contenders that do their work, as such that measure how long it takes."""
    return {name: partial(seconds, work) for name, work in contenders.items()}


def peer(module: str) -> ModuleType | None:
    """A peer's module; None where it is not installed, or does not load on this machine."""
    try:
        return importlib.import_module(module)
    except (ImportError, OSError):  # OSError: a shared library that this machine lacks
        return None


def without(**peers: ModuleType | None) -> str:
    """For the note: which peers are left out; empty where none is."""
    return "".join(f"; {name} is not installed and left out" for name, module in peers.items() if module is None)


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
    cells = [cells for r in results for cells in _lines(r)]
    wide, peer_wide = (max([8, *(len(c[i]) for c in cells)]) + 2 for i in (0, 1))
    head = ("case", "against", "ours", "theirs", "unit", "ratio", "target", "reached")
    lines = [
        f"{a:<{wide}}{b:<{peer_wide}}{c:>10}{d:>10}  {e:<8}{f:>10}{g:>8}  {h}".rstrip()
        for a, b, c, d, e, f, g, h in [head, *cells]
    ]
    return "\n".join([*lines, "", *_notes(results)])


def _notes(results: list[Result]) -> list[str]:
    """Each note once, under the name of the first result that has it."""
    first = {r.note: r.case for r in reversed(results)}
    return [f"{case}: {note}" for note, case in reversed(first.items())]


def _lines(r: Result) -> list[tuple[str, ...]]:
    """A line for each that it is held against; one without them where it stands alone."""
    if not r.against:
        return [(r.case, "", f"{r.ours:.4g}", "", r.unit, "", "", "")]
    out: list[tuple[str, ...]] = []
    for name, value in r.against.items():
        goal, reached = "", ""
        if name in r.target:
            goal, reached = f"{r.target[name]:.3g}", "yes" if r.ratio[name] >= r.target[name] else "no"
        out.append((r.case, name, f"{r.ours:.4g}", f"{value:.4g}", r.unit, f"{r.ratio[name]:.3g}", goal, reached))
    return out
