"""The tutorial this project began with, step by step: each step a function, each printed number a test.

    python -m linreg.tutorial      prints every reproducible number of the tutorial beside ours

``by_hand`` is its first half (autograd and updates written out), ``built_in`` its second (``torch.nn`` and
``torch.optim``), ``printed_numbers`` what it prints, ``check`` the comparison. The trainers ``manual`` and ``builtin``
use the same model, loss and epoch; nothing here imports them. ``docs/tutorial.ipynb`` walks through all of it.

Source: "Gradient Descent and Linear Regression with PyTorch", after jovian.ai ``aakashns/02-linear-regression``.
"""

from linreg.tutorial.built_in import fit, one_epoch
from linreg.tutorial.by_hand import (
    descend,
    draw_parameters,
    gradients,
    mse,
    regression_model,
    step,
    tensors,
    update,
    zero_gradients,
)

__all__ = [
    "descend",
    "draw_parameters",
    "fit",
    "gradients",
    "mse",
    "one_epoch",
    "regression_model",
    "step",
    "tensors",
    "update",
    "zero_gradients",
]
