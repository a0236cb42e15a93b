"""Reading ahead and writing behind: one thread each beside the one that computes, with a few items under way.

    with ahead(batches) as coming, behind(sink.write) as write:
        for batch in coming:
            write(computed(batch))

An error there is raised here, as it is, and ends both. The threads pay where the work lets go of Python's lock, as
Arrow's reading and writing does.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
_UNDER_WAY = 2


@contextmanager
def ahead(items: Iterator[T], *, most: int = _UNDER_WAY) -> Iterator[Iterator[T]]:
    """Take the next items in a thread of their own; ``items`` is closed at the end, if it can be."""
    with _worker("read-ahead") as worker:
        try:
            yield _taken(items, worker, most)
        finally:
            worker.shutdown(cancel_futures=True)  # nothing runs in the generator that is closed here
            getattr(items, "close", lambda: None)()


@contextmanager
def behind(work: Callable[[T], object], *, most: int = _UNDER_WAY) -> Iterator[Callable[[T], None]]:
    """Give what hands an item over to ``work`` in another thread, in order; at the end all of them are done."""
    waiting: deque[Future[object]] = deque()
    with _worker("write-behind") as worker:

        def hand_over(item: T) -> None:
            waiting.append(worker.submit(work, item))
            while len(waiting) > most or (waiting and waiting[0].done()):
                waiting.popleft().result()

        yield hand_over
        while waiting:
            waiting.popleft().result()


def _taken(items: Iterator[T], worker: ThreadPoolExecutor, most: int) -> Iterator[T]:
    end = object()
    coming: deque[Future[T | object]] = deque(worker.submit(next, items, end) for _ in range(most))
    while (item := coming.popleft().result()) is not end:
        coming.append(worker.submit(next, items, end))
        yield item  # type: ignore[misc] # the mark of the end was left out


@contextmanager
def _worker(name: str) -> Iterator[ThreadPoolExecutor]:
    """One thread; what has not begun when the block ends, by an error too, is not begun."""
    worker = ThreadPoolExecutor(1, thread_name_prefix=name)
    try:
        yield worker
    finally:
        worker.shutdown(cancel_futures=True)
