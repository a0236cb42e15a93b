"""Incremental reading: a known file is not opened, a damaged entry is read again, the bits are those of a full run."""

import ctypes
import os
import resource
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from linreg.data_config import DataConfig
from linreg.files import partitions as files
from linreg.ingest import cache as record_cache
from linreg.ingest.blocks import Reading, read_partition
from linreg.ingest.cache import RecordCache, prune
from linreg.ingest.cache_file import CacheFile
from linreg.ingest.digest_cache import KnownFiles
from linreg.ingest.part import ALL, HELD_OUT
from linreg.ingest.records import RecordedDataset, record_dataset
from tests.support.files import DAMAGE, write


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled as soon as they are written."""
    monkeypatch.setattr(files, "_SETTLED", -1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(params=[HELD_OUT, ALL], ids=["rows that judge are kept", "all rows are kept"])
def held(request) -> tuple[int, ...]:
    return request.param


def night(folder: Path, i: int, rows: int = 200, kind: str = "parquet", **changes: object) -> Path:
    rng = np.random.default_rng(i)
    a, b = rng.normal(3, 2, rows), rng.normal(-1, 0.3, rows)
    frame = pd.DataFrame({"a": a, "b": b, "y": a - b + rng.normal(size=rows), "id": np.arange(rows)}).assign(**changes)
    return Path(write(folder / f"n{i:03d}.{kind}", frame))


def config(folder: Path, **changes: object) -> DataConfig:
    return DataConfig(path=str(folder), **({"features": ("a", "b"), "targets": ("y",), "test_fraction": 0.3} | changes))


def run(data: DataConfig, cache: Path, held: tuple[int, ...] = HELD_OUT, **options: object) -> RecordedDataset:
    """As a run does it."""
    known = KnownFiles.open(cache, data.path)
    partitions = files.find(data.path, known=known.files)
    known.save(partitions)
    return record_dataset(data, partitions=partitions, held=held, cache=cache, **options)


def check(recorded: RecordedDataset, data: DataConfig, held: tuple[int, ...] = HELD_OUT, **options: object) -> None:
    """It is as a full run would have it, to the bit."""
    full = record_dataset(data, held=held, **options)
    for ours, theirs in zip(moments_of(recorded), moments_of(full), strict=True):
        assert ours.root_KK.tobytes() == theirs.root_KK.tobytes()
        assert ours.shift_P.tobytes() == theirs.shift_P.tobytes()
        assert replace(ours, root_KK=0, shift_P=0) == replace(theirs, root_KK=0, shift_P=0)
    assert (recorded.record.filled, recorded.record.plain) == (full.record.filled, full.record.plain)
    for ours, theirs in zip(recorded.extents, full.extents, strict=True):
        assert (ours.low_P.tobytes(), ours.high_P.tobytes()) == (theirs.low_P.tobytes(), theirs.high_P.tobytes())
    counts = ("rows", "train_rows", "validation_rows", "test_rows", "dropped", "weightless", "counts", "judges")
    for name in (*counts, "digest", "partitions"):
        assert getattr(recorded.dataset, name) == getattr(full.dataset, name)
    for role in ("train", "validation", "test"):
        ours, theirs = (getattr(r.dataset, role) for r in (recorded, full))
        np.testing.assert_array_equal(np.hstack(ours.arrays()), np.hstack(theirs.arrays()))


def moments_of(recorded: RecordedDataset) -> list[object]:
    record = recorded.record
    validation = [recorded.validation] if recorded.validation else []
    return [record.moments, *(p.moments for p in record.partitions), recorded.test.moments, *validation]


def packs(cache: Path) -> list[Path]:
    return sorted(cache.glob("*/*.pack"))


# what is opened


_IN_OPEN = 0x20


@contextmanager
def watched(folder: Path) -> Iterator[set[str]]:
    """The names of the files of a folder that anyone opens meanwhile, by the kernel's own account."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = libc.inotify_init1(os.O_NONBLOCK)
    assert handle >= 0
    assert libc.inotify_add_watch(handle, os.fsencode(folder), _IN_OPEN) >= 0
    opened: set[str] = set()
    try:
        yield opened
        try:
            while events := os.read(handle, 1 << 20):
                while events:
                    _, mask, _, length = struct.unpack("iIII", events[:16])
                    name = events[16 : 16 + length].rstrip(b"\0").decode()
                    opened |= {name} if name and not mask & 0x40000000 else set()
                    events = events[16 + length :]
        except BlockingIOError:
            pass
    finally:
        os.close(handle)


def opened_and_read(data: DataConfig, cache: Path, held: tuple[int, ...]) -> tuple[set[str], int]:
    """Which files a run opens, and how many it reads; what comes of it is what a full run gives."""
    with watched(Path(data.path)) as opened:
        recorded = run(data, cache, held)
    check(recorded, data, held)
    return opened, recorded.read


def test_a_run_opens_the_files_that_are_new_or_changed_alone(data, cache, held) -> None:
    paths = [night(data, i) for i in range(4)]
    case = config(data, validation_fraction=0.2), cache, held
    assert opened_and_read(*case) == ({path.name for path in paths}, 4)
    assert opened_and_read(*case) == (set(), 0)
    night(data, 4)
    assert opened_and_read(*case) == ({"n004.parquet"}, 1)
    night(data, 1, rows=150)
    assert opened_and_read(*case) == ({"n001.parquet"}, 1)
    withdrawn = paths[2].rename(data.parent / "away")
    assert opened_and_read(*case) == (set(), 0)
    withdrawn.rename(paths[2])
    assert opened_and_read(*case) == ({"n002.parquet"}, 0)  # its content is still known
    paths[3].rename(data / "other.parquet")  # the split hangs on the name
    assert opened_and_read(*case) == ({"other.parquet"}, 1)


def test_a_file_that_was_written_just_now_is_opened_and_not_read(data, cache, monkeypatch) -> None:
    monkeypatch.setattr(files, "_SETTLED", 10**12)
    night(data, 0)
    assert run(config(data), cache).read == 1
    with watched(data) as opened:
        assert run(config(data), cache).read == 0
    assert opened == {"n000.parquet"}


@pytest.mark.parametrize("changes", [{}, {"test_fraction": 0.0}, {"missing": "mean", "key": ("id",)}], ids=str)
def test_gaps_keys_weights_types_and_csv_are_kept_as_well(data, cache, changes: dict[str, object]) -> None:
    holes = [np.nan, 2.0, *range(698)]
    night(data, 0, rows=700, a=holes)
    night(data, 1, rows=700, kind="csv")
    night(data, 2, rows=700, y=[np.nan, *range(699)])
    night(data, 3, rows=700, kind="csv", a=holes)
    plain = config(data, **({"missing": "drop", "validation_fraction": 0.2} | changes))
    for nights in (plain, replace(plain, weight="id", key=())):
        assert run(nights, cache, ALL).read == 4
        recorded = run(nights, cache, ALL)
        assert recorded.read == 0
        check(recorded, nights, ALL)
    night(data, 4, rows=700, a=np.arange(700, dtype=np.int64) + 2**24 + 1)
    night(data, 5, rows=700, a=np.arange(700, dtype=np.float32))
    night(data, 6, rows=700, a=np.arange(700) % 2 == 0)
    recorded = run(plain, cache, ALL)
    assert recorded.read == 3
    check(recorded, plain, ALL)
    assert len(recorded.dataset.train) > 1024  # rows get a place beyond their block
    walked = [r.dataset.train.tensors(torch.float32, mixed=True) for r in (recorded, record_dataset(plain))]
    for ours, theirs in zip(*walked, strict=True):
        np.testing.assert_array_equal(ours, theirs)


CHANGES = [
    {"features": ("b", "a")},
    {"split_seed": 1},
    {"test_fraction": 0.2},
    {"validation_fraction": 0.1},
    {"missing": "drop"},
    {"weight": "id"},
    {"key": ("id",)},
]


@pytest.mark.parametrize("changes", CHANGES, ids=lambda c: next(iter(c)))
def test_another_config_has_entries_of_its_own(data, cache, changes: dict[str, object]) -> None:
    night(data, 0)
    night(data, 1)
    run(config(data), cache)
    other = config(data, **changes)
    recorded = run(other, cache)
    assert recorded.read == 2
    check(recorded, other)
    assert run(config(data), cache).read == 0


def test_other_types_roles_and_formats_have_entries_of_their_own(data, cache, monkeypatch) -> None:
    night(data, 0)
    assert [run(config(data), cache).read for _ in range(2)] == [1, 0]
    assert run(config(data), cache, dtype="float64").read == 1
    assert run(config(data), cache, held=ALL).read == 1
    monkeypatch.setattr(record_cache, "FORMAT", record_cache.FORMAT + 1)  # records are computed in another way
    assert run(config(data), cache).read == 1


def test_a_champion_of_the_same_columns_changes_nothing(data, cache) -> None:
    """Its features are asked for as optional columns, from the second night on."""
    night(data, 0)
    assert run(config(data), cache).read == 1
    assert run(config(data), cache, optional=("a", "b"), optional_gaps=True).read == 0
    assert run(config(data), cache, optional=("id",)).read == 1


def test_an_optional_column_that_one_file_lacks_is_kept_of_the_others(data, cache, monkeypatch) -> None:
    """A champion that needs it can be judged as soon as that file is out of the window."""
    monkeypatch.setattr(record_cache, "MOST_FILES", 1)
    paths = [night(data, i, **({} if i == 1 else {"z": np.arange(200.0) + i})) for i in range(3)]
    assert not run(config(data), cache, optional=("z",)).dataset.test.has(["z"])
    night(data, 3, z=np.arange(200.0) + 3)
    assert run(config(data), cache, optional=("z",)).read == 1
    assert len(packs(cache)) == 2  # one for each set of columns
    paths[1].unlink()
    recorded, full = (run(config(data), folder, optional=("z",)) for folder in (cache, cache / "other"))
    assert (recorded.read, full.read) == (0, 3)
    ours, theirs = (r.dataset.test.select(["a", "z", "y"]) for r in (recorded, full))
    np.testing.assert_array_equal(ours, theirs)


# damage


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_pack_is_noticed_and_its_files_are_read_again(data, cache, held, damage: str) -> None:
    for i in range(2):
        night(data, i)
        run(config(data), cache, held)
    pack = packs(cache)[0]
    pack.write_bytes(DAMAGE[damage](pack.read_bytes()))
    recorded = run(config(data), cache, held)
    assert recorded.read == 1
    check(recorded, config(data), held)
    assert run(config(data), cache, held).read == 0


@pytest.mark.parametrize("folder", ["file/cache", "x" * 300], ids=["in a file", "of too long a name"])
def test_where_nothing_can_be_written_or_looked_at_all_is_read_each_time(tmp_path, data, folder: str) -> None:
    night(data, 0)
    (tmp_path / "file").write_text("no folder")
    assert [run(config(data), tmp_path / folder).read for _ in range(2)] == [1, 1]


def test_where_the_disk_is_full_nothing_is_kept_and_nothing_is_left_behind(data, cache) -> None:
    night(data, 0, rows=5000)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limit[1]))  # as a full disk: what is written beyond fails
    try:
        recorded = run(config(data), cache, ALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    check(recorded, config(data), ALL)
    assert list(cache.glob("*/*")) == []


def test_what_a_run_that_was_cut_off_left_behind_is_deleted_after_a_day(data, cache) -> None:
    night(data, 0)
    run(config(data), cache)
    old, new = (packs(cache)[0].with_name(f"{n}.coming") for n in ("old", "new"))
    for path, age in ((old, 90_000), (new, 0)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    night(data, 1)
    run(config(data), cache)
    assert (old.exists(), new.exists()) == (False, True)


# room


def names(pack: Path) -> list[str]:
    """The partitions of a pack."""
    file = CacheFile.read(pack)
    assert file is not None
    return [name for _, name in file.names]


def test_many_packs_become_one_with_what_is_live(data, cache, monkeypatch) -> None:
    monkeypatch.setattr(record_cache, "MOST_FILES", 3)
    paths = []
    for i in range(4):
        paths.append(night(data, i))
        run(config(data), cache)
    assert len(packs(cache)) == 1
    paths[3].unlink()
    for i in range(4, 7):
        night(data, i)
        check(run(config(data), cache), config(data))
    (pack,) = packs(cache)
    assert sorted(names(pack)) == [f"n{i:03d}.parquet" for i in (0, 1, 2, 4, 5, 6)]


def test_large_packs_are_not_written_again_while_half_of_them_is_live(data, cache, monkeypatch) -> None:
    monkeypatch.setattr(record_cache, "MOST_FILES", 2)
    monkeypatch.setattr(record_cache, "LARGE", 30_000)
    paths = [night(data, i, rows=1000) for i in range(4)]
    run(config(data), cache, ALL)
    (large,) = packs(cache)
    for i in range(4, 8):
        night(data, i)
        run(config(data), cache, ALL)
    assert large in packs(cache)
    assert len(packs(cache)) == 3
    for path in paths[:3]:
        path.unlink()
    for i in range(8, 10):
        night(data, i)
        recorded = run(config(data), cache, ALL)
    assert large not in packs(cache)
    assert recorded.read == 1
    check(recorded, config(data), ALL)


def test_runs_at_the_same_time_keep_what_each_has_read_and_what_is_there_twice_is_joined_once(
    data, cache, monkeypatch
) -> None:
    monkeypatch.setattr(record_cache, "MOST_FILES", 2)
    night(data, 0)
    partitions = files.find(str(data))
    reading = Reading(config(data), "float64", recorded=False)
    parts = [read_partition(p, reading) for p in partitions]
    for records in [RecordCache.open(cache, "0" * 32) for _ in range(2)]:
        records.add(parts, partitions)
    assert len(packs(cache)) == 2
    night(data, 1)
    partitions = files.find(str(data))
    records = RecordCache.open(cache, "0" * 32)
    assert [records.knows(p) for p in partitions] == [True, False]
    records.add([read_partition(partitions[1], reading)], partitions)
    (pack,) = packs(cache)
    assert names(pack) == ["n000.parquet", "n001.parquet"]


def test_rows_for_which_there_is_no_room_are_read_each_time_and_others_stay(data, cache) -> None:
    night(data, 0, rows=2000)
    run(config(data), cache)
    (kept,) = packs(cache)
    size = 2000 * 3 * 8
    assert run(config(data), cache, ALL, most=size).read == 1
    assert packs(cache) == [kept]
    run(config(data), cache, ALL, most=3 * size)
    night(data, 1, rows=2000)  # the two would take more than half of that
    recorded = [run(config(data), cache, ALL, most=3 * size) for _ in range(2)][-1]
    assert recorded.read == 1
    check(recorded, config(data), ALL)


def test_the_configs_not_used_for_longest_go_first(data, cache) -> None:
    night(data, 0)
    for seed in range(3):
        run(config(data, split_seed=seed), cache)
    by_seed = sorted({p.parent for p in packs(cache)}, key=lambda p: p.stat().st_mtime)
    for i, folder in enumerate(by_seed):
        os.utime(folder, (i, i))
    size = sum(p.stat().st_size for p in by_seed[0].iterdir())
    prune(cache, most=2 * size + size // 2)
    assert [folder.exists() for folder in by_seed] == [False, True, True]


def test_what_else_lies_in_the_folder_of_the_cache_is_not_touched(data, tmp_path) -> None:
    night(data, 0)
    others = [tmp_path / "archive" / "a.pack", tmp_path / ("0" * 32) / "notes.txt"]
    for path in others:
        write(path, b"x" * 100_000)
        os.utime(path.parent, (1, 1))
    assert run(config(data), tmp_path, most=60_000).read == 1
    prune(tmp_path, most=0)
    assert packs(tmp_path) == [others[0]]
    assert all(path.stat().st_size == 100_000 for path in others)


def test_what_an_earlier_release_kept_is_not_read_and_goes_first(data, cache) -> None:
    night(data, 0)
    earlier = cache / ("0" * 32)
    for name in ("a.pack", "b.coming", "merged.0", ".merged.0.123"):
        write(earlier / name, b"x" * 50_000)
    os.utime(earlier, (1, 1))
    assert run(config(data), cache, most=150_000).read == 1
    assert not earlier.exists()
    assert run(config(data), cache, most=150_000).read == 0
