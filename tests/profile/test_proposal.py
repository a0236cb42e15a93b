"""Which role a column gets, and which settings the rows: on tables that packages ship, and one for each rule."""

import tomllib
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sklearn.datasets
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from linreg import config_file
from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.files.sample import sample
from linreg.ingest.records import record_dataset
from linreg.least_squares.inference import infer
from linreg.profile.columns import columns_of
from linreg.profile.commented import commented, looked_at, model_name
from linreg.profile.proposal import look, propose
from linreg.training.fit import fit
from tests.support.files import write

RNG = np.random.default_rng(0)
ROWS = 300
X = RNG.normal(size=ROWS)
Y = 3 * X + RNG.normal(size=ROWS)


def config_of(path, *targets):
    """The config that is written for a table, read back; and the roles of its columns by name."""
    rows = sample(str(path))
    proposal = propose(rows, targets)
    text = commented(proposal, rows, str(path))
    config = config_file.from_dict(tomllib.loads(text))
    return config, {column.name: column for column in proposal.columns}, text


SHIPPED = {
    "longley": "TOTEMP",
    "stackloss": "STACKLOSS",
    "engel": "foodexp",
    "fair": "affairs",
    "star98": "NABOVE",
    "ccard": "AVGEXP",
    "copper": "WORLDCONSUMPTION",
    "grunfeld": "invest",
    "scotland": "YES",
    "spector": "GPA",
    "statecrime": "murder",
    "elnino": "JAN",
    "anes96": "vote",
    "randhie": "mdvis",
    "diabetes": "target",
    "iris": "sepal length (cm)",
    "wine": "alcohol",
    "linnerud": "Weight",
    "breast_cancer": "mean texture",
}


@pytest.mark.filterwarnings("ignore")  # statsmodels' own, of pandas
@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_a_table_that_a_package_ships_trains_without_an_edit_and_its_standard_errors_are_valid(
    tmp_path, name, extension
):
    path = tmp_path / f"{name}.{extension}"
    if hasattr(sm.datasets, name):
        frame = getattr(sm.datasets, name).load_pandas().data
    else:
        bunch = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
        frame = bunch.frame
        if name == "iris":
            frame["species"] = bunch.target_names[bunch.target]
    write(path, frame) if extension == "csv" else frame.to_parquet(path, index=False)
    config, _, _ = config_of(path, SHIPPED[name])
    recorded = record_dataset(config.data)
    moments = recorded.record.moments
    assert moments.rows > 1 + len(moments.features)
    model = fit(recorded.dataset.train, TrainConfig(trainer="exact"), moments=moments).model
    assert infer(model, moments).valid


def test_gaps_and_categories_give_what_statsmodels_gives_by_formula(tmp_path):
    frame = pd.DataFrame({"x": X, "region": RNG.choice(["n", "s", "w"], ROWS), "old": RNG.choice([True, False], ROWS)})
    frame["y"] = Y + 2.0 * (frame["region"] == "w") - frame["old"]
    frame.loc[::17, "x"] = np.nan
    frame.loc[3, "region"] = None
    config, _, _ = config_of(write(tmp_path / "rows.csv", frame), "y")
    assert (config.data.missing, config.data.test_fraction) == ("drop", 0.2)
    rows = record_dataset(replace(config.data, test_fraction=0.0))
    model = fit(rows.dataset.train, TrainConfig(trainer="exact", dtype="float64")).model
    peer = sm.OLS.from_formula("y ~ x + C(region) + C(old)", frame.dropna()).fit().params
    ours = dict(zip(model.features, model.weight_OF[0], strict=True))
    named = {"x": "x", "region[s]": "C(region)[T.s]", "region[w]": "C(region)[T.w]", "old[True]": "C(old)[T.True]"}
    assert {peer_name: ours[name] for name, peer_name in named.items()} == pytest.approx(
        {n: peer[n] for n in named.values()}, rel=1e-9
    )


CASES = {  # a column, its role, and words of the reason
    "name": ([f"u{i}" for i in range(ROWS)], "left out", "another one in every row"),
    "a date": (pd.date_range("2026-01-01", periods=ROWS).astype(str), "left out", "a date"),
    "a timestamp": (pd.date_range("2026-01-01", periods=ROWS, freq="h").astype(str), "left out", "a timestamp"),
    "another date": ([f"{1 + i % 28}.{1 + i % 12}.2026" for i in range(ROWS)], "key", "together"),
    "a constant": ([7] * ROWS, "left out", "same value"),
    "a constant text": (["EUR"] * ROWS, "left out", "same value"),
    "free text": ([f"a long remark about the flat of row {i // 2}" for i in range(ROWS)], "left out", "free text"),
    "nothing": ([None] * ROWS, "left out", "no value in any row"),
    "mostly nothing": ([1.5 * i if i % 3 == 0 else None for i in range(ROWS)], "left out", "67% of the rows"),
    "a copy of the target": (Y, "left out", "a copy of y"),
    "the target's logarithm": (np.log(Y + 100), "left out", "in the order of y"),
    "text": (RNG.choice(["a", "b"], ROWS), "categorical", "2 values"),
    "text with gaps": (RNG.choice(["a", "b", None], ROWS, p=[0.5, 0.4, 0.1]), "categorical", "no value"),
    "truth": (RNG.choice(["true", "false"], ROWS), "categorical", "true or false"),
    "year": (RNG.integers(1990, 2020, ROWS), "feature", "numbers"),
    "rooms": (RNG.integers(1, 6, ROWS), "feature", "numbers"),
    "type_code": (RNG.integers(1, 6, ROWS), "categorical", "the name calls codes"),
    "type": ([f"0{i}" for i in RNG.integers(1, 6, ROWS)], "categorical", "zeros in front"),
    "zip_code": (RNG.integers(10_000, 99_999, ROWS), "left out", "post code"),
    "amount": ([f"${i:,}" for i in RNG.integers(1000, 9_999_999, ROWS)], "left out", "numbers written as text"),
    "many levels": ([f"t{i % 149}" for i in range(ROWS)], "left out", "149 values: too many"),
    "double": (X * 2 + 1, "left out", "a copy of x"),
    "typo": (["12o", *X[1:]], "left out", "numbers but for 1 cell, '12o' in line 2: correct what is no number"),
    "typos": ([*X[:-3], "?", "-", "?"], "left out", "numbers but for 3 cells, the first '?' in line 299: correct"),
    "a typo among few": (
        ["4x", *RNG.integers(1, 6, ROWS - 1)],
        "categorical",
        "6 values, numbers but for 1 cell, '4x'",
    ),
    "codes": (RNG.choice(["1", "2", "A"], ROWS), "categorical", "text with 3 values"),
    "long": ([10**17 + 3 * i for i in RNG.permutation(ROWS)], "left out", "of more digits than float64 holds"),
    "invoice_no": ([2**60 + i for i in range(ROWS)], "left out", "rises from row to row"),
    "far apart": ([10**17 + 10**10 * i for i in RNG.permutation(ROWS)], "feature", "numbers"),
    "infinite": (["inf", *map(str, X[1:])], "left out", "infinite"),
    "tiny": (X * 1e-200, "left out", "float32 does not hold"),
    "rare": (np.arange(ROWS) < 3, "left out", "all rows but a few"),
    "customer_id": ([f"c{i // 4}" for i in range(ROWS)], "key", "together"),
    "order_id": (RNG.permutation(ROWS) + 5000, "key", "when rows move"),
    "Unnamed: 0": (np.arange(ROWS), "left out", "counts the rows"),
    "": (X + RNG.normal(size=ROWS), "left out", "no name"),
}


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_column_has_its_role_its_reason_and_its_counts(tmp_path, name):
    values, role, words = CASES[name]
    frame = pd.DataFrame({"x": X, name: values, "y": Y})
    config, columns, text = config_of(write(tmp_path / "rows.csv", frame), "y")
    assert (columns[name].role, columns["x"].role, columns["y"].role) == (role, "feature", "target")
    assert words in columns[name].why
    assert role == "feature" or columns[name].why in text.replace("\n# ", " ")
    assert (columns[name].missing, columns[name].distinct) == (frame[name].isna().sum(), frame[name].nunique())
    assert record_dataset(config.data).dataset.train_rows > 100


def test_what_says_the_same_is_taken_once_and_a_sum_that_gives_the_target_is_told(tmp_path):
    city = RNG.choice(["Kiel", "Ulm", "Jena"], ROWS)
    frame = pd.DataFrame(
        {"city": city, "land": np.where(city == "Kiel", "SH", "other"), "part": X, "rest": Y - X, "y": Y}
    )
    _, columns, _ = config_of(write(tmp_path / "rows.csv", frame), "y")
    assert (columns["city"].role, columns["land"].role) == ("categorical", "left out")
    assert "determined by city" in columns["land"].why
    assert [columns[name].role for name in ("part", "rest")] == ["feature", "feature"]
    assert columns["part"].why == "with rest it gives y (correlation 1): is it known before?"


@pytest.mark.parametrize(
    ("gaps", "missing"), [((0.0, 0.0), "error"), ((0.1, 0.1), "drop"), ((0.45, 0.0), "mean"), ((0.45, 0.2), "mean")]
)
def test_gaps_drop_rows_while_most_stay_and_are_filled_else(tmp_path, gaps, missing):
    frame = pd.DataFrame({"x": X, "z": RNG.normal(size=ROWS), "g": RNG.choice(["a", "b"], ROWS), "y": Y})
    frame.loc[RNG.random(ROWS) < gaps[0], "x"] = np.nan
    frame.loc[RNG.random(ROWS) < gaps[1], "g"] = None
    config, columns, _ = config_of(write(tmp_path / "rows.csv", frame), "y")
    assert config.data.missing == missing
    assert columns["g"].role == ("left out" if gaps == (0.45, 0.2) else "categorical")
    record_dataset(config.data)


@pytest.mark.parametrize(
    ("rows", "levels", "held", "unseen"),
    [(20, 2, 0, "error"), (120, 36, 0, "error"), (120, 2, 0.2, "error"), (300, 50, 0.2, "base")],
)
def test_test_rows_are_held_out_where_there_are_enough_and_a_rare_level_is_thought_of(
    tmp_path, rows, levels, held, unseen
):
    frame = pd.DataFrame({"x": X[:rows], "g": [f"g{i % levels}" for i in range(rows)], "y": Y[:rows]})
    config, _, _ = config_of(write(tmp_path / "rows.csv", frame), "y")
    assert (config.data.test_fraction, config.data.unseen) == (held, unseen)
    recorded = record_dataset(config.data)
    assert recorded.dataset.train_rows > len(recorded.record.moments.features) + 1


def test_what_varies_in_rows_alone_that_are_left_out_is_left_out(tmp_path):
    frame = pd.DataFrame({"x": X, "only": np.arange(ROWS) % 20 == 0, "y": Y})
    frame.loc[frame["only"], "x"] = np.nan
    config, columns, _ = config_of(write(tmp_path / "rows.csv", frame), "y")
    assert (config.data.features, columns["only"].role) == (("x",), "left out")


def test_few_rows_bear_the_first_columns_alone(tmp_path):
    frame = pd.DataFrame({name: RNG.normal(size=4) for name in ("a", "b", "c", "d", "y")})
    config, columns, _ = config_of(write(tmp_path / "rows.csv", frame), "y")
    assert config.data.features == ("a", "b")
    assert columns["c"].why == "4 rows bear no more columns than those before it"
    record_dataset(config.data)


def test_a_level_for_every_other_row_is_too_much_for_the_rows(tmp_path):
    frame = pd.DataFrame({"x": X[:40], "g": [f"g{i % 20}" for i in range(40)], "y": Y[:40]})
    _, columns, _ = config_of(write(tmp_path / "rows.csv", frame), "y")
    assert columns["g"].why == "20 levels: beside the other columns too many for the rows"


def test_dated_folders_keep_a_day_together_and_a_random_test_of_dated_rows_is_told(tmp_path):
    for day in pd.date_range("2026-01-01", periods=40):
        write(
            tmp_path / "sales" / f"day={day.date()}" / "a.csv",
            pd.DataFrame({"x": RNG.normal(size=5), "y": RNG.normal(size=5)}),
        )
    config, columns, text = config_of(tmp_path / "sales", "y")
    assert (config.data.key, config.model, columns["day"].role) == (("day",), "sales", "key")
    assert "the rows are dated (day)" in text
    record_dataset(config.data)


def test_folders_of_few_names_are_a_category_and_those_that_come_with_time_are_left_out(tmp_path):
    frame = pd.DataFrame({"x": X, "y": Y, "region": RNG.choice(["n", "s", "w"], ROWS), "flat": "a"})[:150]
    frame["year"], frame["town"] = RNG.integers(2024, 2026, 150), RNG.integers(0, 100, 150)
    for names, part in frame.groupby(["region", "flat", "year", "town"]):
        folder = "/".join(f"{k}={v}" for k, v in zip(("region", "flat", "year", "town"), names, strict=True))
        write(tmp_path / "sales" / folder / "a.csv", part[["x", "y"]])
    config, columns, text = config_of(tmp_path / "sales", "y")
    assert (config.data.features, config.data.categorical) == (("x",), ("region",))
    assert {name: columns[name].role for name in ("flat", "year", "town")} == dict.fromkeys(
        ("flat", "year", "town"), "left out"
    )
    assert 'categorical = ["region"]  # the name of folders, 3 of them' in text
    assert "a time: each new one would be a level" in columns["year"].why
    assert columns["town"].why.startswith(f"the name of folders, {columns['town'].distinct} of them: too many")
    features = record_dataset(config.data).record.moments.features
    assert features == ("x", "region[s]", "region[w]")


@pytest.mark.parametrize(
    ("suffix", "start", "type_"),
    [
        ("csv", 2**53, pa.string()),
        ("csv", 10**25, pa.string()),
        ("parquet", 2**53, pa.int64()),
        ("parquet", 2**63, pa.uint64()),
        ("parquet", 10**25, pa.decimal128(30, 0)),
    ],
)
def test_whole_numbers_of_any_length_are_told_apart_and_stand_in_their_order(tmp_path, suffix, start, type_):
    values = [start + int(i) if i else None for i in RNG.integers(0, 40, ROWS)]
    written = [v and str(v) for v in values] if type_ == pa.string() else values
    table = pa.table({"n": pa.array(written, type_), "y": Y})
    column, _ = columns_of(sample(write(tmp_path / f"rows.{suffix}", table)))
    ordered = sorted({v for v in values if v})
    assert (column.type, column.distinct, column.missing) == ("integer", len(ordered), values.count(None))
    assert column.code_N.tolist() == [-1 if v is None else ordered.index(v) for v in values]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_name_that_stands_twice_is_named_with_its_columns(tmp_path, suffix):
    table = pa.table([X, X, RNG.normal(size=ROWS), Y], names=["a", "b", "a", "y"])
    path = write(tmp_path / f"rows.{suffix}", table)
    config, columns, text = config_of(path, "y")
    assert config.data.features == ("b",)
    assert columns["a"].why == "stands in columns 1 and 3 of the file: give one of them another name to use it"
    assert f"a: {columns['a'].why}" in text.replace("\n# ", " ").replace('"', "")
    record_dataset(config.data)
    with pytest.raises(UserError, match=r"--target 'a' stands in columns 1 and 3 of the file: rename the others"):
        config_of(path, "a")
    with pytest.raises(UserError, match="no column is left") as refused:
        config_of(write(tmp_path / f"few.{suffix}", table.select([0, 2, 3])), "y")
    assert refused.value.details == (f"'a': {columns['a'].why.replace('3', '2')}",)
    with pytest.raises(UserError, match=rf"all\.{suffix}: no name stands just once .*'a' in columns 1 and 2.: rename"):
        config_of(write(tmp_path / f"all.{suffix}", table.select([0, 2])), "a")


def test_a_cell_that_is_no_number_is_placed_by_its_file_and_line(tmp_path):
    rows = [f"{i}.5,{i * i % 7}" for i in range(30)]
    write(tmp_path / "a.csv", "\n".join(["x,y", *rows]))
    write(tmp_path / "b.csv", "\n".join(["x,y", "", *rows[:5], "3,5,2".replace("3,5", '"3,5"'), *rows[5:]]))
    (x, _) = columns_of(sample(str(tmp_path)))
    assert x.odd == f"numbers but for 1 cell, '3,5' in line 8 of {tmp_path}/b.csv"


def test_rows_that_were_not_looked_at_may_have_gaps_and_levels(tmp_path):
    frame = pd.DataFrame({"x": X, "g": RNG.choice(["a", "b"], ROWS), "y": Y})
    frame.loc[250:, "g"] = "late"
    frame.loc[280, "x"] = np.nan
    path = write(tmp_path / "rows.csv", frame)
    rows = sample(path, rows=200)
    text = commented(propose(rows, ["y"]), rows, path)
    config = config_file.from_dict(tomllib.loads(text))
    assert (config.data.missing, config.data.unseen) == ("drop", "base")
    assert "the first rows of 1 file (200 of about" in text.replace("\n# ", " ")
    assert record_dataset(config.data).dataset.rows == ROWS - 1


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("prise", r"no such column \(did you mean 'price'\?\)"),
        ("region", "is text .'n', 's'.*predicts numbers"),
        ("day", "is date"),
        ("one", "the same value in every row"),
        ("far", "infinite"),
        ("typo", r"is numbers but for 1 cell, '1\.2\.3' in line 5: correct what is no number, or leave"),
        ("long", "whole numbers of more digits than float64 holds"),
    ],
)
def test_a_target_that_cannot_be_predicted_is_refused_with_what_to_do(tmp_path, target, words):
    days = pd.date_range("2026-01-01", periods=ROWS).astype(str)
    frame = pd.DataFrame(
        {"price": Y, "region": ["n", "s"] * (ROWS // 2), "day": days, "one": 1, "far": ["inf", *X[1:]]}
    )
    frame["typo"], frame["long"] = [*X[:3], "1.2.3", *X[4:]], [10**18 + i for i in range(ROWS)]
    path = write(tmp_path / "rows.csv", frame)
    with pytest.raises(UserError, match=words):
        config_of(path, target)


def test_where_no_column_is_left_the_reasons_are_told(tmp_path):
    with pytest.raises(UserError, match="no column is left") as refused:
        config_of(write(tmp_path / "rows.csv", "x,y\n1,2\n2,4\n3,6\n4,8\n"), "y")
    assert refused.value.details == ("'x': a copy of y, or made from it: their correlation is 1",)


def test_row_numbers_are_a_feature_where_they_are_all_that_there_is(tmp_path):
    path = write(tmp_path / "rows.csv", pd.DataFrame({"index": range(30), "y": Y[:30]}))
    assert config_of(path, "y")[0].data.features == ("index",)


ODD = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t\x7f\"'.#\\]["), min_size=1)


@given(st.lists(ODD, min_size=2, max_size=5, unique=True))
def test_whatever_the_names_the_config_reads_back(tmp_path_factory, names):
    path = tmp_path_factory.mktemp("odd") / "rows.parquet"
    names = [f"{name}x" for name in names]
    pd.DataFrame({name: RNG.normal(size=60) for name in names} | {f"{names[0]} copy": 1}).to_parquet(path)
    config, _, _ = config_of(path, names[0])
    assert (config.data.features, config.data.targets) == (tuple(names[1:]), (names[0],))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/housing.csv.gz", "housing"),
        ("sales/", "sales"),
        ("sales/day=*/part.csv", "part"),
        ("sales/*/*.csv", "sales"),
        ("*.csv", "model"),
        ("a: b@c.pq", "a-b-c"),
        ("s3://user:secret@bucket/rows.parquet?region=eu", "rows"),
    ],
)
def test_the_model_is_named_after_the_data(path, name):
    assert model_name(path) == name


def test_without_a_target_each_column_is_looked_at_by_itself(tmp_path):
    rows = sample(write(tmp_path / "rows.csv", "a,b\n1,x\n2,\n"))
    assert [(c.name, c.type, c.missing, c.distinct) for c in look(rows)] == [
        ("a", "integer", 0, 2),
        ("b", "text", 1, 1),
    ]
    assert looked_at(rows) == "all 2 rows of 1 file"
