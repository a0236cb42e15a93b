"""The same epochs by torch's own operations: for more parameters than the kernels take, and without Triton.

The batches' rows are gathered by their numbers, which are on the card for a whole epoch; whole batches after the first
are one recorded graph, replayed.

Shapes: N rows, F features, O targets, B rows a batch, M whole batches.
"""

from collections.abc import Mapping

import torch

from linreg.kernels.cuda.graph import replayed
from linreg.kernels.cuda.shapes import How, Rows
from linreg.rows.batches import Blocks, order_of

State = Mapping[str, torch.Tensor]


def epoch(rows: Rows, blocks: Blocks | None, batch: int, how: How, state: State) -> dict[str, torch.Tensor]:
    """The state one epoch later; see ``descent.epoch``."""
    walk = Batches(rows, batch, how, state)
    if batch == len(rows.x_NF):
        walk.step(rows)
        return walk.state()
    count = len(rows.x_NF)
    order_N = torch.arange(count) if blocks is None else torch.from_numpy(order_of(blocks, count))
    walk.all_of(order_N.to(rows.x_NF.device))
    return walk.state()


class Batches:
    """The parameters on their way, and the step that a batch makes."""

    def __init__(self, rows: Rows, batch: int, how: How, state: State) -> None:
        self.rows, self.batch, self.nesterov = rows, batch, how.nesterov
        numbers = torch.tensor(how.numbers(), dtype=torch.float64)
        self.rate, self.momentum, self.keep, self.decay = numbers.to(rows.x_NF.device, rows.x_NF.dtype)
        self.has_velocity = how.momentum > 0
        self.now = {name: value.clone() for name, value in state.items()}

    def all_of(self, order_N: torch.Tensor) -> None:
        """Every batch of an order: the first by itself, since it makes the velocity; then the graph; then the rest."""
        whole = len(order_N) // self.batch
        order_MB = order_N[: whole * self.batch].view(whole, self.batch)
        self.step(self._some(order_MB[0]))
        if whole > 1:
            self._replayed(order_MB, whole)
        if rest := order_N[whole * self.batch :].numel():
            self.step(self._some(order_N[-rest:]))

    def _replayed(self, order_MB: torch.Tensor, whole: int) -> None:
        after_first, m = {k: v.clone() for k, v in self.now.items()}, torch.zeros(1, dtype=torch.int64)
        m = m.to(order_MB.device)

        def work() -> None:
            self.step(self._some(order_MB.index_select(0, m)[0]))
            m.add_(1)

        replay = replayed(work, order_MB.device)
        m.fill_(1)
        for name, value in after_first.items():
            self.now[name].copy_(value)
        for _ in range(1, whole):
            replay()

    def _some(self, i_B: torch.Tensor) -> Rows:
        x_NF, y_NO, weight_N = self.rows
        weight_B = None if weight_N is None else weight_N.index_select(0, i_B)
        return Rows(x_NF.index_select(0, i_B), y_NO.index_select(0, i_B), weight_B)

    def step(self, batch: Rows) -> None:
        """One update, in place."""
        x_BF, y_BO, weight_B = batch
        r_BO = (x_BF @ self.now["weight"].T + self.now["bias"] - y_BO) * (2 / y_BO.numel())
        if weight_B is not None:
            r_BO = r_BO * weight_B[:, None]
        decayed = r_BO.T @ x_BF + self.decay * self.now["weight"]
        for name, gradient in (("weight", decayed), ("bias", r_BO.sum(0))):
            self.now[name] -= self.rate * self._direction(name, gradient)

    def _direction(self, name: str, gradient: torch.Tensor) -> torch.Tensor:
        """What the rate multiplies: the gradient, or the velocity that it feeds."""
        if not self.has_velocity:
            return gradient
        old = self.now.get(f"{name}_velocity")
        if old is None:
            old = self.now[f"{name}_velocity"] = gradient.clone()
        else:
            old.mul_(self.momentum).add_(self.keep * gradient)
        return gradient + self.momentum * old if self.nesterov else old

    def state(self) -> dict[str, torch.Tensor]:
        """The parameters, and their velocities with momentum."""
        return self.now
