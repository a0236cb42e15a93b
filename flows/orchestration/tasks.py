"""What Prefect needs to know of a step and of a flow: names, retries, how an error is told, who answers.

    @step(name="train")
    def train(...): ...

    value(train(..., return_state=True))     # the result, or the error in the caller's own terms

A user's error ends a step in a failed state that carries its line; it is not raised through Prefect, which would retry
it and print tracebacks. What the steps do is in ``pipeline`` and ``sweep_pipeline``.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import httpx
from prefect import Flow, Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, StateType
from prefect.runtime import flow_run
from prefect.settings import get_current_settings

from flows.orchestration.temporary_server import temporary_server
from linreg.errors import ServerAway, UserError

P = ParamSpec("P")
R = TypeVar("R")

_REFUSED, _AWAY = "Refused input", "Server away"  # names of the failed states that carry one line


def told(function: Callable[P, R]) -> Callable[P, R]:
    """Give an error that is told in one line as a failed state with that line; prefect takes it for the run's state."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (UserError, ServerAway) as e:
            name = _REFUSED if isinstance(e, UserError) else _AWAY
            message = "\n".join([str(e), *getattr(e, "details", ())])
            return cast(R, State[Any](type=StateType.FAILED, name=name, message=message))

    return call


def _passes(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Whether another try can help: a server or a file system may come back, a user's error stays."""
    if state.name in (_REFUSED, _AWAY):
        return state.name == _AWAY
    return isinstance(state.result(raise_on_failure=False), OSError)


def value(state: State[R]) -> R:
    """The result of a finished state; what a failed one told is raised again, in the caller's own terms."""
    if state.name in (_REFUSED, _AWAY):
        first, *details = (state.message or "").splitlines()
        raise UserError(first, details=details) if state.name == _REFUSED else ServerAway(first)
    return state.result()


def step(name: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A step of the chain. Tensors and stores pass between steps: nothing to hash (NO_CACHE), nothing to keep."""

    def make(function: Callable[P, R]) -> Task[P, R]:
        return task(
            name=name,
            cache_policy=NO_CACHE,
            persist_result=False,
            retries=2,
            retry_delay_seconds=2,
            retry_condition_fn=_passes,
        )(told(function))

    return make


def flow_run_id() -> str | None:
    """Prefect's id of the flow run that this is called in."""
    return str(flow_run.id) if flow_run.id else None


def check_server() -> None:
    """Ask the Prefect server that the environment or the profile names, if any, for a sign of life.

    Raises:
        ServerAway: it does not answer.
    """
    url = get_current_settings().api.url
    if not url:
        return
    try:
        with get_client(sync_client=True) as client:
            failure = client.api_healthcheck()
    except (httpx.HTTPError, OSError) as e:
        failure = e
    if failure is not None:
        what = type(failure).__name__
        raise ServerAway(f"the Prefect server {url} does not answer ({what}): start it, or correct PREFECT_API_URL")


def called(flow: "Flow[..., R]", parameters: dict[str, Any]) -> R:
    """Run a flow once, here, and return what it came to.

    Raises:
        UserError: the data, the config or the rate are wrong.
        ServerAway: the tracking server or the Prefect server does not answer.
    """
    check_server()
    try:
        with temporary_server():
            state = flow(**parameters, return_state=True)
    except httpx.HTTPError as e:
        url = get_current_settings().api.url or "of this run"
        raise ServerAway(f"the Prefect server {url} went away ({type(e).__name__}): start it and run again") from e
    return value(cast("State[R]", state))
