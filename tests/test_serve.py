"""Schedules: a real Prefect server, a served deployment, and the runs that it starts by itself."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import tomli_w
from flow_fixtures import WEAK, crops_table
from tracked import new_store

from flows.tracking import registry
from flows.tracking.store import open_store

BIN = Path(sys.executable).parent
START_SECONDS, FIRE_SECONDS = 300, 300  # of patience on a busy machine; a few are usual


@contextmanager
def process(command, *, env, log):
    """A process in a group of its own; the whole group is ended, whatever happens."""
    with log.open("w") as f:
        running = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=f, stderr=f, start_new_session=True, preexec_fn=heed
        )
    try:
        yield running
    finally:
        for number, seconds in ((signal.SIGTERM, 15), (signal.SIGKILL, 15)):
            try:
                os.killpg(running.pid, number)
                running.wait(seconds)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def heed():
    """A shell that starts the tests in the background has them, and all that they start, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def environment(home, url=None):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
    more = {"PREFECT_API_URL": url} if url else {}
    return {**kept, "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", **more}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def healthy(url):
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def wait_for(condition, seconds, running, log):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert running.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.3)
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Started as the README says, on a free port; the environment that leads to it."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    url, log = f"http://127.0.0.1:{port}/api", folder / "log"
    env, command = environment(folder / "home", url), [BIN / "prefect", "server", "start", "--port", str(port)]
    with process([*command, "--host", "127.0.0.1"], env=env, log=log) as running:
        wait_for(lambda: healthy(url), START_SECONDS, running, log)
        yield env


def config(**sections):
    Path("crops.toml").write_text(tomli_w.dumps(crops_table(**sections)))
    return "crops.toml"


def test_a_schedule_fires_and_its_run_lands_in_mlflow(folder, tmp_path, server):
    new_store(folder)
    store, log = open_store(create=False), tmp_path / "serve.log"
    with process([BIN / "linreg", "serve", config(train=WEAK), "--interval", "20"], env=server, log=log) as serving:

        def landed():
            return [r for r in registry.runs(store) if r["status"] == "FINISHED"]

        run = wait_for(landed, FIRE_SECONDS, serving, log)[-1]
        wait_for(lambda: completed(server["PREFECT_API_URL"], flow_run_id(store, run)), FIRE_SECONDS, serving, log)
        serving.send_signal(signal.SIGINT)
        assert serving.wait(150) == 130
    assert run["decision"] == "promoted"
    assert "Traceback" not in log.read_text()
    (version,) = registry.versions(store)
    assert "champion" in version.aliases
    assert (version.run_id, version.flow_run_id) == (run["run_id"], flow_run_id(store, run))
    flow_run = read_flow_run(server["PREFECT_API_URL"], version.flow_run_id)
    assert flow_run["auto_scheduled"] is True
    assert flow_run["deployment_id"]
    assert flow_run["parameters"]["train"]["epochs"] == WEAK["epochs"]


def flow_run_id(store, run):
    return store.client.get_run(run["run_id"]).data.tags["flow_run_id"]


def read_flow_run(url, number):
    with urllib.request.urlopen(f"{url}/flow_runs/{number}", timeout=10) as answer:
        return json.load(answer)


def completed(url, number):
    return read_flow_run(url, number)["state_type"] == "COMPLETED"


WRONG = {
    "no server is named": (["--interval", "5"], None, 2, "prefect server start"),
    "server away": (["--interval", "5"], "http://127.0.0.1:9/api", 1, "http://127.0.0.1:9/api"),
    "cron": (["--cron", "at six"], "http://127.0.0.1:9/api", 2, "at six"),
    "zone": (["--cron", "0 6 * * *", "--timezone", "Moon/Crater"], "http://127.0.0.1:9/api", 2, "Moon/Crater"),
    "interval": (["--interval", "-5"], "http://127.0.0.1:9/api", 2, "-5"),
    "endless interval": (["--interval", "1e300"], "http://127.0.0.1:9/api", 2, "1e+300"),
    "key": (["--interval", "5", "--set", "train.epoch=3"], None, 2, "epochs"),
}


# each takes the seconds that importing prefect takes; the schedules that are wrong in another way are for the long run
OFTEN = ("no server is named", "server away", "cron", "key")


@pytest.mark.parametrize("case", [pytest.param(c, marks=() if c in OFTEN else pytest.mark.long) for c in WRONG])
def test_what_cannot_be_served_is_one_line(folder, tmp_path, case):
    options, url, status, words = WRONG[case]
    done = subprocess.run(
        [BIN / "linreg", "serve", config(), *options],
        env=environment(tmp_path / "home", url),
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("error: ")]
    assert words in line
    assert "Traceback" not in done.stderr
    assert not (folder / "mlruns").exists()
