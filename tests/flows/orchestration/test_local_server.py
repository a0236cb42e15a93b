"""A run's own Prefect server: told when it cannot start, waited for while it lives, ended when it has written all."""

import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
import tomli_w

from flows import interrupts
from flows.cli.main import main
from flows.orchestration import local_server as module
from flows.orchestration.local_server import local_server, loss, wait_until_ready
from flows.tracking import registry
from flows.tracking.stores.store import open_store
from linreg.errors import ServerAway
from tests.flows.steps.test_drift import night, table
from tests.support.command import write_config
from tests.support.flows import WEAK
from tests.support.processes import BIN, PATIENCE, environment, free_port, run, started, wait_for
from tests.support.servers import rows_of_ended_server

# stand-ins for the server's process: started with its arguments, the port the seventh of them
SLOW = """
import http.server, sys
questions = 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global questions
        questions += 1
        self.send_response(200 if questions > 2 else 503)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[7])), Handler)
import os, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
server.serve_forever()
"""
BROKEN = """
print("the first of many words")
raise SystemExit("x" * 999)
"""


@pytest.fixture
def nothing_named(tmp_path, monkeypatch):
    """No address in the environment, in a profile or in a file; one that is set meanwhile is gone afterwards."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("PREFECT_UI_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "is_server_named", lambda: False)
    monkeypatch.setattr(module, "_server", None)  # the session's


@pytest.fixture
def standing_in(nothing_named, tmp_path, monkeypatch):  # noqa: ARG001
    """Have that code started in the server's place, nothing to be flushed."""

    def stand_in(code):
        path = tmp_path / "server.py"
        path.write_text(code)
        monkeypatch.setattr(module, "PROCESS", path)

    monkeypatch.setattr(module, "_flush", lambda: None)
    return stand_in


TAKEN, FREE = True, False


@pytest.fixture
def ports(monkeypatch):
    """What draws ports that another process has, or that are free."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        drawn = []

        def draw(*taken):
            left = iter([other.getsockname()[1] if t else free_port() for t in taken])
            monkeypatch.setattr(module, "_free_port", lambda: drawn.append(next(left)) or drawn[-1])
            return drawn

        yield draw


def test_a_server_that_ends_is_told_at_once_with_its_last_words(standing_in):
    standing_in(BROKEN)
    with local_server(), pytest.raises(ServerAway, match=r"ended with status 1 .*\(PREFECT_HOME\) can be") as error:
        wait_until_ready()
    first, last = error.value.details
    assert first == "the first of many words"
    assert len(last) < 210
    assert "PREFECT_API_URL" not in os.environ


def test_a_port_that_another_process_took_first_is_left_to_it(standing_in, ports):
    drawn = ports(TAKEN, TAKEN, FREE)
    standing_in(SLOW)
    with local_server():
        wait_until_ready()
        wait_until_ready()
        assert os.environ["PREFECT_API_URL"] == f"http://127.0.0.1:{drawn[-1]}/api"
        with local_server():
            assert len(drawn) == 3
        wait_until_ready()
    assert "PREFECT_API_URL" not in os.environ


def test_ports_that_are_all_taken_are_told(standing_in, ports):
    drawn = ports(*[TAKEN] * 9)
    standing_in(SLOW)
    with local_server(), pytest.raises(ServerAway, match="ended with status 1"):
        wait_until_ready()
    assert len(drawn) == 5


def test_a_block_that_is_left_before_the_server_is_needed_ends_it(nothing_named):  # noqa: ARG001
    with local_server():
        process = module._server._process
        assert process.poll() is None
    assert process.returncode is not None
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


@pytest.mark.parametrize("command", ["run config.toml", "sweep config.toml --grid train.seed=1,2"])
def test_a_mistake_in_the_config_starts_none(nothing_named, monkeypatch, capfd, command):  # noqa: ARG001
    monkeypatch.setattr(module, "_Server", None)
    Path("config.toml").write_text("epoch = 5")
    assert main(command.split()) == 2
    assert "unknown key 'epoch'" in capfd.readouterr().err


def test_a_server_that_ends_before_its_time_is_missed_at_once(standing_in, monkeypatch):
    errors = []
    monkeypatch.setattr(interrupts, "raise_in_main_thread", errors.append)
    standing_in(SLOW)
    with local_server():
        wait_until_ready()
        assert loss() is None
        os.kill(module._server._process.pid, signal.SIGKILL)
        assert wait_for(lambda: errors) == [wait_for(loss)]
        assert os.environ["PREFECT_CLIENT_MAX_RETRIES"] == "0"
    assert "was ended by SIGKILL in the middle of the run: run again" in str(errors[0])
    assert loss() is None
    assert "PREFECT_CLIENT_MAX_RETRIES" not in os.environ


LINREG = BIN / "linreg"
SLOW_END = """
import sys
if any(word.endswith("server_process.py") for word in sys.orig_argv):
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
        process = run([LINREG, "run", "nights.toml", "--json"], env=env, check=True)
    document = json.loads(process.stdout)
    assert document["decision"] == "refused"
    flow_run, home = document["flow_run_id"], tmp_path / "home"
    stopped = "SELECT payload FROM events WHERE event = 'linreg.drift.stopped'"
    assert flow_run in str(rows_of_ended_server(home, stopped))
    steps = rows_of_ended_server(home, "SELECT name, state_type FROM task_run WHERE flow_run_id = ?", flow_run)
    assert {name.rpartition("-")[0]: state for name, state in steps} == {"drift": "COMPLETED", "ingest": "COMPLETED"}


@pytest.mark.long  # a run of its own
def test_a_server_whose_folder_cannot_be_made_ends_the_run_with_one_line(folder, tmp_path):  # noqa: ARG001
    (tmp_path / "file").touch()
    env = environment(tmp_path, PREFECT_HOME=str(tmp_path / "file" / "home"))
    process = run([LINREG, "run", write_config()], env=env)
    assert (process.returncode, process.stdout) == (1, "")
    _, line = process.stderr.split("error: ")
    first, *details = line.splitlines()
    assert f"{tmp_path}/file/home (PREFECT_HOME)" in first
    assert all(detail.startswith("  ") for detail in details)
    assert "Traceback" not in process.stderr
    assert not Path("mlruns").exists()


ON_TAKEN = """
import sys
from flows.orchestration import local_server
from flows.cli.main import main
ports, free = [int(sys.argv[1])], local_server._free_port
local_server._free_port = lambda: ports.pop() if ports else free()
sys.exit(main(["run", "crops.toml"]))
"""


@pytest.mark.long  # a run of its own
def test_a_run_whose_servers_port_is_taken_first_has_another_one(folder, tmp_path):  # noqa: ARG001
    write_config(train=WEAK)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        process = run([sys.executable, "-c", ON_TAKEN, other.getsockname()[1]], env=environment(tmp_path / "home"))
    assert process.returncode == 0, process.stderr
    assert "promoted" in process.stdout


def servers_of(pid):
    """The processes that a process has started, where there is /proc."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def of_group(process, number):
    os.killpg(process.pid, number)


def of_control_group(process, number):
    """As systemd and `timeout` in a container do: the server has the signal too."""
    for pid in (*servers_of(process.pid), process.pid):
        os.kill(pid, number)


def of_server(process, number):
    (server,) = servers_of(process.pid)
    os.kill(server, number)


@pytest.mark.long  # a run of its own each
@pytest.mark.parametrize(
    ("whose", "number", "status", "ended"),
    [
        (of_group, signal.SIGTERM, 130, "KILLED"),
        (of_control_group, signal.SIGTERM, 130, "KILLED"),
        (of_group, signal.SIGHUP, -signal.SIGHUP, "RUNNING"),
        (of_group, signal.SIGKILL, -signal.SIGKILL, "RUNNING"),
        (of_server, signal.SIGKILL, 1, "FAILED"),
    ],
)
def test_however_a_run_ends_its_server_ends_too(folder, tmp_path, whose, number, status, ended):  # noqa: ARG001
    config, log = write_config(train={**WEAK, "learning_rate": 1e-9, "epochs": 10**8}), tmp_path / "log"
    with started([LINREG, "run", config], env=environment(tmp_path / "home"), log=log) as process:
        wait_for(lambda: "plan: " in log.read_text(), process, log)
        (server,) = servers_of(process.pid)
        whose(process, number)
        assert process.wait(PATIENCE) == status, log.read_text()
        wait_for(lambda: not Path(f"/proc/{server}").exists())
    lines = log.read_text().splitlines()
    assert ("stopped" in lines) == (status == 130)
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == (status == 1)
    assert status != 1 or "was ended by SIGKILL in the middle of the run: run again" in errors[0]
    assert "Traceback" not in log.read_text()
    (listed,) = registry.runs(open_store(create=False))
    assert listed["status"] == ended
