"""From a config's data to rows of three roles: values checked, numbers in order, enough of each."""

import gzip
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linreg.config import DataConfig
from linreg.errors import UserError
from linreg.files import partitions as source
from linreg.ingest.dataset import Dataset, Rows, load
from linreg.ingest.read import read_dataset


def config(path: object, **changes: object) -> DataConfig:
    plain: dict[str, object] = {"features": ("a", "b"), "targets": ("y",)}
    return DataConfig(path=str(path), **(plain | changes))  # type: ignore[arg-type]


def frame(n: int, seed: int = 0) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(n, 3))
    return pd.DataFrame(values, columns=["a", "b", "y"]).assign(id=np.arange(n) + 1000 * seed)


def write(data: pd.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    _ = data.to_parquet(path) if path.suffix == ".parquet" else data.to_csv(path, index=False)
    return path


def together(rows: Rows) -> np.ndarray:
    return np.column_stack(rows.arrays())


def ids(rows: Rows) -> set[int]:
    return set(rows.select(["id"])[:, 0].astype(int).tolist())


def text(folder: Path, content: str, name: str = "x.csv") -> Path:
    path = folder / name
    path.write_text(content)
    return path


def test_rows_come_in_the_order_of_partitions_and_files(tmp_path: Path) -> None:
    one, two = frame(5), frame(4, 1)
    write(two, tmp_path / "b.csv")
    write(one, tmp_path / "a.parquet")
    found = load(config(tmp_path))
    np.testing.assert_array_equal(together(found.train), pd.concat([one, two])[["a", "b", "y"]])
    assert [p.name for p in found.partitions] == ["a.parquet", "b.csv"]
    assert (found.rows, found.dropped, len(found.train), len(found.validation)) == (9, 0, 9, 0)
    assert found.digest == source.digest(found.partitions)


def test_partitions_may_be_given_in_any_order(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write(frame(4, ord(name)), tmp_path / f"{name}.csv")
    some = source.find(str(tmp_path))[:2]
    found = load(config(tmp_path), partitions=some[::-1])
    assert found.partitions == tuple(some)
    expected = pd.concat([frame(4, ord("a")), frame(4, ord("b"))])[["a", "b", "y"]]
    np.testing.assert_array_equal(together(found.train), expected)


def test_blocks_are_leaves_of_one_partition_each(tmp_path: Path) -> None:
    data = frame(70_000)
    write(data, tmp_path / "a.parquet")
    write(frame(3, 1), tmp_path / "b.parquet")
    found = load(config(tmp_path)).train
    blocks = list(found.blocks())
    assert [b.shape for b in blocks] == [(65_536, 3), (4_464, 3), (3, 3)]
    assert all(b.dtype == np.float64 and b.flags.c_contiguous for b in blocks)
    np.testing.assert_array_equal(np.vstack(blocks[:2]), data[["a", "b", "y"]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_hold_the_rows_rounded_once(tmp_path: Path, dtype: torch.dtype) -> None:
    data = frame(70_000)
    x, y = load(config(write(data, tmp_path / "a.parquet"))).train.tensors(dtype)
    assert x.is_contiguous()
    assert y.is_contiguous()
    assert (x.dtype, y.dtype, x.shape, y.shape) == (dtype, dtype, (70_000, 2), (70_000, 1))
    assert torch.equal(x, torch.tensor(data[["a", "b"]].to_numpy(), dtype=dtype))
    assert torch.equal(y, torch.tensor(data[["y"]].to_numpy(), dtype=dtype))


def test_integers_and_booleans_become_floats(tmp_path: Path) -> None:
    data = pd.DataFrame({"a": [True, False, True, True], "b": np.array([1, 2, 3, 200], np.uint8), "y": [1, 2, 3, -4]})
    for name in ("x.csv", "x.parquet"):
        found = load(config(write(data, tmp_path / name))).train
        assert together(found).tolist() == [[1, 1, 1], [0, 2, 2], [1, 3, 3], [1, 200, -4]]


def test_the_three_roles_share_the_rows_out(tmp_path: Path) -> None:
    data = frame(3000)
    path = write(data, tmp_path / "x.csv")
    found = load(config(path, test_fraction=0.3, validation_fraction=0.2), optional=("id",))
    parts = [ids(r) for r in (found.train, found.validation, found.test)]
    assert sum(map(len, parts)) == found.rows == 3000
    assert set.union(*parts) == set(range(3000))
    for rows in (found.train, found.validation, found.test):
        kept = data[data["id"].isin(ids(rows))]
        np.testing.assert_array_equal(together(rows), kept[["a", "b", "y"]])


def test_without_a_test_fraction_the_model_is_judged_on_its_training_rows(tmp_path: Path) -> None:
    found = load(config(write(frame(5), tmp_path / "x.csv")))
    assert found.test is found.train


def test_added_files_other_features_and_dropped_rows_move_no_row(tmp_path: Path) -> None:
    data = frame(400)
    write(data, tmp_path / "b.csv")
    base = load(config(tmp_path, test_fraction=0.4), optional=("id",))
    write(frame(50, 9), tmp_path / "a.csv")
    data.loc[::7, "a"] = np.nan
    write(data, tmp_path / "b.csv")
    later = load(config(tmp_path, test_fraction=0.4, missing="drop"), optional=("id",))
    other = load(config(tmp_path, test_fraction=0.4, features=("b",)), optional=("id",))
    stayed = set(data["id"][data["a"].notna()])
    assert ids(later.test) & set(range(400)) == ids(base.test) & stayed
    assert ids(other.test) & set(range(400)) == ids(base.test)


def test_a_key_that_is_also_a_feature_decides_as_before(tmp_path: Path) -> None:
    data = frame(300).assign(code=[f"{i:03d}" for i in range(300)])
    path = write(data, tmp_path / "x.csv")
    without = load(config(path, key=("code",), test_fraction=0.5), optional=("id",))
    within = load(config(path, key=("code",), test_fraction=0.5, features=("a", "code")), optional=("id",))
    assert ids(within.test) == ids(without.test)
    assert ids(load(config(path, test_fraction=0.5), optional=("id",)).test) != ids(without.test)


@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_a_key_of_truth_values_that_is_also_a_feature_is_both(tmp_path: Path, extension: str) -> None:
    data = frame(300).assign(b=np.arange(300) % 2 == 0)
    path = write(data, tmp_path / f"x.{extension}")
    both = config(path, key=("b", "id"), test_fraction=0.5)
    within, without = load(both, optional=("id",)), load(replace(both, features=("a",)), optional=("id",))
    assert ids(within.test) == ids(without.test)
    kept = data[data["id"].isin(ids(within.test))]
    np.testing.assert_array_equal(together(within.test), kept[["a", "b", "y"]].astype(float))


def test_rows_of_one_key_stay_together(tmp_path: Path) -> None:
    data = frame(600).assign(group=np.repeat(np.arange(60), 10))
    found = load(config(write(data, tmp_path / "x.csv"), key=("group",), test_fraction=0.5), optional=("group",))
    sides = [set(r.select(["group"])[:, 0]) for r in (found.train, found.test)]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 60


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.floats(-1e30, 1e30)] * 3, st.one_of(st.integers(), st.text("ab,\"' é0.", max_size=9))),
        min_size=12,
        max_size=60,
    ),
    st.booleans(),
)
def test_csv_and_parquet_of_one_frame_give_the_same_rows_and_split(rows: list[tuple[object, ...]], keyed: bool) -> None:
    data = pd.DataFrame(rows, columns=["a", "b", "y", "k"]).astype({"k": str})
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for name in ("x.csv", "x.parquet"):
            path = write(data, Path(folder) / name)
            found.append(_roles(config(path, test_fraction=0.5, key=("k",) if keyed else ())))
    assert found[0] == found[1]


def _roles(data: DataConfig) -> tuple[object, ...]:
    try:
        found = load(data)
    except UserError as e:
        return (str(e).partition(": ")[2],)
    return together(found.train).tolist(), together(found.test).tolist()


def test_optional_columns_are_held_where_every_partition_has_them_complete(tmp_path: Path) -> None:
    data = frame(5).assign(w=1.5, gap=[1, 2, None, 4, 5], words=list("abcde"), only=1, huge=np.inf)
    write(data, tmp_path / "a.csv")
    write(data.drop(columns="only"), tmp_path / "b.parquet")
    rows = load(config(tmp_path), optional=("w", "gap", "words", "only", "huge", "none", "a", "w")).train
    assert [rows.has([c]) for c in ("w", "gap", "words", "only", "huge", "none", "a")] == [True, *[False] * 5, True]
    assert rows.has(["w", "y"])
    assert not rows.has(["w", "gap"])
    assert rows.select(["y", "w"]).tolist() == [[y, 1.5] for y in [*data["y"], *data["y"]]]
    with pytest.raises(KeyError, match="gap"):
        rows.select(["w", "gap"])


def test_an_optional_gap_in_a_dropped_row_does_not_matter(tmp_path: Path) -> None:
    path = text(tmp_path, "a,b,y,w\n1,2,3,4\n1,3,3,4\n,2,3,\n4,5,6,7\n")
    assert load(config(path, missing="drop"), optional=("w",)).train.select(["w"]).tolist() == [[4], [4], [7]]


def test_rows_with_a_gap_are_dropped_and_counted(tmp_path: Path) -> None:
    path = text(tmp_path, "a,b,y,z\n1,2,3,\n,2,3,\n4,nan,6,\n7,8,NA,\n9,10,11,\n12,13,14,\n")
    found = load(config(path, missing="drop"))
    assert together(found.train).tolist() == [[1, 2, 3], [9, 10, 11], [12, 13, 14]]
    assert (found.rows, found.dropped) == (3, 3)


VALUE_FAULTS = {
    "null": ("1,,3", "line 3, column 'b': the value is missing: fill it, or set data.missing = \"drop\""),
    "NaN": ("1,2,nan", "line 3, column 'y': the value 'nan' is missing"),
    "infinite": ("inf,2,3", "line 3, column 'a': the value 'inf' is infinite or beyond float64"),
    "beyond float64": ("1,-1e400,3", "line 3, column 'b': the value '-1e400' is infinite or beyond float64"),
    "beyond float32": ("1,2,-1e39", "line 3, column 'y': the value '-1e39' is beyond float32: rescale the column"),
}


@pytest.mark.parametrize(("row", "line"), VALUE_FAULTS.values(), ids=VALUE_FAULTS)
def test_a_value_that_cannot_be_used_is_named_with_its_line(tmp_path: Path, row: str, line: str) -> None:
    path = text(tmp_path, f"a,b,y\n1,2,3\n{row}\n\n4,5,6\n7,8,9\n")
    with pytest.raises(UserError) as caught:
        load(config(path))
    assert str(caught.value).startswith(f"{path}: {line}")


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    path = text(tmp_path, 't,a,b,y\n\n"two\nlines",1,2,3\n\nx,1,inf,3\nx,1,inf,3\n')
    with pytest.raises(UserError, match=r"line 6, column 'b': .* \(2 such in the column\)"):
        load(config(path))


@pytest.mark.parametrize(("value", "what"), [(None, "is missing"), (np.nan, "is missing"), (np.inf, "is infinite")])
def test_in_parquet_the_row_is_counted_from_one(tmp_path: Path, value: float | None, what: str) -> None:
    path = write(pd.DataFrame({"a": [1, 2, 3], "b": [1, 2, value], "y": [1, 2, 3]}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=f"row 3, column 'b': the value {what}"):
        load(config(path))


def test_an_infinite_value_is_refused_even_where_gaps_are_dropped(tmp_path: Path) -> None:
    path = text(tmp_path, "a,b,y\n1,2,3\n,2,3\n1,2,inf\n1,2,4\n")
    with pytest.raises(UserError, match="line 4, column 'y': the value 'inf' is infinite"):
        load(config(path, missing="drop"))


def test_float64_holds_what_float32_does_not(tmp_path: Path) -> None:
    path = text(tmp_path, "a,b,y\n1e39,2,3\n1,2,3\n3,2,3\n")
    assert load(config(path), dtype="float64").train.arrays()[0][0, 0] == 1e39


def test_the_largest_float32_is_not_beyond_it(tmp_path: Path) -> None:
    path = text(tmp_path, "a,b,y\n3.4028234663852886e38,2,3\n1,2,3\n3,2,3\n")
    assert torch.isfinite(load(config(path)).train.tensors(torch.float32)[0]).all()


def test_the_file_that_lacks_a_column_is_named(tmp_path: Path) -> None:
    write(frame(4), tmp_path / "a.csv")
    write(frame(4).rename(columns={"b": "bb"}), tmp_path / "b.csv")
    with pytest.raises(UserError, match=r"b\.csv: column 'b' is missing .*a\.csv has it: files of one data set"):
        load(config(tmp_path))


def test_columns_are_found_by_name_in_each_file(tmp_path: Path) -> None:
    write(frame(4), tmp_path / "a.csv")
    write(frame(4)[["y", "id", "b", "a"]], tmp_path / "b.csv")
    rows = together(load(config(tmp_path)).train)
    np.testing.assert_array_equal(rows[:4], rows[4:])


COUNT_FAULTS = {
    "few": ({}, 2, "2 training rows, of 2 rows, are too few for 3 parameters a target (2 features and the bias)"),
    "no training row": ({"test_fraction": 0.999999}, 9, "0 training rows, of 9 rows, are too few"),
    "no test row": ({"test_fraction": 1e-9}, 9, "none of 9 rows is a test row at data.test_fraction 1e-09: raise"),
    "no validation row": ({"validation_fraction": 1e-9}, 9, "none of 9 rows is a validation row at"),
}


@pytest.mark.parametrize(("changes", "rows", "line"), COUNT_FAULTS.values(), ids=COUNT_FAULTS)
def test_too_few_rows_are_refused_with_their_number(
    tmp_path: Path, changes: dict[str, object], rows: int, line: str
) -> None:
    path = write(frame(rows), tmp_path / "x.csv")
    with pytest.raises(UserError) as caught:
        load(config(path, **changes))
    assert str(caught.value).startswith(f"{path}: {line}")


def test_dropped_rows_are_told_where_too_few_are_left(tmp_path: Path) -> None:
    path = text(tmp_path, "a,b,y\n1,2,\n1,2,\n1,2,3\n")
    with pytest.raises(UserError, match=r"1 training rows, of 1 rows \(2 more were dropped\), are too few"):
        load(config(path, missing="drop"))


def test_as_many_rows_as_parameters_are_enough(tmp_path: Path) -> None:
    found: Dataset = load(config(write(frame(3), tmp_path / "x.csv")))
    assert found.rows == 3


def test_a_key_of_the_wrong_kind_names_the_file(tmp_path: Path) -> None:
    data = frame(5).assign(k=[[1]] * 5)
    with pytest.raises(UserError, match=r"x\.parquet: a column of type list<.* cannot be in data\.key"):
        load(config(write(data, tmp_path / "x.parquet"), key=("k",), test_fraction=0.5))


def test_weights_are_held_beside_the_rows_and_a_row_that_weighs_nothing_is_not_there(tmp_path: Path) -> None:
    path = text(tmp_path, "a,b,y,w\n1,2,3,1\n,nan,,0\n4,5,6,2.5\n7,8,9,0\n1,3,4,1e9\n0,1,2,3\n")
    found = load(config(path, weight="w"))
    assert (found.rows, found.weightless, found.dropped) == (4, 2, 0)
    assert found.train.weights() == pytest.approx([1, 2.5, 1e9, 3])
    assert together(found.train)[:, 2].tolist() == [3, 6, 4, 2]
    assert load(config(path, missing="drop")).train.weights() is None


WEIGHT_FAULTS = {
    "negative": ("1,2,3,-1", "line 3, column 'w': the value '-1' is negative: a row weighs 0 or more (data.weight)"),
    "missing": ("1,2,3,", "line 3, column 'w': the value is missing: fill it, or set data.missing = \"drop\""),
    "text": ("1,2,3,heavy", "column 'w'"),
    "infinite": ("1,2,3,inf", "line 3, column 'w': the value 'inf' is infinite"),
}


@pytest.mark.parametrize(("row", "line"), WEIGHT_FAULTS.values(), ids=WEIGHT_FAULTS)
@pytest.mark.parametrize("missing", ["error", "mean"])
def test_a_weight_that_is_none_is_refused_with_its_place(tmp_path: Path, missing: str, row: str, line: str) -> None:
    path = text(tmp_path, f"a,b,y,w\n1,2,3,1\n{row}\n1,2,4,1\n5,2,4,1\n")
    with pytest.raises(UserError) as caught:
        load(config(path, weight="w", missing=missing))
    assert line in str(caught.value)


def test_all_rows_without_weight_are_too_few(tmp_path: Path) -> None:
    path = text(tmp_path, "a,b,y,w\n" + "1,2,3,0\n" * 5)
    with pytest.raises(UserError, match=r"0 training rows, of 0 rows \(5 more were dropped\), are too few"):
        load(config(path, weight="w"))


def test_mean_keeps_rows_without_a_feature_and_leaves_out_those_without_a_target(tmp_path: Path) -> None:
    path = text(tmp_path, "a,b,y\n1,,3\n2,5,\n,6,4\n3,7,5\n4,8,6\n")
    found = load(config(path, missing="mean"))
    assert (found.rows, found.dropped) == (4, 1)
    rows = together(found.train)
    assert np.isnan(rows).sum() == 2
    assert np.isnan(rows[0, 1])
    assert np.isnan(rows[1, 0])
    assert found.train.gaps
    x_NF, _ = found.train.tensors(torch.float32, fill_F=np.array([10.0, 20.0]))
    assert x_NF.tolist() == [[1, 20], [10, 6], [3, 7], [4, 8]]


def test_infinite_values_are_refused_where_gaps_are_filled(tmp_path: Path) -> None:
    path = text(tmp_path, "a,b,y\n1,,3\n2,inf,4\n1,6,4\n3,7,5\n4,8,6\n")
    with pytest.raises(UserError, match="line 3, column 'b': the value 'inf' is infinite"):
        load(config(path, missing="mean"))


def test_a_fault_below_a_row_that_weighs_nothing_is_told_with_its_own_line(tmp_path: Path) -> None:
    path = text(tmp_path, "a,b,y,w\n1,2,3,0\n1,2,3,0\n1,inf,3,1\n1,2,3,1\n")
    with pytest.raises(UserError, match="line 4, column 'b'"):
        load(config(path, weight="w"))


@pytest.mark.parametrize("nothing", ["a,b,y\n", None])
def test_files_of_no_rows_are_told_and_change_nothing(tmp_path: Path, nothing: str | None) -> None:
    data = frame(30)
    write(data[:12], tmp_path / "1.csv")
    write(data[12:], tmp_path / "3.parquet")
    expected = read_dataset(config(tmp_path))
    if nothing is None:
        write(data[:0], tmp_path / "2.parquet")
    else:
        text(tmp_path, nothing, "2.csv")
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        found = read_dataset(config(tmp_path / "[123].*"), cache=cache, folds=0 if cache else 3)
        assert found.dataset.empty == (f"2.{'csv' if nothing else 'parquet'}",)
        assert found.record.moments.root_KK.tobytes() == expected.record.moments.root_KK.tobytes()
        np.testing.assert_array_equal(together(found.dataset.train), data[["a", "b", "y"]])
    for path in tmp_path.glob("[13].*"):
        path.unlink()
    with pytest.raises(UserError, match=r"2\.(csv|parquet): has column names but no rows: add rows"):
        load(config(tmp_path))


def test_a_packed_csv_splits_as_the_plain_one(tmp_path: Path) -> None:
    path = write(frame(200), tmp_path / "x.csv")
    plain = load(config(path, test_fraction=0.4), optional=("id",))
    path.with_name("x.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    packed = load(config(path.with_name("x.csv.gz"), test_fraction=0.4), optional=("id",))
    assert ids(packed.test) == ids(plain.test)
