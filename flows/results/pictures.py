"""The pictures of a run that is done: drawn by a thread of their own, beside whatever is still to do.

    draw([of_run(run, run_input, fitted, evaluation)], log.warning)    # returns at once
    wait()                                                             # until they are drawn and in MLflow

Nothing here holds up a run or fails it: a picture that cannot be drawn, or kept, is a line of warning. matplotlib is
imported by that thread, so only a run that draws pays for it.
"""

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from flows import interrupts
from flows.results.sweep_table import Row
from flows.steps.evaluate import Evaluation
from flows.steps.rank import SweepInput
from flows.steps.run_input import RunInput
from flows.tracking.run import TrackedRun
from linreg.selection.fit_many import Result
from linreg.training.fit import Fit

if TYPE_CHECKING:  # it loads matplotlib
    from flows.results.figures import Figures

Warn = Callable[[str], object]

_unfinished: list[threading.Event] = []


@dataclass(frozen=True)
class Pictures:
    """What is to be drawn of a run."""

    run: TrackedRun
    figures: "Callable[[], Figures]"


def of_run(run: TrackedRun, run_input: RunInput, fitted: Fit, evaluation: Evaluation) -> Pictures:
    """The pictures of a model: its loss, its predictions, its descent, its coefficients."""
    return Pictures(run, lambda: _figures().of_model(run_input, fitted, evaluation))


def of_sweep(run: TrackedRun, sweep: SweepInput, results: Sequence[Result], rows: Sequence[Row], best: int) -> Pictures:
    """The picture of a sweep: all curves, and what ranked the models."""
    return Pictures(run, lambda: _figures().of_sweep(sweep, results, rows, best))


def _figures() -> ModuleType:
    from flows.results import figures  # matplotlib

    return figures


def draw(several: Sequence[Pictures], warn: Warn) -> None:
    """Draw the pictures and log each to its run, in a thread; a command that is stopped begins no further one."""
    done = threading.Event()
    _unfinished.append(done)
    threading.Thread(target=_draw, args=(several, warn, done), name="pictures").start()


def wait() -> None:
    """Return when all pictures that were asked for are in MLflow; Ctrl-C leaves when the one that is begun is.

    An interpreter that is ending could not log it any more. What is waited for is no thread: one whose ``join`` is
    interrupted counts as ended (Python 3.11).
    """
    for done in list(_unfinished):
        try:
            done.wait()
        finally:
            done.wait()
            _unfinished.remove(done)


def _draw(several: Sequence[Pictures], warn: Warn, done: threading.Event) -> None:
    try:
        for pictures in several:
            with _warn_on_failure("no pictures", pictures.run, warn):
                _draw_those_of(pictures, warn)
    finally:
        done.set()


def _draw_those_of(pictures: Pictures, warn: Warn) -> None:
    for name, figure in pictures.figures().items():
        if interrupts.stop_requested():
            return
        with _warn_on_failure(f"no {name}", pictures.run, warn):
            _log(pictures.run, name, figure)


def _log(run: TrackedRun, name: str, figure: Callable[[], bytes]) -> None:
    with tempfile.TemporaryDirectory(prefix="linreg-picture-") as folder:
        (Path(folder) / name).write_bytes(figure())
        run.log_artifacts(folder)


@contextmanager
def _warn_on_failure(what: str, run: TrackedRun, warn: Warn) -> Iterator[None]:
    try:
        yield
    except Exception as e:  # noqa: BLE001 - the run is done, with its pictures or without them
        warn(f"{what} of run {run.run_id}: {' '.join(str(e).split()) or type(e).__name__}")
