"""Recording while reading gives what recording all rows at once gives; and what is not needed is not held."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linreg.config import DataConfig
from linreg.errors import UserError
from linreg.files import partitions as source
from linreg.ingest.blocks import Reading, read_partition
from linreg.ingest.dataset import Dataset, load
from linreg.ingest.part import PartitionRows
from linreg.ingest.read import ALL, HELD_OUT, DatasetRead, read_dataset
from linreg.moments import from_rows
from linreg.moments.moments import Moments, merge
from linreg.moments.training_record import record_rows, record_with_gaps
from linreg.rows import split
from linreg.rows.rows import LEAF

FEATURES, TARGETS = ("a", "b", "c", "d"), ("y", "z")


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled as soon as they are written."""
    monkeypatch.setattr(source, "_SETTLED", -1)


def table(n: int, seed: int = 0) -> pa.Table:
    """Columns of four types."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(3, 2, n), rng.normal(-1, 0.1, n).astype(np.float32)
    c, d = rng.integers(-50, 50, n), rng.integers(0, 2, n).astype(bool)
    y = a - 2 * b + 0.1 * c + rng.normal(size=n)
    return pa.table(
        {
            "z": (y + d + rng.normal(size=n)).astype(np.float32),
            "a": a,
            "b": b,
            "id": np.arange(n),
            "c": c,
            "d": d,
            "y": y,
        }
    )


def written(path: Path, rows: pa.Table, group: int | None = None) -> DataConfig:
    pq.write_table(rows, path, row_group_size=group)
    return config(path)


def config(path: Path, **changes: object) -> DataConfig:
    plain: dict[str, object] = {"features": FEATURES, "targets": TARGETS, "test_fraction": 0.3}
    return DataConfig(path=str(path), **(plain | changes))  # type: ignore[arg-type]


def by_leaf(how: DataConfig, held: tuple[int, ...] = ALL, threads: int = 0) -> PartitionRows:
    (partition,) = source.find(how.path)
    return read_partition(partition, Reading(how, held=held), threads=threads)


def same_record(found: Moments, expected: Moments) -> None:
    """The same but for rounding."""
    scale = np.abs(expected.root_KK).max()
    np.testing.assert_allclose(found.at(expected.shift_P), expected.root_KK, rtol=0, atol=1e-12 * scale)


def same_rows(found: DatasetRead, how: DataConfig) -> None:
    """The records are those of all rows held and recorded at once."""
    expected = load(how)
    known = record_rows(expected.train)
    same_record(found.record.moments, known.moments)
    assert (found.record.filled, found.record.plain) == (known.filled, known.plain)
    assert len(found.record.partitions) == len(known.partitions)
    counts = ("rows", "train_rows", "validation_rows", "test_rows", "dropped", "weightless", "digest")
    assert [getattr(found.dataset, c) for c in counts] == [getattr(expected, c) for c in counts]
    if how.validation_fraction:
        assert found.validation is not None
        same_record(found.validation, record_with_gaps(expected.validation).filled(known.fill_F))
    test = expected.test.select([*FEATURES, *TARGETS])
    np.testing.assert_array_equal(found.dataset.test.select([*FEATURES, *TARGETS]), test)
    same_record(found.test.moments, record_with_gaps(expected.test).moments)
    assert found.dataset.counts == expected.counts
    assert [len(rows) for rows in expected.test.partitions()] == [n for n in found.dataset.judges if n]
    same_ranges(found, expected)


def same_ranges(found: DatasetRead, expected: Dataset) -> None:
    """Those of all rows that are used, whatever their role; a gap is no value."""
    roles = {id(rows): rows for rows in (expected.train, expected.validation, expected.test)}.values()
    used = np.vstack([rows.select([*FEATURES, *TARGETS]) for rows in roles])
    assert len(found.extents) == len(found.dataset.partitions)
    whole = sum(found.extents[1:], found.extents[0])
    np.testing.assert_array_equal(whole.low_P, np.nanmin(used, axis=0))
    np.testing.assert_array_equal(whole.high_P, np.nanmax(used, axis=0))


@pytest.mark.parametrize("way", ["numpy", "R", "plain"])
@pytest.mark.parametrize("group", [LEAF, 10_000, 50_001, 100_000, 999_999])
def test_block_by_block_gives_the_record_of_all_rows(tmp_path, monkeypatch, group: int, way: str) -> None:
    monkeypatch.setattr(from_rows, "PAYS", np.inf if way == "numpy" else 0)
    monkeypatch.setattr(from_rows, "LONG", 0 if way == "plain" else np.inf)
    path = tmp_path / "x.parquet"
    written(path, table(2 * LEAF + 777), group)
    how = config(path, validation_fraction=0.2)
    assert by_leaf(how).records[split.TRAIN][1] == way
    found = read_dataset(how, held=HELD_OUT)
    same_rows(found, how)
    assert len(found.dataset.train) == 0
    assert found.dataset.train_rows > LEAF


@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads_gives_the_same_rows(tmp_path, threads: int) -> None:
    how = written(tmp_path / "x.parquet", table(3 * LEAF), 70_000)
    parts = [by_leaf(how, threads=n) for n in (0, threads)]
    one, other = (p.records[split.TRAIN][0].moments for p in parts)
    assert one.root_KK.tobytes() == other.root_KK.tobytes()
    assert parts[0].table.equals(parts[1].table)


def test_plain_sums_that_turn_out_not_to_do_are_made_again_by_reflections(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(from_rows, "PAYS", 0)
    monkeypatch.setattr(from_rows, "LONG", 0)
    rows = table(2 * LEAF).to_pandas()
    rows.loc[LEAF:, "a"] *= 1e6
    rows.loc[LEAF:, "b"] = (rows.a * (1 + 1e-7 * rows.b))[LEAF:].astype(np.float32)
    path = tmp_path / "x.parquet"
    rows.to_parquet(path)
    how = config(path, features=("a", "b"))
    assert by_leaf(how).records[split.TRAIN][1] == "R"
    assert read_dataset(how).record.plain == 0


def test_all_roles_can_be_held_and_none(tmp_path) -> None:
    how = written(tmp_path / "x.parquet", table(LEAF + 5), 30_000)
    everything, nothing = by_leaf(how), by_leaf(how, held=())
    assert everything.table.select(FEATURES).equals(pq.read_table(how.path, columns=list(FEATURES)))
    assert len(nothing.table) == 0
    assert nothing.counts == everything.counts
    same_rows(read_dataset(how, held=ALL), how)
    x_NF, y_NO = read_dataset(how, held=ALL).dataset.train.arrays()
    expected = load(how).train.arrays()
    np.testing.assert_array_equal(x_NF, expected[0])
    np.testing.assert_array_equal(y_NO, expected[1])


def test_a_role_without_rows_in_the_first_leaf_is_recorded_all_the_same(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(from_rows, "PAYS", 0)
    monkeypatch.setattr(from_rows, "LONG", 0)
    path = tmp_path / "x.parquet"
    written(path, table(2 * LEAF))
    late = next(
        seed
        for seed in range(100)
        if (roles := split.roles("x", 2 * LEAF, test_fraction=0.0, validation_fraction=2e-5, seed=seed)).any()
        and not roles[:LEAF].any()
    )
    how = config(path, validation_fraction=2e-5, split_seed=late, test_fraction=0.0)
    same_rows(read_dataset(how), how)


def with_nulls(rows: pa.Table) -> pa.Table:
    values = rows["a"].to_numpy().copy()
    values[70_000] = np.nan
    return rows.set_column(rows.column_names.index("a"), "a", pa.array(values))


UNUSUAL = {
    "a gap that is dropped": ({"missing": "drop"}, with_nulls),
    "a gap that is filled": ({"missing": "mean"}, with_nulls),
    "a key": ({"key": ("id",)}, lambda rows: rows),
    "weights": ({"weight": "c"}, lambda rows: rows.set_column(4, "c", pa.array(np.arange(len(rows)) % 3))),
}


@pytest.mark.parametrize("extension", ["parquet", "csv"])
@pytest.mark.parametrize("case", UNUSUAL)
def test_gaps_keys_and_weights_are_read_block_by_block_too(tmp_path, case: str, extension: str) -> None:
    changes, edit = UNUSUAL[case]
    rows, path = edit(table(LEAF + 9000)), tmp_path / f"x.{extension}"
    _ = pq.write_table(rows, path) if extension == "parquet" else rows.to_pandas().to_csv(path, index=False)
    features = ("a", "b", "d") if "weight" in changes else FEATURES
    how = config(path, **changes, features=features)
    found, expected = read_dataset(how, held=HELD_OUT), load(how)
    same_record(found.record.moments, record_rows(expected.train).moments)
    assert (found.dataset.train_rows, len(found.dataset.train)) == (len(expected.train), 0)
    np.testing.assert_array_equal(found.dataset.test.select(features), expected.test.select(features))


def test_a_file_that_was_just_written_is_read_as_others_are(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(source, "_SETTLED", 10**12)
    how = written(tmp_path / "x.parquet", table(500))
    same_rows(read_dataset(how), how)


def test_a_fault_is_told_as_when_the_file_is_read_whole(tmp_path) -> None:
    path = tmp_path / "x.parquet"
    how = written(path, with_nulls(table(LEAF + 9000)))
    with pytest.raises(UserError, match=r"row 70001, column 'a': the value is missing"):
        read_dataset(how)
    with pytest.raises(UserError, match="column 'nothing' is missing"):
        read_dataset(config(path, features=("a", "nothing")))
    path.write_bytes(path.read_bytes()[:-100] + bytes(96) + b"PAR1")
    with pytest.raises(UserError, match="the Parquet file is damaged"):
        read_dataset(how)


def test_a_column_inside_another_is_no_column(tmp_path) -> None:
    rows = table(300)
    nested = pa.StructArray.from_arrays([rows["a"].combine_chunks()], ["b"])
    pq.write_table(rows.append_column("in", nested), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"column 'in\.b' is missing"):
        read_dataset(config(tmp_path / "x.parquet", features=("a", "in.b")))


def test_many_files_side_by_side_are_one_data_set_in_their_order(tmp_path) -> None:
    for i in range(5):
        pq.write_table(table(300 + i, seed=i), tmp_path / f"n{i}.parquet")
    table(200, seed=9).to_pandas().to_csv(tmp_path / "n3b.csv", index=False)
    how = config(tmp_path)
    found = read_dataset(how, held=HELD_OUT)
    same_rows(found, how)
    assert [p.name for p in found.dataset.partitions][3:5] == ["n3.parquet", "n3b.csv"]


def test_the_first_fault_in_the_order_of_files_is_told(tmp_path) -> None:
    for i in range(6):
        pq.write_table(with_nulls(table(80_000)) if i in (2, 4) else table(80_000), tmp_path / f"n{i}.parquet")
    with pytest.raises(UserError, match=r"n2\.parquet: row 70001"):
        read_dataset(config(tmp_path))


def test_optional_columns_are_held_where_all_files_have_them(tmp_path) -> None:
    written(tmp_path / "x.parquet", table(400))
    found = read_dataset(config(tmp_path / "x.parquet", features=("a", "b")), optional=("c", "nothing"), held=HELD_OUT)
    assert found.dataset.test.has(["a", "c"])
    assert not found.dataset.test.has(["nothing"])


def test_csv_and_parquet_of_one_name_are_recorded_alike(tmp_path) -> None:
    rows = table(LEAF + 9000).to_pandas().astype(float)
    rows.to_parquet(tmp_path / "x.parquet")
    rows.to_csv(tmp_path / "x.csv", index=False)
    parquet, csv = (by_leaf(config(tmp_path / name, validation_fraction=0.1)) for name in ("x.parquet", "x.csv"))
    assert parquet.counts == csv.counts
    np.testing.assert_array_equal(parquet.role, csv.role)
    assert parquet.table.equals(csv.table)
    for r, (found, _) in csv.records.items():
        same_record(found.moments, parquet.records[r][0].moments)


def test_folds_part_the_training_rows_and_move_nothing_else(tmp_path) -> None:
    for i in range(3):
        pq.write_table(table(LEAF + 500 if i else 80, seed=i), tmp_path / f"n{i}.parquet")
    how = config(tmp_path, features=("a", "b"))
    plain, found = read_dataset(how, held=()), read_dataset(how, held=(), folds=7)
    assert plain.folds == ()
    assert len(found.folds) == 7
    same_record(merge([fold.moments for fold in found.folds]), plain.record.moments)
    same_record(found.record.moments, plain.record.moments)
    assert all(0.1 < fold.rows / plain.record.moments.rows < 0.2 for fold in found.folds)
    one, half = (read_dataset(how, held=(), partitions=source.find(how.path)[:1], folds=k).folds for k in (10, 5))
    assert [a.rows + b.rows for a, b in zip(one[::2], one[1::2], strict=True)] == [fold.rows for fold in half]


def test_an_optional_column_of_text_is_left_out_wherever_it_is_noticed(tmp_path) -> None:
    rows = table(40_000).to_pandas()
    for late in (0, 39_999):
        rows["note"] = ["7"] * len(rows)
        rows.loc[late, "note"] = "seven"
        rows.to_csv(tmp_path / "x.csv", index=False)
        found = read_dataset(config(tmp_path / "x.csv"), optional=("note", "id"))
        assert found.dataset.train.has(["id"])
        assert not found.dataset.train.has(["note"])
