"""Correct digits on hard least-squares problems: ours beside numpy, scikit-learn, statsmodels and normal equations.

The judges are the certified values of NIST's StRD, and exact rational arithmetic on four hard classes made here. Each
contender fits the same float64 columns in several orders of the rows, and the median counts: one order is luck, which
moves the last digit up or down by half a digit and more. No times are taken.

Shapes: N rows, F features, P parameters, the intercept first where there is one.
"""

import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from bench import data, rational, strd
from bench.harness import Result, peer
from bench.strd import Float, Reference
from linreg.config import TrainConfig
from linreg.moments import from_rows
from linreg.moments.moments import Moments
from linreg.moments.solution import Solution
from linreg.training.fit import fit

MOST = 15.0  # digits: what float64 can hold, and as many as are certified
WITHIN = 0.1  # the ratio of errors that is within one digit
PEERS = ("numpy", "scikit-learn", "statsmodels")  # each with the settings of its own that do best
QUANTITIES = ("parameters", "residual deviation", "R2")


@dataclass(frozen=True)
class Fitted:
    """What a contender found; parameters the intercept first where there is one."""

    parameters_P: Float
    residual_squares: float
    r2: float


def run(*, orders: int = 15) -> list[Result]:
    """One result a data set and quantity, in digits."""
    return [result for reference in references() for result in _judge(reference, orders)]


def references() -> list[Reference]:
    """NIST's eleven, then the four hard classes."""
    return [*strd.load().values(), *(_reference(name, *arrays) for name, arrays in hard().items())]


def hard() -> dict[str, tuple[Float, Float]]:
    """Rows of the four classes that break normal equations; features (N, F) and response (N,)."""
    rng = np.random.default_rng(7)
    x_NF, noise_N = rng.normal(size=(60, 3)), rng.normal(size=60)
    near_NF = np.column_stack([x_NF[:, 0], x_NF[:, 0] + 1e-6 * x_NF[:, 1]])
    powers_NF = np.linspace(0, 10, 60)[:, None] ** np.arange(1, 11)
    return {
        "badly scaled": (x_NF * [1e-8, 1, 1e8], x_NF @ [2.0, -3.0, 1.0] + noise_N),
        "collinear to 1e-6": (near_NF, near_NF @ [1.0, 1.0] + noise_N),
        "mean 1e6 spreads": (x_NF + 1e6, x_NF @ [2.0, -3.0, 1.0] + noise_N),
        "degree 10": (powers_NF, powers_NF @ 0.1 ** np.arange(1, 11) + noise_N),
    }


def digits(values: Sequence[float] | Float, truth: Sequence[Decimal]) -> float:
    """Correct digits of the worst: -log10 of the relative error, of the absolute one where 0 is right; 0 to 15."""
    pairs = [(Fraction(float(f)), Fraction(t)) for f, t in zip(values, truth, strict=True)]
    worst = max(abs(f - t) / (abs(t) if t else 1) for f, t in pairs)
    return float(np.clip(-np.log10(max(float(worst), 1e-300)), 0.0, MOST))


def _judge(reference: Reference, orders: int) -> list[Result]:
    scores: dict[str, list[tuple[float, ...]]] = {name: [] for name in _contenders(reference)}
    x_NF, y_N = reference.arrays()
    for seed in range(orders):
        order = np.random.default_rng(seed).permutation(len(y_N)) if seed else np.arange(len(y_N))
        for name, contender in _contenders(reference).items():
            scores[name].append(_score(contender(x_NF[order], y_N[order]), reference))
    rounded = rational.of_arrays(x_NF, y_N, intercept=reference.intercept)
    best = Fitted(np.array(rounded.parameters_P, dtype=float), float(rounded.residual_squares), float(rounded.r2))
    scores["rounded columns"] = [_score(best, reference)]
    return [_result(reference.name, quantity, i, scores, orders) for i, quantity in enumerate(QUANTITIES)]


def _score(fitted: Fitted, reference: Reference) -> tuple[float, float, float]:
    """Digits of each of the quantities."""
    truth, p = reference.certified, len(reference.certified.parameters_P)
    deviation = np.sqrt(fitted.residual_squares / (len(reference.y_N) - p))
    return (
        digits(fitted.parameters_P, truth.parameters_P),
        digits([deviation], [truth.residual_deviation]),
        digits([fitted.r2], [truth.r2]),
    )


def _result(name: str, quantity: str, i: int, scores: dict[str, list[tuple[float, ...]]], orders: int) -> Result:
    """Ratios are the peer's error over ours; only the best of a peer's two settings is held to a target."""
    own = {who: [score[i] for score in of_orders] for who, of_orders in scores.items()}
    medians = {who: statistics.median(values) for who, values in own.items()}
    spread = {who: (min(values), max(values)) for who, values in own.items()}
    ours = medians.pop("ours")
    ratio = {who: 10 ** (ours - value) for who, value in medians.items()}
    note = f"correct digits of the {quantity}, medians of {orders} orders of the rows; ratio: their error over ours"
    return Result(
        f"{name}, {quantity}", "digits", ours, medians, ratio, {p: WITHIN for p in PEERS if p in medians}, note, spread
    )


Contender = Callable[[Float, Float], Fitted]


def _contenders(reference: Reference) -> dict[str, Contender]:
    through = reference.intercept
    ours = {
        "ours": lambda x, y: _exact(x, y, standardize=False) if through else _record(x, y, 1, through),
        "ours, standardized": lambda x, y: _exact(x, y, standardize=True) if through else _record(x, y, 1, through),
        "ours, 3 leaves": lambda x, y: _record(x, y, 3, through),
        "ours, compiled": lambda x, y: _solved(from_rows.moments(data.rows(x, y[:, None]), method="R")[0], through),
    }
    peers = {
        "numpy": lambda x, y: _numpy(x, y, through, rcond=0),
        "numpy, default": lambda x, y: _numpy(x, y, through, rcond=None),
    }
    if linear := peer("sklearn.linear_model"):
        peers["scikit-learn"] = lambda x, y: _sklearn(linear, x, y, through, tol=0)
        peers["scikit-learn, default"] = lambda x, y: _sklearn(linear, x, y, through)
    if sm := peer("statsmodels.api"):
        peers["statsmodels"] = lambda x, y: _statsmodels(sm, x, y, through, method="qr")
        peers["statsmodels, default"] = lambda x, y: _statsmodels(sm, x, y, through, method="pinv")
    return ours | peers | {"normal equations": lambda x, y: _normal_equations(x, y, through)}


def _record(x_NF: Float, y_N: Float, leaves: int, intercept: bool) -> Fitted:
    blocks = np.array_split(np.column_stack([x_NF, y_N]), leaves)
    return _solved(Moments.of(blocks, *data.names(x_NF.shape[1])), intercept)


def _solved(moments: Moments, intercept: bool) -> Fitted:
    solution = (moments := replace(moments, intercept=intercept).equations).solve()
    start_O = solution.bias_O - solution.weight_OF @ solution.mean_F
    parameters_P = np.concatenate([start_O, solution.weight_OF[0]])
    return _ours(parameters_P if intercept else parameters_P[1:], moments, solution)


def _exact(x_NF: Float, y_N: Float, *, standardize: bool) -> Fitted:
    """Through the trainer: the model's slopes and intercept in the data's own units."""
    fitted = fit(data.rows(x_NF, y_N[:, None]), TrainConfig(trainer="exact", standardize=standardize))
    parameters_P = np.concatenate([fitted.model.intercept_O, fitted.model.weight_OF[0]])
    return _ours(parameters_P, fitted.objective.moments, fitted.objective.moments.solve())


def _ours(parameters_P: Float, moments: Moments, solution: Solution) -> Fitted:
    """R2 from the record: the explained share of the squares, so that a small one keeps its digits."""
    response = moments.centred_PP[:, -1]
    r2 = float(response[:-1] @ response[:-1] / (response @ response))
    return Fitted(parameters_P, float(solution.residual_O[0]), r2)


def _design(x_NF: Float, intercept: bool) -> Float:
    return np.column_stack([np.ones(len(x_NF)), x_NF]) if intercept else x_NF


def _of_residuals(parameters_P: Float, x_NF: Float, y_N: Float, intercept: bool) -> Fitted:
    residual_N = y_N - _design(x_NF, intercept) @ parameters_P
    squares, about = float(residual_N @ residual_N), y_N - y_N.mean() if intercept else y_N
    return Fitted(parameters_P, squares, 1 - squares / float(about @ about))


def _numpy(x_NF: Float, y_N: Float, intercept: bool, *, rcond: float | None) -> Fitted:
    parameters_P = np.linalg.lstsq(_design(x_NF, intercept), y_N, rcond=rcond)[0]
    return _of_residuals(parameters_P, x_NF, y_N, intercept)


def _sklearn(linear: Any, x_NF: Float, y_N: Float, intercept: bool, **settings: float) -> Fitted:
    model = linear.LinearRegression(fit_intercept=intercept, **settings).fit(x_NF, y_N)
    parameters = [model.intercept_, *model.coef_] if intercept else model.coef_
    return _of_residuals(np.array(parameters), x_NF, y_N, intercept)


def _statsmodels(sm: Any, x_NF: Float, y_N: Float, intercept: bool, *, method: str) -> Fitted:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of Filip's condition, and rightly: its digits tell
        model = sm.OLS(y_N, _design(x_NF, intercept)).fit(method=method)
        return Fitted(np.asarray(model.params), float(model.ssr), float(model.rsquared))


def _normal_equations(x_NF: Float, y_N: Float, intercept: bool) -> Fitted:
    """The deterrent: plain float64 sums of products."""
    design = _design(x_NF, intercept)
    return _of_residuals(np.linalg.solve(design.T @ design, design.T @ y_N), x_NF, y_N, intercept)


def _reference(name: str, x_NF: Float, y_N: Float) -> Reference:
    rows = tuple(tuple(map(Decimal, row)) for row in x_NF.tolist())
    return Reference(name, "made here", True, 1, tuple(map(Decimal, y_N.tolist())), rows, rational.of_arrays(x_NF, y_N))


def table(results: list[Result]) -> str:
    """A table a quantity, a row a data set, in Markdown; docs/digits.md holds them as they are printed."""
    return "\n\n".join(_table(quantity, results) for quantity in QUANTITIES)


def _table(quantity: str, results: list[Result]) -> str:
    rows = [r for r in results if r.case.endswith(f", {quantity}")]
    head = [quantity, "ours", *rows[0].against]
    body = [[r.case.removesuffix(f", {quantity}"), *(f"{v:.1f}" for v in (r.ours, *r.against.values()))] for r in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] + ["--:"] * (len(head) - 1), *body])
