"""Threads: one for linear algebra whose bits must not hang on how many there are, all for items that do not meet.

with one_thread(): ...                          numpy and scipy on one thread
in_threads(work, items)                         a thread a core, results in order
with read_ahead(items) as coming: ...           the next items are taken meanwhile
with write_behind(work) as hand_over: ...       what is handed over is worked on meanwhile
"""

import importlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
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


def in_order(work: Callable[[Item], Result], items: Iterable[Item], *, threads: int = 0) -> Iterator[Result]:
    """``work`` of every item as in ``in_threads``, but a few at a time: items are taken as results are."""
    threads = threads or cores()
    if threads == 1:
        yield from map(work, items)
        return
    under_way: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                under_way.append(pool.submit(work, item))
                if len(under_way) > threads:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


_UNDER_WAY = 2  # items


@contextmanager
def read_ahead(items: Iterator[Item], *, most: int = _UNDER_WAY) -> Iterator[Iterator[Item]]:
    """Take the next items in a thread of their own; ``items`` is closed at the end, if it can be."""
    with _worker("read-ahead") as worker:
        try:
            yield _taken(items, worker, most)
        finally:
            worker.shutdown(cancel_futures=True)  # nothing runs in the generator that is closed here
            getattr(items, "close", lambda: None)()


@contextmanager
def write_behind(work: Callable[[Item], object], *, most: int = _UNDER_WAY) -> Iterator[Callable[[Item], None]]:
    """Give what hands an item over to ``work`` in another thread, in order; at the end all of them are done."""
    waiting: deque[Future[object]] = deque()
    with _worker("write-behind") as worker:

        def hand_over(item: Item) -> None:
            waiting.append(worker.submit(work, item))
            while len(waiting) > most or (waiting and waiting[0].done()):
                waiting.popleft().result()

        yield hand_over
        while waiting:
            waiting.popleft().result()


def _taken(items: Iterator[Item], worker: ThreadPoolExecutor, most: int) -> Iterator[Item]:
    end = object()
    futures: deque[Future[Item | object]] = deque(worker.submit(next, items, end) for _ in range(most))
    while (item := futures.popleft().result()) is not end:
        futures.append(worker.submit(next, items, end))
        yield item  # type: ignore[misc] # the mark of the end was left out


@contextmanager
def _worker(name: str) -> Iterator[ThreadPoolExecutor]:
    """One thread; what has not begun when the block ends, by an error too, is not begun."""
    pool = ThreadPoolExecutor(1, thread_name_prefix=name)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
