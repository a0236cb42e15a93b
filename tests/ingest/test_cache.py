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

from linreg.config import DataConfig, TrainConfig
from linreg.files import partitions as source
from linreg.files.digest_cache import KnownFiles
from linreg.ingest import cache as record_cache
from linreg.ingest.blocks import Reading, read_partition
from linreg.ingest.cache import RecordCache, prune
from linreg.ingest.cache_file import CacheFile
from linreg.ingest.read import ALL, HELD_OUT, DatasetRead, read_dataset
from linreg.training.fit import fit

COLUMNS = ["a", "b", "y"]


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled as soon as they are written."""
    monkeypatch.setattr(source, "_SETTLED", -1)


def night(folder: Path, i: int, rows: int = 200, kind: str = "parquet", **changes: object) -> Path:
    rng = np.random.default_rng(i)
    a, b = rng.normal(3, 2, rows), rng.normal(-1, 0.3, rows)
    frame = pd.DataFrame({"a": a, "b": b, "y": a - b + rng.normal(size=rows), "id": np.arange(rows)}).assign(**changes)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"n{i:03d}.{kind}"
    _ = frame.to_parquet(path) if kind == "parquet" else frame.to_csv(path, index=False)
    return path


def config(folder: Path, **changes: object) -> DataConfig:
    plain: dict[str, object] = {"features": ("a", "b"), "targets": ("y",), "test_fraction": 0.3}
    return DataConfig(path=str(folder), **(plain | changes))  # type: ignore[arg-type]


def again(how: DataConfig, cache: Path) -> DatasetRead:
    """As a run does it."""
    known = KnownFiles.open(cache, how.path)
    partitions = source.find(how.path, known=known.files)
    known.save(partitions)
    return read_dataset(how, partitions=partitions, held=HELD_OUT, cache=cache)


def same(found: DatasetRead, how: DataConfig) -> None:
    """As a full run would have it, to the bit."""
    full = read_dataset(how, held=HELD_OUT)
    for ours, theirs in zip(found.record.partitions, full.record.partitions, strict=True):
        assert ours.root_KK.tobytes() == theirs.root_KK.tobytes()
    assert found.record.moments.root_KK.tobytes() == full.record.moments.root_KK.tobytes()
    assert found.record.moments.shift_P.tobytes() == full.record.moments.shift_P.tobytes()
    m, n = found.record.moments, full.record.moments
    assert (m.rows, m.weight, m.log_weight, m.square_weight) == (n.rows, n.weight, n.log_weight, n.square_weight)
    assert (found.record.filled, found.record.plain) == (full.record.filled, full.record.plain)
    if how.validation_fraction:
        assert found.validation is not None
        assert full.validation is not None
        assert found.validation.root_KK.tobytes() == full.validation.root_KK.tobytes()
    assert found.test.moments.root_KK.tobytes() == full.test.moments.root_KK.tobytes()
    for one, other in zip(found.extents, full.extents, strict=True):
        assert (one.low_P.tobytes(), one.high_P.tobytes()) == (other.low_P.tobytes(), other.high_P.tobytes())
    counts = ("rows", "train_rows", "validation_rows", "test_rows", "dropped", "weightless", "digest", "partitions")
    assert (found.dataset.counts, found.dataset.judges) == (full.dataset.counts, full.dataset.judges)
    assert [getattr(found.dataset, c) for c in counts] == [getattr(full.dataset, c) for c in counts]
    for role in ("test", "validation"):
        ours, theirs = (getattr(x.dataset, role).select([*how.features, *how.targets]) for x in (found, full))
        np.testing.assert_array_equal(ours, theirs)


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


def test_a_run_opens_the_new_file_alone(tmp_path) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    for i in range(6):
        night(data, i)
    how = config(data, validation_fraction=0.2)
    with watched(data) as opened:
        assert again(how, cache).read == 6
    assert len(opened) == 6
    with watched(data) as opened:
        assert again(how, cache).read == 0
    assert opened == set()
    night(data, 6)
    with watched(data) as opened:
        found = again(how, cache)
    assert (opened, found.read) == ({"n006.parquet"}, 1)
    same(found, how)


def test_a_changed_file_is_read_again_and_the_others_are_not(tmp_path) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    for i in range(3):
        night(data, i)
    how = config(data)
    again(how, cache)
    night(data, 1, rows=150)
    with watched(data) as opened:
        found = again(how, cache)
    assert (opened, found.read) == ({"n001.parquet"}, 1)
    same(found, how)


def test_a_withdrawn_file_is_forgotten_and_one_that_comes_back_is_still_known(tmp_path) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    paths = [night(data, i) for i in range(5)]
    how = config(data)
    again(how, cache)
    paths[2].rename(tmp_path / "away")
    found = again(how, cache)
    assert (found.read, len(found.dataset.partitions)) == (0, 4)
    same(found, how)
    (tmp_path / "away").rename(paths[2])
    found = again(how, cache)
    assert found.read == 0
    same(found, how)


@pytest.mark.parametrize("missing", ["drop", "mean"])
def test_gaps_keys_weights_and_csv_are_kept_as_well(tmp_path, missing: str) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    holes = {"a": [np.nan, 2.0, *range(198)]}
    night(data, 0, **holes)
    night(data, 1, kind="csv")
    night(data, 2, y=[np.nan, *range(199)])
    night(data, 3, kind="csv", **holes)
    how = config(data, missing=missing, key=("id",), validation_fraction=0.2)
    weighted = replace(how, weight="id", key=())
    for each in (how, weighted):
        assert again(each, cache).read == 4
        found = again(each, cache)
        assert found.read == 0
        same(found, each)
    night(data, 4, **holes)
    found = again(how, cache)
    assert found.read == 1
    same(found, how)


def test_a_column_of_several_types_is_the_same_however_its_files_came(tmp_path) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    night(data, 0, a=np.arange(200, dtype=np.int64) + 2**24 + 1)
    night(data, 1, a=np.arange(200).astype(np.float32))
    how = config(data)
    again(how, cache)
    night(data, 2, a=np.arange(200) % 2 == 0)
    found = again(how, cache)
    assert found.read == 1
    same(found, how)


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
def test_another_config_has_entries_of_its_own(tmp_path, changes: dict[str, object]) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    night(data, 0)
    night(data, 1)
    again(config(data), cache)
    other = config(data, **changes)
    found = again(other, cache)
    assert found.read == 2
    same(found, other)
    assert again(config(data), cache).read == 0


def test_a_champion_of_the_same_columns_changes_nothing(tmp_path) -> None:
    """Its features are asked for as optional columns, from the second night on."""
    data, cache = tmp_path / "data", tmp_path / "cache"
    night(data, 0)
    how = config(data)
    assert again(how, cache).read == 1
    asked = {"optional": ("a", "b"), "optional_gaps": True}
    assert read_dataset(how, held=HELD_OUT, cache=cache, **asked).read == 0
    assert read_dataset(how, held=HELD_OUT, cache=cache, optional=("id",)).read == 1


def test_an_optional_column_that_one_file_lacks_is_kept_of_the_others(tmp_path, monkeypatch) -> None:
    """A champion that needs it can be judged as soon as that file is out of the window."""
    monkeypatch.setattr(record_cache, "MOST_FILES", 1)
    data, cache = tmp_path / "data", tmp_path / "cache"
    asked = {"held": HELD_OUT, "optional": ("z",)}
    paths = [night(data, i, **({} if i == 1 else {"z": np.arange(200.0) + i})) for i in range(3)]
    assert not read_dataset(config(data), cache=cache, **asked).dataset.test.has(["z"])
    night(data, 3, z=np.arange(200.0) + 3)
    assert read_dataset(config(data), cache=cache, **asked).read == 1
    assert len(packs(cache)) == 2  # one for each set of columns
    paths[1].unlink()
    found, full = read_dataset(config(data), cache=cache, **asked), read_dataset(config(data), **asked)
    assert found.read == 0
    ours, theirs = (x.dataset.test.select(["a", "z", "y"]) for x in (found, full))
    np.testing.assert_array_equal(ours, theirs)


def test_the_same_content_under_another_name_is_another_partition(tmp_path) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    night(data, 0)
    again(config(data), cache)
    (data / "n000.parquet").rename(data / "other.parquet")
    found = again(config(data), cache)
    assert found.read == 1
    same(found, config(data))


# damage


def packs(cache: Path) -> list[Path]:
    return sorted(cache.glob("*/*.pack"))


DAMAGE = {
    "a flipped bit": lambda b: b[:-5] + bytes([b[-5] ^ 1]) + b[-4:],
    "a flipped bit in front": lambda b: bytes([b[0] ^ 1]) + b[1:],
    "cut off": lambda b: b[: len(b) // 2],
    "empty": lambda b: b[:0],
    "longer": lambda b: b + b"x",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_pack_is_noticed_and_its_files_are_read_again(tmp_path, damage: str) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    night(data, 0)
    again(config(data), cache)
    night(data, 1)
    again(config(data), cache)
    one = packs(cache)[0]
    one.write_bytes(DAMAGE[damage](one.read_bytes()))
    found = again(config(data), cache)
    assert found.read == 1
    same(found, config(data))
    assert again(config(data), cache).read == 0


def test_a_file_that_was_written_just_now_is_not_listed(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(source, "_SETTLED", 10**12)
    data, cache = tmp_path / "data", tmp_path / "cache"
    night(data, 0)
    assert again(config(data), cache).read == 1
    with watched(data) as opened:
        assert again(config(data), cache).read == 0
    assert opened == {"n000.parquet"}


def test_where_nothing_can_be_written_all_is_read_each_time(tmp_path) -> None:
    data = tmp_path / "data"
    night(data, 0)
    cache = tmp_path / "file"
    cache.write_text("no folder")
    assert [again(config(data), cache / "cache").read for _ in range(2)] == [1, 1]
    assert [read_dataset(config(data), held=HELD_OUT).read for _ in range(2)] == [1, 1]


# room


def test_many_packs_become_one_with_what_is_live(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(record_cache, "MOST_FILES", 3)
    data, cache = tmp_path / "data", tmp_path / "cache"
    for i in range(4):
        gone = night(data, i)
        again(config(data), cache)
    assert len(packs(cache)) == 1
    gone.unlink()
    for i in range(4, 7):
        night(data, i)
        found = again(config(data), cache)
        same(found, config(data))
    assert len(packs(cache)) == 1
    joined = CacheFile.read(packs(cache)[0])
    assert joined is not None
    assert {name for _, name in joined.names} == {f"n{i:03d}.parquet" for i in (0, 1, 2, 4, 5, 6)}


def test_runs_at_the_same_time_keep_what_each_has_read_and_what_is_there_twice_is_joined_once(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(record_cache, "MOST_FILES", 2)
    data, cache = tmp_path / "data", tmp_path / "cache"
    night(data, 0)
    partitions = source.find(str(data))
    both = [RecordCache.open(cache, "0" * 32) for _ in range(2)]
    reading = Reading(config(data), "float64", recorded=False)
    parts = [read_partition(p, reading) for p in partitions]
    for own in both:
        own.add(parts, partitions)
    assert len(packs(cache)) == 2
    night(data, 1)
    found = source.find(str(data))
    later = RecordCache.open(cache, "0" * 32)
    assert [later.knows(p) for p in found] == [True, False]
    later.add([read_partition(found[1], reading)], found)
    (path,) = packs(cache)
    joined = CacheFile.read(path)
    assert joined is not None
    assert [name for _, name in joined.names] == ["n000.parquet", "n001.parquet"]


def test_the_configs_not_used_for_longest_go_first(tmp_path) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    night(data, 0)
    for seed in range(3):
        again(config(data, split_seed=seed), cache)
    by_seed = sorted({p.parent for p in packs(cache)}, key=lambda p: p.stat().st_mtime)
    for i, folder in enumerate(by_seed):
        os.utime(folder, (i, i))
    one = sum(p.stat().st_size for p in by_seed[0].iterdir())
    prune(cache, most=2 * one + one // 2)
    assert [folder.exists() for folder in by_seed] == [False, True, True]


def test_what_else_lies_in_the_folder_of_the_cache_is_not_touched(tmp_path) -> None:
    night(tmp_path / "nights", 0)
    others = [tmp_path / "archive" / "a.pack", tmp_path / ("0" * 32) / "notes.txt"]
    for path in others:
        path.parent.mkdir()
        path.write_bytes(b"x" * 100_000)
        os.utime(path.parent, (1, 1))
    assert read_dataset(config(tmp_path / "nights"), held=HELD_OUT, cache=tmp_path, most=60_000).read == 1
    prune(tmp_path, most=0)
    assert packs(tmp_path) == [others[0]]
    assert all(path.stat().st_size == 100_000 for path in others)


def test_what_an_earlier_release_kept_is_not_read_and_goes_first(tmp_path) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    earlier = [cache / ("0" * 32) / name for name in ("a.pack", "b.coming", "merged.0", ".merged.0.123")]
    earlier[0].parent.mkdir(parents=True)
    for path in earlier:
        path.write_bytes(b"x" * 50_000)
    os.utime(earlier[0].parent, (1, 1))
    night(data, 0)
    assert read_dataset(config(data), held=HELD_OUT, cache=cache, most=150_000).read == 1
    assert not earlier[0].parent.exists()
    assert read_dataset(config(data), held=HELD_OUT, cache=cache, most=150_000).read == 0


def test_a_cache_that_cannot_even_be_looked_at_is_as_good_as_none(tmp_path) -> None:
    night(tmp_path / "data", 0)
    assert again(config(tmp_path / "data"), tmp_path / ("x" * 300)).read == 1


# rows that are walked


def walked(how: DataConfig, cache: Path | None, trainer: str = "fused", **room: int) -> tuple[DatasetRead, bytes]:
    """As a run does it whose trainer walks the rows; what was taken in, and the parameters."""
    known = KnownFiles.open(cache, how.path) if cache else None
    partitions = source.find(how.path, known=known.files if known else None)
    if known:
        known.save(partitions)
    found = read_dataset(how, partitions=partitions, held=ALL, cache=cache, **room)
    epochs = 2 if trainer == "fused" else 1
    train = TrainConfig(trainer=trainer, epochs=epochs, batch_size=64, learning_rate=1e-3, standardize=True)
    model = fit(found.dataset.train, train, moments=found.record.moments).model
    return found, model.weight_OF.tobytes() + model.bias_O.tobytes()


@pytest.mark.parametrize("changes", [{}, {"test_fraction": 0.0}, {"missing": "mean", "key": ("id",)}], ids=str)
@pytest.mark.parametrize("trainer", ["fused", "manual"])
def test_rows_that_are_walked_are_kept_too_and_the_new_file_alone_is_opened(tmp_path, trainer: str, changes) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    for i in (0, 2, 3):
        night(
            data, i, rows=700, a=np.where(np.arange(700) % (50 * i + 70), np.arange(700.0), np.nan if changes else 0.0)
        )
    night(data, 4, rows=300, kind="csv")
    how = config(data, **({} if "missing" in changes else {"missing": "drop"}) | changes)
    walked(how, cache, trainer)
    night(data, 1, rows=700, a=np.arange(700, dtype=np.float32))
    with watched(data) as opened:
        found, parameters = walked(how, cache, trainer)
    assert (opened, found.read) == ({"n001.parquet"}, 1)
    full, expected = walked(how, None, trainer)
    assert parameters == expected
    for ours, theirs in zip(found.dataset.train.arrays(), full.dataset.train.arrays(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert len(found.dataset.train) == found.dataset.train_rows > 1024  # shuffled beyond a block


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_rows_are_noticed_and_read_again(tmp_path, damage: str) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    for i in range(3):
        night(data, i)
        _, expected = walked(config(data), cache)
    one = packs(cache)[1]
    one.write_bytes(DAMAGE[damage](one.read_bytes()))
    found, parameters = walked(config(data), cache)
    assert (found.read, parameters) == (1, expected)


def test_rows_of_a_withdrawn_file_are_gone_from_the_model(tmp_path) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    gone = [night(data, i) for i in range(4)][1]
    walked(config(data), cache)
    gone.unlink()
    found, parameters = walked(config(data), cache)
    assert (found.read, parameters) == (0, walked(config(data), None)[1])


def test_rows_for_which_there_is_no_room_are_read_each_time_and_others_stay(tmp_path) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    night(data, 0, rows=2000)
    again(config(data), cache)
    (kept,) = packs(cache)
    rows = 2000 * 3 * 8
    assert walked(config(data), cache, most=rows)[0].read == 1
    assert packs(cache) == [kept]
    walked(config(data), cache, most=3 * rows)
    night(data, 1, rows=2000)  # the two would take more than half of that
    found, parameters = [walked(config(data), cache, most=3 * rows) for _ in range(2)][-1]
    assert (found.read, parameters) == (1, walked(config(data), None)[1])


def test_where_the_disk_is_full_nothing_is_kept_and_nothing_is_left_behind(tmp_path) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    night(data, 0, rows=5000)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limit[1]))  # as a full disk: what is written beyond fails
    try:
        _, parameters = walked(config(data), cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert parameters == walked(config(data), None)[1]
    assert list(cache.glob("*/*")) == []


def test_large_packs_are_not_written_again_while_half_of_them_is_live(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(record_cache, "MOST_FILES", 2)
    monkeypatch.setattr(record_cache, "LARGE", 30_000)
    data, cache = tmp_path / "data", tmp_path / "cache"
    first = [night(data, i, rows=1000) for i in range(4)]
    walked(config(data), cache)
    (large,) = packs(cache)
    for i in range(4, 8):
        night(data, i)
        walked(config(data), cache)
    assert large in packs(cache)
    assert len(packs(cache)) == 3
    for path in first[:3]:
        path.unlink()
    for i in range(8, 10):
        night(data, i)
        found, parameters = walked(config(data), cache)
    assert large not in packs(cache)
    assert (found.read, parameters) == (1, walked(config(data), None)[1])


def test_what_a_run_that_was_cut_off_left_behind_is_deleted_after_a_day(tmp_path) -> None:
    data, cache = tmp_path / "data", tmp_path / "cache"
    night(data, 0)
    again(config(data), cache)
    old, new = (packs(cache)[0].with_name(f"{n}.coming") for n in ("old", "new"))
    for path, age in ((old, 90_000), (new, 0)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    night(data, 1)
    again(config(data), cache)
    assert (old.exists(), new.exists()) == (False, True)
