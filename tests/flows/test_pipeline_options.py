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
import statsmodels.api as sm
import tomli_w
import torch
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso, LinearRegression
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
from tests.support.flows import OPTIMUM, PICTURES, crops

# mlflow.pyfunc warns of its own types while it is first imported; nothing of ours is said by it
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")

EXACT = TrainConfig(trainer="exact", device="cpu")


def noisy(path: Path, rows: int = 200, *, gaps: bool = False, seed: int = 0) -> pd.DataFrame:
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


def config(path: Path, train: TrainConfig = EXACT, **data: object) -> Config:
    return Config(
        model="noisy", data=DataConfig(path=str(path), features=("a", "b", "c"), targets=("y",), **data), train=train
    )


def history(run_id: str, name: str) -> list[float]:
    points = open_store(create=False).client.get_metric_history(run_id, name)
    return [m.value for m in sorted(points, key=lambda m: m.step)]


def tags(run_id: str) -> dict[str, str]:
    return open_store(create=False).client.get_run(run_id).data.tags


def test_gaps_from_the_file_to_every_way_the_version_answers(work, tmp_path):
    frame = noisy(work / "noisy.csv", gaps=True)
    outcome = run_flow(config(work / "noisy.csv", missing="mean"))
    assert outcome.decision == "promoted"
    assert outcome.data["train_rows"] == 199
    whole = frame.dropna(subset=["y"])
    peer = make_pipeline(SimpleImputer(), LinearRegression()).fit(whole[["a", "b", "c"]].to_numpy(), whole["y"])
    expected = peer.predict(frame[["a", "b", "c"]].to_numpy())

    told = tags(outcome.run_id)
    assert told["rows.filled"] == str(int(whole[["a", "b", "c"]].isna().sum().sum()))
    assert told["rows.dropped"] == "1"

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


def test_a_model_without_gaps_still_refuses_them(work, capsys):
    noisy(work / "whole.csv")
    noisy(work / "gaps.csv", gaps=True)
    run_flow(config(work / "whole.csv"))
    assert main(["predict", "noisy", "gaps.csv", "-o", "out.csv"]) == 2
    assert "column 'a': the value is missing" in capsys.readouterr().err
    assert not Path("out.csv").exists()


def test_a_champion_that_takes_no_gaps_is_not_compared_on_rows_that_have_some(work):
    noisy(work / "noisy.csv")
    first = run_flow(config(work / "noisy.csv", test_fraction=0.3))
    noisy(work / "noisy.csv", gaps=True)
    second = run_flow(config(work / "noisy.csv", test_fraction=0.3, missing="mean"))
    assert (first.decision, second.decision) == ("promoted", "kept")
    assert "version 1 takes no missing values, and today's rows have some" in second.reason
    third = run_flow(config(work / "noisy.csv", replace(EXACT, weight_decay=0.001), test_fraction=0.3, missing="drop"))
    assert "interval" in third.reason


def test_a_night_reads_the_new_file_alone_and_registers_what_a_full_run_would(work, monkeypatch):
    monkeypatch.setattr(data_source, "_SETTLED", -1)  # files count as settled as soon as they are written
    nights = work / "nights"
    nights.mkdir()
    for i in range(3):
        noisy(nights / f"n{i}.csv", seed=i)
    first = run_flow(config(nights, test_fraction=0.3))
    noisy(nights / "n3.csv", seed=3)
    second = run_flow(config(nights, test_fraction=0.3))
    assert (first.data["read"], second.data["read"], second.data["partitions"]) == (3, 1, 4)
    assert "read 1 of 4 files: the others are known" in second.notes
    whole = config(nights, test_fraction=0.3)
    full = run_flow(replace(whole, model="full", engine=EngineConfig(cache="")))
    assert full.data["read"] == 4
    beside = ("baseline.champion", "drift.")  # what the one with a champion has besides
    ours, theirs = ({k: v for k, v in o.metrics.items() if not k.startswith(beside)} for o in (second, full))
    assert ours == theirs
    again = run_flow(replace(whole, engine=EngineConfig(verify=True)))
    assert (again.decision, again.data["read"]) == ("unchanged", 0)


@pytest.mark.parametrize(("weightless", "words"), [(1, "1 row that weighs 0"), (2, "2 rows that weigh 0")])
def test_rows_that_weigh_nothing_are_told_of(work, weightless, words):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(20, 2)), columns=["a", "y"]).assign(
        w=[0.0] * weightless + [1.0] * (20 - weightless)
    )
    frame.to_csv(work / "w.csv", index=False)
    data = DataConfig(path=str(work / "w.csv"), features=("a",), targets=("y",), weight="w")
    outcome = run_flow(Config(model="w", data=data, train=EXACT))
    assert f"left out {words} (data.weight = w)" in outcome.notes


@pytest.mark.parametrize("trainer", ["exact", "gram"])
def test_a_target_that_does_not_vary_has_one_r2_everywhere_and_its_own_reason(work, capfd, trainer):
    rng = np.random.default_rng(0)
    pd.DataFrame(rng.normal(size=(20, 2)), columns=["a", "b"]).assign(y=7.3).to_csv(work / "c.csv", index=False)
    data = DataConfig(path=str(work / "c.csv"), features=("a", "b"), targets=("y",))
    train = replace(EXACT, trainer=trainer, learning_rate=0.5)
    metrics = run_flow(Config(model="c", data=data, train=train)).metrics
    assert {value for name, value in metrics.items() if "r2" in name} == {0.0}
    assert main(["show", "c"]) == 0
    assert "y is constant, so there is nothing to explain: leave out the target" in " ".join(
        capfd.readouterr().out.split()
    )


def test_weights_reach_the_loss_the_metrics_and_the_version(work):
    frame = noisy(work / "noisy.csv")
    outcome = run_flow(config(work / "noisy.csv", weight="w", test_fraction=0.3))
    kept = frame[frame["w"] > 0]
    assert outcome.data["rows"] == len(kept)
    assert tags(outcome.run_id)["rows.weightless"] == str(int((frame["w"] == 0).sum()))
    from linreg.ingest.dataset import read_dataset

    data = read_dataset(config(work / "noisy.csv", weight="w", test_fraction=0.3).data)
    x, y = data.train.arrays()
    peer = LinearRegression().fit(x, y, sample_weight=data.train.weights())
    (x_test, y_test), w_test = data.test.arrays(), data.test.weights()
    error = (peer.predict(x_test) - y_test)[:, 0]
    assert outcome.metrics["test_mse"] == pytest.approx(np.average(error**2, weights=w_test), rel=1e-9)
    assert outcome.metrics["test_mae"] == pytest.approx(np.average(np.abs(error), weights=w_test), rel=1e-9)
    assert outcome.metrics["test_r2"] == pytest.approx(
        r2_score(y_test, peer.predict(x_test), sample_weight=w_test), rel=1e-9
    )
    assert outcome.metrics["baseline.exact.test_mse"] == pytest.approx(outcome.metrics["test_mse"], rel=1e-9)


def test_a_lasso_is_registered_with_its_zeros(work):
    frame = noisy(work / "noisy.csv")
    outcome = run_flow(config(work / "noisy.csv", replace(EXACT, l1=1.0)))
    x = frame[["a", "b", "c"]].to_numpy()
    peer = Lasso(alpha=0.5, tol=1e-14, max_iter=10**6).fit((x - x.mean(axis=0)) / x.std(axis=0), frame["y"])
    store = open_store(create=False)
    model = registry.load(store, registry.lookup(store, "noisy"))
    np.testing.assert_allclose(model.weight_OF[0] * x.std(axis=0), peer.coef_, rtol=1e-7)
    assert model.weight_OF[0, 2] == 0
    assert outcome.metrics["excess_loss"] == 0
    assert outcome.metrics["excess_mse"] > 0


def test_patience_logs_the_validation_loss_past_the_epoch_that_is_kept(work):
    noisy(work / "noisy.csv", rows=40)
    train = TrainConfig(trainer="gram", learning_rate=0.5, epochs=500, patience=20, dtype="float64", device="cpu")
    outcome = run_flow(config(work / "noisy.csv", train, validation_fraction=0.4))
    validation = history(outcome.run_id, "validation_loss")
    assert outcome.epochs == int(np.argmin(validation)) == len(validation) - 21
    assert len(history(outcome.run_id, "train_loss")) == outcome.epochs + 1
    assert outcome.metrics["validation_mse"] == pytest.approx(min(validation), rel=1e-9)
    assert f"the parameters of epoch {outcome.epochs}" in tags(outcome.run_id)["stopped"]


def test_patience_without_validation_rows_is_told_before_anything_is_read(work):
    train = TrainConfig(trainer="gram", patience=3)
    with pytest.raises(UserError, match=r"train\.patience needs validation rows: set data\.validation_fraction"):
        run_flow(config(work / "not-there.csv", train))


@pytest.mark.usefixtures("work")
def test_a_warm_start_goes_on_from_the_champion_and_says_so():
    weak = {"trainer": "gram", "learning_rate": 0.1, "epochs": 30, "standardize": True, "dtype": "float64"}
    own = {**weak, "warm_start": "crop-yield"}
    nights = [run_flow(crops(train={**own, "epochs": 30 + i})) for i in range(3)]
    assert [n.version for n in nights] == [1, 2, 3]
    assert tags(nights[0].run_id)["start"] == "cold, seeded"
    assert [tags(n.run_id)["start"] for n in nights[1:]] == [f"warm, from crop-yield/{v}" for v in (1, 2)]
    whole = run_flow(crops(model="whole", train={**weak, "epochs": 93}))
    assert nights[2].metrics["train_loss"] == pytest.approx(whole.metrics["train_loss"], rel=1e-9)
    assert history(nights[1].run_id, "train_loss")[0] == pytest.approx(nights[0].metrics["train_loss"], rel=1e-9)
    assert registry.lookup(open_store(create=False), "crop-yield/2").facts["start"] == "crop-yield/1"


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    ("ref", "line"),
    [
        ("other@champion", "no model 'other'"),
        ("crop-yield/7", "has no version 7"),
        ("crop-yield@prod", "has no alias 'prod'"),
        ("a/b/c", "'a/b/c' names no model"),
    ],
)
def test_a_warm_start_from_what_is_not_there_is_the_users_error(ref, line):
    run_flow(crops(train=OPTIMUM))
    with pytest.raises(UserError, match=line):
        run_flow(crops(train={**OPTIMUM, "seed": 5, "warm_start": ref}))
    assert len(registry.versions(open_store(create=False))) == 1


@pytest.mark.usefixtures("work")
def test_a_schedule_ends_nearer_to_the_optimum_than_its_rate_alone():
    rough = {"trainer": "builtin", "batch_size": 5, "standardize": True, "learning_rate": 0.2, "epochs": 60, "seed": 1}
    plain = run_flow(crops(train=rough))
    cosine = run_flow(crops(train={**rough, "schedule": "cosine"}))
    assert cosine.metrics["excess_loss"] < 0.25 * plain.metrics["excess_loss"]


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
    assert content_key(crops(train={"trainer": "gram", "device": "auto"}, gate={"max_rmse": 3.0}), "d") == content_key(
        base, "d"
    )


def test_the_pictures_of_a_run_with_everything_on_are_there(work, pictures, tmp_path):  # noqa: ARG001 - drawn
    noisy(work / "noisy.csv", rows=80, gaps=True)
    train = TrainConfig(trainer="gram", learning_rate=0.3, epochs=60, l1=0.05, patience=10, schedule="cosine")
    how = {"missing": "mean", "weight": "w", "test_fraction": 0.2, "validation_fraction": 0.2}
    outcome = run_flow(config(work / "noisy.csv", train, **how))
    client = open_store(create=False).client
    held = {f.path for f in client.list_artifacts(outcome.run_id) if f.path.endswith(".png")}
    assert held == set(PICTURES)
    for name in held:
        path = client.download_artifacts(outcome.run_id, name, str(tmp_path))
        assert Path(path).read_bytes().startswith(b"\x89PNG")


def test_a_column_that_float32_cannot_hold_leaves_out_the_pytorch_form_and_says_so(work, capfd):
    frame = noisy(work / "noisy.csv")
    frame["a"] += 1e6
    frame.to_csv(work / "noisy.csv", index=False)
    outcome = run_flow(config(work / "noisy.csv"))
    assert outcome.decision == "promoted"
    assert any("the version has no mlflow.pytorch form" in note for note in outcome.notes)
    mlflow.set_tracking_uri(open_store(create=False).uri)
    with pytest.raises(mlflow.MlflowException, match='does not have the "pytorch" flavor'):
        mlflow.pytorch.load_model("models:/noisy@champion")
    x = frame[["a", "b", "c"]].to_numpy()
    expected = LinearRegression().fit(x, frame["y"]).predict(x)
    answer = mlflow.pyfunc.load_model("models:/noisy@champion").predict(frame)
    np.testing.assert_allclose(answer["y"], expected, rtol=1e-6)
    assert main(["show", "noisy"]) == 0
    assert "noisy/1 @champion" in capfd.readouterr().out


def test_thirty_partitions_give_errors_clustered_by_partition_beside_the_classical_ones(work, capfd):
    """Each day shifts all its rows: the classical errors of the intercept are too small, the clustered ones are not."""
    (work / "days").mkdir()
    rng = np.random.default_rng(3)
    frames = []
    for day in range(32):
        x = rng.normal(size=(40, 3))
        y = x @ [1.0, -2.0, 0.0] + 3 * rng.normal() + 0.5 * rng.normal(size=40)
        frames.append(pd.DataFrame(np.column_stack([x, y]), columns=["a", "b", "c", "y"]).assign(day=day))
        frames[-1].to_csv(work / "days" / f"{day:02d}.csv", index=False)
    assert run_flow(config(work / "days")).decision == "promoted"
    assert main(["show", "noisy", "--json"]) == 0
    found = json.loads(capfd.readouterr().out.splitlines()[-1])["targets"]["y"]["intercept"]
    whole = pd.concat(frames)
    fitted = sm.OLS(whole["y"].to_numpy(), sm.add_constant(whole[["a", "b", "c"]].to_numpy()))
    clustered = fitted.fit(cov_type="cluster", cov_kwds={"groups": whole["day"].to_numpy()}, use_t=True)
    assert found["standard_error"] == pytest.approx(fitted.fit().bse[0], rel=1e-8)
    assert found["clustered"]["standard_error"] == pytest.approx(clustered.bse[0], rel=1e-8)
    assert found["clustered"]["standard_error"] > 3 * found["standard_error"]
    assert [found["clustered"]["low"], found["clustered"]["high"]] == pytest.approx(clustered.conf_int()[0], rel=1e-8)
    assert main(["show", "noisy"]) == 0
    assert "clustered" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("name", "train", "data", "words"),
    [
        ("ridge", {"weight_decay": 0.1}, {}, "regularised (train.weight_decay = 0.1)"),
        ("lasso", {"l1": 0.1}, {}, "regularised (train.l1 = 0.1)"),
        ("gaps", {}, {"missing": "mean"}, "missing values were filled in as if measured"),
        ("unfinished", {"trainer": "gram", "learning_rate": 0.01, "epochs": 3}, {}, "standard errors from the optimum"),
        (
            "patient",
            {"trainer": "gram", "learning_rate": 0.5, "epochs": 500, "dtype": "float64", "patience": 5},
            {"validation_fraction": 0.3},
            "the validation rows chose when to stop (train.patience = 5)",
        ),
    ],
)
def test_where_errors_would_not_be_valid_the_reason_stands_in_their_place(work, capfd, name, train, data, words):
    noisy(work / "noisy.csv", gaps=name == "gaps")
    outcome = run_flow(config(work / "noisy.csv", replace(EXACT, **train), **data))
    assert words in tags(outcome.run_id)["inference"]
    assert "residual_standard_error.y" not in outcome.metrics
    assert main(["show", "noisy", "--json"]) == 0
    document = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert words in document["inference"]
    every = [document["targets"]["y"]["intercept"], *document["targets"]["y"]["coefficients"].values()]
    assert all(c["estimate"] is not None for c in every)
    assert all(c[k] is None for c in every for k in ("standard_error", "t", "p", "low", "high"))


@pytest.mark.usefixtures("work")
def test_a_warm_start_is_a_reason_too():
    run_flow(crops(train=OPTIMUM))
    outcome = run_flow(crops(train={**OPTIMUM, "warm_start": "crop-yield", "seed": 1}))
    assert "training started from crop-yield/1, whose rows count too" in tags(outcome.run_id)["inference"]


def test_a_warm_start_without_a_champion_is_a_cold_one_for_the_plan_too(folder, capfd):
    noisy(folder / "noisy.csv")
    table = {"path": "noisy.csv", "features": ["a", "b", "c"], "targets": ["y"]}
    Path("c.toml").write_text(tomli_w.dumps({"model": "noisy", "data": table, "train": {"warm_start": "noisy"}}))
    assert main(["plan", "c.toml"]) == 0
    assert not Path("mlruns").exists()
    assert main(["plan", "c.toml", "--set", "train.warm_start=noisy/1"]) == 2
    assert "there is no store" in capfd.readouterr().err


def test_versions_without_a_champion_are_no_reason_to_stay_dead(work):
    frame = noisy(work / "noisy.csv")
    warm = TrainConfig(trainer="gram", learning_rate=0.3, epochs=50, warm_start="noisy", device="cpu")
    run_flow(config(work / "noisy.csv", warm))
    store = open_store(create=False)
    store.client.delete_registered_model_alias("noisy", "champion")
    pd.concat([frame, frame]).to_csv(work / "noisy.csv", index=False)
    outcome = run_flow(config(work / "noisy.csv", warm))
    assert outcome.decision == "promoted"
    assert "cold start: noisy has no champion yet to start from" in outcome.notes
    with pytest.raises(UserError, match="has no version 7"):
        run_flow(config(work / "noisy.csv", replace(warm, warm_start="noisy/7", seed=3)))


def test_what_the_trainer_cannot_do_is_told_before_a_file_is_opened(work):
    with pytest.raises(UserError, match=r"'manual' takes no train\.l1"):
        run_flow(config(work / "not-there.csv", TrainConfig(trainer="manual", l1=1.0)))


@pytest.mark.parametrize("role", ["validation", "test"])
def test_a_row_too_far_to_be_squared_is_the_users_error(work, role):
    from linreg.ingest.dataset import read_dataset

    frame = noisy(work / "noisy.csv")
    how = {f"{role}_fraction": 0.3}
    rows = getattr(read_dataset(config(work / "noisy.csv", **how).data), role).select(["a"])[0, 0]
    frame["y"] *= 1e6
    frame.loc[frame["a"] == rows, "a"] = 9e149
    frame.to_csv(work / "noisy.csv", index=False)
    train = TrainConfig(trainer="gram", learning_rate=0.3, epochs=50, device="cpu", dtype="float64")
    with pytest.raises(UserError, match="too far from the training rows to be squared"):
        run_flow(config(work / "noisy.csv", train, **how))


def test_a_champion_that_fills_gaps_is_compared_on_a_column_that_has_some(work):
    noisy(work / "noisy.csv", gaps=True)
    run_flow(config(work / "noisy.csv", missing="mean", test_fraction=0.3))
    narrow = config(work / "noisy.csv", missing="drop", test_fraction=0.3)
    second = run_flow(replace(narrow, data=replace(narrow.data, features=("c",))))
    assert second.decision == "kept"
    assert "95% interval" in second.reason
    assert "baseline.champion.test_mse" in second.metrics


def test_the_defaults_that_content_keys_leave_out_are_these():
    """A default that changes its value makes other content of an old key: raise ``flows.ingest.KEY_FORMAT`` with it."""
    data = DataConfig(path="p", features=("a",), targets=("y",))
    values = json.dumps([asdict(data), asdict(TrainConfig())], sort_keys=True)
    assert (KEY_FORMAT, hashlib.sha256(values.encode()).hexdigest()[:16]) == (3, "993c1121c5bf94b7")


def test_a_model_that_may_know_the_test_rows_is_not_compared_nor_one_that_starts_from_it(work):
    noisy(work / "noisy.csv", rows=80)
    held_out = {"test_fraction": 0.4}
    run_flow(config(work / "noisy.csv", **held_out))
    run_flow(replace(config(work / "noisy.csv"), model="other"))
    step = TrainConfig(trainer="gram", epochs=1, learning_rate=1e-3, device="cpu")
    knows = run_flow(config(work / "noisy.csv", replace(step, warm_start="other"), **held_out))
    assert knows.decision == "kept"
    told = "it started from other/1, which was split with data.test_fraction 0, today's with 0.4; `linreg promote`"
    assert f"its test rows may be known to it: {told}" in knows.reason
    again = run_flow(config(work / "noisy.csv", replace(step, warm_start="noisy/2"), **held_out))
    assert again.decision == "kept"
    assert "it started from other/1" in again.reason
    fair = run_flow(config(work / "noisy.csv", replace(step, warm_start="noisy/1"), **held_out))
    assert "95% interval" in fair.reason


def test_fewer_training_rows_do_not_win_on_just_these(work):
    noisy(work / "noisy.csv", rows=40)
    run_flow(config(work / "noisy.csv"))
    fewer = run_flow(config(work / "noisy.csv", validation_fraction=0.5))
    assert fewer.decision == "kept"
    told = "version 1 was split with data.validation_fraction 0, today's with 0.5: the two had different training rows;"
    assert told in fewer.reason


@pytest.mark.parametrize("scale", [1e-155, 1e-200])
def test_a_version_of_columns_near_the_end_of_float64_can_be_shown(work, scale, capfd):
    frame = noisy(work / "noisy.csv", rows=40)
    frame["a"] *= scale
    frame.to_csv(work / "noisy.csv", index=False)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert run_flow(config(work / "noisy.csv", replace(EXACT, dtype="float64"))).decision == "promoted"
        assert main(["show", "noisy"]) == 0
        assert main(["show", "noisy", "--json"]) == 0
    json.loads(capfd.readouterr().out.splitlines()[-1], parse_constant=pytest.fail)
