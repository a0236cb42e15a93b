"""Least squares in exact rational arithmetic: the judge where nothing is certified, and the judge of what is.

The normal equations, by Gauss-Jordan elimination on fractions: nothing is rounded before the last step, so that their
condition does not matter. For small data: the numbers grow with every row and column.

Shapes: N rows, F features (powers included), P parameters, the intercept among them.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction

from bench.strd import Certified, Float, Reference

DIGITS = 50


def certify(design: Sequence[Sequence[Fraction]], y_N: Sequence[Fraction], *, centred: bool) -> Certified:
    """What is true of these very numbers, to 50 digits.

    Args:
        design: the rows of the design matrix (N, P), a column of ones included where the model has an intercept.
        y_N: the response.
        centred: whether R2 is about the mean.
    """
    parameters_P, inverse_P = _normal_equations(design, y_N)
    fitted = [sum((b * v for b, v in zip(parameters_P, row, strict=True)), Fraction(0)) for row in design]
    residual = sum(((y - fit) ** 2 for y, fit in zip(y_N, fitted, strict=True)), Fraction(0))
    middle = sum(y_N, Fraction(0)) / len(y_N) if centred else Fraction(0)
    total = sum(((y - middle) ** 2 for y in y_N), Fraction(0))
    variance = residual / (len(y_N) - len(parameters_P))
    deviations = tuple(_root(v * variance) for v in inverse_P)
    parameters = tuple(map(_decimal, parameters_P))
    return Certified(parameters, deviations, _root(variance), _decimal(1 - residual / total), _decimal(residual))


def of_reference(reference: Reference) -> Certified:
    """The truth about the decimals as published, powers taken exactly."""
    rows = [list(map(Fraction, row)) for row in reference.x_N]
    if reference.powers > 1:
        rows = [[row[0] ** k for k in range(1, reference.powers + 1)] for row in rows]
    return certify(_design(rows, reference.intercept), list(map(Fraction, reference.y_N)), centred=reference.intercept)


def of_arrays(x_NF: Float, y_N: Float, *, intercept: bool = True) -> Certified:
    """The truth about float64 columns as they are, whatever they were rounded from."""
    rows = [list(map(Fraction, row)) for row in x_NF.tolist()]
    return certify(_design(rows, intercept), list(map(Fraction, y_N.tolist())), centred=intercept)


def _design(rows: list[list[Fraction]], intercept: bool) -> list[list[Fraction]]:
    return [[Fraction(1), *row] for row in rows] if intercept else rows


def _normal_equations(
    design: Sequence[Sequence[Fraction]], y_N: Sequence[Fraction]
) -> tuple[list[Fraction], list[Fraction]]:
    """The parameters, and the diagonal of the inverse Gram matrix."""
    p = len(design[0])
    columns = [*zip(*design, strict=True)]
    g = [[_dot(a, b) for b in columns] + [Fraction(i == j) for j in range(p)] for i, a in enumerate(columns)]
    g = [[*row, _dot(a, y_N)] for row, a in zip(g, columns, strict=True)]
    for i in range(p):  # the Gram matrix is positive definite: no pivot is zero
        g[i] = [v / g[i][i] for v in g[i]]
        for j in range(p):
            if j != i:
                g[j] = [v - g[j][i] * pivot for v, pivot in zip(g[j], g[i], strict=True)]
    return [row[-1] for row in g], [g[i][p + i] for i in range(p)]


def _dot(a: Iterable[Fraction], b: Iterable[Fraction]) -> Fraction:
    return sum((u * v for u, v in zip(a, b, strict=True)), Fraction(0))


def _decimal(value: Fraction) -> Decimal:
    with localcontext(prec=DIGITS):
        return Decimal(value.numerator) / Decimal(value.denominator)


def _root(value: Fraction) -> Decimal:
    with localcontext(prec=DIGITS):
        return _decimal(value).sqrt()
