"""What is remembered of a sweep: which version came of it, and what its models were.

A sweep is known by its key, a digest of all its models' content. The version that came of it carries a tag with that
key, whose value is the sweep's own run; that run holds the models' table as ``sweep.json``. One version may come of
many sweeps.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from flows.tracking.stores.server import answering, is_outage
from flows.tracking.stores.store import Store
from flows.tracking.version import Version, version_of
from flows.tracking.versions import tagged

TABLE = "sweep.json"
_TAG = "sweep_"


def tag_of(key: str, run_id: str) -> dict[str, str]:
    """The tag that a version carries which came of the sweep of that key, made by that run."""
    return {f"{_TAG}{key}": run_id}


def by_sweep_key(store: Store, name: str, key: str) -> tuple[Version, dict[str, Any]] | None:
    """The version that came of the same sweep, and the sweep's table; none where one of them is gone, or never was."""
    tag = f"{_TAG}{key}"
    with answering(store.uri):
        for version in tagged(store, name, tag, "LIKE '%'"):
            table = _table(store, version.tags[tag])
            if table is not None:
                return version_of(store.client.get_model_version(name, str(version.version))), table
    return None


def mark(store: Store, version: Version, tags: Mapping[str, str]) -> None:
    """Add tags to a version that is registered already."""
    with answering(store.uri):
        for name, text in tags.items():
            store.client.set_model_version_tag(version.name, str(version.version), name, text)


def _table(store: Store, run_id: str) -> dict[str, Any] | None:
    """The table of a sweep's run; none where the run or its artifact is gone."""
    with tempfile.TemporaryDirectory(prefix="linreg-sweep-") as scratch:
        try:
            path = store.client.download_artifacts(run_id, TABLE, scratch)
            table: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, MlflowException) as e:
            if is_outage(e):
                raise
            return None
    return table
