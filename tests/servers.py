"""What the tests of schedules share: processes that are ended whatever happens, and a Prefect server of their own."""

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
    folder = tmp_path_factory.mktemp("server")
    env = environment(folder / "home", f"http://127.0.0.1:{free_port()}/api")
    with started(env, folder / "log"):
        yield env


@contextmanager
def started(env, log):
    """The server that this environment leads to."""
    url = env["PREFECT_API_URL"]
    port = url.removesuffix("/api").rpartition(":")[2]
    command = [BIN / "prefect", "server", "start", "--port", port, "--host", "127.0.0.1"]
    with process(command, env=env, log=log) as running:
        wait_for(lambda: healthy(url), START_SECONDS, running, log)
        yield running


def asked(url, body=None):
    """What the server answers to a question, or to what it is sent."""
    sent = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, sent, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
