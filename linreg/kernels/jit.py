"""How a loop becomes machine code: compiled at the first call for its types, and kept on disk where that is possible.

The code is kept beside the source, or in the user's cache folder; where neither can be written, or what is there is
damaged, it is compiled once a process. What is kept is trusted like Python's own ``__pycache__``.

The one place that leans on parts of numba which it does not document: ``numba.core.caching`` and the dispatcher's
``_cache``. numba's own ``cache=True`` would do but for three things:

- a closure's key hashes what it closes over (https://github.com/numba/numba/pull/6097), and that has another hash in
  each process where it holds functions: every process would compile anew;
- it looks at the function's own source file alone, so code inlined from another one stays stale
  (https://github.com/numba/numba/issues/1833);
- its index is read and written without a lock: of two processes one could file its code under the other's key
  (https://github.com/numba/numba/issues/4807).

``tests/kernels/test_jit.py`` fails when another numba changes what is used of it.
"""

import contextlib
import glob
import hashlib
import os
import pickle  # noqa: TID251 - the form in which numba hands its machine code over, and trusted like a __pycache__
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps

from linreg.errors import UserError

Function = TypeVar("Function", bound=Callable[..., Any])

_NUMBA_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}


def compiled(*constants: object) -> Callable[[Function], Function]:
    """The function as machine code: without the interpreter's lock, and without reordering of floating point sums.

    Args:
        constants: all that tells this closure from others of the same source; numbers, text, booleans.
    """

    def make(function: Function) -> Function:
        @cache
        def dispatcher() -> Any:  # made at the first call: making it looks for a folder to write to
            if numba.config.DISABLE_JIT:  # type: ignore[attr-defined] # set when numba is imported
                raise UserError("NUMBA_DISABLE_JIT is set, and loops over many rows are compiled here: unset it")
            out: Any = numba.njit(function, **_NUMBA_OPTIONS)
            with contextlib.suppress(RuntimeError):  # there is none
                out._cache = _StableCache(function, constants)  # what njit(cache=True) does, with a key that lasts
            return out

        def call(*args: Any) -> Any:
            return dispatcher()(*args)

        return cast(Function, wraps(function)(call))

    return make


def inlined(function: Function) -> Function:
    """A part of compiled functions, put into each where it is called."""
    out: Function = numba.njit(function, forceinline=True, **_NUMBA_OPTIONS)
    return out


class _StableCache(FunctionCache):
    """numba's cache under our own key, in files of our own."""

    def __init__(self, function: Any, constants: tuple[object, ...]) -> None:
        super().__init__(function)
        self._constants = constants
        self._cache_file: Any = _CacheFiles(Path(self.cache_path), self._impl.filename_base)

    def _index_key(self, signature: Any, codegen: Any) -> Any:
        return (signature, codegen.magic_tuple(), numba.__version__, tuple(map(str, self._constants)))

    def save_overload(self, signature: Any, data: Any) -> None:
        with contextlib.suppress(OSError):  # a full disk costs the next process a compilation, and no more
            super().save_overload(signature, data)


class _CacheFiles:
    """A file for each key: its digest, then what numba keeps. A file that is not whole is as good as none."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name

    def load(self, key: Any) -> Any:
        """What was saved under the key; None: nothing that can be used."""
        try:
            content = self._path(key).read_bytes()
        except OSError:
            return None
        digest, data = content[:32], content[32:]
        return pickle.loads(data) if hashlib.sha256(data).digest() == digest else None  # noqa: S301 - see the import

    def save(self, key: Any, data: Any) -> None:
        """Put the file in place whole; those of other sources go."""
        content, path = dumps(data), self._path(key)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        for old in self._folder.glob(f"{glob.escape(self._name)}.*.nbc"):
            if not old.name.startswith(f"{self._name}.{_sources()[:12]}."):
                old.unlink(missing_ok=True)

    def _path(self, key: Any) -> Path:
        return self._folder / f"{self._name}.{_sources()[:12]}.{hashlib.sha256(str(key).encode()).hexdigest()[:32]}.nbc"


@cache
def _sources() -> str:
    """The digest of all sources of this folder."""
    texts = [p.read_bytes() for p in sorted(Path(__file__).parent.rglob("*.py"))]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()
