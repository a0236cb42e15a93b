"""A deployment is served by one process at a time, and what was missed is caught up by one run.

with exclusive(name): ...               # no other process of this machine serves the deployment
catch_up(deployment_id)                 # one run for all that came to nothing while nobody served
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.logging import get_logger
from prefect.settings import get_current_settings
from prefect.states import Crashed

from flows.orchestration import schedule
from linreg.errors import UserError

_log = get_logger("serve")


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Serve the deployment of that name in this process alone: a second one would take its schedule and parameters.

    Raises:
        UserError: another process of this machine serves it.
    """
    key = hashlib.sha256(f"{get_current_settings().api.url} {name}".encode()).hexdigest()[:16]
    with schedule.schedule_lock(f"serve-{key}") as locked:
        if not locked:
            raise UserError(f"'{name}' is served by another process already: stop that one, or choose another --name")
        yield


def catch_up(deployment_id: UUID) -> None:
    """Start one run, with the deployment's present parameters, where scheduled runs were missed or cut off."""
    with get_client(sync_client=True) as client:
        waiting, cut_off = schedule.due_runs(client, deployment_id, *schedule.WAITING), _cut_off(client, deployment_id)
        crashed = schedule.due_runs(client, deployment_id, StateType.CRASHED)[
            -1:
        ]  # as it said when `serve` was stopped
        lost = [run for run in crashed if not schedule.ended_since(client, run)]
        missed = sorted({run.id: run for run in waiting + cut_off + lost}.values(), key=schedule.due_time)
        if not missed:
            return
        later = schedule.ended_since(client, missed[-1])
        covering = later or client.create_flow_run_from_deployment(deployment_id, tags=[schedule.CATCH_UP])
        schedule.cancel_covered(client, waiting, covering)
        if not later:
            since = schedule.format_time(missed[0])
            _log.info("one run catches up on %d that were missed or cut off since %s", len(missed), since)


def _cut_off(client: SyncPrefectClient, deployment_id: UUID) -> list[FlowRun]:
    """The scheduled runs that the server takes for running ones, and that are gone; it is told so."""
    if schedule.is_working(deployment_id):
        return []
    gone = schedule.due_runs(client, deployment_id, StateType.RUNNING)
    for run in gone:
        client.set_flow_run_state(run.id, Crashed(message="its process ended without a word"))
    return gone
