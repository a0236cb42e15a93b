"""A store, a cache and configs of an earlier release: they open, answer as they did then, and go on.

``stores/2026-11-27.zip`` holds a working directory as commit b10eb4e left it (three runs of ``nights.toml``, one of
``batches.toml``, a sweep, ``promote greenhouse/2``; no pictures), and in ``out/`` what that commit answered.
"""

import json
import math
import shutil
import sqlite3
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from tests.support.command import document
from tests.support.processes import ROOT

STORE = ROOT / "tests/flows/stores/2026-11-27.zip"
THEN = "/tmp/made"  # the folder that it was made in: MLflow keeps absolute paths
PATHS = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}


@pytest.fixture(autouse=True)
def _folder(prefect_api, tmp_path, monkeypatch) -> None:  # noqa: ARG001 - the runs find the server
    """The folder as it was, with the paths that it has here, and the process in it."""
    with zipfile.ZipFile(STORE) as archive:
        archive.extractall(tmp_path)
    database = sqlite3.connect(tmp_path / "mlruns/mlflow.db")
    with database:
        for table, column in PATHS.items():
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (THEN, str(tmp_path)))
    database.close()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def then(name: str) -> object:
    """What the earlier release answered."""
    return json.loads(Path("out", name).read_text())


def same(ours: object, theirs: object) -> bool:
    """Equal, numbers to rounding; what has been added since may stand beside."""
    if isinstance(theirs, dict):
        return isinstance(ours, dict) and all(name in ours and same(ours[name], theirs[name]) for name in theirs)
    if isinstance(theirs, list):
        return isinstance(ours, list) and len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(theirs, float):
        return isinstance(ours, float) and math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12)
    return ours == theirs


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (("models", "greenhouse"), "models.json"),
        (("models", "greenhouse", "--rescore"), "rescore.json"),
        (("show", "greenhouse/1"), "show-greenhouse-1.json"),
        (("show", "greenhouse/3"), "show-greenhouse-3.json"),
        (("show", "batches"), "show-batches.json"),
        (("show", "swept"), "show-swept.json"),
        (("diff", "greenhouse/2", "greenhouse/3"), "diff.json"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_look_ups_answer_as_they_did(command, answer) -> None:
    assert same(document(*command), then(answer))


def test_its_versions_predict_what_they_did() -> None:
    document("predict", "greenhouse/3", "harvest/day-0.csv", "-o", "again.csv")
    pd.testing.assert_frame_equal(pd.read_csv("again.csv"), pd.read_csv("out/predicted.csv"), rtol=1e-12)


@pytest.mark.parametrize("config", ["nights.toml", "batches.toml"])
def test_the_next_run_ends_unchanged(config) -> None:
    ours, theirs = document("run", config), then(f"unchanged-run-{config}.json")
    own = ("flow_run_id", "seconds")
    assert (ours["decision"], ours["data"]["read"]) == ("unchanged", 0)
    assert same(ours, {name: value for name, value in theirs.items() if name not in own})


def test_a_training_on_its_cache_has_the_numbers_of_then() -> None:
    """Under another model's name, so that it trains: from the kept records, or from the files again."""
    ours, theirs = document("run", "nights.toml", "--set", "model=again"), then("run3.json")
    assert ours["data"]["digest"] == theirs["data"]["digest"]
    trained = {name: value for name, value in theirs["metrics"].items() if "champion" not in name}
    assert same(ours["metrics"], {name: value for name, value in trained.items() if not name.startswith("drift")})


def test_the_next_night_goes_on_from_its_champion() -> None:
    shutil.copy("harvest/day-0.csv", "harvest/day-6.csv")
    night = document("run", "nights.toml")
    assert (night["decision"], night["model"]["version"], night["data"]["partitions"]) == ("kept", 4, 7)
    assert [version["version"] for version in document("models", "greenhouse")] == [4, 3, 2, 1]
