"""Prefect's temporary server, which serves a run where no other server is named.

    with temporary_server():
        flow(...)

It is waited for as long as it lives, however busy the machine, and told at once where it cannot start. Ctrl-C, which a
terminal sends to all of its group, does not reach it. It is given time to write what it was sent, since it keeps events
in memory for seconds. Prefect's own start gives up by the clock, never on a server that died; its end kills after 5 s.
"""

import atexit
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from unittest import mock

import httpx
from prefect.logging import get_logger
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import get_current_settings

from flows import interrupts
from linreg.errors import ServerAway

ENDING_SECONDS = 120  # until a server that was told to end is killed; its work is a second's on an idle machine
_ANSWER_SECONDS, _TELL_SECONDS = 60, 60
_TRIES = 5  # of ports that other processes took first

_stop = SubprocessASGIServer.stop
_log = get_logger()


@contextmanager
def temporary_server() -> Iterator[None]:
    """Have the server that Prefect starts inside, if it starts one, begin and end well.

    Raises:
        ServerAway: it cannot start.
    """
    with (
        mock.patch.object(SubprocessASGIServer, "start", _started),
        mock.patch.object(SubprocessASGIServer, "stop", _stopped),
    ):
        yield


def _started(server: SubprocessASGIServer, timeout: int | None = None) -> None:  # noqa: ARG001 - Prefect's own
    """Start it unless it runs, and wait until it answers; it ends with this process."""
    if server.running:
        return
    server.running = True
    try:
        _start(server)
    except BaseException:
        if server.server_process:  # it was sent nothing yet
            _kill(server.server_process)
            server.server_process = None
        server.running = False
        raise


def _start(server: SubprocessASGIServer) -> None:
    atexit.register(server.stop)
    for _ in range(_TRIES):
        server.port = _free_port()  # Prefect draws one of a thousand: of runs that begin together two may share one
        _log.info("starting a temporary Prefect server on %s", server.address)
        with interrupts.held():  # no signal comes between the process and its name
            server.server_process = process = _apart(server)
        if _answers(process, f"{server.api_url}/health"):
            return
        if server.is_port_available(server.port):  # the port was not the reason
            break
    home = get_current_settings().home
    raise ServerAway(
        f"Prefect's temporary server ended with status {process.returncode} before it answered: see its lines above, "
        f"check that its folder {home} (PREFECT_HOME) can be written, or name a server in PREFECT_API_URL"
    )


def _apart(server: SubprocessASGIServer) -> "subprocess.Popen[Any]":
    """Start it where Ctrl-C is blocked: were it gone first, Prefect would try for minutes to tell it of the stop."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # handed down to the process
    try:
        return server._run_uvicorn_command()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _answers(process: "subprocess.Popen[Any]", url: str) -> bool:
    """Wait until the process answers; False: it has ended."""
    told = time.monotonic()
    with httpx.Client(trust_env=False, timeout=_ANSWER_SECONDS) as client:
        while process.poll() is None:
            with suppress(httpx.TransportError):
                if client.get(url).is_success:
                    return True
            if time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                _log.info("waiting for the temporary Prefect server: it has begun, and does not answer yet")
            time.sleep(0.1)
    return False


def _stopped(server: SubprocessASGIServer) -> None:
    """End the server when it has written what it was sent, or when the user will not wait for that."""
    if process := server.server_process:
        process.terminate()
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(ENDING_SECONDS)
        _kill(process)
    _stop(server)


def _kill(process: "subprocess.Popen[Any]") -> None:
    process.kill()
    process.wait()


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
