"""What a first look reads: the first rows, in lines that are cut where no quote is open."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from linreg.errors import UserError
from linreg.files import sample as sampling
from linreg.files.sample import sample
from tests.support.files import write


@pytest.mark.parametrize("extension", ["csv", "csv.gz", "parquet"])
def test_the_first_rows_of_a_long_file_and_about_how_many_it_has(tmp_path, monkeypatch, extension):
    monkeypatch.setattr(sampling, "_LEAST_BYTES", 10_000)
    monkeypatch.setattr(sampling, "_BYTES", 10_000)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"text": [f'line\nof "{i % 7}", quoted' for i in range(2000)], "x": rng.normal(size=2000)})
    path = tmp_path / f"rows.{extension}"
    frame.to_parquet(path) if extension == "parquet" else frame.to_csv(path, index=False)
    rows = sample(str(path), rows=300)
    assert (rows.complete, rows.files, rows.opened) == (False, 1, 1)
    assert 0 < len(rows.table) <= 300
    assert rows.table["text"].to_pylist() == frame["text"].tolist()[: len(rows.table)]
    assert [float(x) for x in rows.table["x"].to_pylist()] == pytest.approx(frame["x"][: len(rows.table)], rel=1e-15)
    assert rows.about_rows == pytest.approx(2000, rel=0.1)


def test_of_a_wide_table_fewer_rows_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "_CELLS", 30_000)
    path = write(tmp_path / "rows.parquet", {f"c{i}": np.zeros(3000) for i in range(20)})
    rows = sample(path)
    assert (len(rows.table), rows.about_rows, rows.complete) == (1500, 3000, False)


def test_a_file_that_is_read_to_its_end_is_complete(tmp_path):
    path = write(tmp_path / "rows.csv", "a,b\n1,2\n3,4\n")
    rows = sample(path)
    assert (rows.complete, rows.about_rows, rows.table.to_pylist()) == (
        True,
        2,
        [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}],
    )


def test_of_many_files_some_are_opened_the_first_and_the_last_among_them(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "MOST_FILES", 4)
    for i in range(10):
        write(tmp_path / f"{i}.csv", f"a\n{i}\n{i}\n")
    rows = sample(str(tmp_path))
    assert (rows.files, rows.opened, rows.complete, rows.about_rows) == (10, 4, False, 20)
    assert rows.table["a"].unique().to_pylist() == ["0", "3", "6", "9"]


def test_columns_that_a_file_lacks_or_has_twice_are_named_and_those_of_folders_stand_beside_its_own(tmp_path):
    write(tmp_path / "day=2026-11-01" / "a.csv", "x,y,y,z\n1,2,3,4\n")
    write(tmp_path / "day=2026-11-02" / "a.csv", "x,y,y\n5,6,7\n")
    rows = sample(str(tmp_path))
    assert (rows.partial, rows.doubled, rows.folders) == (["z"], {"y": [2, 3]}, ["day"])
    assert rows.table.to_pydict() == {"x": ["1", "5"], "day": ["2026-11-01", "2026-11-02"]}


def test_types_that_differ_between_files_meet_in_numbers_or_else_in_text(tmp_path):
    write(tmp_path / "a.parquet", pa.table({"n": [1, 2], "t": [1, 2]}))
    write(tmp_path / "b.parquet", pa.table({"n": [0.5, None], "t": ["x", None]}))
    rows = sample(str(tmp_path))
    assert rows.table.to_pydict() == {"n": [1.0, 2.0, 0.5, None], "t": ["1", "2", "x", None]}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "is empty"),
        ("a,b\n", "no rows"),
        ("a;b\n1;2\n", "separated by ';'"),
        ("1,2\n3,4\n", "the header is missing"),
        ("a,b\n1,2\n3\n", "line 3: expected 2 fields"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: str, line: str) -> None:
    with pytest.raises(UserError, match=line):
        sample(write(tmp_path / "rows.csv", content))
