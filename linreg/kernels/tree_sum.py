"""The sum of some vectors in the order of ``Lanes.total``: what is a sum over lanes for one model, for many at once."""

from typing import Any

from linreg.kernels.jit import inlined
from linreg.kernels.simd import Lanes


def tree(v: Lanes, count: int) -> Any:
    """``sum_of(terms)``, of the first ``count`` of a stack, up to 16: as if the others of 16 lanes were 0."""
    add, get, put = v.add, v.get, v.put
    by_8, by_4, by_2, by_1 = (max(min(count, 2 * step) - step, 0) for step in (8, 4, 2, 1))

    @inlined
    def sum_of(terms: Any) -> Any:
        for i in range(by_8):
            put(terms, i, add(get(terms, i), get(terms, i + 8)))
        for i in range(by_4):
            put(terms, i, add(get(terms, i), get(terms, i + 4)))
        for i in range(by_2):
            put(terms, i, add(get(terms, i), get(terms, i + 2)))
        for i in range(by_1):
            put(terms, i, add(get(terms, i), get(terms, i + 1)))
        return get(terms, 0)

    return sum_of
