"""Gradient descent written out by hand: the model, the loss, its gradients by autograd, and the update.

    x, y = tensors(inputs, targets)
    weight, bias = draw_parameters(3, 2)
    history = descend(x, y, weight, bias, learning_rate=1e-5, epochs=1000)

Parameters are changed in place, as in the tutorial: a second ``descend`` goes on where the first one ended. Momentum,
weight decay and mini-batches are the trainers' (``training.trainers``); checks of a whole file are ``ingest``'s.

Shapes: N rows, F features, O targets.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from linreg.errors import UserError


def tensors(inputs_NF: npt.ArrayLike, targets_NO: npt.ArrayLike) -> tuple[torch.Tensor, torch.Tensor]:
    """Two tables as float32 tensors ``x_NF`` and ``y_NO``; copies, so a later change of the arrays does not reach them.

    Raises:
        UserError: a table is not a grid of finite numbers, or the two differ in their number of rows.

    Source: the tutorial, "Input data".
    """
    x_NF, y_NO = _grid(inputs_NF, "inputs"), _grid(targets_NO, "targets")
    if len(x_NF) != len(y_NO):
        raise UserError(f"inputs have {len(x_NF)} rows and targets {len(y_NO)}: each row needs both")
    return x_NF, y_NO


def draw_parameters(
    features: int, targets: int, *, generator: torch.Generator | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Standard normal ``weight_OF`` and ``bias_O`` in float32 that record their gradients.

    Args:
        features, targets: F and O.
        generator: where the numbers come from; None: torch's global one, as in the tutorial.

    Source: the tutorial, "Weights and biases initialization".
    """
    weight_OF = torch.randn((targets, features), generator=generator, requires_grad=True)
    bias_O = torch.randn(targets, generator=generator, requires_grad=True)
    return weight_OF, bias_O


def regression_model(x_NF: torch.Tensor, weight_OF: torch.Tensor, bias_O: torch.Tensor) -> torch.Tensor:
    """The model ``x W' + b``; (N, F), (O, F), (O,) to (N, O). Source: the tutorial, "The model"."""
    return x_NF @ weight_OF.T + bias_O


def mse(prediction_NO: torch.Tensor, target_NO: torch.Tensor, weight_N: torch.Tensor | None = None) -> torch.Tensor:
    """The mean squared error over all N x O elements, in the targets' units squared.

    Args:
        weight_N: how much each row counts; the sum is still divided by N x O, so weights are 1 on average.

    Raises:
        ValueError: the shapes differ; ``(N,)`` against ``(N, 1)`` would broadcast to ``(N, N)``.

    Source: the tutorial, "Definition of a Loss function".
    """
    if prediction_NO.shape != target_NO.shape:
        raise ValueError(f"prediction {tuple(prediction_NO.shape)} and target {tuple(target_NO.shape)} differ in shape")
    difference = prediction_NO - target_NO
    square = difference * difference
    return torch.sum(square if weight_N is None else weight_N[:, None] * square) / difference.numel()


def gradients(loss: torch.Tensor, weight_OF: torch.Tensor, bias_O: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Differentiate the loss; copies of ``weight.grad`` (O, F) and ``bias.grad`` (O,), in loss per unit of each.

    PyTorch adds to what ``.grad`` already holds: call ``zero_gradients`` between two losses.

    Raises:
        UserError: a parameter takes no part in the loss, or does not record gradients.

    Source: the tutorial, "Gradient computation".
    """
    if not (weight_OF.requires_grad and bias_O.requires_grad and loss.requires_grad):
        raise UserError("a loss without gradients: make the parameters with draw_parameters, or .requires_grad_()")
    loss.backward()
    if weight_OF.grad is None or bias_O.grad is None:
        raise UserError("the loss does not depend on these parameters: compute it with regression_model from them")
    return weight_OF.grad.clone(), bias_O.grad.clone()


def zero_gradients(*parameters: torch.Tensor) -> None:
    """Set the gradients of the parameters to 0 in place, where there are any. Source: the tutorial, the same place."""
    for p in parameters:
        if p.grad is not None:
            p.grad.zero_()


def update(*parameters: torch.Tensor, learning_rate: float = 1e-5) -> None:
    """Move each parameter downhill in place, ``p -= learning_rate * p.grad``; the gradients stay as they are.

    Source: the tutorial, "Adjust the weights"; Cauchy 1847.
    """
    with torch.no_grad():
        for p in parameters:
            if p.grad is None:
                raise UserError("a parameter has no gradient yet: call gradients before update")
            p -= learning_rate * p.grad


def step(
    x_NF: torch.Tensor, y_NO: torch.Tensor, weight_OF: torch.Tensor, bias_O: torch.Tensor, *, learning_rate: float
) -> float:
    """One epoch over all rows: predict, measure, differentiate, update, reset.

    Returns:
        the loss before the update, in the targets' units squared.

    Source: the tutorial, "Step-by-step: train the model using gradient descent".
    """
    loss = mse(regression_model(x_NF, weight_OF, bias_O), y_NO)
    gradients(loss, weight_OF, bias_O)
    update(weight_OF, bias_O, learning_rate=learning_rate)
    zero_gradients(weight_OF, bias_O)
    return loss.item()


def descend(
    x_NF: torch.Tensor,
    y_NO: torch.Tensor,
    weight_OF: torch.Tensor,
    bias_O: torch.Tensor,
    *,
    learning_rate: float = 1e-5,
    epochs: int = 1000,
    progress: bool = True,
) -> list[float]:
    """Take ``epochs`` steps in place.

    Args:
        x_NF, y_NO: all rows.
        weight_OF, bias_O: the start, and after it the end.
        learning_rate: of every step.
        epochs: how many.
        progress: draw a bar on stderr while it runs, where stderr is a terminal.

    Returns:
        the loss before each update, as the tutorial keeps it: the last entry is not yet the loss of the parameters as
        they end, which is ``mse(regression_model(x, weight, bias), y)``.

    Raises:
        UserError: the loss is no longer finite; the line names the largest stable rate.

    Source: the tutorial, "Train for multiple epochs".
    """
    history: list[float] = []
    for epoch in tqdm(range(epochs), unit="epoch", disable=None if progress else True):  # None: not on a terminal
        history.append(step(x_NF, y_NO, weight_OF, bias_O, learning_rate=learning_rate))
        if not math.isfinite(history[-1]):
            raise UserError(
                f"loss is {history[-1]} at epoch {epoch}: learning_rate {learning_rate:g} is not below the largest "
                f"stable rate {_stable_rate(x_NF, y_NO):.4g}; choose a smaller one and draw the parameters anew"
            )
    return history


def _stable_rate(x_NF: torch.Tensor, y_NO: torch.Tensor) -> float:
    """2 over the largest eigenvalue of the Hessian ``2 [1 | x]'[1 | x] / (N O)``, from a singular value."""
    design = torch.column_stack([torch.ones(len(x_NF)), x_NF]).double()
    return y_NO.numel() / float(torch.linalg.matrix_norm(design, 2)) ** 2


def _grid(values: npt.ArrayLike, name: str) -> torch.Tensor:
    """A two-dimensional float32 tensor of finite numbers."""
    try:
        table = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as e:
        raise UserError(f"{name} are not a grid of numbers ({e}): every row needs the same number of values") from e
    if table.ndim != 2 or not table.size:
        raise UserError(f"{name} have shape {table.shape}, not (rows, columns): one column is values.reshape(-1, 1)")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is told on the next line
        out = torch.from_numpy(table.astype(np.float32))
    if not torch.isfinite(out).all():
        row, column = (int(i) for i in torch.nonzero(~torch.isfinite(out))[0])
        raise UserError(f"{name}[{row}, {column}] is {table[row, column]:g}: fill it or leave the row out")
    return out
