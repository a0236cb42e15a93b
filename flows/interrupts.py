"""Ctrl-C and SIGTERM: noticed wherever they arrive, and never in the middle of a write.

    listen()                      # in a command: the signals raise KeyboardInterrupt; stop_requested() tells afterwards
    with deferred(): ...          # what must be done whole: a signal waits until the block is left
    raise_in_main_thread(error)   # from another thread, wherever the main one is

Python drops an exception that is raised inside a callback of its memory management, a signal's too; one that was lost
so is sent once more.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_AGAIN = 0.05  # seconds until a signal that was lost is sent once more
_stop_requested = threading.Event()
_errors: list[Exception] = []  # to be raised by the signal that is under way


def stop_requested() -> bool:
    """Whether the user has asked this process to stop."""
    return _stop_requested.is_set()


def listen() -> None:
    """Make both signals raise KeyboardInterrupt in the main thread, now and where Python would drop it."""
    _stop_requested.clear()
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored: a job in the background
        signal.signal(signal.SIGINT, _stop)
    if not isinstance(sys.unraisablehook, _Resend):
        sys.unraisablehook = _Resend(sys.unraisablehook)


@contextmanager
def deferred() -> Iterator[None]:
    """Do the block whole: a signal that arrives meanwhile takes effect when the block is left, by an error too."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals arrive in the main thread alone
        return
    waiting: list[int] = []
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, lambda n, _frame: waiting.append(n))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        for arrived in dict.fromkeys(waiting):
            signal.raise_signal(arrived)


def raise_in_main_thread(error: Exception) -> None:
    """Raise an error where Ctrl-C would be raised, if this process listens."""
    if signal.getsignal(signal.SIGINT) is _stop:
        _errors.append(error)
        os.kill(os.getpid(), signal.SIGINT)


def _stop(_number: int, _frame: FrameType | None) -> None:
    if _errors:
        raise _errors.pop()
    _stop_requested.set()
    raise KeyboardInterrupt


class _Resend:
    """Send a signal again whose exception Python could raise nowhere; other exceptions are told as before."""

    def __init__(self, before: "Callable[[sys.UnraisableHookArgs], object]") -> None:
        self._before = before

    def __call__(self, hook_args: "sys.UnraisableHookArgs") -> None:
        if issubclass(hook_args.exc_type, Exception | GeneratorExit):
            self._before(hook_args)
            return
        number: int = getattr(hook_args.exc_value, "signal", signal.SIGINT)  # prefect's exception says which it was
        again = threading.Timer(_AGAIN, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()
