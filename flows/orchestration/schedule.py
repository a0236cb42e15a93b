"""A schedule's runs work one at a time, and one run does the work of all that are due.

    @flow
    @fail_with_message
    @one_at_a_time
    def linreg_flow(...): ...

A run that the schedule started holds a lock of its deployment while it works. The kernel gives the lock back however
the process ends, so a run that was killed, and that the server takes for a running one for ever, holds up nobody. The
lock is this machine's: workers on several machines need a limit on the server too (docs/schedules.md).

A run that was started by hand, from the command line or in Prefect's UI, is neither held up nor skipped.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID

from filelock import FileLock, Timeout
from prefect import get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.context import FlowRunContext

from linreg.errors import UserError

P = ParamSpec("P")
R = TypeVar("R")

SKIPPED = "Skipped"  # the state's name of a run that did nothing, because another one does it
CATCH_UP = "catch-up"  # the tag of a run that `serve` starts for those that came to nothing while it was away
WAITING = (StateType.SCHEDULED, StateType.PENDING)
_ENDED = (StateType.COMPLETED, StateType.FAILED)
_LOCK_SECONDS = 1.0  # the lock is taken for a moment too by who only looks whether it is free
_PAGE = 200  # flow runs that the server gives at once


def one_at_a_time(function: Callable[P, R]) -> Callable[P, R]:
    """Let a flow's scheduled runs work one after the other; one that has nothing left to do ends as ``Skipped``."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        context = FlowRunContext.get()
        run = context.flow_run if context else None
        if run is None or run.deployment_id is None or not is_scheduled(run):
            return function(*args, **kwargs)
        lock = schedule_lock(str(run.deployment_id), _LOCK_SECONDS)
        with lock as locked, get_client(sync_client=True) as client:
            reason = _reason_to_skip(client, run) if locked else "an earlier run of this schedule is still working"
            if reason:  # a cancelled state would be the right one; prefect prints a traceback where a flow returns one
                return cast(R, State[Any](type=StateType.COMPLETED, name=SKIPPED, message=reason))
            _cover_others(client, run)
            return function(*args, **kwargs)

    return call


def is_scheduled(run: FlowRun) -> bool:
    """Whether a schedule stands behind this run, and nobody's hand."""
    return bool(run.auto_scheduled) or CATCH_UP in run.tags


@contextmanager
def schedule_lock(name: str, seconds: float = 0) -> Iterator[bool]:
    """Hold the lock of that name among this user's processes on this machine, and say whether it was to be had.

    Args:
        name: of the lock.
        seconds: to wait for it.

    Raises:
        UserError: the lock's folder cannot be written.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "linreg" / "schedules"
    lock = FileLock(folder / f"{name}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire(timeout=seconds)
    except Timeout:
        yield False
        return
    except OSError as e:
        raise UserError(f"cannot lock the schedule ({e}): make {folder} writable, or set XDG_CACHE_HOME") from e
    try:
        yield True
    finally:
        lock.release()


def is_working(deployment_id: UUID) -> bool:
    """Whether a run of the schedule is working on this machine: one that outlived its `serve`, maybe."""
    with schedule_lock(str(deployment_id)) as locked:
        return not locked


def due_runs(
    client: SyncPrefectClient, deployment_id: UUID | None, *states: StateType, began: datetime | None = None
) -> list[FlowRun]:
    """The scheduled runs of a deployment whose time has come, the earliest first.

    Args:
        client: of the server.
        deployment_id: the server's.
        states: in one of these.
        began: not before then; none: whenever, or not yet.
    """
    query = FlowRunFilter.model_validate(
        {
            "deployment_id": {"any_": [deployment_id]},
            "expected_start_time": {"before_": datetime.now(UTC)},
            "start_time": {"after_": began} if began else None,
            "state": {"type": {"any_": states}},
        }
    )
    runs: list[FlowRun] = []
    while page := client.read_flow_runs(flow_run_filter=query, limit=_PAGE, offset=len(runs)):
        runs += page
    return sorted(filter(is_scheduled, runs), key=due_time)


def cancel_covered(client: SyncPrefectClient, runs: list[FlowRun], by: FlowRun) -> None:
    """Give up runs that have not begun: what they were to do, another one does."""
    for run in runs:
        client.set_flow_run_state(run.id, State(type=StateType.CANCELLED, name=SKIPPED, message=_caught_up(by)))


def due_time(run: FlowRun) -> datetime:
    """When a run was, or is, to start."""
    assert run.expected_start_time is not None
    return run.expected_start_time


def _caught_up(by: FlowRun) -> str:
    return f"caught up by the flow run {by.id}"  # its name changes when it begins


def _reason_to_skip(client: SyncPrefectClient, run: FlowRun) -> str:
    """Why a run has nothing left to do; empty where it has."""
    later = ended_since(client, run)
    return _caught_up(later) if later else ""


def ended_since(client: SyncPrefectClient, run: FlowRun) -> FlowRun | None:
    """A run that began when this one was due already and has come to its end: then this one has nothing left to do."""
    ended = due_runs(client, run.deployment_id, *_ENDED, began=due_time(run))
    return next((other for other in ended if other.state_name != SKIPPED), None)


def _cover_others(client: SyncPrefectClient, run: FlowRun) -> None:
    """Give up all other runs that are due: this one does what they were to do."""
    others = [other for other in due_runs(client, run.deployment_id, *WAITING) if other.id != run.id]
    cancel_covered(client, others, run)
    if others:
        get_run_logger().info("catches up on %d more, due since %s", len(others), format_time(others[0]))


def format_time(run: FlowRun) -> str:
    """When a run was due, for people."""
    return f"{due_time(run).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
