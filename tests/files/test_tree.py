"""What counts as data must be what a person would count: links, writers' own names, table formats, other kinds."""

import os
import re
from pathlib import Path

import pytest

from linreg.errors import UserError
from linreg.files.partitions import find
from linreg.files.tree import table_names
from tests.support.files import write

ROWS = "a,y\n1,2\n3,4\n5,6\n"


def put(folder: Path, *names: str) -> None:
    for name in names:
        write(folder / name, ROWS + ascii(name))


def names(path: str | Path, **options: object) -> list[str]:
    return [p.name for p in find(str(path), **options)]


def link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def test_what_writers_keep_for_themselves_counts_neither_in_folders_nor_in_globs(tmp_path) -> None:
    put(tmp_path, "day=1/a.csv", "_SUCCESS", "_tmp/0/a.csv", "day=1/.part/a.csv", "day=1/_b.csv", "day=1/._a.csv")
    for path in ("", "*/*", "**", "**/*.csv", "day=1/*", "**/a.csv", "*/**/?.csv"):
        assert [Path(name).name for name in names(f"{tmp_path}/{path}")] == ["a.csv"], path
    assert names(tmp_path.as_uri()) == ["day=1/a.csv"]
    for literal in ("day=1/_b.csv", "day=1/_*.csv", "_tmp/0/*.csv", "_tmp", "**/_b.csv", "*/.part/*", "*/.*.csv"):
        assert len(names(f"{tmp_path}/{literal}")) == 1, literal


def test_a_file_counts_once_by_its_own_name_whatever_links_lead_to_it(tmp_path) -> None:
    put(tmp_path, "data/m/x.csv", "far/z.csv", "far/deep/w.csv")
    before = names(tmp_path / "data")
    link(tmp_path / "data/a.csv", "m/x.csv")  # sorts before the file's own name
    link(tmp_path / "data/a", "m")
    assert names(tmp_path / "data") == before == ["m/x.csv"]
    link(tmp_path / "data/one", "../far")
    link(tmp_path / "data/two", "../far")
    link(tmp_path / "data/z.csv", "one/z.csv")
    expected = ["m/x.csv", "one/deep/w.csv", "one/z.csv"]
    for path in (tmp_path / "data", f"{tmp_path}/data/**/*.csv", (tmp_path / "data").as_uri()):
        assert names(path) == expected
    assert names(f"{tmp_path}/data/[az].csv") == ["a.csv", "z.csv"]
    assert names(f"{tmp_path}/data/two/*.csv") == ["z.csv"]


def test_loops_of_links_end_at_once_and_multiply_nothing(tmp_path) -> None:
    put(tmp_path, *(f"d{i}/{i}.csv" for i in range(12)))
    for i in range(12):
        link(tmp_path / f"d{i}/up", "..")
        link(tmp_path / f"d{i}/root", str(tmp_path))
    for path in (tmp_path, f"{tmp_path}/**/*.csv", f"{tmp_path}/**/d*/**/*.csv", tmp_path.as_uri()):
        assert sorted(Path(name).name for name in names(path)) == sorted(f"{i}.csv" for i in range(12))


def test_hard_links_are_copies(tmp_path) -> None:
    put(tmp_path, "a.csv")
    os.link(tmp_path / "a.csv", tmp_path / "b.csv")
    assert names(tmp_path) == ["a.csv", "b.csv"]


@pytest.mark.parametrize("name", ["day=2", "x.csv"])
def test_a_link_that_leads_nowhere_is_named(tmp_path, name: str) -> None:
    put(tmp_path, "day=1/a.csv")
    link(tmp_path / name, "gone")
    for path in (tmp_path, tmp_path / name, f"{tmp_path}/{name[0]}*", f"{tmp_path}/**/*.csv", tmp_path.as_uri()):
        with pytest.raises(UserError, match=rf"{name}: is a link to gone, which is not there: mend the link"):
            find(str(path))
    link(tmp_path / "y.csv", "y.csv")
    with pytest.raises(UserError, match=r"y\.csv: "):
        find(str(tmp_path / "y.csv"))


KINDS = ("a.xlsx", "b/c.json", "d.feather", "README.txt")


def test_files_of_kinds_that_are_not_read_are_counted_and_named(tmp_path) -> None:
    lines: list[str] = []
    put(tmp_path, "x.csv", "README.md", ".x.crc", "_SUCCESS", "z.log")
    assert names(tmp_path, tell=lines.append) == ["x.csv"]
    assert not lines
    put(tmp_path, *KINDS)
    for path in (str(tmp_path), tmp_path.as_uri()):
        find(path, tell=lines.append)
        what = "4 files are of kinds that are not read (README.txt, a.xlsx, b/c.json, d.feather): save as CSV"
        assert lines.pop().startswith(f"{path}: {what}")
    with pytest.warns(UserWarning, match="4 files are of kinds"):  # where nobody asks to be told
        find(str(tmp_path))
    put(tmp_path, "line\nbreak.xls", os.fsdecode(b"\xff.xls"))
    find(str(tmp_path), tell=lines.append)
    assert lines.pop().encode().count(b"\n") == 0
    (tmp_path / "line\nbreak.xls").unlink()
    (tmp_path / os.fsdecode(b"\xff.xls")).unlink()
    put(tmp_path, *(f"{i:02}.json" for i in range(20)))
    find(str(tmp_path), tell=lines.append)
    assert "24 files are" in lines[0]
    assert "and 14 more)" in lines[0]
    (tmp_path / "x.csv").unlink()
    with pytest.raises(UserError, match=r"is there, but 26 files of other kinds \(00\.json, .*: check data\.path"):
        find(str(tmp_path))  # README.md and the log among them


def test_folders_beside_files_and_packed_files_beside_their_own_are_told(tmp_path) -> None:
    lines: list[str] = []
    put(tmp_path, "a.csv", "sub/b.csv")
    assert names(f"{tmp_path}/*", tell=lines.append) == ["a.csv"]
    assert "1 folder matches and is not read (sub)" in lines.pop()
    assert names(f"{tmp_path}/**/*", tell=lines.append) == ["a.csv", "sub/b.csv"]
    assert not lines
    put(tmp_path, "a.csv.gz")
    assert names(tmp_path, tell=lines.append) == ["a.csv", "a.csv.gz", "sub/b.csv"]
    assert "1 packed file stands (a.csv.gz) beside the unpacked one: the rows of both count" in lines[0]


TABLES = {
    "Delta": ("part-0.csv", "_delta_log/0.json", "_delta_log/1.checkpoint.parquet"),
    "Iceberg": ("data/part-0.csv", "metadata/v1.metadata.json", "metadata/m.avro", "metadata/m.parquet"),
    "Hudi": ("part-0.csv", ".hoodie/hoodie.properties"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_the_files_of_a_table_format_stop_a_run_unless_they_are_meant(tmp_path, kind: str) -> None:
    put(tmp_path / "t", *TABLES[kind])
    put(tmp_path, "plain/x.csv")
    inner = str(Path(TABLES[kind][0]).parent)
    for path in ("", "t", "t/**/*.csv", f"t/{inner}", f"t/{inner}/part-*.csv", "*/**/*.csv"):
        for start in ("", "file://"):
            with pytest.raises(UserError, match=rf"holds files of a table format \({kind}: .*data\.raw_files = true"):
                find(f"{start}{tmp_path}/{path}")
    lines: list[str] = []
    assert names(tmp_path / "t", raw_files=True, tell=lines.append) == [TABLES[kind][0]]
    assert re.search(rf"table format \({kind}: .* deleted and replaced rows come back$", "\n".join(lines))
    assert names(tmp_path / "t" / TABLES[kind][0]) == ["part-0.csv"]  # one file, by its own name
    assert names(f"{tmp_path}/plain/*.csv") == ["x.csv"]  # beside it


def test_the_names_in_a_storage_are_taken_as_those_of_a_folder() -> None:
    kept = ["x.csv", "day=1/y.csv", "i/data/0.parquet", "d/part-0.csv", "metadata/x.json"]
    others = ["_x.csv", "day=1/.y.csv", "d/_delta_log/0.json", "i/metadata/v1.metadata.json", "i/metadata/m.parquet"]
    tables = {"d": "Delta: _delta_log", "i": "Iceberg: metadata"}
    assert table_names([*kept, *others]) == (kept, tables)
    assert table_names([".hoodie/x", "a.csv"]) == (["a.csv"], {"": "Hudi: .hoodie"})


def test_a_folder_named_metadata_may_be_anybodys(tmp_path) -> None:
    put(tmp_path, "x.csv", "metadata/y.csv", "metadata/columns.yaml")
    assert names(tmp_path) == ["metadata/y.csv", "x.csv"]
