"""What full-batch descent will do, from the record, before any row is touched: it reads no file and no row.

Shapes: F features, O targets, D = F + 1.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.least_squares.objective import Objective, largest_stable_rate
from linreg.metrics import Float
from linreg.model import LinearModel
from linreg.training.descent import first_rate
from linreg.training.recurrence import CHUNK, begin, deviation, factors_after, walk
from linreg.training.trainers.contract import seeded_start, stack

_FOREVER = 10**18  # epochs that nobody runs


def dtype_of(config: TrainConfig) -> torch.dtype:
    """Of the trained tensors."""
    return torch.float64 if config.dtype == "float64" else torch.float32


def start_of(objective: Objective, config: TrainConfig, warm: LinearModel | None = None) -> Float:
    """The parameters that this config's descent starts from, bias first, shape (D, O), as the trainer rounds them.

    Raises:
        UserError: those of a warm start are beyond the dtype.
    """
    dtype = dtype_of(config)
    if warm is None:
        return stack(*seeded_start(objective.moments, config.seed, dtype))
    start = torch.from_numpy(objective.theta(warm)).to(dtype).double().numpy()
    if not np.isfinite(start).all():
        raise UserError(
            f"train.warm_start has parameters beyond {config.dtype} in the trained coordinates: "
            'set train.dtype = "float64" or train.standardize = true'
        )
    return start


def excess_by_epoch(objective: Objective, config: TrainConfig, warm: LinearModel | None = None) -> Iterator[float]:
    """The excess loss after 0, 1, 2, ... epochs, without end; in the targets' units squared."""
    state, done = begin(objective, config, start_of(objective, config, warm)), 0
    while True:
        chunk = walk([objective], [config], [state], done=done, epochs=CHUNK)
        yield from chunk.excess_KE[0, min(done, 1) :].tolist()
        state, done = chunk.state(0, -1), done + CHUNK


def excess_after(objective: Objective, config: TrainConfig, warm: LinearModel | None = None) -> Callable[[int], float]:
    """The excess loss after any number of epochs at a constant rate without L1, by its closed form."""
    share_D = excess_shares(objective, config, warm).sum(axis=1)
    factors = factors_after(objective.eigenvalues_D, config)
    return lambda epochs: float(share_D @ factors(epochs) ** 2)


def excess_shares(objective: Objective, config: TrainConfig, warm: LinearModel | None = None) -> Float:
    """What each direction of each target has of the start's excess loss, shape (D, O); without L1."""
    away_DO = deviation(objective, start_of(objective, config, warm))
    return np.asarray(0.5 * objective.eigenvalues_D[:, None] * away_DO**2)


def first_epoch(excess: Callable[[int], float], target: float) -> int | None:
    """The smallest t with ``excess(t) <= target``, by doubling and halving; None where nobody would run so many."""
    if excess(0) <= target:
        return 0
    high = 1
    while excess(high) > target:
        high *= 2
        if high > _FOREVER:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if excess(middle) <= target else (middle, high)
    return high


def stable_rate(objective: Objective, config: TrainConfig) -> float:
    """The full-batch rate from which this config's descent cannot converge."""
    top = float(objective.eigenvalues_D[0])
    return largest_stable_rate(top, momentum=config.momentum, dampening=config.dampening, nesterov=config.nesterov)


def minibatch_rate(objective: Objective, batch_size: int) -> float:
    """The rate that batches of B rows should bear: ``2 / (largest eigenvalue + u trace(H) / B)``, an estimate.

    u is 1 where all rows weigh the same, else ``N sum(w^2) / sum(w)^2`` (Kish): a batch with a heavy row takes a step
    as much larger.
    """
    values, moments = objective.eigenvalues_D, objective.moments
    uneven = moments.rows * moments.square_weight / moments.weight**2
    return float(2 / (values[0] + uneven * values.sum() / batch_size))


def converges(objective: Objective, config: TrainConfig, warm: LinearModel | None = None) -> bool:
    """Whether full-batch descent at this config's rates ends below its start.

    No schedule raises the rate, so one that begins below the largest stable rate stays there. One that begins above it
    is walked to its end: it may come down soon enough.
    """
    limit = stable_rate(objective, config)
    if first_rate(config) < limit:
        return True
    if config.schedule == "constant" or config.patience:
        return False
    most = 1e30 if config.dtype == "float32" else float("inf")  # far below float32's end: gradients are larger
    with np.errstate(over="ignore", invalid="ignore"):  # a descent that is lost ends in infinity, or in nan after it
        ahead = excess_by_epoch(objective, config, warm)
        start = next(ahead)
        for _, excess in zip(range(config.epochs), ahead, strict=False):
            if not excess < most:
                return False
    return excess <= start


def recorded_epochs(epochs: int, *, most: int = 60) -> list[int]:
    """Which epochs to keep for a picture of the walk: all where they are few, else ever farther apart.

    Args:
        epochs: how many the descent runs; 0 is the start.
        most: how many to keep at most; 3 or more.

    Returns:
        rising numbers from 0 to ``epochs``, both among them.

    >>> recorded_epochs(1000, most=8)
    [0, 1, 3, 10, 32, 100, 316, 1000]
    """
    if epochs < most:
        return list(range(epochs + 1))
    spaced = np.geomspace(1, epochs, most - 1)
    return sorted({0, epochs, *np.rint(spaced).astype(int).tolist()})


def parameters_after(objective: Objective, theta_DO: Float, *, learning_rate: float, epochs: int) -> Float:
    """The parameters after ``epochs`` plain updates from ``theta_DO``, in the objective's coordinates."""
    kept_D = factors_after(objective.eigenvalues_D, TrainConfig(learning_rate=learning_rate))(epochs)
    return np.asarray(objective.optimum_DO + objective.basis_DD @ (kept_D[:, None] * deviation(objective, theta_DO)))
