"""Two runs of one content that overlap: the second finds the first one's version, and moves nothing."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from flows.results.run_log import log_model
from flows.steps.evaluate import evaluate
from flows.steps.ingest import Unchanged, ingest
from flows.steps.register import register, take_up
from flows.tracking import registry
from flows.tracking.run import TrackedRun
from flows.tracking.stores.store import open_store
from linreg.errors import ServerAway
from linreg.training.fit import fit
from linreg.training.plan import plan
from tests.support.flows import WEAK, crops, make_folder

CONFIG = crops(train=WEAK)
NAME = CONFIG.model


@pytest.fixture
def store(tmp_path, monkeypatch):
    make_folder(tmp_path / "work", monkeypatch)
    return open_store(create=True)


def trained(store, config=CONFIG):
    """A run, up to its registration."""
    found = ingest(config, store)
    assert not isinstance(found, Unchanged)
    run = TrackedRun.start(store, experiment="crops", name="twin", tags={})
    fitted = fit(found.dataset.train, config.train, moments=found.moments)
    evaluation = evaluate(fitted, plan(found.moments, config.train), found, config.data)
    logged = log_model(run, config, found, fitted, evaluation)
    return SimpleNamespace(parts=(config, found, fitted, evaluation), run=run, logged=logged)


def registered(training):
    return register(*training.parts, run=training.run, logged=training.logged, flow_run_id=None)


def test_the_second_of_two_overlapping_runs_of_one_content_is_unchanged(store):
    first, second = trained(store), trained(store)
    assert registered(first).verdict.decision == "promoted"
    done = registered(second)
    assert done.verdict.decision == "unchanged"
    assert (done.version.version, done.version.run_id) == (1, first.run.run_id)
    (version,) = registry.versions(store, NAME)
    assert version.aliases == ("champion",)
    assert len(registry.history(store, NAME)) == 1


def test_a_run_cut_off_before_its_promotion_is_taken_up_once(store, monkeypatch):
    def killed(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(registry, "promote", killed)
        with pytest.raises(KeyboardInterrupt):
            registered(trained(store))
    assert registry.champion(store, NAME) is None
    found = ingest(CONFIG, store)
    assert isinstance(found, Unchanged)
    assert take_up(found.version, store)
    assert registry.champion(store, NAME).version == 1
    assert not take_up(found.version, store)
    assert [r["to"] for r in registry.history(store, NAME)] == [1]


def test_a_second_try_after_a_failed_promotion_promotes(store, monkeypatch):
    one, promote = trained(store), registry.promote

    def once(*_args, **_kwargs):
        monkeypatch.setattr(registry, "promote", promote)
        raise ServerAway("a blip")

    monkeypatch.setattr(registry, "promote", once)
    with pytest.raises(ServerAway):
        registered(one)
    for _ in range(2):  # the retry, and one more after everything was done
        done = registered(one)
        assert (done.verdict.decision, done.version.aliases) == ("promoted", ("champion",))
    assert len(registry.history(store, NAME)) == 1


def test_a_kept_version_that_missed_its_alias_gets_it(store, monkeypatch):
    registered(trained(store))
    worse = crops(train={**WEAK, "epochs": 10})
    with monkeypatch.context() as patch:
        patch.setattr(registry, "set_alias", lambda *_args, **_kwargs: None)
        assert registered(trained(store, worse)).verdict.decision == "kept"
    found = ingest(worse, store)
    assert isinstance(found, Unchanged)
    assert take_up(found.version, store)
    assert registry.lookup(store, f"{NAME}/2").aliases == ("challenger",)
    assert not take_up(found.version, store)


def test_a_champion_whose_files_are_gone_does_not_stop_the_next_run(store):
    registered(trained(store))
    (weights,) = Path("mlruns/artifacts").rglob("model.safetensors")
    weights.unlink()
    done = registered(trained(store, crops(train={**WEAK, "seed": 5})))
    assert done.verdict.decision == "kept"
    assert "not compared: version 1 cannot be read" in done.verdict.reason


def test_the_device_is_not_part_of_the_content_key(store):
    registered(trained(store))
    assert isinstance(ingest(crops(train={**WEAK, "device": "cpu"}), store), Unchanged)
    assert not isinstance(ingest(crops(train={**WEAK, "seed": 9}), store), Unchanged)
