"""What the gate decides and says of real runs: worse, equal, better, better on one target alone, few rows, by file."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from flows.pipeline import run_flow
from flows.tracking import registry
from linreg.config_file import from_dict
from tests.support.flows import make_folder
from tests.support.tracked import new_store

# mlflow.pyfunc warns of its own types while it is first imported; nothing of ours is said by it
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")


def rows(n: int, seed: int) -> pd.DataFrame:
    """Two targets: c tells much of y and nothing of z."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.normal(size=(3, n))
    y = a + b + 3 * c + rng.normal(size=n)
    return pd.DataFrame({"a": a, "b": b, "c": c, "y": y, "z": 2 * a - b + rng.normal(size=n)})


def model(name: str, path: str, features: str, **train: object) -> object:
    data = {"path": path, "features": list(features), "targets": ["y", "z"], "test_fraction": 0.25}
    how = {"trainer": "gram", "learning_rate": 0.5, "epochs": 200, "dtype": "float64", "device": "cpu"}
    return from_dict({"model": name, "data": data, "train": how | train})


MANY, FEW, DAYS = "many.csv", "few.csv", "days"
RUNS = {
    "first": model("crop", MANY, "ab"),
    "better on one": model("crop", MANY, "abc"),
    "worse": model("crop", MANY, "a"),
    "equal": model("crop", MANY, "abc", seed=1),
    "few": model("few", FEW, "ab"),
    "tie on five rows": model("few", FEW, "ab", seed=1),
    "better on five rows": model("few", FEW, "abc"),
    "days": model("days", DAYS, "ab"),
    "better by day": model("days", DAYS, "abc"),
}


@pytest.fixture(scope="module")
def made(prefect_api, tmp_path_factory):  # noqa: ARG001 - the flows find the server
    with pytest.MonkeyPatch.context() as patch:
        store = new_store(make_folder(tmp_path_factory.mktemp("decisions") / "work", patch))
        rows(400, 0).to_csv(MANY, index=False)
        rows(20, 2).to_csv(FEW, index=False)
        Path(DAYS).mkdir()
        for day in range(33):
            (rows(12, 100 + day) + np.random.default_rng(day).normal(size=5)).to_csv(f"{DAYS}/{day}.csv", index=False)
        outcomes = {name: run_flow(config) for name, config in RUNS.items()}
        champions = {name: registry.champion(store, name).version for name in ("crop", "few", "days")}
    return SimpleNamespace(outcomes=outcomes, champions=champions)


def test_better_on_one_target_alone_takes_over_and_the_other_is_told_apart(made):
    done = made.outcomes["better on one"]
    assert (done.decision, done.aliases) == ("promoted", ("champion",))
    assert done.reason.startswith("took over from version 1: ")
    assert "; y " in done.reason
    assert done.reason.endswith("(may be chance)")
    assert done.metrics["test_rmse.y"] < 0.5 * done.metrics["baseline.champion.test_rmse.y"]
    assert done.metrics["test_rmse.z"] == pytest.approx(done.metrics["baseline.champion.test_rmse.z"], rel=0.02)


def test_a_worse_one_is_kept_and_called_worse(made):
    done = made.outcomes["worse"]
    assert (done.decision, done.aliases) == ("kept", ("challenger",))
    assert done.reason.startswith("kept version 2: ")
    assert "times the loss" in done.reason
    assert done.metrics["test_mse"] > 2 * done.metrics["baseline.champion.test_mse"]


def test_an_equal_one_is_kept_and_called_equally_good(made):
    done = made.outcomes["equal"]
    assert (done.decision, done.aliases, made.champions["crop"]) == ("kept", ("challenger",), 2)
    assert done.reason.startswith("kept version 2: the new one is equally good, 95% interval ")


@pytest.mark.parametrize("name", ["tie on five rows", "better on five rows"])
def test_five_rows_do_not_move_the_champion(made, name):
    done = made.outcomes[name]
    assert done.data["test_rows"] == 5
    assert (done.decision, made.champions["few"]) == ("kept", 1)
    assert ("equally good" if name.startswith("tie") else "% better, 95% interval -") in done.reason
    assert " on 5 test rows" in done.reason


def test_with_thirty_files_the_interval_is_by_file(made):
    done = made.outcomes["better by day"]
    assert (done.decision, made.champions["days"]) == ("promoted", 2)
    assert f" partitions of {done.data['test_rows']} test rows" in done.reason
