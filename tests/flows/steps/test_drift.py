"""Drift in real runs: what is compared, what is told, what stops; in MLflow, in Prefect and on the page."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tomli_w
from prefect.client.orchestration import get_client
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter

from flows.cli.main import main
from flows.pipeline import run_flow
from flows.results.outcome import Outcome, notes
from flows.steps.drift import compare
from flows.steps.ingest import ingest
from flows.sweep_pipeline import run_sweep
from flows.tracking import registry
from linreg.config_file import from_dict
from linreg.files import partitions
from tests.support.flows import crops, flow_runs, make_folder
from tests.support.processes import wait_for
from tests.support.tracked import new_store

# mlflow.pyfunc warns of its own types while it is first imported; nothing of ours is said by it
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")


def night(number: int, **moved: float) -> None:
    """A file of 300 rows of the folder ``nights``; a column is moved by so many of its spreads."""
    rng = np.random.default_rng(number)
    a, b = rng.normal(20, 5, 300) + 5 * moved.get("a", 0), rng.normal(size=300)
    y = a + 2 * b + rng.normal(size=300) + moved.get("y", 0)
    Path("nights").mkdir(exist_ok=True)
    pd.DataFrame({"a": a, "b": b, "y": y}).to_csv(f"nights/{number:03d}.csv", index=False)


def table(name: str = "nightly", **sections: object) -> dict[str, object]:
    data = {"path": "nights", "features": ["a", "b"], "targets": ["y"], "test_fraction": 0.2}
    how = {"trainer": "exact", "dtype": "float64", "device": "cpu"}
    return {"model": name, "experiment": name, "data": data, "train": how, **sections}


@pytest.fixture(scope="module")
def made(prefect_api, tmp_path_factory):  # noqa: ARG001 - the flows find the server
    """Four nights: the first, one like it, one that drifts, and that one where drift stops."""
    with pytest.MonkeyPatch.context() as patch:
        folder = make_folder(tmp_path_factory.mktemp("drift") / "work", patch)
        patch.setattr(partitions, "_SETTLED", -1)
        store = new_store(folder)
        config, strict = from_dict(table()), from_dict(table(drift={"stop": {"mean": 15.0}}))
        for number in range(3):
            night(number)
        out = {"first": run_flow(config)}
        night(3)
        out["alike"] = run_flow(config)
        night(4, a=1.5, y=3.0)
        out["stopped"] = run_flow(strict)
        out["swept"] = run_sweep(strict, {"train.seed": [0, 1]})
        out["drifted"] = run_flow(config)
        tags = {name: store.client.get_run(o.run_id).data.tags for name, o in out.items()}
        files = {n: store.client.download_artifacts(o.run_id, "drift.json") for n, o in out.items() if n != "first"}
        told = {name: json.loads(Path(path).read_text()) for name, path in files.items()}
    return SimpleNamespace(folder=folder, of=out, tags=tags, told=told, store=store)


def test_the_first_night_has_nothing_to_compare_with(made):
    assert "drift" not in made.tags["first"]
    assert flow_runs(made.of["first"].flow_run_id) == [(n, 1) for n in ("evaluate", "ingest", "register", "train")]


def test_a_night_like_the_others_is_told_as_such(made):
    outcome = made.of["alike"]
    assert made.tags["alike"]["drift"] == "none"
    assert "drift: 1 new file is like what version 1 learned from, within drift.warn" in outcome.notes
    assert 0 < outcome.metrics["drift.mean"] < 6
    assert ("drift", 1) in flow_runs(outcome.flow_run_id)


def test_what_moved_is_measured_against_the_rows_themselves(made):
    """The unit is the row: fewer than 30 files are known."""
    seen = made.told["drifted"]["findings"]["mean"]
    (of_a,) = [f for f in seen if f["columns"] == ["a"] and f["partition"] == "004.csv"]
    champion = registry.champion(made.store, "nightly").version
    assert made.told["drifted"]["champion"] == champion
    # the training rows of the files, by the split itself
    from linreg.ingest.dataset import read_dataset

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made.folder)
        parts = read_dataset(from_dict(table()).data).train.partitions()
        names = sorted(p.name for p in Path("nights").iterdir())
    values = {name: part.select(["a"])[:, 0] for name, part in zip(names, parts, strict=True)}
    then = np.concatenate([values[f"{i:03d}.csv"] for i in range(3 if champion == 1 else 4)])
    new = values["004.csv"]
    error = then.std(ddof=1) * np.sqrt(1 / len(new) + 1 / len(then))
    assert of_a["value"] == pytest.approx((new.mean() - then.mean()) / error, rel=1e-6)
    assert (of_a["was"], of_a["now"]) == (pytest.approx(then.mean()), pytest.approx(new.mean()))


def test_a_drift_is_warned_of_and_the_night_goes_on(made):
    outcome = made.of["drifted"]
    assert outcome.decision in ("promoted", "kept")
    assert made.tags["drifted"]["drift"] == "warn"
    assert "mean of a is" in made.tags["drifted"]["drift.why"]
    assert any(n.startswith("drift: mean of a is ") and "above drift.warn.mean 6" in n for n in outcome.notes)
    version = registry.lookup(made.store, f"nightly/{outcome.version}")
    assert version.metrics["drift.mean"] == outcome.metrics["drift.mean"] > 15


@pytest.mark.parametrize("name", ["stopped", "swept"])
def test_a_stop_refuses_before_anything_is_trained_or_registered(made, name):
    outcome = made.of[name]
    assert (outcome.decision, outcome.version, outcome.epochs) == ("refused", None, 0)
    assert outcome.reason.startswith("the data moved away from what version ")
    assert "above drift.stop.mean 15" in outcome.reason
    assert (made.tags[name]["drift"], made.tags[name]["decision"]) == ("stop", "refused")
    assert flow_runs(outcome.flow_run_id) == [("drift", 1), ("ingest", 1)]
    assert set(outcome.metrics) <= {f"drift.{m}" for m in ("mean", "spread", "correlation", "bias", "error", "range")}
    run = made.store.client.get_run(outcome.run_id)
    assert (run.info.status, run.outputs.model_outputs) == ("FINISHED", [])
    assert run.data.metrics["drift.mean"] == outcome.metrics["drift.mean"]
    assert [v.version for v in registry.versions(made.store, "nightly")] == [3, 2, 1]
    assert outcome.to_json()["data"]["rows"] == 1500


def test_the_table_is_an_artifact_and_the_drift_an_event(made):
    outcome = made.of["stopped"]
    with get_client(sync_client=True) as client:
        found = [a for a in client.read_artifacts() if str(a.flow_run_id) == outcome.flow_run_id]
    (table,) = [a for a in found if a.key == "linreg-nightly-drift"]
    rows = json.loads(table.data)
    assert (rows[0]["measure"], rows[0]["limit passed"]) == ("mean", "stop")
    assert "mean of a is" in table.description
    event = event_of("linreg.drift.stopped", outcome)
    assert event["resource"]["prefect.resource.id"] == "linreg.model.nightly"
    assert event["payload"]["run_id"] == outcome.run_id
    warned = event_of("linreg.drift.warned", made.of["drifted"])
    assert warned["payload"]["worst"]["drift.mean"] == made.of["drifted"].metrics["drift.mean"]


def event_of(name: str, outcome: Outcome) -> dict:
    """The run's event of that name, as the server has it: it is written some time after the run's end."""

    def arrived() -> list[dict]:
        wanted = EventFilter(event=EventNameFilter(name=[name]), occurred=EventOccurredFilter())
        with get_client(sync_client=True) as client:
            answer = client.request("POST", "/events/filter", json={"filter": wanted.model_dump(mode="json")})
        return [e for e in answer.json()["events"] if e["payload"]["run_id"] == outcome.run_id]

    (event,) = wait_for(arrived)
    return event


def test_a_stop_is_told_on_the_page_and_in_the_list(made, monkeypatch, capfd):
    monkeypatch.chdir(made.folder)
    monkeypatch.setattr(partitions, "_SETTLED", -1)
    Path("strict.toml").write_text(tomli_w.dumps(table(drift={"stop": {"mean": 15.0}})))
    night(5, a=3)
    assert main(["run", "strict.toml"]) == 0
    page = capfd.readouterr().out
    assert "nightly: refused" in page
    assert "trained       nothing" in page
    assert "above drift.stop.mean 15" in page
    assert "Root mean squared error" not in page
    assert main(["sweep", "strict.toml", "--grid", "train.seed=0,1"]) == 0
    assert "no model was trained" in capfd.readouterr().out
    assert main(["runs", "nightly"]) == 0
    listed = capfd.readouterr().out
    assert ": refused: the data moved away from" in listed
    assert [(" refused " in line, line.endswith(" stop")) for line in listed.splitlines()[1:3]] == [(True, True)] * 2
    Path("nights/005.csv").unlink()


def test_a_champion_without_a_lineage_is_not_compared_with(made, monkeypatch):
    from dataclasses import replace

    monkeypatch.chdir(made.folder)
    night(6)
    found = ingest(from_dict(table()), made.store)
    assert compare(from_dict(table()).drift, found).drift is not None
    old = replace(found, champion=replace(found.champion, lineage=None))
    watched = compare(from_dict(table()).drift, old)
    assert (watched.verdict, watched.lines, watched.metrics) == ("not compared", (), {})
    assert watched.notes == ("drift: not compared: " + watched.why_not,)
    assert "kept no record of its rows" in watched.why_not
    Path("nights/006.csv").unlink()


def test_a_file_under_another_name_is_not_new(made, monkeypatch):
    monkeypatch.chdir(made.folder)
    night(7)
    before = compare(from_dict(table()).drift, ingest(from_dict(table()), made.store))
    Path("nights/000.csv").rename("nights/renamed.csv")
    after = compare(from_dict(table()).drift, ingest(from_dict(table()), made.store))
    Path("nights/renamed.csv").rename("nights/000.csv")
    Path("nights/007.csv").unlink()
    assert after.drift.new == before.drift.new >= 1
    assert {f.partition for f in after.drift.findings["mean"]} == {f.partition for f in before.drift.findings["mean"]}


def test_a_delivery_that_came_twice_is_told(made, monkeypatch):
    monkeypatch.chdir(made.folder)
    shutil.copy("nights/000.csv", "nights/again.csv")
    told = notes(from_dict(table()), ingest(from_dict(table()), made.store))
    Path("nights/again.csv").unlink()
    assert "000.csv and again.csv hold the same bytes: their rows count twice" in told


def test_the_tutorials_own_run_needs_no_drift(work):  # noqa: ARG001
    assert not any("drift" in note for note in run_flow(crops()).notes)
