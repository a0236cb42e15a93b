"""Categories through the steps: every way a version answers, what a run says of its levels, the gate, two versions."""

import re
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from mlflow.exceptions import MlflowException

from flows.results.outcome import notes
from flows.steps.drift import compare
from flows.steps.evaluate import champion_losses
from flows.tracking import registry
from flows.tracking.rescore import rescored
from linreg.config import Config, TrainConfig
from linreg.data_config import DataConfig
from linreg.judging_config import DriftConfig
from tests.support.command import document, linreg
from tests.support.flows import EXACT
from tests.support.steps import answer_elsewhere, register_run, train


def frame(n: int, seed: int, regions: str) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    region, x = rng.choice(regions.split(), n), rng.normal(size=n)
    code = rng.choice([1, 2, 10], n)
    y = 2 * x + pd.Series(region).str.len() + 0.2 * code + 0.3 * rng.normal(size=n)
    return pd.DataFrame({"x": x, "region": region, "code": code, "y": y})


def config(**data: object) -> Config:
    keys = {"path": "rows", "features": ("region", "x"), "categorical": ("region", "code"), "targets": ("y",)}
    return Config(model="shops", data=DataConfig(**(keys | data)), train=EXACT)


@pytest.fixture
def rows(work: Path) -> pd.DataFrame:  # noqa: ARG001 - the working directory
    Path("rows").mkdir()
    table = frame(300, 0, "north south west")
    table.to_parquet("rows/1.parquet")
    return table


def test_a_version_answers_by_the_raw_columns_without_this_package(store, rows):
    version = register_run(train(store, config())).version
    peer = smf.ols("y ~ C(region) + x + C(code)", rows).fit()
    assert document("predict", "shops", "rows/1.parquet", "-o", "out.csv")["rows"] == 300
    scored = pd.read_csv("out.csv")
    assert list(scored.columns) == ["region", "x", "code", "predicted_y"]
    np.testing.assert_allclose(scored["predicted_y"], peer.fittedvalues, rtol=1e-9)
    mlflow.set_tracking_uri(store.uri)
    folder = mlflow.artifacts.download_artifacts(version.source, dst_path="model")
    answer_elsewhere(
        folder,
        "rows = pandas.read_parquet('rows/1.parquet')[['code', 'x', 'region']].astype({'code': float})\n"
        "model.predict(rows).to_csv('answer.csv', index=False)\n",
    )
    np.testing.assert_allclose(pd.read_csv("answer.csv")["y"], scored["predicted_y"], rtol=1e-12)
    model = mlflow.pyfunc.load_model(folder)
    with pytest.raises(MlflowException, match=r"'region' holds 'mars' in row 1 .* no training row had"):
        model.predict(rows[:3].assign(region=["west", "mars", "west"]))
    with pytest.raises(MlflowException, match="'region' holds no level in row 0"):
        model.predict(rows[:2].assign(region=[None, "west"]))


def test_show_names_levels_bases_and_statsmodels_errors(store, rows):
    register_run(train(store, config()))
    shown = document("show", "shops")["targets"]["y"]["coefficients"]
    peer = smf.ols("y ~ C(region) + x + C(code)", rows).fit()
    expected = {re.sub(r"C\((\w+)\)\[T\.(.*)\]", r"\1[\2]", name): i for i, name in enumerate(peer.params.index)}
    assert list(shown) == ["region[south]", "region[west]", "x", "code[2]", "code[10]"]
    for name, c in shown.items():
        i = expected[name]
        ours = [c["estimate"], c["standard_error"], c["low"], c["high"]]
        assert ours == pytest.approx([peer.params.iloc[i], peer.bse.iloc[i], *peer.conf_int().iloc[i]], rel=1e-9)
    assert "base       region north (3 levels), code 1 (3 levels)" in linreg("show", "shops").out


@pytest.mark.usefixtures("rows")
def test_a_run_says_which_levels_come_and_go_and_the_champion_is_judged_beside_it(store):
    register_run(train(store, config(unseen="base", test_fraction=0.3)))
    frame(300, 1, "south east").to_parquet("rows/2.parquet")
    night = train(store, config(unseen="base", test_fraction=0.3, window=1))
    said = notes(night.config, night.run_input)
    assert "region: no row is at north, west any more, which version 1 knows" in said
    assert "region: east is new since version 1" in said
    champion = night.run_input.champion
    losses = champion_losses(champion, night.run_input, night.config.data)
    test = night.run_input.dataset.test
    today = pd.read_parquet("rows/2.parquet").set_index("x", drop=False).loc[test.select(["x"])[:, 0]]
    wanted = {"region[south]": today["region"] == "south", "region[west]": False, "x": today["x"]}  # east: the base
    design = pd.DataFrame(wanted | {"code[2]": today["code"] == 2, "code[10]": today["code"] == 10})
    predicted = champion.model.predict(design[list(champion.model.features)])[:, 0]
    np.testing.assert_allclose(losses[:, 0], (predicted - today["y"]) ** 2, rtol=1e-9)
    assert register_run(night).verdict.decision == "promoted"
    rescored_first = next(r for r in rescored(store, registry.versions(store, "shops")) if r.version.version == 1)
    assert (rescored_first.scores.mse, rescored_first.note) == (pytest.approx(losses.mean(), rel=1e-9), "")
    compared = " ".join(linreg("diff", "shops/1", "shops").out.split())
    assert "region: the base is north in shops/1 and east in shops/2" in compared


@pytest.mark.usefixtures("rows")
def test_drift_judges_a_champion_whose_base_and_level_are_gone(store):
    """Today's base is a column of the champion's, its own base is none of today's, and of one level there is no row."""
    register_run(train(store, config()))
    today = frame(300, 1, "mars south east")
    today.to_parquet("rows/2.parquet")
    night = train(store, config(window=1))
    model, measured = night.run_input.champion.model, compare(DriftConfig(), night.run_input).drift
    wanted = {name: today["x"] if name == "x" else 0.0 for name in model.features}
    wanted |= {f"region[{level}]": today["region"] == level for level in ("south", "west")}
    wanted |= {f"code[{level}]": today["code"] == level for level in (2, 10)}
    residual = today["y"] - model.predict(pd.DataFrame(wanted)[list(model.features)])[:, 0]
    (bias,), (error,) = measured.findings["bias"], measured.findings["error"]
    assert (bias.now, error.now) == pytest.approx((residual.mean(), residual.std()), rel=1e-9)
    assert "region[west]: not among the columns of today" in measured.not_compared


@pytest.mark.usefixtures("rows")
def test_a_champion_that_took_a_column_otherwise_is_not_compared(store):
    register_run(train(store, config(features=("x", "code"), categorical=("region",))))
    night = train(store, config(features=("x",), categorical=("region", "code")))
    assert "does not take code as today's config does" in register_run(night).verdict.reason
    registry.promote(store, "shops", 2, why="by hand", flow_run_id=None)
    for features in (("x", "code"), ("x",)):
        night = train(store, config(features=features, categorical=("region",), test_fraction=0.1 * len(features)))
        assert register_run(night).verdict.decision == "kept"


@pytest.mark.parametrize("trainer", ["gram", pytest.param("fused", marks=pytest.mark.long)])
@pytest.mark.usefixtures("rows")
def test_a_sweep_ranks_models_of_rows_with_categories(trainer):
    """By folds, or on validation rows where batches are walked."""
    by_batches = trainer == "fused"
    Path("s.toml").write_text(
        'model = "s"\n[data]\npath = "rows"\nfeatures = ["x"]\ncategorical = ["region"]\ntargets = ["y"]\n'
        f"validation_fraction = {0.2 * by_batches}\n"
        f'[train]\ntrainer = "{trainer}"\nlearning_rate = 0.1\nbatch_size = {64 * by_batches}\n'
    )
    runs = document("sweep", "s.toml", "--grid", "train.weight_decay=0,10")["runs"]
    assert [run["values"]["train.weight_decay"] for run in runs] == [0, 10]
    assert runs[0]["loss"] < runs[1]["loss"]


@pytest.mark.usefixtures("work")
def test_mini_batches_of_many_levels_come_to_the_optimum_by_themselves():
    """No row is at two levels: were all taken to be farthest out at once, no rate would do and ``exact`` trained."""
    rng = np.random.default_rng(0)
    region, x = np.arange(6000) % 60, rng.normal(size=6000)
    pd.DataFrame({"region": region, "x": x, "y": x + region % 7 + rng.normal(size=6000)}).to_parquet("rows.parquet")
    Path("m.toml").write_text(
        'model = "m"\n[data]\npath = "rows.parquet"\nfeatures = ["x"]\ncategorical = ["region"]\ntargets = ["y"]\n'
        '[train]\nbatch_size = 300\ndtype = "float64"\n'
    )
    outcome = document("run", "m.toml")
    assert outcome["trainer"] == "fused"
    assert document("show", "m")["inference"] == "valid"
    assert "no row's |z|^2 is above 76" in document("plan", "m.toml")["advice"][0]


WARM = {
    ("x", "region[south]"): {"categorical": ("region",), "features": ("x", "region")},
    ("x", "C(region)[T.south]", "x:C(region)[T.south]"): {
        "features": (),
        "targets": (),
        "categorical": (),
        "formula": "y ~ x * C(region)",
    },
}


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("features", WARM)
def test_a_warm_start_takes_levels_that_come_and_go(store, features):
    """The descent that starts from the champion goes to the optimum of today's levels."""
    register_run(train(store, config(**WARM[features])))
    frame(300, 1, "south east").to_parquet("rows/1.parquet")
    warm = {"trainer": "gram", "learning_rate": 0.3, "epochs": 500, "warm_start": "shops", "dtype": "float64"}
    night = config(**WARM[features])
    night = train(store, Config(model="shops", data=night.data, train=TrainConfig(**warm)))
    assert night.fitted.model.features == features
    assert night.fitted.excess_loss[-1] < 1e-12 < night.fitted.excess_loss[0]
