"""``linreg ui``: MLflow's UI, and Prefect's, on this machine's loopback and nowhere else."""

import argparse
import os
import socket
import subprocess
import sys
import time
import urllib.request

from flows.tracking.stores.store import Store, open_store
from linreg.errors import ServerAway, UserError

_HOST = "127.0.0.1"


def ui(args: argparse.Namespace) -> None:
    """Start the servers and wait; Ctrl-C ends them."""
    store = open_store(create=True)
    pages, commands = {}, {}
    if store.uri.startswith("http"):
        pages["MLflow"] = store.title  # a server has its own page
    else:
        pages["MLflow"] = f"http://{_HOST}:{args.port}{_runs(store)}"
        commands[args.port] = _mlflow(store.uri, store.artifacts, args.port)
    if not args.no_prefect:
        pages["Prefect"] = f"http://{_HOST}:{args.prefect_port}"
        if not _is_prefect(args.prefect_port):  # one that runs already is the one to look at
            commands[args.prefect_port] = _prefect(args.prefect_port)
    for port in commands:
        _require_free(port)
    _show(pages, commands, args)


def _runs(store: Store) -> str:
    """Where the page of runs is, of the experiment that was used last; MLflow's own first page is another."""
    last = store.last_experiment()
    return f"/#/experiments/{last}/runs" if last else ""


def _show(pages: dict[str, str], commands: dict[int, list[str]], args: argparse.Namespace) -> None:
    """Run the servers until one ends or the user stops them, with their addresses on stderr."""
    servers = [subprocess.Popen(c, env=_environment(args), stdin=subprocess.DEVNULL) for c in commands.values()]
    try:
        _wait_until_up(list(commands), servers)
        for name, address in pages.items():
            sys.stderr.write(f"{name + ':':<9}{address}\n")
        if not servers:
            return
        sys.stderr.write("Ctrl-C ends it.\n")
        while all(s.poll() is None for s in servers):
            time.sleep(0.5)
        raise ServerAway("a UI server ended by itself: its last lines above say why")
    finally:
        _end(servers)


def _environment(args: argparse.Namespace) -> dict[str, str]:
    return {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # a tenth of the memory
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_UI_API_URL": f"http://{_HOST}:{args.prefect_port}/api",  # else the page asks port 4200
    }


def _mlflow(uri: str, artifacts: str | None, port: int) -> list[str]:
    hosts = f"{_HOST}:{port},localhost:{port}"  # a forged Host header is refused
    command = [sys.executable, "-m", "mlflow", "server", "--host", _HOST, "--port", str(port), "--workers", "1"]
    command += ["--allowed-hosts", hosts, "--backend-store-uri", uri]
    return command + (["--default-artifact-root", artifacts, "--no-serve-artifacts"] if artifacts else [])


def _prefect(port: int) -> list[str]:
    return [sys.executable, "-m", "prefect", "server", "start", "--host", _HOST, "--port", str(port)]


def _is_prefect(port: int) -> bool:
    """Whether a Prefect server answers there."""
    try:
        with urllib.request.urlopen(f"http://{_HOST}:{port}/api/health", timeout=2) as answer:
            return bool(answer.read().strip() == b"true")
    except (OSError, ValueError):
        return False


def _require_free(port: int) -> None:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((_HOST, port))
        except (OSError, OverflowError) as e:
            raise UserError(f"port {port} cannot be used ({e}): choose another with --port or --prefect-port") from e


def _wait_until_up(ports: list[int], servers: list["subprocess.Popen[bytes]"], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    for port in ports:
        while not _answers(port):
            if any(s.poll() is not None for s in servers) or time.monotonic() > end:
                raise ServerAway(f"the server on port {port} did not start: its last lines above say why")
            time.sleep(0.2)


def _answers(port: int) -> bool:
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex((_HOST, port)) == 0


def _end(servers: list["subprocess.Popen[bytes]"]) -> None:
    for server in servers:
        server.terminate()
    for server in servers:
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
