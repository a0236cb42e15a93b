"""How good predictions are: MSE, RMSE, MAE and R2, over all targets and for each.

Shapes: N rows, O targets. The MSE is over all N x O elements, R2 over all targets is the mean of theirs. Where rows
weigh differently, every mean is the weighted one.

R2 of a target that does not vary has no meaning: there is nothing to explain. It is 0 here, as for the mean predictor
(a metric must be finite), and it is left out of the mean over targets, which is 0 where none varies.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]


def finite(value: float | None) -> float | None:
    """The number for a strict JSON: None for what is beyond float64."""
    return float(value) if value is not None and math.isfinite(value) else None


def regression_metrics(
    actual_NO: Float,
    predicted_NO: Float,
    targets: Sequence[str],
    *,
    prefix: str = "test_",
    weight_N: Float | None = None,
) -> dict[str, float]:
    """All four, named ``test_rmse`` over all targets and ``test_rmse.apples`` for one; errors in the targets' units.

    Raises:
        ValueError: the shapes differ.
    """
    if actual_NO.shape != predicted_NO.shape:
        raise ValueError(f"actual {actual_NO.shape} and predicted {predicted_NO.shape} differ in shape")
    error = actual_NO - predicted_NO
    mse, mae = (np.average(e, axis=0, weights=weight_N) for e in (error**2, np.abs(error)))
    variance = _variance(actual_NO, weight_N)
    r2 = r2_of(mse, variance)
    metrics = {"mse": mse.mean(), "rmse": np.sqrt(mse.mean()), "mae": mae.mean(), "r2": mean_r2(r2, variance)}
    for i, target in enumerate(targets):
        of_target = {"mse": mse[i], "rmse": np.sqrt(mse[i]), "mae": mae[i], "r2": r2[i]}
        metrics |= {f"{name}.{target}": value for name, value in of_target.items()}
    return {f"{prefix}{name}": float(value) for name, value in metrics.items()}


def squared_errors(actual_NO: Float, predicted_NO: Float) -> Float:
    """Of each row and target, shape (N, O): what a paired comparison of two models is made of."""
    return np.asarray((actual_NO - predicted_NO) ** 2)


def r2_of(mse_O: Float, variance_O: Float) -> Float:
    """``1 - mse / variance`` of each target, shape (O,); 0 where the variance is 0."""
    varies_O = variance_O > 0
    return np.where(varies_O, 1 - mse_O / np.where(varies_O, variance_O, 1.0), 0.0)


def mean_r2(r2_O: Float, variance_O: Float) -> float:
    """Over the targets that vary; 0 where none does."""
    varies_O = variance_O > 0
    return float(r2_O[varies_O].mean()) if varies_O.any() else 0.0


def _variance(actual_NO: Float, weight_N: Float | None) -> Float:
    """The targets' variance, shape (O,); exactly 0 of a constant, whose mean is rounded."""
    mean_O = np.average(actual_NO, axis=0, weights=weight_N)
    variance_O = np.average((actual_NO - mean_O) ** 2, axis=0, weights=weight_N)
    return np.where(actual_NO.max(axis=0) > actual_NO.min(axis=0), variance_O, 0.0)
