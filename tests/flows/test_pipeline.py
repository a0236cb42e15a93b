"""The flow, whole: real runs through Prefect and MLflow, from a file to what the registry says afterwards."""

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.exceptions import ParameterTypeError
from prefect.utilities.callables import parameter_schema

from flows.cli.pages.run import summary
from flows.pipeline import linreg_flow, parameters, run_flow
from flows.tracking import registry
from flows.tracking.stores.store import open_store
from linreg import config_file
from linreg.ingest.dataset import read_dataset
from linreg.least_squares.inference import infer
from linreg.training.fit import fit
from tests.support.flows import OPTIMUM, TARGETS, WEAK, crops, crops_table, flow_runs


def snapshot(store, outcome):
    """An outcome, and what the store holds right after it."""
    versions = {v.version: v.aliases for v in registry.versions(store, "crop-yield")}
    records = registry.history(store, "crop-yield")
    again = registry.seen_again(registry.lookup(store, f"crop-yield/{outcome.version}"))
    listed = len(registry.runs(store))
    return SimpleNamespace(outcome=outcome, versions=versions, records=records, runs=listed, again=again)


FIRST, BETTER = crops(train=WEAK), crops(train=OPTIMUM)
NIGHTS = {
    "first": FIRST,
    "better": BETTER,
    "worse": crops(train={**WEAK, "trainer": "builtin", "epochs": 40}),
    "equal": crops(train={**OPTIMUM, "seed": 1}),
    "again": BETTER,
}


@pytest.fixture(scope="module")
def nights(prefect_api, module_store):  # noqa: ARG001 - the flows find the server
    """Five nights of one model, a rollback by hand, and a night after it."""
    out = {name: snapshot(module_store, run_flow(config)) for name, config in NIGHTS.items()}
    registry.rollback(module_store, "crop-yield", why="by hand")
    return out | {"after rollback": snapshot(module_store, run_flow(BETTER))}


@pytest.fixture
def first(nights):
    """The first night's outcome, with its store open."""
    return SimpleNamespace(outcome=nights["first"].outcome, store=open_store(create=False))


def mlflow_run(first):
    return first.store.client.get_run(first.outcome.run_id)


@pytest.mark.parametrize(
    ("night", "decision", "aliases", "moves", "words"),
    [
        ("first", "promoted", [("champion",)], [(None, 1)], "the first version"),
        ("better", "promoted", [(), ("champion",)], [(None, 1), (1, 2)], "judged on 15 training rows"),
        ("worse", "kept", [(), ("champion",), ("challenger",)], [(None, 1), (1, 2)], "times the loss"),
        ("equal", "kept", [(), ("champion",), (), ("challenger",)], [(None, 1), (1, 2)], "equally good"),
    ],
)
def test_the_first_and_a_better_version_take_over_others_challenge(nights, night, decision, aliases, moves, words):
    outcome, records = nights[night].outcome, nights[night].records
    assert (outcome.decision, outcome.version, outcome.aliases) == (decision, len(aliases), aliases[-1])
    assert nights[night].versions == dict(enumerate(aliases, start=1))
    assert [(r["from"], r["to"]) for r in records] == moves
    assert records[0]["flow_run_id"] == nights["first"].outcome.flow_run_id
    assert words in outcome.reason


def test_a_version_is_judged_beside_the_champion_and_the_mean(nights):
    first, better, worse = (nights[night].outcome for night in ("first", "better", "worse"))
    assert better.metrics["baseline.champion.test_mse"] == first.metrics["test_mse"]
    assert "the mean" not in better.reason
    assert worse.metrics["test_rmse"] > worse.metrics["baseline.mean.test_rmse"]
    assert worse.reason.endswith("; worse than always saying the mean")


@pytest.mark.parametrize(("night", "before"), [("again", "equal"), ("after rollback", None)])
def test_an_unchanged_run_reads_nothing_and_moves_nothing(nights, night, before):
    then, now = nights["better"].outcome, nights[night]
    assert now.outcome.decision == "unchanged"
    assert now.runs == nights["equal"].runs == 4
    assert now.outcome.data == {**then.data, "read": 0}
    same = ("run_id", "model", "version", "trainer", "epochs", "metrics")
    assert {n: getattr(now.outcome, n) for n in same} == {n: getattr(then, n) for n in same}
    assert now.again.flow_run_id == now.outcome.flow_run_id
    assert now.again.times == (1 if before else 2)
    if before:
        assert (now.versions, now.records) == (nights[before].versions, nights[before].records)
        assert now.outcome.aliases == ("champion",)
    else:
        assert now.versions[1] == ("champion",)
        assert now.records[-1]["action"] == "rollback"
        assert "champion" not in now.outcome.aliases


def test_params_hold_the_whole_config_and_its_artifact_reads_back_to_the_same(first, tmp_path):
    assert set(mlflow_run(first).data.params) == set(FIRST.flat())
    path = first.store.client.download_artifacts(first.outcome.run_id, "config.toml", str(tmp_path))
    assert config_file.load(path) == FIRST


def test_every_epoch_is_logged_as_the_library_computes_it(first):
    fitted = fit(read_dataset(FIRST.data, dtype="float32").train, FIRST.train)
    for name, expected in {"train_loss": fitted.train_loss, "excess_loss": fitted.excess_loss}.items():
        history = sorted(first.store.client.get_metric_history(first.outcome.run_id, name), key=lambda m: m.step)
        assert [m.step for m in history] == list(range(FIRST.train.epochs + 1))
        np.testing.assert_allclose([m.value for m in history], expected, rtol=1e-12)
    assert first.outcome.metrics["train_loss"] == pytest.approx(fitted.train_loss[-1], rel=1e-12)


def test_metrics_are_those_of_the_registered_model_and_linked_to_it(first):
    data = pd.read_csv("data/crops-15.csv")
    predicted = mlflow.pyfunc.load_model("models:/crop-yield/1").predict(data)
    assert list(predicted.columns) == TARGETS
    error = predicted.to_numpy() - data[TARGETS].to_numpy()
    metrics = first.outcome.metrics
    assert metrics["test_mse"] == pytest.approx((error**2).mean(), rel=1e-9)
    assert metrics["test_rmse.oranges"] == pytest.approx(np.sqrt((error[:, 1] ** 2).mean()), rel=1e-9)
    assert metrics["test_mae.apples"] == pytest.approx(np.abs(error[:, 0]).mean(), rel=1e-9)
    assert metrics["train_loss"] == pytest.approx(metrics["test_mse"], rel=1e-6)
    run = mlflow_run(first)
    (output,) = run.outputs.model_outputs
    logged = first.store.client.get_logged_model(output.model_id)
    assert {m.key: m.value for m in logged.metrics} == metrics
    assert run.data.metrics == metrics


def test_metrics_hold_what_the_contract_names(nights):
    names = {"train_loss", "excess_loss"}
    for measure in ("mse", "rmse", "mae", "r2"):
        names |= {f"test_{measure}", f"test_{measure}.apples", f"test_{measure}.oranges"}
    for night in nights.values():
        assert names <= set(night.outcome.metrics)


def inference_of(first, run_id, tmp_path):
    """What a run's artifact says, and its tag."""
    path = first.store.client.download_artifacts(run_id, "inference.json", str(tmp_path))
    return json.loads(Path(path).read_text()), first.store.client.get_run(run_id).data.tags["inference"]


def test_a_run_far_from_the_optimum_says_why_there_are_no_intervals(first, tmp_path):
    inference, tag = inference_of(first, first.outcome.run_id, tmp_path)
    assert inference["inference"] == tag
    assert "standard errors from the optimum" in tag
    names = {name.partition(".")[0] for name in first.outcome.metrics}
    assert {"train_r2", "variance_inflation"} <= names
    assert not {"aic", "f_statistic", "residual_standard_error"} & names


def test_a_run_at_the_optimum_logs_its_inference_with_run_and_version(first, nights, tmp_path):
    outcome = nights["better"].outcome
    inference, tag = inference_of(first, outcome.run_id, tmp_path)
    assert inference["inference"] == tag == "valid"
    logged = first.store.client.get_run(outcome.run_id).data.metrics
    for target in TARGETS:
        quality = inference["targets"][target]
        for name in ("residual_standard_error", "f_statistic", "f_p_value", "aic", "bic"):
            assert logged[f"{name}.{target}"] == outcome.metrics[f"{name}.{target}"] == quality[name]
        assert logged[f"train_adjusted_r2.{target}"] == quality["adjusted_r2"]
    contents = registry.contents(first.store, registry.lookup(first.store, "crop-yield/2"))
    assert contents.inference.to_json() == inference
    assert (contents.moments.rows, contents.moments.targets) == (15, tuple(TARGETS))
    assert infer(contents.model, contents.moments) == contents.inference


def test_tags_and_names_lead_from_mlflow_to_prefect_and_back(first):
    run = mlflow_run(first)
    tags = run.data.tags
    assert run.info.status == "FINISHED"
    assert tags["flow_run_id"] == first.outcome.flow_run_id
    assert (tags["decision"], tags["reason"]) == ("promoted", first.outcome.reason)
    assert tags["mlflow.note.content"] == f"**promoted**: {first.outcome.reason}"
    assert first.store.client.get_model_version("crop-yield", "1").description == first.outcome.reason
    assert tags["trainer"] == "manual"
    assert [entry.dataset.digest for entry in run.inputs.dataset_inputs] == [first.outcome.data["digest"]]
    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(first.outcome.flow_run_id)
    assert flow_run.state.is_completed()
    for name in (flow_run.name, run.info.run_name):
        assert name.startswith("crop-yield 20")
    assert datetime.now(UTC).strftime("%Y-%m-") in flow_run.name
    tasks = [("evaluate", 1), ("ingest", 1), ("register", 1), ("train", 1)]
    assert flow_runs(first.outcome.flow_run_id) == tasks


def test_a_rate_that_was_found_and_why_stand_on_the_page_in_a_tag_and_in_the_plan(work):  # noqa: ARG001
    train = {"trainer": "auto", "learning_rate": "auto", "standardize": True, "epochs": 1000}
    config = crops(train=train, model="found")
    outcome = run_flow(config)
    fitted = fit(read_dataset(config.data).train, config.train)
    assert outcome.rate == fitted.rate
    assert fitted.rate in " ".join(summary(outcome, "crops.toml").split())
    tags = open_store(create=False).client.get_run(outcome.run_id).data.tags
    assert (tags["learning_rate"], tags["stopped"]) == (fitted.rate, "within 0.01 standard errors of the optimum")
    assert tags["inference"] == "valid"
    short = run_flow(crops(train={**train, "epochs": 3}, model="short"))
    assert (short.trainer, short.epochs) == ("exact", 0)
    assert "it would take" in summary(short, "crops.toml")


def test_the_summary_is_a_prefect_artifact_that_names_the_run(first):
    with get_client(sync_client=True) as client:
        artifacts = [a for a in client.read_artifacts() if str(a.flow_run_id) == first.outcome.flow_run_id]
    (artifact,) = artifacts
    assert "crop-yield: promoted" in artifact.data
    assert first.outcome.run_id in artifact.data


def failed_line(config):
    """Run a config that is refused; the line, which Prefect's state carries too, and the flow run's id."""
    state = linreg_flow(**parameters(config), return_state=True)
    assert state.is_failed()
    return state.message.splitlines()[0], str(state.state_details.flow_run_id)


def test_a_limit_of_the_gate_registers_nothing_and_keeps_the_model_in_the_run(work):  # noqa: ARG001
    outcome = run_flow(crops(gate={"max_rmse": {"*": 100.0, "apples": 1e-3}}))
    assert outcome.decision == "refused"
    assert (outcome.version, outcome.aliases) == (None, ())
    assert "gate.max_rmse.apples" in outcome.reason
    assert registry.versions(open_store(create=False)) == []
    run = open_store(create=False).client.get_run(outcome.run_id)
    assert run.info.status == "FINISHED"
    assert (run.data.tags["decision"], run.data.tags["reason"]) == ("refused", outcome.reason)
    model = mlflow.pyfunc.load_model(f"models:/{run.outputs.model_outputs[0].model_id}")
    assert model.predict(pd.read_csv("data/crops-15.csv")).shape == (15, 2)


def test_a_training_that_diverges_fails_its_run_with_the_line(work):  # noqa: ARG001
    line, flow_run_id = failed_line(crops(train={**WEAK, "learning_rate": 10.0, "batch_size": 4}))
    assert "training diverged" in line
    assert "learning_rate" in line
    (run,) = registry.runs(open_store(create=False))
    assert run["status"] == "FAILED"
    assert run["decision"] is None
    tags = open_store(create=False).client.get_run(run["run_id"]).data.tags
    assert tags["error"] == line
    assert registry.versions(open_store(create=False)) == []
    assert flow_runs(flow_run_id) == [("ingest", 1), ("train", 1)]


def test_bad_data_fails_the_flow_run_with_the_line_and_is_not_retried(work):
    (work / "data" / "crops-15.csv").write_text("temp,rainfall,humidity,apples,oranges\n1,2,3,4,5\n1,two,3,4,5\n")
    line, flow_run_id = failed_line(crops())
    assert "line 3" in line
    assert "rainfall" in line
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(flow_run_id).state
    assert (state.type.value, state.name, state.message) == ("FAILED", "Refused input", line)
    assert flow_runs(flow_run_id) == [("ingest", 1)]
    assert registry.runs(open_store(create=False)) == []
    assert registry.versions(open_store(create=False)) == []


def test_the_form_shows_every_key_of_the_config():
    schema = parameter_schema(linreg_flow)
    assert set(schema.properties) == {"model", "data", "experiment", "train", "gate", "drift", "engine"}
    assert set(schema.required) == {"model", "data"}
    keys = {name: f"{name.title()}Config" for name in ("data", "train", "gate", "drift", "engine")}
    shown = {f"{name}.{key}" for name, record in keys.items() for key in schema.definitions[record]["properties"]}
    assert shown == {key for key in crops().flat() if "." in key}
    assert set(schema.definitions["DataConfig"]["required"]) == {"path"}


WRONG = [
    ({"train": {"epochs": -1}}, "train.epochs must be at least 1"),
    ({"train": {"epochs": "many"}}, "valid integer"),
    ({"train": {"epoch": 5}}, "epoch"),
    ({"data": {"columns": ["a"]}}, "columns"),
    ({"train": {"trainer": "magic"}}, "'auto', 'manual'"),
]


def test_a_wrong_parameter_is_refused_before_anything_begins(work):  # noqa: ARG001
    for sections, words in WRONG:
        with pytest.raises(ParameterTypeError, match=words):
            linreg_flow.validate_parameters(crops_table(**sections))
    state = linreg_flow(**crops_table(**sections), return_state=True)
    assert state.is_failed()
    assert words in state.message
    assert flow_runs(str(state.state_details.flow_run_id)) == []
    assert registry.runs(open_store(create=False)) == []
