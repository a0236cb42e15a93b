"""Prefect's runner with the patience to serve for months: all that is used here of Prefect's private parts.

    with retrying_runner(): await runner.start()

- Its loops give up after three questions without an answer (the one for runs, and the one that hears of cancelled runs:
  PrefectHQ/prefect#18840); here they wait for a server that is away.
- It starts a process for every run that is late; here those are held back that would have to give way at once
  (``schedule``), so that none is started for them.

Nothing public replaces either. ``tests/flows/orchestration/test_poller.py`` fails where a new version has other names.
"""

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
from prefect.client.schemas.objects import FlowRun
from prefect.logging import get_logger
from prefect.runner import _scheduled_run_poller, runner
from prefect.settings import get_current_settings

from flows.orchestration.schedule import due_time, is_scheduled, is_working

_log = get_logger("serve")


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
        by_hand = [run for run in runs if not is_scheduled(run)]
        scheduled = sorted(filter(is_scheduled, runs), key=due_time)
        if not scheduled or self._started in self._submitting_flow_run_ids:
            return by_hand
        is_due = [run for run in scheduled if due_time(run) <= datetime.now(UTC)]
        following = is_due[-1] if is_due else scheduled[0]  # the last of those that are due catches up on the others
        if following.deployment_id is None or is_working(following.deployment_id):
            return by_hand
        self._started = following.id
        return [*by_hand, following]
