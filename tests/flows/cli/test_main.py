"""The command line as its contract says: one JSON document or one error line, and the exit status."""

import os
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from flows import progress
from flows.cli import lookups
from flows.cli.main import main
from flows.results.outcome import Outcome
from flows.tracking import registry, unchanged_runs
from flows.tracking.run import TrackedRun
from flows.tracking.stores.store import open_store
from tests.support import processes
from tests.support.command import RUN_KEYS, document, error, linreg, strict_json, write_config
from tests.support.files import write
from tests.support.flows import FEATURES, OPTIMUM, TARGETS, WEAK
from tests.support.processes import BIN, PATIENCE, ROOT, environment, started, wait_for
from tests.support.servers import rows_of_ended_server

LINREG = BIN / "linreg"
DATA_KEYS = {"rows", "train_rows", "test_rows", "digest", "partitions", "read"}
ALL_OF_A_COEFFICIENT = ("estimate", "standard_error", "t", "p", "low", "high")
ENTRY_KEYS = {"name", "version", "aliases", "run_id", "metrics", "data", "trainer"}


@pytest.fixture(scope="module")
def scene(prefect_api, module_store):  # noqa: ARG001 - the runs find the server
    """The working directory, the runs that were made in it (promoted, promoted, kept), and the second one again."""
    write_config(train=WEAK)
    write_config("best.toml", train=OPTIMUM)
    runs = [document("run", "crops.toml"), document("run", "best.toml")]
    runs.append(document("run", "crops.toml", "--set", "train.epochs=40"))
    return SimpleNamespace(folder=Path.cwd(), runs=runs, again=document("run", "best.toml"))


def test_run_prints_the_contracts_object(scene):
    for run in (*scene.runs, scene.again):
        assert set(run) == RUN_KEYS
        assert set(run["model"]) == {"name", "version", "aliases"}
        assert set(run["data"]) == DATA_KEYS
        assert (run["status"], run["experiment"], run["model"]["name"]) == ("completed", "crops", "crop-yield")
        counts = {"rows": 15, "train_rows": 15, "test_rows": 15, "partitions": 1}
        assert {k: run["data"][k] for k in counts} == counts
    assert [r["data"]["read"] for r in scene.runs] == [1, 1, 0]  # the second has a dtype of its own
    assert [r["decision"] for r in scene.runs] == ["promoted", "promoted", "kept"]
    assert [r["model"]["version"] for r in scene.runs] == [1, 2, 3]
    assert [r["model"]["aliases"] for r in scene.runs] == [["champion"], ["champion"], ["challenger"]]
    assert [r["epochs"] for r in scene.runs] == [30, 400, 40]
    again = scene.again
    assert (again["decision"], again["data"]["read"], again["run_id"]) == ("unchanged", 0, scene.runs[1]["run_id"])


def test_run_for_people_says_what_came_of_it(scene):  # noqa: ARG001
    text = linreg("run", "best.toml").out
    assert "crop-yield version 2 (@champion): unchanged" in text
    assert "show crop-yield/2" in text
    assert "{" not in text


def test_advice_is_added_to_the_command_as_it_was_typed(scene, monkeypatch):  # noqa: ARG001
    metrics = {f"test_{m}{of}": 1.0 for m in ("rmse", "r2") for of in ("", ".line\nbreak")}
    data = {"partitions": 1, "digest": "0" * 32}
    advice = ("--set train.epochs=9 helps", "line\nbreak is constant")
    facts = {"decision": "refused", "reason": "why", "run_id": "", "experiment": "e", "flow_run_id": None, "model": "m"}
    facts |= {"version": None, "aliases": (), "trainer": "gram", "device": "cpu", "epochs": 1, "seconds": 0.0}
    monkeypatch.setattr(
        "flows.pipeline.run_flow", lambda _: Outcome(**facts, metrics=metrics, data=data, advice=advice)
    )
    text = linreg("run", "crops.toml", "--set", 'data.features=["temp"]', "--set", "train.epochs=5").out
    typed = """run crops.toml --set 'data.features=["temp"]' --set train.epochs=5"""
    assert f"{typed} --set train.epochs=9 helps\n" in text
    assert text.count(r"line\nbreak") == 2


def test_a_refusal_by_the_gate_is_done(work):  # noqa: ARG001
    run = document("run", write_config(train=WEAK), "--set", "gate.max_rmse=0.001")
    assert run["decision"] == "refused"
    assert run["model"] == {"name": "crop-yield", "version": None, "aliases": []}
    assert set(run) == RUN_KEYS
    assert document("models") == []
    (listed,) = document("runs")
    assert (listed["run_id"], listed["decision"]) == (run["run_id"], "refused")


def test_models_lists_versions_newest_first(scene):
    versions = document("models", "crop-yield")
    assert versions == document("models")
    assert [v["version"] for v in versions] == [3, 2, 1]
    assert [v["aliases"] for v in versions] == [["challenger"], ["champion"], []]
    for version, run in zip(reversed(versions), scene.runs, strict=True):
        assert set(version) == ENTRY_KEYS | {"created"}
        for key in ("run_id", "metrics", "trainer"):
            assert version[key] == run[key]
        assert (version["data"]["digest"], version["data"]["rows"]) == (run["data"]["digest"], 15)


def test_models_for_people_holds_the_record_of_promotions(scene):  # noqa: ARG001
    text = linreg("models").out
    assert "Champions of crop-yield" in text
    assert "version 1 -> version 2" in text
    (last, _) = registry.history(open_store(create=False), "crop-yield")[::-1]
    assert text.splitlines()[0] == f"In use: crop-yield/2, since {last['when'][:19]}: {last['why']}"


def test_the_tables_say_which_rows_trained_and_which_judged(scene):  # noqa: ARG001
    models, runs = linreg("models").out.splitlines()[2:], linreg("runs").out.splitlines()
    assert models[0].split("  ")[-1] == runs[0].split("  ")[-1] == "judged on"
    assert "test rmse" not in models[0] + runs[0]
    for line in (*models[1:4], *runs[1:4]):
        assert line.endswith("  its 15 training rows")
    assert all("  15 rows  " in line for line in models[1:4])
    assert "R2 0.9992, judged on its 15 training rows; loss" in linreg("show", "crop-yield").out


def test_rows_held_out_are_not_counted_among_those_that_trained(scene, monkeypatch):  # noqa: ARG001
    held_out = [replace(v, data={"rows": 15, "train_rows": 11}) for v in registry.versions(open_store(create=False))]
    monkeypatch.setattr(lookups.registry, "versions", lambda *_: held_out)
    assert "  11 of 15 rows  " in linreg("models").out


def test_runs_lists_runs_newest_first(scene):
    runs = document("runs", "crops")
    assert runs == document("runs")
    assert [r["run_id"] for r in runs] == [r["run_id"] for r in reversed(scene.runs)]
    for listed, run in zip(runs, reversed(scene.runs), strict=True):
        assert set(listed) == {"run_id", "name", "started", "status", "decision", "metrics"}
        assert (listed["status"], listed["decision"]) == ("FINISHED", run["decision"])
        assert run["metrics"].items() <= listed["metrics"].items()


def test_runs_for_people_says_what_came_of_the_last_one_and_of_those_that_found_nothing_new(scene):  # noqa: ARG001
    store = open_store(create=False)
    again = registry.see_again(store, registry.lookup(store, "crop-yield/2"), flow_run_id=None)
    *_, last, nothing = linreg("runs", "crops").out.splitlines()
    assert last.startswith("The last one, crop-yield 20")
    assert ": kept version 2: " in last
    assert " found the data and the config of crop-yield/2 unchanged, the last at " + again.last[:19] in nothing


def test_a_note_of_nights_that_other_hands_changed_is_as_good_as_none(scene):  # noqa: ARG001
    store = open_store(create=False)
    client, version = store.client, registry.lookup(store, "crop-yield/1")
    for note in ("yes", "{}", "[1]", '{"times": "x"}'):
        client.set_model_version_tag("crop-yield", "1", unchanged_runs.TAG, note)
        assert "of crop-yield/1 unchanged" not in linreg("runs", "crops").out
    assert registry.see_again(store, version, flow_run_id=None).times == 1
    client.delete_model_version_tag("crop-yield", "1", unchanged_runs.TAG)


def test_runs_of_a_sweep_whose_own_run_was_deleted_are_listed(store):
    with TrackedRun.start(store, experiment="crops", name="sweep", tags={}) as parent:
        TrackedRun.start(store, experiment="crops", name="epochs=3", tags={}, parent=parent).finish()
    store.client.delete_run(parent.run_id)
    assert "The last one, epochs=3: finished" in linreg("runs").out


def test_control_characters_of_a_name_are_told_and_not_obeyed(store):  # noqa: ARG001
    assert r"no model 'a\x1b[31mred\x07'" in error("show", "a\x1b[31mred\x07")


def test_runs_names_a_deleted_experiment_below_those_that_are_listed(store):
    for name in ("crops", "night"):
        TrackedRun.start(store, experiment=name, name=f"of {name}", tags={}).finish()
    store.client.delete_experiment(store.experiment("night"))
    *_, last, note = linreg("runs").out.splitlines()
    assert last.startswith("The last one, of crops: finished")
    assert note.startswith("experiment 'night' was deleted: restore it with `MLFLOW_TRACKING_URI=sqlite:")
    assert [run["name"] for run in document("runs")] == ["of crops"]
    assert "night" not in linreg("runs", "crops").out


@pytest.mark.parametrize(
    ("ref", "version"),
    [("crop-yield", 2), ("crop-yield@champion", 2), ("crop-yield@challenger", 3), ("crop-yield/1", 1)],
)
def test_show_gives_what_a_ref_names_in_the_contracts_keys(scene, ref, version):
    shown, run = document("show", ref), scene.runs[version - 1]
    assert set(shown) == ENTRY_KEYS | {"targets", "inference"}
    assert (shown["version"], shown["run_id"]) == (version, run["run_id"])
    assert list(shown["targets"]) == TARGETS
    for name, target in shown["targets"].items():
        assert target["r2"] == run["metrics"][f"train_r2.{name}"]
        assert target["r2"] == pytest.approx(run["metrics"][f"test_r2.{name}"], rel=1e-12)  # judged on these rows
        assert set(target) == {"r2", "residual_standard_error", "intercept", "coefficients"}
        assert list(target["coefficients"]) == FEATURES
        for c in (target["intercept"], *target["coefficients"].values()):
            assert set(c) == set(ALL_OF_A_COEFFICIENT)
            assert {value is None for name, value in c.items() if name != "estimate"} == {version != 2}
        assert (target["residual_standard_error"] is None) == (version != 2)
    if version == 2:
        assert shown["inference"] == "valid"
        crops = pd.read_csv("data/crops-15.csv")
        judge = sm.OLS(crops["apples"], sm.add_constant(crops[FEATURES])).fit()
        estimates = [judge.params, judge.bse, judge.tvalues, judge.pvalues, *judge.conf_int().to_numpy().T]
        expected = dict(zip(ALL_OF_A_COEFFICIENT, (values[1] for values in map(np.asarray, estimates)), strict=True))
        assert shown["targets"]["apples"]["coefficients"]["temp"] == pytest.approx(expected, rel=1e-5)
    else:
        assert "standard errors from the optimum (0.01 is allowed): more epochs" in shown["inference"]


def test_the_page_of_show_has_a_table_a_target_or_the_reason(scene):  # noqa: ARG001
    page = linreg("show", "crop-yield/2").out
    assert "{" not in page
    for word in ("std error", "95% low", "on 11 degrees of freedom", "F 4259.9", "AIC 50.9", "assumed", "humidity"):
        assert word in page
    bare = linreg("show", "crop-yield/1").out
    assert "std error" not in bare
    assert re.search(r"one standard deviation of \w+ moves apples by ", bare)
    assert "no standard errors: the parameters are up to" in bare


def test_show_says_which_files_trained_it_how_good_it_is_and_what_matters(scene):
    text, metrics = linreg("show", "crop-yield").out, scene.runs[1]["metrics"]
    assert "  trained by gram on 15 rows of 1 file, digest " in text
    assert "\n  from crops-15.csv\n" in text
    errors = [f"{metrics[f'{p}test_rmse.{t}']:.4g}" for t in TARGETS for p in ("", "baseline.mean.")]
    assert "  rmse of apples {} (always the mean: {}), oranges {} ({})\n".format(*errors) in text
    spreads = pd.read_csv("data/crops-15.csv")[FEATURES].std(ddof=0)
    for target in document("show", "crop-yield")["targets"].values():
        effects = {f: c["estimate"] * spreads[f] for f, c in target["coefficients"].items()}
        most = max(effects, key=lambda f: abs(effects[f]))
        assert f"one standard deviation of {most} moves it by {effects[most]:.3g}, of " in text


def test_a_version_from_before_inference_was_kept_is_shown(scene, monkeypatch):  # noqa: ARG001
    kept = lookups.registry.contents

    def older(store, version):
        return replace(kept(store, version), moments=None, inference=None)

    monkeypatch.setattr(lookups.registry, "contents", older)
    shown = document("show", "crop-yield/2")
    assert shown["inference"].startswith("none were kept with this version")
    c = shown["targets"]["apples"]["coefficients"]["temp"]
    assert set(c) == set(ALL_OF_A_COEFFICIENT)
    assert (c["estimate"], c["standard_error"]) == (pytest.approx(-0.4215, abs=1e-4), None)
    assert shown["targets"]["apples"]["r2"] == pytest.approx(0.99914, abs=1e-5)
    assert "none were kept with this version" in linreg("show", "crop-yield/2").out


def test_predict_shows_the_first_rows_with_their_intervals(scene, tmp_path):  # noqa: ARG001
    output = tmp_path / "out.csv"
    text = linreg("predict", "crop-yield", "data/crops-15.csv", "-o", output, "--interval", "prediction").out
    first, _, head, *rows, more = text.splitlines()
    assert first == f"15 rows scored with crop-yield/2: {output}, with 95% prediction intervals"
    assert (head.split(), more) == (["row", *FEATURES, *TARGETS], "and 10 more")
    for i, (line, row) in enumerate(zip(rows, pd.read_csv(output).itertuples(index=False), strict=False), start=1):
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", line)]
        np.testing.assert_allclose(numbers, [i, *row], rtol=1e-4)
    assert len(rows) == 5


def test_predict_tells_in_a_log_how_far_it_is(scene, tmp_path, monkeypatch):  # noqa: ARG001
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    pd.read_csv("data/crops.csv").to_parquet(tmp_path / "in.parquet")
    for source, line in (("data/crops.csv", "5 rows scored"), (tmp_path / "in.parquet", "5 rows of 5 scored")):
        result = linreg("predict", "crop-yield", source, "-o", tmp_path / "out.csv", "--json")
        assert line in result.err.splitlines()
        assert strict_json(result.out)["rows"] == 5


def test_predict_tells_what_it_does_not_read_and_takes_a_tables_files_where_it_is_told_to(scene, tmp_path):  # noqa: ARG001
    table, output = tmp_path / "crops", tmp_path / "out.csv"
    shutil.copytree("data", table / "2026", ignore=lambda *_: ["crops-15.csv"])
    write(table / "none.csv", "temp,rainfall,humidity\n")
    write(table / "notes.xlsx", "PK")
    result = linreg("predict", "crop-yield", table, "-o", output)
    assert result.out.startswith("5 rows scored")
    assert "1 file is of a kind that is not read (notes.xlsx)" in result.err
    assert "no row in none.csv" in result.err
    write(table / "_delta_log/0.json", "{}")
    line = error("predict", "crop-yield", table, "-o", output)
    assert "holds files of a table format (Delta: _delta_log)" in line
    assert line.endswith("or add --raw-files")
    result = linreg("predict", "crop-yield", table, "-o", output, "--raw-files")
    assert result.out.startswith("5 rows scored")
    assert "read as they lie, deleted and replaced rows come back" in result.err


@pytest.mark.parametrize(("kind", "columns"), [("prediction", "obs_ci"), ("confidence", "mean_ci")])
def test_predict_gives_the_intervals_of_statsmodels(scene, tmp_path, kind, columns):  # noqa: ARG001
    source, output = "data/crops.csv", str(tmp_path / "out.csv")
    scoring = document("predict", "crop-yield", source, "-o", output, "--interval", kind, "--level", "0.9")
    assert scoring == {"model": {"name": "crop-yield", "version": 2}, "input": source, "output": output, "rows": 5}
    scored = pd.read_csv(output)
    ends = [f"{k}_{t}" for t in TARGETS for k in ("predicted", "low", "high")]
    assert list(scored.columns) == [*FEATURES, *ends]
    data, new = pd.read_csv("data/crops-15.csv"), pd.read_csv("data/crops.csv")
    for target in TARGETS:
        judge = sm.OLS(data[target], sm.add_constant(data[FEATURES])).fit()
        expected = judge.get_prediction(sm.add_constant(new[FEATURES])).summary_frame(alpha=0.1)
        np.testing.assert_allclose(scored[f"predicted_{target}"], expected["mean"], rtol=1e-5)
        np.testing.assert_allclose(scored[f"low_{target}"], expected[f"{columns}_lower"], rtol=1e-5)
        np.testing.assert_allclose(scored[f"high_{target}"], expected[f"{columns}_upper"], rtol=1e-5)


def champion():
    return [v["version"] for v in document("models") if "champion" in v["aliases"]]


def test_promote_and_rollback_move_the_champion_on_the_record(scene, tmp_path, monkeypatch):
    (tmp_path / "mlruns").mkdir()
    shutil.copy(scene.folder / "mlruns" / "mlflow.db", tmp_path / "mlruns")  # moves load no artifacts
    monkeypatch.chdir(tmp_path)
    move = document("promote", "crop-yield/3", "--why", "it is simpler")
    assert {k: move[k] for k in ("name", "from", "to")} == {"name": "crop-yield", "from": 2, "to": 3}
    assert set(move) == {"name", "from", "to", "record"}
    assert move["record"]["why"] == "it is simpler"
    assert champion() == [3]
    assert (document("rollback", "crop-yield")["to"], champion()) == (2, [2])
    back = document("rollback", "crop-yield")
    assert (back["from"], back["to"], champion()) == (2, 1, [1])
    assert "crop-yield" in error("rollback", "crop-yield", "--json")
    assert champion() == [1]
    assert "it is simpler" in linreg("models").out


UNKNOWN = {
    "show crop-yeild": "crop-yield",
    "show crop-yield/x": "crop-yield/x",
    "models nope": "nope",
    "runs nope": "nope",
    "promote crop-yield": "NAME/VERSION",
    "promote crop-yield@challenger": "NAME/VERSION",
    "promote crop-yield/99": "99",
    "rollback nope": "nope",
    "rollback crop-yield/1": "crop-yield",
    "predict nope data/crops.csv -o out.csv": "nope",
    "predict crop-yield no/in.csv -o out.csv": "check the INPUT path",
    "run best.toml --set data.path=no/in.csv": "check data.path",
    "predict crop-yield data/crops.csv -o out.txt": ".parquet",
    "predict crop-yield data/crops.csv -o no/out.csv": "folder",
    "predict crop-yield data/crops.csv -o data": "data",
    "predict crop-yield data/crops.csv -o out.csv --interval prediction --level 95": "such as 0.95",
    "predict crop-yield data/crops.csv -o out.csv --level 0.9": "--interval",
    "predict crop-yield/1 data/crops.csv -o out.csv --interval prediction": "/1: no intervals: the parameters are up",
    'run best.toml --set data.features=["temp","rain"]': "rainfall",
    "run best.toml --set train.device=cuda:7": "cpu",
    "run best.toml --set train.learning_rate=30": "largest stable rate",
    "plan best.toml --set data.path=no.csv": "no.csv",
}


@pytest.mark.parametrize("command", UNKNOWN)
def test_what_is_not_there_is_one_line_and_moves_nothing(scene, command):  # noqa: ARG001
    before = document("models")
    line = error(*command.split(), "--json")
    assert UNKNOWN[command] in line
    assert document("models") == before
    assert not Path("out.csv").exists()


WRONG = {
    "": "--help",
    "bogus": "bogus",
    "run": "CONFIG",
    "run crops.toml --bogus": "--bogus",
    "run no.toml": "no.toml",
    "run data": "data",
    "run data/crops.csv": "crops.csv",
    "run crops.toml --set train.epoch=5": "epochs",
    "run crops.toml --set nonsense": "nonsense",
    "plan crops.toml --set train.epoch=5": "epochs",
    "serve crops.toml": "--cron",
    "serve crops.toml --cron x --interval 5": "--interval",
    "predict crop-yield data/crops.csv": "--output",
    "predict crop-yield data/crops.csv -o out.csv --interval both": "confidence",
    "predict crop-yield data/crops.csv -o out.csv --interval prediction --level high": "--level",
    "runs": "mlruns",
    "models": "mlruns",
    "show crop-yield": "mlruns",
    "promote crop-yield/1": "mlruns",
    "rollback crop-yield": "mlruns",
    "predict crop-yield data/crops.csv -o out.csv": "mlruns",
}


@pytest.mark.parametrize("command", WRONG)
def test_wrong_input_is_one_line_and_makes_nothing(folder, command):
    write_config()
    before = sorted(folder.rglob("*"))
    assert WRONG[command] in error(*command.split())
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("command", ["run crops.toml", "models"])
def test_a_server_that_is_away_is_told(folder, prefect_api, monkeypatch, command):  # noqa: ARG001
    write_config()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9" in error(*command.split(), "--json", status=1)
    assert not (folder / "mlruns").exists()


def test_plan_prints_the_contracts_object_and_makes_nothing(folder):
    before = sorted(folder.rglob("*"))
    plan = document("plan", ROOT / "configs" / "crops.toml")
    assert set(plan) == {"largest_stable_learning_rate", "condition_number", "optimum_loss", "epochs_to", "advice"}
    assert set(plan["epochs_to"]) == {"1%", "0.1%"}
    assert plan["optimum_loss"] == pytest.approx(0.909, abs=1e-3)
    assert sorted(folder.rglob("*")) == before


def test_plan_tells_of_files_that_give_no_rows(folder):
    write(folder / "data/none.csv", "temp,rainfall,humidity,apples,oranges\n")
    write(folder / "data/notes.xlsx", "PK")
    plan = document("plan", write_config(), "--set", "data.path=data")
    assert plan["advice"][0].startswith("data: 1 file is of a kind that is not read (notes.xlsx)")
    assert plan["advice"][1] == "no row in none.csv"


def test_help_is_no_error(capfd):
    for command in ([], ["run"], ["predict"], ["serve"]):
        with pytest.raises(SystemExit) as end:
            main([*command, "--help"])
        assert end.value.code == 0
    assert "usage: linreg" in capfd.readouterr().out


@pytest.mark.long  # a whole run in an empty home, with the server of its own
def test_a_strangers_first_run_prints_its_document_and_nothing_else(folder, tmp_path):
    """One with an empty home and an empty address, behind a proxy that does not lead to this machine."""
    away = dict.fromkeys(("http_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    env = environment(tmp_path / "home", PREFECT_API_URL="", **away)
    env = {name: value for name, value in env.items() if name not in processes.SILENT | processes.ONE_THREAD}
    process = processes.run([LINREG, "run", write_config(), "--json"], env=env)
    assert process.returncode == 0, process.stderr
    run = strict_json(process.stdout)
    assert (set(run), run["decision"]) == (RUN_KEYS, "promoted")
    assert not [word for word in ("Traceback", "Warning", "ERROR") if word in process.stderr], process.stderr
    assert (folder / "mlruns" / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("number", "whom", "own_server"),
    [
        (signal.SIGINT, os.killpg, False),
        pytest.param(signal.SIGTERM, os.kill, False, marks=pytest.mark.long),
        pytest.param(signal.SIGINT, os.killpg, True, marks=pytest.mark.long),
    ],
)
def test_a_stopped_run_is_killed_in_mlflow_and_registers_nothing(
    work,  # noqa: ARG001 - the folder it runs in
    prefect_api,
    tmp_path,
    number,
    whom,
    own_server,
):
    """With a Prefect server of its own too, which is told of the stop."""
    env = environment(tmp_path / "home", **({} if own_server else {"PREFECT_API_URL": prefect_api}))
    config = write_config(train={**WEAK, "learning_rate": 1e-9, "epochs": 10**8})  # for hours
    store, err, out = open_store(create=False), tmp_path / "err", tmp_path / "out"
    with out.open("w") as stdout, started([LINREG, "run", config, "--json"], env=env, log=err, stdout=stdout) as run:
        wait_for(lambda: "plan: " in err.read_text(), run, err)  # said right before the first epoch
        assert [r["status"] for r in registry.runs(store)] == ["RUNNING"]
        whom(run.pid, number)
        assert run.wait(PATIENCE) == 130, err.read_text()
    assert out.read_text() == ""
    if own_server:  # which outlived the Ctrl-C, to be told
        ((state,),) = rows_of_ended_server(tmp_path / "home", "SELECT state_type FROM flow_run")
        assert state in ("CRASHED", "CANCELLED", "CANCELLING")
    (run,) = registry.runs(store)
    assert run["status"] == "KILLED"
    assert registry.versions(store) == []
