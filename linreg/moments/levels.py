"""The columns of levels that a model takes and a record of other days lacks, where they follow from those that it has.

A level that no row is at is a column of zeros. The record's own base is 1 less the columns of the category's other
levels. Rows at a level that the record's design does not know count as its base, here as everywhere.

Shapes: A columns that are added, P columns of a record, K = 1 + P.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from linreg.design import Design, Term
from linreg.model import LinearModel
from linreg.moments.moments import Moments, factor
from linreg.threads import one_thread

Others = Mapping[str, tuple[str, ...] | None]  # of each added column, those that 1 is less; None: it is 0 everywhere


def levels_besides(model: LinearModel, features: Collection[str], design: Design | None) -> Others:
    """The columns of levels that follow from those of a record.

    Args:
        model: takes them.
        features: the record's.
        design: the record's; None: it knows no levels.
    """
    if model.design is None or design is None:
        return {}
    out: dict[str, tuple[str, ...] | None] = {}
    for name in model.features:
        term = model.design.terms[name]
        if name in features or term.numbers or term.missing or any(c not in design.levels for c, _ in term.levels):
            continue
        if any(level not in design.levels[column] for column, level in term.levels):
            out[name] = None
        elif others := _beside_base(term, features, design):
            out[name] = others
    return out


def with_levels(moments: Moments, added: Others) -> Moments:
    """The record with these columns after its features."""
    if not added:
        return moments
    at, f = {name: i for i, name in enumerate(moments.features)}, len(moments.features)
    root_KA, shift_A = np.zeros((len(moments.root_KK), len(added))), np.zeros(len(added))
    for a, others in enumerate(added.values()):
        if others is not None:
            columns = np.array([at[name] for name in others])
            root_KA[:, a] = -moments.root_KK[:, 1 + columns].sum(axis=1)
            shift_A[a] = 1 - moments.shift_P[columns].sum()
    ones_and_features, targets = np.split(moments.root_KK, [1 + f], axis=1)
    with one_thread():  # the bits must not hang on how many threads there are
        root_KK = factor(np.hstack([ones_and_features, root_KA, targets]))
    shift_P = np.concatenate([moments.shift_P[:f], shift_A, moments.shift_P[f:]])
    return replace(moments, features=(*moments.features, *added), shift_P=shift_P, root_KK=root_KK)


def _beside_base(term: Term, features: Collection[str], design: Design) -> tuple[str, ...]:
    """The columns of all levels but the base, where the term is the base alone; empty where it is not, or one lacks."""
    (column, level), *more = term.levels
    base, *levels = design.levels[column]
    own = {t.levels: name for name, t in design.terms.items() if not t.numbers and not t.missing}
    others = [own.get(((column, other),), "") for other in levels]
    return tuple(others) if level == base and not more and set(others) <= set(features) else ()
