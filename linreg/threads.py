"""Threads: one for linear algebra whose bits must not hang on how many a machine has, all for work that is apart."""

import importlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")


def one_thread() -> AbstractContextManager[object]:
    """A context in which numpy's and scipy's linear algebra runs on one thread: narrow factors are faster so."""
    limited: AbstractContextManager[object] = _libraries().limit(limits=1, user_api="blas")
    return limited


@cache
def _libraries() -> ThreadpoolController:
    """The linear algebra of numpy and scipy, looked for once: that takes milliseconds."""
    importlib.import_module("scipy.linalg")  # has one of its own, which must be there to be found
    return ThreadpoolController()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(work: Callable[[Item], Result], items: Iterable[Item], *, threads: int = 0) -> list[Result]:
    """``work`` of every item, in their order, on so many threads; 0: one a core. The first item's error is raised."""
    items = list(items)
    if threads == 1 or len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads or cores()) as pool:
        return list(pool.map(work, items))
