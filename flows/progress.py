"""Progress of epochs and of rows: a bar on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tqdm import tqdm

_EVERY = 10.0  # seconds between lines of a log
_BAR_AFTER = 0.5  # seconds; shorter trainings show none


@contextmanager
def progress(
    epochs: int, say: Callable[..., None], words: str = "epoch %d of %d, loss %.6g"
) -> Iterator[Callable[[int, float], None]]:
    """Yield what is to be called with (epoch, loss) after each epoch."""
    if sys.stderr.isatty():
        with tqdm(total=epochs, unit="epoch", delay=_BAR_AFTER, leave=False, file=sys.stderr, mininterval=0.2) as bar:
            yield lambda _epoch, loss: _advance(bar, loss)
        return
    last = time.monotonic()

    def line(epoch: int, loss: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVERY:
            last = now
            say(words, epoch, epochs, loss)

    yield line


@contextmanager
def progress_of_many(models: int, epochs: int, say: Callable[..., None]) -> Iterator[Callable[[int, int, float], None]]:
    """Yield what is to be called with (model, epoch, loss) after each epoch of each of several models.

    Args:
        epochs: of all models together; those that stop early leave some undone.
    """
    epochs_done = 0
    with progress(epochs, say, "epoch %d of %d of {models} models, loss %.6g".format(models=f"{models:,}")) as on_epoch:

        def count(_model: int, _epoch: int, loss: float) -> None:
            nonlocal epochs_done
            epochs_done += 1
            on_epoch(epochs_done, loss)

        yield count


def _advance(bar: "tqdm[None]", loss: float) -> None:
    if bar.update():
        bar.set_postfix_str(f"loss {loss:.6g}", refresh=False)


@contextmanager
def rows_progress(say: Callable[[str], object]) -> Iterator[Callable[[int | None], Callable[[int], object]]]:
    """Yield what is told how many rows there are (None: not known), and gives what is told how many more are done."""
    with ExitStack() as stack:
        yield lambda total: _rows_bar(stack, total) if sys.stderr.isatty() else _rows_lines(say, total)


def _rows_bar(stack: ExitStack, total: int | None) -> Callable[[int], object]:
    bar = tqdm(total=total, unit=" rows", unit_scale=True, delay=_BAR_AFTER, leave=False, file=sys.stderr)
    return stack.enter_context(bar).update  # type: ignore[no-any-return]


def _rows_lines(say: Callable[[str], object], total: int | None) -> Callable[[int], object]:
    last, rows_done = time.monotonic(), 0

    def more(rows: int) -> None:
        nonlocal last, rows_done
        rows_done += rows
        if time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            say(f"{rows_done:,} rows" + (f" of {total:,}" if total else "") + " scored")

    return more
