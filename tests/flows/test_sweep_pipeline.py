"""Sweeps, whole: through the command line, Prefect and MLflow, from a grid to what the registry says afterwards."""

import csv
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
from prefect.utilities.callables import parameter_schema

from flows.pipeline import parameters
from flows.steps.rank import sweep_key
from flows.sweep_pipeline import linreg_sweep_flow, run_sweep
from flows.tracking import registry
from flows.tracking.stores.store import open_store
from linreg import config_file
from linreg.config import TrainConfig
from linreg.ingest.dataset import read_dataset
from linreg.ingest.records import record_dataset
from linreg.least_squares.validity import selection_words
from linreg.moments.training_record import record_rows
from linreg.selection.folds import FOLDS, enough
from linreg.selection.grid import members
from linreg.selection.ranking import Loss, fold_pairs, kfold_losses
from linreg.training.fit import fit
from tests.support.command import RUN_KEYS, document, error, linreg, write_config
from tests.support.flows import PICTURES, crops, flow_runs, noisy, noisy_config
from tests.support.processes import run
from tests.support.tables import record_with_gaps

ROW_KEYS = {"run_id", "name", "status", "values", "ranked_by", "loss", "standard_error", "epochs", "metrics", "error"}
GRAM = {"trainer": "gram", "epochs": 30, "standardize": True, "dtype": "float64", "device": "cpu"}
GRID = {"train.learning_rate": [0.02, 0.3, 5.0], "train.weight_decay": [0.0, 0.1]}
FLAGS = ["--grid", "train.learning_rate=0.02,0.3,5", "--grid", "train.weight_decay=0,0.1"]
OTHER = ["--grid", "train.weight_decay=0,0.2", "--set", "train.learning_rate=0.3"]  # the same best model


def state():
    """What the store of this folder holds."""
    store = open_store(create=False)
    versions = {v.version: v.aliases for v in registry.versions(store)} if registry.runs(store) else {}
    return SimpleNamespace(runs=registry.runs(store), versions=versions)


@pytest.fixture(scope="module")
def swept(prefect_api, module_store):  # noqa: ARG001 - the flows find the server, in a store of theirs
    """A sweep, the same again, a run of its best model, another sweep with the same best model, and that one again."""
    write_config(train=GRAM)
    commands = {
        "first": ["sweep", "crops.toml", *FLAGS],
        "again": ["sweep", "crops.toml", *FLAGS],
        "run": ["run", "crops.toml", "--set", "train.learning_rate=0.3"],
        "other": ["sweep", "crops.toml", *OTHER],
        "other again": ["sweep", "crops.toml", *OTHER],
    }
    out = {name: SimpleNamespace(document=document(*args), after=state()) for name, args in commands.items()}
    return out | {"text": linreg("sweep", "crops.toml", *FLAGS)}


@pytest.fixture
def first(swept):
    """The first sweep's document and runs, with its store open."""
    sweep, store = swept["first"].document, open_store(create=False)
    best = min((row for row in sweep["runs"] if row["loss"] is not None), key=lambda row: row["loss"])
    parent = store.client.get_run(store.client.get_run(best["run_id"]).data.tags["mlflow.parentRunId"])
    return SimpleNamespace(document=sweep, rows=sweep["runs"], best=best, parent=parent, store=store)


def models():
    return [m.config for m in members(crops(train=GRAM), GRID)]


def test_the_document_is_a_runs_with_a_row_for_each_model_in_the_grids_order(swept):
    for name in ("first", "again", "other", "other again"):
        assert set(swept[name].document) == RUN_KEYS | {"runs"}
    rows = swept["first"].document["runs"]
    assert all(set(row) == ROW_KEYS for row in rows)
    assert [tuple(row["values"].values()) for row in rows] == [(r, w) for r in (0.02, 0.3, 5.0) for w in (0.0, 0.1)]
    assert [row["name"] for row in rows[:2]] == [f"learning_rate=0.02 weight_decay={w}" for w in (0.0, 0.1)]
    assert [row["status"] for row in rows] == ["FINISHED"] * 4 + ["FAILED"] * 2


def test_the_best_model_is_the_one_with_the_smallest_k_fold_loss_and_goes_through_the_gate(first):
    sweep = first.document
    data = record_dataset(crops().data, dtype="float64", folds=FOLDS)
    expected = kfold_losses(fold_pairs(enough(data.folds)), [c.train for c in models()][:4])
    assert [row["loss"] for row in first.rows[:4]] == [loss.value for loss in expected if isinstance(loss, Loss)]
    assert {row["ranked_by"] for row in first.rows} == {"5-fold loss"}
    assert first.best["values"] == {"train.learning_rate": 0.3, "train.weight_decay": 0.0}
    assert (sweep["decision"], sweep["model"]["version"], sweep["model"]["aliases"]) == ("promoted", 1, ["champion"])
    assert sweep["run_id"] == first.best["run_id"] == registry.lookup(first.store, "crop-yield/1").run_id
    alone = fit(data.dataset.train, models()[2].train)
    assert sweep["metrics"]["train_loss"] == alone.train_loss[-1]
    assert (sweep["trainer"], sweep["epochs"]) == ("gram", 30)


def test_each_model_has_a_nested_run_with_its_params_and_its_whole_curve(first):
    data = record_dataset(crops().data, dtype="float64").dataset
    for row, config in zip(first.rows, models(), strict=True):
        run = first.store.client.get_run(row["run_id"])
        assert run.data.tags["mlflow.parentRunId"] == first.parent.info.run_id
        assert (run.info.run_name, run.info.status) == (row["name"], row["status"])
        assert set(run.data.params) == set(config.flat())
        assert run.data.params["train.learning_rate"] == str(config.train.learning_rate)
        assert run.data.tags["flow_run_id"] == first.document["flow_run_id"]
        if row["status"] == "FINISHED":
            history = first.store.client.get_metric_history(row["run_id"], "train_loss")
            values = [m.value for m in sorted(history, key=lambda m: m.step)]
            assert values == fit(data.train, config.train).train_loss
            assert run.data.metrics == row["metrics"]
            assert row["metrics"]["kfold_mse"] == row["loss"]
            assert row["metrics"]["kfold_standard_error"] == row["standard_error"]
            assert row["epochs"] == 30


def test_a_model_whose_rate_cannot_converge_has_a_failed_run_with_the_line(first):
    for row in first.rows[4:]:
        assert "train.learning_rate 5 cannot converge" in row["error"]
        assert (row["loss"], row["standard_error"], row["epochs"], row["metrics"]) == (None, None, None, {})
        run = first.store.client.get_run(row["run_id"])
        assert (run.info.status, run.data.tags["error"]) == ("FAILED", row["error"])


def test_the_best_models_run_is_an_ordinary_one_and_the_others_never_saw_the_judged_rows(first, tmp_path):
    client = first.store.client
    names = {f.path for f in client.list_artifacts(first.best["run_id"])}
    assert {"config.toml", "inference.json"} <= names
    assert client.get_run(first.best["run_id"]).data.tags["decision"] == "promoted"
    path = client.download_artifacts(first.best["run_id"], "config.toml", str(tmp_path))
    assert config_file.load(path) == models()[2]
    frame = pd.read_csv("data/crops-15.csv")
    predicted = mlflow.pyfunc.load_model("models:/crop-yield@champion").predict(frame)
    error = predicted.to_numpy() - frame[["apples", "oranges"]].to_numpy()
    assert first.document["metrics"]["test_mse"] == pytest.approx((error**2).mean(), rel=1e-9)
    for row in first.rows:
        judged = [name for name in row["metrics"] if "test_" in name]
        assert bool(judged) == (row is first.best)


def test_the_sweeps_own_run_holds_grid_table_and_picture(first, tmp_path):
    client, run = first.store.client, first.parent
    assert run.info.status == "FINISHED"
    assert run.info.run_name.startswith("crop-yield sweep 20")
    assert run.data.params["train.learning_rate"] == "0.02, 0.3, 5.0"
    assert run.data.tags["ranked_by"] == "5-fold loss on 15 training rows"
    assert (run.data.tags["decision"], run.data.tags["best_run_id"]) == ("promoted", first.best["run_id"])
    assert run.data.metrics == {"best_loss": first.best["loss"], "failed_models": 2.0}
    files = {n: client.download_artifacts(run.info.run_id, n, str(tmp_path)) for n in ("sweep.json", "sweep.csv")}
    assert json.loads(Path(files["sweep.json"]).read_text())["runs"] == first.rows
    table = list(csv.DictReader(io.StringIO(Path(files["sweep.csv"]).read_text())))
    assert [float(row["loss"]) if row["loss"] else None for row in table] == [row["loss"] for row in first.rows]
    assert [row["run_id"] for row in table] == [row["run_id"] for row in first.rows]
    assert json.loads(Path(client.download_artifacts(run.info.run_id, "grid.json", str(tmp_path))).read_text()) == GRID
    (entry,) = run.inputs.dataset_inputs
    assert entry.dataset.digest == first.document["data"]["digest"]


def test_the_sweeps_picture_and_the_best_runs_are_drawn(work, pictures, tmp_path):  # noqa: ARG001 - they are drawn
    outcome = run_sweep(crops(train=GRAM), {"train.learning_rate": [0.1, 0.3]})
    client = open_store(create=False).client
    parent = client.get_run(outcome.run_id).data.tags["mlflow.parentRunId"]
    for run_id, names in ((parent, ("sweep.png",)), (outcome.run_id, PICTURES)):
        for name in names:
            with open(client.download_artifacts(run_id, name, str(tmp_path)), "rb") as f:
                assert f.read(8) == b"\x89PNG\r\n\x1a\n"


def test_the_steps_are_tasks_of_one_flow_run(first):
    tasks = [(name, 1) for name in ("evaluate", "ingest", "rank", "register", "train")]
    assert flow_runs(first.document["flow_run_id"]) == tasks


def test_a_chosen_model_is_given_no_intervals(first):
    contents = registry.contents(first.store, registry.lookup(first.store, "crop-yield/1"))
    assert "chosen among 6 models by 5-fold loss on 15 training rows" in contents.inference.inference


@pytest.mark.parametrize(("before", "again"), [("first", "again"), ("other", "other again")])
def test_the_same_sweep_again_is_unchanged_reads_nothing_and_makes_no_run(swept, before, again):
    then, now = swept[before], swept[again]
    assert now.document["decision"] == "unchanged"
    assert now.document["data"] == {**then.document["data"], "read": 0}
    assert now.document["runs"] == then.document["runs"]
    assert (now.after.runs, now.after.versions) == (then.after.runs, then.after.versions)
    same = ("run_id", "model", "trainer", "device", "epochs", "metrics", "experiment")
    assert {n: now.document[n] for n in same} == {n: then.document[n] for n in same}


def test_a_run_of_the_best_config_is_unchanged(swept):
    then, now = swept["first"].document, swept["run"]
    assert (now.document["decision"], now.document["run_id"]) == ("unchanged", then["run_id"])
    assert now.after.versions == {1: ("champion",)}


def test_a_sweep_whose_best_model_is_registered_makes_no_second_version(swept):
    then, now = swept["run"], swept["other"]
    assert now.document["decision"] == "unchanged"
    assert now.document["run_id"] == swept["first"].document["run_id"]
    assert "the best model is version 1, registered already" in now.document["reason"]
    assert now.after.versions == {1: ("champion",)}
    assert len(now.after.runs) == len(then.after.runs) + 3
    assert [row["status"] for row in now.document["runs"]] == ["FINISHED", "FINISHED"]
    assert now.document["data"]["read"] == 1


def test_the_page_shows_the_models_best_first_the_failures_and_the_runs_summary(swept):
    text = swept["text"].out
    assert text.startswith("6 models, best first by 5-fold loss on 15 training rows\n")
    assert text.count("failed: learning_rate=5.0") == 2
    assert "crop-yield version 1 (@champion): unchanged" in text
    assert "exact least squares" in text


def test_the_key_of_a_sweep_hangs_on_the_models_their_order_and_the_way_of_ranking():
    keys = {sweep_key(k, by) for k in (["a", "b"], ["b", "a"], ["a"]) for by in ("validation", "kfold")}
    assert len(keys) == 6


def test_what_the_gate_refuses_is_not_registered(work):  # noqa: ARG001
    outcome = run_sweep(crops(train=GRAM, gate={"max_rmse": 1e-3}), {"train.learning_rate": [0.1, 0.3]})
    assert (outcome.decision, outcome.version) == ("refused", None)
    assert "gate.max_rmse" in outcome.reason
    store = open_store(create=False)
    assert registry.versions(store) == []
    assert len(registry.runs(store)) == 3
    best = min(outcome.runs, key=lambda row: row.loss)
    run = store.client.get_run(best.run_id)
    assert run.data.tags["decision"] == "refused"
    assert run.outputs.model_outputs


def test_where_all_models_fail_the_sweep_fails_with_the_first_ones_line(work):  # noqa: ARG001
    write_config(train=GRAM)
    line = error("sweep", "crops.toml", "--grid", "train.learning_rate=6,7")
    assert "train.learning_rate 6 cannot converge" in line
    store = open_store(create=False)
    *nested, parent = registry.runs(store)
    assert [r["status"] for r in (*nested, parent)] == ["FAILED"] * 3
    tags = store.client.get_run(parent["run_id"]).data.tags
    assert f"error: {tags['error']}" == line
    assert {store.client.get_run(r["run_id"]).data.tags["mlflow.parentRunId"] for r in nested} == {parent["run_id"]}
    assert registry.versions(store) == []


def test_mini_batches_are_ranked_on_validation_rows_and_one_that_diverges_stops_no_other(work):
    noisy(work / "noisy.csv", rows=300)
    train = TrainConfig(trainer="builtin", batch_size=16, epochs=4, device="cpu", patience=2)
    config = noisy_config(train=train, test_fraction=0.3, validation_fraction=0.3)
    grid = {"train.learning_rate": [0.001, 40.0, 0.05], "train.seed": [0, 1]}
    outcome = run_sweep(config, grid)
    rows = read_dataset(config.data)
    validation = record_with_gaps(rows.validation).filled(record_rows(rows.train).fill_F)
    for row, member in zip(outcome.runs, members(config, grid), strict=True):
        if row.values["train.learning_rate"] == 40.0:
            assert (row.status, row.loss) == ("FAILED", None)
            assert "training diverged" in str(row.error)
            continue
        alone = fit(rows.train, member.config.train, validation=validation)
        x, y = rows.validation.arrays()
        assert row.loss == pytest.approx(((alone.model.predict(x) - y) ** 2).mean(), rel=1e-5)
        assert row.metrics["validation_mse"] == pytest.approx(row.loss, rel=1e-9)
        assert row.epochs == alone.epochs
    best = min((r for r in outcome.runs if r.loss is not None), key=lambda r: r.loss)
    assert best.values["train.learning_rate"] == 0.05
    assert outcome.run_id == best.run_id
    assert outcome.ranked_on == f"validation loss on {len(rows.validation)} validation rows"
    assert outcome.data["test_rows"] == len(rows.test)
    history = open_store(create=False).client.get_metric_history(best.run_id, "validation_loss")
    assert len(history) >= best.epochs + 1


def test_weights_gaps_l1_schedules_and_warm_starts_work_as_in_a_run(work):
    noisy(work / "noisy.csv", gaps=True)
    train = TrainConfig(trainer="gram", learning_rate=0.3, epochs=40, device="cpu")
    config = noisy_config(train=train, missing="mean", weight="w", validation_fraction=0.3)
    grid = {"train.l1": [0.0, 0.5, 500.0], "train.schedule": ["constant", "cosine"]}
    lasso = run_sweep(config, grid)
    assert lasso.decision == "promoted"
    rows = read_dataset(config.data)
    fill = record_rows(rows.train).fill_F
    x, y = rows.validation.arrays()
    x = np.where(np.isnan(x), fill, x)
    for row, member in zip(lasso.runs, members(config, grid), strict=True):
        model = fit(rows.train, member.config.train).model
        error = np.average(((model.predict(x) - y) ** 2)[:, 0], weights=rows.validation.weights())
        assert row.loss == pytest.approx(error, rel=1e-9)
    warm = replace(config, train=replace(config.train, warm_start="noisy/1", epochs=3))
    second = run_sweep(warm, {"train.learning_rate": [0.01, 0.3]})
    store = open_store(create=False)
    for row in second.runs:
        assert store.client.get_run(row.run_id).data.tags["start"] == "warm, from noisy/1"
    assert any("warm start from noisy/1" in line for line in second.notes)


def test_one_model_alone_is_no_choice():
    assert selection_words(1, "5-fold loss on 15 training rows") == ""


@pytest.mark.long
def test_a_sweeps_key_is_not_forgotten_with_another_sweep_and_its_lost_table_is_made_again(work):  # noqa: ARG001
    grids = [{"train.learning_rate": [0.1, 0.3]}, {"train.learning_rate": [0.2, 0.3]}]
    outcomes = [run_sweep(crops(train=GRAM), grid) for grid in grids]
    assert [o.decision for o in outcomes] == ["promoted", "unchanged"]
    store = open_store(create=False)
    count = len(registry.runs(store))
    assert run_sweep(crops(train=GRAM), grids[0]).runs == outcomes[0].runs
    assert len(registry.runs(store)) == count
    parent = store.client.get_run(outcomes[0].runs[0].run_id).data.tags["mlflow.parentRunId"]
    (Path(store.client.get_run(parent).info.artifact_uri.removeprefix("file://")) / "sweep.json").unlink()
    again = run_sweep(crops(train=GRAM), grids[0])
    assert (again.decision, again.data["read"]) == ("unchanged", 1)
    assert len(registry.runs(store)) == count + 3


BAD = {
    "no grid": ([], "--grid"),
    "unknown key": (["--grid", "train.learning_rat=1"], "did you mean 'learning_rate'"),
    "another section": (["--grid", "data.missing=error,drop"], "cannot be in a grid"),
    "empty": (["--grid", "train.seed="], "lacks a value"),
    "twice": (["--grid", "train.seed=1,2", "--grid", "train.seed=3"], "twice"),
    "in set too": (["--grid", "train.seed=1,2", "--set", "train.seed=3"], "--set and in --grid"),
    "too many": (["--grid", f"train.seed={','.join(map(str, range(1001)))}"], "1,001 models"),
    "cannot be": (["--grid", "train.l1=0,1", "--set", "train.momentum=0.5"], "train.l1 and train.momentum"),
    "no ranking": (["--grid", "train.seed=1,2", "--set", "train.batch_size=4"], "set data.validation_fraction"),
    "patience": (["--grid", "train.patience=1,2"], "validation_fraction"),
    "warm": (["--grid", "train.seed=1,2", "--set", "train.warm_start=m"], "rows of every fold"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_sweep_is_told_before_any_file_is_opened(folder, case):
    args, words = BAD[case]
    config = write_config(data={"path": "no-such-file.csv"}, train={"trainer": "auto", "learning_rate": 0.1})
    assert words in error("sweep", config, *args)
    assert not (folder / "mlruns").exists()


def test_a_bad_sweep_loads_no_prefect(folder):  # noqa: ARG001
    write_config()
    call = "main(['sweep', 'crops.toml', '--grid', 'train.seed=a'])"
    code = f"import sys; from flows.cli.main import main; {call}; sys.exit('prefect' in sys.modules)"
    process = run([sys.executable, "-c", code])
    assert (process.returncode, process.stderr) == (0, "error: train.seed must be a whole number, not 'a'\n")


def test_the_form_shows_the_grid_beside_every_key_of_the_config():
    schema = parameter_schema(linreg_sweep_flow)
    assert set(schema.properties) == {"model", "data", "grid", "experiment", "train", "gate", "drift", "engine"}
    assert set(schema.required) == {"model", "data", "grid"}


def test_a_grid_that_a_form_sends_is_checked_like_any_other(work):  # noqa: ARG001
    state = linreg_sweep_flow(**parameters(crops(train=GRAM)), grid={"train.learning_rat": [1]}, return_state=True)
    assert state.is_failed()
    assert "did you mean 'learning_rate'" in state.message
    assert registry.runs(open_store(create=False)) == []
