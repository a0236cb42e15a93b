"""How a loop becomes machine code: compiled at the first call for its types, and kept on disk where that is possible.

numba keeps the code beside the source, or in the user's cache folder; where neither can be written it is compiled once
a process. What it keeps is trusted like Python's own ``__pycache__``.
"""

import contextlib
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache

Function = TypeVar("Function", bound=Callable[..., Any])

_HOW: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}


def compiled(*constants: object) -> Callable[[Function], Function]:
    """The function as machine code: without the interpreter's lock, and without reordering of floating point sums.

    Args:
        constants: all that tells this closure from others of the same source; numbers, text, booleans.
    """

    def make(function: Function) -> Function:
        out: Any = numba.njit(function, **_HOW)
        with contextlib.suppress(RuntimeError):  # no folder can be written
            out._cache = _Kept(function, constants)  # what njit(cache=True) does, with a key that lasts
        made: Function = out
        return made

    return make


def inlined(function: Function) -> Function:
    """A part of compiled functions, put into each where it is called."""
    out: Function = numba.njit(function, forceinline=True, **_HOW)
    return out


class _Kept(FunctionCache):
    """numba's cache under our own key: its own hashes the closures, whose functions have other names each process.

    The sources of this folder are a part of the key: numba itself looks at the one file alone.
    """

    def __init__(self, function: Any, constants: tuple[object, ...]) -> None:
        self._constants = constants
        super().__init__(function)

    def _index_key(self, signature: Any, codegen: Any) -> Any:
        return (signature, codegen.magic_tuple(), tuple(map(str, self._constants)), _sources())


@cache
def _sources() -> str:
    texts = [p.read_bytes() for p in sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()
