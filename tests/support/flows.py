"""What the tests of the flow and of the command line share: one temporary Prefect server, folders to work in, configs.

Pictures take more than half of a small run's time, so runs draw none but where a test asks for ``pictures``, or the
command line for all of them (``--pictures``). prefect and mlflow are imported where they are needed: conftest imports
this file for the tests of the library too.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from linreg.config import Config, TrainConfig
from linreg.config_file import from_dict
from linreg.data_config import DataConfig
from tests.support.processes import ROOT

DATA = ROOT / "data"
FEATURES, TARGETS = ["temp", "rainfall", "humidity"], ["apples", "oranges"]
OPTIMUM = {"trainer": "gram", "learning_rate": 0.5, "epochs": 400, "standardize": True, "dtype": "float64"}
PICTURES = ("loss.png", "predicted.png", "parabolas.png", "coefficients.png")
_real_draw = {}  # what draws them
EXACT = TrainConfig(trainer="exact", device="cpu")
WEAK = {"trainer": "manual", "learning_rate": 1e-5, "epochs": 30, "standardize": False}


@pytest.fixture(scope="session")
def prefect_api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server for the whole session, which leaves the user's own profile alone; its address."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.orchestration.local_server import local_server, wait_until_ready
    from flows.results import pictures

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect-home")))
        _real_draw["draw"] = pictures.draw
        if not request.config.getoption("--pictures"):
            patch.setattr(pictures, "draw", lambda *_: None)
        with local_server():
            wait_until_ready()
            with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):  # a run's end waits for it, a second
                yield os.environ["PREFECT_API_URL"]


@pytest.fixture
def pictures(prefect_api, monkeypatch) -> None:  # noqa: ARG001 - which leaves them out
    """Runs draw their pictures."""
    monkeypatch.setattr("flows.results.pictures.draw", _real_draw["draw"])


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty working directory with the tutorial's table in ``data``; no store yet."""
    return make_folder(tmp_path / "work", monkeypatch)


@pytest.fixture
def store(folder):
    """An empty embedded store in that directory."""
    from tests.support.tracked import new_store

    return new_store(folder)


@pytest.fixture(scope="module")
def module_store(tmp_path_factory):
    """The same, of a module: its tests work in a directory that is theirs."""
    from tests.support.tracked import new_store

    with pytest.MonkeyPatch.context() as patch:
        yield new_store(make_folder(tmp_path_factory.mktemp("module") / "work", patch))


@pytest.fixture
def work(folder, store, prefect_api) -> Path:  # noqa: ARG001 - flows that run here find the server
    """A working directory with an empty store."""
    return folder


def make_folder(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path.mkdir()
    shutil.copytree(DATA, path / "data", ignore=shutil.ignore_patterns(".cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(path)
    return path


def crops(**sections: object) -> Config:
    """A config on the tutorial's 15 rows; sections are joined to it, other keys replace."""
    return from_dict(crops_table(**sections))


def crops_table(**sections: object) -> dict[str, object]:
    table: dict[str, object] = {
        "model": "crop-yield",
        "experiment": "crops",
        "data": {"path": "data/crops-15.csv", "features": FEATURES, "targets": TARGETS},
        "train": {"trainer": "gram", "learning_rate": 0.1, "epochs": 20, "device": "cpu"},
    }
    for name, value in sections.items():
        table[name] = {**table.get(name, {}), **value} if isinstance(value, dict) else value
    return table


def noisy(path: Path | str, rows: int = 200, *, gaps: bool = False, seed: int = 0) -> pd.DataFrame:
    """Three features, a target with noise, weights of which some are 0; on request with gaps in two features."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3)) * [1, 10, 0.1] + [0, 50, 3]
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    frame["y"] = 2 * frame["a"] - 0.3 * frame["b"] + 4 + rng.normal(size=rows)
    frame["w"] = rng.integers(0, 4, size=rows).astype(float)
    if gaps:
        for name in ("a", "b"):
            frame.loc[rng.random(rows) < 0.2, name] = np.nan
        frame.loc[3, "y"] = np.nan
    frame.to_csv(path, index=False)
    return frame


def noisy_config(path: Path | str = "noisy.csv", train: TrainConfig = EXACT, **data: object) -> Config:
    """A config on such a file."""
    columns = {"features": ("a", "b", "c"), "targets": ("y",)}
    return Config(model="noisy", data=DataConfig(path=str(path), **columns | data), train=train)


def flow_runs(flow_run_id: str) -> list[tuple[str, int]]:
    """Name and number of tries of each task of a flow run."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])))
    return sorted((run.name.rsplit("-", 1)[0], run.run_count) for run in runs)
