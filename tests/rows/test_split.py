"""Roles hang on the key and the seed alone: the same from CSV and Parquet, whatever else is in the data."""

import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from linreg.errors import UserError
from linreg.rows import split
from tests.rows.test_splitmix import mixed


def column(values: object, kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


def test_row_numbers_are_hashed_as_splitmix64_does() -> None:
    start = xxhash.xxh3_64_intdigest(b"7\0test\x002026/a")
    expected = [(mixed((start + n * 0x9E3779B97F4A7C15) % 2**64) >> 11) / 2**53 for n in range(1, 40_001)]
    assert split.unit_hash("2026/a.csv", 40_000, seed=7, salt="test").tolist() == expected


def test_key_texts_are_hashed_eight_bytes_at_a_time() -> None:
    texts = ["", "a", "abcdefgh", "abcdefghi", "übergrößenträger"]
    start = xxhash.xxh3_64_intdigest(b"0\0test\0")
    golden, mask = 0x9E3779B97F4A7C15, 2**64 - 1
    for text, hashed in zip(texts, split.unit_hash("", 5, [column(texts)], seed=0, salt="test"), strict=True):
        raw = text.encode()
        state = mixed((start + (len(raw) + 1) * golden) & mask)
        for i in range(0, len(raw), 8):
            state = mixed(((state ^ int.from_bytes(raw[i : i + 8], "little")) + golden) & mask)
        assert hashed == (state >> 11) / 2**53


@pytest.mark.parametrize("keys", [[], [column(np.arange(100_000))], [column([f"row {i}" for i in range(100_000)])]])
def test_hashes_are_uniform_and_salts_independent(keys: list[pa.ChunkedArray]) -> None:
    u, v = (split.unit_hash("a.csv", 100_000, keys, seed=1, salt=s) for s in ("test", "validation"))
    cells = np.histogram2d(u, v, bins=10, range=[[0, 1], [0, 1]])[0]
    chi_square = ((cells - 1000) ** 2 / 1000).sum()
    assert 50 < chi_square < 170  # 99 degrees of freedom: 1e-5 on either side
    assert len(np.unique(u)) == 100_000


def test_fractions_are_met() -> None:
    roles = split.roles("a.csv", 200_000, test_fraction=0.2, validation_fraction=0.25)
    assert roles.dtype == np.int8
    shares = np.bincount(roles, minlength=3) / 200_000
    np.testing.assert_allclose(shares, [0.6, 0.2, 0.2], atol=0.005)


def test_without_fractions_every_row_trains() -> None:
    assert split.roles("a.csv", 1000, test_fraction=0).tolist() == [split.TRAIN] * 1000


def test_the_validation_fraction_moves_no_test_row() -> None:
    base = split.roles("a.csv", 5000, test_fraction=0.3) == split.TEST
    for fraction in (0.1, 0.9):
        roles = split.roles("a.csv", 5000, test_fraction=0.3, validation_fraction=fraction)
        assert ((roles == split.TEST) == base).all()
        assert (roles == split.VALIDATION).any()


def test_a_larger_fraction_only_adds_test_rows() -> None:
    small = split.roles("a.csv", 5000, test_fraction=0.2) == split.TEST
    large = split.roles("a.csv", 5000, test_fraction=0.3) == split.TEST
    assert large[small].all()


def test_name_and_seed_decide_and_the_extension_does_not() -> None:
    def of(name: str, seed: int = 0) -> bytes:
        return split.roles(name, 500, test_fraction=0.5, seed=seed).tobytes()

    assert of("x/a.csv") == of("x/a.parquet") == of("x/a.PQ")
    assert len({of("x/a.csv"), of("y/a.csv"), of("x/b.csv"), of("x/a.b.csv"), of("x/a.csv", 1), of("x/a.csv", -1)}) == 6


def test_chunks_and_slices_of_a_key_change_nothing() -> None:
    texts = [f"k{i}" for i in range(100)]
    single = split.unit_hash("", 60, [column(texts[20:80])], seed=0, salt="test")
    pieces = pa.chunked_array([pa.array(texts).slice(20, 25), pa.array(texts).slice(45, 35)])
    assert split.unit_hash("", 60, [pieces], seed=0, salt="test").tolist() == single.tolist()


def test_the_columns_of_a_key_are_kept_apart() -> None:
    pairs = [(["ab"], ["c"]), (["a"], ["bc"]), (["abc"], [""]), ([""], ["abc"]), (["c"], ["ab"])]
    hashes = {split.unit_hash("", 1, [column(a), column(b)], seed=0, salt="test")[0] for a, b in pairs}
    assert len(hashes) == 5


DAY = datetime.date(2026, 1, 5)
NOON = datetime.datetime(2026, 1, 5, 12, 30, 15, 250_000)
PARQUET_VALUES = {
    "integers": [0, -7, 2**62],
    "floats": [0.1, -2.5e-7, 1e300],
    "whole floats": [1.0, -3.0, 123456789012.0],
    "nullable integers": [1.0, None, 3.0],
    "booleans": [True, False, True],
    "text": ["x", "a,b", 'with "quotes"'],
    "numerals": ["007", "12", "3.50"],
    "dates": [DAY, DAY, DAY],
    "moments": [NOON, NOON.replace(microsecond=0), NOON.replace(hour=0, minute=0, second=0, microsecond=0)],
    "zoned": [NOON.replace(tzinfo=datetime.UTC)] * 3,
}


@pytest.mark.parametrize("writer", ["arrow", "pandas"])
@pytest.mark.parametrize("values", PARQUET_VALUES.values(), ids=PARQUET_VALUES)
def test_a_key_means_the_same_in_parquet_and_in_csv(tmp_path: Path, values: list[object], writer: str) -> None:
    table = pa.table({"k": values, "other": [1, 2, 3]})
    if writer == "arrow":
        pacsv.write_csv(table, tmp_path / "x.csv")
    else:
        table.to_pandas().to_csv(tmp_path / "x.csv", index=False)
    text = pd.read_csv(tmp_path / "x.csv", dtype=str, keep_default_na=False)["k"]
    assert split.key_text(column(text.tolist())).to_pylist() == split.key_text(table["k"]).to_pylist()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(allow_infinity=False), min_size=1))
def test_any_float_key_means_the_same_in_csv(values: list[float]) -> None:
    text = pd.Series(values).to_csv(index=False, header=False).splitlines()
    keys = split.key_text(column(["" if t == '""' else t for t in text])).to_pylist()
    assert keys == split.key_text(column(values, pa.float64())).to_pylist()


def test_key_texts_are_what_a_person_would_write() -> None:
    assert split.key_text(column([5.0, 0.5, None, float("nan")])).to_pylist() == ["5", "0.5", "", ""]
    assert split.key_text(column(["5.0", " x ", "TRUE", "NaN", None])).to_pylist() == ["5", "x", "true", "", ""]
    assert split.key_text(column(["2026-01-05T12:30:00.500000"])).to_pylist() == ["2026-01-05 12:30:00.5"]
    assert split.key_text(column([DAY, None])).to_pylist() == ["2026-01-05", ""]


def test_a_list_cannot_be_a_key() -> None:
    with pytest.raises(UserError, match=r"a column of type list<.*> cannot be in data\.key"):
        split.roles("a", 1, [column([[1]])], test_fraction=0.5)


def test_folds_are_even_and_apart_from_roles() -> None:
    fold = split.folds("a.csv", 100_000, count=10, seed=1)
    assert fold.dtype == np.int16
    role = split.roles("a.csv", 100_000, test_fraction=0.5, seed=1)
    cells = np.histogram2d(fold, role == split.TEST, bins=[10, 2])[0]
    assert 3 < ((cells - 5000) ** 2 / 5000).sum() < 55  # 19 degrees of freedom: 1e-5 on either side


def test_added_rows_and_files_move_no_row_to_another_fold() -> None:
    before = split.folds("x/a.csv", 70_000, count=10)
    assert (split.folds("x/a.parquet", 90_000, count=10)[:70_000] == before).all()
    assert (split.folds("x/b.csv", 70_000, count=10) != before).any()
    assert (split.folds("x/a.csv", 70_000, count=10, seed=1) != before).any()


def test_rows_of_one_key_share_a_fold_whatever_the_file() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 200, 5000)
    fold = split.folds("a.csv", 5000, [column(groups)], count=10)
    other = split.folds("b.parquet", 5000, [column(groups.astype(str).tolist())], count=10)
    assert (fold == other).all()
    assert all(len(np.unique(fold[groups == g])) == 1 for g in range(200))
    assert len(np.unique(fold)) == 10


@pytest.mark.parametrize("count", [2, 3, 5, 10, 127, 128, 32767])
def test_the_largest_hash_falls_into_the_last_fold(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "unit_hash", lambda *_, **__: np.array([0.0, 1 - 2.0**-53]))
    assert split.folds("a.csv", 2, count=count).tolist() == [0, count - 1]


@pytest.mark.parametrize("count", [-1, 0, 1, 32768])
def test_folds_that_are_none_are_refused(count: int) -> None:
    with pytest.raises(UserError, match=f"{count} folds are not possible"):
        split.folds("a.csv", 5, count=count)
