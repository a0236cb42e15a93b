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
from typing import Any

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Certified:
    """The truth about a data set, in decimals that keep the digits as they were published.

    Args:
        parameters_P, deviations_P: estimates and their standard deviations, the intercept first where there is one.
        residual_deviation: square root of ``residual_squares / (N - P)``.
        r2: about the mean; about zero where there is no intercept.
        residual_squares: sum of squared residuals.
    """

    parameters_P: tuple[Decimal, ...]
    deviations_P: tuple[Decimal, ...]
    residual_deviation: Decimal
    r2: Decimal
    residual_squares: Decimal


@dataclass(frozen=True)
class Reference:
    """A data set and the truth about it.

    Args:
        name: NIST's.
        difficulty: NIST's: lower, average or higher.
        intercept: whether the model has one; else it goes through the origin.
        powers: the degree of a polynomial in the one predictor; 1 where the columns are taken as they are.
        y_N, x_N: the response, and the predictors of each row.
        certified: what the right answer is.
    """

    name: str
    difficulty: str
    intercept: bool
    powers: int
    y_N: tuple[Decimal, ...]
    x_N: tuple[tuple[Decimal, ...], ...]
    certified: Certified

    def arrays(self) -> tuple[Float, Float]:
        """Features (N, F) and response (N,) as float64, powers included: what a program gets to see."""
        x_NF = np.array(self.x_N, dtype=np.float64)
        return x_NF if self.powers == 1 else x_NF ** np.arange(1, self.powers + 1), np.array(self.y_N, dtype=np.float64)


def load() -> dict[str, Reference]:
    """All eleven by name, in NIST's order."""
    document = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(), parse_float=Decimal)
    return {name: _reference(name, entry) for name, entry in document.items()}


def _reference(name: str, entry: dict[str, Any]) -> Reference:
    numbers = [tuple(map(Decimal, line.split())) for line in entry["rows"].splitlines()]
    y_N, x_N = tuple(row[0] for row in numbers), tuple(row[1:] for row in numbers)
    arrays = tuple(entry["parameters"]), tuple(entry["deviations"])
    certified = Certified(*arrays, *(entry[key] for key in ("residual_deviation", "r2", "residual_squares")))
    model = entry["difficulty"], entry.get("intercept", True), entry.get("powers", 1)
    return Reference(name, *model, y_N, x_N, certified)
