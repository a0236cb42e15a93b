"""``linreg models --rescore`` on a real store: metrics of the rows themselves, and the words where there are none."""

import numpy as np
import pytest

from flows.tracking import registry
from tests.support.command import document, linreg
from tests.support.registered import config_of, keep, metrics

FEATURES, TARGETS = ("a", "b", "c"), ("y", "q")
HELD = {"test_fraction": 0.3}


def rows(seed, n=50):
    rng = np.random.default_rng(seed)
    x = rng.normal(loc=[0, 50, 3], size=(n, 3))
    return np.hstack([x, x @ np.array([[1, -2.0, 0.3], [0.5, 0.1, 0]]).T + rng.normal(size=(n, 2))])


TODAY = rows(10, 80)
FILES = {"1": rows(1)}


@pytest.fixture(scope="module", autouse=True)
def models(module_store):
    """The working directory has a store with six versions of m, which are these, and one of old.

    The fifth is the newest of m that keeps its test rows; old keeps none.
    """
    config = config_of(FEATURES, TARGETS, data=HELD)
    models = [
        keep(module_store, config, FILES, test=rows(11), short_of=0.2),
        keep(module_store, config_of(("c", "a"), TARGETS, data=HELD), {"1": FILES["1"][:, [2, 0, 3, 4]]}),
        keep(module_store, config_of(FEATURES, ("y",), data=HELD), {"1": FILES["1"][:, :4]}),
        keep(module_store, config_of(FEATURES, TARGETS), FILES),
        keep(module_store, config, FILES, test=TODAY),
        keep(module_store, config, FILES, test=rows(12), short_of=0.1, records=False),
    ]
    keep(module_store, config_of(FEATURES, TARGETS, model="old", data=HELD), FILES, records=False)
    registry.promote(module_store, "m", 1, why="first")
    return models


def test_every_version_has_the_metrics_of_todays_rows(models):
    entries = {e["version"]: e for e in document("models", "m", "--rescore")}
    digest = entries[5]["data"]["digest"]
    for number in (1, 2, 4, 5, 6):
        rescored = entries[number]["rescored"]
        expected = metrics(models[number - 1], TODAY[:, [2, 0, 3, 4]] if number == 2 else TODAY)
        for name in ("rmse", "r2", "mse", "rmse.y", "r2.q", "mse.q"):
            assert rescored[name] == pytest.approx(expected[f"test_{name}"], rel=1e-12)
        assert (rescored["rows"], rescored["digest"], rescored["as_of"]) == (80, digest, "m/5")
    assert entries[3]["rescored"] is None
    assert entries[3]["note"] == "it predicts y, and the rows hold y, q"
    assert entries[4]["rescored"]["note"] == entries[4]["note"]
    assert "it may have trained on these rows, as it was split with data.test_fraction 0" in entries[4]["note"]
    assert {entries[n]["note"] for n in (1, 2, 5, 6)} == {None}


def test_without_the_flag_the_document_is_as_it_was():
    entries = document("models", "m", "--rescore")
    assert document("models", "m") == [{k: v for k, v in e.items() if k not in ("rescored", "note")} for e in entries]


def test_the_page_names_the_rows_and_marks_the_best_that_may_be_compared():
    text = linreg("models", "m", "--rescore").out
    head, names, *lines = text.splitlines()
    assert head.startswith("m on the 80 test rows of version 5, registered 20")
    assert "rmse when registered" in names
    of = {line.split()[0]: line for line in lines}
    assert " best " in of["m/5"]  # the optimum of all columns; version 4 is as good, and may know the rows
    assert text.count(" best ") == 1
    assert "@champion" in of["m/1"]
    assert "m/3: it predicts y, and the rows hold y, q" in text


def test_a_model_that_keeps_no_record_says_so():
    (entry,) = document("models", "old", "--rescore")
    assert entry["rescored"] is None
    assert entry["note"] == "no version keeps a record of its test rows yet: the next run does"
    assert "old: no version keeps a record" in linreg("models", "--rescore").out
    assert len(document("models", "--rescore")) == 7
