"""What the tests of flows/tracking share: a store with its schema copied, a model, and processes that start quickly."""

import functools
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.orm import configure_mappers

from flows.tracking.model_reader import Contents
from flows.tracking.run import TrackedRun
from flows.tracking.stores import sqlite_store
from flows.tracking.stores.store import Store, open_store
from linreg.model import LinearModel
from tests.support.processes import PATIENCE, wait_for

MODEL = LinearModel(
    np.array([[0.3, 0.2, 0.1], [1.0, -2.0, 3.5]]),
    np.array([1.25, 2.0]),
    np.array([70.5, 80.0, 60.0]),
    ("temp", "rainfall", "humidity"),
    ("apples", "oranges"),
)
X_NF = np.array([[73.0, 67.0, 43.0], [91.0, 88.0, 64.0], [87.0, 134.0, 58.0]])
FACTS = {
    "metrics": {"test_rmse": 1.5},
    "data": {"digest": "ab" * 16, "rows": 15},
    "trainer": "gram",
    "split": {"seed": 0, "fraction": 0.2},
    "features": list(MODEL.features),
    "targets": list(MODEL.targets),
    "flow_run_id": "flow-1",
}


def _pay_once() -> None:
    """Do here, before other processes are forked from this one, what each would do for its first store.

    And let MLflow read all of its migrations once a process instead of for every store that it opens.
    """
    import mlflow.store.model_registry.sqlalchemy_store
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 - both for what they import
    from mlflow.store.db import utils as schema

    configure_mappers()
    schema._get_latest_schema_revision = functools.cache(schema._get_latest_schema_revision)
    schema._get_latest_schema_revision()


_pay_once()


@functools.cache
def template() -> Path:
    """A database with MLflow's schema, made once a session: the migrations take over a second."""
    path = Path(tempfile.mkdtemp(prefix="linreg-template-")) / "mlflow.db"
    sqlite_store.make(path, artifacts=str(path.parent))
    return path


def enter(folder: Path) -> None:
    """Work in that folder, with no store named in the environment."""
    os.chdir(folder)
    os.environ.pop("MLFLOW_TRACKING_URI", None)


def new_store(folder: Path, database: Path | None = None) -> Store:
    """The embedded store of a folder, which becomes the working directory (the fixtures put it back).

    Args:
        database: that it begins as; none: an empty one.
    """
    (folder / "mlruns").mkdir(parents=True)
    shutil.copy(database or template(), folder / "mlruns" / "mlflow.db")
    enter(folder)
    return open_store(create=True)


def logged_run(store: Store):
    """A finished run that holds MODEL; the run and the logged model."""
    with TrackedRun.start(store, experiment="crops", name="a run", tags={}) as run:
        return run, run.log_model(Contents(MODEL), example=X_NF.tolist())


@functools.cache
def forked():
    """Where processes come from: forked from a server that has imported mlflow and torch once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.tracked", "flows.tracking.registry"])
    with pytest.MonkeyPatch.context() as patch:  # the server itself imports by PYTHONPATH alone
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()
    return context


def killed_after_its_sign(target, folder: Path, sign: Path) -> None:
    """Run ``target(folder, sign)``, which writes that file and waits, in a process that is then killed."""
    process = forked().Process(target=target, args=(folder, sign), daemon=True)
    process.start()
    wait_for(lambda: sign.exists() and sign.read_text())
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def together(target, arguments):
    """Run ``target`` in one process for each tuple of arguments, all at once; the exit codes."""
    context = forked()
    running = [context.Process(target=target, args=args) for args in arguments]
    for process in running:
        process.start()
    for process in running:
        process.join(PATIENCE)
    return [process.exitcode for process in running]
