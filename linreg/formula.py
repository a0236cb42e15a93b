"""What a formula says: ``apples + oranges ~ temp * rainfall + C(region) + I(temp ** 2)``.

formulaic reads it: the terms, their order, and which categories of a term drop a level so that the columns stay
independent. What stands inside of a factor is read here, as data and never run as Python.

Source: Wilkinson and Rogers 1973; its names and rules are those of formulaic.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import Any

from linreg.errors import UserError
from linreg.expression import CALENDAR, Expression
from linreg.factor import Factor, read_factor

Coded = tuple[tuple[tuple[Factor, ...], set[Factor]], ...]  # terms, and those of their factors without a base
KEY = "data.formula"
MOST_TOGETHER = 5  # columns of an interaction, by a power


@dataclass(frozen=True)
class Formula:
    """A formula.

    Args:
        targets: what stands on its left.
        terms: the factors of each term on its right, without the intercept.
        intercept: whether there is one.
    """

    targets: tuple[Factor, ...]
    terms: tuple[tuple[Factor, ...], ...]
    intercept: bool

    @cached_property
    def factors(self) -> tuple[Factor, ...]:
        """Those of the terms, each once."""
        return tuple(dict.fromkeys(factor for term in self.terms for factor in term))

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The columns of the data that the terms are made of."""
        return tuple(dict.fromkeys(name for factor in self.factors for name in factor.inputs))

    @cached_property
    def categorical(self) -> tuple[str, ...]:
        """Those of them that ``C()`` makes categories."""
        return tuple(dict.fromkeys(f.column for f in self.factors if f.is_category and f.expression is None))

    @cached_property
    def dates(self) -> tuple[str, ...]:
        """Those of them that are dates."""
        return tuple(dict.fromkeys(name for factor in self.factors for name in factor.dates))

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """Those of them that surely are numbers."""
        numeric = (f for f in self.factors if not f.is_category and (f.learned or f.expression is not None))
        return tuple(dict.fromkeys(name for f in numeric for name in f.inputs if name not in f.dates))

    @cached_property
    def bare(self) -> tuple[str, ...]:
        """Those of them whose type says whether they are numbers or categories."""
        names = (f.column for f in self.factors if f.expression is None and not f.is_category and not f.learned)
        return tuple(dict.fromkeys(name for name in names if name not in {*self.numbers, *self.categorical}))

    @cached_property
    def computed(self) -> Mapping[str, Expression]:
        """The columns that are computed from others, targets too, by name."""
        return {f.column: f.expression for f in (*self.factors, *self.targets) if f.expression is not None}

    @cached_property
    def calendar(self) -> tuple[str, ...]:
        """Those of the columns that are categories."""
        return tuple(name for name, made in self.computed.items() if made[0] in CALENDAR)

    def columns(self, levels: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, dict[Factor, str]]]:
        """The columns of the design: each one's name, its factors, and the level that a category is at, else "".

        Args:
            levels: of every category of the frame, the base first.
        """
        for term, dropped in self.coded(levels):
            choices = [_choices(f, levels, reduced=f in dropped) for f in term]
            for reverse in product(*reversed(choices)):  # the first factor's levels change first, as formulaic has it
                names, own = zip(*reverse[::-1], strict=True)
                yield ":".join(names), dict(zip(term, own, strict=True))

    def coded(self, categories: Collection[str]) -> Coded:
        """Terms as they are coded, and those of their factors that leave out the base.

        One that is written may become several, of fewer categories: ``g:h`` where there is no ``g`` is ``g`` and
        ``g:h``.
        """
        return _coded(self, frozenset(categories))


@lru_cache(maxsize=16)
def _coded(formula: Formula, categories: frozenset[str]) -> Coded:
    """By formulaic, of stand-ins for the factors."""
    import pandas as pd
    from formulaic import Formula as Parsed
    from formulaic.parser.types import Factor as Part
    from formulaic.parser.types import Term

    names = {factor: f"f{i}" for i, factor in enumerate(formula.factors)}
    back = {name: factor for factor, name in names.items()}
    two = pd.Categorical(["a"], ["a", "b"])
    frame = pd.DataFrame({name: two if f.column in categories else [1.0] for f, name in names.items()})
    terms = [Term([Part("1", eval_method="literal")])] * formula.intercept
    terms += [Term([Part(names[factor]) for factor in term]) for term in formula.terms]
    spec = Parsed(terms, _ordering="none").get_model_matrix(frame).model_spec
    scopes = [scoped for structure in spec.structure for scoped in structure.scoped_terms]
    parts = [{back[part.factor.expr]: part.reduced for part in scoped.factors} for scoped in scopes]
    return tuple((tuple(own), {factor for factor, reduced in own.items() if reduced}) for own in parts if own)


def _choices(factor: Factor, levels: Mapping[str, Sequence[str]], *, reduced: bool) -> list[tuple[str, str]]:
    """The names of a factor's columns, and the level of each."""
    if factor.column not in levels:
        return [(factor.name, "")]
    own = levels[factor.column]
    return [(f"{factor.name}[{'T.' * reduced}{level}]", level) for level in own[reduced:]]


@lru_cache(maxsize=16)
def parse(text: str) -> Formula:
    """Read a formula.

    Raises:
        UserError: it is none, or holds what is not read; the line says what, and what to write instead.
    """
    from formulaic import Formula as Parsed
    from formulaic.errors import FormulaicError

    _check_powers(text)
    try:
        parsed: Any = Parsed(text)
        left, right = [[list(term.factors) for term in side] for side in (parsed.lhs, parsed.rhs)]
    except FormulaicError as e:
        raise UserError(f"{KEY} {text!r} is no formula: {_words(e)}") from None
    except (AttributeError, IndexError, SyntaxError, TypeError, ValueError, RecursionError):
        raise UserError(f"{KEY} {text!r} is no formula: write targets, a ~, and terms, like y ~ a + b") from None
    terms = [[f for f in term if f.expr != "1"] for term in right]
    targets = tuple(read_factor(str(f.expr), f.eval_method.value, KEY) for term in left for f in term)
    factors = [tuple(read_factor(str(f.expr), f.eval_method.value, KEY) for f in term) for term in terms if term]
    formula = Formula(targets, tuple(factors), intercept=[] in terms)
    _check(formula, [len(term) for term in left])
    return formula


def _check_powers(text: str) -> None:
    """Refuse interactions of so many columns that they would take minutes to write out; I(x ** 9) is none."""
    outside, before = text, ""
    while outside != before:
        outside, before = re.sub(r"\w+\([^()]*\)|\{[^{}]*\}|`[^`]*`", "f", outside), outside
    powers = [int(power) for power in re.findall(r"\*\*\s*([0-9]{1,9})", outside)]
    if max(powers, default=0) > MOST_TOGETHER:
        raise UserError(f"{KEY} has a power of {max(powers)}: interactions of more than {MOST_TOGETHER} are not read")


def _words(error: Exception) -> str:
    """What formulaic says, without its colours and its drawing of the place."""
    text = re.sub("\x1b?\\[[0-9;]*m|[⧛⧚]", "", str(error)).strip().splitlines()[0]
    return "write its columns instead of `.`" if text.startswith("The `.` operator") else text


def _check(formula: Formula, sizes: Sequence[int]) -> None:
    def require(ok: bool, what: str) -> None:
        if not ok:
            raise UserError(f"{KEY} {what}")

    require(bool(formula.targets) and set(sizes) == {1}, "needs targets on the left of ~, joined by +")
    require(bool(formula.terms), "has no term on the right of ~ but the intercept: name a column")
    for target in formula.targets:
        is_number = not (target.is_category or target.learned or target.dates)
        require(is_number, f"cannot have {target.name} as a target: name a number")
    both = sorted({name for t in formula.targets for name in t.inputs} & set(formula.inputs))
    require(not both, f"has {both} on both sides: a column is a feature or a target")
    uses = {"a number": set(formula.numbers), "a category": set(formula.categorical), "a date": set(formula.dates)}
    uses["it stands"] = set(formula.bare) & set(formula.dates)
    for name in formula.inputs:
        several = [use for use, names in uses.items() if name in names]
        require(len(several) < 2, f"takes column '{name}' as {' and as '.join(several)}: take it one way")
    written: dict[str, set[str]] = {}
    for factor in formula.factors:
        if factor.is_category or factor.column in formula.categorical:
            written.setdefault(factor.column, set()).add(factor.name)
    twice = next((sorted(names) for names in written.values() if len(names) > 1), [])
    require(not twice, f"writes one category in several ways, {', '.join(twice)}: write it the same way everywhere")
    clash = sorted(set(formula.computed) & {*formula.inputs, *(n for t in formula.targets for n in t.inputs)})
    require(not clash, f"names a column {clash} that it also computes: rename it in the data")
