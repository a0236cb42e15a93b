"""How good predictions are: MSE, RMSE, MAE and R2, over all targets and for each.

Shapes: N rows, O targets. The MSE is over all N x O elements, R2 over all targets is the mean of theirs.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]


def regression_metrics(
    actual_NO: Float, predicted_NO: Float, targets: Sequence[str], *, prefix: str = "test_"
) -> dict[str, float]:
    """All four, named ``test_rmse`` over all targets and ``test_rmse.apples`` for one; errors in the targets' units.

    R2 of a target that does not vary is 1 where it is met exactly, else 0, so that no metric is ever NaN.

    Raises:
        ValueError: the shapes differ.
    """
    if actual_NO.shape != predicted_NO.shape:
        raise ValueError(f"actual {actual_NO.shape} and predicted {predicted_NO.shape} differ in shape")
    error = actual_NO - predicted_NO
    mse, mae, r2 = (error**2).mean(axis=0), np.abs(error).mean(axis=0), _r2(actual_NO, error)
    out = {"mse": mse.mean(), "rmse": np.sqrt(mse.mean()), "mae": mae.mean(), "r2": r2.mean()}
    for i, target in enumerate(targets):
        each = {"mse": mse[i], "rmse": np.sqrt(mse[i]), "mae": mae[i], "r2": r2[i]}
        out |= {f"{name}.{target}": value for name, value in each.items()}
    return {f"{prefix}{name}": float(value) for name, value in out.items()}


def row_losses(actual_NO: Float, predicted_NO: Float) -> Float:
    """The mean squared error of each row, shape (N,): what a paired comparison of two models is made of."""
    return np.asarray(((actual_NO - predicted_NO) ** 2).mean(axis=1))


def _r2(actual_NO: Float, error_NO: Float) -> Float:
    residual = (error_NO**2).sum(axis=0)
    total = ((actual_NO - actual_NO.mean(axis=0)) ** 2).sum(axis=0)
    varies = actual_NO.max(axis=0) > actual_NO.min(axis=0)  # a constant's mean is rounded, and its total not 0
    return np.where(varies, 1 - residual / np.where(varies, total, 1.0), np.where(residual == 0, 1.0, 0.0))
