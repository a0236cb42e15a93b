"""Schedules: the flow as a served deployment of a Prefect server.

``serve`` needs a running server (``prefect server start``, and PREFECT_API_URL), because a temporary one would forget
the schedule with the process. The deployment's runs start in this working directory, with this environment.
"""

import math
import signal
import sys
from zoneinfo import available_timezones

from prefect.deployments.runner import RunnerDeployment
from prefect.logging import get_logger
from prefect.runner import Runner
from prefect.schedules import Cron, Interval, Schedule
from prefect.settings import get_current_settings
from prefect.types.entrypoint import EntrypointType
from prefect.utilities.asyncutils import run_coro_as_sync

from flows.orchestration.address import check_server
from flows.orchestration.cron import announcement, next_starts
from flows.orchestration.runner import catch_up, exclusive, retrying_runner
from flows.pipeline import linreg_flow
from linreg.config import Config
from linreg.config_file import to_dict
from linreg.errors import UserError


def serve(
    config: Config, *, name: str, cron: str | None = None, interval: float | None = None, timezone: str = "UTC"
) -> None:
    """Run the config's flow on a schedule until stopped; what was missed before is caught up by one run.

    Args:
        config: becomes the deployment's parameters.
        name: of the deployment.
        cron: a cron expression, in ``timezone``.
        interval: seconds from one start to the next, where there is no ``cron``.
        timezone: an IANA name.

    Raises:
        UserError: the schedule or the name cannot be used, no server is named, or another process serves that name.
        ServerAway: the server does not answer.
    """
    _check(name, interval, timezone)
    starts = next_starts(cron, timezone) if cron is not None else []
    try:
        schedule = Interval(interval or 0, timezone=timezone) if cron is None else Cron(cron, timezone=timezone)
        served = deployment(config, name=name, schedule=schedule)
    except (ValueError, OverflowError) as e:
        reason = " ".join(str(e).split())
        raise UserError(f"the schedule {cron or interval!r} in {timezone} cannot be read: {reason}") from e
    if starts:
        print(announcement(starts, timezone), file=sys.stderr)  # noqa: T201 - for who types the command
    _require_server()
    _restore_interrupts()
    with exclusive(f"{served.flow_name}/{served.name}"):
        run_coro_as_sync(_serve(served))


async def _serve(served: RunnerDeployment) -> None:
    runner = Runner(pause_on_shutdown=False, limit=None)  # a schedule's runs take turns; those by hand need not wait
    deployment_id = await runner.aadd_deployment(served)
    get_logger("serve").info("serving '%s/%s' until stopped", served.flow_name, served.name)
    catch_up(deployment_id)
    with retrying_runner():
        await runner.start()


def _restore_interrupts() -> None:
    """Let Ctrl-C end a wait: a library that comes along (polars does) may have had waits go on after the signal."""
    signal.signal(signal.SIGINT, signal.getsignal(signal.SIGINT) or signal.default_int_handler)


def deployment(config: Config, *, name: str, schedule: Schedule) -> RunnerDeployment:
    """The flow with this config's sections as its parameters, on a schedule."""
    served = linreg_flow.to_deployment(
        name=name,
        schedule=schedule,
        parameters=to_dict(config),
        description=f"Trains, judges and registers {config.model} on {config.data.path}.",
        tags=["linreg", config.model],
        entrypoint_type=EntrypointType.MODULE_PATH,  # a file path would be looked for below the working directory
    )
    assert isinstance(served, RunnerDeployment)
    return served


def _check(name: str, interval: float | None, timezone: str) -> None:
    """Refuse what prefect refuses in words of its own, or not at all."""
    if not name.strip() or not name.isprintable() or set(name) & set("/%&<>"):
        raise UserError(f"--name {name!r} cannot be a deployment's: write some text without / % & < and >")
    if timezone not in available_timezones():
        raise UserError(f"--timezone {timezone!r} is no IANA time zone: write one, such as Europe/Berlin")
    if interval is not None and not 0 < interval < math.inf:
        raise UserError(f"--interval {interval:g} cannot be: give the seconds from one start to the next, above 0")


def _require_server() -> None:
    url = get_current_settings().api.url
    if not url:
        raise UserError(
            "no Prefect server is named, and a schedule needs one: run `prefect server start` in another terminal, "
            "then `export PREFECT_API_URL=http://127.0.0.1:4200/api` here"
        )
    check_server()
