"""Prefect's temporary server: told when it cannot start, waited for while it lives, ended when it has written all."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w
from prefect.server.api.server import SubprocessASGIServer
from processes import BIN, environment, run
from test_drift_flow import night, table

from flows import temporary_server as module
from flows.temporary_server import temporary_server
from linreg.errors import ServerAway

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
def processes(monkeypatch):
    """What is started in the server's place, by the code that it runs; all that were."""
    started = []

    def having(*codes):
        left = iter(codes)

        def start(server):
            started.append(subprocess.Popen([sys.executable, "-c", next(left), str(server.port)]))
            return started[-1]

        monkeypatch.setattr(SubprocessASGIServer, "_run_uvicorn_command", start)
        return started

    yield having
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(SubprocessASGIServer, "_instances", {})
    monkeypatch.setattr(module.atexit, "register", lambda *_: None)
    return SubprocessASGIServer()


def test_a_server_that_ends_is_told_at_once_and_not_tried_for_ever(server, processes):
    started = processes("raise SystemExit(3)")
    with temporary_server(), pytest.raises(ServerAway, match=r"ended with status 3 .*\(PREFECT_HOME\) can be written"):
        server.start()
    assert len(started) == 1
    assert not server.running


def test_a_port_that_another_process_took_first_is_left_to_it(server, processes):
    started = processes("raise SystemExit(1)", "raise SystemExit(1)", SLOW)
    with temporary_server():
        server.start(timeout=0)  # Prefect's own start would have given up
        server.start()
        assert len(started) == 3
        assert server.running
        server.stop()
    assert [process.returncode for process in started] == [1, 1, -15]


def test_ports_that_are_all_taken_are_told(server, processes):
    processes(*["raise SystemExit(1)"] * 9)
    with temporary_server(), pytest.raises(ServerAway, match="ended with status 1"):
        server.start()


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
