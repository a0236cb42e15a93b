"""A CSV file: every accepted spelling, one line for each thing that is wrong, wherever a piece of the file ends."""

import bz2
import gzip
import tempfile
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linreg.errors import UserError
from linreg.files import csv_pieces, csv_stream, stream
from tests.support.files import read, write

GOOD = "a,y\n1,2\n3,4\n5,6\n"
PACK = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".zst": partial(pa.compress, codec="zstd", asbytes=True)}
GOOD_ROWS = {"a": [1, 3, 5], "y": [2, 4, 6]}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces so small that a few rows make many; a line with quotes must fit into one."""
    monkeypatch.setattr(csv_pieces, "CHUNK", 64)
    monkeypatch.setattr(csv_stream, "_LARGE", 128)


SPELLINGS = {
    "plain": GOOD,
    "BOM": "\ufeff" + GOOD,
    "CRLF": GOOD.replace("\n", "\r\n"),
    "CR": GOOD.replace("\n", "\r"),
    "no last newline": GOOD.rstrip(),
    "blank lines": "\n" + GOOD + "\n\r\n  \n" + " " * 500,
    "quotes": '"a","y"\n"1","2"\n3," 4 "\n+5,6e0',
    "unused text": "y,note,a\n2,hello,1\n4,\"x, y\nz\",3\n6,5'' pipe,5\n",
    "unused twice": "b,b,a,y\n0,x,1,2\n0,,3,4\n0,,5,6\n",
    "UTF-8": "a,y,größe\n1,2,ü\n3,4,\n5,6,\n",
    "a line longer than a piece": "a,y,t\n1,2," + "z" * 9_000_000 + "\n3,4,u\n5,6,\n",
}


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("content", SPELLINGS.values(), ids=SPELLINGS)
def test_the_same_numbers_come_from_every_accepted_spelling(tmp_path, content: str, packed: str) -> None:
    text = PACK[packed](content.encode())
    assert read(write(tmp_path / f"x.csv{packed}", text)).to_pydict() == GOOD_ROWS


def test_booleans_zeros_blanks_and_empty_cells_are_read(tmp_path) -> None:
    path = write(tmp_path / "x.csv", "a,y\n true,1\nFALSE,\nnan, 2.5 \n0, \nNA,3\n")
    assert read(path).to_pydict() == {"a": [True, False, None, False, None], "y": [1, None, 2.5, None, 3]}


def test_text_columns_are_kept_as_they_stand_and_a_missing_one_is_named(tmp_path) -> None:
    path = write(tmp_path / "x.csv", "id,a\n007,1\nNA,2\n,3\n")
    assert read(path, "a", "id", texts=("id",)).to_pydict() == {"a": [1, 2, 3], "id": ["007", "NA", ""]}
    with pytest.raises(UserError, match=r"column 'name' is missing \(known: id, a\)"):
        read(path, "a", texts=("name",))


def test_line_breaks_inside_quotes_are_kept_apart_from_rows_across_pieces(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(csv_stream, "_LARGE", 1 << 20)  # or the second look would hold the whole file in one block
    field = "x,1,2\n" * 1000  # most places where a block could end are inside quotes, before what looks like a row
    path = write(tmp_path / "x.csv", "t,a,y\n" + "".join(f'"{field}",{i},{-i}\n' for i in range(2000)))
    assert read(path).to_pydict() == {"a": list(range(2000)), "y": [-i for i in range(2000)]}


@pytest.mark.usefixtures("small")
def test_truth_values_are_put_together_over_pieces_and_late_ones_go_on_as_numbers(tmp_path) -> None:
    early = [f'{i % 2 == 0},{i},"é ""quoted"", ü"' for i in range(200)]
    table = read(write(tmp_path / "x.csv", "\n".join(["a,y,t", *early])))
    assert table.to_pydict() == {"a": [True, False] * 100, "y": list(range(200))}
    late = [*(f"{i % 2},{i}" for i in range(100)), "true,100", "FALSE,101"]
    table = read(write(tmp_path / "x.csv", "\n".join(["a,y", *late])))
    assert table.to_pydict() == {"a": [*(i % 2 for i in range(100)), 1, 0], "y": list(range(102))}
    key = read(tmp_path / "x.csv", texts=("a",)).column(2)  # as it stands
    assert key.to_pylist() == [line.partition(",")[0] for line in late]


@pytest.mark.parametrize("extension", [".GZ", ".bz2", ".zst"])
def test_a_packed_csv_is_read_as_the_plain_one_and_a_damaged_one_is_named(tmp_path, monkeypatch, extension) -> None:
    monkeypatch.setattr(csv_pieces, "CHUNK", 4096)
    pack = PACK[extension.lower()]
    lines = [f"{i},{i * i},{i % 7}\n" for i in range(20_000)]
    head, rest = ("a,y,t\n" + "".join(lines[:9000])).encode(), "".join(lines[9000:]).encode()
    path = tmp_path / f"is it?.csv{extension}"
    for content in (pack(head + rest), pack(head) + pack(rest)):  # two packed files make one
        write(path, content)
        assert read(path).to_pydict() == {"a": list(range(20_000)), "y": [i * i for i in range(20_000)]}
        (opened,) = stream.find(str(path), ["a", "y"])
        assert sum(map(len, opened.batches())) == 20_000
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]
    checked = [flipped] * (extension != ".zst")  # Arrow's own zstd writes no checksum
    for damaged in (content[:-1], content[:middle], content + b"xy", head + rest, *checked):
        write(path, damaged)
        line = rf"it\?\.csv\{extension}: is no whole \w+ file \(.*\): write or fetch it again"
        with pytest.raises(UserError, match=line):
            read(path)


CELLS = st.sampled_from(["1", "-2.5", "3e4", " 7 ", "", "NA", "nan", '"8"', '" 9"'])
NOTES = st.sampled_from(["", "x", "é ü", "5'' pipe", '"a, b"', '"two\nlines"', '"say ""hi"""', '"\r\n\n"'])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(CELLS, NOTES, CELLS), min_size=1, max_size=40),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["", "\n", "\r\n\r\n"]),
    st.integers(1, 300),
)
def test_it_does_not_matter_where_a_piece_ends(rows, newline: str, between: str, size: int) -> None:
    lines = [",".join(row) + between for row in rows]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = write(f"{folder}/x.csv", newline.join(["a,t,y", *lines]))
        patch.setattr(csv_pieces, "CHUNK", size)
        patch.setattr(csv_stream, "_LARGE", 1 << 20)
        table = read(path)
        rough = pacsv.read_csv(path, parse_options=pacsv.ParseOptions(newlines_in_values=True))
    for name in ("a", "y"):
        text = rough[name].cast(pa.string()).to_pylist()
        expected = [None if cell is None or cell.strip() in ("", "NA", "nan") else float(cell) for cell in text]
        assert table[name].to_pylist() == expected


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
            st.integers(-(2**53), 2**53),
            st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8),
        ),
        min_size=1,
    )
)
def test_csv_and_parquet_of_one_frame_hold_the_same_numbers(rows: list[tuple[float | None, int, str]]) -> None:
    frame = pd.DataFrame(rows, columns=["a", "y", "text"]).astype({"a": float})
    with tempfile.TemporaryDirectory() as folder:
        for name in ("x.csv", "x.parquet"):
            table = read(write(f"{folder}/{name}", frame)).to_pandas()
            np.testing.assert_array_equal(table.astype(float), frame[["a", "y"]].astype(float))


FAULTS = {
    "empty": ("", "is empty (0 bytes)"),
    "blank": ("\ufeff\n \n", "holds blank lines only"),
    "no header": ("1,2\n3,4\n", "line 1: holds numbers only, so the header is missing"),
    "no header, with a gap": ("1.5,\n3,4\n", "line 1: holds numbers only, so the header is missing"),
    "column missing": ("A1,y\n1,2\n", "column 'a' is missing (did you mean 'A1'?)"),
    "column twice": ("a,y,a\n1,2,3\n", "column 'a' stands 2 times"),
    "text": ("a,y\n1,2\n\n3,4\nabc,5\n", "line 5, column 'a': 'abc' is not a number"),
    "text after a field of two lines": ('t,a,y\n"x\ny",1,2\nz,3,q\n', "line 4, column 'y': 'q' is not a number"),
    "text after a huge field": ("t,a,y\n" + "z" * 200_000 + ",1,2\n,x,1\n", "line 3, column 'a': 'x' is not a number"),
    "date": ("a,y\n2026-01-05,2\n", "line 2, column 'a': '2026-01-05' is a date, not a number"),
    "timestamp": ("a,y\n5 Jan 2026 8:30,2\n", "line 2, column 'a': '5 Jan 2026 8:30' is a date, not a number"),
    "thousands": ('a,y\n"1,000",2\n', "line 2, column 'a': '1,000' is not a number"),
    "hexadecimal": ("a,y\n0x10,2\n", "line 2, column 'a': '0x10' is not a number"),
    "underscore": ("a,y\n1_0,2\n", "line 2, column 'a': '1_0' is not a number"),
    "number among booleans": ("a,y\ntrue,1\n5,2\n", "line 3, column 'a': '5' is not a number"),
    "short line": ("a,y\n1,2\n3\n5,6\n", "line 3: expected 2 fields, found 1"),
    "long line": ("a,y\n1,2\n3,4,5\n", "line 3: expected 2 fields, found 3"),
    "quote left open": ('a,y\n1,2\n"3,4\n5,6\n', "line 3: a quote opens and is never closed"),
    "semicolons": (GOOD.replace(",", ";"), "line 1: columns are separated by ';', not by commas"),
    "tabs": (GOOD.replace(",", "\t"), "line 1: columns are separated by tabs, not by commas"),
    "UTF-16": (GOOD.encode("utf-16"), "is UTF-16 or UTF-32 (line 1, byte 1), not UTF-8: save as UTF-8"),
    "UTF-16 without BOM": (GOOD.encode("utf-16-be"), "is UTF-16 or UTF-32 (line 1, byte 1), not UTF-8"),
    "Latin-1": ("a,y,t\n1,2,x\n3,4,é\n".encode("latin-1"), "line 3: byte 0xe9 (number 5 of the line) is not UTF-8"),
    "binary": (b"a,y\n1,2\n\0\1\2\3", "is not a CSV but binary data (a NUL byte in line 3)"),
    "gzip": (gzip.compress(GOOD.encode()), "is not a CSV but gzip"),
    "Parquet": (b"PAR1 and so on", "is not a CSV but Parquet"),
    "Excel": (b"PK\x03\x04...", "is not a CSV but a ZIP archive or an Excel workbook"),
    "comment": ("# exported\na,y\n1,2\n", "line 1: is a comment or a title, not column names; those stand in line 2"),
    "title": (
        "Crops,,\n\nnote,a,y\nx,1,2\n",
        "line 1: is a comment or a title, not column names; those stand in line 3",
    ),
    "header in a comment": ("#a,y\n1,2\n", "line 1: is a comment or a title, not column names: delete"),
    "row names": ("a,y\n1,2,3\n2,3,4\n", "line 2: each row has 3 fields and the header 2, so rows begin with a name"),
    "commas at the end": ("a,y\n1,2,\n3,4,\n", "line 2: expected 2 fields, found 3"),
    "header in Latin-1": (
        "a,y,gr\xf6\xdfe\n1,2,3\n".encode("latin-1"),
        "line 1: byte 0xf6 (number 7 of the line) is not",
    ),
    "Latin-1 with CR": (
        "a,y,t\r1,2,x\r3,4,é\r".encode("latin-1"),
        "line 3: byte 0xe9 (number 5 of the line) is not UTF-8",
    ),
    "JSON": ('{"a": 1, "y": 2}', "is not a CSV but JSON, HTML or XML"),
}
LATE = {
    "late text": ("oops,1", "line 302, column 'a': 'oops' is not a number"),
    "late short line": ("1", "line 302: expected 2 fields, found 1"),
    "late truth among numbers": ("true,1", "line 302, column 'a': 'true' is not a number"),
}
FAULTS |= {name: ("a,y\n" + "1.25,2.5\n" * 300 + last, line) for name, (last, line) in LATE.items()}
FAULTS["late Latin-1"] = (b"a,y,t\n" + b"1,2,x\n" * 300 + b"3,4,\xe9\n", "line 302: byte 0xe9 (number 5 of the line)")


@pytest.mark.parametrize("pieces", ["one piece", "many pieces", "packed"])
@pytest.mark.parametrize(("content", "line"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_named_with_its_place(tmp_path, request, content: str | bytes, line: str, pieces: str) -> None:
    if pieces == "many pieces":
        request.getfixturevalue("small")
    content, extension = content.encode() if isinstance(content, str) else content, ""
    if pieces == "packed":
        content, extension = gzip.compress(content), ".gz"
    path = write(tmp_path / f"x.csv{extension}", content)
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: {line}")
