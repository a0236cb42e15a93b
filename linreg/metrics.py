"""How good predictions are: MSE, RMSE, MAE and R2, over all targets and for each.

Shapes: N rows, O targets. The MSE is over all N x O elements, R2 over all targets is the mean of theirs. Where rows
weigh differently, every mean is the weighted one.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]


def regression_metrics(
    actual_NO: Float,
    predicted_NO: Float,
    targets: Sequence[str],
    *,
    prefix: str = "test_",
    weight_N: Float | None = None,
) -> dict[str, float]:
    """All four, named ``test_rmse`` over all targets and ``test_rmse.apples`` for one; errors in the targets' units.

    R2 of a target that does not vary is 1 where it is met exactly, else 0, so that no metric is ever NaN.

    Raises:
        ValueError: the shapes differ.
    """
    if actual_NO.shape != predicted_NO.shape:
        raise ValueError(f"actual {actual_NO.shape} and predicted {predicted_NO.shape} differ in shape")
    error = actual_NO - predicted_NO
    mse, mae = (np.average(e, axis=0, weights=weight_N) for e in (error**2, np.abs(error)))
    r2 = _r2(actual_NO, mse, weight_N)
    out = {"mse": mse.mean(), "rmse": np.sqrt(mse.mean()), "mae": mae.mean(), "r2": r2.mean()}
    for i, target in enumerate(targets):
        each = {"mse": mse[i], "rmse": np.sqrt(mse[i]), "mae": mae[i], "r2": r2[i]}
        out |= {f"{name}.{target}": value for name, value in each.items()}
    return {f"{prefix}{name}": float(value) for name, value in out.items()}


def row_losses(actual_NO: Float, predicted_NO: Float) -> Float:
    """The mean squared error of each row, shape (N,): what a paired comparison of two models is made of."""
    return np.asarray(((actual_NO - predicted_NO) ** 2).mean(axis=1))


def _r2(actual_NO: Float, mse_O: Float, weight_N: Float | None) -> Float:
    mean_O = np.average(actual_NO, axis=0, weights=weight_N)
    variance_O = np.average((actual_NO - mean_O) ** 2, axis=0, weights=weight_N)
    varies = actual_NO.max(axis=0) > actual_NO.min(axis=0)  # a constant's mean is rounded, and its variance not 0
    return np.where(varies, 1 - mse_O / np.where(varies, variance_O, 1.0), np.where(mse_O == 0, 1.0, 0.0))
