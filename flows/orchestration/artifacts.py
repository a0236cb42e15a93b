"""What a run leaves in Prefect: its summary and its drift as artifacts of the flow run, and an event where it drifted.

An automation can react to the events ``linreg.drift.warned`` and ``linreg.drift.stopped``; their resource is
``linreg.model.NAME``. What is registered is registered: nothing here fails a run.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.events import emit_event

from flows.orchestration.tasks import flow_run_id
from flows.results.outcome import Outcome
from flows.results.run_log import markdown
from flows.steps.drift import DriftReport
from flows.tracking.stores.store import Store

_EVENTS = {"warn": "linreg.drift.warned", "stop": "linreg.drift.stopped"}
MOST_ROWS = 50  # of the table


def summary(outcome: Outcome, store: Store) -> None:
    """The summary, as an artifact of the flow run in Prefect's UI."""
    with _warn_on_failure("the summary"):
        create_markdown_artifact(markdown(outcome, store.title), key=_key(outcome.model), description=outcome.reason)


def drift(model: str, report: DriftReport, run_id: str) -> None:
    """The differences as a table; and an event, where one is beyond a limit."""
    if report.drift is None:
        return
    with _warn_on_failure("the drift"):
        create_table_artifact(_table(report), key=_key(f"{model}-drift"), description="; ".join(report.lines))
        if report.verdict in _EVENTS:
            _emit(model, report, run_id)


def _emit(model: str, report: DriftReport, run_id: str) -> None:
    emit_event(
        _EVENTS[report.verdict],
        resource={"prefect.resource.id": f"linreg.model.{model}", "prefect.resource.name": model},
        payload={
            "model": model,
            "champion": report.version,
            "run_id": run_id,
            "flow_run_id": flow_run_id(),
            "lines": list(report.lines),
            "worst": report.metrics,
        },
    )


def _table(report: DriftReport) -> list[dict[str, object]]:
    """The worst of each measure and column first, and whether it is beyond a limit."""
    assert report.drift
    beyond = {id(e.finding): name for name in ("warn", "stop") for e in getattr(report.judged, name)}
    rows: list[dict[str, object]] = [
        {
            "measure": f.measure,
            "of": " and ".join(f.columns),
            "in": f.partition or "all new files together",
            "value": f.value,
            "was": f.was,
            "now": f.now,
            "limit passed": beyond.get(id(f), ""),
            "in words": f.words,
        }
        for findings in report.drift.findings.values()
        for f in findings
    ]
    rows.sort(key=lambda row: not row["limit passed"])  # within that as they come, the worst of a measure first
    return rows[:MOST_ROWS]


def _key(name: str) -> str:
    """What Prefect takes as an artifact's key."""
    return re.sub(r"[^a-z0-9]+", "-", f"linreg-{name}".lower()).strip("-")


@contextmanager
def _warn_on_failure(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as e:  # noqa: BLE001 - a page more or less must not fail the run
        get_run_logger().warning("%s could not be put into Prefect's UI (%s: %s)", what, type(e).__name__, e)
