"""The tutorial's descent: five steps written out, gradients by autograd, parameters updated by hand."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from linreg.rows.batches import batches
from linreg.training.trainers.contract import Problem, State
from linreg.training.trainers.sgd import Sgd
from linreg.tutorial import mse, regression_model


@dataclass(frozen=True)
class Manual(Sgd):
    """Gradient descent by hand, full or mini-batch.

    Each update is ``torch.optim.SGD``'s: ``g += weight_decay * p`` (weights alone), ``v = momentum * v + (1 -
    dampening) g`` (``v = g`` at first), ``p -= learning_rate * v`` (Nesterov: ``g + momentum * v``).
    """

    name: ClassVar[str] = "manual"

    def step(self, problem: Problem, state: State) -> State:
        """One epoch: for every batch, predict, measure, differentiate, update, reset."""
        x_NF, y_NO = problem.rows()
        w = state["weight"].clone().requires_grad_()
        b = state["bias"].clone().requires_grad_()
        velocity = {k: state[k].clone() for k in ("weight_velocity", "bias_velocity") if k in state}
        epoch = int(state["epoch"]) + 1
        rate, weight_N = self.rate(epoch), problem.weight_N
        for rows in batches(len(x_NF), self.batch_size, seed=problem.seed, epoch=epoch, shuffle=self.shuffle):
            prediction = regression_model(x_NF[rows], w, b)  # 1. generate predictions
            weights = None if weight_N is None else weight_N[rows]
            loss = mse(prediction, y_NO[rows], weights)  # 2. calculate the loss
            loss.backward()  # 3. compute gradients
            with torch.no_grad():  # 4. adjust the parameters
                w -= rate * self._direction("weight", w, velocity, self.weight_decay)
                b -= rate * self._direction("bias", b, velocity, 0.0)
                _zero(w)  # 5. reset the gradients
                _zero(b)
        return {"weight": w.detach(), "bias": b.detach(), "epoch": torch.tensor(epoch), **velocity}

    def _direction(self, name: str, p: torch.Tensor, velocity: dict[str, torch.Tensor], decay: float) -> torch.Tensor:
        """What the learning rate multiplies: the gradient, or the velocity that it feeds."""
        assert p.grad is not None
        gradient = p.grad + decay * p if decay else p.grad
        if not self.momentum:
            return gradient
        key = f"{name}_velocity"
        old = velocity.get(key)
        v = gradient.clone() if old is None else self.momentum * old + (1 - self.dampening) * gradient
        velocity[key] = v
        return gradient + self.momentum * v if self.nesterov else v


def _zero(p: torch.Tensor) -> None:
    assert p.grad is not None
    p.grad.zero_()
