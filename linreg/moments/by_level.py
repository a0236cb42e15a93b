"""The record of rows that a category parts: what each level has in common, and what varies within the levels.

Of an indicator column a record needs no row of its own: with the rows of level g, ``sqrt(w_g) * [1 | mean of Z - c]``
is all that the levels' own columns and the others have to do with each other, and ``within`` is the factor of Z about
the means of its level. So 1,000 levels cost a pass over the rows, and not 1,000 columns. Two records merge whatever
levels and columns each has: a column that one lacks is 0 there. From the levels of all rows ``expanded`` then makes the
record of the design, with a column a level: of the level rows and ``within`` one on the other.

Shapes: n rows of a leaf, L levels, Z of P columns, K = 1 + P.

Source: Frisch and Waugh 1933, Lovell 1963 (partialling out indicators is centring by group); Golub and Van Loan,
Matrix Computations, 5.1 (the rotation that joins two rows of a level).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from linreg.design import Design, Level, Term, level_name
from linreg.metrics import Float
from linreg.moments.missing_values import MASK, MomentsWithGaps
from linreg.moments.moments import Moments, factor

_SUMS = ("rows", "weight", "log_weight", "square_weight")


@dataclass(frozen=True)
class MomentsByLevel:
    """The record of some rows.

    Args:
        category: the column whose levels part them; empty: nothing does, and there is one level.
        levels: the L that have rows.
        level_LK: of each level ``sqrt(w) * [1 | mean of Z - c]``.
        terms: the columns of Z that are features: numbers, levels of other categories, products.
        within: the factor of Z about the means of its level; masks of gaps are its first columns, as in
            ``missing_values``.
        gaps: the features that are missing somewhere.
        missing: how many values are.
    """

    category: str
    levels: tuple[str, ...]
    level_LK: Float
    terms: tuple[Term, ...]
    within: Moments
    gaps: tuple[str, ...] = ()
    missing: int = 0

    @property
    def moments(self) -> Moments:
        """The record about the means of the levels: it tells the number of rows, and how far columns are alike."""
        return self.within

    def known_levels(self) -> set[Level]:
        """The levels that have rows, of every category."""
        own = {(self.category, level) for level in self.levels} if self.category else set()
        return own.union(*(term.levels for term in self.terms))

    def __add__(self, other: "MomentsByLevel") -> "MomentsByLevel":
        """The record of both sets of rows."""
        if self.category != other.category:
            return self._undivided() + other._undivided()
        terms = tuple(dict.fromkeys([*self.terms, *other.terms]))
        gaps = tuple(term.name for term in terms if term.name in {*self.gaps, *other.gaps})
        a, b = (record._with_columns(gaps, terms) for record in (self, other))
        shift_P = _common_shift(a, b)
        (a_LK, a_PK), (b_LK, b_PK) = (record._at(shift_P) for record in (a, b))
        levels = tuple(sorted({*a.levels, *b.levels}))
        level_LK, rest_LK = _joined(levels, (a.levels, a_LK), (b.levels, b_LK))
        sums = {n: getattr(a.within, n) + getattr(b.within, n) for n in _SUMS}
        root_KK = about_levels(factor(np.vstack([a_PK, b_PK, rest_LK])[:, 1:]), sums["weight"])
        within = replace(a.within, shift_P=shift_P, root_KK=root_KK, **sums)
        return MomentsByLevel(a.category, levels, level_LK, terms, within, gaps, a.missing + b.missing)

    def recorded(self, within: Moments) -> "MomentsByLevel":
        """The same with a factor of the columns about their levels' means, whatever is left of these being rounding."""
        root_KK = about_levels(within.root_KK[1:, 1:], within.weight)
        return replace(self, within=replace(within, shift_P=self.within.shift_P, root_KK=root_KK))

    def expanded(self, design: Design) -> MomentsWithGaps:
        """The record of the design's columns; a level that it does not know counts as the base."""
        gaps = tuple(name for name, term in design.terms.items() if term.name in self.gaps)
        masks = tuple(MASK + name for name in gaps)
        names = [*(MASK + design.terms[name].name for name in gaps), *(term.name for term in design.terms.values())]
        tall, position = np.vstack([self.level_LK, self.within.root_KK[1:]]), self._position()
        own = {level_name(self.category, level): row for row, level in enumerate(self.levels)}
        at = np.array(
            [0, *(position.get(name, -1) for name in names), *range(len(tall.T) - len(self.targets), len(tall.T))]
        )
        out = np.where(at < 0, 0.0, tall[:, at])
        for column, name in enumerate(names, 1):
            if name in own and name not in position:
                out[own[name], column] = tall[own[name], 0]
        for column, term in enumerate(design.terms.values(), 1 + len(gaps)):
            if term.missing and (mask := position.get(MASK + term.missing[0])):
                out[:, column] = tall[:, 0] - tall[:, mask]
        shift_P = np.where(at < 1, 0.0, np.concatenate([[0.0], self.within.shift_P])[at])[1:]
        for column, term in enumerate(design.terms.values(), 1 + len(gaps)):
            if term.affine:
                out[:, column], shift_P[column - 1] = self._sum(tall, term, own)
        features = (*masks, *design.terms)
        within = replace(self.within, intercept=design.intercept, features=features, shift_P=shift_P)
        return MomentsWithGaps(replace(within, root_KK=factor(out)), gaps, self.missing)

    def mean_and_variance(self, name: str) -> tuple[float, float, float]:
        """Of a column, over the rows that have a value there, by their weights; and the share of these rows."""
        position = self._position()
        column, mask = position[name], position.get(MASK + name, 0)
        weight, total = self.level_LK[:, 0] @ self.level_LK[:, [mask, column]]
        squares = float((self.level_LK[:, column] ** 2).sum() + (self.within.root_KK[1:, column] ** 2).sum())
        mean = total / weight
        variance = max(squares / weight - mean**2, 0.0)
        return float(self.within.shift_P[column - 1] + mean), variance, float(weight / self.within.weight)

    def _sum(self, tall: Float, term: Term, own: Mapping[str, int]) -> tuple[Float, float]:
        """The column of a term that is a sum of recorded ones, and its shift.

        Args:
            tall: the rows of the levels, and those within.
            own: the levels' rows, by the names of their columns.
        """
        position, column, shift = self._position(), np.zeros(len(tall)), 0.0
        for weight, part in term.parts():
            at, is_own = position.get(part.name), part.name in own and not part.numbers
            if at is not None:
                column += weight * tall[:, at]
                shift += weight * float(self.within.shift_P[at - 1])
            elif is_own:
                column[own[part.name]] += weight * tall[own[part.name], 0]
            elif not part.inputs:
                shift += weight
        return column, shift

    @property
    def targets(self) -> tuple[str, ...]:
        """The last columns of Z."""
        return self.within.targets

    def _position(self) -> dict[str, int]:
        """Which column of the factor is which."""
        return {name: column for column, name in enumerate((*self.within.features, *self.targets), 1)}

    @classmethod
    def of(cls, record: MomentsWithGaps) -> "MomentsByLevel":
        """A record of numbers, of which every feature is a term."""
        root_KK = record.moments.root_KK
        within = replace(record.moments, root_KK=about_levels(root_KK[1:, 1:], record.weight))
        terms = tuple(Term((name,)) for name in record.features)
        return cls("", ("",), root_KK[:1], terms, within, record.gaps, record.missing)

    def _undivided(self) -> "MomentsByLevel":
        """The same with the levels as columns of Z."""
        if not self.category:
            return self
        terms = (*self.terms, *(Term(levels=((self.category, level),)) for level in self.levels))
        return replace(MomentsByLevel.of(self.expanded(Design({term.name: term for term in terms}))), terms=terms)

    def _with_columns(self, gaps: tuple[str, ...], terms: tuple[Term, ...]) -> "MomentsByLevel":
        """With masks for all of ``gaps`` and all of ``terms``: a mask that is new is 1 everywhere, a term 0."""
        features = (*(MASK + name for name in gaps), *(term.name for term in terms))
        if features == self.within.features:
            return self
        position = dict.fromkeys((MASK + name for name in gaps), 0) | self._position()
        at = np.array([0, *(position.get(name, -1) for name in (*features, *self.targets))])
        level_LK, within_PK = (np.where(at < 0, 0.0, rows[:, at]) for rows in (self.level_LK, self.within.root_KK[1:]))
        shift_P = np.where(at < 1, 0.0, np.concatenate([[0.0], self.within.shift_P])[at])[1:]
        root_KK = about_levels(factor(within_PK[:, 1:]), self.within.weight)
        within = replace(self.within, features=features, shift_P=shift_P, root_KK=root_KK)
        return replace(self, level_LK=level_LK, terms=terms, within=within, gaps=gaps)

    def _at(self, shift_P: Float) -> tuple[Float, Float]:
        """The rows of the levels and those within under another shift; a gap stays 0."""
        level_LK, within_PK = self.level_LK.copy(), self.within.root_KK[1:].copy()
        names, masks = (*self.within.features, *self.targets), self._position()
        for i in np.flatnonzero(self.within.shift_P - shift_P):
            by, mask = self.within.shift_P[i] - shift_P[i], masks.get(MASK + names[i], 0)
            for rows in (level_LK, within_PK):
                rows[:, 1 + i] += by * rows[:, mask]
        return level_LK, within_PK


def about_levels(root_PP: Float, weight: float) -> Float:
    """The factor of columns whose means are 0, (K, K)."""
    root_KK = np.zeros((1 + len(root_PP),) * 2)
    root_KK[0, 0], root_KK[1:, 1:] = np.sqrt(weight), root_PP
    return root_KK


def _common_shift(a: MomentsByLevel, b: MomentsByLevel) -> Float:
    """The first record's, but of a column without any value there the second's."""
    shift_P, position = a.within.shift_P.copy(), a._position()
    for name in a.gaps:
        if not a.level_LK[:, position[MASK + name]].any():
            shift_P[position[name] - 1] = b.within.shift_P[position[name] - 1]
    return shift_P


def _joined(
    levels: Sequence[str], a: tuple[Sequence[str], Float], b: tuple[Sequence[str], Float]
) -> tuple[Float, Float]:
    """The rows of all levels, those that both have rotated into one; and what the rotation leaves, which has no 1."""
    at = {level: i for i, level in enumerate(levels)}
    rows_a, rows_b = (np.zeros((len(levels), root.shape[1])) for _, root in (a, b))
    rows_a[[at[level] for level in a[0]]] = a[1]
    rows_b[[at[level] for level in b[0]]] = b[1]
    ones_a, ones_b = rows_a[:, :1], rows_b[:, :1]
    norm = np.hypot(ones_a, ones_b)
    both = (ones_a[:, 0] > 0) & (ones_b[:, 0] > 0)
    rotated = np.where(both[:, None], (ones_a * rows_a + ones_b * rows_b) / norm, rows_a + rows_b)
    return rotated, ((ones_a * rows_b - ones_b * rows_a) / norm)[both]
