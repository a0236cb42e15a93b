"""The SQLite file that holds everything where no server is named: made once, whole, by whoever comes first.

MLflow migrates a new database in place, step by step: two processes at once trip over each other, and a kill in the
middle leaves half a schema that nobody can use. So the schema is made in a temporary file under a lock and put in its
place by one rename. Nothing here opens a store or knows an experiment.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from flows.tracking.stores.mlflow_internals import make_database, schema_revisions
from linreg.errors import ServerAway, UserError

MAKING_SECONDS = 120.0


def make(path: Path, *, artifacts: str) -> None:
    """Make the database at ``path`` unless a whole one is there; safe for many processes and for a kill at any point.

    Args:
        path: where it shall be.
        artifacts: the artifact root of MLflow's own "Default" experiment.

    Raises:
        UserError: the folder cannot be written.
        ServerAway: another process has been making it for two minutes.
    """
    if exists(path):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(path.with_name(f".{path.name}.lock")), timeout=MAKING_SECONDS):
            if not exists(path):
                _make_whole(path, artifacts)
    except Timeout as e:
        raise ServerAway(f"another process has been making {path} for {MAKING_SECONDS:.0f} s: is it stuck?") from e
    except OSError as e:
        raise UserError(f"cannot make the store {path} ({e.strerror or e}): run where you may write") from e


def exists(path: Path) -> bool:
    """Whether a database is there; an empty file is none."""
    try:
        return path.stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False


def check(path: Path) -> None:
    """Refuse a database that this MLflow cannot use, before MLflow tries to repair it.

    Raises:
        UserError: damaged, not a database of MLflow, or of another version's schema.
    """
    revision = _revision(path)
    if revision is None:
        raise UserError(
            f"{path} holds no finished MLflow schema: move it away (a new one is made by the next run), "
            "or restore it from a backup"
        )
    newest, *older = schema_revisions()
    if revision == newest:
        return
    if revision in older:
        raise UserError(
            f"{path} was made by an older MLflow: back it up, then run `mlflow db upgrade sqlite:///{path}`"
        )
    raise UserError(f"{path} was made by a newer MLflow (schema {revision}): upgrade mlflow, or use another folder")


def _make_whole(path: Path, artifacts: str) -> None:
    for left_by_a_kill in path.parent.glob(f".{path.name}.*.part*"):
        left_by_a_kill.unlink(missing_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with _unsynced(part):
        make_database(part, artifacts=artifacts)
    _flush(part)
    os.replace(part, path)
    _flush(path.parent)


@contextmanager
def _unsynced(part: Path) -> Iterator[None]:
    """A hundred migrations need not reach the disk one by one: half a file is thrown away, a whole one is flushed."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def hurry(connection: sqlite3.Connection, _: object) -> None:
        if any(Path(file).name == part.name for _, _, file in connection.execute("PRAGMA database_list")):
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = MEMORY")

    event.listen(Engine, "connect", hurry)
    try:
        yield
    finally:
        event.remove(Engine, "connect", hurry)


def _flush(path: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems flush no folders; the rename stands
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _revision(path: Path) -> str | None:
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=20)) as db:
            row = db.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as e:
        if "no such table" in str(e):
            return None
        raise UserError(f"cannot read the store {path} ({e}): check its permissions") from e
    except sqlite3.DatabaseError as e:
        raise UserError(f"{path} is damaged ({e}): restore it from a backup, or move it away") from e
    return str(row[0]) if row else None
