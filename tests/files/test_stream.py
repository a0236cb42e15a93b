"""Files as streams: the same numbers and the same messages as when they are read as a whole, in flat memory."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linreg.errors import ServerAway, UserError
from linreg.files import csv_pieces, stream
from linreg.files import csv_stream as stream_csv
from linreg.files import parquet_stream as stream_parquet
from linreg.files import paths as listing
from linreg.files.stable_file import DataFile
from linreg.threads import in_order, read_ahead, write_behind
from tests.files.test_partitions import CSV_FAULTS, GOOD, PARQUET_FAULTS, parquet, put, whole
from tests.support.processes import run


def streamed(path: str, *columns: str) -> pa.Table:
    """All rows of one or more files, with the types that they have in common."""
    streams = stream.find(path, columns or ("a", "y"))
    schema = stream.common_schema(streams)
    batches = [stream.fitted(s, b, schema) for s in streams for b in s.batches(schema.names)]
    return pa.Table.from_batches(batches, schema)


def refusal(read, path: str) -> str:
    with pytest.raises(UserError) as caught:
        read(path)
    return str(caught.value)


ACCEPTED = {
    "plain": GOOD,
    "BOM": "\ufeff" + GOOD,
    "CR": GOOD.replace("\n", "\r"),
    "blank lines": "\n" + GOOD + "\n\r\n  \n" + " " * 500,
    "quotes": '"a","y"\n"1","2"\n3," 4 "\n+5,6e0',
    "unused text": "y,note,a\n2,hello,1\n4,\"x, y\nz\",3\n6,5'' pipe,5\n",
    "unused twice": "b,b,a,y\n0,x,1,2\n0,,3,4\n",
    "utf-8": "a,y,größe\n1,2,ü\n3,4,\n",
    "booleans": "a,y\ntrue,1\nFALSE,\nnan,3\n",
    "booleans and zeros": "a,y\n true,1\n0, 2.5 \nNA, \n",
    "long line": "a,y,t\n1,2," + "z" * 9_000_000 + "\n3,4,u\n",
}


@pytest.mark.parametrize("content", ACCEPTED.values(), ids=ACCEPTED)
def test_a_csv_is_streamed_as_it_is_read(tmp_path: Path, content: str) -> None:
    path = put(tmp_path, content)
    assert streamed(path).equals(whole(path))


@pytest.mark.parametrize("content", [c for c, _ in CSV_FAULTS.values()], ids=CSV_FAULTS)
def test_a_csv_is_refused_in_the_same_words(tmp_path: Path, content: str | bytes) -> None:
    path = put(tmp_path, content)
    assert refusal(streamed, path) == refusal(whole, path)


@pytest.mark.parametrize("spoil", [s for s, _ in PARQUET_FAULTS.values()], ids=PARQUET_FAULTS)
def test_a_parquet_file_is_refused_in_the_same_words(tmp_path: Path, spoil) -> None:  # type: ignore[no-untyped-def]
    path = parquet(tmp_path, a=[1.5, 2.5], y=[3, 4])
    put(tmp_path, spoil(Path(path).read_bytes()), "x.parquet")
    found, expected = refusal(streamed, path), refusal(whole, path)
    assert found.partition("(")[0] == expected.partition("(")[0]  # Arrow words the damage, by the way it reads


def test_parquet_of_other_columns_is_refused_in_the_same_words(tmp_path: Path) -> None:
    for name, columns in {
        "text": {"a": ["1"], "y": [1]},
        "date": {"a": pd.to_datetime(["2026-01-05"]), "y": [1]},
        "missing": {"A": [1], "y": [1]},
    }.items():
        path = parquet(tmp_path, f"{name}.parquet", **columns)
        assert refusal(streamed, path) == refusal(whole, path)


def test_parquet_numbers_of_every_kind_are_streamed_as_they_are_read(tmp_path: Path) -> None:
    columns = {
        "decimal": pa.array([1, None], pa.decimal128(9, 2)),
        "category": pa.array([7, 8]).dictionary_encode(),
        "half": pa.array([0.5, 2.0], pa.float16()),
        "truth": pa.array([True, False]),
        "nothing": pa.nulls(2),
        "big": pa.array([2**64 - 1, 0], pa.uint64()),
        "a.b": pa.array([1, 2]),
        "a": pa.array([3, 4], pa.int8()),
    }
    path = parquet(tmp_path, **columns)
    assert streamed(path, *columns).equals(whole(path, *columns))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and batches so small that a few rows make many."""
    monkeypatch.setattr(csv_pieces, "CHUNK", 64)
    monkeypatch.setattr(stream_csv, "_LARGE", 128)
    monkeypatch.setattr(stream_parquet, "_ROWS", (10, 10))


@pytest.mark.usefixtures("small")
def test_blocks_are_put_together_whatever_is_in_them(tmp_path: Path) -> None:
    rows = [(i, i % 3 == 0, 'é "quoted", ü' * (i % 4)) for i in range(200)]
    frame = pd.DataFrame(rows, columns=["a", "y", "t"])
    for name in ("x.csv", "x.parquet"):
        path = str(tmp_path / name)
        frame.to_csv(path, index=False) if name.endswith("csv") else frame.to_parquet(path, row_group_size=7)
        found = streamed(path)
        assert found.equals(whole(path).cast(found.schema))
        assert found["y"].type == pa.bool_()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("content", [c for c, _ in CSV_FAULTS.values()], ids=CSV_FAULTS)
def test_faults_that_stand_across_blocks_are_told_in_the_same_words(tmp_path: Path, content: str | bytes) -> None:
    path = put(tmp_path, content)
    if "huge" not in str(content) and len(content) < 200:  # a line must fit into a block
        assert refusal(streamed, path) == refusal(whole, path)


CELLS = st.sampled_from(["1", "-2.5", "3e4", " 7 ", "", "NA", "nan", '"8"', '" 9"'])
NOTES = st.sampled_from(["", "x", "é ü", "5'' pipe", '"a, b"', '"two\nlines"', '"say ""hi"""', '"\r\n\n"'])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(CELLS, NOTES, CELLS), min_size=1, max_size=40),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["", "\n", "\r\n\r\n"]),
    st.integers(1, 300),
)
def test_it_does_not_matter_where_a_piece_ends(rows, newline: str, between: str, size: int) -> None:  # type: ignore[no-untyped-def]
    lines = [",".join(row) + between for row in rows]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = put(Path(folder), newline.join(["a,t,y", *lines]))
        patch.setattr(csv_pieces, "CHUNK", size)
        patch.setattr(stream_csv, "_LARGE", 1 << 20)
        found = streamed(path)
        rough = pacsv.read_csv(path, parse_options=pacsv.ParseOptions(newlines_in_values=True))
    for name in ("a", "y"):
        text = rough[name].cast(pa.string()).to_pylist()
        expected = [None if cell is None or cell.strip() in ("", "NA", "nan") else float(cell) for cell in text]
        assert found[name].to_pylist() == expected


LATE = {
    "text": ("oops,1", "line 302, column 'a': 'oops' is not a number"),
    "short": ("1", "line 302: expected 2 fields, found 1"),
    "truth among numbers": ("true,1", "line 302, column 'a': 'true' is not a number"),
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("last", "line"), LATE.values(), ids=LATE)
def test_a_fault_in_a_later_block_is_told_with_its_line(tmp_path: Path, last: str, line: str) -> None:
    path = put(tmp_path, "\n".join(["a,y", *["1.25,2.5"] * 300, last]))
    assert refusal(streamed, path).startswith(f"{path}: {line}")


@pytest.mark.usefixtures("small")
def test_truth_values_that_come_late_go_on_as_numbers(tmp_path: Path) -> None:
    lines = [f"{i % 2},{i}" for i in range(100)]
    path = put(tmp_path, "\n".join(["a,y", *lines, "true,100", "FALSE,101"]))
    found = streamed(path)
    assert found["a"].to_pylist() == [*(i % 2 for i in range(100)), 1, 0]
    assert found["y"].to_pylist() == list(range(102))


def test_files_of_slightly_different_types_meet_in_the_wider_one(tmp_path: Path) -> None:
    parquet(tmp_path, "1.parquet", a=pa.array([1], pa.int8()), y=pa.array([1.5], pa.float32()))
    parquet(tmp_path, "2.parquet", a=pa.array([2**40]), y=pa.array([1e300]))
    put(tmp_path, "a,y\n0.5,\n", "3.csv")
    found = streamed(str(tmp_path))
    assert found.to_pydict() == {"a": [1.0, 2.0**40, 0.5], "y": [1.5, 1e300, None]}


def test_files_that_have_no_type_in_common_are_named(tmp_path: Path) -> None:
    parquet(tmp_path, "1.parquet", a=[1], y=[1.5])
    parquet(tmp_path, "2.parquet", a=[True], y=[1.5])
    assert "2.parquet: column 'a' is bool, but int64 in the files before it" in refusal(streamed, str(tmp_path))


@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_a_file_that_changes_while_it_is_streamed_is_refused(tmp_path: Path, extension: str) -> None:
    path = put(tmp_path, GOOD) if extension == "csv" else parquet(tmp_path, a=[1], y=[2])
    (one,) = stream.find(path, ["a", "y"])
    os.utime(path, ns=(1, 1))
    with pytest.raises(UserError, match="changed while it was read: run again"):
        list(one.batches(["a", "y"]))


def test_a_file_that_goes_away_is_told(tmp_path: Path) -> None:
    path = parquet(tmp_path, a=[1], y=[2])
    (one,) = stream.find(path, ["a", "y"])
    os.remove(path)
    with pytest.raises(UserError, match="no such file"):
        list(one.batches(["a", "y"]))


@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_storage_that_goes_away_is_no_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extension: str
) -> None:
    put(tmp_path, GOOD) if extension == "csv" else parquet(tmp_path, a=[1], y=[2])
    (one,) = stream.find(str(tmp_path / f"x.{extension}"), ["a", "y"])
    monkeypatch.setattr(one, "file", DataFile(f"s3://key:secret@bucket/x.{extension}", 10, None))

    def away(_path: str) -> None:
        raise OSError("timed out")

    monkeypatch.setattr(listing, "open_system", away)
    with pytest.raises(ServerAway, match=rf"^s3://bucket/x.{extension}: the storage does not answer \(timed out\)$"):
        list(one.batches(["a", "y"]))


def test_row_groups_without_rows_are_passed_over(tmp_path: Path) -> None:
    path = str(tmp_path / "x.parquet")
    with pq.ParquetWriter(path, pa.schema([("a", pa.int64()), ("y", pa.float64())])) as writer:
        for n in (0, 2, 0):
            writer.write_table(pa.table({"a": pa.array([1] * n, pa.int64()), "y": pa.array([2.0] * n, pa.float64())}))
    (one,) = stream.find(path, ["a", "y"])
    assert [len(b) for b in one.batches(["a", "y"])] == [2]


def test_uris_are_streamed_as_paths_are(tmp_path: Path) -> None:
    parquet(tmp_path, a=[1], y=[2])
    put(tmp_path, GOOD)
    for name in ("x.parquet", "x.csv"):
        assert streamed((tmp_path / name).as_uri()).equals(streamed(str(tmp_path / name)))


PEAK = """
import resource, sys
from linreg.files import stream
(one,) = stream.find(sys.argv[1], ["a", "b", "c", "d"])
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = sum(len(b) for b in one.batches(["a", "b", "c", "d"], threads=2))
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base)
"""


@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_memory_stays_flat_however_many_rows_and_however_large_a_row_group(tmp_path: Path, extension: str) -> None:
    peaks = []
    for rows in (400_000, 4_000_000) if extension == "parquet" else (50_000, 1_000_000):
        path = tmp_path / f"{rows}.{extension}"
        table = pa.table({c: np.random.default_rng(0).normal(size=rows) for c in "abcd"})
        if extension == "csv":
            table.slice(0, 1000).to_pandas().to_csv(tmp_path / "piece.csv", index=False)
            head, _, piece = (tmp_path / "piece.csv").read_text().partition("\n")
            path.write_text(head + "\n" + piece * (rows // 1000))
        else:
            pq.write_table(table, path, row_group_size=rows)
        done = run([sys.executable, "-c", PEAK, path], check=True)
        found, peak = map(int, done.stdout.split())
        assert found == rows
        peaks.append(peak / 1024)
    assert peaks[1] < peaks[0] + 40, peaks  # MiB; the larger files hold 128 and 76 MB


def test_work_in_order_takes_items_as_its_results_are_taken_and_raises_where_the_fault_is() -> None:
    taken = []

    def items() -> Iterator[int]:
        for i in range(100):
            taken.append(i)
            yield i

    for threads in (1, 3):
        taken.clear()
        results = in_order(lambda i: 60 // (50 - i), items(), threads=threads)
        assert [next(results) for _ in range(10)] == [60 // (50 - i) for i in range(10)]
        assert len(taken) <= 10 + threads
        with pytest.raises(ZeroDivisionError):
            list(results)
        assert len(taken) <= 51 + threads


def test_reading_ahead_keeps_the_order_and_raises_where_the_fault_is() -> None:
    def items() -> Iterator[int]:
        yield from range(100)
        raise ValueError("after 100")

    taken = []
    with pytest.raises(ValueError, match="after 100"), read_ahead(items()) as coming:
        taken.extend(coming)
    assert taken == list(range(100))


def test_reading_ahead_closes_what_it_reads_when_the_consumer_stops() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed.append(True)

    with pytest.raises(KeyboardInterrupt), read_ahead(items()):
        raise KeyboardInterrupt
    with read_ahead(items()) as coming:
        next(coming)
    assert closed in ([True], [True, True])  # the first one may not have begun


def test_writing_behind_does_all_in_order_and_raises_the_first_error() -> None:
    written: list[int] = []
    with write_behind(written.append) as write:
        for i in range(50):
            write(i)
    assert written == list(range(50))

    def fail(item: int) -> None:
        if item == 3:
            raise OSError("full")
        written.append(item)

    with pytest.raises(OSError, match="full"), write_behind(fail) as write:
        list(map(write, range(1000)))
    assert len(written) < 1050
