"""Which files a path means, and one line of advice where it means none."""

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from linreg.errors import UserError
from linreg.files.partitions import Partition, find
from linreg.files.paths import folder_columns
from tests.support.files import rows_of, write

GOOD = "a,y\n1,2\n3,4\n5,6\n"


def names(path: str | Path, **window: object) -> list[str]:
    return [p.name for p in find(str(path), **window)]


def put(folder: Path, *files: str) -> None:
    for name in files:
        write(folder / name, GOOD)


def test_a_folder_is_searched_to_the_bottom_and_hidden_files_are_left_out(tmp_path) -> None:
    put(tmp_path, "b.csv", "2026/a.CSV", "2026/x/c.pq", "2026/d.csv.GZ")
    put(tmp_path, ".cache/d.csv", "2026/.e.csv", "_old/g.csv", "_h.csv", "README.md")
    expected = ["2026/a.CSV", "2026/d.csv.GZ", "2026/x/c.pq", "b.csv"]
    assert names(tmp_path) == names(f"{tmp_path}/") == expected


def test_links_are_followed_once(tmp_path) -> None:
    put(tmp_path, "elsewhere/a.csv")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "data")
    assert names(tmp_path / "data") == ["link/a.csv"]


def test_a_glob_names_files_below_its_plain_part(tmp_path, monkeypatch) -> None:
    put(tmp_path, "d/b.csv", "d/2026/a.csv", "d/2026/x/c.csv", "d/n.md", "d/x[1].csv")
    monkeypatch.chdir(tmp_path)
    assert names("d/?.csv") == ["b.csv"]
    assert names("*/b.csv") == ["d/b.csv"]
    assert names("d/**/?.csv") == ["2026/a.csv", "2026/x/c.csv", "b.csv"]
    assert names(f"{tmp_path}/d/20*/?.csv") == ["2026/a.csv"]
    assert names("d/x[1].csv") == ["x[1].csv"]  # a file whose name looks like a glob


def test_uris_give_the_same_names_and_digests_as_paths(tmp_path) -> None:
    for name in ("b.csv", "2026/a b.csv", ".cache/d.csv", "n.md"):
        write(tmp_path / name, GOOD + name)
    for plain in ("", "/*.csv", "/**/*.csv", "/b.csv"):
        local, remote = find(f"{tmp_path}{plain}"), find(f"file://{tmp_path}{plain}")
        assert [(p.name, p.digest, p.size) for p in local] == [(p.name, p.digest, p.size) for p in remote]
    first = find(f"file://{tmp_path}")[0]
    assert first.path == f"file://{tmp_path}/2026/a%20b.csv"
    with pytest.raises(UserError, match=r"2026/a%20b\.csv: line 5: expected 2 fields, found 1"):
        rows_of(first, "a")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("{0}/empty", "no .csv (.gz, .bz2, .zst), .parquet or .pq file is there: check"),
        ("{0}/*.csv", "matches no file: check the pattern"),
        ("{0}/*", "matches folders only: add '/*.csv'"),
        ("{0}/inner/x.txt", "the extension '.txt' is not known"),
        ("{0}/inner/*", "the extension '.txt' is not known"),
        ("{0}/inner/noname", "no such file or folder (known: x.txt)"),
        ("{0}/inner/x.text", "no such file or folder (did you mean 'x.txt'?)"),
        ("{0}/inner/x.txt/y.csv", "no such file or folder"),
        ("{0}/nowhere/y.csv", "nor is there a folder {0}/nowhere: check data.path"),
        ("file://{0}/empty", "no .csv (.gz, .bz2, .zst), .parquet or .pq file is there: check"),
        ("file://{0}/x.csv", "no such file or folder"),
        ("file://{0}/a b.csv", "not a URI that can be read"),
        ("https://example.org/a.csv", "not a URI that can be read"),
        ("s3://", "names no bucket"),
        ("{0}/delta", "delta: holds files of a table format (Delta: _delta_log): read as they lie, deleted"),
        ("{0}/hudi", "hudi/2026: holds files of a table format (Hudi: .hoodie): read as they lie, deleted"),
        ("a\0.csv", "data.path holds a NUL character"),
    ],
)
def test_a_path_that_gives_no_data_says_so(tmp_path, path: str, line: str) -> None:
    put(tmp_path, "inner/x.txt", "delta/_delta_log/0.json", "delta/a.csv", "hudi/2026/.hoodie/x", "hudi/2026/b.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError) as caught:
        find(path.format(tmp_path))
    assert line.format(tmp_path) in str(caught.value)


def test_a_named_pipe_is_not_waited_for(tmp_path) -> None:
    os.mkfifo(tmp_path / "x.csv")
    for path in (tmp_path / "x.csv", tmp_path, tmp_path / "*.csv"):
        with pytest.raises(UserError, match=r"x\.csv: is not a regular file"):
            find(str(path))


def test_names_that_no_message_could_tell_are_refused(tmp_path) -> None:
    put(tmp_path, os.fsdecode(b"\xff.csv"))
    for path in (tmp_path, tmp_path / "*.csv", tmp_path / os.fsdecode(b"\xff.csv")):
        with pytest.raises(UserError, match=r"\\udcff\.csv': the name is no UTF-8 text") as caught:
            find(str(path))
        assert str(caught.value).encode()


def test_credentials_stay_out_of_messages() -> None:
    assert Partition("x.csv", "s3://key:word@bucket/x.csv?secret_key=word", 0, "").label == "s3://bucket/x.csv"
    with pytest.raises(UserError) as caught:
        find("foo://key:word@bucket/x.csv?secret_key=word")
    assert "word" not in str(caught.value)


@pytest.fixture
def locked() -> Iterator[Path]:
    """A folder of which a file and a folder, in another one too, may not be read, without root's rights."""
    with tempfile.TemporaryDirectory() as name:
        folder, user, groups = Path(name), os.geteuid(), os.getgroups()
        put(folder, "x.csv", "inner/x.csv", "outer/x.csv", "outer/inner/x.csv")
        folder.chmod(0o755)
        closed = [folder / "x.csv", folder / "inner", folder / "outer" / "inner"]
        for path in closed:
            path.chmod(0)
        if user == 0:
            os.setgroups([])
            os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(user)
            if user == 0:
                os.setgroups(groups)
            for path in closed:
                path.chmod(0o755)


@pytest.mark.parametrize("what", ["x.csv", "inner", "inner/x.csv", "outer"])
def test_what_may_not_be_read_is_named(locked: Path, what: str) -> None:
    with pytest.raises(UserError, match=r"(x\.csv|inner): may not be read: give this user the right"):
        find(str(locked / what))


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """Files of 1, 2, 3, 10 and 12 November, two of the last one."""
    put(tmp_path, *(f"day=2026-11-{day}/part.pq" for day in ("01", "02", "03", "10", "12")), "day=2026-11-12/late.csv")
    return tmp_path


@pytest.mark.parametrize(
    ("window", "files"),
    [
        ({"window": 3}, 3),
        ({"window": 100}, 6),
        ({"window": 1, "window_by": "day"}, 2),
        ({"window": 2, "window_by": "day"}, 2),
        ({"window": 3, "window_by": "day"}, 3),
        ({"window": 10, "window_by": "day"}, 4),
        ({"window": 10**20, "window_by": "day"}, 6),  # back beyond the first date that there is
    ],
    ids=str,
)
def test_a_window_is_the_last_files_by_name_or_so_many_days_up_to_the_last_one(days, window, files: int) -> None:
    assert names(days, **window) == names(days)[-files:]


def test_the_days_of_a_window_are_those_of_the_files_that_a_glob_names(days) -> None:
    assert names(f"{days}/day=*/*.pq", window=10, window_by="day")[0] == "day=2026-11-03/part.pq"


@pytest.mark.parametrize(
    ("window", "line"),
    [
        ({"window": 3, "window_by": "night"}, "lies in no folder night=DATE"),
        ({"window": 3, "window_by": "day"}, "day=soon is no date"),
        ({"window_by": "day"}, "data.window does not say how many"),
    ],
)
def test_a_window_that_cannot_be_is_refused(days, window: dict[str, object], line: str) -> None:
    put(days, "day=soon/x.csv")
    with pytest.raises(UserError, match=re.escape(line)):
        names(days, **window)


def test_folders_name_columns() -> None:
    assert folder_columns("a/day=2026-11-01/city=S%C3%A3o%20Paulo/part=1.csv") == {
        "day": "2026-11-01",
        "city": "São Paulo",
    }
    assert folder_columns("part.csv") == folder_columns("=x/y/part.csv") == {}
