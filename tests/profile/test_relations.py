"""What a column has to do with others, beside what counting and numpy say of the same columns."""

from itertools import permutations
from math import exp, factorial

import numpy as np
import pyarrow as pa
import pytest

from linreg.files.sample import Sample
from linreg.profile import relations
from linreg.profile.columns import columns_of


def columns(**values):
    table = pa.table({name: pa.array(v) for name, v in values.items()})
    rows = len(table)
    return {c.name: c for c in columns_of(Sample(table, files=1, opened=1, about_rows=rows, complete=True))}


@pytest.mark.parametrize(
    ("codes", "ordered"), [([0, 0, 1, 1, 2], False), ([0, 0, 1, 1, 1], True), ([0, 1, 2, 3], True)]
)
def test_the_chance_of_runs_is_their_share_of_all_orders(codes, ordered):
    def in_runs(order):
        steps = np.diff([codes[i] for i in order])
        return (steps >= 0).all() or (steps <= 0).all() if ordered else (steps != 0).sum() == max(codes)

    share = sum(in_runs(order) for order in permutations(range(len(codes)))) / factorial(len(codes))
    chance = relations._runs_chance(np.array(codes), np.arange(len(codes)), ordered=ordered)
    assert exp(chance) == pytest.approx(share, rel=1e-12)


RNG = np.random.default_rng(0)
PRICE = RNG.lognormal(12, 0.5, 200).round()


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (PRICE * 1.08, "correlation"),
        (-PRICE + RNG.normal(0, 1, 200), "correlation"),
        (np.log(PRICE), "in the order"),
        (np.exp(-PRICE / 1e5), "in the order"),
        (np.floor(PRICE / 50_000), "in the order"),
        (np.digitize(PRICE, np.quantile(PRICE, [0.3, 0.6])).astype(str), "in the order"),
        (np.where(np.arange(200) % 2, None, np.log(PRICE)), "in the order"),
    ],
)
def test_what_is_made_from_the_target_is_told(values, word):
    table = columns(price=PRICE, x=values)
    assert word in relations.leak(table["x"], table["price"])


@pytest.mark.parametrize(
    "values",
    [
        PRICE + RNG.normal(0, 30_000, 200),
        RNG.normal(size=200),
        RNG.choice(["a", "b", "c"], 200),
        [f"row {i}" for i in range(200)],
        np.arange(200) == 3,
    ],
)
def test_what_only_goes_along_with_the_target_is_not(values):
    table = columns(price=PRICE, x=values)
    assert relations.leak(table["x"], table["price"]) == ""


def test_codes_and_texts_of_the_same_classes_are_one_and_a_separating_measure_is_none():
    species = np.repeat([0, 1, 2], 50)
    table = columns(y=species, name=np.array(["s", "ve", "vi"])[species], width=species * 5 + RNG.uniform(0, 1, 150))
    assert "one value for each value of y" in relations.leak(table["name"], table["y"])
    assert relations.leak(table["width"], table["y"]) == ""


def test_what_a_category_determines_is_told_unless_its_levels_have_a_row_each():
    city = RNG.choice(["Kiel", "Ulm", "Jena", "Bonn"], 100)
    north = {"Kiel": "yes", "Ulm": "no", "Jena": "no", "Bonn": "no"}
    table = columns(city=city, north=[north[c] for c in city], code=[ord(c[0]) for c in city], x=PRICE[:100])
    assert "determined by city" in relations.determined_by(table["north"], table["city"])
    assert "a code of city" in relations.determined_by(table["code"], table["city"])
    assert relations.determined_by(table["city"], table["north"]) == ""
    assert relations.determined_by(table["x"], table["city"]) == ""
    table = columns(name=[f"n{i}" for i in range(100)], x=PRICE[:100])
    assert relations.determined_by(table["x"], table["name"]) == ""


def test_linear_dependence_is_what_numpy_calls_a_rank_that_is_too_low():
    a, b, c = RNG.normal(size=(3, 60)) * [[1], [100], [0.1]] + 10
    values = {
        "a": a,
        "b": b,
        "unit": 1.8 * a + 32,
        "c": c,
        "sum": a + b - 3 * c,
        "close": a + 1e-4 * RNG.normal(size=60),
    }
    dependent = relations.linear_dependence(list(columns(**values).values()))
    assert dependent == {"unit": ("a",), "sum": ("a", "b", "c")}
    kept = np.stack([v - v.mean() for name, v in values.items() if name not in dependent], axis=1)
    assert np.linalg.matrix_rank(kept / np.linalg.norm(kept, axis=0)) == kept.shape[1]
    assert relations.linear_dependence(list(columns(a=a[:3], b=b[:3], s=a[:3]).values())) == {}


def test_a_sum_that_nearly_gives_the_target_is_told_with_what_it_needs():
    a, b, noise = RNG.normal(size=(3, 200))
    table = columns(a=a, b=b, noise=noise, total=np.round(a + b, 2), other=a + b + 0.1 * noise + RNG.normal(size=200))
    features = [table[name] for name in ("a", "b", "noise")]
    correlation, needed = relations.gives(features, table["total"])
    r2 = np.linalg.lstsq(np.c_[np.ones(200), a, b, noise], np.round(a + b, 2))[1][0] / (200 * np.round(a + b, 2).var())
    assert (correlation, needed) == (pytest.approx(np.sqrt(1 - r2), rel=1e-12), ("a", "b"))
    assert relations.gives(features, table["other"])[1] == ()
