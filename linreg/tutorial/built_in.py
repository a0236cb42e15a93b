"""The same descent with PyTorch's own pieces: ``nn.Linear``, ``DataLoader``, ``mse_loss``, ``torch.optim.SGD``.

    loader = DataLoader(TensorDataset(x, y), batch_size=5, shuffle=True)
    model = nn.Linear(3, 2)
    fit(100, model, mse_loss, torch.optim.SGD(model.parameters(), lr=1e-5), loader)

``TensorDataset``, ``DataLoader`` and ``nn.Linear`` are torch's, used as they are. It keeps no history and does not stop
early: that is ``training.fit.fit``, whose trainer ``builtin`` runs ``one_epoch`` too.
"""

import sys
from collections.abc import Callable, Iterable

import torch
from torch import nn

from linreg.errors import UserError

LossFunction = Callable[..., torch.Tensor]
Batches = Iterable[tuple[torch.Tensor, ...]]


def one_epoch(
    model: nn.Module, loss_fn: LossFunction, opt: torch.optim.Optimizer, train_dl: Batches
) -> torch.Tensor | None:
    """Walk the loader once, one update a batch; the last batch's loss before its update, None where there is no batch.

    Args:
        loss_fn: takes the predictions and what the loader gives beside the features: targets, and weights if any.

    Source: the tutorial, "Model training".
    """
    loss = None
    for x_NF, *rest in train_dl:
        prediction_NO = model(x_NF)  # 1. generate predictions
        loss = loss_fn(prediction_NO, *rest)  # 2. calculate the loss
        loss.backward()  # 3. compute gradients
        opt.step()  # 4. update the parameters
        opt.zero_grad()  # 5. reset the gradients
    return None if loss is None else loss.detach()


def fit(
    num_epochs: int, model: nn.Module, loss_fn: LossFunction, opt: torch.optim.Optimizer, train_dl: Batches
) -> None:
    """Train in place for ``num_epochs``; every tenth prints ``Epoch [10/100], Loss: 744.7711``.

    The loss printed is that of the epoch's last batch, before its update: it jumps about with what the batch held.

    Raises:
        UserError: the loader hands out no batch.

    Source: the tutorial, "Model training"; same arguments in the same order.
    """
    for epoch in range(1, num_epochs + 1):
        loss = one_epoch(model, loss_fn, opt, train_dl)
        if loss is None:
            raise UserError("train_dl hands out no batch: with drop_last, batch_size must not exceed the rows")
        if epoch % 10 == 0:
            sys.stdout.write(f"Epoch [{epoch}/{num_epochs}], Loss: {loss.item():.4f}\n")
