"""Drift in real runs: what is compared, what is told, what stops; in MLflow, in Prefect and on the page."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tomli_w
from prefect.client.orchestration import get_client
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter

from flows.pipeline import run_flow
from flows.results.outcome import Outcome
from flows.steps.drift import compare
from flows.steps.ingest import ingest
from flows.sweep_pipeline import run_sweep
from flows.tracking import registry
from linreg.config_file import from_dict
from linreg.files import partitions
from linreg.ingest.dataset import read_dataset
from tests.support.command import linreg
from tests.support.flows import flow_runs
from tests.support.processes import wait_for


def night(number: int, **moved: float) -> None:
    """A file of 300 rows of the folder ``nights``; a column is moved by so many of its spreads."""
    rng = np.random.default_rng(number)
    a, b = rng.normal(20, 5, 300) + 5 * moved.get("a", 0), rng.normal(size=300)
    y = a + 2 * b + rng.normal(size=300) + moved.get("y", 0)
    Path("nights").mkdir(exist_ok=True)
    pd.DataFrame({"a": a, "b": b, "y": y}).to_csv(f"nights/{number:03d}.csv", index=False)


def table(name: str = "nightly", **sections: object) -> dict[str, object]:
    data = {"path": "nights", "features": ["a", "b"], "targets": ["y"], "test_fraction": 0.2}
    train = {"trainer": "exact", "dtype": "float64", "device": "cpu"}
    return {"model": name, "experiment": name, "data": data, "train": train, **sections}


CONFIG, STRICT = from_dict(table()), from_dict(table(drift={"stop": {"mean": 15.0}}))


@pytest.fixture(scope="module")
def nights(prefect_api, module_store):  # noqa: ARG001 - the flows find the server
    """Four nights: the first, one like it, one that drifts, and that one where drift stops."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitions, "_SETTLED", -1)
        for number in range(3):
            night(number)
        outcomes = {"first": run_flow(CONFIG)}
        night(3)
        outcomes["alike"] = run_flow(CONFIG)
        night(4, a=1.5, y=3.0)
        outcomes["stopped"] = run_flow(STRICT)
        outcomes["swept"] = run_sweep(STRICT, {"train.seed": [0, 1]})
        outcomes["drifted"] = run_flow(CONFIG)
        tags, documents = {}, {}
        for name, outcome in outcomes.items():
            tags[name] = module_store.client.get_run(outcome.run_id).data.tags
            if name != "first":
                path = module_store.client.download_artifacts(outcome.run_id, "drift.json")
                documents[name] = json.loads(Path(path).read_text())
        yield SimpleNamespace(of=outcomes, tags=tags, documents=documents, store=module_store)


def test_the_first_night_has_nothing_to_compare_with(nights):
    assert "drift" not in nights.tags["first"]
    assert flow_runs(nights.of["first"].flow_run_id) == [(n, 1) for n in ("evaluate", "ingest", "register", "train")]


def test_a_night_like_the_others_is_told_as_such(nights):
    outcome = nights.of["alike"]
    assert nights.tags["alike"]["drift"] == "none"
    assert "drift: 1 new file is like what version 1 learned from, within drift.warn" in outcome.notes
    assert 0 < outcome.metrics["drift.mean"] < 6
    assert ("drift", 1) in flow_runs(outcome.flow_run_id)


def test_what_moved_is_measured_against_the_rows_themselves(nights):
    """The unit is the row: fewer than 30 files are known."""
    findings = nights.documents["drifted"]["findings"]["mean"]
    (of_a,) = [f for f in findings if f["columns"] == ["a"] and f["partition"] == "004.csv"]
    champion = registry.champion(nights.store, "nightly").version
    assert nights.documents["drifted"]["champion"] == champion
    parts = read_dataset(CONFIG.data).train.partitions()  # by the split itself
    names = sorted(p.name for p in Path("nights").iterdir())
    values = {name: part.select(["a"])[:, 0] for name, part in zip(names, parts, strict=True)}
    known = np.concatenate([values[f"{i:03d}.csv"] for i in range(3 if champion == 1 else 4)])
    new = values["004.csv"]
    error = known.std(ddof=1) * np.sqrt(1 / len(new) + 1 / len(known))
    assert of_a["value"] == pytest.approx((new.mean() - known.mean()) / error, rel=1e-6)
    assert (of_a["was"], of_a["now"]) == (pytest.approx(known.mean()), pytest.approx(new.mean()))


def test_a_drift_is_warned_of_and_the_night_goes_on(nights):
    outcome = nights.of["drifted"]
    assert outcome.decision in ("promoted", "kept")
    assert nights.tags["drifted"]["drift"] == "warn"
    assert "mean of a is" in nights.tags["drifted"]["drift.why"]
    assert any(n.startswith("drift: mean of a is ") and "above drift.warn.mean 6" in n for n in outcome.notes)
    version = registry.lookup(nights.store, f"nightly/{outcome.version}")
    assert version.metrics["drift.mean"] == outcome.metrics["drift.mean"] > 15


@pytest.mark.parametrize("name", ["stopped", "swept"])
def test_a_stop_refuses_before_anything_is_trained_or_registered(nights, name):
    outcome = nights.of[name]
    assert (outcome.decision, outcome.version, outcome.epochs) == ("refused", None, 0)
    assert outcome.reason.startswith("the data moved away from what version ")
    assert "above drift.stop.mean 15" in outcome.reason
    assert (nights.tags[name]["drift"], nights.tags[name]["decision"]) == ("stop", "refused")
    assert flow_runs(outcome.flow_run_id) == [("drift", 1), ("ingest", 1)]
    assert set(outcome.metrics) <= {f"drift.{m}" for m in ("mean", "spread", "correlation", "bias", "error", "range")}
    run = nights.store.client.get_run(outcome.run_id)
    assert (run.info.status, run.outputs.model_outputs) == ("FINISHED", [])
    assert run.data.metrics["drift.mean"] == outcome.metrics["drift.mean"]
    assert [v.version for v in registry.versions(nights.store, "nightly")] == [3, 2, 1]
    assert outcome.to_json()["data"]["rows"] == 1500


def test_the_table_is_an_artifact_and_the_drift_an_event(nights):
    outcome = nights.of["stopped"]
    with get_client(sync_client=True) as client:
        artifacts = [a for a in client.read_artifacts() if str(a.flow_run_id) == outcome.flow_run_id]
    (table,) = [a for a in artifacts if a.key == "linreg-nightly-drift"]
    rows = json.loads(table.data)
    assert (rows[0]["measure"], rows[0]["limit passed"]) == ("mean", "stop")
    assert "mean of a is" in table.description
    event = event_of("linreg.drift.stopped", outcome)
    assert event["resource"]["prefect.resource.id"] == "linreg.model.nightly"
    assert event["payload"]["run_id"] == outcome.run_id
    warned = event_of("linreg.drift.warned", nights.of["drifted"])
    assert warned["payload"]["worst"]["drift.mean"] == nights.of["drifted"].metrics["drift.mean"]


def event_of(name: str, outcome: Outcome) -> dict:
    """The run's event of that name, as the server has it: it is written some time after the run's end."""

    def arrived() -> list[dict]:
        wanted = EventFilter(event=EventNameFilter(name=[name]), occurred=EventOccurredFilter())
        with get_client(sync_client=True) as client:
            answer = client.request("POST", "/events/filter", json={"filter": wanted.model_dump(mode="json")})
        return [e for e in answer.json()["events"] if e["payload"]["run_id"] == outcome.run_id]

    (event,) = wait_for(arrived)
    return event


def test_a_stop_is_told_on_the_page_and_in_the_list(nights):  # noqa: ARG001 - in their folder
    Path("strict.toml").write_text(tomli_w.dumps(table(drift={"stop": {"mean": 15.0}})))
    night(5, a=3)
    page = linreg("run", "strict.toml").out
    assert "nightly: refused" in page
    assert "trained       nothing" in page
    assert "above drift.stop.mean 15" in page
    assert "Root mean squared error" not in page
    assert "no model was trained" in linreg("sweep", "strict.toml", "--grid", "train.seed=0,1").out
    listed = linreg("runs", "nightly").out
    assert ": refused: the data moved away from" in listed
    assert [(" refused " in line, line.endswith(" stop")) for line in listed.splitlines()[1:3]] == [(True, True)] * 2
    Path("nights/005.csv").unlink()


def test_a_champion_without_a_lineage_is_not_compared_with(nights):
    night(6)
    run_input = ingest(CONFIG, nights.store)
    assert compare(CONFIG.drift, run_input).drift is not None
    without_lineage = replace(run_input, champion=replace(run_input.champion, lineage=None))
    report = compare(CONFIG.drift, without_lineage)
    assert (report.verdict, report.lines, report.metrics) == ("not compared", (), {})
    assert report.notes == ("drift: not compared: " + report.why_not,)
    assert "kept no record of its rows" in report.why_not
    Path("nights/006.csv").unlink()


def test_a_file_under_another_name_is_not_new(nights):
    night(7)
    before = compare(CONFIG.drift, ingest(CONFIG, nights.store))
    Path("nights/000.csv").rename("nights/renamed.csv")
    after = compare(CONFIG.drift, ingest(CONFIG, nights.store))
    Path("nights/renamed.csv").rename("nights/000.csv")
    Path("nights/007.csv").unlink()
    assert after.drift.new == before.drift.new >= 1
    assert {f.partition for f in after.drift.findings["mean"]} == {f.partition for f in before.drift.findings["mean"]}
