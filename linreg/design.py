"""The design: the columns that a model learns from, as they are made of the columns that a table holds.

A term is a column of the design: a number as it stands, or an indicator, 1 where a category is at a level and 0
elsewhere (treatment coding: of each category every level but the first, the base), or a product of such. It reads no
data and computes nothing from rows (``rows.terms`` does).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

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
    """

    numbers: tuple[str, ...] = ()
    levels: tuple[Level, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``temp``, ``region[north]``, ``temp:region[north]``, ``temp[missing]``."""
        indicators = [*self.levels, *((column, MISSING) for column in self.missing)]
        return ":".join([*self.numbers, *(level_name(*level) for level in indicators)])

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that it is made of."""
        return (*self.numbers, *(column for column, _ in self.levels), *self.missing)


@dataclass(frozen=True)
class Design:
    """The F terms of a model, and what its categories may hold.

    Args:
        terms: by the name of the feature, in the features' order.
        levels: of each category, the base first.
        unseen: whether a level that is none of these stops, or counts as the base.
        gaps_are_levels: whether a missing category is at the level ``MISSING``.
    """

    terms: Mapping[str, Term]
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unseen: Literal["error", "base"] = "error"
    gaps_are_levels: bool = False

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The columns that a prediction takes, in the order of the terms."""
        by_terms = [column for term in self.terms.values() for column in term.inputs]
        return tuple(dict.fromkeys([*by_terms, *self.levels]))

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """Those of the inputs that are numbers."""
        return tuple(column for column in self.inputs if column not in self.levels)

    def to_json(self) -> dict[str, Any]:
        """The terms by name, the levels by column, ``unseen`` and ``gaps_are_levels``."""
        terms = {name: asdict(term) for name, term in self.terms.items()}
        about = {"unseen": self.unseen, "gaps_are_levels": self.gaps_are_levels}
        return {"terms": terms, "levels": dict(self.levels), **about}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Design":
        """What ``to_json`` gave."""
        terms = {
            name: Term(tuple(term["numbers"]), tuple((c, x) for c, x in term["levels"]), tuple(term["missing"]))
            for name, term in document["terms"].items()
        }
        levels = {column: tuple(levels) for column, levels in document["levels"].items()}
        return cls(terms, levels, document["unseen"], document["gaps_are_levels"])
