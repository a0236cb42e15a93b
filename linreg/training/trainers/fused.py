"""Mini-batch descent with the gradient in closed form, in one compiled pass over the rows an epoch.

The updates of ``builtin`` on the same batches, so the same numbers to rounding; and the same bits every time, on any
x86-64, since batches, sums and rounding are all our own. Where a training is too short for a compiler to pay, and on a
CUDA device, an epoch is torch's own operations instead (``torch_epoch``), with the bits of one type of machine: how
long a training is decides, and not what happens to be compiled.

Shapes: N rows, F features, O targets, B rows a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from linreg.rows.batches import Blocks, block_rows, epoch_blocks
from linreg.training.trainers.contract import Problem, State
from linreg.training.trainers.sgd import Sgd
from linreg.training.trainers.torch_epoch import torch_epoch

if TYPE_CHECKING:  # numba is loaded where it pays
    from linreg.kernels.batch.shapes import Shape

COMPILING = 45_000  # batches of a training that cost what compiling costs
COMPILING_WORK = 4e8  # products of a training that do

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Fused(Sgd):
    """Gradient descent in one pass an epoch, full or mini-batch, on the CPU or a CUDA device."""

    name: ClassVar[str] = "fused"
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")
    uses_gpu_by_default: ClassVar[bool] = False

    def step(self, problem: Problem, state: State) -> State:
        """One epoch."""
        compiled = problem.device.type == "cpu" and self._pays(problem)
        return self._compiled(problem, state) if compiled else torch_epoch(self, problem, state)

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

    def _compiled(self, problem: Problem, state: State) -> State:
        from linreg.kernels.batch import epoch as loops  # numba is loaded where it pays
        from linreg.kernels.batch import layout

        x, y, w = _source(problem)
        epoch, shape = int(state["epoch"]) + 1, (x.shape[1], y.shape[1])
        arrays = {name: value.numpy() for name, value in state.items()}
        order, first = self._order(problem, epoch), "weight_velocity" not in arrays
        walk = loops.epoch(self._shape(problem), short=order.batch <= loops.FEW)
        theta = layout.pack(arrays["weight"], arrays["bias"])
        velocity = np.zeros_like(theta) if first else layout.pack(arrays["weight_velocity"], arrays["bias_velocity"])
        walk((x.ravel(), y.ravel(), w), *order, theta, velocity, self._epoch_settings(x.dtype, epoch), first)
        moved = dict(zip(("weight", "bias"), layout.unpack(theta, *shape), strict=True))
        if self.momentum:
            moved |= zip(("weight_velocity", "bias_velocity"), layout.unpack(velocity, *shape), strict=True)
        return {"epoch": torch.tensor(epoch), **{name: torch.from_numpy(value) for name, value in moved.items()}}

    def _order(self, problem: Problem, epoch: int) -> "_Order":
        rows = len(problem.rows()[0])
        size = self.batch_size if 0 < self.batch_size < rows else rows
        shuffled = self.shuffle and size < rows
        blocks = epoch_blocks(rows, size, seed=problem.seed, epoch=epoch) if shuffled else _in_order(rows, size)
        return _Order(blocks.order_C, blocks.keys_C3, blocks.tail_T, blocks.size, size, shuffled)

    def _epoch_settings(self, dtype: np.dtype[Any], epoch: int) -> Array:
        """The numbers of one epoch that ``kernels.batch.epoch`` takes."""
        rate = self.rate(epoch)
        keep = 1 - rate * self.weight_decay
        return np.array([rate, self.momentum, 1 - self.dampening, self.nesterov, self.weight_decay, keep], dtype)


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
    """One epoch of several models at once: the state of each, as its own ``step`` gives it, to rounding.

    Args:
        trainers: of models that can go ``together``, at most ``models_at_once``; the same batches in the same order.
        problem: the rows of all of them.
        states: of each, after the same number of epochs.
    """
    from linreg.kernels.batch import epoch as loops
    from linreg.kernels.batch import layout

    x, y, w = _source(problem)
    epoch = int(states[0]["epoch"]) + 1
    order = trainers[0]._order(problem, epoch)
    walk = loops.epoch_of_many(trainers[0]._shape(problem))
    theta = layout.pack_many([(s["weight"].numpy(), s["bias"].numpy()) for s in states])
    settings = layout.side_by_side([t._epoch_settings(x.dtype, epoch)[[0, 5]] for t in trainers])
    walk((x.ravel(), y.ravel(), w), *order, theta, np.empty(0, x.dtype), settings, epoch == 1)
    parameters, done = layout.unpack_many(theta, x.shape[1], y.shape[1], len(states)), torch.tensor(epoch)
    return [{"weight": torch.from_numpy(w), "bias": torch.from_numpy(b), "epoch": done} for w, b in parameters]


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
