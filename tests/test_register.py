"""Two runs of one content that overlap: the second finds the first one's version, and moves nothing."""

from types import SimpleNamespace

import pytest
from flow_fixtures import WEAK, crops, make_folder

from flows.evaluate import evaluate
from flows.ingest import Unchanged, ingest
from flows.register import register, take_up
from flows.report import log_model
from flows.tracking import registry
from flows.tracking.run import TrackedRun
from flows.tracking.store import open_store
from linreg.fit import fit
from linreg.plan import plan

CONFIG = crops(train=WEAK)
NAME = CONFIG.model


@pytest.fixture
def store(tmp_path, monkeypatch):
    make_folder(tmp_path / "work", monkeypatch)
    return open_store(create=True)


def trained(store):
    """A run, up to its registration."""
    found = ingest(CONFIG, store)
    assert not isinstance(found, Unchanged)
    run = TrackedRun.start(store, experiment="crops", name="twin", tags={})
    fitted = fit(found.dataset.train, CONFIG.train, moments=found.moments)
    evaluation = evaluate(fitted, plan(found.moments, CONFIG.train), found, CONFIG.data)
    logged = log_model(run, CONFIG, found, fitted, evaluation)
    return SimpleNamespace(parts=(CONFIG, found, fitted, evaluation), run=run, logged=logged)


def registered(store, one):
    return register(*one.parts, store=store, run=one.run, logged=one.logged, flow_run_id=None)


def test_the_second_of_two_overlapping_runs_of_one_content_is_unchanged(store):
    first, second = trained(store), trained(store)
    assert registered(store, first).verdict.decision == "promoted"
    done = registered(store, second)
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
            registered(store, trained(store))
    assert registry.champion(store, NAME) is None
    found = ingest(CONFIG, store)
    assert isinstance(found, Unchanged)
    assert take_up(found.version, store)
    assert registry.champion(store, NAME).version == 1
    assert not take_up(found.version, store)
    assert [r["to"] for r in registry.history(store, NAME)] == [1]
