"""Compiled code is kept a file a kernel: whole or not at all, never another's, and never the reason why a run ends."""

import errno
import os
from inspect import signature
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numba.core import caching, serialize

from linreg.errors import UserError
from linreg.kernels import jit
from linreg.kernels.jit import _CacheFiles, compiled


def made(constant: float) -> Any:
    """A kernel that is told from its kind by a constant; a new one at each call, as in another process."""

    @compiled(constant)
    def scaled(x: Any) -> Any:
        return x * constant

    return scaled


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for every kernel that is compiled and saved."""
    saved: list[str] = []
    save = _CacheFiles.save
    monkeypatch.setattr(_CacheFiles, "save", lambda self, key, data: (saved.append("saved"), save(self, key, data)))
    return saved


def files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def test_a_kernel_is_compiled_once_and_each_constant_has_a_file_of_its_own(folder: Path, count: list[str]) -> None:
    assert [made(c)(2.0) for c in (3.0, 5.0, 3.0, 5.0)] == [6.0, 10.0, 6.0, 10.0]
    assert len(count) == 2
    assert len(files(folder)) == 2


@pytest.mark.parametrize("damage", [lambda b: b[:0], lambda b: b[:100], lambda b: b[:-1] + bytes([b[-1] ^ 1])])
def test_a_damaged_file_is_compiled_and_written_again(folder: Path, count: list[str], damage: Any) -> None:
    made(3.0)(2.0)
    (kept,) = files(folder)
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    assert made(3.0)(2.0) == 6.0
    assert len(count) == 2
    assert made(3.0)(2.0) == 6.0
    assert len(count) == 2


def test_a_full_disk_costs_a_compilation_and_leaves_no_half_file(folder: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    assert made(3.0)(2.0) == 6.0
    assert files(folder) == []


def test_the_code_of_other_sources_goes(folder: Path, monkeypatch) -> None:
    made(3.0)(2.0)
    (old,) = files(folder)
    monkeypatch.setattr(jit, "_sources", lambda: "0" * 64)
    made(3.0)(2.0)
    assert len(files(folder)) == 1
    assert not old.exists()


def test_without_a_folder_to_write_it_compiles_all_the_same(monkeypatch) -> None:
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    kernel = made(7.0)
    assert kernel(np.float64(2)) == 14.0


def test_what_is_used_of_numbas_cache_is_as_it_was(folder: Path) -> None:
    """Of the cache that ``cache=True`` gives: ours takes its place, with another key and other files."""
    dispatcher = numba.njit(cache=True)(lambda x: x)
    cache = dispatcher._cache
    assert type(cache) is caching.FunctionCache
    assert list(signature(cache._index_key).parameters) == ["sig", "codegen"]
    assert list(signature(cache.save_overload).parameters) == ["sig", "data"]
    assert list(signature(cache._cache_file.load).parameters) == ["key"]
    assert list(signature(cache._cache_file.save).parameters) == ["key", "data"]
    assert Path(cache.cache_path).is_relative_to(folder)
    assert cache._impl.filename_base.startswith(f"{Path(__file__).stem}.")
    assert isinstance(serialize.dumps((1, "a")), bytes)


def test_a_machine_where_compiling_is_switched_off_is_told(monkeypatch) -> None:
    monkeypatch.setattr("numba.core.config.DISABLE_JIT", True)
    with pytest.raises(UserError, match="NUMBA_DISABLE_JIT is set"):
        made(11.0)(2.0)
