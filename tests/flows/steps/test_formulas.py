"""Formulas through the steps: every way a version answers by raw columns, and champions beside other formulas."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from mlflow.exceptions import MlflowException

from flows.steps.evaluate import champion_losses
from linreg.config import Config
from linreg.data_config import DataConfig
from tests.support.command import document, linreg
from tests.support.flows import EXACT
from tests.support.steps import answer_elsewhere, register_run, train

FORMULA = "log(y) ~ center(x) * region + log(z) + I(x ** 2 > 9) + dayofweek(day) + elapsed(day, 'W')"


def frame(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    day = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 300, n), unit="D")
    table = pd.DataFrame({"x": rng.normal(2, 1, n), "z": rng.gamma(2, 3, n) + 0.1, "region": rng.choice(["n", "s"], n)})
    y = 0.3 * table["x"] + np.log(table["z"]) / 5 + (table["region"] == "s") + rng.normal(size=n) / 9
    return table.assign(day=day, y=np.exp(y))


def config(**data: object) -> Config:
    return Config(model="shops", data=DataConfig(**({"path": "rows", "formula": FORMULA} | data)), train=EXACT)


@pytest.fixture
def rows(work: Path) -> pd.DataFrame:  # noqa: ARG001 - the working directory
    Path("rows").mkdir()
    table = frame(300, 0)
    table.to_parquet("rows/1.parquet")
    return table


def test_a_version_answers_by_the_raw_columns_without_this_package(store, rows):
    version = register_run(train(store, config())).version
    assert document("predict", "shops", "rows/1.parquet", "-o", "out.csv")["rows"] == 300
    scored = pd.read_csv("out.csv")
    assert list(scored.columns) == ["x", "region", "z", "day", "predicted_log(y)"]
    peer = rows.assign(week=(rows["day"] - rows["day"].min()).dt.days, weekday=rows["day"].dt.day_name())
    fitted = smf.ols("np.log(y) ~ x * region + np.log(z) + I(x ** 2 > 9) + weekday + week", peer).fit().fittedvalues
    np.testing.assert_allclose(scored["predicted_log(y)"], fitted, rtol=1e-8)
    mlflow.set_tracking_uri(store.uri)
    folder = mlflow.artifacts.download_artifacts(version.source, dst_path="model")
    answer_elsewhere(
        folder,
        "rows = pandas.read_parquet('rows/1.parquet')[['day', 'x', 'z', 'region']]\n"
        "model.predict(rows).to_csv('answer.csv', index=False)\n"
        "model.predict(rows.assign(day=rows['day'].astype(str))).to_csv('by_text.csv', index=False)\n",
    )
    for answer in ("answer.csv", "by_text.csv"):
        np.testing.assert_allclose(pd.read_csv(answer)["log(y)"], scored["predicted_log(y)"], rtol=1e-12)
    model = mlflow.pyfunc.load_model(folder)
    for column, value, words in (
        ("day", "30.11.2026", r"column 'day' holds '30\.11\.2026', no date, in row 1"),
        ("day", None, "column 'day' holds no date in row 1"),
        ("z", -1.0, r"column 'log\(z\)' is not finite in row 1"),
        ("region", "mars", "column 'region' holds 'mars' in row 1"),
    ):
        wrong = rows[:3].astype({column: object})
        wrong.loc[1, column] = value
        with pytest.raises(MlflowException, match=words):
            model.predict(wrong)
    (Path(folder) / "expression.py").write_text("changed")
    with pytest.raises(MlflowException, match=r"expression\.py of this model is not the file that was logged"):
        mlflow.pyfunc.load_model(folder)


@pytest.mark.usefixtures("rows")
def test_the_same_formula_is_unchanged_and_another_is_judged_beside_it(store):
    first = register_run(train(store, config(test_fraction=0.3)))
    assert first.verdict.decision == "promoted"
    night = train(store, config(test_fraction=0.3, formula="log(y) ~ x + C(region) + month(day)"))
    losses = champion_losses(night.run_input.champion, night.run_input, night.config.data)
    test, model = night.run_input.dataset.test, night.run_input.champion.model
    today = pd.read_parquet("rows/1.parquet").set_index("x", drop=False).loc[test.select(["x"])[:, 0]]
    today[list(model.inputs)].to_parquet("today.parquet")
    document("predict", "shops", "today.parquet", "-o", "out.csv")
    errors = pd.read_csv("out.csv")["predicted_log(y)"].to_numpy() - np.log(today["y"].to_numpy())
    np.testing.assert_allclose(losses[:, 0], errors**2, rtol=1e-9)
    assert register_run(night).verdict.decision == "kept"
    compared = linreg("diff", "shops/1", "shops/2")
    assert "the data moved nothing; the other columns moved it" in " ".join(compared.out.split())


@pytest.mark.usefixtures("rows")
def test_a_champion_that_took_a_date_is_not_compared_where_it_is_no_date(store):
    register_run(train(store, config(formula="y ~ x + elapsed(day)")))
    rows = pd.read_parquet("rows/1.parquet")
    rows.assign(day=rows["day"].astype("int64") / 1e9).to_parquet("rows/1.parquet")
    night = train(store, config(formula="y ~ x + day"))
    assert "does not take day as today's config does" in register_run(night).verdict.reason
