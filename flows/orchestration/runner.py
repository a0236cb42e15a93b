"""A deployment that is served for months: its server may go away, and what was missed is caught up by one run.

    with only_here(name): ...               # no other process of this machine serves the deployment
    catch_up(deployment_id)                 # one run for all that came to nothing while nobody served
    with patient(): await runner.start()    # prefect's runner, which would give up after three polls without an answer

Which of a schedule's runs works is up to the runs themselves (``turns``); here those are held back that would have to
give way at once, so that no process is started for them.
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

from flows.orchestration.turns import CATCH_UP, WAITING, done_since, due, due_time, is_scheduled, skip, told_time, turn
from linreg.errors import UserError

_log = get_logger("serve")


@contextmanager
def only_here(name: str) -> Iterator[None]:
    """Serve the deployment of that name in this process alone: a second one would take its schedule and parameters.

    Raises:
        UserError: another process of this machine serves it.
    """
    key = hashlib.sha256(f"{get_current_settings().api.url} {name}".encode()).hexdigest()[:16]
    with turn(f"serve-{key}") as free:
        if not free:
            raise UserError(f"'{name}' is served by another process already: stop that one, or choose another --name")
        yield


def catch_up(deployment_id: UUID) -> None:
    """Start one run, with the deployment's present parameters, where scheduled runs were missed or cut off."""
    with get_client(sync_client=True) as client:
        waiting, cut_off = due(client, deployment_id, *WAITING), _cut_off(client, deployment_id)
        crashed = due(client, deployment_id, StateType.CRASHED)[-1:]  # told by itself, when `serve` was stopped
        lost = [run for run in crashed if not done_since(client, run)]
        missed = sorted({run.id: run for run in waiting + cut_off + lost}.values(), key=due_time)
        if not missed:
            return
        done = done_since(client, missed[-1])
        skip(client, waiting, done or client.create_flow_run_from_deployment(deployment_id, tags=[CATCH_UP]))
        if done:
            return
        _log.info("one run catches up on %d that were missed or cut off since %s", len(missed), told_time(missed[0]))


def _cut_off(client: SyncPrefectClient, deployment_id: UUID) -> list[FlowRun]:
    """The scheduled runs that the server takes for running ones, and that are gone; it is told so."""
    if _working(deployment_id):
        return []
    gone = due(client, deployment_id, StateType.RUNNING)
    for run in gone:
        client.set_flow_run_state(run.id, Crashed(message="its process ended without a word"))
    return gone


def _working(deployment_id: UUID) -> bool:
    """Whether a run of the schedule is working on this machine: one that outlived its `serve`, it may be."""
    with turn(str(deployment_id)) as free:
        return not free


@contextmanager
def patient() -> Iterator[None]:
    """Have prefect's runner wait for a server that is away, and keep the order of a schedule's runs."""
    with ExitStack() as stack:
        for module, name, ours in (
            (_scheduled_run_poller, "critical_service_loop", _for_ever),
            (observers, "critical_service_loop", partial(_for_ever, tell=_log.debug)),
            (runner, "ScheduledRunPoller", _Poller),
        ):
            stack.enter_context(mock.patch.object(module, name, ours))
        yield


async def _for_ever(
    workload: Callable[[], Awaitable[None]], interval: float, tell: Callable[..., None] = _log.warning, **_: Any
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
                tell("the Prefect server %s does not answer (%s): waiting for it", url, type(e).__name__)
            away = True
        else:
            if away:
                tell("the Prefect server answers again")
            away = False
        await anyio.sleep(interval * random.uniform(0.7, 1.3))


class _Poller(_scheduled_run_poller.ScheduledRunPoller):
    """Prefect's poller, but of the runs of a schedule it starts one, when the one before has ended."""

    _started: UUID | None = None

    async def _get_scheduled_flow_runs(self) -> list[FlowRun]:
        runs = await super()._get_scheduled_flow_runs()
        by_hand = [run for run in runs if not is_scheduled(run)]
        scheduled = sorted(filter(is_scheduled, runs), key=due_time)
        if not scheduled or self._started in self._submitting_flow_run_ids:
            return by_hand
        is_due = [run for run in scheduled if due_time(run) <= datetime.now(UTC)]
        following = is_due[-1] if is_due else scheduled[0]  # the last of those that are due catches up on the others
        if following.deployment_id is None or _working(following.deployment_id):
            return by_hand
        self._started = following.id
        return [*by_hand, following]
