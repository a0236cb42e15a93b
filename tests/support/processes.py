"""What a test needs of its surroundings, set instead of inherited; processes, and waiting for facts.

    settle()                          # once, by conftest: the session's own environment, folder and file modes
    process = run([sys.executable, ...]) # a process that ends by itself
    with started([...], log=log) as process:
        wait_for(lambda: "ready" in log.read_text(), process, log)

Processes start with default signals (a shell that puts the tests in the background has them ignore Ctrl-C), with
nothing to read, in an environment of which nothing but ``MACHINE`` comes from outside. Nobody waits for a time:
``PATIENCE`` is when a test gives up on a fact, however busy the machine; one that passes never waits so long.
"""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PATIENCE = 900  # seconds
MACHINE = (  # where programs and scratch space are, which processor's and GPU's code runs
    *("PATH", "TMPDIR", "LD_LIBRARY_PATH", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "CUDA_VISIBLE_DEVICES"),
)
WITHOUT_VECTORS = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}  # a processor of no vectors
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # the other cores belong to the other tests
SILENT = {  # what the dependencies would send, where a process does not import flows, which switches it off, first
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
PLACE = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
_OF_PYTEST = ("PYTEST_", "PY_COLORS", "COV_")
_HOME = "LINREG_TESTS_HOME"  # a session's folder, which its workers share
_base: dict[str, str] = {}
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def settle() -> None:
    """Give this process, and all that it starts, surroundings of the tests' own."""
    kept = {name: os.environ[name] for name in MACHINE if name in os.environ}
    home = _home()
    _base.update(
        kept | ONE_THREAD | SILENT | PLACE | {"HOME": home, "HYPOTHESIS_STORAGE_DIRECTORY": f"{home}/hypothesis"}
    )
    of_pytest = {name: value for name, value in os.environ.items() if name.startswith(_OF_PYTEST)}
    os.environ.clear()
    os.environ.update(_base | of_pytest | {_HOME: home})
    time.tzset()
    os.umask(0o022)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, no process has an exit status


def _home() -> str:
    if "PYTEST_XDIST_WORKER" in os.environ:
        return os.environ[_HOME]
    home = tempfile.mkdtemp(prefix="linreg-tests-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return home


def environment(home: Path | None = None, **more: str) -> dict[str, str]:
    """Of somebody who has this machine, this checkout and nothing else.

    Args:
        home: with nothing in it that an earlier process left, made where it is not there; None: the session's.
        more: set beside that.
    """
    if home is not None:
        home.mkdir(parents=True, exist_ok=True)
    own = {} if home is None else {"HOME": str(home)}
    return _base | {"PYTHONPATH": str(ROOT)} | own | more


def run(command: Sequence[object], *, env: Mapping[str, str] | None = None, **options: Any) -> Any:
    """A process to its end; what it printed, as text unless ``text=False``."""
    options = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, "timeout": PATIENCE} | options
    with default_signals():
        return subprocess.run([str(word) for word in command], env=environment() if env is None else env, **options)


def compiled_for(machine: Mapping[str, str], code: str, cache: Path) -> str:
    """What a Python process prints whose kernels are compiled anew, for the processor that ``machine`` sets."""
    env = environment(NUMBA_CACHE_DIR=str(cache / machine.get("NUMBA_CPU_NAME", "own")), **machine)
    printed = str(run([sys.executable, "-c", code], env=env, cwd=ROOT, check=True).stdout)
    assert printed
    return printed


@contextmanager
def started(
    command: Sequence[object], *, env: Mapping[str, str] | None = None, log: Path | None = None, **options: Any
) -> Iterator["subprocess.Popen[str]"]:
    """A process in a group of its own, which is ended whole, whatever happens.

    Args:
        command, env: as for ``run``.
        log: where it prints, unless ``options`` say so.
    """
    with _open(log) as out, default_signals():
        options = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out, "text": True} | options
        env = environment() if env is None else env
        process = subprocess.Popen([str(word) for word in command], env=env, start_new_session=True, **options)
    try:
        yield process
    finally:
        _end(process)


@contextmanager
def _open(log: Path | None) -> Iterator[Any]:
    if log is None:
        yield subprocess.PIPE
    else:
        with log.open("w") as f:
            yield f


def _end(process: "subprocess.Popen[str]") -> None:
    """Politely, so that its children are told too; then at all events."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):  # the whole group is gone
            break
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            continue
    process.wait(PATIENCE)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()


@contextmanager
def default_signals() -> Iterator[None]:
    """What is started inside heeds the signals that end a process, whatever this one was told to ignore."""
    ignored = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_IGN]
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def wait_for(fact: Callable[[], T], process: "subprocess.Popen[str] | None" = None, log: Path | None = None) -> T:
    """What ``fact`` gives as soon as it is true; the process that is to bring it about must go on meanwhile."""
    end = time.monotonic() + PATIENCE
    while True:
        ended = process is not None and process.poll() is not None  # asked first: its last deed counts
        if value := fact():
            return value
        printed = log.read_text() if log else ""
        assert not ended, f"the process ended before that; {printed}"
        assert time.monotonic() < end, f"it never came; {printed}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
