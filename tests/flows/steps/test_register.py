"""Two runs of one content that overlap: the second finds the first one's version, and moves nothing."""

from pathlib import Path

import pytest

from flows.steps.ingest import ingest
from flows.steps.register import take_up
from flows.tracking import registry
from linreg.errors import ServerAway
from tests.support.flows import WEAK, crops
from tests.support.steps import register_run, train

CONFIG = crops(train=WEAK)
NAME = CONFIG.model


def test_the_second_of_two_overlapping_runs_of_one_content_is_unchanged(store):
    first, second = train(store, CONFIG), train(store, CONFIG)
    assert register_run(first).verdict.decision == "promoted"
    result = register_run(second)
    assert result.verdict.decision == "unchanged"
    assert (result.version.version, result.version.run_id) == (1, first.run.run_id)
    (version,) = registry.versions(store, NAME)
    assert version.aliases == ("champion",)
    assert len(registry.history(store, NAME)) == 1


def test_a_run_cut_off_before_its_promotion_is_taken_up_once(store, monkeypatch):
    def killed(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(registry, "promote", killed)
        with pytest.raises(KeyboardInterrupt):
            register_run(train(store, CONFIG))
    assert registry.champion(store, NAME) is None
    version = ingest(CONFIG, store).version
    assert take_up(version, store)
    assert registry.champion(store, NAME).version == 1
    assert not take_up(version, store)
    assert [r["to"] for r in registry.history(store, NAME)] == [1]


def test_a_second_try_after_a_failed_promotion_promotes(store, monkeypatch):
    training, promote = train(store, CONFIG), registry.promote

    def once(*_args, **_kwargs):
        monkeypatch.setattr(registry, "promote", promote)
        raise ServerAway("a blip")

    monkeypatch.setattr(registry, "promote", once)
    with pytest.raises(ServerAway):
        register_run(training)
    for _ in range(2):  # the retry, and one more after everything was done
        result = register_run(training)
        assert (result.verdict.decision, result.version.aliases) == ("promoted", ("champion",))
    assert len(registry.history(store, NAME)) == 1


def test_a_kept_version_that_missed_its_alias_gets_it(store, monkeypatch):
    register_run(train(store, CONFIG))
    worse = crops(train={**WEAK, "epochs": 10})
    with monkeypatch.context() as patch:
        patch.setattr(registry, "set_alias", lambda *_args, **_kwargs: None)
        assert register_run(train(store, worse)).verdict.decision == "kept"
    version = ingest(worse, store).version
    assert take_up(version, store)
    assert registry.lookup(store, f"{NAME}/2").aliases == ("challenger",)
    assert not take_up(version, store)


def test_a_champion_whose_files_are_gone_does_not_stop_the_next_run(store):
    register_run(train(store, CONFIG))
    (weights,) = Path("mlruns/artifacts").rglob("model.safetensors")
    weights.unlink()
    result = register_run(train(store, crops(train={**WEAK, "seed": 5})))
    assert result.verdict.decision == "kept"
    assert "not compared: version 1 cannot be read" in result.verdict.reason
