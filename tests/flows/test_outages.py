"""Nights that go wrong, on a real Prefect server: `serve` is stopped or killed, its server goes away, a run takes long.

No two scheduled runs work at once, and after each outage one run catches up.
"""

import os
import re
import signal
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from filelock import FileLock

from flows.tracking import registry
from flows.tracking.stores.store import open_store
from tests.support.command import write_config
from tests.support.flows import WEAK
from tests.support.processes import BIN, PATIENCE, ROOT, run, started, wait_for
from tests.support.servers import asked, own_server, serving

pytestmark = pytest.mark.long
ENDLESS = {**WEAK, "epochs": 10**9}


@pytest.fixture
def env(store, tmp_path, server):  # noqa: ARG001 - an empty one, here
    """An environment that leads to the server; its runners and workers ask it often."""
    return often(server, tmp_path)


def often(env, tmp_path):
    asks = {"PREFECT_RUNNER_POLL_FREQUENCY": "2", "PREFECT_WORKER_QUERY_SECONDS": "2"}
    soon = {"PREFECT_CLIENT_MAX_RETRIES": "2"}  # an answer that does not come is missed in seconds, not in a minute
    return {**env, **asks, **soon, "PREFECT_LOGGING_LEVEL": "DEBUG", "XDG_CACHE_HOME": str(tmp_path / "cache")}


def wait_for_polls(count, process, log):
    """Until the runner has asked the server so many more times what is due, whether or not it had an answer."""
    asking = "Querying for flow runs"
    before = log.read_text().count(asking)
    wait_for(lambda: log.read_text().count(asking) >= before + count, process, log)


def served(env, log, name, *, interval, train=WEAK):
    """`linreg serve`, a run every ``interval`` seconds."""
    command = [BIN / "linreg", "serve", write_config(train=train), "--interval", str(interval), "--name", name]
    return started(command, env=env, log=log)


def runs(env, name):
    """All runs of the deployment that are due, the earliest first."""
    url = env["PREFECT_API_URL"] + "/flow_runs/filter"
    all_runs = asked(url, {"deployments": {"name": {"any_": [name]}}, "sort": "EXPECTED_START_TIME_ASC"})
    return [run for run in all_runs if time_of(run, "expected_start_time") <= datetime.now(UTC)]


def time_of(run, which):
    return datetime.fromisoformat(run[which])


def named(env, name, state):
    return [run for run in runs(env, name) if run["state_name"] == state]


def waiting(env, name):
    return [run for run in runs(env, name) if run["state_type"] == "SCHEDULED"]


def deployment_id(env, name):
    return asked(f"{env['PREFECT_API_URL']}/deployments/name/linreg/{name}")["id"]


def by_hand(env, name):
    """The id of a run that is started as in Prefect's UI."""
    return asked(f"{env['PREFECT_API_URL']}/deployments/{deployment_id(env, name)}/create_flow_run", {})["id"]


def lock_of(env, name):
    """What a scheduled run of the deployment holds while it works."""
    return FileLock(Path(env["XDG_CACHE_HOME"]) / "linreg" / "schedules" / f"{deployment_id(env, name)}.lock")


def stop(process):
    """As Ctrl-C does."""
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 130


def overlaps(all_runs):
    """Pairs of scheduled runs that worked at the same time."""
    worked = [r for r in all_runs if r["start_time"] and r["state_name"] != "Skipped" and r["auto_scheduled"]]
    worked.sort(key=lambda run: run["start_time"])
    return [
        (a["name"], b["name"]) for a, b in pairwise(worked) if a["end_time"] is None or a["end_time"] > b["start_time"]
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_serving_again_catches_up_with_one_run(env, tmp_path, number):
    name, log = f"again-{number}", tmp_path / "first.log"
    with served(env, log, name, interval=10, train=ENDLESS) as process:
        wait_for(lambda: named(env, name, "Running"), process, log)
        if number == signal.SIGTERM:
            process.send_signal(number)
            assert process.wait(PATIENCE) == 130
        else:
            os.killpg(process.pid, number)  # the run too
            process.wait(PATIENCE)
    wait_for(lambda: len(waiting(env, name)) >= 2)
    log = tmp_path / "second.log"
    with served(env, log, name, interval=3600) as process:
        wait_for(lambda: named(env, name, "Completed"), process, log)
        wait_for_polls(3, process, log)  # in which others would follow
        stop(process)
    assert len(named(env, name, "Crashed")) == 1
    (catching_up,) = named(env, name, "Completed")
    assert "catch-up" in catching_up["tags"]
    assert catching_up["parameters"]["train"]["epochs"] == WEAK["epochs"]
    missed = [run for run in named(env, name, "Skipped") if catching_up["id"] in run["state"]["message"]]
    assert len(missed) >= 2
    assert waiting(env, name) == []
    assert f"catches up on {len(missed) + 1} that were missed or cut off" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_a_server_that_comes_back_is_served_and_one_run_catches_up(store, tmp_path):  # noqa: ARG001
    env = often(own_server(tmp_path / "home"), tmp_path)
    name, log = "away", tmp_path / "serve.log"
    with ExitStack() as ending:
        with serving(env, tmp_path / "server-1.log") as server:
            process = ending.enter_context(served(env, log, name, interval=10))
            wait_for(lambda: named(env, name, "Completed"), process, log)
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(PATIENCE)
        gone = datetime.now(UTC)
        wait_for(lambda: "does not answer" in log.read_text(), process, log)
        wait_for_polls(5, process, log)  # prefect's own runner would have given up after three
        wait_for(lambda: datetime.now(UTC) > gone + timedelta(seconds=25), process, log)  # two runs are missed
        back = datetime.now(UTC)
        with serving(env, tmp_path / "server-2.log"):

            def completed_since():
                return [r for r in named(env, name, "Completed") if time_of(r, "start_time") > back]

            catching_up = wait_for(completed_since, process, log)[0]
            missed = [r for r in runs(env, name) if gone < time_of(r, "expected_start_time") <= back]
            stop(process)
            all_runs = runs(env, name)
    assert "the Prefect server answers again" in log.read_text()
    assert len(missed) >= 2
    assert {r["state_name"] for r in missed if r["id"] != catching_up["id"]} == {"Skipped"}
    assert overlaps(all_runs) == []


def test_a_run_that_takes_longer_than_its_interval_is_followed_by_one(env, tmp_path):
    name, log = "long", tmp_path / "serve.log"
    with served(env, log, name, interval=5) as process:
        wait_for(lambda: named(env, name, "Completed"), process, log)
        with lock_of(env, name).acquire(timeout=PATIENCE):  # by a run that outlived the process that served it
            locked_at = datetime.now(UTC)
            wait_for(lambda: len(named(env, name, "Late")) >= 2, process, log)
            number = by_hand(env, name)
            wait_for(lambda: number in [r["id"] for r in named(env, name, "Completed")], process, log)
            began = [r for r in runs(env, name) if r["state_name"] == "Completed" and r["auto_scheduled"]]
            assert all(time_of(r, "start_time") < locked_at for r in began)
            late = [r["id"] for r in named(env, name, "Late")]
        wait_for(lambda: len(named(env, name, "Completed")) >= len(began) + 2, process, log)
        stop(process)
    all_runs = runs(env, name)
    assert sum(r["state_name"] == "Completed" for r in all_runs if r["id"] in late) <= 1
    assert overlaps(all_runs) == []


def test_the_work_pool_of_prefect_yaml_works(env, folder, tmp_path):
    log = tmp_path / "worker.log"
    (folder / "prefect.yaml").write_text((ROOT / "prefect.yaml").read_text())
    here = {**env, "PWD": str(folder)}
    commands = re.findall(r"^    prefect (.+)$", (ROOT / "docs/schedules.md").read_text(), re.M)
    *first, start = ([BIN / "prefect", *line.split()] for line in commands)
    for command in first:
        process = run(command, env=here)
        assert process.returncode == 0, process.stdout + process.stderr
    with started(start, env=here, log=log) as worker:
        by_hand(env, "crops")
        wait_for(lambda: named(env, "crops", "Completed"), worker, log)
        with lock_of(env, "crops").acquire(timeout=PATIENCE):
            start, end = (datetime.now(UTC) - timedelta(hours=hours) for hours in (24, 0))
            body = {"start_time": start.isoformat(), "end_time": end.isoformat(), "min_time": 0}
            url = f"{env['PREFECT_API_URL']}/deployments/{deployment_id(env, 'crops')}/schedule"
            asked(url, body | {"min_runs": 1, "max_runs": 1})  # as a worker finds it that was away
            missed = next(run for run in runs(env, "crops") if run["auto_scheduled"])
            wait_for(lambda: named(env, "crops", "Skipped"), worker, log)
    (skipped,) = named(env, "crops", "Skipped")
    assert skipped["expected_start_time"] == missed["expected_start_time"]
    store = open_store(create=False)
    (listed,) = registry.runs(store)
    (version,) = registry.versions(store)
    assert (listed["decision"], version.ref) == ("promoted", "crop-yield/1")
