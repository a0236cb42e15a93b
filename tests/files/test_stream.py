"""The files of a data set as streams: types in common, storage that changes or goes away, flat memory."""

import gzip
import os
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linreg.errors import ServerAway, UserError
from linreg.files import paths, stream
from linreg.files.partitions import DataFile
from tests.support.files import read, write
from tests.support.processes import run

CONTENT = {"csv": "a,y\n1,2\n3,4\n", "parquet": {"a": [1, 3], "y": [2, 4]}}
FORMATS = pytest.mark.parametrize("extension", CONTENT)


def streamed(path: object) -> pa.Table:
    """All rows of one or more files, with the types that they have in common."""
    streams = stream.find(str(path), ["a", "y"])
    schema = stream.common_schema(streams)
    batches = [stream.fitted(s, b, schema) for s in streams for b in s.batches(schema.names)]
    return pa.Table.from_batches(batches, schema)


def test_files_of_slightly_different_types_meet_in_the_wider_one(tmp_path) -> None:
    write(tmp_path / "1.parquet", {"a": pa.array([1], pa.int8()), "y": pa.array([1.5], pa.float32())})
    write(tmp_path / "2.parquet", {"a": [2**40], "y": [1e300]})
    write(tmp_path / "3.csv", "a,y\n0.5,\n")
    assert streamed(tmp_path).to_pydict() == {"a": [1.0, 2.0**40, 0.5], "y": [1.5, 1e300, None]}


def test_files_that_have_no_type_in_common_are_named(tmp_path) -> None:
    write(tmp_path / "1.parquet", {"a": [1], "y": [1.5]})
    write(tmp_path / "2.parquet", {"a": [True], "y": [1.5]})
    with pytest.raises(UserError, match=r"2\.parquet: column 'a' is bool, but int64 in the files before it"):
        streamed(tmp_path)


@FORMATS
def test_a_file_without_rows_has_none(tmp_path, extension: str) -> None:
    nothing = pa.array([], pa.float64())
    path = write(tmp_path / f"x.{extension}", "a,y\n \n" if extension == "csv" else {"a": nothing, "y": nothing})
    assert read(path).to_pydict() == {"a": [], "y": []}
    with pytest.raises(UserError, match="has column names but no rows: add rows or leave the file out"):
        stream.find(path, ["a", "y"])


@FORMATS
def test_a_uri_is_streamed_as_its_path_is(tmp_path, extension: str) -> None:
    path = tmp_path / f"x.{extension}"
    write(path, CONTENT[extension])
    assert streamed(path.as_uri()).to_pydict() == streamed(path).to_pydict() == read(path).to_pydict()


@FORMATS
def test_a_file_that_changes_or_goes_while_it_is_streamed_is_told(tmp_path, monkeypatch, extension: str) -> None:
    path = write(tmp_path / f"x.{extension}", CONTENT[extension])
    (opened,) = stream.find(path, ["a", "y"])
    os.utime(path, ns=(1, 1))
    with pytest.raises(UserError, match="changed while it was read: run again"):
        list(opened.batches())
    os.remove(path)
    with pytest.raises(UserError, match="no such file"):
        list(opened.batches())

    def away(_path: str) -> None:
        raise OSError("timed out")

    monkeypatch.setattr(opened, "file", DataFile(f"s3://key:secret@bucket/x.{extension}", 10, None))
    monkeypatch.setattr(paths, "open_system", away)
    with pytest.raises(ServerAway, match=rf"^s3://bucket/x.{extension}: the storage does not answer \(timed out\)$"):
        list(opened.batches())


PEAK = """
import resource, sys
from linreg.files import stream
for path in sys.argv[1:]:
    (opened,) = stream.find(path, ["a", "b", "c", "d"])
    rows = sum(len(b) for b in opened.batches(["a", "b", "c", "d"], threads=2))
    print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("extension", [*CONTENT, "csv.gz"])
def test_memory_stays_flat_however_many_rows_and_however_large_a_row_group(tmp_path, extension: str) -> None:
    sizes, files = (400_000, 4_000_000) if extension == "parquet" else (50_000, 1_000_000), []
    for rows in sizes:
        path = tmp_path / f"{rows}.{extension}"
        table = pa.table({c: np.random.default_rng(0).normal(size=rows) for c in "abcd"})
        if extension.startswith("csv"):
            head, _, piece = table.slice(0, 1000).to_pandas().to_csv(index=False).partition("\n")
            text = (head + "\n" + piece * (rows // 1000)).encode()
            path.write_bytes(gzip.compress(text, 1) if extension.endswith("gz") else text)
        else:
            pq.write_table(table, path, row_group_size=rows)
        files.append(path)
    printed = run([sys.executable, "-c", PEAK, *files], check=True).stdout
    counted, peaks = zip(
        *((int(rows), int(peak) / 1024) for rows, peak in map(str.split, printed.splitlines())), strict=True
    )
    assert counted == sizes
    assert peaks[1] < peaks[0] + 40, peaks  # MiB; the larger files hold 128 and 76 MB
