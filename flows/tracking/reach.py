"""Whether the tracking server answers, and what is said when it does not.

``probe`` asks once before the work begins; ``answering`` puts the failures that happen later into one line each.
Nothing here retries: MLflow does, a little.
"""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException

from linreg.errors import ServerAway, UserError

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 5.0
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_AWAY = (
    "failed with exception",  # how MLflow words a refused or reset connection
    "timed out when calling",
    "connection refused",
    "could not connect",
    "connection to server",
    "server closed the connection",
    "too many 50",
    "error code 502",
    "error code 503",
    "error code 504",
    "database is locked",
)
_BROKEN = ("malformed", "not a database", "no such table", "no such column")


def quiet() -> None:
    """Silence the loggers that would print, beside our one line, a traceback or each retry."""
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
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

    Raises:
        ServerAway: the server went away, or the database stayed locked.
        UserError: the database is damaged, or the disk is full.
    """
    try:
        yield
    except MlflowException as e:
        text = str(e).lower()
        if any(sign in text for sign in _AWAY):
            raise away(uri, _first_line(e)) from e
        if any(sign in text for sign in _BROKEN):
            raise UserError(f"the store {hidden(uri)} is damaged ({_first_line(e)}): restore it from a backup") from e
        if "disk is full" in text or "disk i/o error" in text or "readonly database" in text:
            raise UserError(f"cannot write to the store {hidden(uri)} ({_first_line(e)}): free or fix the disk") from e
        raise


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
    import requests

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
