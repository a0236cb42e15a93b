"""Whether the tracking server answers, and what is said when it does not.

``probe`` asks once before the work begins; ``answering`` puts the failures that happen later into one line each.
Nothing here retries: MLflow does, a little.
"""

import errno
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from urllib.parse import unquote, urlsplit

import requests
from mlflow.exceptions import MlflowException

from flows import interrupts
from flows.tracking.stores.mlflow_internals import DATABASE_LOGGER, DATABRICKS_LOGGER, databricks_host
from linreg.errors import ServerAway, UserError, nearest

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 5.0
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_SCHEMES = ("http", "https", "sqlite", "databricks", *_PORTS)
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
_SIGNS = {  # what MLflow's texts say, lowered; first come, first served
    "locked": ("database is locked",),
    "broken": ("malformed", "not a database", "no such table", "no such column"),
    "disk": ("disk is full", "disk i/o error", "readonly database"),
    "credentials": ("databricks credential", "databricks authentication", "cannot configure default credentials"),
    "login": ("error code 401", "error code 403", "permission_denied", "unauthenticated"),
    "unsupported": (
        "not supported by the store with uri",
        "unsupported uri",
        "is not supported in the current version",
    ),
    "other": ("error code 404", "error code 405", "not in a valid json format"),
    "away": (
        *("failed with exception", "timed out when calling", "connection refused", "could not connect"),
        *("connection to server", "server closed the connection", "error code 50", "too many 50"),
    ),
}


def quiet() -> None:
    """Silence the loggers that would print, beside our one line, a traceback or each retry."""
    logging.getLogger(DATABASE_LOGGER).setLevel(logging.CRITICAL)
    logging.getLogger(DATABRICKS_LOGGER).setLevel(logging.ERROR)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def probe(uri: str) -> None:
    """Ask the server at ``uri`` for a sign of life; a file database and other schemes are not asked.

    Raises:
        UserError: the URI names no host, or no port that could be.
        ServerAway: nothing answers within a few seconds.
    """
    scheme, host, port = _address(uri)
    if scheme in ("http", "https"):
        _ask_http(uri, uri)
    elif (scheme == "databricks" or uri == "databricks") and (workspace := databricks_host(uri)):
        _ask_http(workspace, uri)
    elif host and scheme in _PORTS:
        _ask_socket(uri, host, port or _PORTS[scheme])


def hidden(uri: str) -> str:
    """The URI for people to read, whole or malformed: without user, password and query, which may be credentials."""
    return re.sub(r"(?<=//).*@|^[^/]*@", "***@", uri.partition("?")[0])


def redacted(text: str, uri: str) -> str:
    """What MLflow or a driver says of the store behind ``uri`` in one line, without what ``hidden`` leaves out."""
    head, query = uri.partition("?")[::2]
    secrets = [*head.rpartition("@")[0].rpartition("//")[2].split(":")[1:], *re.findall(r"=([^&]+)", query)]
    line = " ".join(text.split()).replace(uri, hidden(uri))
    for secret in filter(None, [*secrets, *map(unquote, secrets)]):
        line = line.replace(secret, "***")
    return line if len(line) <= 300 else f"{line[:297]}..."


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
        raise _unwritable(uri, redacted(str(e), uri)) from e


def _advice(uri: str, error: MlflowException) -> Exception | None:
    text, line = str(error).lower(), redacted(str(error) or type(error).__name__, uri)
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
            return unsupported(uri)
        case "credentials":
            remedy = (
                "set DATABRICKS_HOST and DATABRICKS_TOKEN, or DATABRICKS_CONFIG_PROFILE, or unset MLFLOW_TRACKING_URI"
            )
            return UserError(f"MLflow knows no way to log in at MLFLOW_TRACKING_URI '{hidden(uri)}': {remedy}")
        case "other":
            return UserError(f"{hidden(uri)} answers, but not as an MLflow server ({line}): see MLFLOW_TRACKING_URI")
    return None


def unsupported(uri: str) -> UserError:
    """The error for a URI of a kind that holds no runs, or no models."""
    scheme = uri.partition(":")[0] if "://" in uri else ""
    what = f"is of the kind '{scheme}', for which MLflow 3 has no store" if scheme else "names no store of MLflow 3"
    known = nearest(scheme, _SCHEMES) if scheme not in _SCHEMES else ""
    return UserError(
        f"MLFLOW_TRACKING_URI '{hidden(uri)}' {what}{known}: write http://HOST:PORT or "
        "sqlite:////absolute/path/mlflow.db, install the plugin that adds it, or unset it"
    )


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
        raise UserError(
            f"MLFLOW_TRACKING_URI '{hidden(uri)}' is malformed ({redacted(str(e), uri)}): write http://HOST:PORT"
        ) from e
    if scheme in ("http", "https") and not host:
        raise UserError(f"MLFLOW_TRACKING_URI '{hidden(uri)}' names no host: write {scheme}://HOST:PORT")
    return scheme, host, port


def _ask_http(host: str, uri: str) -> None:
    try:
        requests.get(f"{host.rstrip('/')}/health", timeout=(CONNECT_SECONDS, ANSWER_SECONDS), allow_redirects=False)
    except requests.exceptions.SSLError:
        return  # it answers; what it answers is judged by the first real call, with the user's certificates
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as e:
        raise UserError(
            f"MLFLOW_TRACKING_URI '{hidden(uri)}' is malformed ({redacted(str(e), uri)}): write http://HOST:PORT"
        ) from e
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
