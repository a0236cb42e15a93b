"""Levels that a record lacks: what follows from its columns, beside a record of rows that have them; what does not."""

import numpy as np
import pytest

from linreg.design import Design, Term
from linreg.model import LinearModel
from linreg.moments.levels import levels_besides, with_levels
from linreg.moments.moments import Moments


def at(*levels: tuple[str, str]) -> Term:
    return Term(levels=levels)


TODAY = Design(
    {t.name: t for t in (Term(("x",)), at(("region", "mars")), at(("region", "south")), at(("code", "2")))},
    {"region": ("east", "mars", "south"), "code": ("1", "2")},
)
FOLLOW = {
    at(("region", "east")): ("region[mars]", "region[south]"),
    at(("region", "west")): None,
    at(("region", "west"), ("code", "1")): None,
}
UNKNOWN = (
    Term(("z",)),  # a number
    Term(("z",), (("region", "west"),)),
    Term(missing=("x",)),
    at(("kind", "a")),  # no category of today's
    at(("region", "east"), ("code", "1")),  # a product of bases
)


def model_of(*terms: Term) -> LinearModel:
    names = tuple(t.name for t in terms)
    levels = {"region": ("north", "east", "south", "west")}
    design, f = Design(dict(zip(names, terms, strict=True)), levels), len(names)
    return LinearModel(np.ones((1, f)), np.ones(1), np.zeros(f), names, ("y",), design=design)


@pytest.mark.parametrize("rows", [200, 2])
def test_levels_of_other_days_are_recorded_as_if_they_had_been_columns(rows: int) -> None:
    rng = np.random.default_rng(0)
    region, code = rng.integers(0, 3, rows), rng.integers(0, 2, rows)
    x, y = rng.normal(size=(2, rows))
    mars, south, east, none = region == 1, region == 2, region == 0, np.zeros(rows)
    weights = [rng.uniform(1, 3, rows)]
    record = Moments.of([np.column_stack([x, mars, south, code, y])], tuple(TODAY.terms), ("y",), weights=weights)
    model = model_of(Term(("x",)), at(("region", "south")), *FOLLOW)
    added = levels_besides(model, record.features, TODAY)
    assert added == {term.name: others for term, others in FOLLOW.items()}
    ours = with_levels(record, added)
    columns = np.column_stack([x, mars, south, code, east, none, none, y])
    expected = Moments.of([columns], (*record.features, *added), ("y",), weights=weights)
    assert (ours.features, ours.targets, ours.rows, ours.weight) == (expected.features, ("y",), rows, expected.weight)
    np.testing.assert_allclose(ours.mean_P, expected.mean_P, atol=1e-14)
    sums = [m.centred_PP.T @ m.centred_PP for m in (ours, expected)]
    np.testing.assert_allclose(*sums, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("term", UNKNOWN, ids=lambda term: term.name)
def test_what_does_not_follow_from_todays_levels_is_not_made_up(term: Term) -> None:
    features = tuple(TODAY.terms)
    assert not levels_besides(model_of(Term(("x",)), term), features, TODAY)
    assert not levels_besides(model_of(at(("region", "west"))), features, None)
    assert not levels_besides(model_of(at(("region", "east"))), ("x", "region[mars]"), TODAY)
