"""The registry: a content key is registered once, a champion moves on the record, a kill at any point is repaired."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from flows.tracking import registry
from flows.tracking.promotions import PENDING, stack
from flows.tracking.registry import Ref, parse_ref
from flows.tracking.stores import server
from flows.tracking.stores.store import open_store
from linreg.errors import ServerAway, UserError
from tests.support.processes import PATIENCE, environment, free_port
from tests.support.servers import listening
from tests.support.tracked import FACTS, MODEL, X_NF, enter, logged_run, new_store, together

NAME = "crop-yield"


@pytest.fixture(scope="module")
def logged(module_store):
    """A run that holds MODEL, in a store of which every test has a copy; the run and the logged model."""
    return logged_run(module_store)


@pytest.fixture
def store(logged, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run, _ = logged
    return new_store(tmp_path / "work", Path(run.store.uri.removeprefix("sqlite:///")))


def _register(store, logged, *keys, name=NAME, facts=FACTS):
    run, model = logged
    versions = [
        registry.register(store, name, logged_model=model, run_id=run.run_id, content_key=key, facts=facts)
        for key in keys
    ]
    return versions[0] if len(versions) == 1 else versions


# --- references


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("crop-yield", Ref("crop-yield", alias="champion")),
        ("crop-yield@challenger", Ref("crop-yield", alias="challenger")),
        ("crop-yield/12", Ref("crop-yield", version=12)),
        ("crop yield (t)", Ref("crop yield (t)", alias="champion")),
    ],
)
def test_a_reference_is_a_name_an_alias_or_a_version(text, ref):
    assert parse_ref(text) == ref


@pytest.mark.parametrize(
    "text", ["", " ", "@a", "/1", "a/", "a@", "a/0", "a/-1", "a/1.0", "a/b", "a/1@b", "a@b/1", "m:1"]
)
def test_what_is_no_reference_is_the_callers_error(text):
    with pytest.raises(UserError, match="names no model: write NAME, NAME@ALIAS or NAME/VERSION"):
        parse_ref(text)


def test_what_is_unknown_is_told_with_the_nearest(store, logged):
    _register(store, logged, "a", "b")
    registry.set_alias(store, NAME, 1, "challenger")
    for ref, line in {
        "crop-yeild": r"no model 'crop-yeild' in sqlite.* \(did you mean 'crop-yield'\?\)",
        "crop-yield": "has no champion: `linreg promote crop-yield/VERSION` makes one",
        "crop-yield@chalenger": r"has no alias 'chalenger' \(did you mean 'challenger'\?\)",
        "crop-yield/3": r"has no version 3 \(known: 1, 2\)",
        "crop-yield@v1": "has no alias 'v1'",
    }.items():
        with pytest.raises(UserError, match=line):
            registry.lookup(store, ref)


# --- registering


def test_a_version_tells_all_that_was_registered_with_it(store, logged):
    run, model = logged
    version = _register(store, logged, "key-1")
    assert version == registry.lookup(store, f"{NAME}/1")
    assert (version.name, version.version, version.aliases) == (NAME, 1, ())
    assert (version.run_id, version.flow_run_id, version.content_key) == (run.run_id, "flow-1", "key-1")
    assert (version.metrics, version.data) == (FACTS["metrics"], FACTS["data"])
    assert (version.trainer, version.split) == ("gram", FACTS["split"])
    assert (version.features, version.targets) == (MODEL.features, MODEL.targets)
    assert version.manifest == model.manifest
    assert version.created.endswith("+00:00")
    assert (version.tags["trainer"], version.tags["data.rows"]) == ("gram", "15")


def test_facts_of_any_length_are_kept_in_their_order(store, logged):
    features = [f"column number {i}" for i in range(3000)]
    metrics = {"test_rmse.oranges": 2.0, "test_rmse.apples": 1.0}
    version = _register(store, logged, "k", facts=FACTS | {"features": features, "metrics": metrics})
    assert (version.features, list(version.metrics)) == (tuple(features), list(metrics))


def test_the_same_content_key_is_one_version(store, logged):
    first, again, other = _register(store, logged, "a", "a", "b")
    assert first == again
    assert other.version == 2
    assert [v.version for v in registry.versions(store, NAME)] == [2, 1]
    assert registry.by_content_key(store, NAME, "b") == other
    assert registry.by_content_key(store, NAME, "c") is None
    assert registry.by_content_key(store, "other", "a") is None


def _register_from_afar(folder, model, run_id, out):
    enter(folder)
    store = open_store(create=False)
    version = registry.register(store, NAME, logged_model=model, run_id=run_id, content_key="same", facts=FACTS)
    out.write_text(str(version.version))


def test_four_processes_at_once_register_one_version(store, logged, tmp_path):
    run, model = logged
    outs = [tmp_path / f"out{i}" for i in range(4)]
    codes = together(_register_from_afar, [(tmp_path / "work", model, run.run_id, out) for out in outs])
    assert codes == [0] * 4
    assert {out.read_text() for out in outs} == {"1"}
    assert len(registry.versions(store, NAME)) == 1


def test_another_machine_that_was_quicker_wins(store, logged, monkeypatch):
    first = _register(store, logged, "same")
    answers = iter([None])  # what the look-up said before the other machine registered
    real = registry.by_content_key
    monkeypatch.setattr(registry, "by_content_key", lambda *args: next(answers, real(*args)))
    assert _register(store, logged, "same") == first
    assert [v.version for v in registry.versions(store, NAME)] == [1]


def test_a_name_that_no_reference_can_hold_is_refused(store, logged):
    for name in ("", " ", "a/b", "a:b", "a@b", "..", "."):
        with pytest.raises(UserError):
            _register(store, logged, "a", name=name)
    assert registry.versions(store) == []


def test_odd_names_are_found_again(store, logged):
    for name in ("other", "it's", 'a "b"', """it's "b\"""", "größe", "a%b", "a`b", "with space"):
        version = _register(store, logged, "a", name=name)
        assert _register(store, logged, "a", name=name) == version
        assert [v.ref for v in registry.versions(store, name)] == [f"{name}/1"]
        registry.promote(store, name, 1, why="first")
        assert registry.lookup(store, name).version == 1


def test_a_model_without_versions_is_told_as_such(store):
    store.client.create_registered_model(NAME)  # what a kill before the first version leaves
    assert registry.versions(store, NAME) == []
    assert registry.champion(store, NAME) is None
    assert registry.by_content_key(store, NAME, "a") is None
    with pytest.raises(UserError, match="it has none yet"):
        registry.lookup(store, f"{NAME}/1")


def test_versions_list_aliases_for_all_models_at_once(store, logged):
    _register(store, logged, "a", "b")
    _register(store, logged, "a", name="apples")
    registry.promote(store, NAME, 2, why="better")
    registry.set_alias(store, NAME, 1, "challenger")
    assert [(v.ref, v.aliases) for v in registry.versions(store)] == [
        ("apples/1", ()),
        ("crop-yield/2", ("champion",)),
        ("crop-yield/1", ("challenger",)),
    ]
    with pytest.raises(UserError, match="no model 'pears'"):
        registry.versions(store, "pears")


def test_a_version_of_another_tool_is_listed_and_says_why_it_cannot_be_loaded(store, tmp_path):
    (tmp_path / "theirs").mkdir()
    store.client.create_registered_model("theirs")
    store.client.create_model_version("theirs", str(tmp_path / "theirs"))
    (version,) = registry.versions(store, "theirs")
    assert (version.metrics, version.trainer, version.features) == ({}, None, ())
    with pytest.raises(UserError, match=r"theirs/1: .*is no model of this pipeline"):
        registry.load(store, version)


# --- loading


def test_a_loaded_version_predicts_to_the_bit(store, logged):
    loaded = registry.load(store, _register(store, logged, "a"))
    assert (loaded.predict(X_NF) == MODEL.predict(X_NF)).all()
    assert (loaded.features, loaded.targets) == (MODEL.features, MODEL.targets)


def test_files_that_are_changed_or_gone_are_refused(store):
    _, model = logged = logged_run(store)
    version = _register(store, logged, "a")
    folder = Path(store.client.get_logged_model(model.model_id).artifact_location)
    with (folder / "manifest.json").open("a") as manifest:
        manifest.write(" ")
    with pytest.raises(UserError, match=r"crop-yield/1: .*manifest.json is not the one that was logged: restore"):
        registry.load(store, version)
    shutil.rmtree(folder)
    with pytest.raises(UserError, match="the files of crop-yield/1 cannot be fetched"):
        registry.load(store, version)


# --- the record of promotions


P, R = "promote", "rollback"


@pytest.mark.parametrize(
    ("moves", "champions"),
    [
        ([1, 2, 3, R, R, R], [1, 2, 3, 2, 1, None]),
        ([1, 2, R, 3, R, R], [1, 2, 1, 3, 1, None]),
        ([1, 2, 1, R, R, R], [1, 2, 1, 2, 1, None]),
        ([1, 2, 2, 2, R, R], [1, 2, 2, 2, 1, None]),
        ([3, 1, 2, R, 2, R, R], [3, 1, 2, 1, 2, 1, 3]),
        ([R], [None]),
    ],
)
def test_rollback_goes_back_through_the_champions(store, logged, moves, champions):
    _register(store, logged, "a", "b", "c")
    for move, expected in zip(moves, champions, strict=True):
        if expected is None:
            with pytest.raises(UserError, match=r"has no champion before .*: nothing to roll back to"):
                registry.rollback(store, NAME)
            continue
        record = registry.rollback(store, NAME) if move == R else registry.promote(store, NAME, move, why="better")
        assert record["to"] == expected
        assert registry.champion(store, NAME).version == expected


def test_a_record_says_when_who_from_to_why_and_by_what(store, logged):
    run, _ = logged
    _register(store, logged, "a", "b")
    registry.promote(store, NAME, 1, why="the first that passes", who="nightly", flow_run_id="flow-7")
    record = registry.promote(store, NAME, 2, why="better", who="ann")
    assert record == {
        "when": record["when"],
        "who": "ann",
        "from": 1,
        "to": 2,
        "why": "better",
        "flow_run_id": None,
        "run_id": run.run_id,
        "action": "promote",
    }
    first, second = registry.history(store, NAME)
    assert second == record
    assert (first["from"], first["flow_run_id"], first["who"]) == (None, "flow-7", "nightly")
    assert first["when"] < second["when"]


def test_promoting_the_champion_again_changes_nothing(store, logged):
    _register(store, logged, "a")
    first = registry.promote(store, NAME, 1, why="first")
    assert registry.promote(store, NAME, 1, why="again") == first
    assert registry.history(store, NAME) == [first]


def test_a_promoted_challenger_is_no_longer_one(store, logged):
    _register(store, logged, "a", "b")
    registry.promote(store, NAME, 1, why="first")
    registry.set_alias(store, NAME, 2, "challenger")
    registry.promote(store, NAME, 2, why="better")
    assert registry.lookup(store, f"{NAME}/2").aliases == ("champion",)
    assert registry.lookup(store, f"{NAME}/1").aliases == ()


def test_promoting_what_is_not_there_is_an_error_and_no_record(store, logged):
    _register(store, logged, "a")
    for name, version in ((NAME, 7), ("pears", 1)):
        with pytest.raises(UserError):
            registry.promote(store, name, version, why="?")
    assert registry.history(store, NAME) == []
    with pytest.raises(UserError, match="no model 'pears'"):
        registry.history(store, "pears")


def test_a_move_by_other_means_appears_on_the_record(store, logged):
    _register(store, logged, "a", "b", "c")
    registry.promote(store, NAME, 1, why="first")
    store.client.set_registered_model_alias(NAME, "champion", "3")
    assert [(r["from"], r["to"], r["action"]) for r in registry.history(store, NAME)] == [
        (None, 1, "promote"),
        (1, 3, "moved"),
    ]
    registry.promote(store, NAME, 2, why="better")
    assert [(r["from"], r["to"]) for r in registry.history(store, NAME)] == [(None, 1), (1, 3), (3, 2)]
    assert registry.rollback(store, NAME)["to"] == 3


@pytest.mark.parametrize("champions", [(1, 2, 3), (1, 2)])
def test_a_rollback_passes_over_a_deleted_version_the_champion_too(store, logged, champions):
    _register(store, logged, "a", "b", "c")
    for number in champions:
        registry.promote(store, NAME, number, why="better")
    store.client.delete_model_version(NAME, "2")
    assert (registry.champion(store, NAME) is None) == (champions[-1] == 2)
    assert registry.rollback(store, NAME)["to"] == 1


def test_the_record_keeps_its_order_when_the_clock_is_set_back(store, logged):
    _register(store, logged, "a", "b")
    ahead = "promotion.20991231T000000.000000Z-00000000"
    record = '{"action": "promote", "to": 1, "from": null, "when": "2099"}'
    store.client.set_registered_model_tag(NAME, ahead, record)
    store.client.set_registered_model_alias(NAME, "champion", "1")
    registry.promote(store, NAME, 2, why="better")
    assert [r["to"] for r in registry.history(store, NAME)] == [1, 2]


def test_a_long_reason_fits_every_database(store, logged):
    _register(store, logged, "a")
    registry.promote(store, NAME, 1, why="better " * 1000)
    tags = store.client.get_registered_model(NAME).tags
    assert max(len(value) for value in tags.values()) < 5000


def test_stack_of_a_hand_written_record():
    record = [(P, 1), (P, 2), (P, 3), (R, 2), ("moved", 5), ("moved", None), (P, 4), (R, 5)]
    assert stack([{"action": action, "to": to} for action, to in record]) == [1, 2, 5]


WRITES = (
    "set_registered_model_tag",
    "set_registered_model_alias",
    "delete_registered_model_tag",
    "delete_registered_model_alias",
)


def _promote_until_killed(folder, writes_before_the_kill):
    enter(folder)
    left = iter(range(writes_before_the_kill))

    def dying(real):
        def write(*args):
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args)

        return write

    for name in WRITES:
        setattr(MlflowClient, name, dying(getattr(MlflowClient, name)))
    registry.promote(open_store(create=False), NAME, 2, why="better", who="nightly")


def test_a_kill_between_any_two_writes_of_a_promotion_is_repaired(store, logged, tmp_path):
    _register(store, logged, "a", "b", "c")
    moves = [(None, 1, "ann")]
    registry.promote(store, NAME, 1, why="first", who="ann")
    for writes in range(5):
        registry.set_alias(store, NAME, 2, "challenger")
        (code,) = together(_promote_until_killed, [(tmp_path / "work", writes)])
        assert code == -signal.SIGKILL
        moved = registry.champion(store, NAME).version == 2
        assert moved == (writes >= 2)
        moves += [(1, 2, "nightly")] if moved else []
        assert [(r["from"], r["to"], r["who"]) for r in registry.history(store, NAME)] == moves
        registry.promote(store, NAME, 3, why="next", who="ann")
        registry.promote(store, NAME, 1, why="next", who="ann")
        moves += [(moves[-1][1], 3, "ann"), (3, 1, "ann")]
        assert [(r["from"], r["to"], r["who"]) for r in registry.history(store, NAME)] == moves
        model = store.client.get_registered_model(NAME)
        assert PENDING not in model.tags
        assert ("challenger" in model.aliases) == (not moved)


def _promote_many(folder, seed):
    enter(folder)
    store = open_store(create=False)
    for i in range(4):
        registry.promote(store, NAME, 1 + (seed + i) % 3, why=f"{seed}.{i}", who=str(seed))


def test_promotions_at_once_form_one_chain(store, logged, tmp_path):
    _register(store, logged, "a", "b", "c")
    assert together(_promote_many, [(tmp_path / "work", seed) for seed in range(4)]) == [0] * 4
    record = registry.history(store, NAME)
    assert [r["from"] for r in record] == [None, *(r["to"] for r in record[:-1])]
    assert registry.champion(store, NAME).version == record[-1]["to"]
    assert all(r["action"] == "promote" for r in record)


# --- a server


@pytest.mark.long
def test_the_same_holds_against_a_server_and_it_may_go_away(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    port = str(free_port())
    url = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    monkeypatch.setattr(server, "ANSWER_SECONDS", PATIENCE)
    command = [sys.executable, "-m", "mlflow", "server", "--port", port, "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path}/s.db", "--artifacts-destination", str(tmp_path / "art")]
    env = environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
    with listening(command, f"{url}/health", env=env, log=tmp_path / "server.log"):
        store = open_store(create=True)
        logged = logged_run(store)
        first, again, second = _register(store, logged, "a", "a", "b")
        assert (first, second.version) == (again, 2)
        for number in (1, 2):
            registry.promote(store, NAME, number, why="better")
        assert registry.rollback(store, NAME)["to"] == 1
        assert registry.lookup(store, NAME).aliases == ("champion",)
        assert (registry.load(store, first).predict(X_NF) == MODEL.predict(X_NF)).all()
        assert [v.version for v in registry.versions(store, NAME)] == [2, 1]
        assert [r["to"] for r in registry.history(store, NAME)] == [1, 2, 1]
        assert [r["status"] for r in registry.runs(store, "crops")] == ["FINISHED"]
        with pytest.raises(UserError, match="has no version 9"):
            registry.lookup(store, f"{NAME}/9")
    assert not (tmp_path / "mlruns").exists()
    began = time.monotonic()
    with pytest.raises(ServerAway, match="does not answer"):
        registry.lookup(store, NAME)
    assert time.monotonic() - began < 120  # MLflow by itself asks again for 248 s
