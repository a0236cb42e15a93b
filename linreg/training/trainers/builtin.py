"""The tutorial's second half: ``nn.Linear``, ``TensorDataset``, ``DataLoader``, ``mse_loss``, ``torch.optim.SGD``."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

from linreg.rows.batches import batches
from linreg.training.trainers.contract import Problem, State
from linreg.training.trainers.sgd import Sgd
from linreg.tutorial import one_epoch


@dataclass(frozen=True)
class Builtin(Sgd):
    """Gradient descent with PyTorch's own pieces, full or mini-batch."""

    name: ClassVar[str] = "builtin"

    def step(self, problem: Problem, state: State) -> State:
        """One epoch of the tutorial's ``fit``."""
        x_NF, y_NO = problem.rows()
        epoch = int(state["epoch"]) + 1
        model, optimizer = self._restore(problem, state, self.rate(epoch))
        order = list(batches(len(x_NF), self.batch_size, seed=problem.seed, epoch=epoch, shuffle=self.shuffle))
        # The sampler hands out whole batches, so the loader must not gather rows one by one; with a generator of its
        # own it leaves the caller's random state alone.
        columns = (x_NF, y_NO) if problem.weight_N is None else (x_NF, y_NO, problem.weight_N)
        loader = DataLoader(TensorDataset(*columns), sampler=order, batch_size=None, generator=torch.Generator())
        one_epoch(model, mse_loss if problem.weight_N is None else weighted_mse_loss, optimizer, loader)
        out = {"weight": model.weight.detach(), "bias": model.bias.detach(), "epoch": torch.tensor(epoch)}
        for name, parameter in (("weight", model.weight), ("bias", model.bias)):
            velocity = optimizer.state[parameter].get("momentum_buffer")
            if velocity is not None:
                out[f"{name}_velocity"] = velocity
        return out

    def _restore(self, problem: Problem, state: State, rate: float) -> tuple[nn.Linear, torch.optim.SGD]:
        """The module and the optimizer as the state left them; weight decay has a group without the bias."""
        targets, features = state["weight"].shape
        model = nn.utils.skip_init(nn.Linear, features, targets, dtype=problem.dtype, device=problem.device)
        model.load_state_dict({"weight": state["weight"], "bias": state["bias"]})
        groups: list[dict[str, Any]] = [
            {"params": [model.weight], "weight_decay": self.weight_decay},
            {"params": [model.bias], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.SGD(
            groups, lr=rate, momentum=self.momentum, dampening=self.dampening, nesterov=self.nesterov
        )
        for name, parameter in (("weight", model.weight), ("bias", model.bias)):
            if f"{name}_velocity" in state:
                optimizer.state[parameter]["momentum_buffer"] = state[f"{name}_velocity"].clone()
        return model, optimizer


def weighted_mse_loss(prediction_NO: torch.Tensor, target_NO: torch.Tensor, weight_N: torch.Tensor) -> torch.Tensor:
    """``mse_loss`` of rows that count differently: divided by the number of elements, so weights are 1 on average."""
    return (weight_N[:, None] * mse_loss(prediction_NO, target_NO, reduction="none")).mean()
