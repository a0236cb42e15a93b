"""The tutorial's printed numbers beside ours, and how far apart the rounding of its printed weights lets them be.

The tutorial prints its parameters with four decimals and computes with more. So every parameter is known to half a unit
of the fourth decimal, h = 5e-5, and a number q that is at most quadratic in the parameters theta is known to

    |q(theta + d) - q(theta)| <= h sum_j |J_j| + h^2 / 2 sum_jk |K_jk|        for all |d_j| <= h,

J its gradient and K its second derivatives at the printed parameters, plus half a unit of its own last decimal.
Numbers that hang on draws which are not printed are not in the table.

Shapes: N rows, F features, O targets, P = O F + O parameters (weights row by row, then biases), Q printed numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import lsq_linear
from torch.func import grad, jacrev

from linreg.metrics import Float
from linreg.rows.rows import Rows
from linreg.tutorial import printed_numbers
from linreg.tutorial.by_hand import gradients, mse, regression_model, tensors, update, zero_gradients

_HALF_UNIT = 0.5e-4  # of the fourth decimal
_EPS = 2.0**-24  # relative rounding of float32


@dataclass(frozen=True)
class Line:
    """One printed number.

    Args:
        what: which number it is.
        printed: as the tutorial prints it.
        ours: from the tutorial's printed parameters, in float32 as there.
        allowed: the largest difference that the rounding of those parameters explains.
    """

    what: str
    printed: float
    ours: float
    allowed: float

    @property
    def difference(self) -> float:
        """Ours minus the printed one."""
        return self.ours - self.printed


def table(first: Rows, second: Rows) -> list[Line]:
    """Every number that follows from printed parameters, in the tutorial's order.

    Args:
        first: the 5 rows of the descent by hand.
        second: the 15 rows of the built-ins.
    """
    theta_P = parameters(printed_numbers.WEIGHT_OF, printed_numbers.BIAS_O)
    allowed_Q = _allowed(_numbers(*first.arrays()), theta_P)
    ours_Q, zeros_P = _step_by_hand(*first.arrays())
    numbers = zip(_names(first), printed_in_order(), ours_Q, allowed_Q, strict=True)
    lines = [Line(name, *map(float, values)) for name, *values in numbers]
    names = _gradient_names(first)
    zeros = [Line(f"{name}, zeroed", 0.0, float(z), 0.0) for name, z in zip(names, zeros_P, strict=True)]
    return [*lines[:-1], *zeros, lines[-1], _linear_layer(second)]


def text(lines: Sequence[Line]) -> str:
    """The table as aligned text, four decimals as in the tutorial, and one line at the end that sums it up."""
    wide = max(len(line.what) for line in lines)
    head = f"{'':{wide}}{'printed':>14}{'ours':>14}{'difference':>12}{'allowed':>10}"
    body = [
        f"{line.what:{wide}}{line.printed:14.4f}{line.ours:14.4f}{line.difference:12.4f}{line.allowed:10.4f}"
        for line in lines
    ]
    inside = sum(abs(line.difference) <= line.allowed for line in lines)
    return "\n".join([head, *body, f"{inside} of {len(lines)} agree within the rounding of the printed weights"])


def restored(first: Rows) -> tuple[Float, Float]:
    """The parameters inside the rounding of the printed ones that come closest to the twenty printed numbers.

    Returns:
        theta_P, and the numbers that follow from it, shape (Q,), in float64.

    Least squares in units of each number's own rounding, within the box, by Gauss and Newton's iteration; the numbers
    are so nearly linear in the box that three rounds are enough.
    """
    numbers, start_P = _numbers(*first.arrays()), parameters(printed_numbers.WEIGHT_OF, printed_numbers.BIAS_O)
    unit_Q = np.maximum(_HALF_UNIT, 4 * _EPS * np.abs(printed_in_order()))
    theta_P = start_P
    for _ in range(3):
        jacobian_QP = jacrev(numbers)(theta_P).numpy() / unit_Q[:, None]
        residual_Q = (printed_in_order() - numbers(theta_P).numpy()) / unit_Q
        low_P, high_P = ((start_P - theta_P).numpy() + side * _HALF_UNIT for side in (-1, 1))
        theta_P = theta_P + torch.from_numpy(lsq_linear(jacobian_QP, residual_Q, (low_P, high_P)).x)
    return theta_P.numpy(), numbers(theta_P).numpy()


def parameters(weight_OF: Float, bias_O: Float) -> torch.Tensor:
    """``theta_P``: the weights row by row, then the biases, in float64."""
    return torch.from_numpy(np.concatenate([weight_OF.ravel(), bias_O]))


def printed_in_order() -> Float:
    """The twenty printed numbers in the order of the table: predictions, loss, gradients, loss after the update."""
    p = printed_numbers
    parts = (p.PREDICTIONS_NO, p.LOSS, p.WEIGHT_GRADIENT_OF, p.BIAS_GRADIENT_O, p.NEXT_LOSS)
    return np.concatenate([np.ravel(part) for part in parts])


def _numbers(x_NF: Float, y_NO: Float) -> Callable[[torch.Tensor], torch.Tensor]:
    """The same twenty as a function of ``theta_P``, in float64, for derivatives."""
    x, y = torch.from_numpy(x_NF), torch.from_numpy(y_NO)
    loss = _loss(x, y)

    def numbers(theta_P: torch.Tensor) -> torch.Tensor:
        slope_P = grad(loss)(theta_P)
        after = loss(theta_P - printed_numbers.LEARNING_RATE * slope_P)
        prediction_NO = regression_model(x, *_split(theta_P, y.shape[1]))
        return torch.cat([prediction_NO.ravel(), loss(theta_P)[None], slope_P, after[None]])

    return numbers


def _loss(x_NF: torch.Tensor, y_NO: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda theta_P: mse(regression_model(x_NF, *_split(theta_P, y_NO.shape[1])), y_NO)


def _split(theta_P: torch.Tensor, targets: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``weight_OF`` and ``bias_O``."""
    return theta_P[:-targets].reshape(targets, -1), theta_P[-targets:]


def _allowed(numbers: Callable[[torch.Tensor], torch.Tensor], theta_P: torch.Tensor) -> Float:
    """The module's bound; float32 arithmetic stays below a hundredth of it."""
    first_QP, second_QPP = jacrev(numbers)(theta_P), jacrev(jacrev(numbers))(theta_P)
    moved_Q = _HALF_UNIT * first_QP.abs().sum(1) + _HALF_UNIT**2 / 2 * second_QPP.abs().sum((1, 2))
    return np.asarray(moved_Q.numpy() + _HALF_UNIT)


def _step_by_hand(x_NF: Float, y_NO: Float) -> tuple[Float, Float]:
    """One step of the tutorial with the library's functions: the twenty numbers, and the gradients once zeroed."""
    x, y = tensors(x_NF, y_NO)
    start = printed_numbers.WEIGHT_OF, printed_numbers.BIAS_O
    weight, bias = (torch.from_numpy(p).float().requires_grad_() for p in start)
    prediction = regression_model(x, weight, bias)
    loss = mse(prediction, y)
    slopes = gradients(loss, weight, bias)
    update(weight, bias, learning_rate=printed_numbers.LEARNING_RATE)
    zero_gradients(weight, bias)
    after = mse(regression_model(x, weight, bias), y)
    return _concatenate(prediction, loss, *slopes, after), _concatenate(weight.grad, bias.grad)


def _concatenate(*parts: torch.Tensor | None) -> Float:
    return np.concatenate([p.detach().double().numpy().ravel() for p in parts if p is not None])


def _linear_layer(second: Rows) -> Line:
    """The loss of the printed ``nn.Linear`` on the second table."""
    x_NF, y_NO = second.arrays()
    weight, bias = printed_numbers.LINEAR_WEIGHT_OF, printed_numbers.LINEAR_BIAS_O
    loss = _loss(torch.from_numpy(x_NF), torch.from_numpy(y_NO))
    allowed = _allowed(lambda theta_P: loss(theta_P)[None], parameters(weight, bias))
    x, y = tensors(x_NF, y_NO)
    model = torch.nn.Linear(x.shape[1], y.shape[1])
    model.load_state_dict({"weight": torch.from_numpy(weight).float(), "bias": torch.from_numpy(bias).float()})
    ours = torch.nn.functional.mse_loss(model(x), y).item()
    return Line("loss of nn.Linear, 15 rows", printed_numbers.LINEAR_LOSS, ours, float(allowed[0]))


def _names(first: Rows) -> list[str]:
    rows = range(1, len(first) + 1)
    predictions = [f"prediction, row {n}, {t}" for n in rows for t in first.targets]
    return [*predictions, "loss", *_gradient_names(first), "loss after one update"]


def _gradient_names(first: Rows) -> list[str]:
    """The gradient's elements in the order of ``theta_P``."""
    weights = [f"{t}, weight of {f}" for t in first.targets for f in first.features]
    return [f"gradient, {name}" for name in [*weights, *(f"{t}, bias" for t in first.targets)]]
