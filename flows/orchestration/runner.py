"""How a deployment is served for months: by one process at a time, and what was missed is caught up by one run.

    with exclusive(name): ...           # no other process of this machine serves the deployment
    catch_up(deployment_id)             # one run for all that came to nothing while nobody served
    with retrying_runner(): await runner.start()

All that is used here of Prefect's private parts is in ``retrying_runner``, since nothing public replaces it:

- The runner's loops give up after three questions without an answer (the one for runs, and the one that hears of
  cancelled runs: PrefectHQ/prefect#18840); here they wait for a server that is away.
- It starts a process for every run that is late; here those are held back that would have to give way at once
  (``schedule``), so that none is started for them.

``tests/flows/orchestration/test_runner.py`` fails where a new version has other names.
"""

import hashlib
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any
from unittest import mock
from uuid import UUID

import anyio
import httpx
from prefect._internal import observers
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.logging import get_logger
from prefect.runner import _scheduled_run_poller, runner
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
        crashed = schedule.due_runs(client, deployment_id, StateType.CRASHED)
        # the last one was told so when `serve` was stopped
        lost = [run for run in crashed[-1:] if not schedule.ended_since(client, run)]
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


@contextmanager
def retrying_runner() -> Iterator[None]:
    """Have prefect's runner wait for a server that is away, and keep the order of a schedule's runs."""
    with ExitStack() as stack:
        for module, name, ours in (
            (_scheduled_run_poller, "critical_service_loop", _poll_forever),
            (observers, "critical_service_loop", partial(_poll_forever, report=_log.debug)),
            (runner, "ScheduledRunPoller", _Poller),
        ):
            stack.enter_context(mock.patch.object(module, name, ours))
        yield


async def _poll_forever(
    workload: Callable[[], Awaitable[None]], interval: float, report: Callable[..., None] = _log.warning, **_: Any
) -> None:
    """Do the work again and again, about every ``interval`` seconds, whether or not the server answers."""
    away = False
    while True:
        try:
            await workload()
        except (httpx.TransportError, httpx.HTTPStatusError) as e:
            if isinstance(e, httpx.HTTPStatusError) and e.response.status_code < 500:
                raise
            if not away:
                url = get_current_settings().api.url
                report("the Prefect server %s does not answer (%s): waiting for it", url, type(e).__name__)
            away = True
        else:
            if away:
                report("the Prefect server answers again")
            away = False
        await anyio.sleep(interval * random.uniform(0.7, 1.3))


class _Poller(_scheduled_run_poller.ScheduledRunPoller):
    """Prefect's poller, but of the runs of a schedule it starts one, when the one before has ended."""

    _started: UUID | None = None

    async def _get_scheduled_flow_runs(self) -> list[FlowRun]:
        runs = await super()._get_scheduled_flow_runs()
        by_hand = [run for run in runs if not schedule.is_scheduled(run)]
        scheduled = sorted(filter(schedule.is_scheduled, runs), key=schedule.due_time)
        if not scheduled or self._started in self._submitting_flow_run_ids:
            return by_hand
        is_due = [run for run in scheduled if schedule.due_time(run) <= datetime.now(UTC)]
        following = is_due[-1] if is_due else scheduled[0]  # the last of those that are due catches up on the others
        if following.deployment_id is None or schedule.is_working(following.deployment_id):
            return by_hand
        self._started = following.id
        return [*by_hand, following]
