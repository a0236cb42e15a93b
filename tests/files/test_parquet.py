"""A Parquet file: which types are numbers, and one line for each thing that is wrong with a file."""

import gzip
import random
import re
import sys
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linreg.errors import UserError
from linreg.files import parquet_stream, stream
from tests.support.files import read, write
from tests.support.processes import run


def test_numbers_of_every_kind_are_read(tmp_path) -> None:
    columns = {
        "decimal": [Decimal("1.25"), None],
        "category": pa.array([7, 8]).dictionary_encode(),
        "half": pa.array([0.5, 2.0], pa.float16()),
        "truth": [True, False],
        "nothing": pa.nulls(2),
        "big": pa.array([2**64 - 1, 0], pa.uint64()),
    }
    assert read(write(tmp_path / "x.parquet", columns), *columns).to_pydict() == {
        "decimal": [1.25, None],
        "category": [7, 8],
        "half": [0.5, 2.0],
        "truth": [True, False],
        "nothing": [None, None],
        "big": [2**64 - 1, 0],
    }


@pytest.mark.parametrize(
    ("kind", "digits", "scale"),
    [
        (pa.decimal128, 15, 5),
        (pa.decimal128, 15, 15),
        (pa.decimal128, 18, 6),
        (pa.decimal128, 38, 10),
        (pa.decimal256, 60, 20),
    ],
)
def test_a_decimal_is_the_float_nearest_to_it(tmp_path, kind, digits: int, scale: int) -> None:
    rng = random.Random(digits)
    exact = [None, *(f"{rng.randrange(-(10**digits) + 1, 10**digits)}e-{scale}" for _ in range(2000))]
    column = pa.array([text and Decimal(text) for text in exact], kind(digits, scale))
    path = write(tmp_path / "x.parquet", {"a": column, "y": column.dictionary_encode()}, row_group_size=300)
    expected = [text and float(text) for text in exact]  # Python's own reading of the digits
    assert read(path).to_pydict() == {"a": expected, "y": expected}


def test_a_file_of_no_rows_may_call_its_columns_anything(tmp_path) -> None:
    for nothing in (pa.table({"a": pa.array([], pa.string()), "y": pa.nulls(0)}), pa.table({})):
        assert read(write(tmp_path / "x.parquet", nothing)).to_pydict() == {"a": [], "y": []}
    with pytest.raises(UserError, match="column 'y' is missing"):
        read(write(tmp_path / "x.parquet", {"a": pa.array([], pa.int8())}))


PERIODS = """
import sys
if sys.argv[2] == "pandas":
    import pandas as pd
    pd.DataFrame({"a": pd.period_range("2026-01", periods=2, freq="M")}).to_parquet(sys.argv[1])
from linreg.files import stream
stream.find(sys.argv[1], ["a"])
"""


def test_periods_of_pandas_are_refused_by_name_whether_or_not_it_is_loaded(tmp_path) -> None:
    for loaded in ("pandas", "nothing"):
        ended = run([sys.executable, "-c", PERIODS, tmp_path / "x.parquet", loaded])
        assert ended.returncode == 1
        assert "column 'a' is pandas.period, not numbers" in ended.stderr, loaded


def test_a_dot_in_a_column_name_is_no_path(tmp_path) -> None:
    path = write(tmp_path / "x.parquet", {"a.b": [5, 6], "a": [1, 2]})
    assert read(path, "a").to_pydict() == {"a": [1, 2]}
    assert read(path, "a.b").to_pydict() == {"a.b": [5, 6]}
    nested = write(tmp_path / "y.parquet", {"in": pa.StructArray.from_arrays([pa.array([1])], ["b"])})
    with pytest.raises(UserError, match=r"column 'in\.b' is missing"):
        read(nested, "in.b")


def test_batches_and_row_groups_are_put_together_whatever_their_size(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(parquet_stream, "_ROWS", (10, 10))
    columns = {"a": range(200), "y": [i % 3 == 0 for i in range(200)]}
    assert read(write(tmp_path / "x.parquet", columns, row_group_size=7)).to_pydict() == pa.table(columns).to_pydict()


def test_row_groups_without_rows_are_passed_over(tmp_path) -> None:
    path = str(tmp_path / "x.parquet")
    with pq.ParquetWriter(path, pa.schema([("a", pa.int64())])) as writer:
        for rows in (0, 2, 0):
            writer.write_table(pa.table({"a": pa.array([1] * rows, pa.int64())}))
    (opened,) = stream.find(path, ["a"])
    assert [len(batch) for batch in opened.batches(["a"])] == [2]


FAULTS = {
    "empty": (lambda _: b"", r"is empty \(0 bytes\)"),
    "truncated": (lambda b: b[:-9], r"is truncated \(\d+ bytes, no Parquet footer\)"),
    "magic only": (lambda _: b"PAR1", r"is truncated \(4 bytes, no Parquet footer\)"),
    "footer damaged": (lambda b: b[:-60] + b"\xff" * 52 + b[-8:], r"the Parquet file is damaged \("),
    "page damaged": (lambda b: b[:4] + b"\xff" * 60 + b[64:], r"the Parquet file is damaged \("),
    "CSV": (lambda _: b"a,y\n1,2\n", r"is not Parquet \(text, perhaps CSV\)"),
    "gzip": (gzip.compress, r"is not Parquet \(gzip\)"),
    "encrypted": (lambda b: b"PARE" + b[4:], "is encrypted Parquet"),
}


@pytest.mark.parametrize(("spoil", "line"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_named(tmp_path, spoil, line: str) -> None:
    path = write(tmp_path / "x.parquet", {"a": [1.5, 2.5], "y": [3, 4]})
    write(path, spoil(Path(path).read_bytes()))
    with pytest.raises(UserError, match=f"^{re.escape(path)}: {line}"):
        read(path)


MONTHS = pa.field("a", pa.int64(), metadata={"ARROW:extension:name": "months"})  # a type that nobody registered
NO_NUMBERS = {
    "string": pa.table({"a": ["1", "2"]}),
    "dictionary<values=string, indices=int32, ordered=0>": pa.table({"a": pa.array(["1", "2"]).dictionary_encode()}),
    "list<element: int64>": pa.table({"a": [[1], [2]]}),
    "duration[s]": pa.table({"a": pa.array([1], pa.duration("s"))}),
    "time64[us]": pa.table({"a": pa.array([1], pa.time64("us"))}),
    "fixed_size_binary[2]": pa.table({"a": pa.array([b"12"], pa.binary(2))}),
    "struct<x: int64>": pa.table({"a": [{"x": 1}]}),
    "map<string, int64 ('a')>": pa.table({"a": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))}),
    "timestamp[ns]": pa.table({"a": pd.to_datetime(["2026-01-05", "2026-01-06"]).astype("datetime64[ns]")}),
    "months": pa.table({"a": [1, 2]}, pa.schema([MONTHS])),
}


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_a_column_that_is_no_number_is_named_with_its_type(tmp_path, kind: str) -> None:
    path = write(tmp_path / "x.parquet", NO_NUMBERS[kind])
    with pytest.raises(UserError, match=rf"column 'a' is {re.escape(kind)}, not numbers: "):
        read(path, "a")


def test_columns_missing_or_doubled_are_named(tmp_path) -> None:
    doubled = pa.Table.from_arrays([pa.array([1])] * 3, names=["a", "a", "temp"])
    path = write(tmp_path / "x.parquet", doubled)
    with pytest.raises(UserError, match="column 'a' stands 2 times"):
        read(path, "a")
    with pytest.raises(UserError, match=r"column 'tmep' is missing \(did you mean 'temp'\?\)"):
        read(path, "tmep")
