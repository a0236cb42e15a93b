"""What a formula's terms are made of: the products of columns that are recorded, and the design that they make.

A term is recorded as a product of columns; what ``center`` and ``scale`` subtract and divide by comes from the training
rows of all files, so the design has a sum of recorded products for it, and records of new files merge as they are.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import combinations

from linreg.data_config import DataConfig
from linreg.design import MISSING, Design, Term, level_name
from linreg.errors import UserError
from linreg.factor import Factor
from linreg.formula import KEY, Formula

Statistics = Callable[[str], tuple[float, float]]  # of a number the mean and the spread (n - 1) of the training rows


def products_of(config: DataConfig) -> list[tuple[str, ...]]:
    """The columns, numbers or categories, whose product each recorded group of terms is, in one order."""
    if config.parsed is None:
        return [(name,) for name in config.inputs]
    out: list[tuple[str, ...]] = []
    for term, _ in config.parsed.coded(config.categories):
        learned = [factor.column for factor in term if factor.learned]
        others = [factor.column for factor in term if not factor.learned]
        for count in range(len(learned), -1, -1):
            out += [tuple(sorted([*others, *kept])) for kept in combinations(learned, count)]
    out += [(factor.column,) for factor in config.parsed.factors if factor.learned]
    if config.missing == "indicator":
        out += [(name,) for name in config.factors]
    out = [columns for columns in dict.fromkeys(out) if columns]
    names = [":".join(columns) for columns in out]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{config.path}: a column and a product of others are both called {twice[0]!r}: rename it")
    return out


def inputs_of(config: DataConfig) -> Design:
    """What is computed of the columns of a table, and that its gaps are levels, before any level is known."""
    levels = dict.fromkeys(config.categories, (MISSING,))
    return Design({}, levels, gaps_are_levels=config.missing == "indicator", computed=config.computed)


def formula_terms(
    config: DataConfig, formula: Formula, levels: Mapping[str, Sequence[str]], gaps: Collection[str], of: Statistics
) -> dict[str, Term]:
    """The terms of a formula, by their names.

    Args:
        levels: of every category, the base first.
        gaps: the numbers that get an indicator of being missing.
        of: tells the mean and the spread of a number.

    Raises:
        UserError: a term cannot be made as the config says.
    """
    columns = list(formula.columns(levels))
    affine = {factor: _affine(config, factor, of) for factor in formula.factors if factor.learned}
    terms = {name: _term(levels_at, affine) for name, levels_at in columns}
    _check_names(config, [name for name, _ in columns], terms, levels)
    if config.unseen == "base":
        _check_bases(config, levels, terms)
    return terms | {level_name(name, MISSING): Term(missing=(name,)) for name in config.factors if name in gaps}


def _check_names(
    config: DataConfig, names: Sequence[str], terms: Mapping[str, Term], levels: Mapping[str, Sequence[str]]
) -> None:
    """Refuse two columns of one name: of the design, or of the records that it is made from."""
    parts = {part for term in terms.values() for part in ([p for _, p in term.parts()] if term.affine else [term])}
    of_levels = [level_name(column, level) for column, own in levels.items() for level in own]
    groups = ([*names, *config.targets], [part.name for part in parts], [*config.factors, *of_levels])
    for count in map(Counter, groups):
        if twice := [name for name, times in count.items() if times > 1]:
            what = f"two columns of {KEY}, or a column and a level, are both called {twice[0]!r}"
            raise UserError(f"{config.path}: {what}: rename a column or a level")


def _term(at: Mapping[Factor, str], affine: Mapping[Factor, tuple[float, float]]) -> Term:
    numbers = sorted((factor.column, affine.get(factor, (0.0, 1.0))) for factor, level in at.items() if not level)
    levels = sorted((factor.column, level) for factor, level in at.items() if level)
    shifted = tuple(both for _, both in numbers) if set(at) & set(affine) else ()
    return Term(tuple(name for name, _ in numbers), tuple(levels), (), shifted)


def _affine(config: DataConfig, factor: Factor, of: Statistics) -> tuple[float, float]:
    mean, spread = of(factor.column)
    if factor.learned == "center":
        return mean, 1.0
    if not spread > 0:
        raise UserError(f"{config.path}: {factor.name} of {KEY} divides by 0: {factor.column} is the same in all rows")
    return mean, spread


def _check_bases(config: DataConfig, levels: Mapping[str, Sequence[str]], terms: Mapping[str, Term]) -> None:
    """Refuse to count an unseen level as a base that is a column of its own."""
    for column, own in levels.items():
        if any((column, own[0]) in term.levels for term in terms.values()):
            what = f"every level of '{column}' is a column of its own in {KEY}, so none is a base"
            raise UserError(f'{config.path}: {what}: set data.unseen = "error"')
