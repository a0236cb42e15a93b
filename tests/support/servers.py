"""What the tests of schedules share: a Prefect server of their own, how to reach it, what to ask it."""

import json
import sqlite3
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest

from tests.support.processes import BIN, PATIENCE, environment, free_port, started, wait_for


def reaching(home, url=None):
    """The environment of somebody whose Prefect is in that folder, and whose server is at ``url``."""
    return environment(home, PREFECT_HOME=str(home), **({"PREFECT_API_URL": url} if url else {}))


def own_server(home):
    """The environment that leads to a server on a port of its own; nobody listens there yet."""
    return reaching(home, f"http://127.0.0.1:{free_port()}/api")


def answers(url):
    """Whether a server that has begun to listen is ready."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Started as the README says, on a free port; the environment that leads to it."""
    folder = tmp_path_factory.mktemp("server")
    env = own_server(folder / "home")
    with serving(env, folder / "log"):
        yield env


def told_to_server(home, query, *values):
    """Rows of the database of a server that has ended, and whose home that was."""
    with sqlite3.connect(home / ".prefect" / "prefect.db") as database:
        return database.execute(query, values).fetchall()


def serving(env, log):
    """The Prefect server that this environment leads to."""
    url = env["PREFECT_API_URL"]
    port = url.removesuffix("/api").rpartition(":")[2]
    command = [BIN / "prefect", "server", "start", "--port", port, "--host", "127.0.0.1"]
    return listening(command, f"{url}/health", env=env, log=log)


@contextmanager
def listening(command, url, *, log, **options):
    """A process that is started, and answers there."""
    with started(command, log=log, **options) as process:
        wait_for(lambda: answers(url), process, log)
        yield process


def asked(url, body=None):
    """What the server answers to a question, or to what it is sent; one that is busy (503) is asked again."""
    sent = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, sent, {"Content-Type": "application/json"})

    def answer():
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return [json.load(response)]
        except urllib.error.HTTPError as e:
            if e.code != 503:
                raise
            e.close()
        return None

    return wait_for(answer)[0]
