"""What full-batch descent will do, told from the record before any row is touched.

The trainer that needs no rows walks ahead: for what has no closed form, a schedule or an L1 penalty, it is run as it
is, epoch by epoch. It reads no file and no row.

Shapes: F features, O targets, D = F + 1.
"""

from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import torch

from linreg.config import TrainConfig
from linreg.errors import UserError
from linreg.least_squares.objective import Float, Objective, largest_stable_rate
from linreg.model import LinearModel
from linreg.training.trainers.contract import Problem, seeded_start, stack
from linreg.training.trainers.gram import Gram


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


def walk(objective: Objective, config: TrainConfig, warm: LinearModel | None = None) -> Iterator[float]:
    """The excess loss after 0, 1, 2, ... epochs, without end; in the targets' units squared."""
    gram = Gram(**{f.name: getattr(config, f.name) for f in fields(Gram)})
    start = start_of(objective, config, warm)
    problem = Problem(objective, None, None, config.seed, torch.float64, torch.device("cpu"), warm_DO=start)
    state = gram.init(problem)
    while True:
        yield objective.excess_loss(gram.theta(problem, state))
        state = gram.step(problem, state)


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
    if config.learning_rate < limit:
        return True
    if config.schedule == "constant" or config.patience:
        return False
    most = 1e30 if config.dtype == "float32" else float("inf")  # far below float32's end: gradients are larger
    with np.errstate(over="ignore", invalid="ignore"):  # a descent that is lost ends in infinity, or in nan after it
        ahead = walk(objective, config, warm)
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


def theta_after(objective: Objective, theta_DO: Float, *, learning_rate: float, epochs: int) -> Float:
    """The parameters after ``epochs`` updates from ``theta_DO``, in the objective's coordinates."""
    basis_DD = objective.basis_DD
    kept_D = (1 - learning_rate * objective.eigenvalues_D) ** epochs
    away_DO = basis_DD.T @ (theta_DO - objective.optimum_DO)
    return np.asarray(objective.optimum_DO + basis_DD @ (kept_D[:, None] * away_DO))
