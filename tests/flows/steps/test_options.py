"""The options of a config through the steps: what is read, measured, logged, registered and shown."""

import hashlib
import json
import warnings
from dataclasses import asdict, replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline

from flows.results.outcome import notes
from flows.steps.ingest import KEY_FORMAT, Unchanged, content_key, ingest
from flows.tracking import registry
from linreg.config import EngineConfig, TrainConfig
from linreg.data_config import DataConfig
from linreg.errors import UserError
from linreg.files import partitions
from linreg.ingest.dataset import read_dataset
from tests.support.command import document, error, linreg, write_config
from tests.support.flows import EXACT, crops, noisy, noisy_config
from tests.support.steps import register_run, train


def history(store, training, name):
    points = store.client.get_metric_history(training.run.run_id, name)
    return [m.value for m in sorted(points, key=lambda m: m.step)]


def tag(store, training, name):
    return store.client.get_run(training.run.run_id).data.tags[name]


def test_weights_reach_the_loss_and_the_metrics(store):
    frame, config = noisy("noisy.csv"), noisy_config(weight="w", test_fraction=0.3)
    training = train(store, config)
    assert training.run_input.dataset.rows == sum(frame["w"] > 0)
    assert tag(store, training, "rows.weightless") == str(sum(frame["w"] == 0))
    data = read_dataset(config.data)
    peer = LinearRegression().fit(*data.train.arrays(), sample_weight=data.train.weights())
    (x_test, y_test), w_test = data.test.arrays(), data.test.weights()
    error = (peer.predict(x_test) - y_test)[:, 0]
    mse, mae = np.average(error**2, weights=w_test), np.average(np.abs(error), weights=w_test)
    r2 = r2_score(y_test, peer.predict(x_test), sample_weight=w_test)
    expected = {"test_mse": mse, "test_mae": mae, "test_r2": r2, "baseline.exact.test_mse": mse}
    assert {name: training.evaluation.metrics[name] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_a_lasso_is_registered_with_its_zeros(store):
    noisy("noisy.csv")
    training = train(store, noisy_config(train=replace(EXACT, l1=1.0)))
    model = registry.load(store, register_run(training).version)
    assert [weight == 0 for weight in model.weight_OF[0]] == [False, False, True]
    assert training.evaluation.metrics["excess_loss"] == 0
    assert training.evaluation.metrics["excess_mse"] > 0


@pytest.mark.parametrize("trainer", ["exact", "gram"])
def test_a_target_that_does_not_vary_has_one_r2_everywhere_and_its_own_reason(store, trainer):
    noisy("noisy.csv", 20).assign(y=7.3).to_csv("noisy.csv", index=False)
    training = train(store, noisy_config(train=replace(EXACT, trainer=trainer, learning_rate=0.5)))
    register_run(training)
    assert {value for name, value in training.evaluation.metrics.items() if "r2" in name} == {0.0}
    page = " ".join(linreg("show", "noisy").out.split())
    assert "y is constant, so there is nothing to explain: leave out the target" in page


def test_a_column_that_float32_cannot_hold_leaves_out_the_pytorch_form(store):
    frame = noisy("noisy.csv")
    frame["a"] += 1e6
    frame.to_csv("noisy.csv", index=False)
    assert register_run(train(store, noisy_config())).verdict.decision == "promoted"
    mlflow.set_tracking_uri(store.uri)
    with pytest.raises(mlflow.MlflowException, match='does not have the "pytorch" flavor'):
        mlflow.pytorch.load_model("models:/noisy@champion")
    x = frame[["a", "b", "c"]].to_numpy()
    expected = LinearRegression().fit(x, frame["y"]).predict(x)
    answer = mlflow.pyfunc.load_model("models:/noisy@champion").predict(frame)
    np.testing.assert_allclose(answer["y"], expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-155, 1e-200])
def test_a_version_of_columns_near_the_end_of_float64_can_be_shown(store, scale):
    frame = noisy("noisy.csv", rows=40)
    frame.assign(a=frame["a"] * scale).to_csv("noisy.csv", index=False)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        training = train(store, noisy_config(train=replace(EXACT, dtype="float64")))
        assert register_run(training).verdict.decision == "promoted"
        assert linreg("show", "noisy").status == 0
        document("show", "noisy")


def test_patience_logs_the_validation_loss_past_the_epoch_that_is_kept(store):
    noisy("noisy.csv", rows=40)
    patient = TrainConfig(trainer="gram", learning_rate=0.5, epochs=500, patience=20, dtype="float64", device="cpu")
    training = train(store, noisy_config(train=patient, validation_fraction=0.4))
    validation, epochs = history(store, training, "validation_loss"), training.fitted.epochs
    assert epochs == int(np.argmin(validation)) == len(validation) - 21
    assert len(history(store, training, "train_loss")) == epochs + 1
    assert training.evaluation.metrics["validation_mse"] == pytest.approx(min(validation), rel=1e-9)
    assert f"the parameters of epoch {epochs}" in tag(store, training, "stopped")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"trainer": "gram", "patience": 3}, "train.patience needs validation rows: set data.validation_fraction"),
        ({"trainer": "manual", "l1": 1.0}, "'manual' takes no train.l1"),
    ],
)
def test_what_a_config_lacks_is_told_before_a_file_is_opened(store, options, line):
    with pytest.raises(UserError, match=line):
        ingest(noisy_config("not-there.csv", TrainConfig(**options)), store)


def test_a_warm_start_goes_on_from_the_champion_and_says_so(store):
    noisy("noisy.csv")
    cold = TrainConfig(trainer="gram", learning_rate=0.01, epochs=30, dtype="float64", device="cpu")
    nights = []
    for epochs in (30, 31, 32):
        nights.append(train(store, noisy_config(train=replace(cold, epochs=epochs, warm_start="noisy"))))
        assert register_run(nights[-1]).verdict.decision == "promoted"
    starts = ["cold, seeded", "warm, from noisy/1", "warm, from noisy/2"]
    assert [tag(store, night, "start") for night in nights] == starts
    at_once = train(store, noisy_config(train=replace(cold, epochs=93)))
    losses = [training.evaluation.metrics["train_loss"] for training in (*nights, at_once)]
    assert losses[2] == pytest.approx(losses[3], rel=1e-9)
    assert history(store, nights[1], "train_loss")[0] == pytest.approx(losses[0], rel=1e-9)
    assert registry.lookup(store, "noisy/2").facts["start"] == "noisy/1"


def test_a_night_reads_the_new_file_alone_and_has_the_numbers_of_a_full_run(store, folder, monkeypatch):
    monkeypatch.setattr(partitions, "_SETTLED", -1)  # files count as settled as soon as they are written
    (folder / "nights").mkdir()
    for number in range(3):
        noisy(f"nights/{number}.csv", seed=number)
    config = noisy_config("nights", test_fraction=0.3)
    first = train(store, config)
    register_run(first)
    noisy("nights/3.csv", seed=3)
    second, full = train(store, config), train(store, replace(config, model="full", engine=EngineConfig(cache="")))
    assert [training.run_input.read for training in (first, second, full)] == [3, 1, 4]
    assert "read 1 of 4 files: the others are known" in notes(config, second.run_input)
    ours, theirs = (
        {name: value for name, value in training.evaluation.metrics.items() if "champion" not in name}
        for training in (second, full)
    )
    assert ours == theirs
    register_run(second)
    assert isinstance(ingest(replace(config, engine=EngineConfig(verify=True)), store), Unchanged)


def test_gaps_from_the_file_to_every_way_the_version_answers(store, folder, tmp_path):
    frame = noisy("noisy.csv", gaps=True)
    training = train(store, noisy_config(missing="mean"))
    version = register_run(training).version
    assert training.run_input.dataset.train_rows == 199
    complete = frame.dropna(subset=["y"])
    peer = make_pipeline(SimpleImputer(), LinearRegression()).fit(complete[["a", "b", "c"]].to_numpy(), complete["y"])
    expected = peer.predict(frame[["a", "b", "c"]].to_numpy())

    assert tag(store, training, "rows.filled") == str(int(complete[["a", "b", "c"]].isna().sum().sum()))
    assert tag(store, training, "rows.dropped") == "1"

    mlflow.set_tracking_uri(store.uri)
    answer = mlflow.pyfunc.load_model("models:/noisy@champion").predict(frame[["c", "a", "b"]])
    np.testing.assert_allclose(answer["y"], expected, rtol=1e-9)
    module = mlflow.pytorch.load_model("models:/noisy@champion")
    design = torch.tensor(frame[["a", "b", "c"]].to_numpy(), dtype=torch.float32)
    np.testing.assert_allclose(module(design).numpy()[:, 0], expected, rtol=1e-4)

    model_folder = Path(mlflow.artifacts.download_artifacts(version.source, dst_path=str(tmp_path)))
    example = json.loads((model_folder / "input_example.json").read_text(), parse_constant=lambda c: pytest.fail(c))
    assert all(np.isfinite(row).all() for row in example["data"])

    for name in ("scored.csv", "scored.parquet"):
        source = folder / f"in-{name}"
        frame.to_parquet(source) if source.suffix == ".parquet" else frame.to_csv(source, index=False)
        document("predict", "noisy", source, "-o", name)
        scored = pd.read_csv(name) if name.endswith("csv") else pd.read_parquet(name)
        np.testing.assert_allclose(scored["predicted_y"], expected, rtol=1e-9)
        assert scored["a"].isna().sum() == frame["a"].isna().sum()


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


def test_a_config_that_names_its_rate_has_the_content_key_it_always_had():
    """The digests are those of the release whose default rate was 0.01."""
    for rate, key in ((0.3, "93782840708e01ea"), (0.01, "e11290c448f1cc27")):
        named = crops(train={"trainer": "gram", "learning_rate": rate, "tolerance": 0.0})
        assert content_key(named, "d")[:16] == key
        assert content_key(crops(train={"trainer": "gram", "learning_rate": rate}), "d")[:16] == key
        automatic = crops(train={"trainer": "gram", "learning_rate": "auto"})
        assert content_key(automatic, "d")[:16] != key
    exact = {"trainer": "exact", "learning_rate": "auto"}  # it has no rate, and never had
    assert content_key(crops(train=exact), "d") == content_key(crops(train={**exact, "learning_rate": 0.01}), "d")


def test_the_defaults_that_content_keys_leave_out_are_these():
    """A default that changes its value makes other content of an old key, but where ``FORMER_DEFAULTS`` has the old."""
    data = DataConfig(path="p", features=("a",), targets=("y",))
    values = json.dumps([asdict(data), asdict(TrainConfig())], sort_keys=True)
    assert (KEY_FORMAT, hashlib.sha256(values.encode()).hexdigest()[:16]) == (3, "aa4f519e466fced8")


def test_a_warm_start_without_a_champion_is_a_cold_one_for_the_plan_too(folder):
    noisy(folder / "noisy.csv")
    data = {"path": "noisy.csv", "features": ["a", "b", "c"], "targets": ["y"]}
    config = write_config(model="noisy", data=data, train={"warm_start": "noisy"})
    document("plan", config)
    assert not Path("mlruns").exists()
    assert "there is no store" in error("plan", config, "--set", "train.warm_start=noisy/1")
