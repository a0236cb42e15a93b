"""The range of columns: the smallest and the largest value of each, of any number of rows.

    Ranges.of(table.columns) + Ranges.of(other.columns)

Beside a record of moments it tells whether new rows lie where older ones did. A gap (NaN) counts for nothing. Of the
indicators of one category it also knows that no row has two.

Shapes: P columns.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linreg.design import Design
from linreg.metrics import Float


@dataclass(frozen=True)
class Ranges:
    """The range of P columns.

    Args:
        low_P, high_P: the smallest and the largest values; +inf and -inf where a column has none.
        categories: the columns, by number, that are the indicators of one category: in a row at most one of them is 1.
    """

    low_P: Float
    high_P: Float
    categories: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def of(cls, columns: Iterable[npt.NDArray[np.floating]]) -> "Ranges":
        """Of columns of floats, each of shape (N,)."""
        ends = [(np.fmin.reduce(c, initial=np.inf), np.fmax.reduce(c, initial=-np.inf)) for c in columns]
        return cls(*np.array(ends, dtype=np.float64).reshape(-1, 2).T)

    def __add__(self, other: "Ranges") -> "Ranges":
        """The range of both sets of rows."""
        return Ranges(np.fmin(self.low_P, other.low_P), np.fmax(self.high_P, other.high_P), self.categories)


def indicators(design: Design | None) -> dict[str, str]:
    """The category of each column that is the indicator of a level and nothing else."""
    return {
        name: term.levels[0][0]
        for name, term in (design.terms.items() if design else ())
        if len(term.levels) == 1 and not term.numbers and not term.missing
    }


def categories_of(design: Design | None) -> tuple[tuple[int, ...], ...]:
    """The columns of each category's indicators, by number, of columns that are a design's terms, then targets."""
    number = {name: i for i, name in enumerate(design.terms if design else ())}
    columns: dict[str, list[int]] = {}
    for name, category in indicators(design).items():
        columns.setdefault(category, []).append(number[name])
    return tuple(map(tuple, columns.values()))
