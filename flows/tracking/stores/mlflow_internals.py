"""What is leaned on here of MLflow beyond its documented interface, each part with its reason.

``tests/flows/tracking/stores/test_mlflow_internals.py`` fails when another version of MLflow changes one of them.
(What MLflow says in its errors is read in ``server``.)
"""

import importlib
import os
import sys
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

# MLflow prints a traceback there beside the exception that it raises, which is told in one line here.
DATABASE_LOGGER = "mlflow.store.db.utils"

# It warns there, with a configuration, that nobody can log in, beside an exception that says so.
DATABRICKS_LOGGER = "mlflow.utils.databricks_utils"

# What MLflow's own ``log_model`` writes into the MLmodel of a model from code; ours is written by hand.
CODE_LOADER = "mlflow.pyfunc.loaders.code_model"

_DATA_PACKAGES = ("numpy", "pandas", "pyarrow", "scipy")
_OWN = {"mlflow", "mlflow-skinny", "mlflow-tracing"}


def import_without_data() -> None:
    """Import MLflow as where numpy, pandas, pyarrow and scipy are not installed, for a process that logs no model.

    ``import mlflow`` loads them all (https://github.com/mlflow/mlflow/issues/3577), a third of a look-up's time, and
    can do without: they are none of mlflow-skinny's requirements, and stay none
    (https://github.com/mlflow/mlflow/issues/9367). Afterwards they can be imported as always; what MLflow itself looked
    for in vain is looked for again by ``reach_hdfs``. Where a plugin of MLflow's is installed, which may need them, or
    MLflow is imported already, nothing is left out.
    """
    if "mlflow" in sys.modules or _has_plugins():
        return
    absent = [name for name in _DATA_PACKAGES if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type] # None: importing it raises ImportError
    try:
        import mlflow  # noqa: F401
    finally:
        for name in absent:
            del sys.modules[name]


def reach_hdfs(location: str) -> None:
    """Let artifacts on HDFS be read after ``import_without_data``: the one store of them that needs pyarrow."""
    if location.startswith(("hdfs:", "viewfs:")):
        importlib.reload(importlib.import_module("mlflow.store.artifact.hdfs_artifact_repo"))


def _has_plugins() -> bool:
    """Whether another package adds a store, a kind of artifacts or the like, which MLflow then imports at once."""
    return any(
        point.group.startswith("mlflow.") and package.name not in _OWN
        for package in distributions()
        for point in package.entry_points
    )


def databricks_host(uri: str) -> str:
    """The address of the workspace behind ``databricks`` or ``databricks://PROFILE``; empty where none is configured.

    Read where MLflow reads it, but not by way of its client, which asks a workspace that is away for minutes.
    """
    from mlflow.legacy_databricks_cli.configure import provider

    untyped: Any = provider
    profile = uri.partition("://")[2] or os.environ.get("DATABRICKS_CONFIG_PROFILE")
    config = None if profile else untyped.EnvironmentVariableConfigProvider().get_config()
    config = config or untyped.ProfileConfigProvider(profile or untyped.DEFAULT_SECTION).get_config()
    return (config and config.host) or ""


def make_database(path: Path, *, artifacts: str) -> None:
    """Make MLflow's schema in a new SQLite file and close it.

    A client would do it too, but leave the file open, and give the experiment "Default" artifacts in ``./mlruns``.
    """
    from mlflow.store.tracking import sqlalchemy_store

    untyped: Any = sqlalchemy_store
    store = untyped.SqlAlchemyStore(f"sqlite:///{path}", artifacts)
    store.engine.dispose()


@cache
def schema_revisions() -> tuple[str, ...]:
    """Every revision of the schema that this MLflow knows, newest first.

    Read from its migrations by Alembic. MLflow refuses an older schema by itself, but only where no table is missing in
    it: else it migrates the database in place, without a backup and behind the user's back, or fails half-way
    (https://github.com/mlflow/mlflow/issues/23721).
    """
    import mlflow
    from alembic.script import ScriptDirectory

    migrations = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    return tuple(script.revision for script in migrations.walk_revisions())
