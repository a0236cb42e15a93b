"""Pictures are drawn when a run is done: none of them fails it, none of them holds it up, and Ctrl-C ends them."""

import re
import signal
import sys
import threading
from pathlib import Path

import pytest

from flows import interrupts
from flows.pipeline import linreg_flow, run_flow
from flows.results import pictures
from flows.results.pictures import Pictures
from flows.tracking import registry
from flows.tracking.stores.store import open_store
from linreg.config import TrainConfig
from tests.support.command import write_config
from tests.support.flows import PICTURES, WEAK, crops_table, noisy, noisy_config
from tests.support.processes import environment, started, wait_for
from tests.support.tracked import new_store


class Run:
    """Takes what is logged to a run."""

    run_id = "run-1"

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def log_artifacts(self, folder: str) -> None:
        self.held |= {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def fail() -> bytes:
    raise ValueError("no font\nat all")


@pytest.fixture
def not_stopped(monkeypatch):
    monkeypatch.setattr(interrupts, "_stop_requested", threading.Event())


@pytest.mark.usefixtures("not_stopped")
def test_one_that_cannot_be_drawn_is_a_line_of_warning_and_the_others_are_drawn():
    run, warnings = Run(), []
    figures = {"first.png": fail, "second.png": lambda: b"drawn"}
    pictures._draw([Pictures(run, lambda: figures), Pictures(run, fail)], warnings.append, threading.Event())
    assert run.held == {"second.png": b"drawn"}
    assert warnings == ["no first.png of run run-1: no font at all", "no pictures of run run-1: no font at all"]


@pytest.mark.usefixtures("not_stopped")
def test_whoever_stops_the_run_waits_for_no_further_picture():
    run, warnings = Run(), []

    def stop() -> bytes:
        interrupts._stop_requested.set()
        return b"drawn"

    pictures._draw([Pictures(run, lambda: {"first.png": stop, "second.png": fail})], warnings.append, threading.Event())
    assert (run.held, warnings) == ({"first.png": b"drawn"}, [])


@pytest.mark.usefixtures("not_stopped", "pictures")
def test_a_run_goes_on_while_its_pictures_are_drawn_and_waits_for_them_at_its_end():
    run, may_draw = Run(), threading.Event()

    def draw() -> bytes:
        may_draw.wait()
        return b"drawn"

    pictures.draw([Pictures(run, lambda: {"a.png": draw})], lambda _: None)
    assert run.held == {}
    may_draw.set()
    pictures.wait()
    assert run.held == {"a.png": b"drawn"}


@pytest.mark.usefixtures("not_stopped", "pictures")
def test_ctrl_c_leaves_when_the_picture_that_is_begun_is_kept(monkeypatch):
    run, may_draw, wait = Run(), threading.Event(), threading.Event.wait

    def draw() -> bytes:
        wait(may_draw)
        return b"drawn"

    def interrupted(*_):
        monkeypatch.setattr(threading.Event, "wait", wait)
        interrupts._stop_requested.set()
        may_draw.set()
        raise KeyboardInterrupt

    pictures.draw([Pictures(run, lambda: {"a.png": draw, "b.png": fail})], lambda _: None)
    monkeypatch.setattr(threading.Event, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pictures.wait()
    assert run.held == {"a.png": b"drawn"}
    assert pictures._unfinished == []


def test_the_pictures_of_a_run_with_everything_on_are_there(work, pictures, tmp_path):  # noqa: ARG001 - drawn
    noisy(work / "noisy.csv", rows=80, gaps=True)
    train = TrainConfig(trainer="gram", learning_rate=0.3, epochs=60, l1=0.05, patience=10, schedule="cosine")
    data = {"missing": "mean", "weight": "w", "test_fraction": 0.2, "validation_fraction": 0.2}
    outcome = run_flow(noisy_config(work / "noisy.csv", train, **data))
    client = open_store(create=False).client
    names = {f.path for f in client.list_artifacts(outcome.run_id) if f.path.endswith(".png")}
    assert names == set(PICTURES)
    for name in names:
        path = client.download_artifacts(outcome.run_id, name, str(tmp_path))
        assert Path(path).read_bytes().startswith(b"\x89PNG")


def test_a_run_of_a_deployment_whose_process_ends_with_it_waits_for_its_pictures(work, pictures, monkeypatch):  # noqa: ARG001
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "nights")
    state = linreg_flow(**crops_table(train=WEAK), return_state=True)
    artifacts = open_store(create=False).client.list_artifacts(state.result().run_id)
    assert {artifact.path for artifact in artifacts} >= set(PICTURES)


WAITING = """
import sys, time
from pathlib import Path
from flows import interrupts
from flows.cli.main import main
from flows.results import figures

def wait():
    Path("drawing").touch()
    while not interrupts.stop_requested():
        time.sleep(0.01)
    time.sleep(1)  # time to be gone, for a command that does not wait for the picture
    return b"drawn"

figures.of_model = lambda *_: {"first.png": wait, "second.png": wait}
sys.exit(main(["run", "crops.toml", "--json"]))
"""


@pytest.mark.long  # a process of its own
def test_ctrl_c_while_drawing_leaves_a_registered_version_and_a_finished_run(folder, prefect_api, tmp_path):
    new_store(folder)
    write_config(train=WEAK)
    log = tmp_path / "log"
    env = environment(PREFECT_API_URL=prefect_api)
    with started([sys.executable, "-c", WAITING], env=env, log=log, cwd=folder) as process:
        wait_for(lambda: Path("drawing").exists(), process, log)
        wait_for(lambda: re.search("Flow run .* Finished in state", log.read_text()), process, log)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    assert "Traceback" not in log.read_text()
    store = open_store(create=False)
    (run,) = registry.runs(store)
    assert run["status"] == "FINISHED"
    assert registry.lookup(store, "crop-yield@champion").run_id == run["run_id"]
    assert {f.path for f in store.client.list_artifacts(run["run_id"]) if f.path.endswith(".png")} == {"first.png"}
