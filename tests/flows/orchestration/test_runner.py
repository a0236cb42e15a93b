"""Prefect's private parts that ``runner`` replaces: still there, still used, still called that way."""

import inspect

from prefect._internal import observers
from prefect.runner import _scheduled_run_poller, runner
from prefect.utilities import services

from flows.orchestration.runner import _Poller, retrying_runner


def test_what_is_replaced_is_what_prefects_runner_uses() -> None:
    poller = _scheduled_run_poller.ScheduledRunPoller
    assert runner.ScheduledRunPoller is poller
    for module in (_scheduled_run_poller, observers):
        assert module.critical_service_loop is services.critical_service_loop
    parameters = list(inspect.signature(services.critical_service_loop).parameters)
    assert parameters[:2] == ["workload", "interval"]
    assert inspect.iscoroutinefunction(poller._get_scheduled_flow_runs)
    assert "_submitting_flow_run_ids" in poller.__init__.__code__.co_names
    assert "_get_scheduled_flow_runs" in poller._get_and_submit_flow_runs.__code__.co_names


def test_it_is_replaced_for_a_while() -> None:
    with retrying_runner():
        assert runner.ScheduledRunPoller is _Poller
        assert observers.critical_service_loop is not services.critical_service_loop
    assert runner.ScheduledRunPoller is not _Poller
