"""From a config's data to rows of three roles: values checked, numbers in order, enough of each."""

import gzip
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linreg.data_config import DataConfig
from linreg.errors import UserError
from linreg.files import partitions
from linreg.ingest.dataset import read_dataset
from linreg.ingest.records import record_dataset
from linreg.rows.rows import Rows
from tests.support.files import write

COLUMNS = ["a", "b", "y"]


def config(path: object, **changes: object) -> DataConfig:
    return DataConfig(path=str(path), **({"features": ("a", "b"), "targets": ("y",)} | changes))


def frame(n: int, seed: int = 0) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(n, 3))
    return pd.DataFrame(values, columns=COLUMNS).assign(id=np.arange(n) + 1000 * seed)


def values(rows: Rows) -> np.ndarray:
    return np.column_stack(rows.arrays())


def ids(rows: Rows) -> set[int]:
    return set(rows.select(["id"])[:, 0].astype(int).tolist())


def test_rows_come_in_the_order_of_partitions_and_files_and_columns_by_their_names(tmp_path) -> None:
    first, second, third = frame(5), frame(4, 1), frame(4, 2)
    write(tmp_path / "b.csv", second[["y", "id", "b", "a"]])
    write(tmp_path / "a.parquet", first)
    write(tmp_path / "c.csv", third)
    files = partitions.find(str(tmp_path))
    dataset = read_dataset(config(tmp_path))
    np.testing.assert_array_equal(values(dataset.train), pd.concat([first, second, third])[COLUMNS])
    assert (dataset.rows, dataset.dropped, len(dataset.train), len(dataset.validation)) == (13, 0, 13, 0)
    assert (dataset.partitions, dataset.digest) == (tuple(files), partitions.digest(files))
    some = read_dataset(config(tmp_path), partitions=files[1::-1])
    assert some.partitions == tuple(files[:2])
    np.testing.assert_array_equal(values(some.train), pd.concat([first, second])[COLUMNS])


def test_blocks_are_leaves_of_one_partition_each(tmp_path) -> None:
    data = frame(70_000)
    write(tmp_path / "a.parquet", data)
    write(tmp_path / "b.parquet", frame(3, 1))
    blocks = list(read_dataset(config(tmp_path)).train.blocks())
    assert [b.shape for b in blocks] == [(65_536, 3), (4_464, 3), (3, 3)]
    assert all(b.dtype == np.float64 and b.flags.c_contiguous for b in blocks)
    np.testing.assert_array_equal(np.vstack(blocks[:2]), data[COLUMNS])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_hold_the_rows_rounded_once(tmp_path, dtype: torch.dtype) -> None:
    data = frame(70_000)
    x, y = read_dataset(config(write(tmp_path / "a.parquet", data))).train.tensors(dtype)
    assert x.is_contiguous()
    assert y.is_contiguous()
    assert (x.dtype, y.dtype, x.shape, y.shape) == (dtype, dtype, (70_000, 2), (70_000, 1))
    assert torch.equal(x, torch.tensor(data[["a", "b"]].to_numpy(), dtype=dtype))
    assert torch.equal(y, torch.tensor(data[["y"]].to_numpy(), dtype=dtype))


def test_integers_and_booleans_become_floats(tmp_path) -> None:
    data = {"a": [True, False, True, True], "b": np.array([1, 2, 3, 200], np.uint8), "y": [1, 2, 3, -4]}
    for name in ("x.csv", "x.parquet"):
        rows = read_dataset(config(write(tmp_path / name, data))).train
        assert values(rows).tolist() == [[1, 1, 1], [0, 2, 2], [1, 3, 3], [1, 200, -4]]


def test_the_three_roles_share_the_rows_out(tmp_path) -> None:
    data = frame(3000)
    path = write(tmp_path / "x.csv", data)
    dataset = read_dataset(config(path, test_fraction=0.3, validation_fraction=0.2), optional=("id",))
    roles = [dataset.train, dataset.validation, dataset.test]
    assert sum(len(ids(rows)) for rows in roles) == dataset.rows == 3000
    assert set.union(*map(ids, roles)) == set(range(3000))
    for rows in roles:
        np.testing.assert_array_equal(values(rows), data[data["id"].isin(ids(rows))][COLUMNS])
    alone = read_dataset(config(path))
    assert alone.test is alone.train  # without a test_fraction the model is judged on its training rows


def test_added_files_other_features_and_dropped_rows_move_no_row(tmp_path) -> None:
    data = frame(400)
    write(tmp_path / "b.csv", data)
    base = read_dataset(config(tmp_path, test_fraction=0.4), optional=("id",))
    write(tmp_path / "a.csv", frame(50, 9))
    data.loc[::7, "a"] = np.nan
    write(tmp_path / "b.csv", data)
    later = read_dataset(config(tmp_path, test_fraction=0.4, missing="drop"), optional=("id",))
    other = read_dataset(config(tmp_path, test_fraction=0.4, features=("b",)), optional=("id",))
    stayed = set(data["id"][data["a"].notna()])
    assert ids(later.test) & set(range(400)) == ids(base.test) & stayed
    assert ids(other.test) & set(range(400)) == ids(base.test)


KEYS = {
    "numerals of a CSV": ("x.csv", [f"{i:03d}" for i in range(300)]),
    "truth values of a CSV": ("x.csv", np.arange(300) % 2 == 0),
    "truth values of Parquet": ("x.parquet", np.arange(300) % 2 == 0),
}


@pytest.mark.parametrize(("name", "column"), KEYS.values(), ids=KEYS)
def test_a_key_that_is_also_a_feature_decides_as_before(tmp_path, name: str, column: object) -> None:
    data = frame(300).assign(b=column)
    both = config(write(tmp_path / name, data), key=("b", "id"), test_fraction=0.5)
    within, without = (read_dataset(c, optional=("id",)) for c in (both, replace(both, features=("a",))))
    assert ids(within.test) == ids(without.test)
    assert ids(within.test) != ids(read_dataset(replace(both, key=()), optional=("id",)).test)
    np.testing.assert_array_equal(values(within.test), data[data["id"].isin(ids(within.test))][COLUMNS].astype(float))


def test_a_folder_s_column_can_be_the_key_of_the_split(tmp_path) -> None:
    """All rows of a day are on one side, and those of its other files too."""
    for i, day in enumerate(["01", "02", "03", "10", "12", "12"]):
        write(tmp_path / f"day=2026-11-{day}" / f"{i}.csv", frame(50, i).assign(date=int(day)))
    keyed = config(tmp_path, key=("day",), test_fraction=0.5, split_seed=1)
    dataset = read_dataset(keyed, optional=("date",))
    train, test = (set(rows.select(["date"])[:, 0]) for rows in (dataset.train, dataset.test))
    assert train | test == {1, 2, 3, 10, 12}
    assert not train & test
    assert min(len(train), len(test)) > 0


def test_a_file_outside_the_window_is_not_opened(tmp_path) -> None:
    for day in ("02", "03"):
        write(tmp_path / f"day=2026-11-{day}" / "x.parquet", frame(5))
    write(tmp_path / "day=2026-11-01" / "x.parquet", b"nothing that could be read")
    assert len(read_dataset(config(tmp_path, window=2)).partitions) == 2
    assert len(read_dataset(config(tmp_path, window=2, window_by="day")).partitions) == 2
    with pytest.raises(UserError, match="is not Parquet"):
        read_dataset(config(tmp_path))
    with pytest.raises(UserError, match=r"data\.window must be at least 0"):
        config(tmp_path, window=-1)


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
    data = pd.DataFrame(rows, columns=[*COLUMNS, "k"]).astype({"k": str})
    key = ("k",) if keyed else ()
    with tempfile.TemporaryDirectory() as folder:
        csv, parquet = (
            _roles(config(write(Path(folder) / name, data), test_fraction=0.5, key=key))
            for name in ("x.csv", "x.parquet")
        )
    assert csv == parquet


def _roles(data: DataConfig) -> tuple[object, ...]:
    try:
        dataset = read_dataset(data)
    except UserError as e:
        return (str(e).partition(": ")[2],)
    return values(dataset.train).tolist(), values(dataset.test).tolist()


def test_optional_columns_are_held_where_every_partition_has_them_complete(tmp_path) -> None:
    data = frame(5).assign(w=1.5, gap=[1, 2, None, 4, 5], words=list("abcde"), only=1, huge=np.inf)
    write(tmp_path / "a.csv", data)
    write(tmp_path / "b.parquet", data.drop(columns="only"))
    rows = read_dataset(config(tmp_path), optional=("w", "gap", "words", "only", "huge", "none", "a", "w")).train
    assert [rows.has([c]) for c in ("w", "gap", "words", "only", "huge", "none", "a")] == [True, *[False] * 5, True]
    assert rows.has(["w", "y"])
    assert not rows.has(["w", "gap"])
    assert rows.select(["y", "w"]).tolist() == [[y, 1.5] for y in [*data["y"], *data["y"]]]
    with pytest.raises(KeyError, match="gap"):
        rows.select(["w", "gap"])


@pytest.mark.parametrize("late", [0, 39_999])
def test_an_optional_column_of_text_is_left_out_wherever_it_is_noticed(tmp_path, late: int) -> None:
    notes = ["7"] * 40_000
    notes[late] = "seven"
    path = write(tmp_path / "x.csv", frame(40_000).assign(note=notes))
    rows = read_dataset(config(path), optional=("note", "id")).train
    assert (rows.has(["id"]), rows.has(["note"])) == (True, False)


def test_rows_with_a_gap_are_dropped_and_counted_and_their_optional_gaps_do_not_matter(tmp_path) -> None:
    path = write(tmp_path / "x.csv", "a,b,y,z,w\n1,2,3,,4\n,2,3,,\n4,nan,6,,1\n7,8,NA,,2\n9,10,11,,5\n12,13,14,,6\n")
    dataset = read_dataset(config(path, missing="drop"), optional=("w",))
    assert values(dataset.train).tolist() == [[1, 2, 3], [9, 10, 11], [12, 13, 14]]
    assert dataset.train.select(["w"]).tolist() == [[4], [5], [6]]
    assert (dataset.rows, dataset.dropped) == (3, 3)


def test_mean_keeps_rows_without_a_feature_and_leaves_out_those_without_a_target(tmp_path) -> None:
    path = write(tmp_path / "x.csv", "a,b,y\n1,,3\n2,5,\n,6,4\n3,7,5\n4,8,6\n")
    dataset = read_dataset(config(path, missing="mean"))
    assert (dataset.rows, dataset.dropped) == (4, 1)
    expected = [[1, np.nan, 3], [np.nan, 6, 4], [3, 7, 5], [4, 8, 6]]
    np.testing.assert_array_equal(values(dataset.train), expected)
    assert dataset.train.gaps
    x_NF, _ = dataset.train.tensors(torch.float32, fill_F=np.array([10.0, 20.0]))
    assert x_NF.tolist() == [[1, 20], [10, 6], [3, 7], [4, 8]]


def test_weights_are_held_beside_the_rows_and_a_row_that_weighs_nothing_is_not_there(tmp_path) -> None:
    path = write(tmp_path / "x.csv", "a,b,y,w\n1,2,3,1\n,nan,,0\n4,5,6,2.5\n7,8,9,0\n1,3,4,1e9\n0,1,2,3\n")
    dataset = read_dataset(config(path, weight="w"))
    assert (dataset.rows, dataset.weightless, dataset.dropped) == (4, 2, 0)
    assert dataset.train.weights() == pytest.approx([1, 2.5, 1e9, 3])
    assert values(dataset.train)[:, 2].tolist() == [3, 6, 4, 2]
    assert read_dataset(config(path, missing="drop")).train.weights() is None


def test_values_at_the_ends_of_a_dtype_are_held(tmp_path) -> None:
    path = write(tmp_path / "x.csv", "a,b,y\n3.4028234663852886e38,2,3\n1,2,3\n3,2,3\n")
    assert torch.isfinite(read_dataset(config(path)).train.tensors(torch.float32)[0]).all()
    path = write(tmp_path / "x.csv", "a,b,y\n1e39,2,3\n1,2,3\n3,2,3\n")
    assert read_dataset(config(path), dtype="float64").train.arrays()[0][0, 0] == 1e39


def test_as_many_rows_as_parameters_are_enough(tmp_path) -> None:
    assert read_dataset(config(write(tmp_path / "x.csv", "a,b,y\n5,2,3\n1,2,3\n3,2,3\n"))).rows == 3


GOOD = "a,b,y\n1,2,3\n4,5,6\n7,8,9\n"
WEIGHED = "a,b,y,w\n1,2,3,1\n{}\n1,2,4,1\n5,2,4,1\n"
DROP, MEAN, WEIGHT = {"missing": "drop"}, {"missing": "mean"}, {"weight": "w"}
FAULTS = {
    "null": (GOOD + "1,,3\n", {}, "line 5, column 'b': the value is missing: fill it, or set data.missing = \"drop\""),
    "NaN": (GOOD + "\n1,2,nan\n", {}, "line 6, column 'y': the value 'nan' is missing"),
    "infinite": (GOOD + "inf,2,3\n1,2,3", {}, "line 5, column 'a': the value 'inf' is infinite or beyond float64"),
    "beyond float64": (GOOD + "1,-1e400,3\n", {}, "line 5, column 'b': the value '-1e400' is infinite or beyond"),
    "beyond float32": (GOOD + "1,2,-1e39\n", {}, "line 5, column 'y': the value '-1e39' is beyond float32: rescale"),
    "lines as an editor counts them": (
        't,a,b,y\n\n"two\nlines",1,2,3\n\nx,1,inf,3\nx,1,inf,3\n',
        {},
        "line 6, column 'b': the value 'inf' is infinite or beyond float64 (2 such in the column)",
    ),
    "infinite among gaps that drop": (
        GOOD + ",2,3\n1,2,inf\n",
        DROP,
        "line 6, column 'y': the value 'inf' is infinite",
    ),
    "infinite among gaps to fill": (GOOD + "1,,3\n2,inf,4\n", MEAN, "line 6, column 'b': the value 'inf' is infinite"),
    "below a weightless row": (WEIGHED.format("1,2,3,0\n1,inf,3,1"), WEIGHT, "line 4, column 'b'"),
    "negative weight": (
        WEIGHED.format("1,2,3,-1"),
        WEIGHT,
        "line 3, column 'w': the value '-1' is negative: a row weighs 0 or more (data.weight)",
    ),
    "no weight": (
        WEIGHED.format("1,2,3,"),
        WEIGHT,
        "line 3, column 'w': the value is missing: fill it, or set data.missing = \"drop\"",
    ),
    "no weight where means fill": (
        WEIGHED.format("1,2,3,"),
        WEIGHT | MEAN,
        "line 3, column 'w': the value is missing: fill it, or set data.missing = \"drop\"",
    ),
    "text for a weight": (WEIGHED.format("1,2,3,heavy"), WEIGHT, "line 3, column 'w': 'heavy' is not a number"),
    "infinite weight": (WEIGHED.format("1,2,3,inf"), WEIGHT | MEAN, "line 3, column 'w': the value 'inf' is infinite"),
    "few rows": (
        "a,b,y\n1,2,3\n4,5,6\n",
        {},
        "2 training rows, of 2 rows, are too few for 3 parameters a target (2 features and the bias)",
    ),
    "few rows are left": (
        "a,b,y\n1,2,\n1,2,\n1,2,3\n",
        DROP,
        "1 training rows, of 1 rows (2 more were dropped), are too few",
    ),
    "no row weighs anything": (
        "a,b,y,w\n" + "1,2,3,0\n" * 5,
        WEIGHT,
        "0 training rows, of 0 rows (5 more were dropped), are too few",
    ),
    "no training row": (GOOD, {"test_fraction": 0.999999}, "0 training rows, of 3 rows, are too few"),
    "no test row": (GOOD, {"test_fraction": 1e-9}, "none of 3 rows is a test row at data.test_fraction 1e-09: raise"),
    "no validation row": (GOOD, {"validation_fraction": 1e-9}, "none of 3 rows is a validation row at"),
}


@pytest.mark.parametrize(("content", "changes", "line"), FAULTS.values(), ids=FAULTS)
def test_what_cannot_be_used_is_refused_with_its_place_or_number(tmp_path, content: str, changes, line: str) -> None:
    path = write(tmp_path / "x.csv", content)
    with pytest.raises(UserError) as caught:
        read_dataset(config(path, **changes))
    assert str(caught.value).startswith(f"{path}: {line}")


@pytest.mark.parametrize(("value", "what"), [(None, "is missing"), (np.nan, "is missing"), (np.inf, "is infinite")])
def test_in_parquet_the_row_is_counted_from_one(tmp_path, value: float | None, what: str) -> None:
    path = write(tmp_path / "x.parquet", {"a": [1, 2, 3], "b": [1.0, 2.0, value], "y": [1, 2, 3]})
    with pytest.raises(UserError, match=f"row 3, column 'b': the value {what}"):
        read_dataset(config(path))


def test_the_file_that_lacks_a_column_is_named(tmp_path) -> None:
    write(tmp_path / "a.csv", frame(4))
    write(tmp_path / "b.csv", frame(4).rename(columns={"b": "bb"}))
    with pytest.raises(UserError, match=r"b\.csv: column 'b' is missing .*a\.csv has it: files of one data set"):
        read_dataset(config(tmp_path))


def test_a_key_of_the_wrong_kind_names_the_file(tmp_path) -> None:
    path = write(tmp_path / "x.parquet", frame(5).assign(k=[[1]] * 5))
    with pytest.raises(UserError, match=r"x\.parquet: a column of type list<.* cannot be in data\.key"):
        read_dataset(config(path, key=("k",), test_fraction=0.5))


@pytest.mark.parametrize("name", ["2.csv", "2.csv.gz", "2.parquet"])
def test_files_of_no_rows_are_told_and_change_nothing(tmp_path, name: str) -> None:
    data = frame(30)
    write(tmp_path / "1.csv", data[:12])
    write(tmp_path / "3.parquet", data[12:])
    expected = record_dataset(config(tmp_path))
    header = b"a,b,y\n"
    untyped = pd.DataFrame(columns=["a", "b", "y"]).astype({"b": str})
    write(tmp_path / name, {"2.csv": header, "2.csv.gz": gzip.compress(header)}.get(name, untyped))
    for cache in (None, tmp_path / ".cache", tmp_path / ".cache"):
        recorded = record_dataset(config(tmp_path / "[123].*"), cache=cache, folds=0 if cache else 3)
        assert recorded.dataset.empty == (name,)
        assert recorded.record.moments.root_KK.tobytes() == expected.record.moments.root_KK.tobytes()
        np.testing.assert_array_equal(values(recorded.dataset.train), data[COLUMNS])
    for path in tmp_path.glob("[13].*"):
        path.unlink()
    with pytest.raises(UserError, match=r"2\.[a-z.]+: has column names but no rows: add rows"):
        read_dataset(config(tmp_path))


FOLDERS = {
    "packed beside plain": {"1.csv.gz": slice(15), "2.csv": slice(15, 30)},
    "one without rows": {"1.parquet": slice(10), "2.parquet": slice(0), "3.parquet": slice(10, 30)},
    "writers' own": {"day=1/1.parquet": slice(30), "_old/1.parquet": slice(9), "day=1/._1.csv": slice(9)},
    "a table's files": {"part-0.parquet": slice(30), "_delta_log/1.checkpoint.parquet": slice(9)},
}


@pytest.mark.filterwarnings("ignore:.*table format .Delta")
@pytest.mark.parametrize("files", FOLDERS.values(), ids=FOLDERS)
def test_ordinary_folders_give_the_least_squares_of_their_rows(tmp_path, files: dict[str, slice]) -> None:
    data = frame(30)
    for name, rows in files.items():
        text = data[rows].to_csv(index=False).encode()
        write(tmp_path / name, {".gz": gzip.compress(text), ".csv": text}.get(Path(name).suffix, data[rows]))
    recorded = record_dataset(config(tmp_path, raw_files="_delta_log/1.checkpoint.parquet" in files))
    solution = recorded.record.moments.solve()
    design = np.column_stack([np.ones(30), data[["a", "b"]]])
    expected, residual, _, _ = np.linalg.lstsq(design, data["y"])
    assert recorded.dataset.rows == 30
    np.testing.assert_allclose(solution.weight_OF[0], expected[1:], rtol=1e-12)
    np.testing.assert_allclose(solution.residual_O, residual, rtol=1e-10)


@pytest.mark.parametrize("codec", ["gz", "bz2", "zst"])
def test_a_packed_csv_splits_as_the_plain_one(tmp_path, codec: str) -> None:
    path = write(tmp_path / "x.csv", frame(200))
    packed = f"{path}.{codec}"
    with pa.output_stream(packed) as file:  # packs as the extension says
        file.write(Path(path).read_bytes())
    plain, unpacked = (read_dataset(config(p, test_fraction=0.4), optional=("id",)) for p in (path, packed))
    assert ids(plain.test) == ids(unpacked.test)
