"""Whether the tracking server answers, and what is said when it does not.

``probe`` asks once before the work begins; ``answering`` puts the failures that happen later into one line each.
Nothing here retries: MLflow does, a little.
"""

import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from urllib.parse import urlsplit

import requests
from mlflow.exceptions import MlflowException

from flows import interrupts
from flows.tracking.stores.mlflow_internals import DATABASE_LOGGER
from linreg.errors import ServerAway, UserError

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 5.0
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
_SIGNS = {  # what MLflow's texts say, lowered; first come, first served
    "locked": ("database is locked",),
    "broken": ("malformed", "not a database", "no such table", "no such column"),
    "disk": ("disk is full", "disk i/o error", "readonly database"),
    "login": ("error code 401", "error code 403", "permission_denied", "unauthenticated"),
    "unsupported": ("not supported by the store with uri", "unsupported uri"),
    "other": ("error code 404", "error code 405", "not in a valid json format"),
    "away": (
        *("failed with exception", "timed out when calling", "connection refused", "could not connect"),
        *("connection to server", "server closed the connection", "error code 50", "too many 50"),
    ),
}


def quiet() -> None:
    """Silence the loggers that would print, beside our one line, a traceback or each retry."""
    logging.getLogger(DATABASE_LOGGER).setLevel(logging.CRITICAL)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def probe(uri: str) -> None:
    """Ask the server at ``uri`` for a sign of life; a file database and other schemes are not asked.

    Raises:
        UserError: the URI names no host, or no port that could be.
        ServerAway: nothing answers within a few seconds.
    """
    scheme, host, port = _address(uri)
    if scheme in ("http", "https"):
        _ask_http(uri)
    elif host and scheme in _PORTS:
        _ask_socket(uri, host, port or _PORTS[scheme])


def hidden(uri: str) -> str:
    """The URI without a password, for people to read."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@", 1)).geturl()


@contextmanager
def answering(uri: str) -> Iterator[None]:
    """Turn what MLflow raises when the store behind ``uri`` fails into one line that says what to do.

    A write to a database file is not interrupted: what is left of it would hold the file's lock. One over the network
    may take long, and is.

    Raises:
        ServerAway: the server went away, or the database stayed locked.
        UserError: the database is damaged, the disk is full, the server refuses or is none of MLflow's.
    """
    try:
        with interrupts.deferred() if uri.startswith("sqlite") else nullcontext():
            yield
    except MlflowException as e:
        advice = _advice(uri, e)
        if advice is None:
            raise
        raise advice from e
    except (requests.RequestException, ConnectionError, TimeoutError) as e:  # artifacts go round MLflow's own wording
        raise away(uri, _cause(e)) from e
    except OSError as e:
        if e.errno not in _DISK:
            raise
        raise _unwritable(uri, str(e)) from e


def _advice(uri: str, error: MlflowException) -> Exception | None:
    text, line = str(error).lower(), _first_line(error)
    kind = next((k for k, signs in _SIGNS.items() if any(sign in text for sign in signs)), None)
    match kind:
        case "away":
            return away(uri, line)
        case "locked":
            return ServerAway(f"the store {hidden(uri)} is locked by another process: wait for it, or end it")
        case "broken":
            return UserError(f"the store {hidden(uri)} is damaged ({line}): restore it from a backup")
        case "disk":
            return _unwritable(uri, line)
        case "login":
            remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            return UserError(f"the tracking server {hidden(uri)} refuses ({line}): {remedy}")
        case "unsupported":
            return UserError(f"MLFLOW_TRACKING_URI '{hidden(uri)}' cannot be used: {line}")
        case "other":
            return UserError(f"{hidden(uri)} answers, but not as an MLflow server ({line}): see MLFLOW_TRACKING_URI")
    return None


def _unwritable(uri: str, why: str) -> UserError:
    return UserError(f"cannot write to the store {hidden(uri)} ({why}): free or fix the disk")


def is_outage(error: BaseException) -> bool:
    """Whether an error says that the server is gone, and not that what was asked of it is wrong."""
    if isinstance(error, requests.RequestException | ConnectionError | TimeoutError):
        return True
    return isinstance(error, MlflowException) and isinstance(_advice("", error), ServerAway)


def away(uri: str, why: str) -> ServerAway:
    """The error for a server that does not answer."""
    return ServerAway(
        f"the tracking server {hidden(uri)} does not answer ({why}): start it, or correct or unset MLFLOW_TRACKING_URI"
    )


def _address(uri: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(uri)
        scheme, host, port = parts.scheme.split("+")[0], parts.hostname, parts.port
    except ValueError as e:
        raise UserError(f"MLFLOW_TRACKING_URI '{hidden_safe(uri)}' is malformed ({e}): write http://HOST:PORT") from e
    if scheme in ("http", "https") and not host:
        raise UserError(f"MLFLOW_TRACKING_URI '{uri}' names no host: write {scheme}://HOST:PORT")
    return scheme, host, port


def hidden_safe(uri: str) -> str:
    """``hidden`` for a URI that cannot even be parsed: everything up to the ``@`` is left out."""
    return uri.rsplit("@", 1)[-1]


def _ask_http(uri: str) -> None:
    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=(CONNECT_SECONDS, ANSWER_SECONDS), allow_redirects=False)
    except requests.exceptions.SSLError:
        return  # it answers; what it answers is judged by the first real call, with the user's certificates
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as e:
        raise UserError(f"MLFLOW_TRACKING_URI '{hidden(uri)}' is malformed ({e}): write http://HOST:PORT") from e
    except requests.exceptions.RequestException as e:
        raise away(uri, _cause(e)) from e


def _ask_socket(uri: str, host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError as e:
        raise away(uri, e.strerror or str(e)) from e


def _cause(error: BaseException) -> str:
    text = str(error)
    for known in ("Connection refused", "Name or service not known", "No route to host", "timed out"):
        if known.lower() in text.lower():
            return known.lower()
    return type(error).__name__


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."
