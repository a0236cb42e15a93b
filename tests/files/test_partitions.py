"""A file is known by the digest of all its bytes, and what is read of it is what was hashed."""

import os

import pytest
import xxhash

from linreg.errors import UserError
from linreg.files import partitions, stream
from linreg.files.partitions import Partition, digest, find
from tests.support.files import later, rows_of, write

GOOD = "a,y\n1,2\n3,4\n5,6\n"
CHANGED = "changed while it was read: run again"


@pytest.fixture(autouse=True, params=["just written", "settled"])
def age(request, monkeypatch) -> str:
    """A file just written is hashed again when it was read; one that has settled is known by its inode."""
    if request.param == "settled":
        monkeypatch.setattr(partitions, "_SETTLED", 0)
    return str(request.param)


def content(name: str, last: int = 6) -> object:
    return GOOD.replace("6", str(last)) if name.endswith("csv") else {"a": [1, 3, 5], "y": [2, 4, last]}


def test_a_partition_is_known_by_all_its_bytes(tmp_path) -> None:
    text = os.urandom(5_000_000)
    (partition,) = find(write(tmp_path / "x.csv", text))
    assert (partition.size, partition.digest) == (5_000_000, xxhash.xxh3_128_hexdigest(text))


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_file_that_changes_after_it_was_hashed_is_refused(tmp_path, name: str) -> None:
    path = tmp_path / name
    (partition,) = find(write(path, content(name)))
    later(write(path, content(name, 7)))
    with pytest.raises(UserError, match=CHANGED):
        rows_of(partition)
    path.unlink()
    with pytest.raises(UserError, match=rf"{name}: no such file \(any more\)"):
        rows_of(partition)


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_file_that_changes_while_it_is_decoded_is_refused(tmp_path, name: str) -> None:
    path = write(tmp_path / name, content(name))
    (partition,) = find(path)
    batches = stream.read(partition, ["a"]).batches()
    next(batches)
    with open(path, "r+b") as file:
        file.seek(4)
        file.write(b"0")
    later(path)
    with pytest.raises(UserError, match=CHANGED):
        list(batches)


def test_a_file_that_is_touched_and_the_same_is_read(tmp_path, age: str) -> None:
    (partition,) = find(write(tmp_path / "x.csv", GOOD))
    later(partition.path)
    assert rows_of(partition, "a").to_pydict() == {"a": [1, 3, 5]}
    assert bool(partition.stamp) == (age == "settled")
    assert partition == Partition(partition.name, partition.path, partition.size, partition.digest)


def test_the_digest_depends_on_names_and_content_not_on_order(tmp_path) -> None:
    def of(**files: str) -> str:
        for path in tmp_path.iterdir():
            path.unlink()
        for name, text in files.items():
            write(tmp_path / f"{name}.csv", text)
        files = find(str(tmp_path))
        assert digest(files) == digest(files[::-1])
        return digest(files)

    known = of(a=GOOD, b=GOOD + "7,8\n")
    assert of(b=GOOD + "7,8\n", a=GOOD) == known
    others = {of(a=GOOD), of(a=GOOD, c=GOOD + "7,8\n"), of(a=GOOD, b=GOOD + "7,9\n"), of(a=GOOD + "7,8\n", b=GOOD)}
    assert len(others | {known}) == 5
