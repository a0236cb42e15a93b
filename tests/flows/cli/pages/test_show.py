"""The page of ``linreg show``: whatever the model, it is read in 100 columns."""

from dataclasses import replace

import numpy as np
import pytest

from flows.cli.pages.columns import WIDTH
from flows.cli.pages.show import MOST_FEATURES, page
from flows.tracking.registry import Version
from linreg.least_squares.inference import infer
from linreg.least_squares.objective import Objective
from linreg.model import LinearModel
from linreg.moments.moments import Moments, merge
from tests.support.tables import X15, Y15, moments_of

METRICS = {"test_rmse": 1.5, "test_r2": 0.9, "excess_loss": 0.0}
FACTS = {"data": {"digest": "ab" * 16, "train_rows": 1234}, "trainer": "exact", "metrics": METRICS}
VERSION = Version("crop-yield", 2, ("champion",), "2026-11-25T03:55:40.000+00:00", "dc" * 16, **FACTS)
NAMES = (("temp", "rainfall", "humidity"), ("apples", "oranges"))


def shown(moments, **options):
    objective = Objective.of(moments, standardize=True)
    text = page(VERSION, infer(objective.model(objective.optimum_DO), moments, **options))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "nan" not in text.split()
    assert "None" not in text
    return text


def rows(n, f, o=1, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, f))
    return x, x @ rng.normal(size=(f, o)) + rng.normal(size=(n, o))


def test_each_target_has_its_table_and_its_lines() -> None:
    text = shown(moments_of(X15, Y15))
    assert text.count("95% low") == 2
    assert "  temp       -0.42154    0.02831  -14.89  1.2e-08  -0.48385  -0.35924" in text
    assert "R2 0.99914, adjusted 0.99891; residual standard error 1.1811 on 11 degrees of freedom" in text
    assert "condition number 2.2e+06 of the raw columns; no variance inflation above 10" in text


@pytest.mark.parametrize(
    ("facts", "split", "words"),
    [
        ({"judged_on": "4 test rows"}, {"fraction": 0.3}, "judged on 4 test rows;"),
        ({}, {"fraction": 0}, "judged on its training rows;"),
        ({}, {"fraction": 0.2}, "judged on test rows;"),
        ({}, {}, "judged on rows that are not on record;"),
    ],
)
def test_the_rows_that_judged_it_are_named(facts, split, words) -> None:
    version = replace(VERSION, facts=facts, split=split)
    text = page(version, infer(LinearModel(np.zeros((2, 3)), np.zeros(2), np.zeros(3), *NAMES), moments_of(X15, Y15)))
    assert f"rmse 1.5, R2 0.9000, {words}" in text
    assert "test rmse" not in text


@pytest.mark.parametrize("reasons", [(), ("told by the caller",)])
def test_a_line_break_in_a_name_is_printed_as_its_escape(reasons) -> None:
    x, y = rows(40, 2)
    names = ("first\nline", "tab\tand \x1b[31m"), ("tar\nget",)
    text = shown(Moments.of([np.hstack([x, y])], *names), reasons=reasons)
    for name in (r"first\nline", r"tab\tand \x1b[31m", r"tar\nget"):
        assert name in text


def test_another_level_is_named() -> None:
    assert "99% low" in shown(moments_of(X15, Y15), level=0.99)


def test_two_hundred_features_are_cut_to_those_with_the_largest_t() -> None:
    x, y = rows(300, 200)
    y[:, 0] += 50 * x[:, 123]
    text = shown(moments_of(x, y))
    assert "  x123 " in text
    assert len(text.splitlines()) < MOST_FEATURES + 20
    assert f"and {200 - MOST_FEATURES} more with smaller t: --json lists them all" in text


def test_two_hundred_features_and_twelve_targets_without_errors_fit_too() -> None:
    text = shown(moments_of(*rows(300, 200, o=12)), reasons=["regularised " + "so much " * 40])
    assert f"and {200 - MOST_FEATURES} more: --json lists them all" in text
    assert "y11" in text


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e6, 1e15])
def test_long_names_and_numbers_of_any_size_fit(scale: float) -> None:
    x, y = rows(40, 3)
    target = "a target that has a rather long name as well " * 3
    names = tuple(f"the mean temperature of the station in its {i}th year of operation" for i in range(3))
    text = shown(Moments.of([np.hstack([scale * x, 1e7 * y])], names, (target,)))
    assert "std error" in text


def test_clustered_errors_have_their_column_and_a_word_where_they_matter() -> None:
    rng = np.random.default_rng(1)
    x, day = rng.normal(size=(2, 40, 1))
    z = np.stack([x + 0.1 * rng.normal(size=(40, 10)), 2 * x + day + 0.1 * rng.normal(size=(40, 10))], axis=-1)
    names = ("a feature with a long name, as users give them",), ("y",)
    records = [Moments.of([part], *names) for part in z]
    text = shown(merge(records), partitions=records)
    assert "std error  clustered" in text
    assert "errors clustered by 40 partitions are up to" in text
    assert "take only the partitions to be independent" in " ".join(text.split())


def test_columns_that_the_others_nearly_determine_are_named() -> None:
    x, y = rows(50, 30)
    x[:, :15] = x[:, 15:] + 1e-3 * x[:, :15]
    text = shown(moments_of(x, y))
    assert "variance inflation above 10: x" in text
    assert "and 22 more" in text


def test_the_features_that_move_a_target_most_are_named_first() -> None:
    x, y = rows(60, 7)
    objective = Objective.of(moments := moments_of(x, y), standardize=True)
    inference = infer(objective.model(objective.optimum_DO), moments)
    spreads = {f"x{i}": float(i) for i in range(7)}
    sizes = {f: spreads[f] * c.estimate for f, c in inference.targets["y0"].coefficients.items()}
    order = sorted(sizes, key=lambda f: -abs(sizes[f]))
    text = " ".join(page(VERSION, inference, spreads=spreads).split())
    assert f"one standard deviation of {order[0]} moves it by {sizes[order[0]]:.3g}, of {order[1]} by " in text
    assert f"of {order[4]} by {sizes[order[4]]:.3g}; 2 more move it less" in text


def test_a_p_too_small_to_write_is_told_as_such() -> None:
    x, y = rows(3000, 1)
    assert "<1e-300" in shown(moments_of(x, 1e3 * x + y))
