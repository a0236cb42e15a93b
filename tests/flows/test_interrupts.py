"""Signals: a write is finished first, an exception that Python would drop comes again, and the user's wish is known."""

import os
import signal
import sqlite3
import sys
import threading
import weakref
from pathlib import Path

import pytest

from flows import interrupts
from flows.tracking.run import TrackedRun
from tests.support.processes import PATIENCE, run

BOTH = pytest.mark.parametrize("number", interrupts.SIGNALS)


@pytest.fixture(autouse=True)
def listening():
    """As a command listens; what was there before comes back."""
    before = {n: signal.getsignal(n) for n in interrupts.SIGNALS}
    hook = sys.unraisablehook
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupts.listen()
    yield
    for n, handler in before.items():
        signal.signal(n, handler)
    sys.unraisablehook = hook
    interrupts._stop_requested.clear()


def wait() -> None:
    """For a signal."""
    threading.Event().wait(PATIENCE)


def wait_for_one_from_elsewhere(number: int) -> None:
    threading.Thread(target=os.kill, args=(os.getpid(), number)).start()
    wait()


@BOTH
def test_a_signal_raises_and_is_known_afterwards(number: int) -> None:
    assert not interrupts.stop_requested()
    with pytest.raises(KeyboardInterrupt):
        wait_for_one_from_elsewhere(number)
    assert interrupts.stop_requested()


@BOTH
def test_a_block_that_is_held_is_done_whole_and_the_signal_follows(number: int) -> None:
    finished = []

    def both() -> None:
        with interrupts.deferred():
            with interrupts.deferred():
                os.kill(os.getpid(), number)  # noticed before the call returns
                finished.append("inner")
            finished.append("outer")
        finished.append("never")

    with pytest.raises(KeyboardInterrupt):
        both()
    assert finished == ["inner", "outer"]


def test_an_error_of_another_thread_is_raised_in_the_main_one_and_is_no_wish_to_stop() -> None:
    def wait_for_it() -> None:
        error = RuntimeError("from elsewhere")
        threading.Thread(target=interrupts.raise_in_main_thread, args=(error,)).start()
        wait()

    with pytest.raises(RuntimeError, match="from elsewhere"):
        wait_for_it()
    assert not interrupts.stop_requested()


def test_an_error_of_another_thread_is_not_raised_where_nobody_listens() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupts.raise_in_main_thread(RuntimeError("from elsewhere"))
    assert interrupts._errors == []


def test_an_error_in_the_block_gives_way_to_the_signal() -> None:
    def block() -> None:
        with interrupts.deferred():
            os.kill(os.getpid(), signal.SIGINT)
            raise ValueError("of the block")

    with pytest.raises(KeyboardInterrupt):
        block()


def test_without_a_signal_nothing_happens_and_the_handlers_are_back() -> None:
    before = [signal.getsignal(n) for n in interrupts.SIGNALS]
    with interrupts.deferred():
        pass
    assert [signal.getsignal(n) for n in interrupts.SIGNALS] == before
    entered = []
    other = threading.Thread(target=lambda: [entered.append(1) for _ in [0] if not interrupts.deferred().__enter__()])
    other.start()
    other.join()
    assert entered == [1]


@BOTH
def test_a_signal_that_arrives_in_a_callback_of_the_garbage_collector_is_not_lost(number: int) -> None:
    class Thing:
        pass

    def gone(_: object) -> None:
        os.kill(os.getpid(), number)
        for _ in range(1000):
            pass

    thing = Thing()
    kept = weakref.ref(thing, gone)
    del thing
    with pytest.raises(KeyboardInterrupt):
        wait()
    assert kept() is None


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupts.listen()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_write_that_is_interrupted_leaves_no_lock_and_a_run_that_is_begun_is_killed(store, monkeypatch) -> None:
    monkeypatch.setattr(store.client, "create_run", interrupted(store.client.create_run))
    with pytest.raises(KeyboardInterrupt):
        TrackedRun.start(store, experiment="e", name="r", tags={"a": "b"})
    monkeypatch.undo()
    (run,) = store.client.search_runs([store.experiment("e")])
    assert run.info.status == "KILLED"
    with sqlite3.connect(Path(store.uri.removeprefix("sqlite:///")), timeout=0.1) as database:
        database.execute("begin immediate")


def interrupted(write):
    """The same with a signal at the beginning of it, which Python notices at once."""

    def call(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGINT)
        return write(*args, **kwargs)

    return call


SLIPPED = """
from flows import interrupts
from flows.cli import main
def fault(_):
    import os, signal
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        while True: pass
    except KeyboardInterrupt:
        raise ValueError("Task run is not set")
main._call = fault
raise SystemExit(main.main(["models"]))
"""


def test_what_a_library_makes_of_an_interrupt_is_an_interrupt() -> None:
    process = run([sys.executable, "-c", SLIPPED])
    assert (process.returncode, process.stderr, process.stdout) == (130, "stopped\n", "")
