"""Prefect's temporary server: told when it cannot start, waited for while it lives, ended when it has written all."""

import json
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w
from prefect.server.api.server import SubprocessASGIServer

from flows.orchestration import temporary_server as module
from flows.orchestration.temporary_server import temporary_server
from linreg.errors import ServerAway
from tests.flows.steps.test_drift import night, table
from tests.support.processes import BIN, default_signals, environment, free_port, run

# answers like Prefect's server, on the port of its last argument, from the third question on
SLOW = """
import http.server, sys
asked = 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global asked
        asked += 1
        self.send_response(200 if asked > 2 else 503)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def standing_in(monkeypatch):
    """What is started in the server's place, by the code that it runs; all that were."""
    started = []

    def having(*codes):
        left = iter(codes)

        def start(server):
            with default_signals():
                started.append(subprocess.Popen([sys.executable, "-c", next(left), str(server.port)]))
            return started[-1]

        monkeypatch.setattr(SubprocessASGIServer, "_run_uvicorn_command", start)
        return started

    yield having
    for process in started:
        process.kill()
        process.wait()


TAKEN, FREE = True, False


@pytest.fixture
def ports(monkeypatch):
    """What draws ports that another process has, or that are free."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))

        def draw(*taken):
            left = iter([other.getsockname()[1] if t else free_port() for t in taken])
            monkeypatch.setattr(module, "_free_port", lambda: next(left))

        yield draw


@pytest.fixture
def unstarted(monkeypatch):
    monkeypatch.setattr(SubprocessASGIServer, "_instances", {})
    monkeypatch.setattr(module.atexit, "register", lambda *_: None)
    return SubprocessASGIServer()


def test_a_server_that_ends_is_told_at_once_and_not_tried_for_ever(unstarted, standing_in):
    started = standing_in("raise SystemExit(3)")
    with temporary_server(), pytest.raises(ServerAway, match=r"ended with status 3 .*\(PREFECT_HOME\) can be written"):
        unstarted.start()
    assert len(started) == 1
    assert not unstarted.running


def test_a_port_that_another_process_took_first_is_left_to_it(unstarted, standing_in, ports):
    ports(TAKEN, TAKEN, FREE)
    started = standing_in(*[SLOW] * 3)
    with temporary_server():
        unstarted.start(timeout=0)  # Prefect's own start would have given up
        unstarted.start()
        assert unstarted.running
        unstarted.stop()
    assert [process.returncode for process in started] == [1, 1, -signal.SIGTERM]


def test_ports_that_are_all_taken_are_told(unstarted, standing_in, ports):
    ports(*[TAKEN] * 9)
    started = standing_in(*[SLOW] * 9)
    with temporary_server(), pytest.raises(ServerAway, match="ended with status 1"):
        unstarted.start()
    assert len(started) == 5


def test_a_server_that_does_not_end_is_killed(unstarted, standing_in, monkeypatch):
    monkeypatch.setattr(module, "ENDING_SECONDS", 0.01)
    started = standing_in("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLOW)
    with temporary_server():
        unstarted.start()
        unstarted.stop()
    assert started[0].returncode == -signal.SIGKILL


LINREG = BIN / "linreg"
SLOW_END = """
import sys
if "uvicorn" in sys.orig_argv:
    import asyncio
    from prefect.server.events.services.event_persister import EventPersister
    stop = EventPersister.stop
    async def slowly(self):
        await asyncio.sleep(8)  # longer than Prefect's own end leaves it
        await stop(self)
    EventPersister.stop = slowly
"""


@pytest.mark.long  # three runs, each with a server of its own
def test_an_event_is_not_lost_with_a_server_that_is_slow_to_end(folder, tmp_path):  # noqa: ARG001
    """Drift is told by an event, which the server keeps in memory for seconds; here until it ends."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_END)
    keep = {"PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "3600"}
    env = environment(tmp_path / "home", **keep)
    env["PYTHONPATH"] = f"{tmp_path}:{env['PYTHONPATH']}"
    Path("nights.toml").write_text(tomli_w.dumps(table(drift={"stop": {"mean": 15.0}})))
    for number, moved in ((0, {}), (1, {}), (2, {"a": 1.5})):
        night(number, **moved)
        done = run([LINREG, "run", "nights.toml", "--json"], env=env, check=True)
    document = json.loads(done.stdout)
    assert document["decision"] == "refused"
    assert document["flow_run_id"] in events(tmp_path / "home", "linreg.drift.stopped")


def events(home: Path, name: str) -> str:
    """The payloads of a name's events in the database of an ended server."""
    with sqlite3.connect(home / ".prefect" / "prefect.db") as database:
        return str(database.execute("SELECT payload FROM events WHERE event = ?", [name]).fetchall())


@pytest.mark.long  # a run of its own
def test_a_server_whose_folder_cannot_be_made_ends_the_run_with_one_line(folder, tmp_path):  # noqa: ARG001
    Path("nights.toml").write_text(tomli_w.dumps(table()))
    night(0)
    (tmp_path / "file").touch()
    done = run([LINREG, "run", "nights.toml"], env=environment(tmp_path, PREFECT_HOME=str(tmp_path / "file" / "home")))
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert f"{tmp_path}/file/home (PREFECT_HOME)" in line
    assert not Path("mlruns").exists()


ON_TAKEN = """
import sys
from flows.orchestration import temporary_server
from flows.cli.main import main
ports, free = [int(sys.argv[1])], temporary_server._free_port
temporary_server._free_port = lambda: ports.pop() if ports else free()
sys.exit(main(["run", "nights.toml"]))
"""


@pytest.mark.long  # a run of its own
def test_a_run_whose_servers_port_is_taken_first_has_another_one(folder, tmp_path):  # noqa: ARG001
    Path("nights.toml").write_text(tomli_w.dumps(table()))
    night(0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        done = run([sys.executable, "-c", ON_TAKEN, port], env=environment(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    assert f"http://127.0.0.1:{port}" in done.stderr
    assert "promoted" in done.stdout
