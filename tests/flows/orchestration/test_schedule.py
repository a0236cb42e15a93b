"""Of a schedule's runs one works and one catches up, on a real Prefect server; runs by hand are let through."""

from datetime import UTC, datetime, timedelta

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State, StateType
from prefect.flow_engine import run_flow
from prefect.runtime import flow_run
from prefect.schedules import Interval
from prefect.states import Scheduled

from flows.deploy import deployment
from flows.orchestration.runner import catch_up, exclusive
from flows.orchestration.schedule import CATCH_UP, one_at_a_time, schedule_lock
from flows.pipeline import linreg_flow
from flows.sweep_pipeline import linreg_sweep_flow
from flows.tracking import registry
from flows.tracking.stores.store import open_store
from linreg.errors import UserError
from tests.support.flows import OPTIMUM, WEAK, crops


@pytest.fixture
def client(prefect_api):  # noqa: ARG001 - the client finds the server
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def served(work, tmp_path, monkeypatch, client, request):  # noqa: ARG001 - an empty store, and a server
    """The id of a deployment that runs every minute, and whose locks are its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    worked.clear()
    return apply(request.node.name, train=WEAK)


def apply(name, **sections):
    return deployment(crops(**sections), name=name[:60], schedule=Interval(60)).apply()


def missed(client, served, count, minutes=60):
    """Runs as the server's scheduler makes them, a minute apart, the first one due so many minutes ago."""
    first = datetime.now(UTC) - timedelta(minutes=minutes)
    span = {"start_time": first.isoformat(), "end_time": (first + timedelta(minutes=count)).isoformat()}
    body = {**span, "min_time": 60 * count, "min_runs": count, "max_runs": count}
    client.request("POST", "/deployments/{id}/schedule", path_params={"id": served}, json=body)
    runs = [run for run in all_runs(client, served) if run.expected_start_time >= first]
    return sorted(runs, key=lambda run: run.expected_start_time)[:count]


def all_runs(client, served):
    return client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate({"deployment_id": {"any_": [served]}}))


worked = []


@flow(name="linreg", validate_parameters=False)
@one_at_a_time
def quick(model, data, experiment, train, gate, drift, engine):  # noqa: ARG001 - the pipeline's
    """A flow whose work is to say that it worked."""
    worked.append(flow_run.id)


def work_on(client, run, of=quick, **parameters):
    """What a worker's process does with a run; its state."""
    client.set_flow_run_state(run.id, State(type=StateType.PENDING))
    return run_flow(of, flow_run=client.read_flow_run(run.id), parameters=parameters or None, return_type="state")


def set_states(client, run, *kinds):
    for kind in kinds:
        client.set_flow_run_state(run.id, State(type=kind))


def catching_up(client, served):
    return [run for run in all_runs(client, served) if CATCH_UP in run.tags]


def states(client, runs):
    return [client.read_flow_run(run.id).state for run in runs]


@pytest.mark.parametrize("pipeline", [linreg_flow, linreg_sweep_flow], ids=["run", "sweep"])
def test_a_scheduled_run_gives_way_to_one_that_is_working(client, served, pipeline):
    (run,) = missed(client, served, 1)
    more = run.parameters | {"grid": {"train.epochs": [10, 20]}} if pipeline is linreg_sweep_flow else {}
    with schedule_lock(str(served)) as locked:
        assert locked
        state = work_on(client, run, pipeline, **more)
    assert (state.name, state.type) == ("Skipped", StateType.COMPLETED)
    assert state.message == "an earlier run of this schedule is still working"
    assert registry.runs(open_store(create=False)) == []


def test_a_run_by_hand_is_not_held_up(client, served):
    with schedule_lock(str(served)):
        state = work_on(client, client.create_flow_run_from_deployment(served))
    assert state.name == "Completed"
    assert len(worked) == 1


def test_one_run_catches_up_on_all_that_are_due(client, served):
    *others, last = missed(client, served, 3)
    by_hand = client.create_flow_run_from_deployment(served)
    later = client.create_flow_run_from_deployment(
        served, tags=[CATCH_UP], state=Scheduled(scheduled_time=datetime.now(UTC) + timedelta(hours=1))
    )
    assert work_on(client, last).name == "Completed"
    others_states = states(client, others)
    assert [(s.name, s.type) for s in others_states] == [("Skipped", StateType.CANCELLED)] * 2
    assert {s.message for s in others_states} == {f"caught up by the flow run {last.id}"}
    assert [s.name for s in states(client, [by_hand, later])] == ["Scheduled", "Scheduled"]
    assert worked == [str(last.id)]


def test_what_was_due_before_another_run_began_is_done_when_that_one_ends(client, served):
    """Two processes were started for two missed runs; the second comes to its turn when the first has ended."""
    (first,) = missed(client, served, 1, minutes=30)
    assert work_on(client, first).name == "Completed"
    (second,) = missed(client, served, 1, minutes=60)
    state = work_on(client, second)
    assert (state.name, state.message) == ("Skipped", f"caught up by the flow run {first.id}")
    after = client.create_flow_run_from_deployment(served, tags=[CATCH_UP])
    assert work_on(client, after).name == "Completed"
    assert worked == [str(first.id), str(after.id)]


def test_serving_again_starts_one_run_for_those_that_were_missed_with_the_present_parameters(client, served):
    old = missed(client, served, 3)
    assert apply(client.read_deployment(served).name, train=OPTIMUM) == served
    catch_up(served)
    (run,) = catching_up(client, served)
    assert run.state.type == StateType.SCHEDULED
    assert run.parameters["train"]["epochs"] == OPTIMUM["epochs"] != old[0].parameters["train"]["epochs"]
    assert {s.message for s in states(client, old)} == {f"caught up by the flow run {run.id}"}
    catch_up(served)  # killed before the run began, and served again: it is one run still
    waiting = [run for run in catching_up(client, served) if run.state.type == StateType.SCHEDULED]
    assert len(waiting) == 1
    assert waiting[0].id != run.id


def test_a_run_that_was_cut_off_is_caught_up_once_its_process_is_gone(client, served):
    (run,) = missed(client, served, 1)
    set_states(client, run, StateType.PENDING, StateType.RUNNING)
    with schedule_lock(str(served)):  # it outlived the process that served it
        catch_up(served)
        assert [s.type for s in states(client, [run])] == [StateType.RUNNING]
    catch_up(served)
    assert [s.type for s in states(client, [run])] == [StateType.CRASHED]
    assert len(catching_up(client, served)) == 1


def test_a_run_that_crashed_when_serving_was_stopped_is_caught_up_once(client, served):
    (run,) = missed(client, served, 1)
    set_states(client, run, StateType.PENDING, StateType.RUNNING, StateType.CRASHED)
    catch_up(served)
    (again,) = catching_up(client, served)
    assert work_on(client, again).name == "Completed"
    catch_up(served)
    assert len(catching_up(client, served)) == 1


def test_a_run_that_was_cut_off_before_another_one_ended_is_no_longer_missed(client, served):
    (zombie,) = missed(client, served, 1, minutes=90)
    set_states(client, zombie, StateType.PENDING, StateType.RUNNING)
    (late,) = missed(client, served, 1, minutes=60)
    (run,) = missed(client, served, 1, minutes=30)
    assert work_on(client, run).name == "Completed"
    catch_up(served)
    assert [s.name for s in states(client, [zombie, late])] == ["Crashed", "Skipped"]
    assert catching_up(client, served) == []


def test_serving_starts_nothing_early(client, served):
    (run,) = missed(client, served, 1)
    assert work_on(client, run).name == "Completed"
    before = len(all_runs(client, served))
    catch_up(served)
    catch_up(apply("never-served-before"))
    assert len(all_runs(client, served)) == before


def test_a_deployment_is_served_by_one_process(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with exclusive("linreg/one"), exclusive("linreg/two"), pytest.raises(UserError, match="another process already"):
        exclusive("linreg/one").__enter__()
    with exclusive("linreg/one"):
        pass


def test_a_lock_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="set XDG_CACHE_HOME"), schedule_lock("x"):
        pass
