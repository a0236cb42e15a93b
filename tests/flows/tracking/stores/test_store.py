"""The store: made once and whole, whoever comes first and whatever dies; look-ups make nothing; errors advise."""

import errno
import http.server
import itertools
import os
import re
import shutil
import signal
import socket
import sqlite3
import sys
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

from flows.tracking import registry
from flows.tracking.stores import server
from flows.tracking.stores import store as stores
from flows.tracking.stores.store import open_store
from linreg.errors import ServerAway, UserError
from tests.support.processes import BIN, PATIENCE, run
from tests.support.tracked import enter, killed_after_its_sign, new_store, template, together


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def database(tmp_path):
    """A whole embedded database, closed."""
    (tmp_path / "mlruns").mkdir()
    return Path(shutil.copy(template(), tmp_path / "mlruns" / "mlflow.db"))


@pytest.mark.parametrize(("uri", "file"), [("", "mlruns/mlflow.db"), ("sqlite:///deep/er.db", "deep/er.db")])
def test_a_look_up_where_there_is_no_store_is_an_error_and_creates_nothing(tmp_path, monkeypatch, uri, file):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match=rf"there is no store {tmp_path}/{file}: `linreg run` makes one"):
        open_store(create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_run_creates_it_and_a_look_up_then_finds_it(tmp_path):
    created, opened = open_store(create=True), open_store(create=False)
    assert created.uri == opened.uri == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    assert created.experiment("crops") == opened.experiment("crops")
    location = opened.client.get_experiment_by_name("crops").artifact_location
    assert location == f"{tmp_path}/mlruns/artifacts"


def test_opening_leaves_the_environment_alone(tmp_path):
    new_store(tmp_path / "one")
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert "MLFLOW_REGISTRY_URI" not in os.environ
    two = new_store(tmp_path / "two")
    assert two.uri == f"sqlite:///{tmp_path}/two/mlruns/mlflow.db"


def test_an_sqlite_uri_is_used_as_it_is(tmp_path, monkeypatch):
    uri = f"sqlite:///{shutil.copy(template(), tmp_path / 'mine.db')}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    store = open_store(create=True)
    assert store.uri == uri
    store.experiment("crops")
    with closing(sqlite3.connect(tmp_path / "mine.db")) as db:
        assert ("crops",) in db.execute("SELECT name FROM experiments").fetchall()


@pytest.mark.parametrize("name", ["with space", "a#b", "50%", "a%20b", "größe", "it's"])
def test_a_folder_of_any_name_holds_a_store(tmp_path, name):
    store = new_store(tmp_path / name)
    run = store.client.create_run(store.experiment("crops"))
    store.client.log_text(run.info.run_id, "hello", "a.txt")
    (path,) = (tmp_path / name / "mlruns" / "artifacts").rglob("a.txt")
    assert path.read_text() == "hello"
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


def test_a_folder_whose_name_an_sqlite_uri_cannot_hold_is_an_error(tmp_path):
    (tmp_path / "what?").mkdir()
    os.chdir(tmp_path / "what?")
    with pytest.raises(UserError, match=r"holds a '\?'"):
        open_store(create=True)


# --- made at once by many, and killed in the middle


def _make(folder, out):
    enter(folder)
    Path(out).write_text(open_store(create=True).experiment("crops"))


@pytest.mark.long
def test_four_processes_at_once_make_one_store(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    outs = [tmp_path / f"out{i}" for i in range(4)]
    assert together(_make, [(work, out) for out in outs]) == [0] * 4
    assert len({out.read_text() for out in outs}) == 1
    enter(work)
    names = [e.name for e in open_store(create=False).client.search_experiments()]
    assert sorted(names) == ["Default", "crops"]


def test_a_store_can_be_made_after_any_number_of_kills_in_the_middle(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    mlruns = work / "mlruns"
    for statements in (1, 2, 60, 300, None):
        (code,) = together(_make_until_killed, [(work, statements)])
        assert code == -signal.SIGKILL
        assert list(mlruns.glob(".*.part"))
        assert not (mlruns / "mlflow.db").exists()
    (mlruns / ".mlflow.db.99999.part-journal").write_bytes(b"of another kill")
    enter(work)
    assert open_store(create=True).experiment("crops")
    assert not list(mlruns.glob(".*part*"))


def _make_until_killed(work, statements):
    """Killed after so many statements of SQL; None: when all are done, before the file is put in its place."""

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    left = itertools.count(statements or 10**9, -1)
    event.listen(Engine, "after_cursor_execute", lambda *_: next(left) > 1 or die())
    os.replace = die
    enter(work)
    open_store(create=True)


def test_making_it_prints_nothing_and_loads_neither_torch_nor_prefect(tmp_path):
    code = (
        "import sys; from flows.tracking import registry; from flows.tracking.stores import store;"
        "store.open_store(create=True).experiment('a');"
        "print([m for m in ('torch', 'prefect') if m in sys.modules])"
    )
    process = run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True)
    assert (process.stdout, process.stderr) == ("[]\n", "")


# --- databases that this MLflow cannot use


UNUSABLE = {
    "older": (
        "UPDATE alembic_version SET version_num = '451aebb31d03'",
        "made by an older MLflow: back it up, then run `mlflow db upgrade sqlite:///",
    ),
    "newer": ("UPDATE alembic_version SET version_num = 'ffffffffffff'", "made by a newer MLflow"),
    "half made": ("DROP TABLE alembic_version", "holds no finished MLflow schema: move it away"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_schema_of_another_mlflow_is_refused_and_not_migrated_behind_the_users_back(database, case):
    change, line = UNUSABLE[case]
    with closing(sqlite3.connect(database)) as db, db:
        db.execute(change)
    before = database.read_bytes()
    with pytest.raises(UserError, match=line):
        open_store(create=True)
    assert database.read_bytes() == before


def test_a_damaged_file_is_refused_at_once_or_when_the_damage_is_met(database):
    data = database.read_bytes()
    for damaged in (b"this was a database once" * 100, data[:8192] + b"\xff" * (len(data) - 8192)):
        database.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged"):
            open_store(create=False).experiment("crops")


def test_an_empty_file_is_no_store(database):
    database.write_bytes(b"")
    with pytest.raises(UserError, match="there is no store"):
        open_store(create=False)
    assert open_store(create=True).experiment("crops")


def test_a_file_where_the_folder_should_be_is_named(tmp_path):
    (tmp_path / "mlruns").write_text("")
    with pytest.raises(UserError, match=r"cannot make the store .*mlruns"):
        open_store(create=True)


# --- servers


@pytest.fixture
def closed_port():
    with closing(socket.socket()) as s:  # bound and not listening: nobody else takes it meanwhile
        s.bind(("127.0.0.1", 0))
        yield s.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "https", "postgresql", "mysql+pymysql"])
def test_a_server_that_is_away_is_told_at_once_and_its_password_is_not(closed_port, monkeypatch, scheme):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://me:secret@127.0.0.1:{closed_port}/db")
    began = time.monotonic()
    with pytest.raises(ServerAway, match=rf"127.0.0.1:{closed_port}.*does not answer .*: start it, or") as caught:
        open_store(create=False)
    assert time.monotonic() - began < 120  # MLflow by itself asks again for 248 s
    assert "secret" not in str(caught.value)


def test_a_server_that_accepts_and_never_answers_is_away(monkeypatch):
    monkeypatch.setattr(server, "ANSWER_SECONDS", 0.3)
    with closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{s.getsockname()[1]}")
        with pytest.raises(ServerAway, match="timed out"):
            open_store(create=False)


def test_a_server_that_goes_away_later_is_a_server_away(closed_port, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{closed_port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(stores, "probe", lambda _: None)  # it answered then
    store = open_store(create=False)
    with pytest.raises(ServerAway, match=f"127.0.0.1:{closed_port} does not answer"):
        store.experiment("crops")


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (404, "answers, but not as an MLflow server"),
        (200, "answers, but not as an MLflow server"),
        (401, "refuses .*: set MLFLOW_TRACKING_USERNAME"),
        (503, "does not answer .*: start it"),
    ],
)
def test_a_server_of_another_kind_is_told_in_one_line(monkeypatch, status, line):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(server, "ANSWER_SECONDS", PATIENCE)
    with _web(status) as port:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        with pytest.raises((UserError, ServerAway), match=line):
            open_store(create=True).experiment("crops")


@contextmanager
def _web(status):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_a_full_disk_is_told():
    line = r"cannot write to the store .*No space left on device.*: free or fix the disk"
    with pytest.raises(UserError, match=line), server.answering("sqlite:////a.db"):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.long
def test_a_database_that_stays_locked_is_told(store, tmp_path):
    with closing(sqlite3.connect(tmp_path / "work" / "mlruns" / "mlflow.db")) as db:
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ServerAway, match="is locked by another process: wait for it"):  # after MLflow's own 20 s
            store.experiment("crops")


@pytest.mark.parametrize(
    "uri",
    [
        *("http://", "http://host:99999", "http://host:port", "http://[::1", "htp://host", "://x", "foo", "./mlruns"),
        *("databricks-uc", "uc:http://x", "s3://bucket/x", "me:secret@host", "htp://me:secret@host"),
        *("http://me:secret@", "http://[me:secret@", "plugin://me:secret@host:99999/", "odd://host/?token=secret"),
        *("file:///tmp/x", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:/x.db", "nodriver+odd://h/db"),
    ],
)
def test_a_malformed_uri_is_the_callers_and_makes_nothing(tmp_path, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match=r"MLFLOW_TRACKING_URI .*: write (http|sqlite)") as caught:
        open_store(create=True)
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("meant", "uri"), [("http", "htp://host"), ("postgresql", "postgres://host/db")])
def test_a_scheme_that_is_nearly_known_is_told_which_is_meant(monkeypatch, meant, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match=rf"of the kind '\w+', .* \(did you mean '{meant}'\?\)"):
        open_store(create=False)


@pytest.mark.parametrize("uri", ["databricks", "databricks://nobody"])
def test_databricks_without_a_login_is_the_callers(monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    store = open_store(create=False)
    with pytest.raises(UserError, match=f"no way to log in at MLFLOW_TRACKING_URI '{uri}': set DATABRICKS_HOST and"):
        registry.runs(store)


def test_a_databricks_workspace_that_is_away_is_told_at_once(monkeypatch, closed_port):
    for name, value in (
        ("MLFLOW_TRACKING_URI", "databricks"),
        ("DATABRICKS_HOST", f"http://127.0.0.1:{closed_port}"),
        ("DATABRICKS_TOKEN", "secret"),
    ):
        monkeypatch.setenv(name, value)
    with pytest.raises(ServerAway, match="the tracking server databricks does not answer"):
        open_store(create=False)


@pytest.mark.parametrize("uri", ["http://me:p%40ss@h/", "http://me:p@ss@h/", "postgresql://h/db?user=me&password=p@ss"])
def test_what_a_driver_says_is_told_without_the_password(uri):
    said = f"API request to {uri}api/2.0 failed with exception: no route; login of me with p@ss or p%40ss"
    with pytest.raises(ServerAway) as caught, server.answering(uri):
        raise MlflowException(said)
    assert not set(str(caught.value).replace("(", " ").split()) & {"p@ss", "p%40ss"}
    assert "ss@" not in str(caught.value)


def test_a_uri_that_can_hold_runs_and_no_models_is_the_callers(store):
    store = replace(store, client=MlflowClient(tracking_uri=store.uri, registry_uri="odd://host"))
    with pytest.raises(UserError, match=r"MLFLOW_TRACKING_URI .*: write http"):
        registry.versions(store)


# --- experiments and locks


def test_a_deleted_experiment_is_told_with_the_command_that_restores_it(store):
    number = store.experiment("crops")
    store.client.delete_experiment(number)
    command = f"MLFLOW_TRACKING_URI={store.uri} mlflow experiments restore -x {number}"
    for use in (store.experiment, lambda name: registry.runs(store, name)):
        with pytest.raises(UserError, match=f"'crops' was deleted: restore it with `{command}`"):
            use("crops")
    assert registry.deleted_experiments(store) == {"crops": number}


@pytest.mark.long  # MLflow's own command line takes seconds
def test_that_command_restores_it(store, tmp_path):
    number = store.experiment("crops")
    store.client.delete_experiment(number)
    with pytest.raises(UserError) as caught:
        store.experiment("crops")
    (command,) = re.findall("`(.*)`", str(caught.value))
    (tmp_path / "elsewhere").mkdir()
    run(["bash", "-c", command.replace("mlflow exp", f"{BIN}/mlflow exp")], cwd=tmp_path / "elsewhere", check=True)
    assert store.experiment("crops") == number


def test_where_the_environment_names_the_store_the_command_needs_no_name_of_it(store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host")
    assert store.deletion_note("crops", "7").endswith("restore it with `mlflow experiments restore -x 7`")


def test_the_lock_lets_its_own_thread_in_again_and_keeps_others_out(store, monkeypatch):
    monkeypatch.setattr(stores, "LOCK_SECONDS", 0.2)
    refused = []

    def other():
        try:
            with store.lock("crop-yield"):
                pass
        except ServerAway as e:
            refused.append(str(e))

    with store.lock("crop-yield"), store.lock("crop-yield"), store.lock("another"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    other()
    (line,) = refused
    assert "'crop-yield' is held by another process" in line


def test_a_killed_holder_frees_the_lock(store, tmp_path):
    killed_after_its_sign(_hold, tmp_path / "work", tmp_path / "sign")
    with store.lock("crop-yield"):
        pass


def _hold(folder, sign):
    enter(folder)
    with open_store(create=False).lock("crop-yield"):
        sign.write_text("held")
        time.sleep(PATIENCE)
