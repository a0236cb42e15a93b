"""Formulas from the file to the design, beside formulaic's own matrix and statsmodels' fit of it."""

import re

import formulaic
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sklearn.datasets
import statsmodels.api as sm
import statsmodels.formula.api as smf

from linreg.config import Config, TrainConfig
from linreg.config_file import load, to_toml
from linreg.data_config import DataConfig
from linreg.errors import UserError
from linreg.evaluation.predict import predict_rows
from linreg.evaluation.score_files import score
from linreg.ingest.dataset import read_dataset
from linreg.ingest.part import HELD_OUT
from linreg.ingest.records import RecordedDataset, record_dataset
from linreg.least_squares.inference import HalfWidths, infer
from linreg.least_squares.objective import Objective
from linreg.model import LinearModel
from linreg.moments.moments import Moments
from linreg.training.fit import fit
from tests.support.files import write

DAYS = pd.date_range("2024-01-01", periods=7).day_name()
MONTHS = pd.date_range("2024-01-01", periods=12, freq="MS").month_name()


def frame(n: int = 200, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 700, n), unit="D")
    columns = {"x": rng.normal(5, 2, n), "z": rng.gamma(2, 3, n) + 0.1, "region": rng.choice(["n", "s", "e"], n)}
    table = pd.DataFrame(columns | {"code": rng.choice([3, 10, 2], n), "flag": rng.choice([True, False], n)})
    table["odd name"] = rng.normal(size=n)
    table["code5"] = rng.choice(["v", "w", "x", "y", "z"], n)
    table["when"] = when
    return table.assign(y=rng.normal(size=n) + table["x"], v=rng.gamma(2, 3, n), w=rng.uniform(0.1, 2, n))


def calendar(values: pd.Series, names: pd.Index) -> pd.Series:
    return pd.Series(pd.Categorical(values, [name for name in names if (values == name).any()]), values.index)


CONTEXT = {
    "dayofweek": lambda t: calendar(t.dt.day_name(), DAYS),
    "month": lambda t: calendar(t.dt.month_name(), MONTHS),
    "elapsed": lambda t, unit="D": (t - pd.Timestamp(0)) / pd.Timedelta(1, unit),
    "log1p": np.log1p,
    "maximum": np.maximum,
}


def config(path: object, formula: str, **changes: object) -> DataConfig:
    return DataConfig(path=str(path), formula=formula, **changes)


def assert_as_statsmodels(recorded: RecordedDataset, formula: str, rows: pd.DataFrame, weight: str = "") -> None:
    """Names, slopes and intercept are those of statsmodels' fit of formulaic's matrix."""
    matrix = formulaic.model_matrix(formula, rows, context=CONTEXT)
    columns = [name for name in matrix.rhs.columns if name != "Intercept"]
    moments = recorded.record.moments
    assert list(moments.features) == columns
    assert recorded.dataset.train.features == tuple(columns)
    for o, target in enumerate(matrix.lhs.columns):
        weights = rows[weight] if weight else np.ones(len(rows))
        expected = sm.WLS(np.asarray(matrix.lhs[target]), np.asarray(matrix.rhs, dtype=float), weights=weights).fit()
        assert moments.solve().bias_O[o] == 0 or "Intercept" in matrix.rhs.columns
        slopes = dict(zip(matrix.rhs.columns, expected.params, strict=True))
        scale, ours = np.abs(expected.params).max(), moments.solve().weight_OF[o]
        np.testing.assert_allclose(ours, [slopes[c] for c in columns], rtol=1e-9, atol=1e-11 * scale)


def optimum(moments: Moments) -> LinearModel:
    objective = Objective.of(moments, standardize=True)
    return objective.model(objective.optimum_DO)


FORMULAS = [
    "y ~ code5:region",
    "y ~ region:code5 + x",
    "y ~ C(code):x:region + region + x",
    "y ~ x + x:region:C(code)",
    "y ~ x / (region:C(code))",
    "y ~ center(x) + center(x):C(code):region",
    "y ~ dayofweek(when):region",
    "y ~ np.sin(2 * np.pi * z) + x",
    "y ~ C(code, contr.treatment(10), levels=[3, 10, 2]) * x",
    "y ~ x + z - 1",
    "y ~ 0 + region + x",
    "y ~ C(code) * region - 1",
    "y ~ center(x) + region:z - 1",
    "y ~ x * z + region",
    "y + v ~ log(z) + I(x ** 2) + C(code)",
    "y ~ region * C(code) + x",
    "y ~ x + region:x",
    "y ~ x:C(code):region + z",
    "y ~ (x + z + region) ** 2",
    "log(v) ~ x / region + np.sqrt(z)",
    "y ~ C(code, levels=[10, 3, 2]) * x",
    "y ~ C(region, contr.treatment('s')) * x",
    "y ~ center(x) * center(z) + region",
    "y ~ center(x):region + scale(z):center(x) + scale(log(z)):C(code)",
    "y ~ dayofweek(when) * x + elapsed(when, 'W')",
    "y ~ month(when) + elapsed(when):region",
    "y ~ `odd name` + I(`odd name` ** 2 + x) + flag",
    "y ~ I((x > 4) & (z < 5)) + maximum(x - 5, 0) + log1p(z)",
]


@pytest.mark.parametrize(("formula", "suffix"), [(f, ["csv", "parquet"][i % 2]) for i, f in enumerate(FORMULAS)])
def test_a_formula_is_the_one_of_formulaic_and_statsmodels(tmp_path, formula, suffix):
    rows = frame()
    for i, part in enumerate(np.array_split(np.arange(len(rows)), 3)):
        write(tmp_path / "rows" / f"{i}.{suffix}", rows.iloc[part].reset_index(drop=True))
    recorded = record_dataset(config(tmp_path / "rows", formula), held=HELD_OUT)
    assert_as_statsmodels(recorded, formula, rows)
    dataset = read_dataset(config(tmp_path / "rows", formula))
    by_rows = fit(dataset.train, TrainConfig(trainer="exact")).model
    np.testing.assert_allclose(by_rows.weight_OF, recorded.record.moments.solve().weight_OF, rtol=1e-9)
    expected = formulaic.model_matrix(formula, rows, context=CONTEXT)
    fitted = sm.OLS(np.asarray(expected.lhs), np.asarray(expected.rhs, dtype=float)).fit().fittedvalues
    np.testing.assert_allclose(predict_rows(by_rows, dataset.train), np.reshape(fitted, (len(rows), -1)), rtol=1e-9)
    score(by_rows, str(tmp_path / "rows"), tmp_path / "scored.parquet")
    scored = pd.read_parquet(tmp_path / "scored.parquet")
    assert list(scored.columns[: -len(by_rows.targets)]) == list(by_rows.inputs)
    np.testing.assert_array_equal(scored.iloc[:, -len(by_rows.targets) :], predict_rows(by_rows, dataset.train))


def test_weights_and_text_by_type_and_categories_that_are_named(tmp_path):
    rows = frame()
    write(tmp_path / "1.parquet", rows)
    formula = "y ~ scale(x):region + code"
    recorded = record_dataset(config(tmp_path, formula, weight="w", categorical=("code",)))
    features = recorded.record.moments.features
    assert features[:2] == ("code[T.3]", "code[T.10]")  # codes in their order
    mean = np.average(rows["x"], weights=rows["w"])
    spread = np.sqrt(np.average((rows["x"] - mean) ** 2, weights=rows["w"]) * len(rows) / (len(rows) - 1))
    scaled = (rows["x"] - mean) / spread
    columns = [rows["code"] == 3, rows["code"] == 10, *(scaled * (rows["region"] == level) for level in "ens")]
    x_NF = np.column_stack([np.ones(len(rows)), *columns])
    expected = sm.WLS(rows["y"].to_numpy(), x_NF.astype(float), weights=rows["w"].to_numpy()).fit()
    assert features[2:] == ("scale(x):region[e]", "scale(x):region[n]", "scale(x):region[s]")
    solution = recorded.record.moments.solve()
    predicted = (recorded.dataset.train.arrays()[0] - solution.mean_F) @ solution.weight_OF.T + solution.bias_O
    np.testing.assert_allclose(predicted[:, 0], expected.fittedvalues, rtol=1e-9)


def test_nights_with_new_levels_have_the_bits_of_a_full_run(tmp_path):
    formula = "y ~ center(x) * region + log(z) + dayofweek(when)"
    folder, cache = tmp_path / "rows", tmp_path / "cache"
    for night in range(6):
        rows = frame(80, night)
        rows["region"] += str(night) * (night % 2)
        write(folder / f"{night}.csv", rows.assign(when=rows["when"].dt.date))
        recorded = record_dataset(config(folder, formula), held=HELD_OUT, cache=cache)
        assert recorded.read == 1
        full = record_dataset(config(folder, formula), held=HELD_OUT)
        assert recorded.dataset.train.design == full.dataset.train.design
        assert recorded.record.moments.root_KK.tobytes() == full.record.moments.root_KK.tobytes()
        assert recorded.record.moments.shift_P.tobytes() == full.record.moments.shift_P.tobytes()


@pytest.mark.parametrize("missing", ["drop", "mean", "indicator"])
def test_gaps_of_what_a_formula_takes(tmp_path, missing):
    rows = frame()
    rows.loc[[3, 70], "z"] = np.nan
    rows.loc[[5], "x"] = np.nan
    write(tmp_path / "1.parquet", rows)
    recorded = record_dataset(config(tmp_path, "y ~ log(z) + x:region + center(v)", missing=missing))
    moments = recorded.record.moments
    levels = [rows["x"].where(rows["x"].isna() | (rows["region"] == level), 0.0) for level in "ens"]
    matrix = np.column_stack([np.log(rows["z"]), *levels, rows["v"]])
    gap = np.isnan(matrix)
    used = ~gap.any(axis=1) if missing == "drop" else np.ones(len(rows), bool)
    matrix = np.where(gap, np.nanmean(matrix, axis=0), matrix)[used]
    if missing == "indicator":
        matrix = np.column_stack([matrix, gap[:, 0], gap[:, 1:4].any(axis=1)])
    peer = sm.OLS(rows["y"].to_numpy()[used], sm.add_constant(matrix.astype(float))).fit()
    names = ["log(z)", "center(v)", "x:region[e]", "x:region[n]", "x:region[s]"]
    assert sorted(moments.features) == sorted(names + ["log(z)[missing]", "x[missing]"] * (missing == "indicator"))
    solution = moments.solve()
    assert solution.residual_O[0] == pytest.approx(peer.ssr, rel=1e-10)
    assert recorded.dataset.dropped == (3 if missing == "drop" else 0)


ZONE = "America/New_York"


def zoned(t: pd.Series) -> pa.Array:
    return pa.array(t.dt.tz_localize(ZONE).dt.tz_convert("UTC").dt.tz_localize(None)).cast(pa.timestamp("us", ZONE))


DATES = {
    "date32": lambda t: pa.array(t.dt.date, pa.date32()),
    "nanoseconds": lambda t: pa.array(t, pa.timestamp("ns")),
    "a zone": zoned,
    "text": lambda t: pa.array(t.dt.strftime("%Y-%m-%d %H:%M")),
    "text of a zone": lambda t: pa.array(t.dt.strftime("%Y-%m-%dT%H:%M:%SZ")),
    "a dictionary": lambda t: pa.array(t.dt.strftime("%Y-%m-%d")).dictionary_encode(),
}


@pytest.mark.parametrize("kind", DATES)
def test_dates_of_any_type_are_the_same_days(tmp_path, kind):
    rows = frame()
    formula = "y ~ elapsed(when, 'h') + dayofweek(when) + month(when)"
    table = pa.table({"y": rows["y"], "when": DATES[kind](rows["when"])})
    write(tmp_path / "1.parquet", table)
    recorded = record_dataset(config(tmp_path, formula))
    assert_as_statsmodels(recorded, formula, rows)


def test_a_date_may_be_in_the_names_of_folders(tmp_path):
    rows = frame()
    rows["when"] = rows["when"].dt.to_period("M").dt.start_time
    for day, own in rows.groupby("when"):
        write(tmp_path / "rows" / f"day={day:%Y-%m-%d}" / "1.csv", own[["x", "y"]])
    rows = rows.sort_values("when", kind="stable")
    data = config(tmp_path / "rows", "y ~ x + elapsed(day) + month(day)")
    dataset = read_dataset(data)
    peer = formulaic.model_matrix("y ~ x + elapsed(when) + month(when)", rows, context=CONTEXT)
    expected = sm.OLS(np.asarray(peer.lhs), np.asarray(peer.rhs, float)).fit()
    ours = record_dataset(data).record.moments.solve().weight_OF[0]
    np.testing.assert_allclose(ours, expected.params[1:], rtol=1e-9, atol=1e-12)
    model = fit(dataset.train, TrainConfig(trainer="exact")).model
    day = rows["when"].iloc[0]
    score(model, str(tmp_path / "rows" / f"day={day:%Y-%m-%d}"), tmp_path / "out.csv")
    scored = pd.read_csv(tmp_path / "out.csv")
    assert set(scored["day"]) == {f"{day:%Y-%m-%d}"}
    np.testing.assert_allclose(scored["predicted_y"], expected.fittedvalues[: len(scored)], rtol=1e-9)


REFUSED = {
    "y ~ (x + z)**9": r"a power of 9: interactions of more than 5",
    "elapsed(when) ~ x": r"cannot have elapsed\(when\) as a target",
    "y ~ I(" + "+".join(["x"] * 300) + ")": "nests deeper than 100",
    "y ~ log(_quoted_0)": "column '_quoted_0' is missing",
    "y ~ month(when) + when": "takes column 'when' as a date and as it stands",
    "y ~ hour(when)": r"floor\(elapsed\(t, \"h\"\) % 24\)",
    "y ~ C(code, contr.treatment(7), levels=[2, 3])": "'7' as the base of 'code'",
    "y ~ C(code, levels=[])": "must list its levels",
    "y ~ x + I(1" + "0" * 400 + " * x)": "a number that float64 does not hold",
    "y ~ poly(x, 2)": r"'poly\(x, 2\)' calls poly\(\), which is not read: .* x \+ I\(x \*\* 2\)",
    "y ~ bs(x, df=4)": r"maximum\(x - 10, 0\)",
    "y ~ -1": "has no term",
    "y ~ C(region, contr.sum)": "no treatment coding",
    "y ~ .": "write its columns",
    "y ~ __import__('os').getcwd()": "is no formula",
    "y ~ x.__class__": "column 'x.__class__' is missing",
    "y ~ I(center(x) ** 2)": "inside of an expression",
    "y ~ lagg(x)": "lagg",
    "y ~ I(2)": "names no column",
    "y ~ x + y": "on both sides",
    "region ~ x": "column 'region' is large_string, not numbers",
    "y ~ C(region) + region": "in several ways",
    "y ~ C(x) + x:z + I(x * 2)": "takes column 'x' as a number and as a category",
    "y ~ C(region, levels=['a', 'b'])": "training rows are at",
    "y ~ C(region, contr.treatment('mars'))": "'mars' as the base of 'region'",
    "~ x": "write targets, a ~",
    "y ~ when": "column 'when' is timestamp.*: take of it what matters by data.formula",
    "y ~ dayofweek(x)": "column 'x' is double, not dates",
    "y ~ x + nowhere": "column 'nowhere' is missing",
    "y ~ scale(x) + elapsed(when, 'year')": "the unit one of s, min, h, D, W",
    "y ~ log(x, 10)": r"log\(\) 1 argument",
}


@pytest.mark.parametrize("formula", REFUSED)
def test_what_a_formula_cannot_be_says_what_to_write(tmp_path, formula):
    write(tmp_path / "1.parquet", frame())
    with pytest.raises(UserError, match=REFUSED[formula]):
        record_dataset(config(tmp_path, formula))


CELLS = {
    "I(x * (-8) ** (1 / 3))": ("x", "2.5", "line 2, column 'x': the value"),
    "I(x + 1 / 0)": ("x", "2.5", "gives I(x + 1 / 0) no finite value (200 such in the column)"),
    "log(x)": ("x", "-3.0", "line 4, column 'x': the value '-3.0' gives log(x) no finite value"),
    "I(1 / x)": ("x", "0", "line 4, column 'x': the value '0' gives I(1 / x) no finite value"),
    "elapsed(when)": ("when", "30.11.2026", "line 4, column 'when': the value '30.11.2026' is no date: write it like"),
    "month(when)": ("when", "", "line 4, column 'when': the value is missing"),
    "square(x)": ("x", "1e30", "line 4, column 'x': the value '1e30' gives square(x) a value that is beyond float32"),
    "exp(x)": ("x", "800", "line 4, column 'x': the value '800' gives exp(x) no finite value"),
}


@pytest.mark.parametrize("term", CELLS)
def test_a_row_of_which_a_term_has_no_value_is_named(tmp_path, term):
    column, cell, words = CELLS[term]
    rows = frame().assign(x=lambda t: t["x"].abs() + 1).astype({"x": object, "when": str})
    rows.loc[2, column] = cell
    write(tmp_path / "1.csv", rows)
    with pytest.raises(UserError) as caught:
        record_dataset(config(tmp_path, f"y ~ {term} + z"))
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "1.csv"))


def test_a_row_that_is_scored_without_a_value_has_none(tmp_path):
    rows = frame().assign(x=lambda t: t["x"].abs() + 1)
    write(tmp_path / "1.parquet", rows)
    model = fit(read_dataset(config(tmp_path, "y ~ log(x) + month(when)")).train, TrainConfig(trainer="exact")).model
    scored = rows[["x", "when"]].copy()
    scored.loc[3, "x"], scored.loc[5, "when"] = -1.0, None
    write(tmp_path / "new.parquet", scored)
    assert score(model, str(tmp_path / "new.parquet"), tmp_path / "out.csv") == (200, 2)
    assert np.flatnonzero(pd.read_csv(tmp_path / "out.csv")["predicted_y"].isna()).tolist() == [3, 5]
    for row, column, words in ((3, "x", "gives log(x) no finite value"), (5, "when", "is missing")):
        only = rows[["x", "when"]].copy()
        only.loc[row, column] = scored.loc[row, column]
        write(tmp_path / "new.parquet", only)
        with pytest.raises(UserError) as caught:
            score(model, str(tmp_path / "new.parquet"), tmp_path / "out.csv", strict=True)
        assert f"row {row + 1}, column '{column}'" in str(caught.value)
        assert words in str(caught.value)


def test_a_config_of_a_formula_says_one_thing(tmp_path):
    for keys, words in (
        ({"features": ("x",)}, "data.features and data.formula are both there"),
        ({"targets": ("z",)}, "data.targets is not what data.formula has on its left"),
        ({"categorical": ("z",)}, "data.categorical names"),
        ({"categorical": ("x",), "formula": "y ~ log(x)"}, "data.categorical names .* takes as numbers or dates"),
        (
            {"weight": "w", "formula": "log(w) ~ x"},
            "data.weight 'w' is a feature or a target too",
        ),
        ({"missing": "mean", "formula": "y ~ center(x):region"}, 'data.missing "mean" cannot fill'),
    ):
        with pytest.raises(UserError, match=words):
            DataConfig(**({"path": str(tmp_path), "formula": "y ~ x + region"} | keys))
    text = to_toml(Config(model="m", data=config("rows", "log(y) ~ center(x) + C(region)")))
    (tmp_path / "c.toml").write_text(text)
    assert to_toml(load(tmp_path / "c.toml")) == text
    taken = config("rows", "log(y) ~ x + C(region, levels=['b', 'a'])")
    assert (taken.targets, taken.categorical, taken.levels) == (("log(y)",), ("region",), {"region": ("b", "a")})


@pytest.mark.parametrize(
    "keys", [{}, {"dtype": "float64", "weight_decay": 0.1}, {"momentum": 0.9, "standardize": False}]
)
def test_a_descent_without_an_intercept_ends_at_its_optimum(tmp_path, keys):
    write(tmp_path / "1.parquet", frame())
    rows = read_dataset(config(tmp_path, "y ~ x + scale(z):region - 1")).train
    fitted = fit(rows, TrainConfig(**keys))
    assert fitted.trainer == "gram"
    assert fitted.model.bias_O.tolist() == [0.0]
    assert fitted.model.mean_F.tolist() == [0.0] * 4
    x_NF, y_NO = rows.arrays()
    if "weight_decay" not in keys:
        judge = sm.OLS(y_NO[:, 0], x_NF).fit()
        assert np.abs((fitted.model.weight_OF[0] - judge.params) / judge.bse).max() < 0.01
    else:
        scale = np.sqrt((x_NF**2).mean(axis=0))
        hessian = 2 * (x_NF / scale).T @ (x_NF / scale) / len(x_NF) + 0.1 * np.eye(4)
        expected = np.linalg.solve(hessian, 2 * (x_NF / scale).T @ y_NO[:, 0] / len(x_NF)) / scale
        np.testing.assert_allclose(fitted.model.weight_OF[0], expected, rtol=1e-3)
    for trainer in ("manual", "fused"):
        with pytest.raises(UserError, match=r"trains an intercept, which data\.formula leaves out"):
            fit(rows, TrainConfig(trainer=trainer, batch_size=0 if trainer == "manual" else 32))


PACKAGE_TABLES = {  # tables of statsmodels and scikit-learn, each with what a statistician may ask of it
    "fair": "affairs ~ rate_marriage * age + C(religious) + log(yrs_married) + I(educ ** 2)",
    "anes96": "PID ~ income * C(educ) + logpopul + center(age)",
    "ccard": "AVGEXP ~ AGE * OWNRENT + INCOME + INCOMESQ",
    "engel": "log(foodexp) ~ log(income) + I(log(income) ** 2)",
    "grunfeld": "invest ~ value * firm + capital:firm",
    "heart": "log(survival) ~ age * censors",
    "longley": "TOTEMP ~ GNPDEFL + scale(GNP) * center(YEAR)",
    "scotland": "YES ~ COUTAX * UNEMPF + MOR + ACT + GDP - 1",
    "statecrime": "murder ~ center(urban) * single + poverty",
    "macrodata": "log(realgdp) ~ year + C(quarter) * infl + unemp",
    "modechoice": "ttme ~ C(mode) * hinc + invc + C(psize)",
    "copper": "WORLDCONSUMPTION ~ log(COPPERPRICE) * TIME + I(INCOMEINDEX > 1)",
    "iris": "Q('sepal length (cm)') ~ C(target) * Q('petal length (cm)') + `sepal width (cm)`",
    "wine": "alcohol ~ C(target) + log(proline) * color_intensity",
    "diabetes": "target ~ bmi * s5 + C(sex) * age + bp",
}


def _plain(name: str) -> str:
    """A term's name without the differences between patsy's and formulaic's words."""
    name = re.sub(r"\.0\]", "]", re.sub(r"standardize\((\w+), ddof=1\)", r"scale(\1)", name))
    return re.sub(r"Q\(['\"](.*?)['\"]\)", r"\1", name.replace("np.", "").removesuffix("[T.True]"))


@pytest.mark.parametrize(("name", "gaps"), [(name, i % 2 == 0) for i, name in enumerate(PACKAGE_TABLES)])
def test_tables_that_packages_ship_are_as_statsmodels_fits_them(tmp_path, name, gaps):
    if hasattr(sm.datasets, name):
        rows = getattr(sm.datasets, name).load_pandas().data
    else:
        rows = getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame
    rows = (rows[1:] if name == "heart" else rows).reset_index(drop=True)  # its first has survived 0 days: no logarithm
    formula, rng = PACKAGE_TABLES[name], np.random.default_rng(1)
    if gaps:
        for column in rows.columns:
            rows.loc[rng.choice(len(rows), 2, replace=False), column] = None
    path = write(tmp_path / "1.parquet", pa.Table.from_pandas(rows, preserve_index=False))
    recorded = record_dataset(config(path, formula, missing="drop" if gaps else "error"))
    complete = rows.dropna(subset=[*config(path, formula).inputs, *config(path, formula).outcomes])
    for_patsy = re.sub(r"(?<!np\.)log\(", "np.log(", re.sub("`(.*?)`", r"Q('\1')", formula))
    judge = smf.ols(re.sub(r"scale\((\w+)\)", r"standardize(\1, ddof=1)", for_patsy), complete).fit()
    moments = recorded.record.moments
    inference = infer(optimum(moments), moments)
    (target,) = inference.targets.values()
    expected = judge.params.drop("Intercept", errors="ignore")
    names = {_plain(label): label for label in expected.index}
    assert {_plain(label) for label in target.coefficients} == set(names)
    condition = np.linalg.cond(judge.model.exog / np.linalg.norm(judge.model.exog, axis=0))
    rel = max(1e-9, 4e-15 * condition)
    for label, c in target.coefficients.items():
        own = names[_plain(label)]
        assert c.estimate == pytest.approx(expected[own], rel=rel, abs=rel * judge.bse[own]), label
        assert c.errors.standard_error == pytest.approx(judge.bse[own], rel=rel), label
    assert target.quality.r2 == pytest.approx(judge.rsquared, rel=1e-9)


@pytest.mark.parametrize("formula", ["y ~ month(when):x", "y ~ region * x", "y ~ region:x + region"])
def test_a_missing_category_is_one_level_in_records_rows_and_scores(tmp_path, formula):
    rows = frame().astype({"region": object})
    rows.loc[rows.index % 7 == 0, ["region", "when"]] = None
    path = write(tmp_path / "1.parquet", rows)
    recorded = record_dataset(config(path, formula, missing="indicator"))
    by_rows = read_dataset(config(path, formula, missing="indicator"))
    assert by_rows.train.design == recorded.dataset.train.design
    assert any("missing" in name for name in by_rows.train.features)
    x_NF, y_NO = recorded.dataset.train.arrays()
    assert np.isfinite(x_NF).all()
    moments = recorded.record.moments
    judge = np.linalg.lstsq(np.column_stack([np.ones(len(x_NF)), x_NF]), y_NO, rcond=None)
    assert moments.solve().residual_O == pytest.approx(judge[1], rel=1e-10)
    model = fit(recorded.dataset.train, TrainConfig(trainer="exact"), moments=moments).model
    score(model, path, tmp_path / "out.parquet")
    scored = pd.read_parquet(tmp_path / "out.parquet")["predicted_y"]
    np.testing.assert_allclose(scored, np.column_stack([np.ones(len(x_NF)), x_NF]) @ judge[0][:, 0], rtol=1e-9)
    np.testing.assert_array_equal(scored, predict_rows(model, recorded.dataset.train)[:, 0])


def test_whole_hours_are_whole(tmp_path):
    when = pd.date_range("1969-12-20", periods=900, freq="h")
    rows = pd.DataFrame({"when": when.astype("datetime64[ns]"), "y": np.arange(900) % 7.0, "x": np.arange(900.0)})
    write(tmp_path / "1.parquet", rows)
    formula = "y ~ floor(elapsed(when, 'h') % 24) + I(elapsed(when, 'min') % 60)"
    train = record_dataset(config(tmp_path, formula)).dataset.train
    np.testing.assert_array_equal(train.arrays()[0], np.column_stack([when.hour, when.minute]))


def test_an_interval_is_null_where_a_formula_has_no_value(tmp_path):
    write(tmp_path / "1.parquet", frame())
    recorded = record_dataset(config(tmp_path / "1.parquet", "y ~ log(z) * region"))
    model = fit(recorded.dataset.train, TrainConfig(trainer="exact"), moments=recorded.record.moments).model
    widths = HalfWidths.of(model, recorded.record.moments, kind="prediction")
    write(tmp_path / "new.parquet", frame().assign(z=lambda t: t["z"].where(t.index != 4, 0.0)))
    assert score(model, str(tmp_path / "new.parquet"), tmp_path / "out.csv", half_widths=widths).nulls == 1
    assert pd.read_csv(tmp_path / "out.csv").iloc[4, -3:].isna().all()


def test_a_file_without_rows_or_values_leaves_ranges_and_types_alone(tmp_path):
    rows = frame()
    write(tmp_path / "0.csv", rows[:0])
    write(tmp_path / "1.csv", rows[:20].assign(region=None))
    write(tmp_path / "2.csv", rows[20:])
    recorded = record_dataset(config(tmp_path, "y ~ x:z + region", missing="drop"))
    assert recorded.dataset.train.features == ("region[T.n]", "region[T.s]", "x:z")
    ranges = sum(recorded.extents[1:], recorded.extents[0])
    used = (rows["x"] * rows["z"])[20:]
    assert ranges.low_P[2] <= used.min() < used.max() <= ranges.high_P[2] < np.inf


def test_scale_counts_the_rows_that_have_a_value(tmp_path):
    rows = frame(40)
    rows.loc[::2, "x"] = np.nan
    write(tmp_path / "1.parquet", rows)
    for read in (record_dataset, read_dataset):
        came = read(config(tmp_path, "y ~ scale(x) + z", missing="mean"))
        design = (came.dataset if read is record_dataset else came).train.design
        ((mean, spread),) = design.terms["scale(x)"].affine
        assert (mean, spread) == pytest.approx((rows["x"].mean(), rows["x"].std()), rel=1e-12)


def test_comparisons_are_1_or_0_in_arithmetic(tmp_path):
    rows = frame()
    write(tmp_path / "1.parquet", rows)
    train = read_dataset(
        config(tmp_path, "y ~ exp(x > 4) + I((x > 3) + (z > 3)) + I(-(x > 5)) + where(z > 4, x, 0)")
    ).train
    x, z = rows["x"].to_numpy(), rows["z"].to_numpy()
    expected = [np.where(x > 4, np.e, 1), np.add(x > 3, z > 3, dtype=float), np.where(x > 5, -1, 0), x * (z > 4)]
    np.testing.assert_allclose(train.arrays()[0], np.column_stack(expected), rtol=1e-15)


def test_columns_that_are_called_like_a_term_or_a_level_are_refused(tmp_path):
    rows = frame().assign(**{"x:z": 1.0, "region[n]": 2.0, "log(x)": 3.0})
    write(tmp_path / "1.parquet", rows)
    for formula in ("y ~ `x:z` + x:z", "y ~ `region[n]` + region", "y ~ `region[n]` + x:region"):
        with pytest.raises(UserError, match="are both called"):
            record_dataset(config(tmp_path, formula))
