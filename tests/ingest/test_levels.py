"""Categories from the file to the design: which columns they may be, their levels, and what becomes of the others."""

import re
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import statsmodels.formula.api as smf

from linreg.config import TrainConfig
from linreg.data_config import DataConfig
from linreg.errors import UserError
from linreg.evaluation.predict import predict_rows
from linreg.evaluation.score_files import score
from linreg.files import partitions as files
from linreg.ingest import levels
from linreg.ingest.dataset import read_dataset
from linreg.ingest.part import HELD_OUT
from linreg.ingest.records import RecordedDataset, record_dataset
from linreg.least_squares.inference import infer
from linreg.least_squares.objective import Objective
from linreg.model import LinearModel
from linreg.training.fit import fit
from tests.support.files import write

REGIONS = ["north", "south", "east", "west"]


def frame(n: int = 60, seed: int = 0, regions: list[str] = REGIONS) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    columns = {"x": rng.normal(size=n), "region": rng.choice(regions, n), "code": rng.choice([2, 10, 1], n)}
    table = pd.DataFrame(columns | {"flag": rng.choice([True, False], n)})
    y = table["x"] + table["region"].str.len() + 0.1 * table["code"] + table["flag"] + rng.normal(size=n)
    return table.assign(y=y)


def config(path: object, **changes: object) -> DataConfig:
    keys = {"features": ("x", "region"), "categorical": ("region",), "targets": ("y",)}
    return DataConfig(path=str(path), **(keys | changes))


def solved(recorded: RecordedDataset) -> dict[str, float]:
    moments = recorded.record.moments
    return dict(zip(moments.features, moments.solve().weight_OF[0], strict=True))


def by_statsmodels(formula: str, rows: pd.DataFrame, **options: object) -> dict[str, float]:
    """Slopes, the levels named as here."""
    fitted = smf.wls(formula, rows, **options).fit()
    return {re.sub(r"C\((\w+)\)\[T?\.?(.*)\]", r"\1[\2]", name): value for name, value in fitted.params.items()}


def assert_optimum(recorded: RecordedDataset, expected: dict[str, float]) -> None:
    ours = solved(recorded)
    assert set(ours) == set(expected) - {"Intercept"}
    for name, value in ours.items():
        assert value == pytest.approx(expected[name], rel=1e-9, abs=1e-11), name


TYPES = {
    "text": lambda rows: rows,
    "large text": lambda rows: rows.set_column(1, "region", rows["region"].cast(pa.large_string())),
    "dictionary": lambda rows: rows.set_column(1, "region", rows["region"].dictionary_encode()),
    "blanks": lambda rows: rows.set_column(
        1, "region", pa.array([f" {r}" if i % 2 else f"{r}\t" for i, r in enumerate(rows["region"].to_pylist())])
    ),
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_every_type_of_text_gives_the_optimum_of_statsmodels(tmp_path: Path, kind: str, suffix: str) -> None:
    rows = frame()
    write(tmp_path / f"a{suffix}", TYPES[kind](pa.table(rows[:25])))
    write(tmp_path / f"b{suffix}", TYPES[kind](pa.table(rows[25:])))
    recorded = record_dataset(config(tmp_path))
    assert recorded.record.moments.features == ("x", "region[north]", "region[south]", "region[west]")
    assert_optimum(recorded, by_statsmodels("y ~ x + C(region)", rows))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_codes_and_truth_values_are_levels_too_codes_by_their_number(tmp_path: Path, suffix: str) -> None:
    rows = frame()
    data = config(write(tmp_path / f"a{suffix}", rows), features=("code", "flag", "x"), categorical=("flag", "code"))
    recorded = record_dataset(data)
    assert recorded.record.moments.features == ("code[2]", "code[10]", "flag[True]", "x")
    assert_optimum(recorded, by_statsmodels("y ~ x + C(code) + C(flag)", rows))


def test_a_folder_names_a_category_for_runs_and_for_scoring(tmp_path: Path) -> None:
    rows = frame()
    for region, part in rows.groupby("region"):
        write(tmp_path / "in" / f"region={region}" / "a.parquet", part.drop(columns="region"))
    recorded = record_dataset(config(tmp_path / "in"))
    assert_optimum(recorded, by_statsmodels("y ~ x + C(region)", rows))
    model = fit(recorded.dataset.train, TrainConfig(trainer="exact"), moments=recorded.record.moments).model
    assert score(model, str(tmp_path / "in"), tmp_path / "out.csv") == (60, 0)
    expected = smf.ols("y ~ x + C(region)", rows).fit().predict(pd.read_csv(tmp_path / "out.csv"))
    np.testing.assert_allclose(pd.read_csv(tmp_path / "out.csv")["predicted_y"], expected, rtol=1e-9)
    write(tmp_path / "in" / "region=mars" / "a.parquet", rows[:1].drop(columns="region"))
    with pytest.raises(UserError, match=r"mars/a\.parquet: its folder, column 'region': the value 'mars' is"):
        score(model, str(tmp_path / "in"), tmp_path / "out.csv")


NO_CATEGORY = {"date": pd.to_datetime(["2026-01-01", "2026-01-02"]), "list": [[1], [2]]}


@pytest.mark.parametrize("kind", NO_CATEGORY)
def test_a_column_that_cannot_be_a_category_is_named_with_its_type(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.parquet", pd.DataFrame({"x": [1.0, 2.0], "region": NO_CATEGORY[kind], "y": [1.0, 2.0]}))
    with pytest.raises(
        UserError, match=r"a\.parquet: column 'region' is .*, not a category: (cast it to text|take of it)"
    ):
        record_dataset(config(path))


def test_codes_are_one_level_whether_integers_or_floats_beside_a_gap_hold_them(tmp_path: Path) -> None:
    rows = frame(90)
    write(tmp_path / "1.parquet", rows[:30])
    write(tmp_path / "2.parquet", rows[30:60].astype({"code": float}).replace({"code": {2.0: np.nan}}))
    write(tmp_path / "3.csv", rows[60:].astype({"code": float}))
    recorded = record_dataset(config(tmp_path, features=("x",), categorical=("code",), missing="drop"))
    used = rows[~((rows["code"] == 2) & (rows.index >= 30) & (rows.index < 60))]
    assert_optimum(recorded, by_statsmodels("y ~ x + C(code)", used))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_text_among_the_features_is_refused_by_the_key_that_takes_it(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", frame())
    with pytest.raises(UserError, match=r'data\.categorical = \["region"\]'):
        record_dataset(config(path, categorical=()))


def test_weights_gaps_and_categories_together_are_statsmodels_of_the_filled_rows(tmp_path: Path) -> None:
    rows = frame(120).assign(w=np.random.default_rng(1).uniform(0.5, 3, 120))
    rows.loc[[3, 70, 71], "x"] = np.nan
    write(tmp_path / "a.parquet", rows[:50])
    write(tmp_path / "b.parquet", rows[50:])
    recorded = record_dataset(config(tmp_path, weight="w", missing="mean", categorical=("region", "code")))
    filled = rows.assign(x=rows["x"].fillna(np.average(rows["x"].dropna(), weights=rows["w"][rows["x"].notna()])))
    assert_optimum(recorded, by_statsmodels("y ~ x + C(region) + C(code)", filled, weights=filled["w"]))


@pytest.mark.parametrize("categorical", [(), ("region",)])
def test_an_indicator_stands_beside_what_is_filled_in(tmp_path: Path, categorical: tuple[str, ...]) -> None:
    rows = frame(150).assign(z=np.random.default_rng(2).normal(3, 1, 150)).astype({"region": object})
    rows.loc[[3, 70, 71, 100], "x"] = np.nan
    rows.loc[[5, 6, 80, 120], "region"] = None if categorical else "east"
    write(tmp_path / "a.parquet", rows[:50])
    write(tmp_path / "b.csv", rows[50:75])
    write(tmp_path / "c.parquet", rows[75:])
    features = ("x", "z", *categorical)
    data = config(tmp_path, features=features, categorical=categorical, missing="indicator")
    recorded = record_dataset(data)
    filled = rows.assign(x=rows["x"].fillna(rows["x"].mean()), gap=rows["x"].isna().astype(float))
    filled["region"] = filled["region"].fillna("missing")
    expected = by_statsmodels("y ~ x + gap + z" + " + C(region)" * bool(categorical), filled)
    expected = {name.replace("gap", "x[missing]"): value for name, value in expected.items()}
    assert_optimum(recorded, expected)
    model = fit(recorded.dataset.train, TrainConfig(trainer="exact"), moments=recorded.record.moments).model
    peer = smf.ols("y ~ x + gap + z" + " + C(region)" * bool(categorical), filled).fit()
    table = scored(model, rows, tmp_path)
    np.testing.assert_allclose(table["predicted_y"], peer.fittedvalues, rtol=1e-9)
    np.testing.assert_allclose(
        np.sort(predict_rows(model, recorded.dataset.train)[:, 0]), np.sort(peer.fittedvalues), rtol=1e-9
    )


@pytest.mark.parametrize("text", ["", "NA", "null"])
def test_a_missing_level_stops_or_drops_the_row(tmp_path: Path, text: str) -> None:
    rows = frame().astype({"region": object})
    rows.loc[[5, 9], "region"] = text
    path = write(tmp_path / "a.csv", rows)
    for missing, remedy in dict.fromkeys(["error", "mean"], 'or set data.missing = "drop" or "indicator"').items():
        with pytest.raises(UserError, match=rf"line 7, column 'region': the value.* is missing \(2 such.*{remedy}"):
            record_dataset(config(path, missing=missing))
    recorded = record_dataset(config(path, missing="drop"))
    assert recorded.dataset.dropped == 2
    assert_optimum(recorded, by_statsmodels("y ~ x + C(region)", rows.drop(index=[5, 9])))


def test_a_text_that_means_nothing_is_a_level_where_it_is_listed(tmp_path: Path) -> None:
    rows = frame(regions=["NA", "SA"])
    listed = {"region": ("SA", "NA")}
    recorded = record_dataset(config(write(tmp_path / "a.csv", rows), levels=listed))
    assert recorded.record.moments.features == ("x", "region[NA]")
    other_base = by_statsmodels("y ~ x + C(region)", rows)
    assert_optimum(recorded, {"x": other_base["x"], "region[NA]": -other_base["region[SA]"]})


def test_listed_levels_have_their_order_and_those_without_rows_no_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", frame())
    listed = ("west", "nowhere", "south", "north", "east")
    recorded = record_dataset(config(path, levels={"region": listed}))
    assert recorded.record.moments.features == ("x", "region[south]", "region[north]", "region[east]")
    with pytest.raises(UserError, match=r"line \d+, column 'region': the value 'east' is not among data\.levels"):
        record_dataset(config(path, levels={"region": listed[:-1]}))
    as_base = record_dataset(config(path, levels={"region": listed[:-1]}, unseen="base"))
    merged = frame().replace({"region": {"east": "a", "west": "a"}})
    assert_optimum(as_base, by_statsmodels("y ~ x + C(region)", merged))


@pytest.mark.parametrize("read", [read_dataset, record_dataset])
def test_a_level_that_no_training_row_has_stops_or_counts_as_the_base(tmp_path: Path, read) -> None:
    rows = frame(200)
    data = {"test_fraction": 0.3}
    recorded = record_dataset(config(write(tmp_path / "a.csv", rows), **data))
    test = np.flatnonzero(np.isin(rows["x"], recorded.dataset.test.select(["x"])))[:2]
    rows.loc[test, "region"] = "mars"
    path = write(tmp_path / "a.csv", rows)
    line = rf"line {test[0] + 2}, column 'region': the value 'mars' is a level that no training row has \(2 such"
    with pytest.raises(UserError, match=line):
        read(config(path, **data))
    dataset = read(config(path, unseen="base", **data))
    dataset = dataset.dataset if isinstance(dataset, RecordedDataset) else dataset
    model = fit(dataset.train, TrainConfig(trainer="exact")).model
    as_base, where = rows.replace({"region": {"mars": "east"}}), np.isin(rows["x"], dataset.test.select(["x"]))
    peer = smf.ols("y ~ x + C(region)", as_base[~where]).fit()
    np.testing.assert_allclose(predict_rows(model, dataset.test)[:, 0], peer.predict(as_base[where]), rtol=1e-9)


@pytest.mark.parametrize("trainer", ["manual", "builtin", "gram", "fused", "exact"])
def test_every_trainer_finds_the_optimum_of_rows_with_categories(tmp_path: Path, trainer: str) -> None:
    rows = frame(300)
    write(tmp_path / "a.csv", rows[:100])
    write(tmp_path / "b.parquet", rows[100:])
    recorded = record_dataset(config(tmp_path))
    options = {"batch_size": 0, "learning_rate": 0.3, "epochs": 400, "dtype": "float64"}
    fitted = fit(recorded.dataset.train, TrainConfig(trainer=trainer, **options), moments=recorded.record.moments)
    np.testing.assert_allclose(fitted.model.weight_OF[0], list(solved(recorded).values()), rtol=1e-6)


def scored(model: LinearModel, rows: pd.DataFrame, folder: Path, **options: object) -> pd.DataFrame:
    score(model, write(folder / "in.parquet", rows), folder / "out.csv", **options)
    return pd.read_csv(folder / "out.csv")


def test_files_are_scored_by_the_raw_column(tmp_path: Path) -> None:
    rows = frame()
    dataset = read_dataset(config(write(tmp_path / "a.csv", rows), missing="mean"))
    model = fit(dataset.train, TrainConfig(trainer="exact")).model
    again = tmp_path / "model.safetensors"
    model.save(again)
    model = LinearModel.load(again)
    table = scored(model, rows, tmp_path)
    assert list(table.columns) == ["x", "region", "predicted_y"]
    assert table["region"].tolist() == rows["region"].tolist()
    expected = smf.ols("y ~ x + C(region)", rows).fit().fittedvalues
    np.testing.assert_allclose(table["predicted_y"], expected, rtol=1e-10)
    gap = rows.assign(region=rows["region"].where(rows.index != 4))
    assert np.flatnonzero(scored(model, gap, tmp_path)["predicted_y"].isna()).tolist() == [4]
    with pytest.raises(UserError, match="row 5, column 'region': the value is missing"):
        scored(model, gap, tmp_path, strict=True)
    strange = rows.assign(region=rows["region"].where(rows.index != 7, "mars"))
    with pytest.raises(UserError, match="row 8, column 'region': the value 'mars' is a level that no"):
        scored(model, strange, tmp_path)


def test_a_category_of_one_level_has_no_column(tmp_path: Path) -> None:
    rows = frame(regions=["north"])
    path = write(tmp_path / "a.csv", rows)
    assert record_dataset(config(path)).record.moments.features == ("x",)
    with pytest.raises(UserError, match="all training rows are at one level of region, so there is nothing"):
        record_dataset(config(path, features=()))


def test_too_many_levels_are_refused_by_what_they_would_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "MOST_TERMS", 100)
    rows = frame(400).assign(region=np.arange(400).astype(str))
    with pytest.raises(UserError, match=r"column 'region' has 400 levels, and the design 400 columns"):
        record_dataset(config(write(tmp_path / "a.csv", rows)))


@pytest.mark.parametrize("window", [0, 6])
def test_nights_whose_levels_come_and_go_read_one_file_and_have_the_bits_of_a_full_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(files, "_SETTLED", -1)
    rng = np.random.default_rng(0)
    for i in range(20):
        some = rng.choice(REGIONS, rng.integers(1, 5), replace=False).tolist()
        rows = frame(80, i, some).assign(kind=rng.choice(["a", "b", f"c{i // 5}"], 80))
        write(tmp_path / "data" / f"{i:02d}.parquet", rows)
        data = config(
            tmp_path / "data", categorical=("region", "kind"), window=window, unseen="base", test_fraction=0.2
        )
        nightly = record_dataset(data, held=HELD_OUT, cache=tmp_path / "cache")
        assert nightly.read == 1
    full = record_dataset(data, held=HELD_OUT)
    records = ((r.record.moments, *(p.moments for p in r.record.partitions), r.test.moments) for r in (nightly, full))
    for ours, theirs in zip(*records, strict=True):
        assert (ours.features, ours.root_KK.tobytes()) == (theirs.features, theirs.root_KK.tobytes())
    assert all(
        (a.low_P.tobytes(), a.high_P.tobytes()) == (b.low_P.tobytes(), b.high_P.tobytes())
        for a, b in zip(nightly.extents, full.extents, strict=True)
    )
    names = sorted((tmp_path / "data").iterdir())[-window or None :]
    rows = pd.concat(pd.read_parquet(path) for path in names)
    train = rows[~np.isin(rows["x"], full.dataset.test.select(["x"]))]
    assert_optimum(nightly, by_statsmodels("y ~ x + C(region) + C(kind)", train))


def test_the_records_of_many_files_of_many_levels_are_written_out_one_at_a_time(tmp_path: Path) -> None:
    """All at once they would take 12 MB, more than all there is. The clustered errors made of them are statsmodels'."""
    region = np.arange(400) % 200
    parts = [frame(400, i).assign(region=region.astype(str)) for i in range(36)]
    for i, part in enumerate(parts):
        write(tmp_path / f"{i:02}.parquet", part)
    tracemalloc.start()
    recorded = record_dataset(config(tmp_path), held=())
    moments, partitions = recorded.record.moments, recorded.record.partitions
    best = Objective.of(moments)
    inferred = infer(best.model(best.optimum_DO), moments, partitions=partitions)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert inferred.partitions == 36
    assert peak < 36 * moments.root_KK.nbytes
    rows = pd.concat(parts)
    groups = np.repeat(np.arange(36), 400)
    peer = smf.ols("y ~ x + C(region)", rows).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    ours = inferred.targets["y"].coefficients["x"].clustered
    assert (ours.standard_error, ours.p) == pytest.approx((peer.bse["x"], peer.pvalues["x"]), rel=1e-7)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_date_among_the_features_is_refused_with_what_to_write_instead(tmp_path: Path, suffix: str) -> None:
    rows = frame().assign(day=pd.date_range("2026-01-30", periods=60))
    path = write(tmp_path / f"a{suffix}", pa.table(rows))
    with pytest.raises(UserError, match=r"column 'day'.*: take of it what matters by data\.formula, like y ~ elapsed"):
        record_dataset(config(path, features=("x", "day"), categorical=()))


def test_truth_values_are_one_thing_whoever_wrote_them(tmp_path: Path) -> None:
    rows = frame()
    write(tmp_path / "a.csv", rows[:30].assign(flag=rows["flag"].astype(str).str.lower()))
    write(tmp_path / "b.parquet", rows[30:])
    recorded = record_dataset(config(tmp_path, features=("x", "flag"), categorical=("flag",)))
    assert_optimum(recorded, by_statsmodels("y ~ x + C(flag)", rows))


FAULTY = {
    "levels": ({"levels": {"region": ("North", "South")}}, "training rows are at east, north, south, west"),
    "names": ({"features": ("region[north]", "region")}, "are both called 'region[north]'"),
}


@pytest.mark.parametrize(("changes", "line"), FAULTY.values(), ids=FAULTY)
def test_what_the_design_cannot_be_is_one_line(tmp_path: Path, changes: dict, line: str) -> None:
    path = write(tmp_path / "a.csv", frame().assign(**{"region[north]": 1.0}))
    with pytest.raises(UserError, match=re.escape(line)):
        record_dataset(config(path, **changes))


def test_a_gap_is_the_last_of_the_codes_and_no_base(tmp_path: Path) -> None:
    rows = frame().astype({"code": object})
    rows.loc[[3, 4], "code"] = None
    path = write(tmp_path / "a.csv", rows)
    recorded = record_dataset(config(path, features=("x",), categorical=("code",), missing="indicator"))
    assert recorded.record.moments.features == ("x", "code[2]", "code[10]", "code[missing]")
    odd = record_dataset(config(write(tmp_path / "b.csv", frame(regions=["--5", "7"]))))
    assert odd.record.moments.features == ("x", "region[7]")


def test_a_level_called_like_a_gap_is_refused_where_gaps_are_levels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", frame(regions=["missing", "north"]))
    assert record_dataset(config(path)).record.moments.features == ("x", "region[north]")
    with pytest.raises(UserError, match=r"column 'region' has a level called 'missing', as .* calls a gap: rename it"):
        record_dataset(config(path, missing="indicator"))


def test_two_levels_of_one_name_are_refused(tmp_path: Path) -> None:
    rows = frame().assign(**{"region": ["a", "a][b"] * 30, "region[a]": ["a"] * 20 + ["b"] * 40})
    data = config(write(tmp_path / "a.csv", rows), categorical=("region", "region[a]"))
    with pytest.raises(UserError, match=re.escape("are both called 'region[a][b]'")):
        record_dataset(data)
