"""A tracked run: everything that was given to it is in the store, under names that can be told back."""

import math
import time
from contextlib import nullcontext
from pathlib import Path

import mlflow
import numpy as np
import pytest

from flows.tracking import names
from flows.tracking.model_reader import Contents
from flows.tracking.origin import commit
from flows.tracking.registry import runs
from flows.tracking.run import TrackedRun
from flows.tracking.stores.store import open_store
from linreg.errors import ServerAway, UserError
from tests.support.processes import PATIENCE
from tests.support.tracked import MODEL, X_NF, enter, killed_after_its_sign


@pytest.fixture
def run(store):
    return TrackedRun.start(store, experiment="crops", name="crop-yield 2026-11-23", tags={"model": "crop-yield"})


def held(run):
    """What the store holds of a run."""
    return run.store.client.get_run(run.run_id)


def test_a_run_is_tagged_so_that_the_ui_groups_it(run):
    tags = held(run).data.tags
    assert tags["mlflow.runName"] == "crop-yield 2026-11-23"
    assert tags["model"] == "crop-yield"
    assert tags["mlflow.user"]
    assert tags["mlflow.source.name"]
    assert tags.get("mlflow.source.git.commit") == commit()
    assert mlflow.active_run() is None


def test_params_are_written_as_a_person_would(run):
    run.log_params(
        {
            "data.features": ("temp", "rainfall"),
            "data.key": (),
            "gate.max_rmse": None,
            "gate.min_r2": {"*": 0.5, "apples": 0.75},
            "train.standardize": False,
            "train.learning_rate": 1e-05,
            "train.seed": 0,
        }
    )
    assert held(run).data.params == {
        "data.features": "temp, rainfall",
        "data.key": "none",
        "gate.max_rmse": "none",
        "gate.min_r2": '{"*": 0.5, "apples": 0.75}',
        "train.standardize": "false",
        "train.learning_rate": "1e-05",
        "train.seed": "0",
    }


def test_250_params_take_more_than_one_call(run):
    run.log_params({f"p{i}": i for i in range(250)})
    assert held(run).data.params == {f"p{i}": str(i) for i in range(250)}


def test_a_param_too_long_for_mlflow_is_kept_whole_beside_it(run):
    columns = tuple(f"column_{i:04d}" for i in range(2000))
    run.log_params({"data.features": columns})
    param = held(run).data.params["data.features"]
    assert param.startswith("column_0000, column_0001")
    assert "sha256" in param
    path = run.store.client.download_artifacts(run.run_id, "params/data.features.txt")
    assert Path(path).read_text() == ", ".join(columns)


def test_history_holds_every_epoch_at_its_step(run):
    loss = [float(x) for x in np.linspace(55, 0.9, 1501)]
    for _ in range(2):  # logged again, it is the same history
        run.log_history({"train_loss": loss, "excess_loss": [x - 0.9 for x in loss]})
    run.log_metrics({"train_loss": loss[-1], "test_rmse": 2.0})  # a final metric adds no point to it
    points = run.store.client.get_metric_history(run.run_id, "train_loss")
    assert sorted((p.step, p.value) for p in points) == list(enumerate(loss))
    assert held(run).data.metrics["train_loss"] == loss[-1]


def test_a_metric_that_is_not_finite_is_never_logged(run):
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(AssertionError, match="metric test_rmse is"):
            run.log_metrics({"test_rmse": value})
        with pytest.raises(AssertionError, match="metric train_loss is"):
            run.log_history({"train_loss": [1.0, value]})
    assert held(run).data.metrics == {}


ODD = ["test_rmse.yield (t/ha)", "test_rmse.größe", "a,b", "a;b", "..", "/x", "x//y", "x/", "", "n" * 300, "%", "a=b"]


def test_any_name_is_taken_and_told_back(run):
    metrics = {name: float(i) for i, name in enumerate([*ODD, "plain", "a(b", "a)b"])}
    histories = {f"history {name}": [value] for name, value in metrics.items()}
    run.log_metrics(metrics)
    run.log_params(dict.fromkeys(metrics, "x"))
    run.log_history(histories)
    (row,) = runs(run.store, "crops")
    assert row["metrics"] == metrics | {name: value for name, (value,) in histories.items()}


def test_names_that_mlflow_takes_stay_and_others_get_a_digest():
    assert names.escaped("test_rmse.apples") == "test_rmse.apples"
    assert names.escaped("größe") == "größe"
    assert names.escaped("test_rmse.yield (t)") == "test_rmse.yield _t_-7a566d"


def test_the_dataset_carries_our_whole_digest(run):
    run.log_dataset("crops", "data/crops.csv", "0123456789abcdef" * 2, 15, ["temp", "apples"])
    (entry,) = held(run).inputs.dataset_inputs
    assert entry.dataset.digest == "0123456789abcdef" * 2
    assert entry.dataset.name == "crops"
    assert '"num_rows": 15' in entry.dataset.profile
    assert "data/crops.csv" in entry.dataset.source
    assert {t.key: t.value for t in entry.tags} == {"mlflow.data.context": "training", "digest": "0123456789abcdef" * 2}


def test_texts_and_folders_become_artifacts(run, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "loss.svg").write_text("<svg/>")
    run.log_artifacts(tmp_path / "pictures")
    run.log_text("config.toml", "a = 1")
    assert sorted(a.path for a in run.store.client.list_artifacts(run.run_id)) == ["config.toml", "loss.svg"]


def test_the_logged_model_is_the_runs_and_shows_its_metrics(run):
    run.log_params({"train.seed": 3})
    logged = run.log_model(Contents(MODEL), example=X_NF.tolist(), metadata={"trainer": "gram"})
    run.log_metrics({"test_rmse": 1.25}, model_id=logged.model_id)
    entry = run.store.client.get_logged_model(logged.model_id)
    assert (entry.source_run_id, str(entry.status), entry.params) == (run.run_id, "READY", {"train.seed": "3"})
    assert [(m.key, m.value) for m in entry.metrics] == [("test_rmse", 1.25)]
    assert [m.model_id for m in held(run).outputs.model_outputs] == [logged.model_id]
    assert logged.uri == f"models:/{logged.model_id}"


@pytest.mark.parametrize(
    ("error", "status", "tag"),
    [
        (None, "FINISHED", None),
        (UserError("loss is inf at epoch 3: lower it"), "FAILED", "loss is inf at epoch 3: lower it"),
        (ZeroDivisionError(), "FAILED", "ZeroDivisionError"),
        (KeyboardInterrupt(), "KILLED", None),
        (SystemExit(1), "KILLED", None),
    ],
)
def test_a_run_ends_as_its_block_does(run, error, status, tag):
    with pytest.raises(type(error)) if error else nullcontext(), run:
        if error:
            raise error
    ended = held(run)
    assert ended.info.status == status
    assert ended.data.tags.get("error") == tag
    assert ended.info.end_time is not None


def test_an_end_that_was_given_stays(run):
    with run:
        run.fail("refused")
    assert held(run).info.status == "FAILED"


def test_a_long_error_is_cut_and_says_so(run):
    run.fail("x" * 20_000)
    tag = held(run).data.tags["error"]
    assert len(tag) == 5000
    assert tag.endswith("…")


def test_a_server_away_while_failing_does_not_hide_the_error(run, monkeypatch):
    def away(*_):
        raise ServerAway("gone")

    monkeypatch.setattr(run, "fail", away)
    with pytest.raises(UserError, match="the real one"), run:
        raise UserError("the real one")


def _run_until_killed(folder, sign):
    enter(folder)
    run = TrackedRun.start(open_store(create=False), experiment="crops", name="killed", tags={})
    run.log_history({"train_loss": [float(i) for i in range(1000)]})
    sign.write_text(run.run_id)
    time.sleep(PATIENCE)


def test_what_was_logged_survives_a_kill_and_the_run_stays_running(store, tmp_path):
    killed_after_its_sign(_run_until_killed, tmp_path / "work", tmp_path / "sign")
    (row,) = runs(store, "crops")
    assert (row["status"], row["metrics"]) == ("RUNNING", {"train_loss": 999.0})
    assert len(store.client.get_metric_history(row["run_id"], "train_loss")) == 1000


def test_runs_are_listed_of_one_experiment_or_of_all(store):
    for name, experiment in (("one", "a"), ("two", "b")):
        TrackedRun.start(store, experiment=experiment, name=name, tags={"decision": "kept"}).finish()
    assert {r["name"] for r in runs(store)} == {"one", "two"}
    (row,) = runs(store, "a")
    assert (row["name"], row["decision"]) == ("one", "kept")
    assert row["started"].endswith("+00:00")


def test_an_unknown_experiment_is_told_with_the_nearest(store):
    store.experiment("crops")
    with pytest.raises(UserError, match=r"no experiment 'corps' in .* \(did you mean 'crops'\?\)"):
        runs(store, "corps")
