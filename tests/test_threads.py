"""Work in threads: order, what is taken when, and where an error is raised."""

from collections.abc import Iterator

import pytest

from linreg.threads import in_order, read_ahead, write_behind


def test_work_in_order_takes_items_as_its_results_are_taken_and_raises_where_the_fault_is() -> None:
    taken = []

    def items() -> Iterator[int]:
        for i in range(100):
            taken.append(i)
            yield i

    for threads in (1, 3):
        taken.clear()
        results = in_order(lambda i: 60 // (50 - i), items(), threads=threads)
        assert [next(results) for _ in range(10)] == [60 // (50 - i) for i in range(10)]
        assert len(taken) <= 10 + threads
        with pytest.raises(ZeroDivisionError):
            list(results)
        assert len(taken) <= 51 + threads


def test_reading_ahead_keeps_the_order_and_raises_where_the_fault_is() -> None:
    def items() -> Iterator[int]:
        yield from range(100)
        raise ValueError("after 100")

    taken = []
    with pytest.raises(ValueError, match="after 100"), read_ahead(items()) as coming:
        taken.extend(coming)
    assert taken == list(range(100))


def test_reading_ahead_closes_what_it_reads_when_the_consumer_stops() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed.append(True)

    with pytest.raises(KeyboardInterrupt), read_ahead(items()):
        raise KeyboardInterrupt
    with read_ahead(items()) as coming:
        next(coming)
    assert closed in ([True], [True, True])  # the first one may not have begun


def test_writing_behind_does_all_in_order_and_raises_the_first_error() -> None:
    written: list[int] = []
    with write_behind(written.append) as write:
        for i in range(50):
            write(i)
    assert written == list(range(50))

    def fail(item: int) -> None:
        if item == 3:
            raise OSError("full")
        written.append(item)

    with pytest.raises(OSError, match="full"), write_behind(fail) as write:
        list(map(write, range(1000)))
    assert len(written) < 1050
