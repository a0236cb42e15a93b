"""Weights, gaps, L1, patience, schedules and warm starts through the whole flow: logged, registered, answered."""

import hashlib
import json
import warnings
from dataclasses import asdict, replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tomli_w
import torch
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline

from flows.cli.main import main
from flows.pipeline import run_flow
from flows.steps.ingest import KEY_FORMAT, content_key
from flows.tracking import registry
from flows.tracking.stores.store import open_store
from linreg.config import Config, DataConfig, EngineConfig, TrainConfig
from linreg.errors import UserError
from linreg.files import partitions as data_source
from linreg.ingest.dataset import load
from tests.support.flows import EXACT, PICTURES, crops, noisy, noisy_config


def history(run_id: str, name: str) -> list[float]:
    points = open_store(create=False).client.get_metric_history(run_id, name)
    return [m.value for m in sorted(points, key=lambda m: m.step)]


def tags(run_id: str) -> dict[str, str]:
    return open_store(create=False).client.get_run(run_id).data.tags


def test_gaps_from_the_file_to_every_way_the_version_answers(work, tmp_path):
    frame = noisy(work / "noisy.csv", gaps=True)
    outcome = run_flow(noisy_config(work / "noisy.csv", missing="mean"))
    assert outcome.decision == "promoted"
    assert outcome.data["train_rows"] == 199
    complete = frame.dropna(subset=["y"])
    peer = make_pipeline(SimpleImputer(), LinearRegression()).fit(complete[["a", "b", "c"]].to_numpy(), complete["y"])
    expected = peer.predict(frame[["a", "b", "c"]].to_numpy())

    run_tags = tags(outcome.run_id)
    assert run_tags["rows.filled"] == str(int(complete[["a", "b", "c"]].isna().sum().sum()))
    assert run_tags["rows.dropped"] == "1"

    store = open_store(create=False)
    mlflow.set_tracking_uri(store.uri)
    answer = mlflow.pyfunc.load_model("models:/noisy@champion").predict(frame[["c", "a", "b"]])
    np.testing.assert_allclose(answer["y"], expected, rtol=1e-9)
    module = mlflow.pytorch.load_model("models:/noisy@champion")
    design = torch.tensor(frame[["a", "b", "c"]].to_numpy(), dtype=torch.float32)
    np.testing.assert_allclose(module(design).numpy()[:, 0], expected, rtol=1e-4)

    version = registry.lookup(store, "noisy")
    folder = Path(mlflow.artifacts.download_artifacts(version.source, dst_path=str(tmp_path)))
    example = json.loads((folder / "input_example.json").read_text(), parse_constant=lambda c: pytest.fail(c))
    assert all(np.isfinite(row).all() for row in example["data"])

    for name in ("scored.csv", "scored.parquet"):
        source = work / f"in-{name}"
        table = pa.Table.from_pandas(frame[["a", "b", "c"]], preserve_index=False)
        pq.write_table(table, source) if source.suffix == ".parquet" else frame.to_csv(source, index=False)
        assert main(["predict", "noisy", str(source), "-o", name]) == 0
        scored = pd.read_csv(name) if name.endswith("csv") else pd.read_parquet(name)
        np.testing.assert_allclose(scored["predicted_y"], expected, rtol=1e-9)
        assert scored["a"].isna().sum() == frame["a"].isna().sum()


def test_a_night_reads_the_new_file_alone_and_registers_what_a_full_run_would(work, monkeypatch):
    monkeypatch.setattr(data_source, "_SETTLED", -1)  # files count as settled as soon as they are written
    nights = work / "nights"
    nights.mkdir()
    for i in range(3):
        noisy(nights / f"n{i}.csv", seed=i)
    config = noisy_config(nights, test_fraction=0.3)
    first = run_flow(config)
    noisy(nights / "n3.csv", seed=3)
    second = run_flow(config)
    assert (first.data["read"], second.data["read"], second.data["partitions"]) == (3, 1, 4)
    assert "read 1 of 4 files: the others are known" in second.notes
    full = run_flow(replace(config, model="full", engine=EngineConfig(cache="")))
    assert full.data["read"] == 4
    beside = ("baseline.champion", "drift.")  # what the one with a champion has besides
    ours, theirs = ({k: v for k, v in o.metrics.items() if not k.startswith(beside)} for o in (second, full))
    assert ours == theirs
    again = run_flow(replace(config, engine=EngineConfig(verify=True)))
    assert (again.decision, again.data["read"]) == ("unchanged", 0)


@pytest.mark.parametrize("trainer", ["exact", "gram"])
def test_a_target_that_does_not_vary_has_one_r2_everywhere_and_its_own_reason(work, capfd, trainer):
    rng = np.random.default_rng(0)
    pd.DataFrame(rng.normal(size=(20, 2)), columns=["a", "b"]).assign(y=7.3).to_csv(work / "c.csv", index=False)
    data = DataConfig(path=str(work / "c.csv"), features=("a", "b"), targets=("y",))
    train = replace(EXACT, trainer=trainer, learning_rate=0.5)
    metrics = run_flow(Config(model="c", data=data, train=train)).metrics
    assert {value for name, value in metrics.items() if "r2" in name} == {0.0}
    assert main(["show", "c"]) == 0
    page = " ".join(capfd.readouterr().out.split())
    assert "y is constant, so there is nothing to explain: leave out the target" in page


def test_weights_reach_the_loss_the_metrics_and_the_version(work):
    frame = noisy(work / "noisy.csv")
    config = noisy_config(work / "noisy.csv", weight="w", test_fraction=0.3)
    outcome = run_flow(config)
    assert outcome.data["rows"] == sum(frame["w"] > 0)
    assert tags(outcome.run_id)["rows.weightless"] == str(sum(frame["w"] == 0))
    data = load(config.data)
    x, y = data.train.arrays()
    peer = LinearRegression().fit(x, y, sample_weight=data.train.weights())
    (x_test, y_test), w_test = data.test.arrays(), data.test.weights()
    error = (peer.predict(x_test) - y_test)[:, 0]
    mse, mae = np.average(error**2, weights=w_test), np.average(np.abs(error), weights=w_test)
    r2 = r2_score(y_test, peer.predict(x_test), sample_weight=w_test)
    expected = {"test_mse": mse, "test_mae": mae, "test_r2": r2, "baseline.exact.test_mse": mse}
    assert {name: outcome.metrics[name] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_a_lasso_is_registered_with_its_zeros(work):
    noisy(work / "noisy.csv")
    outcome = run_flow(noisy_config(work / "noisy.csv", replace(EXACT, l1=1.0)))
    store = open_store(create=False)
    model = registry.load(store, registry.lookup(store, "noisy"))
    assert [weight == 0 for weight in model.weight_OF[0]] == [False, False, True]
    assert outcome.metrics["excess_loss"] == 0
    assert outcome.metrics["excess_mse"] > 0


def test_patience_logs_the_validation_loss_past_the_epoch_that_is_kept(work):
    noisy(work / "noisy.csv", rows=40)
    train = TrainConfig(trainer="gram", learning_rate=0.5, epochs=500, patience=20, dtype="float64", device="cpu")
    outcome = run_flow(noisy_config(work / "noisy.csv", train, validation_fraction=0.4))
    validation = history(outcome.run_id, "validation_loss")
    assert outcome.epochs == int(np.argmin(validation)) == len(validation) - 21
    assert len(history(outcome.run_id, "train_loss")) == outcome.epochs + 1
    assert outcome.metrics["validation_mse"] == pytest.approx(min(validation), rel=1e-9)
    assert f"the parameters of epoch {outcome.epochs}" in tags(outcome.run_id)["stopped"]


@pytest.mark.parametrize(
    ("train", "line"),
    [
        (TrainConfig(trainer="gram", patience=3), "train.patience needs validation rows: set data.validation_fraction"),
        (TrainConfig(trainer="manual", l1=1.0), "'manual' takes no train.l1"),
    ],
)
def test_what_a_config_lacks_is_told_before_a_file_is_opened(work, train, line):
    with pytest.raises(UserError, match=line):
        run_flow(noisy_config(work / "not-there.csv", train))


@pytest.mark.usefixtures("work")
def test_a_warm_start_goes_on_from_the_champion_and_says_so():
    weak = {"trainer": "gram", "learning_rate": 0.1, "epochs": 30, "standardize": True, "dtype": "float64"}
    own = {**weak, "warm_start": "crop-yield"}
    nights = [run_flow(crops(train={**own, "epochs": 30 + i})) for i in range(3)]
    assert [n.version for n in nights] == [1, 2, 3]
    assert tags(nights[0].run_id)["start"] == "cold, seeded"
    assert [tags(n.run_id)["start"] for n in nights[1:]] == [f"warm, from crop-yield/{v}" for v in (1, 2)]
    at_once = run_flow(crops(model="whole", train={**weak, "epochs": 93}))
    assert nights[2].metrics["train_loss"] == pytest.approx(at_once.metrics["train_loss"], rel=1e-9)
    assert history(nights[1].run_id, "train_loss")[0] == pytest.approx(nights[0].metrics["train_loss"], rel=1e-9)
    assert registry.lookup(open_store(create=False), "crop-yield/2").facts["start"] == "crop-yield/1"


def test_the_content_key_is_that_of_what_differs_from_the_defaults():
    base = crops(train={"trainer": "gram"})
    spelled = crops(train={"trainer": "gram", "l1": 0.0, "schedule": "constant", "patience": 0, "warm_start": ""})
    assert content_key(base, "d") == content_key(spelled, "d")
    others = [
        crops(train={"trainer": "gram", **change})
        for change in ({"l1": 0.1}, {"schedule": "step"}, {"warm_start": "m"}, {"seed": 1}, {"epochs": 21})
    ] + [crops(data={"missing": "mean"}), crops(data={"weight": "w"}), crops(model="other")]
    keys = {content_key(c, "d") for c in [base, *others]} | {content_key(base, "e")}
    assert len(keys) == len(others) + 2
    same = crops(train={"trainer": "gram", "device": "auto"}, gate={"max_rmse": 3.0}, experiment="another")
    assert content_key(same, "d") == content_key(base, "d")


def test_the_pictures_of_a_run_with_everything_on_are_there(work, pictures, tmp_path):  # noqa: ARG001 - drawn
    noisy(work / "noisy.csv", rows=80, gaps=True)
    train = TrainConfig(trainer="gram", learning_rate=0.3, epochs=60, l1=0.05, patience=10, schedule="cosine")
    data = {"missing": "mean", "weight": "w", "test_fraction": 0.2, "validation_fraction": 0.2}
    outcome = run_flow(noisy_config(work / "noisy.csv", train, **data))
    client = open_store(create=False).client
    names = {f.path for f in client.list_artifacts(outcome.run_id) if f.path.endswith(".png")}
    assert names == set(PICTURES)
    for name in names:
        path = client.download_artifacts(outcome.run_id, name, str(tmp_path))
        assert Path(path).read_bytes().startswith(b"\x89PNG")


def test_a_column_that_float32_cannot_hold_leaves_out_the_pytorch_form(work):
    frame = noisy(work / "noisy.csv")
    frame["a"] += 1e6
    frame.to_csv(work / "noisy.csv", index=False)
    outcome = run_flow(noisy_config(work / "noisy.csv"))
    assert outcome.decision == "promoted"
    mlflow.set_tracking_uri(open_store(create=False).uri)
    with pytest.raises(mlflow.MlflowException, match='does not have the "pytorch" flavor'):
        mlflow.pytorch.load_model("models:/noisy@champion")
    x = frame[["a", "b", "c"]].to_numpy()
    expected = LinearRegression().fit(x, frame["y"]).predict(x)
    answer = mlflow.pyfunc.load_model("models:/noisy@champion").predict(frame)
    np.testing.assert_allclose(answer["y"], expected, rtol=1e-6)


def test_a_warm_start_without_a_champion_is_a_cold_one_for_the_plan_too(folder, capfd):
    noisy(folder / "noisy.csv")
    table = {"path": "noisy.csv", "features": ["a", "b", "c"], "targets": ["y"]}
    Path("c.toml").write_text(tomli_w.dumps({"model": "noisy", "data": table, "train": {"warm_start": "noisy"}}))
    assert main(["plan", "c.toml"]) == 0
    assert not Path("mlruns").exists()
    assert main(["plan", "c.toml", "--set", "train.warm_start=noisy/1"]) == 2
    assert "there is no store" in capfd.readouterr().err


def test_the_defaults_that_content_keys_leave_out_are_these():
    """A default that changes its value makes other content of an old key: raise ``flows.ingest.KEY_FORMAT`` with it."""
    data = DataConfig(path="p", features=("a",), targets=("y",))
    values = json.dumps([asdict(data), asdict(TrainConfig())], sort_keys=True)
    assert (KEY_FORMAT, hashlib.sha256(values.encode()).hexdigest()[:16]) == (3, "993c1121c5bf94b7")


@pytest.mark.parametrize("scale", [1e-155, 1e-200])
def test_a_version_of_columns_near_the_end_of_float64_can_be_shown(work, scale, capfd):
    frame = noisy(work / "noisy.csv", rows=40)
    frame["a"] *= scale
    frame.to_csv(work / "noisy.csv", index=False)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert run_flow(noisy_config(work / "noisy.csv", replace(EXACT, dtype="float64"))).decision == "promoted"
        assert main(["show", "noisy"]) == 0
        assert main(["show", "noisy", "--json"]) == 0
    json.loads(capfd.readouterr().out.splitlines()[-1], parse_constant=pytest.fail)
