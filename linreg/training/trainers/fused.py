"""Mini-batch descent with the gradient in closed form, in one compiled pass over the rows an epoch.

The updates of ``builtin`` on the same batches, so the same numbers to rounding; and the same bits every time, on any
x86-64, since batches, sums and rounding are all our own. Where a training is too short for a compiler to pay, each
batch is a few calls of numpy instead, with the bits of one type of machine: how long it is decides, and not what
happens to be compiled.

On an NVIDIA card an epoch is ``kernels.cuda.descent``'s: the same updates on the same batches.

Shapes: N rows, F features, O targets, B rows a batch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from linreg.rows.batches import Blocks, batches, block_rows, epoch_blocks
from linreg.threads import one_thread
from linreg.training.trainers.contract import Problem, State
from linreg.training.trainers.sgd import Sgd

if TYPE_CHECKING:  # numba is loaded where it pays
    from linreg.kernels.batch.shapes import Shape

COMPILING = 100_000  # batches of a training that cost what compiling costs
COMPILING_WORK = 4e8  # products of a training that do

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Fused(Sgd):
    """Gradient descent in one pass an epoch, full or mini-batch, on the CPU or an NVIDIA card."""

    name: ClassVar[str] = "fused"
    cards: ClassVar[tuple[str, ...]] = ("cuda",)
    seeks_cards: ClassVar[bool] = False

    def step(self, problem: Problem, state: State) -> State:
        """One epoch."""
        epoch = int(state["epoch"]) + 1
        if problem.device.type != "cpu":
            return self._on_card(problem, state, epoch)
        arrays = {k: v.numpy().copy() for k, v in state.items() if k != "epoch"}
        run = self._compiled if self._pays(problem) else self._batch_by_batch
        run(problem, arrays, epoch)
        return {**{k: torch.from_numpy(v) for k, v in arrays.items()}, "epoch": torch.tensor(epoch)}

    def _on_card(self, problem: Problem, state: State, epoch: int) -> State:
        from linreg.kernels.cuda import descent  # Triton is loaded where a card is

        x_NF, y_NO = problem.rows()
        size, shuffled = self._batch(len(x_NF))
        blocks = epoch_blocks(len(x_NF), size, seed=problem.seed, epoch=epoch) if shuffled else None
        how = descent.How(self.rate(epoch), self.momentum, self.dampening, self.nesterov, self.weight_decay)
        given = {k: v for k, v in state.items() if k != "epoch"}
        moved = descent.epoch(descent.Rows(x_NF, y_NO, problem.weight_N), blocks, size, how, given)
        return {**moved, "epoch": torch.tensor(epoch)}

    def _batch(self, rows: int) -> tuple[int, bool]:
        """How many rows a batch has, and whether they come in an order of the epoch's own."""
        size = self.batch_size if 0 < self.batch_size < rows else rows
        return size, self.shuffle and size < rows

    def _pays(self, problem: Problem) -> bool:
        """Whether the whole training is long enough for a compiler."""
        x_NF, y_NO = problem.rows()
        rows, size = len(x_NF), self.batch_size or len(x_NF)
        count = self.epochs * -(-rows // size)
        return count > COMPILING or self.epochs * rows * (x_NF.shape[1] + 1.0) * y_NO.shape[1] > COMPILING_WORK

    def together(self, problem: Problem) -> bool:
        """Whether several such models can share a pass: plain descents on the CPU, long enough, of a compiled shape."""
        if self.momentum or problem.device.type != "cpu" or not self._pays(problem):
            return False
        from linreg.kernels.batch import model_lanes

        return model_lanes.fits(self._shape(problem))

    def _shape(self, problem: Problem) -> "Shape":
        from linreg.kernels.batch.shapes import Shape

        x, y, w = _source(problem)
        return Shape(x.dtype, x.shape[1], y.shape[1], weighted=w.size > 0, momentum=self.momentum > 0)

    def _compiled(self, problem: Problem, arrays: dict[str, Array], epoch: int) -> None:
        from linreg.kernels.batch import epoch as loops  # numba is loaded where it pays
        from linreg.kernels.batch import layout

        x, y, w = _source(problem)
        order, first = self._order(problem, epoch), "weight_velocity" not in arrays
        walk = loops.epoch(self._shape(problem), short=order.batch <= loops.FEW)
        theta = layout.pack(arrays["weight"], arrays["bias"])
        velocity = np.zeros_like(theta) if first else layout.pack(arrays["weight_velocity"], arrays["bias_velocity"])
        walk((x.ravel(), y.ravel(), w), *order, theta, velocity, self._how(x.dtype, epoch), first)
        shape = x.shape[1], y.shape[1]
        arrays["weight"], arrays["bias"] = layout.unpack(theta, *shape)
        if self.momentum:
            arrays["weight_velocity"], arrays["bias_velocity"] = layout.unpack(velocity, *shape)

    def _order(self, problem: Problem, epoch: int) -> "_Order":
        rows = len(problem.rows()[0])
        size, shuffled = self._batch(rows)
        blocks = epoch_blocks(rows, size, seed=problem.seed, epoch=epoch) if shuffled else _in_order(rows, size)
        return _Order(blocks.order_C, blocks.keys_C3, blocks.tail_T, blocks.size, size, shuffled)

    def _how(self, dtype: np.dtype[Any], epoch: int) -> Array:
        """The numbers of one epoch that ``kernels.batch.epoch`` takes."""
        rate = self.rate(epoch)
        keep = 1 - rate * self.weight_decay
        return np.array([rate, self.momentum, 1 - self.dampening, self.nesterov, self.weight_decay, keep], dtype)

    def _batch_by_batch(self, problem: Problem, arrays: dict[str, Array], epoch: int) -> None:
        """The same updates, one batch after the other."""
        x, y, w = _source(problem)
        rate = x.dtype.type(self.rate(epoch))
        order = batches(len(x), self.batch_size, seed=problem.seed, epoch=epoch, shuffle=self.shuffle)
        with one_thread():  # the bits of numpy's products must not hang on how many there are
            self._each(order, (x, y, w), rate, arrays)

    def _each(
        self,
        order: Iterable[torch.Tensor | slice],
        source: tuple[Array, Array, Array],
        rate: np.floating[Any],
        arrays: dict[str, Array],
    ) -> None:
        x, y, w = source
        for rows in order:
            i = rows.numpy() if isinstance(rows, torch.Tensor) else rows
            x_BF, y_BO = x[i], y[i]
            r_BO = x_BF @ arrays["weight"].T + arrays["bias"] - y_BO
            if w.size:
                r_BO *= w[i, None]
            r_BO *= x.dtype.type(2 / y_BO.size)
            decayed = r_BO.T @ x_BF + x.dtype.type(self.weight_decay) * arrays["weight"]
            for name, gradient in (("weight", decayed), ("bias", r_BO.sum(axis=0))):
                arrays[name] -= rate * self._direction(name, gradient, arrays)

    def _direction(self, name: str, gradient: Array, arrays: dict[str, Array]) -> Array:
        """What the learning rate multiplies: the gradient, or the velocity that it feeds."""
        if not self.momentum:
            return gradient
        kind, key = gradient.dtype.type, f"{name}_velocity"
        old = arrays.get(key)
        new = gradient if old is None else kind(self.momentum) * old + kind(1 - self.dampening) * gradient
        arrays[key] = new
        return gradient + kind(self.momentum) * new if self.nesterov else new


class _Order(NamedTuple):
    """How an epoch walks the rows, as the compiled loops take it; see ``Blocks``."""

    order_C: Array
    keys_C3: Array
    tail_T: Array
    block: int
    batch: int
    shuffled: bool


def models_at_once(problem: Problem) -> int:
    """How many models a pass serves."""
    from linreg.kernels.batch.shapes import vector_lanes

    return vector_lanes(problem.rows()[0].numpy().dtype)


def step_many(trainers: Sequence[Fused], problem: Problem, states: Sequence[State]) -> list[State]:
    """One epoch of several models at once: the state of each, as its own ``step`` gives it.

    Args:
        trainers: of models that can go ``together``, at most ``models_at_once``; the same batches in the same order.
        problem: the rows of all of them.
        states: of each, after the same number of epochs.
    """
    from linreg.kernels.batch import epoch as loops
    from linreg.kernels.batch import layout

    x, y, w = _source(problem)
    epoch, shape = int(states[0]["epoch"]) + 1, (x.shape[1], y.shape[1])
    order = trainers[0]._order(problem, epoch)
    walk = loops.epoch_of_many(trainers[0]._shape(problem), batch=order.batch)
    theta = layout.pack_many([layout.pack(s["weight"].numpy(), s["bias"].numpy()) for s in states], *shape)
    how_K6 = np.stack([t._how(x.dtype, epoch) for t in trainers])
    how = layout.pack_settings(how_K6[:, [0, 4, 5]])
    walk((x.ravel(), y.ravel(), w), *order, theta, np.empty(0, x.dtype), how, epoch == 1)
    moved = [layout.unpack(p, *shape) for p in layout.unpack_many(theta, *shape, len(states))]
    done = torch.tensor(epoch)
    return [{"weight": torch.from_numpy(a), "bias": torch.from_numpy(b), "epoch": done} for a, b in moved]


def _source(problem: Problem) -> tuple[Array, Array, Array]:
    """The rows as arrays that share the tensors' memory; no weights: an empty array."""
    x_NF, y_NO = problem.rows()
    w = np.empty(0, x_NF.numpy().dtype) if problem.weight_N is None else problem.weight_N.numpy()
    return x_NF.numpy(), y_NO.numpy(), w


def _in_order(rows: int, size: int) -> Blocks:
    """Blocks of rows one after the other."""
    block = block_rows(size)
    count = -(-rows // block)
    return Blocks(block, np.arange(count), np.ones((count, 3), np.uint32), np.empty(0, np.uint32))
