"""A Prefect server of the run's own, where Prefect's settings name none.

    with local_server():       # it is being started: imports, and the reading of data, go on meanwhile
        ...
        wait_until_ready()     # while it lives, not for a time: a busy machine is slow, and a broken server ends
        flow(...)

It is the command ``prefect server start``, on this machine's loopback, with the database of the user's PREFECT_HOME. It
ends with the block, or with this process (``server_process``), when it has written what it was sent: it keeps events in
memory for seconds. Prefect is imported only when something has to be asked of it.
"""

import http.client
import io
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, redirect_stderr, suppress
from pathlib import Path

from flows import interrupts
from flows.orchestration.address import change_settings, is_server_named, prefect_home
from linreg.errors import ServerAway

PROCESS = Path(__file__).with_name("server_process.py")
HOST = "127.0.0.1"
_TRIES = 5  # of ports that other processes took first
_ANSWER_SECONDS, _TELL_SECONDS = 60, 60
_LAST_LINES, _LINE = 5, 200  # of a server that could not start
_UNNEEDED = (  # what would work on the user's deployments; Prefect's own temporary server does none of it either
    *("SCHEDULER", "LATE_RUNS", "FOREMAN", "REPOSSESSOR", "CLEANUP_RECONCILER", "PAUSE_EXPIRATIONS"),
    "CANCELLATION_CLEANUP",
)
_SETTINGS = {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in _UNNEEDED} | {
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_API_BASE_PATH": "/api",
}
_CHANGED = ("PREFECT_API_URL", "PREFECT_UI_URL", "PREFECT_CLIENT_MAX_RETRIES", "PREFECT_LOGGING_TO_API_ENABLED")

_server: "_Server | None" = None


@contextmanager
def local_server() -> Iterator[None]:
    """Have a server while the block runs, unless there is one already or Prefect's settings name one."""
    global _server
    if _server or is_server_named():
        yield
        return
    _server = _Server()
    try:
        yield
    finally:
        server, _server = _server, None
        server.end()


def wait_until_ready() -> None:
    """Wait until this process's own server answers, if it has one.

    Raises:
        ServerAway: it cannot start.
    """
    if _server:
        _server.wait_until_ready()


def loss() -> ServerAway | None:
    """What to tell where this process's own server has ended before its time."""
    return _server.loss if _server else None


class _Server:
    """The server's process, which is missed when it ends before its time."""

    def __init__(self) -> None:
        self.loss: ServerAway | None = None
        self._is_ready = self._is_ending = False
        self._before = {name: os.environ.get(name) for name in _CHANGED}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        with suppress(OSError):
            prefect_home().mkdir(mode=0o700, parents=True, exist_ok=True)  # Prefect makes no parents
        self._start()

    def _start(self) -> None:
        self._port = _free_port()
        command = f"--no-prompt server start --host {HOST} --port {self._port} --log-level WARNING"
        self._process = subprocess.Popen(
            [sys.executable, "-P", PROCESS, *command.split()],
            env={name: value for name, value in os.environ.items() if name not in _CHANGED} | _SETTINGS,
            stdin=subprocess.PIPE,  # which is closed however this process ends
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # what is sent to the whole group of this process does not reach it
        )
        change_settings({"PREFECT_API_URL": f"http://{HOST}:{self._port}/api", "PREFECT_UI_URL": ""})

    def wait_until_ready(self) -> None:
        if self._is_ready:
            return
        tries = 1
        while not self._answers():
            if tries == _TRIES or not _is_taken(self._port):  # the port was not the reason
                raise self._failure()
            tries += 1
            self._close_pipe()
            self._start()
        self._is_ready = True
        threading.Thread(target=self._watch, daemon=True).start()

    def _answers(self) -> bool:
        """Wait until the process answers; False: it has ended."""
        last_report = time.monotonic()
        while self._process.poll() is None:
            if self._is_healthy():
                return True
            if time.monotonic() - last_report > _TELL_SECONDS:
                last_report = time.monotonic()
                sys.stderr.write("waiting for the run's own Prefect server: it has begun, and does not answer yet\n")
            time.sleep(0.05)
        return False

    def _is_healthy(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=_ANSWER_SECONDS)  # past any proxy
        with suppress(OSError, http.client.HTTPException), closing(connection):
            connection.request("GET", "/api/health")
            return connection.getresponse().status == http.client.OK
        return False

    def _watch(self) -> None:
        """Have the run end soon when the server ends before its time: Prefect would ask it again for minutes."""
        self._process.wait()
        if self._is_ending:
            return
        advice = "run again, or start one that stays (`prefect server start`) and name it in PREFECT_API_URL"
        self.loss = ServerAway(f"the run's own Prefect server {self._ended()} in the middle of the run: {advice}")
        change_settings({"PREFECT_CLIENT_MAX_RETRIES": "0", "PREFECT_LOGGING_TO_API_ENABLED": "false"})
        logging.disable()  # of all that Prefect has to say of it, with tracebacks, there is one line
        interrupts.raise_in_main_thread(self.loss)

    def _failure(self) -> ServerAway:
        from prefect.settings import get_current_settings

        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        details = [line if len(line) <= _LINE else f"{line[:_LINE]}..." for line in lines[-_LAST_LINES:]]
        home = get_current_settings().home
        advice = f"check that its folder {home} (PREFECT_HOME) can be written, or name a server in PREFECT_API_URL"
        message = f"the run's own Prefect server {self._ended()} before it answered: {advice}"
        return ServerAway(message, details=details)

    def _ended(self) -> str:
        code = self._process.returncode
        return f"ended with status {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"

    def end(self) -> None:
        """End the server when it has written what it was sent, or leave it to that where the user will not wait."""
        try:
            if self._is_ready:
                with redirect_stderr(io.StringIO()) if self.loss else nullcontext():
                    _flush()
        finally:
            if self.loss:
                logging.disable(logging.NOTSET)
            self._is_ending = True
            change_settings(self._before)
            self._close_pipe()
            self._process.wait()
            self._log.close()

    def _close_pipe(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()


def _flush() -> None:
    """Send what Prefect would send when the interpreter exits: the logs and the events that wait in memory."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogHandler

    APILogHandler().flush()
    EventsWorker.drain_all()


def _is_taken(port: int) -> bool:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server would
        try:
            s.bind((HOST, port))
        except OSError:
            return True
    return False


def _free_port() -> int:
    with socket.socket() as s:
        s.bind((HOST, 0))
        return int(s.getsockname()[1])
