"""What Prefect needs to know of a step and of a flow: names, retries, how an error is told, who answers.

    @step(name="train")
    def train(...): ...

    unwrap(train(..., return_state=True))    # the result, or the error in the caller's own terms

A user's error ends a step in a failed state that carries its line; it is not raised through Prefect, which would retry
it and print tracebacks. What the steps do is in ``flows.steps``.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import httpx
from prefect import Flow, Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, StateType
from prefect.runtime import flow_run
from prefect.settings import get_current_settings

from flows.orchestration.address import check_server
from flows.orchestration.local_server import local_server, loss, wait_until_ready
from flows.results import pictures
from linreg.errors import ServerAway, UserError

P = ParamSpec("P")
R = TypeVar("R")

_REFUSED, _AWAY = "Refused input", "Server away"  # names of the failed states that carry one line


def fail_with_message(function: Callable[P, R]) -> Callable[P, R]:
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


def _is_worth_a_retry(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Whether another try can help: a server or a file system may come back, a user's error stays."""
    if state.name in (_REFUSED, _AWAY):
        return state.name == _AWAY and not loss()
    return isinstance(state.result(raise_on_failure=False), OSError)


def unwrap(state: State[R]) -> R:
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
            retry_condition_fn=_is_worth_a_retry,
        )(fail_with_message(function))

    return make


def flow_run_id() -> str | None:
    """Prefect's id of the flow run that this is called in."""
    return str(flow_run.id) if flow_run.id else None


def run_and_unwrap(flow: "Flow[..., R]", parameters: dict[str, Any]) -> R:
    """Run a flow once, here, and return what it came to; however it ends, its pictures are in MLflow first.

    Raises:
        UserError, ServerAway: as the flow does; ServerAway also where the Prefect server does not answer.
    """
    try:
        with local_server():
            wait_until_ready()
            check_server()
            return unwrap(_final_state(flow, parameters))
    finally:
        pictures.wait()


def _final_state(flow: "Flow[..., R]", parameters: dict[str, Any]) -> "State[R]":
    """What the flow ended in; a server that went away meanwhile is an error of its own."""
    try:
        return cast("State[R]", flow(**parameters, return_state=True))
    except Exception as e:
        if away := loss():
            raise away from e
        if not isinstance(e, httpx.HTTPError):
            raise
        url = get_current_settings().api.url
        raise ServerAway(f"the Prefect server {url} went away ({type(e).__name__}): start it and run again") from e
