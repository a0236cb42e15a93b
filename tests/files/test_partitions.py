"""Files, globs, folders and URIs; what is read from them, and one line for each thing that is wrong with them."""

import gzip
import os
import re
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from linreg.errors import UserError
from linreg.files import csv_stream, stream
from linreg.files import partitions as source

GOOD = "a,y\n1,2\n3,4\n5,6\n"


@pytest.fixture(autouse=True, params=["just written", "settled"])
def age(request, monkeypatch) -> str:
    """A file just written is read as a whole and hashed again; one that has settled is known by its inode."""
    if request.param == "settled":
        monkeypatch.setattr(source, "_SETTLED", 0)
    return str(request.param)


def put(folder: Path, content: str | bytes, name: str = "x.csv") -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def read(path: str, *columns: str, **options: tuple[str, ...]) -> dict[str, list[object]]:
    return dict(whole(path, *columns, **options).to_pydict())


def whole(path: str, *columns: str, **options: tuple[str, ...]) -> pa.Table:
    (partition,) = source.find(path)
    return rows_of(partition, *columns, **options)


def rows_of(partition: source.Partition, *columns: str, **options: tuple[str, ...]) -> pa.Table:
    opened = stream.read(partition, columns or ("a", "y"), **options)
    return pa.Table.from_batches(opened.batches(threads=2), opened.schema)


def parquet(folder: Path, name: str = "x.parquet", **columns: object) -> str:
    pq.write_table(pa.table(columns), folder / name)
    return str(folder / name)


def names(path: str) -> list[str]:
    return [p.name for p in source.find(path)]


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\r"),
        GOOD.rstrip(),
        "\n" + GOOD + "\n\r\n  \n",
        '"a","y"\n"1","2"\n3," 4 "\n+5,6e0',
        "y,note,a\n2,hello,1\n4,\"x, y\nz\",3\n6,5'' pipe,5\n",
        "b,b,a,y\n0,x,1,2\n0,,3,4\n0,,5,6\n",
        "a,y,größe\n1,2,ü\n3,4,\n5,6,\n",
    ],
    ids=[
        "plain",
        "BOM",
        "CRLF",
        "CR",
        "no-last-newline",
        "blank-lines",
        "quotes",
        "unused-text",
        "unused-twice",
        "utf-8",
    ],
)
def test_the_same_numbers_come_from_every_accepted_spelling(tmp_path: Path, content: str) -> None:
    assert read(put(tmp_path, content)) == {"a": [1, 3, 5], "y": [2, 4, 6]}


def test_booleans_and_empty_cells_are_read(tmp_path: Path) -> None:
    path = put(tmp_path, "a,y\ntrue,1\nFALSE,\nnan,3\n")
    assert read(path) == {"a": [True, False, None], "y": [1, None, 3]}


def test_spaces_and_zeros_are_fine_among_booleans(tmp_path: Path) -> None:
    path = put(tmp_path, "a,y\n true,1\n0, 2.5 \nNA, \n")
    assert read(path) == {"a": [True, False, None], "y": [1, 2.5, None]}


def test_a_line_longer_than_a_block_is_read(tmp_path: Path) -> None:
    assert read(put(tmp_path, "a,y,t\n1,2," + "z" * 9_000_000 + "\n3,4,u\n")) == {"a": [1, 3], "y": [2, 4]}


def test_a_text_column_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"column 'id' is missing \(known: a, y\)"):
        read(put(tmp_path, GOOD), texts=("id",))


def test_line_breaks_inside_quotes_are_kept_apart_from_rows_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_stream, "_LARGE", 1 << 20)  # or the second look would hold the whole file in one block
    field = "x,1,2\n" * 1000  # most places where a block could end are inside quotes, before what looks like a row
    content = "t,a,y\n" + "".join(f'"{field}",{i},{-i}\n' for i in range(2000))
    assert read(put(tmp_path, content)) == {"a": list(range(2000)), "y": [-i for i in range(2000)]}


def test_parquet_numbers_of_every_kind_are_read(tmp_path: Path) -> None:
    path = parquet(
        tmp_path,
        decimal=[Decimal("1.25"), None],
        category=pa.array([7, 8]).dictionary_encode(),
        half=pa.array([0.5, 2.0], pa.float16()),
        truth=[True, False],
        nothing=pa.nulls(2),
        big=pa.array([2**64 - 1, 0], pa.uint64()),
    )
    expected = {"decimal": [1.25, None], "category": [7, 8], "half": [0.5, 2.0], "truth": [True, False]}
    assert read(path, *expected, "nothing", "big") == {**expected, "nothing": [None, None], "big": [2**64 - 1, 0]}


def test_a_dot_in_a_column_name_is_no_path(tmp_path: Path) -> None:
    path = parquet(tmp_path, **{"a.b": [5, 6], "a": [1, 2]})
    assert read(path, "a") == {"a": [1, 2]}
    assert read(path, "a.b") == {"a.b": [5, 6]}


@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_optional_columns_come_where_they_are_numbers(tmp_path: Path, extension: str) -> None:
    frame = pd.DataFrame({"a": [1, 2], "w": [3, 4], "t": ["x", "y"]})
    path = tmp_path / f"x.{extension}"
    _ = frame.to_csv(path, index=False) if extension == "csv" else frame.to_parquet(path)
    assert read(str(path), "a", optional=("w", "t", "absent")) == {"a": [1, 2], "w": [3, 4]}


def test_text_columns_are_kept_as_they_stand(tmp_path: Path) -> None:
    path = put(tmp_path, "id,a\n007,1\nNA,2\n,3\n")
    assert read(path, "a", "id", texts=("id",)) == {"a": [1, 2, 3], "id": ["007", "NA", ""]}


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
        frame.to_csv(f"{folder}/x.csv", index=False)
        frame.to_parquet(f"{folder}/x.parquet")
        for name in ("x.csv", "x.parquet"):
            found = read(f"{folder}/{name}")
            np.testing.assert_array_equal(np.array(found["a"], float), frame["a"])
            np.testing.assert_array_equal(np.array(found["y"], float), frame["y"])


CSV_FAULTS = {
    "empty": ("", "is empty (0 bytes)"),
    "blank": ("\ufeff\n \n", "holds blank lines only"),
    "no header": ("1,2\n3,4\n", "line 1: holds numbers only, so the header is missing"),
    "no header, with a gap": ("1.5,\n3,4\n", "line 1: holds numbers only, so the header is missing"),
    "column missing": ("A1,y\n1,2\n", "column 'a' is missing (did you mean 'A1'?)"),
    "column twice": ("a,y,a\n1,2,3\n", "column 'a' stands 2 times"),
    "text": ("a,y\n1,2\n\n3,4\nabc,5\n", "line 5, column 'a': 'abc' is not a number"),
    "text after a field of two lines": ('t,a,y\n"x\ny",1,2\nz,3,q\n', "line 4, column 'y': 'q' is not a number"),
    "text after a huge field": ("t,a,y\n" + "z" * 200_000 + ",1,2\n,x,1\n", "line 3, column 'a': 'x' is not a number"),
    "date": ("a,y\n2026-01-05,2\n", "line 2, column 'a': '2026-01-05' is not a number"),
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


@pytest.mark.parametrize(("content", "line"), CSV_FAULTS.values(), ids=CSV_FAULTS)
def test_a_csv_fault_is_named_with_its_place(tmp_path: Path, content: str | bytes, line: str) -> None:
    path = put(tmp_path, content)
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: {line}")


def test_a_fault_beyond_the_first_block_is_named_with_its_line(tmp_path: Path) -> None:
    lines = ["a,y", *["1.25,2.5"] * 700_000, "oops,1"]
    with pytest.raises(UserError, match="line 700002, column 'a': 'oops'"):
        read(put(tmp_path, "\n".join(lines)))


PARQUET_FAULTS = {
    "empty": (lambda _: b"", r"is empty \(0 bytes\)"),
    "truncated": (lambda b: b[:-9], r"is truncated \(\d+ bytes, no Parquet footer\)"),
    "magic only": (lambda _: b"PAR1", r"is truncated \(4 bytes, no Parquet footer\)"),
    "footer damaged": (lambda b: b[:-60] + b"\xff" * 52 + b[-8:], r"the Parquet file is damaged \("),
    "page damaged": (lambda b: b[:4] + b"\xff" * 60 + b[64:], r"the Parquet file is damaged \("),
    "CSV": (lambda _: GOOD.encode(), r"is not Parquet \(text, perhaps CSV\)"),
    "gzip": (gzip.compress, r"is not Parquet \(gzip\)"),
    "encrypted": (lambda b: b"PARE" + b[4:], "is encrypted Parquet"),
}


@pytest.mark.parametrize(("spoil", "line"), PARQUET_FAULTS.values(), ids=PARQUET_FAULTS)
def test_a_parquet_fault_is_named(tmp_path: Path, spoil, line: str) -> None:  # type: ignore[no-untyped-def]
    path = parquet(tmp_path, a=[1.5, 2.5], y=[3, 4])
    put(tmp_path, spoil(Path(path).read_bytes()), "x.parquet")
    with pytest.raises(UserError, match=f"^{re.escape(path)}: {line}"):
        read(path)


@pytest.mark.parametrize("values", [["1", "2"], [[1], [2]], pd.to_datetime(["2026-01-05", "2026-01-06"])])
def test_a_parquet_column_that_is_no_number_is_named_with_its_type(tmp_path: Path, values: object) -> None:
    path = parquet(tmp_path, a=values, y=[1, 2])
    kind = re.escape(str(pa.array(values).type).replace("item", "element"))
    with pytest.raises(UserError, match=f"column 'a' is {kind}, not numbers: cast it"):
        read(path)


def test_parquet_columns_missing_or_doubled_are_named(tmp_path: Path) -> None:
    path = str(tmp_path / "x.parquet")
    pq.write_table(pa.Table.from_arrays([pa.array([1])] * 3, names=["a", "a", "temp"]), path)
    with pytest.raises(UserError, match="column 'a' stands 2 times"):
        read(path, "a")
    with pytest.raises(UserError, match=r"column 'tmep' is missing \(did you mean 'temp'\?\)"):
        read(path, "tmep")


@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_a_file_without_rows_has_none(tmp_path: Path, extension: str) -> None:
    nothing = pa.array([], pa.float64())
    path = put(tmp_path, "a,y\n \n") if extension == "csv" else parquet(tmp_path, a=nothing, y=nothing)
    assert read(path) == {"a": [], "y": []}
    with pytest.raises(UserError, match="has column names but no rows: add rows or leave the file out"):
        stream.find(path, ["a", "y"])


def test_a_type_that_is_stored_as_integers_is_no_number(tmp_path: Path) -> None:
    months = pa.field("a", pa.int64(), metadata={"ARROW:extension:name": "months"})  # nobody registered it
    pq.write_table(pa.table({"a": [1, 2], "y": [3, 4]}).cast(pa.schema([months, ("y", pa.int64())])), tmp_path / "x.pq")
    with pytest.raises(UserError, match=r"column 'a' is months, not numbers: cast it"):
        read(str(tmp_path / "x.pq"))


def test_a_packed_csv_is_read_as_the_plain_one(tmp_path: Path) -> None:
    put(tmp_path, GOOD, "1.csv")
    packed = put(tmp_path, gzip.compress(GOOD.encode()), "2.csv.GZ")
    assert names(str(tmp_path)) == ["1.csv", "2.csv.GZ"]
    assert read(packed) == {"a": [1, 3, 5], "y": [2, 4, 6]}
    assert [len(s.schema) for s in stream.find(str(tmp_path), ["a", "y"])] == [2, 2]
    for damaged in (gzip.compress(GOOD.encode())[:-9], GOOD.encode(), gzip.compress(GOOD.encode()) + b"xy"):
        put(tmp_path, damaged, "2.csv.GZ")
        with pytest.raises(UserError, match=r"2\.csv\.GZ: is no whole gzip file \(.*\): write or fetch it again"):
            read(packed)


@pytest.mark.parametrize("name", ["_delta_log/0.json", "2026/.hoodie/x"])
def test_the_folder_of_a_table_format_is_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path, GOOD, "2026/a.csv")
    put(tmp_path, "{}", name)
    with pytest.raises(UserError, match=r"holds files of a table format .*: export the table to plain Parquet files"):
        source.find(str(tmp_path))


def test_a_missing_file_names_the_near_ones(tmp_path: Path) -> None:
    put(tmp_path, GOOD, "crops.csv")
    with pytest.raises(UserError, match=r"corps\.csv: no such file or folder \(did you mean 'crops\.csv'\?\)"):
        source.find(str(tmp_path / "corps.csv"))
    with pytest.raises(UserError, match="nor is there a folder"):
        source.find(str(tmp_path / "nowhere" / "crops.csv"))


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder that anyone may enter, read without root's rights."""
    if os.geteuid() != 0:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        os.setegid(65534)
        groups = os.getgroups()
        os.setgroups([])
        os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            os.seteuid(0)
            os.setgroups(groups)
            os.setegid(0)


def _as_owner(action) -> None:  # type: ignore[no-untyped-def]
    me = os.geteuid()
    os.seteuid(os.getuid())
    action()
    os.seteuid(me)


@pytest.mark.parametrize(
    "what", ["x.csv", "inner", "inner/x.csv", ""], ids=["file", "folder", "file-in-it", "subfolder"]
)
def test_what_may_not_be_read_is_named(nobody: Path, what: str) -> None:
    def lock() -> None:
        put(nobody, GOOD, "inner/x.csv")
        put(nobody, GOOD, "x.csv")
        os.chmod(nobody / "x.csv", 0o000 if what == "x.csv" else 0o644)
        os.chmod(nobody / "inner", 0o000)

    _as_owner(lock)
    try:
        with pytest.raises(UserError, match=r"(x\.csv|inner): may not be read: give this user the right"):
            source.find(str(nobody / what) if what else str(nobody))
    finally:
        _as_owner(lambda: os.chmod(nobody / "inner", 0o755))


def test_a_folder_is_searched_to_the_bottom_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    for name in (
        "b.csv",
        "2026/a.CSV",
        "2026/x/c.pq",
        ".cache/d.csv",
        "2026/.e.csv",
        "_old/g.csv",
        "_h.csv",
        "README.md",
        "f.txt",
    ):
        put(tmp_path, GOOD, name)
    assert names(str(tmp_path)) == ["2026/a.CSV", "2026/x/c.pq", "b.csv"]
    assert names(f"{tmp_path}/") == names(str(tmp_path))


def test_links_are_followed_once(tmp_path: Path) -> None:
    put(tmp_path, GOOD, "elsewhere/a.csv")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "data")
    assert names(str(tmp_path / "data")) == ["link/a.csv"]


def test_a_glob_names_files_below_its_plain_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("d/b.csv", "d/2026/a.csv", "d/2026/x/c.csv", "d/n.md"):
        put(tmp_path, GOOD, name)
    monkeypatch.chdir(tmp_path)
    assert names("d/*.csv") == ["b.csv"]
    assert names("d/**/*.csv") == ["2026/a.csv", "2026/x/c.csv", "b.csv"]
    assert names(f"{tmp_path}/d/20*/?.csv") == ["2026/a.csv"]
    assert names("*/b.csv") == ["d/b.csv"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    assert names(put(tmp_path, GOOD, "x[1].csv")) == ["x[1].csv"]


def test_uris_give_the_same_names_and_digests_as_paths(tmp_path: Path) -> None:
    for name in ("b.csv", "2026/a b.csv", ".cache/d.csv", "n.md"):
        put(tmp_path, GOOD + name, name)
    for plain in ("", "/*.csv", "/**/*.csv", "/b.csv"):
        local, remote = source.find(f"{tmp_path}{plain}"), source.find(f"file://{tmp_path}{plain}")
        assert [(p.name, p.digest, p.size) for p in local] == [(p.name, p.digest, p.size) for p in remote]
    first = source.find(f"file://{tmp_path}")[0]
    assert first.path == f"file://{tmp_path}/2026/a%20b.csv"
    with pytest.raises(UserError, match=r"2026/a%20b\.csv: line 5: expected 2 fields, found 1"):
        rows_of(first, "a")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("{0}", "the folder holds no .csv, .parquet or .pq file"),
        ("{0}/*.csv", "matches no file: check the pattern"),
        ("{0}/*", "matches folders only: add '/*.csv'"),
        ("{0}/inner/x.txt", "the extension '.txt' is not known"),
        ("{0}/inner/*", "the extension '.txt' is not known"),
        ("{0}/inner/noname", "no such file or folder (known: x.txt)"),
        ("{0}/inner/x.txt/y.csv", "no such file or folder"),
        ("file://{0}", "no .csv, .parquet or .pq file is there"),
        ("file://{0}/x.csv", "no such file or folder"),
        ("file://{0}/a b.csv", "not a URI that can be read"),
        ("https://example.org/a.csv", "not a URI that can be read"),
        ("s3://", "names no bucket"),
    ],
)
def test_a_path_that_gives_no_data_says_so(tmp_path: Path, path: str, line: str) -> None:
    put(tmp_path, "junk", "inner/x.txt")
    asked = path.format(tmp_path)
    with pytest.raises(UserError) as caught:
        source.find(asked)
    assert line in str(caught.value)


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.csv")
    for path in (tmp_path / "x.csv", tmp_path, tmp_path / "*.csv"):
        with pytest.raises(UserError, match=r"x\.csv: is not a regular file"):
            source.find(str(path))


def test_names_that_no_message_could_tell_are_refused(tmp_path: Path) -> None:
    put(tmp_path, GOOD, os.fsdecode(b"\xff.csv"))
    for path in (tmp_path, tmp_path / "*.csv", tmp_path / os.fsdecode(b"\xff.csv")):
        with pytest.raises(UserError, match=r"\\udcff\.csv': the name is no UTF-8 text") as caught:
            source.find(str(path))
        assert str(caught.value).encode()
    with pytest.raises(UserError, match=r"^data\.path holds a NUL character"):
        source.find("a\0.csv")


def test_credentials_stay_out_of_messages() -> None:
    secret = source.Partition("x.csv", "s3://key:word@bucket/x.csv?secret_key=word", 0, "")
    assert secret.label == "s3://bucket/x.csv"
    with pytest.raises(UserError) as caught:
        source.find("foo://key:word@bucket/x.csv?secret_key=word")
    assert "word" not in str(caught.value)


def test_a_partition_is_known_by_all_its_bytes(tmp_path: Path) -> None:
    content = os.urandom(5_000_000)
    (partition,) = source.find(put(tmp_path, content))
    assert (partition.size, partition.digest) == (5_000_000, xxhash.xxh3_128_hexdigest(content))


def later(path: str | Path) -> None:
    """As if some seconds had gone by before the file was written: a file system's clock may not have ticked."""
    seconds = os.stat(path).st_mtime + 5
    os.utime(path, (seconds, seconds))


def test_a_file_that_changes_after_it_was_hashed_is_refused(tmp_path: Path) -> None:
    (partition,) = source.find(put(tmp_path, GOOD))
    later(put(tmp_path, GOOD.replace("6", "7")))
    with pytest.raises(UserError, match="changed while it was read: run again"):
        rows_of(partition, "a")
    (tmp_path / "x.csv").unlink()
    with pytest.raises(UserError, match=r"x\.csv: no such file \(any more\)"):
        rows_of(partition, "a")


def test_a_parquet_file_that_changes_after_it_was_hashed_is_refused(tmp_path: Path) -> None:
    (partition,) = source.find(parquet(tmp_path, a=[1.0, 2.0]))
    later(parquet(tmp_path, a=[1.0, 3.0]))
    with pytest.raises(UserError, match="changed while it was read: run again"):
        rows_of(partition, "a")


@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_a_file_that_changes_while_it_is_decoded_is_refused(tmp_path: Path, extension: str) -> None:
    path = put(tmp_path, GOOD) if extension == "csv" else parquet(tmp_path, a=[1.0, 2.0])
    (partition,) = source.find(path)
    batches = stream.read(partition, ["a"]).batches()
    next(batches)
    with open(path, "r+b") as file:
        file.seek(4)
        file.write(b"0")
    later(path)
    with pytest.raises(UserError, match="changed while it was read: run again"):
        list(batches)


def test_a_file_that_is_touched_and_the_same_is_read(tmp_path: Path, age: str) -> None:
    (partition,) = source.find(put(tmp_path, GOOD))
    later(tmp_path / "x.csv")
    assert rows_of(partition, "a").to_pydict() == {"a": [1, 3, 5]}
    assert bool(partition.stamp) == (age == "settled")
    assert partition == source.Partition(partition.name, partition.path, partition.size, partition.digest)


def test_the_digest_depends_on_names_and_content_not_on_order(tmp_path: Path) -> None:
    put(tmp_path, GOOD, "a.csv")
    put(tmp_path, GOOD + "7,8\n", "b.csv")
    before = source.find(str(tmp_path))
    assert source.digest(before) == source.digest(before[::-1])
    assert source.digest(before) != source.digest(before[:1])
    os.rename(tmp_path / "b.csv", tmp_path / "c.csv")
    assert source.digest(source.find(str(tmp_path))) != source.digest(before)
    os.rename(tmp_path / "c.csv", tmp_path / "b.csv")
    assert source.digest(source.find(str(tmp_path))) == source.digest(before)
    put(tmp_path, GOOD + "7,9\n", "b.csv")
    assert source.digest(source.find(str(tmp_path))) != source.digest(before)
