"""What is leaned on of MLflow beyond its documented interface is there, and does what is said of it."""

import json
import logging
import shutil
import sqlite3
import sys
from contextlib import closing
from importlib import import_module, metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow.store.db import utils as database
from mlflow.utils import mlflow_tags

from flows.tracking.names import NOTE_TAG, PARENT_TAG
from flows.tracking.stores import mlflow_internals as internals
from tests.support.processes import run
from tests.support.tracked import template

# MLflow in a process of its own, as look-ups import it; what they call then, and what can be imported afterwards.
WITHOUT_DATA = """
import json, sys
import flows.tracking
from flows.tracking.stores.mlflow_internals import import_without_data
import_without_data()
data = {"numpy", "pandas", "pyarrow", "scipy"}
imported = sorted(data & set(sys.modules))
from mlflow.artifacts import download_artifacts
from mlflow.tracking import MlflowClient
client = MlflowClient(sys.argv[1], sys.argv[1])
client.create_registered_model("m")
run = client.create_run("0")
client.log_text(run.info.run_id, "hello", "a.txt")
path = download_artifacts(run_id=run.info.run_id, artifact_path="a.txt", dst_path=".", tracking_uri=sys.argv[1])
models = [m.name for m in client.search_registered_models()]
needed = sorted(data & set(sys.modules))
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from flows.tracking.stores.mlflow_internals import reach_hdfs
hdfs = vars(sys.modules[type(get_artifact_repository("hdfs://host/a")).__module__])
before = "HadoopFileSystem" in hdfs
reach_hdfs("hdfs://host/a")
reached = before, "HadoopFileSystem" in hdfs, "HadoopFileSystem" in type(get_artifact_repository("hdfs://host/a"))._download_file.__globals__
import pandas
print(json.dumps([imported, needed, open(path).read(), models, reached, pandas.DataFrame({"a": [1]}).shape]))
"""


def test_mlflow_imports_and_serves_look_ups_where_the_data_packages_cannot_be_imported(tmp_path: Path) -> None:
    uri = f"sqlite:///{shutil.copy(template(), tmp_path)}"
    process = run([sys.executable, "-W", "error", "-c", WITHOUT_DATA, uri], cwd=tmp_path, check=True)
    assert json.loads(process.stdout) == [[], [], "hello", ["m"], [False, True, True], [1, 1]]


def test_nothing_is_left_out_where_a_plugin_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not internals._has_plugins()
    point = SimpleNamespace(group="mlflow.tracking_store")
    plugin = SimpleNamespace(name="a-plugin", entry_points=[point])
    monkeypatch.setattr(internals, "distributions", lambda: [*metadata.distributions(), plugin])
    assert internals._has_plugins()
    monkeypatch.delitem(sys.modules, "mlflow")
    internals.import_without_data()
    assert "mlflow" not in sys.modules


def test_a_database_is_made_whole_and_closed_and_its_default_experiment_has_the_artifacts() -> None:
    path = template()  # made in this process
    with closing(sqlite3.connect(path, timeout=0)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        assert revision == internals.schema_revisions()[0]
        ((location,),) = connection.execute("SELECT artifact_location FROM experiments").fetchall()
        assert location == f"{path.parent}/0"


def test_the_newest_revision_is_the_one_that_mlflow_itself_asks_for() -> None:
    newest, *older = internals.schema_revisions()
    assert newest == database._get_latest_schema_revision()
    assert "451aebb31d03" in older  # the first


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")
def test_the_names_are_mlflows_own() -> None:
    assert logging.getLogger(internals.DATABASE_LOGGER) is database._logger
    assert callable(import_module(internals.CODE_LOADER)._load_pyfunc)
    assert (NOTE_TAG, PARENT_TAG) == (mlflow_tags.MLFLOW_RUN_NOTE, mlflow_tags.MLFLOW_PARENT_RUN_ID)
