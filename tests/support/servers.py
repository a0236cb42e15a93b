"""Servers of the tests' own, Prefect's, MLflow's or a model's: how to start one, how to reach it, what to ask it."""

import json
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing, contextmanager

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


def rows_of_ended_server(home, query, *values):
    """What a query finds in the database of the Prefect server that had this home and has ended."""
    with closing(sqlite3.connect(home / ".prefect" / "prefect.db")) as database:
        return database.execute(query, values).fetchall()


def serving(env, log):
    """Start the Prefect server that this environment leads to; it answers, and ends with the block."""
    url = env["PREFECT_API_URL"]
    port = url.removesuffix("/api").rpartition(":")[2]
    command = [BIN / "prefect", "server", "start", "--port", port, "--host", "127.0.0.1"]
    return listening(command, f"{url}/health", env=env, log=log)


@contextmanager
def listening(command, url, *, log, **options):
    """Start a process that answers at ``url``; it ends with the block."""
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
