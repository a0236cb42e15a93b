"""``linreg diff`` on a real store: its document against the rows, its page, and what it says where little is known."""

import numpy as np
import pytest
import statsmodels.api as sm

from flows.cli.pages.columns import WIDTH
from flows.tracking import registry
from tests.support.command import document, error, linreg
from tests.support.registered import config_of, keep

FEATURES, TARGETS = ("a", "b"), ("y", "q")
MOVE = {"before", "after", "move", "data", "columns", "penalty", "optimiser", "effect", "standard_error"}


def day(seed, *, slope=1.0, n=60):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)) * [1, 10] + [0, 50]
    return np.hstack([x, x @ np.array([[slope, -2.0], [0.5, 0.1]]).T + rng.normal(size=(n, 2))])


DAYS = {"1": day(1), "2": day(2), "3": day(3, slope=3.0)}
TWO = {n: DAYS[n] for n in ("1", "2")}
EXACT = {"trainer": "exact"}


@pytest.fixture(scope="module", autouse=True)
def models(module_store):
    """The working directory has a store with versions 1 to 10 of m, which are these, and one of another model."""
    config = config_of(FEATURES, TARGETS, train=EXACT)
    keyed = config_of(FEATURES, TARGETS, train=EXACT, data={"key": ["a"]})
    models = [
        keep(module_store, config, TWO),
        keep(module_store, config_of(FEATURES, TARGETS, train={"trainer": "gram", "epochs": 7}), DAYS, short_of=0.01),
        keep(module_store, config_of(FEATURES, TARGETS, train=EXACT | {"weight_decay": 0.5}), DAYS),
        keep(module_store, config_of(("a",), TARGETS, train=EXACT), {n: z[:, [0, 2, 3]] for n, z in DAYS.items()}),
        keep(module_store, config, TWO, records=False),
        keep(module_store, config, TWO, params=False),
        keep(module_store, config_of(FEATURES, TARGETS, train=EXACT, data={"test_fraction": 0.5}), {"3": DAYS["3"]}),
        keep(module_store, config, {n: DAYS[n] for n in ("2", "3")}),
        keep(module_store, keyed, TWO),
        keep(module_store, keyed, {"0": DAYS["1"], "2": DAYS["2"], "3": DAYS["3"]}),
    ]
    keep(module_store, config_of(("a",), ("b",), model="other"), {n: z[:, [0, 1]] for n, z in TWO.items()})
    registry.promote(module_store, "m", 1, why="first")
    registry.promote(module_store, "m", 2, why="second")
    return models


def least_squares(files, target):
    z = np.vstack(list(files.values()))
    return sm.OLS(z[:, 2 + target], sm.add_constant(z[:, :2])).fit()


def moves(document, target):
    t = document["targets"][target]
    return [t["intercept"], *t["coefficients"].values()]


def page(*args):
    result = linreg("diff", *args)
    assert result.status == 0, result.err
    assert max(map(len, result.out.splitlines())) <= WIDTH
    assert "nan" not in result.out.split()
    assert "None" not in result.out
    return " ".join(result.out.split())


def test_the_document_has_every_move_and_its_parts(models):
    difference = document("diff", "m/1", "m")
    assert [difference[side]["version"] for side in ("before", "after")] == [1, 2]
    assert [len(difference[side]["promoted"]) for side in ("before", "after")] == [1, 1]
    assert difference["standard_error_of"] == "difference"
    for o, target in enumerate(TARGETS):
        small, large = least_squares(TWO, o), least_squares(DAYS, o)
        for d, m in enumerate(moves(difference, target)):
            assert set(m) == MOVE | {"standard_errors"}
            assert m["move"] == m["data"] + m["columns"] + m["penalty"] + m["optimiser"]
            assert m["data"] == pytest.approx(large.params[d] - small.params[d], rel=1e-9)
            variance = large.mse_resid * (small.normalized_cov_params - large.normalized_cov_params)[d, d]
            assert m["standard_error"] == pytest.approx(np.sqrt(variance), rel=1e-8)
            assert m["standard_errors"]["data"] == pytest.approx(m["data"] / m["standard_error"], rel=1e-15)
            before, after = (model.weight_OF[o, d - 1] for model in models[:2])
            if d:
                assert (m["before"], m["after"]) == (before, after)
    assert difference["config"] == {
        "train.trainer": {"before": "exact", "after": "gram"},
        "train.epochs": {"before": "1000", "after": "7"},
    }
    assert difference["metrics"]["test_rmse"]["before"] == difference["before"]["metrics"]["test_rmse"]
    assert difference["added"] == difference["removed"] == {"features": [], "targets": []}
    assert difference["stopped"]["before"] < 1e-6
    assert difference["stopped"]["after"] > 0.01


def test_the_verdict_names_the_worst_mover_and_the_page_begins_with_it():
    text = page("m/1", "m")
    worst = max(
        ((abs(m["standard_errors"]["data"]), name) for name, m in named(document("diff", "m/1", "m"))),
        key=lambda p: p[0],
    )
    assert f"the data moved the optimum: {worst[1]} by {worst[0]:.2g} standard errors" in text
    assert "the optimiser stopped elsewhere: " in text
    assert "the files of m/1 are among those of m/2" in text
    assert "by chance alone the largest of 6 passes" in text
    assert "train.epochs 1000 7" in text
    rows = [line.split() for line in linreg("diff", "m/1", "m").out.splitlines()]
    first = next(i for i, words in enumerate(rows) if words[:2] == ["before", "after"]) + 1
    sizes = [abs(float(words[5])) for words in rows[first : first + 6]]
    assert sizes == sorted(sizes, reverse=True)
    assert " ".join(rows[first][:2]) == worst[1]


def named(document):
    for target in TARGETS:
        for name, m in zip(("intercept", *FEATURES), moves(document, target), strict=True):
            yield f"{name} ({target})", m


def test_another_penalty_has_its_part_and_no_standard_errors():
    difference = document("diff", "m/3", "m/2")
    for _, m in named(difference):
        assert (m["data"], m["columns"], m["standard_error"]) == (0, 0, None)
        assert m["penalty"]
        assert set(m["standard_errors"].values()) == {None}
    assert difference["standard_error_of"] is None
    text = page("m/3", "m/2")
    per_spread = {name: abs(m["penalty"] / m["move"] * m["effect"]) for name, m in named(difference) if m["effect"]}
    worst = max(per_spread, key=per_spread.get)
    assert f"the other penalty moved it: {worst} by {per_spread[worst]:.3g} a standard deviation of {worst[0]}" in text
    assert "the training rows are the same; " in text
    assert "0% of the loss was above its optimum before, and 1% is after" in text
    assert "no standard errors: before: regularised (train.weight_decay = 0.5)" in text
    assert "train.weight_decay 0.5 0.0" in text


def test_a_column_that_went_is_named():
    difference = document("diff", "m/2", "m/4")
    assert difference["removed"] == {"features": ["b"], "targets": []}
    assert list(difference["targets"]["y"]["coefficients"]) == ["a"]
    assert difference["targets"]["y"]["intercept"]["columns"]
    text = page("m/2", "m/4")
    assert "removed: b" in text
    assert "the other columns moved it" in text


def test_a_version_and_itself():
    assert "both are m/2: nothing moved" in page("m/2", "m@champion")
    assert {m["move"] for _, m in named(document("diff", "m/2", "m"))} == {0}


@pytest.mark.parametrize(("before", "after", "side"), [("m/5", "m/1", "before"), ("m/1", "m/5", "after")])
def test_a_version_from_before_records_were_kept_shows_its_moves_alone(before, after, side):
    difference = document("diff", before, after)
    assert difference["verdict"] == f"what moved is listed, not why: {side}: no record of its training rows was kept"
    for _, m in named(difference):
        assert (m["data"], m["standard_error"]) == (None, None)
        assert m["move"] == m["after"] - m["before"]
    assert "not why" in page(before, after)


def test_a_run_that_is_gone_takes_its_config_along_and_no_more():
    difference = document("diff", "m/6", "m/2")
    assert difference["config"] is None
    assert difference["standard_error_of"] == "estimate"
    judge = least_squares(TWO, 0)
    slope = moves(difference, "y")[1]
    assert slope["standard_error"] == pytest.approx(judge.bse[1], rel=1e-8)
    assert slope["data"] == pytest.approx(least_squares(DAYS, 0).params[1] - judge.params[1], rel=1e-9)
    text = page("m/6", "m/2")
    assert "standard errors are those of m/6 itself: which training rows the two share is not on record" in text
    assert "which keys differ is not known" in text


def test_of_a_window_that_slid_the_common_files_are_counted():
    difference = document("diff", "m/1", "m/8")
    assert difference["standard_error_of"] == "difference"
    a, b = (least_squares(files, 0) for files in (TWO, {n: DAYS[n] for n in ("2", "3")}))
    shared = 60 / 120
    expected = np.sqrt(a.bse[1] ** 2 + b.bse[1] ** 2 - 2 * shared * a.bse[1] * b.bse[1])
    assert moves(difference, "y")[1]["standard_error"] == pytest.approx(expected, rel=1e-8)
    assert "the two share 1 of 3 files, taken to be like the others" in page("m/1", "m/8")


def test_where_a_key_splits_the_rows_a_file_under_another_name_is_the_same():
    assert "the files of m/9 are among those of m/10" in page("m/9", "m/10")


def test_rows_that_were_chosen_otherwise_are_not_taken_for_shared():
    difference = document("diff", "m/7", "m/2")
    assert difference["standard_error_of"] == "estimate"
    assert "the training rows of the two were not chosen in the same way" in page("m/7", "m/2")


def test_what_cannot_be_compared_is_one_line():
    line = error("diff", "m/1", "other/1")
    assert "m/1 predicts y, q and other/1 b: with no target in common there is nothing to compare" in line
    assert "has no version 99" in error("diff", "m/1", "m/99")
    assert "required: REF" in error("diff", "m/1")
