"""A record of fewer columns, or of columns in another order: what it would be had only these been recorded.

Columns of the triangular factor are chosen and factored again, so no sum of products is formed and nothing is lost.

Shapes: P columns, K = 1 + P.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from linreg.moments.moments import Moments, factor
from linreg.threads import one_thread


def subset(moments: Moments, features: Sequence[str], targets: Sequence[str]) -> Moments:
    """The record of these columns alone; the record itself, to the bit, where these are its own in its order.

    A column may change its role: a recorded target may be a feature here.

    Raises:
        ValueError: the record has no such column.
    """
    names = tuple(features), tuple(targets)
    if names == (moments.features, moments.targets):
        return moments
    positions = {name: i for i, name in enumerate((*moments.features, *moments.targets))}
    missing = [name for name in (*features, *targets) if name not in positions]
    if missing:
        raise ValueError(f"the record has no column {', '.join(missing)}")
    columns = np.array([positions[name] for name in (*features, *targets)], dtype=np.intp)
    with one_thread():  # a small factor: a second thread only waits, and moves the bits
        root_KK = factor(moments.root_KK[:, np.concatenate([[0], 1 + columns])])
    return replace(moments, features=names[0], targets=names[1], shift_P=moments.shift_P[columns], root_KK=root_KK)
