"""The design: the columns that a model learns from, as they are made of the columns that a table holds.

A term is a column of the design: a number as it stands, or an indicator, 1 where a category is at a level and 0
elsewhere (treatment coding: of each category every level but the first, the base), or a product of such. What a number
or a category is computed from, where it is no column of the table, is an ``expression``. It reads no data and computes
nothing from rows (``rows.terms`` does).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import combinations
from math import prod
from typing import Any, Literal

from linreg.expression import Expression, columns_of

Level = tuple[str, str]  # of a category's column, the level
MISSING = "missing"  # the level of a row without one, where a gap has a column of its own


def level_name(column: str, level: str) -> str:
    """How the column of a level is called.

    >>> level_name("region", "north")
    'region[north]'
    """
    return f"{column}[{level}]"


@dataclass(frozen=True)
class Term:
    """A column of the design: the product of numbers and of indicators.

    Args:
        numbers: columns of numbers.
        levels: categories and the level that each must be at.
        missing: columns of numbers that must be missing.
        affine: of each number what is subtracted, and then divided by; empty: nothing is.
    """

    numbers: tuple[str, ...] = ()
    levels: tuple[Level, ...] = ()
    missing: tuple[str, ...] = ()
    affine: tuple[tuple[float, float], ...] = ()

    @property
    def name(self) -> str:
        """``temp``, ``region[north]``, ``temp:region[north]``, ``temp[missing]``."""
        indicators = [*self.levels, *((column, MISSING) for column in self.missing)]
        return ":".join([*self.numbers, *(level_name(*level) for level in indicators)])

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that it is made of."""
        return (*self.numbers, *(column for column, _ in self.levels), *self.missing)

    def parts(self) -> Iterator[tuple[float, "Term"]]:
        """The terms without shift and scale of which it is a sum, each with its weight; of nothing: a constant."""
        shifted = [(name, *both) for name, both in zip(self.numbers, self.affine, strict=True)]
        every = range(len(shifted))
        for count in range(len(shifted), -1, -1):
            for kept in combinations(every, count):
                weight = prod(1.0 if i in kept else -shifted[i][1] for i in every) / prod(s for _, _, s in shifted)
                if weight:
                    yield weight, Term(tuple(shifted[i][0] for i in kept), self.levels)


@dataclass(frozen=True)
class Design:
    """The F terms of a model, and what its categories may hold.

    Args:
        terms: by the name of the feature, in the features' order.
        levels: of each category, the base first.
        unseen: whether a level that is none of these stops, or counts as the base.
        gaps_are_levels: whether a missing category is at the level ``MISSING``.
        computed: the columns that the table lacks, by name.
        dates: those columns of the table that are dates.
        intercept: whether there is one.
    """

    terms: Mapping[str, Term]
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unseen: Literal["error", "base"] = "error"
    gaps_are_levels: bool = False
    computed: Mapping[str, Expression] = field(default_factory=dict)
    dates: tuple[str, ...] = ()
    intercept: bool = True

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The columns that a prediction takes, in the order of the terms."""
        by_terms = [column for term in self.terms.values() for column in term.inputs]
        return tuple(dict.fromkeys(column for name in (*by_terms, *self.levels) for column in self.made_of(name)))

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """Those of the inputs that are numbers."""
        return tuple(column for column in self.inputs if column not in (*self.levels, *self.dates))

    @property
    def categories(self) -> dict[str, tuple[str, ...]]:
        """The levels of those of the inputs that are categories."""
        return {column: levels for column, levels in self.levels.items() if column not in self.computed}

    def of_inputs(self) -> "Design":
        """The same without the columns that only targets are computed from."""
        used = {name for term in self.terms.values() for name in term.inputs}.union(self.levels)
        return replace(self, computed={name: made for name, made in self.computed.items() if name in used})

    def made_of(self, name: str) -> tuple[str, ...]:
        """The columns of the table that a feature, or a column, is made of."""
        columns = self.terms[name].inputs if name in self.terms else (name,)
        made = (columns_of(self.computed[c]) if c in self.computed else (c,) for c in columns)
        return tuple(dict.fromkeys(column for some in made for column in some))

    def to_json(self) -> dict[str, Any]:
        """What the arguments are, by name."""
        terms = {name: asdict(term) for name, term in self.terms.items()}
        about = {"unseen": self.unseen, "gaps_are_levels": self.gaps_are_levels}
        formula: dict[str, Any] = {"computed": dict(self.computed), "dates": self.dates} if self.computed else {}
        formula |= {} if self.intercept else {"intercept": False}
        return {"terms": terms, "levels": dict(self.levels), **about, **formula}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Design":
        """What ``to_json`` gave."""
        terms = {name: _term(**term) for name, term in document["terms"].items()}
        levels = {column: tuple(levels) for column, levels in document["levels"].items()}
        formula = document.get("computed", {}), tuple(document.get("dates", ())), document.get("intercept", True)
        return cls(terms, levels, document["unseen"], document["gaps_are_levels"], *formula)


def _term(*, numbers: Any, levels: Any, missing: Any, affine: Any = ()) -> Term:
    return Term(tuple(numbers), tuple((c, x) for c, x in levels), tuple(missing), tuple((m, s) for m, s in affine))
