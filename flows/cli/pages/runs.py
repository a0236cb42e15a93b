"""The page of ``linreg runs``: runs side by side, and what came of the last one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flows.cli.pages.columns import MEASURES, flowing, grid, measures
from flows.tracking.unchanged_runs import SeenAgain

_DRIFT = {"none": "quiet", "warn": "warn", "stop": "stop"}


def page(
    runs: Sequence[Mapping[str, Any]], unchanged: Mapping[str, SeenAgain | None], notes: Sequence[str] = ()
) -> str:
    """The runs, newest first.

    Args:
        unchanged: the runs that found nothing new, which are in no list, by the version that they found again.
        notes: on experiments that are not listed.
    """
    if not runs:
        return "\n".join(["no runs yet: linreg run CONFIG makes one", *_flowing(notes)])
    head = ["run", "name", "status", "decision", "drift", *MEASURES]
    last = next((run for run in runs if not run["nested"]), runs[0])  # a sweep's own run may have been deleted
    return "\n".join(
        [grid(head, [_cells(run) for run in runs]), "", *_last(last), *_unchanged(unchanged), *_flowing(notes)]
    )


def _cells(run: Mapping[str, Any]) -> list[str]:
    outcome = [run["status"].lower(), run["decision"] or "", _DRIFT.get(run["drift"], "")]
    return [run["run_id"][:8], run["name"], *outcome, *measures(run["metrics"]), run["judged_on"]]


def _last(run: Mapping[str, Any]) -> Iterator[str]:
    """What came of the newest run, and what of its data."""
    decision, reason = run["decision"] or run["status"].lower(), run["reason"]
    text = reason if reason.startswith(decision) else ": ".join(filter(None, [decision, reason]))
    yield flowing(f"The last one, {run['name']}: {text}", first="")
    if run["drift"] in ("none", "warn"):  # a stop is the reason itself
        yield from (flowing(f"drift: {line}", "    ") for line in run["drift_why"].splitlines())


def _unchanged(unchanged: Mapping[str, SeenAgain | None]) -> Iterator[str]:
    for ref, runs in unchanged.items():
        if runs:
            count = "1 run" if runs.times == 1 else f"{runs.times:,} runs"
            words = f"{count} found the data and the config of {ref} unchanged, the last at {runs.last[:19]}"
            yield flowing(words, first="")


def _flowing(notes: Sequence[str]) -> Iterator[str]:
    return (flowing(note, first="") for note in notes)
