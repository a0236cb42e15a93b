"""Two runs of one content that overlap: the second finds the first one's version, and moves nothing."""

import re
from pathlib import Path

import pytest

from flows.steps.ingest import ingest
from flows.steps.register import take_up
from flows.tracking import registry
from linreg.errors import ServerAway
from tests.support.flows import WEAK, crops, noisy
from tests.support.steps import register_run, train

CONFIG = crops(train=WEAK)
NAME = CONFIG.model
BY_RULE = 'gate.rule = "not_worse" lets such a model take over from the next version on'


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


@pytest.mark.parametrize(
    ("gate", "decision", "ending"),
    [
        ({}, "kept", f": `linreg promote crop-yield/2` puts it in use, and {BY_RULE}"),
        ({"rule": "not_worse"}, "promoted", ""),
        ({"rule": "limits"}, "promoted", ""),
    ],
)
def test_of_a_champion_short_of_its_optimum_and_a_model_at_its_own_the_reason_says_so_and_what_to_do(
    store, gate, decision, ending
):
    noisy("noisy.csv", 100)
    data = {"path": "noisy.csv", "features": ["a", "b", "c"], "targets": ["y"], "test_fraction": 0.5}
    short = {"trainer": "gram", "learning_rate": 0.1, "epochs": 22, "dtype": "float64"}
    first = train(store, crops(data=data, train=short))
    register_run(first)
    result = register_run(train(store, crops(data=data, train={"trainer": "exact"}, gate=gate)))
    assert result.verdict.decision == decision
    (errors,) = re.findall(r"the parameters are up to (\S+) standard errors", first.evaluation.inference.inference)
    words = f"; version 1 is {errors} standard errors from the optimum of its own data and the new one is not"
    assert result.verdict.reason.endswith(words + ending)


def test_a_model_that_cannot_be_compared_takes_over_only_where_limits_alone_decide(store):
    register_run(train(store, CONFIG))
    other = {"split_seed": 1, "test_fraction": 0.3}
    for rule, decision, words in (
        ("not_worse", "kept", "`linreg promote crop-yield/2` decides by hand"),
        ("limits", "promoted", "took over from version 1, not compared: version 1 was split with"),
    ):
        result = register_run(train(store, crops(data=other, train={**WEAK, "seed": len(rule)}, gate={"rule": rule})))
        assert result.verdict.decision == decision
        assert words in result.verdict.reason
        assert "puts it in use" not in result.verdict.reason
