"""The range of columns: the smallest and the largest value of each, of any number of rows.

    Ranges.of(table.columns) + Ranges.of(other.columns)

Beside a record of moments it tells whether new rows lie where older ones did. A gap (NaN) counts for nothing.

Shapes: P columns.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linreg.metrics import Float


@dataclass(frozen=True)
class Ranges:
    """The range of P columns.

    Args:
        low_P, high_P: the smallest and the largest values; +inf and -inf where a column has none.
    """

    low_P: Float
    high_P: Float

    @classmethod
    def of(cls, columns: Iterable[npt.NDArray[np.floating]]) -> "Ranges":
        """Of columns of floats, each of shape (N,)."""
        ends = [(np.fmin.reduce(c, initial=np.inf), np.fmax.reduce(c, initial=-np.inf)) for c in columns]
        return cls(*np.array(ends, dtype=np.float64).reshape(-1, 2).T)

    def __add__(self, other: "Ranges") -> "Ranges":
        """The range of both sets of rows."""
        return Ranges(np.fmin(self.low_P, other.low_P), np.fmax(self.high_P, other.high_P))
