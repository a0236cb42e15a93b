"""Where MLflow keeps everything: the server that MLFLOW_TRACKING_URI names, else ``./mlruns`` of the working directory.

``open_store(create=True)`` is what a run does, ``open_store(create=False)`` what a look-up does: it makes nothing, not
even a folder. A store is a URI and a client; runs, versions and their records are in ``run`` and ``registry``.
"""

import hashlib
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
from filelock import FileLock, Timeout
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from flows.tracking.stores import sqlite_store
from flows.tracking.stores.server import answering, hidden, probe, quiet, redacted, unsupported
from linreg.errors import ServerAway, UserError

FOLDER = "mlruns"
LOCK_SECONDS = 120.0
_KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on runs and curves, not on chats


@dataclass(frozen=True)
class Store:
    """An open store.

    Args:
        uri: of tracking and registry alike.
        client: MLflow's client for it.
        artifacts: artifact location of new experiments; none: the server decides.
        locks: folder of this machine's lock files; made when first needed.
    """

    uri: str
    client: MlflowClient
    artifacts: str | None
    locks: Path

    @property
    def title(self) -> str:
        """The URI for people to read: no password in it."""
        return hidden(self.uri)

    def experiment(self, name: str) -> str:
        """The id of the experiment of that name, made if there is none; processes may race for it.

        Raises:
            UserError: an experiment of that name was deleted, or MLflow refuses the name.
        """
        with answering(self.uri):
            experiment = self.client.get_experiment_by_name(name) or self._new_experiment(name)
        if experiment.lifecycle_stage != "active":
            raise UserError(f"{self.deletion_note(name, experiment.experiment_id)}, or name another")
        return str(experiment.experiment_id)

    def deletion_note(self, name: str, experiment_id: str) -> str:
        """That an experiment was deleted, and what restores it: the command by itself looks for another store."""
        elsewhere = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
        store = "" if elsewhere else f"MLFLOW_TRACKING_URI={shlex.quote(self.uri)} "
        command = f"{store}mlflow experiments restore -x {experiment_id}"
        return f"experiment '{name}' was deleted: restore it with `{command}`"

    def last_experiment(self) -> str | None:
        """The id of the experiment that was used last; MLflow's own "Default" does not count."""
        with answering(self.uri):
            newest = self.client.search_experiments(
                order_by=["last_update_time DESC"], filter_string="name != 'Default'", max_results=1
            )
        return str(newest[0].experiment_id) if newest else None

    def _new_experiment(self, name: str) -> Experiment:
        try:
            number = self.client.create_experiment(name, artifact_location=self.artifacts, tags=_KIND)
            return self.client.get_experiment(number)
        except MlflowException as e:
            raced = self.client.get_experiment_by_name(name)
            if raced is not None:  # another process was quicker
                return raced
            if e.error_code == "INVALID_PARAMETER_VALUE":
                raise UserError(f"experiment '{name}': {redacted(str(e), self.uri)}") from e
            raise

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold what belongs to ``name`` (a registered model) alone among the processes and threads of this machine.

        A thread that holds it may take it again: ``with store.lock(name)`` around several calls makes them one.

        Raises:
            ServerAway: somebody else held it for ``LOCK_SECONDS``.
        """
        path = self.locks / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"
        try:
            self.locks.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(str(path), timeout=LOCK_SECONDS, is_singleton=True)  # one object a path: re-entrant
            lock.acquire()
        except Timeout as e:
            raise ServerAway(f"'{name}' is held by another process since {LOCK_SECONDS:.0f} s ({path}): end it") from e
        except OSError as e:
            raise UserError(f"cannot lock '{name}' ({e}): make {self.locks} writable, or set XDG_CACHE_HOME") from e
        try:
            yield
        finally:
            lock.release()


def open_store(*, create: bool) -> Store:
    """Open the store of this environment and working directory, and make it MLflow's own default for this process.

    Args:
        create: make the embedded store if there is none.

    Raises:
        UserError: there is no store and ``create`` is false; the URI is malformed; the database is damaged or of
            another MLflow's schema.
        ServerAway: the server that the URI names does not answer.
    """
    quiet()
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip() or _embedded_uri()
    database = _database(uri)
    if database is not None:
        _prepare(database, create=create)
    else:
        probe(uri)
    _as_default(uri)
    here = uri == _embedded_uri()
    return Store(uri, _client(uri), _artifacts() if here else None, _lock_folder(uri, database))


def _folder() -> Path:
    return Path.cwd() / FOLDER


def _artifacts() -> str:
    path = _folder() / "artifacts"
    return path.as_uri() if "%" in str(path) else str(path)  # MLflow reads %20 in a plain path as a space


def _embedded_uri() -> str:
    path = _folder() / "mlflow.db"
    if "?" in str(path):
        raise UserError(f"the folder {path.parent} holds a '?', which no database address can: run elsewhere")
    return f"sqlite:///{path}"


def _database(uri: str) -> Path | None:
    """The file of an SQLite URI; none for a server.

    Raises:
        UserError: the URI is of a kind that cannot be used.
    """
    scheme, _, rest = uri.partition(":")
    if scheme.startswith("sqlite"):
        path = rest.removeprefix("///").partition("?")[0]
        if not rest.startswith("///") or path in ("", ":memory:"):
            raise UserError(f"MLFLOW_TRACKING_URI '{uri}' names no file: write sqlite:////absolute/path/mlflow.db")
        return Path.cwd() / path
    if scheme in ("", "file") or (not rest and scheme != "databricks"):
        raise unsupported(uri)
    return None


def _prepare(database: Path, *, create: bool) -> None:
    if create:
        sqlite_store.make(database, artifacts=_artifacts())
    elif not sqlite_store.exists(database):
        raise UserError(f"there is no store {database}: `linreg run` makes one; or set MLFLOW_TRACKING_URI")
    sqlite_store.check(database)


def _as_default(uri: str) -> None:
    """MLflow's SQL registry resolves ``models:/`` addresses through the process-wide URI, whatever the client's own.

    The environment is put back: the next ``open_store`` may be in another folder.
    """
    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _client(uri: str) -> MlflowClient:
    try:
        with answering(uri):
            return MlflowClient(tracking_uri=uri, registry_uri=uri)
    except (ServerAway, UserError):
        raise
    except ModuleNotFoundError as e:
        raise UserError(f"the store {hidden(uri)} needs {e.name}: pip install 'linreg[postgres]' or {e.name}") from e
    except Exception as e:  # whatever MLflow, SQLAlchemy or a plugin raises, the URI is what is wrong
        raise UserError(f"MLFLOW_TRACKING_URI '{hidden(uri)}' cannot be used: {redacted(str(e), uri)}") from e


def _lock_folder(uri: str, database: Path | None) -> Path:
    if database is not None:
        return database.parent / ".locks"
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "linreg" / "locks" / hashlib.sha256(uri.encode()).hexdigest()[:16]
