"""Recording while reading gives what recording all rows at once gives; and what is not needed is not held."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from linreg.data_config import DataConfig
from linreg.errors import UserError
from linreg.files.partitions import find
from linreg.ingest.blocks import Reading, read_partition
from linreg.ingest.dataset import read_dataset
from linreg.ingest.part import ALL, HELD_OUT, PartitionRows
from linreg.ingest.records import RecordedDataset, record_dataset
from linreg.moments import from_rows
from linreg.moments.moments import Moments, merge
from linreg.moments.training_record import record_rows
from linreg.rows import split
from linreg.rows.rows import LEAF
from tests.support.files import write
from tests.support.tables import record_with_gaps

FEATURES, TARGETS = ("a", "b", "c", "d"), ("y", "z")


def table(n: int, seed: int = 0) -> pa.Table:
    """Columns of four types."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(3, 2, n), rng.normal(-1, 0.1, n).astype(np.float32)
    c, d = rng.integers(-50, 50, n), rng.integers(0, 2, n).astype(bool)
    y = a - 2 * b + 0.1 * c + rng.normal(size=n)
    z = (y + d + rng.normal(size=n)).astype(np.float32)
    return pa.table({"z": z, "a": a, "b": b, "id": np.arange(n), "c": c, "d": d, "y": y})


def config(path: str | Path, **changes: object) -> DataConfig:
    plain = {"features": FEATURES, "targets": TARGETS, "test_fraction": 0.3}
    return DataConfig(path=str(path), **(plain | changes))


def by_leaf(data: DataConfig, held: tuple[int, ...] = ALL, threads: int = 0) -> PartitionRows:
    (partition,) = find(data.path)
    return read_partition(partition, Reading(data, held=held), threads=threads)


def same_record(record: Moments, expected: Moments) -> None:
    """The same but for rounding."""
    scale = np.abs(expected.root_KK).max()
    np.testing.assert_allclose(record.at(expected.shift_P), expected.root_KK, rtol=0, atol=1e-12 * scale)


def same_rows(recorded: RecordedDataset, data: DataConfig) -> None:
    """The records are those of all rows held and recorded at once."""
    dataset = read_dataset(data)
    expected = record_rows(dataset.train)
    same_record(recorded.record.moments, expected.moments)
    assert (recorded.record.filled, recorded.record.plain) == (expected.filled, expected.plain)
    assert len(recorded.record.partitions) == len(expected.partitions)
    counts = ("rows", "train_rows", "validation_rows", "test_rows", "dropped", "weightless", "digest", "counts")
    assert [getattr(recorded.dataset, c) for c in counts] == [getattr(dataset, c) for c in counts]
    if data.validation_fraction:
        assert recorded.validation is not None
        same_record(recorded.validation, record_with_gaps(dataset.validation).filled(expected.fill_F))
    columns = [*data.features, *data.targets]
    np.testing.assert_array_equal(recorded.dataset.test.select(columns), dataset.test.select(columns))
    same_record(recorded.test.filled(expected.fill_F), record_with_gaps(dataset.test).filled(expected.fill_F))
    assert [len(rows) for rows in dataset.test.partitions()] == [n for n in recorded.dataset.judges if n]
    roles = {id(rows): rows for rows in (dataset.train, dataset.validation, dataset.test)}.values()
    used = np.vstack([rows.select(columns) for rows in roles])  # a gap is no value
    assert len(recorded.extents) == len(dataset.partitions)
    ranges = sum(recorded.extents[1:], recorded.extents[0])
    np.testing.assert_array_equal(ranges.low_P, np.nanmin(used, axis=0))
    np.testing.assert_array_equal(ranges.high_P, np.nanmax(used, axis=0))


def prefer(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Have a method taken whatever the size of the file."""
    monkeypatch.setattr(from_rows, "PAYS", np.inf if method == "numpy" else 0)
    monkeypatch.setattr(from_rows, "LONG", 0 if method == "plain" else np.inf)


@pytest.mark.parametrize("method", ["numpy", "R", "plain"])
@pytest.mark.parametrize("group", [LEAF, 10_000, 50_001, 100_000, 999_999])
def test_block_by_block_gives_the_record_of_all_rows(tmp_path, monkeypatch, group: int, method: str) -> None:
    prefer(monkeypatch, method)
    path = write(tmp_path / "x.parquet", table(2 * LEAF + 777), row_group_size=group)
    data = config(path, validation_fraction=0.2)
    assert by_leaf(data).records[split.TRAIN][1] == method
    recorded = record_dataset(data, held=HELD_OUT)
    same_rows(recorded, data)
    assert len(recorded.dataset.train) == 0
    assert recorded.dataset.train_rows > LEAF


def test_any_number_of_threads_gives_the_same_rows(tmp_path) -> None:
    data = config(write(tmp_path / "x.parquet", table(3 * LEAF), row_group_size=70_000))
    first, *others = (by_leaf(data, threads=n) for n in (0, 1, 3))
    for part in others:
        roots = [p.records[split.TRAIN][0].moments.root_KK.tobytes() for p in (first, part)]
        assert roots[0] == roots[1]
        assert part.table.equals(first.table)


def test_plain_sums_that_turn_out_not_to_do_are_made_again_by_reflections(tmp_path, monkeypatch) -> None:
    prefer(monkeypatch, "plain")
    rows = table(2 * LEAF).to_pandas()
    rows.loc[LEAF:, "a"] *= 1e6
    rows.loc[LEAF:, "b"] = (rows.a * (1 + 1e-7 * rows.b))[LEAF:].astype(np.float32)
    data = config(write(tmp_path / "x.parquet", rows), features=("a", "b"))
    assert by_leaf(data).records[split.TRAIN][1] == "R"
    assert record_dataset(data).record.plain == 0


def test_all_roles_can_be_held_and_none(tmp_path) -> None:
    rows = table(LEAF + 5)
    data = config(write(tmp_path / "x.parquet", rows, row_group_size=30_000))
    everything, nothing = by_leaf(data), by_leaf(data, held=())
    assert everything.table.select(FEATURES).equals(rows.select(FEATURES))
    assert len(nothing.table) == 0
    assert nothing.counts == everything.counts
    recorded = record_dataset(data, held=ALL)
    same_rows(recorded, data)
    for held, expected in zip(recorded.dataset.train.arrays(), read_dataset(data).train.arrays(), strict=True):
        np.testing.assert_array_equal(held, expected)


def test_a_role_without_rows_in_the_first_leaf_is_recorded_all_the_same(tmp_path, monkeypatch) -> None:
    prefer(monkeypatch, "plain")
    path = write(tmp_path / "x.parquet", table(2 * LEAF))
    late = next(
        seed
        for seed in range(100)
        if (roles := split.roles("x", 2 * LEAF, test_fraction=0.0, validation_fraction=2e-5, seed=seed)).any()
        and not roles[:LEAF].any()
    )
    data = config(path, validation_fraction=2e-5, split_seed=late, test_fraction=0.0)
    same_rows(record_dataset(data), data)


def with_nulls(rows: pa.Table) -> pa.Table:
    values = rows["a"].to_numpy().copy()
    values[70_000] = np.nan
    return rows.set_column(rows.column_names.index("a"), "a", pa.array(values))


UNUSUAL = {
    "a gap that is dropped": ({"missing": "drop"}, with_nulls),
    "a gap that is filled": ({"missing": "mean"}, with_nulls),
    "a key": ({"key": ("id",)}, lambda rows: rows),
    "weights": (
        {"weight": "c", "features": ("a", "b", "d")},
        lambda rows: rows.set_column(4, "c", pa.array(np.arange(len(rows)) % 3)),
    ),
}


@pytest.mark.parametrize("extension", ["parquet", "csv"])
@pytest.mark.parametrize("case", UNUSUAL)
def test_gaps_keys_and_weights_are_read_block_by_block_too(tmp_path, case: str, extension: str) -> None:
    changes, edit = UNUSUAL[case]
    data = config(write(tmp_path / f"x.{extension}", edit(table(LEAF + 9000))), **changes)
    recorded = record_dataset(data, held=HELD_OUT)
    same_rows(recorded, data)
    assert len(recorded.dataset.train) == 0


def test_the_first_fault_in_the_order_of_files_and_rows_is_told(tmp_path) -> None:
    for i in range(6):
        write(tmp_path / f"n{i}.parquet", with_nulls(table(80_000)) if i in (2, 4) else table(80_000))
    with pytest.raises(UserError, match=r"n2\.parquet: row 70001, column 'a': the value is missing"):
        record_dataset(config(tmp_path))
    with pytest.raises(UserError, match=r"n0\.parquet: column 'nothing' is missing"):
        record_dataset(config(tmp_path, features=("a", "nothing")))


def test_many_files_side_by_side_are_one_data_set_in_their_order(tmp_path) -> None:
    for i in range(5):
        write(tmp_path / f"n{i}.parquet", table(300 + i, seed=i))
    write(tmp_path / "n3b.csv", table(200, seed=9))
    recorded = record_dataset(config(tmp_path), held=HELD_OUT)
    same_rows(recorded, config(tmp_path))
    assert [p.name for p in recorded.dataset.partitions][3:5] == ["n3.parquet", "n3b.csv"]


def test_csv_and_parquet_of_one_name_are_recorded_alike(tmp_path) -> None:
    rows = table(LEAF + 9000).to_pandas().astype(float)
    parquet, csv = (
        by_leaf(config(write(tmp_path / name, rows), validation_fraction=0.1)) for name in ("x.parquet", "x.csv")
    )
    assert parquet.counts == csv.counts
    np.testing.assert_array_equal(parquet.role, csv.role)
    assert parquet.table.equals(csv.table)
    for role, (of_csv, _) in csv.records.items():
        same_record(of_csv.moments, parquet.records[role][0].moments)


def test_folds_part_the_training_rows_and_move_nothing_else(tmp_path) -> None:
    for i in range(3):
        write(tmp_path / f"n{i}.parquet", table(LEAF + 500 if i else 80, seed=i))
    data = config(tmp_path, features=("a", "b"))
    plain, folded = record_dataset(data, held=()), record_dataset(data, held=(), folds=7)
    assert plain.folds == ()
    assert len(folded.folds) == 7
    same_record(merge([fold.moments for fold in folded.folds]), plain.record.moments)
    same_record(folded.record.moments, plain.record.moments)
    assert all(0.1 < fold.rows / plain.record.moments.rows < 0.2 for fold in folded.folds)
    first = find(data.path)[:1]
    ten, five = ([fold.rows for fold in record_dataset(data, partitions=first, folds=k).folds] for k in (10, 5))
    assert [a + b for a, b in zip(ten[::2], ten[1::2], strict=True)] == five
