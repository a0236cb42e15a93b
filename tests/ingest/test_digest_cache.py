"""The list of files that were hashed: one that is damaged, or of an earlier release, is as good as none."""

import struct
from pathlib import Path

import pytest
import xxhash

from linreg.files import partitions
from linreg.files.partitions import Partition
from linreg.ingest.digest_cache import KnownFiles
from tests.support.files import DAMAGE, write

EARLIER = {
    "of one file": struct.pack("<7Q", 1, *range(6)) + b'[["a.csv"], ["/data/a.csv"], ["00ff"]]',
    "of none": b"[]",
}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two files, which count as settled as soon as they are written."""
    monkeypatch.setattr(partitions, "_SETTLED", -1)
    for name in ("a.csv", "b.csv"):
        write(tmp_path / "data" / name, "x,y\n1,2\n")
    return tmp_path / "data"


def find(data: Path, cache: Path) -> tuple[KnownFiles, list[Partition]]:
    known = KnownFiles.open(cache, str(data))
    hashed = partitions.find(str(data), known=known.files)
    known.save(hashed)
    return known, hashed


def test_what_was_hashed_comes_back_as_it_was(data, tmp_path) -> None:
    _, hashed = find(data, tmp_path)
    known, same = find(data, tmp_path)
    assert list(known.files.values()) == hashed
    assert [p.stamp for p in known.files.values()] == [p.stamp for p in hashed]
    assert all(known.files[p.path] is p for p in same)


def test_a_data_set_has_a_list_of_its_own(data, tmp_path) -> None:
    find(data, tmp_path)
    assert KnownFiles.open(tmp_path, f"{data}/*.csv").files == {}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_list_is_noticed_and_written_again(data, tmp_path, damage: str) -> None:
    known, _ = find(data, tmp_path)
    known.path.write_bytes(DAMAGE[damage](known.path.read_bytes()))
    assert find(data, tmp_path)[0].files == {}
    assert len(find(data, tmp_path)[0].files) == 2


@pytest.mark.parametrize("content", EARLIER.values(), ids=EARLIER)
def test_a_list_of_an_earlier_release_is_as_good_as_none(tmp_path, content: bytes) -> None:
    known = KnownFiles.open(tmp_path, "data")
    known.path.write_bytes(xxhash.xxh3_128_digest(content) + content)
    assert KnownFiles.open(tmp_path, "data").files == {}
