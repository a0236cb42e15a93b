"""NIST's reference data sets of linear regression (StRD) with their certified values, as published, digit for digit.

    >>> from bench import strd
    >>> strd.load()["Filip"].arrays()

The numbers stand in ``strd.toml`` beside this file; the tests verify them in exact arithmetic. Nothing is fitted here.

Shapes: N rows, F features (powers included), P parameters, the intercept among them.

Source: https://www.itl.nist.gov/div898/strd/lls/lls.shtml, in the public domain.
"""

import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reference:
    """A data set and the truth about it. Decimals keep the digits as they were published.

    Args:
        name, difficulty: NIST's.
        intercept: whether the model has one; else it goes through the origin.
        powers: the degree of a polynomial in the one predictor; 1 where the columns are taken as they are.
        y_N, x_N: the response, and the predictors of each row.
        parameters_P, deviations_P: estimates and their standard deviations, the intercept first.
        residual_deviation: square root of ``residual_squares / (N - P)``.
        r2: about the mean; about zero where there is no intercept.
        residual_squares: sum of squared residuals.
    """

    name: str
    difficulty: str
    intercept: bool
    powers: int
    y_N: tuple[Decimal, ...]
    x_N: tuple[tuple[Decimal, ...], ...]
    parameters_P: tuple[Decimal, ...]
    deviations_P: tuple[Decimal, ...]
    residual_deviation: Decimal
    r2: Decimal
    residual_squares: Decimal

    def arrays(self) -> tuple[Float, Float]:
        """Features (N, F) and response (N,) as float64, powers included: what a program gets to see."""
        x_NF = np.array(self.x_N, dtype=np.float64)
        return x_NF if self.powers == 1 else x_NF ** np.arange(1, self.powers + 1), np.array(self.y_N, dtype=np.float64)


def load() -> dict[str, Reference]:
    """All eleven by name, in NIST's order."""
    document = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(), parse_float=Decimal)
    return {name: _reference(name, **entry) for name, entry in document.items()}


def _reference(
    name: str,
    *,
    difficulty: str,
    rows: str,
    parameters: list[Decimal],
    deviations: list[Decimal],
    residual_deviation: Decimal,
    r2: Decimal,
    residual_squares: Decimal,
    intercept: bool = True,
    powers: int = 1,
) -> Reference:
    numbers = [tuple(map(Decimal, line.split())) for line in rows.splitlines()]
    y_N, x_N = tuple(row[0] for row in numbers), tuple(row[1:] for row in numbers)
    certified = residual_deviation, r2, residual_squares
    return Reference(name, difficulty, intercept, powers, y_N, x_N, tuple(parameters), tuple(deviations), *certified)
