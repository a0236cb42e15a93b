"""What ``train.learning_rate = "auto"`` means for a record: the numbers, why these, and how many epochs they need.

Full batches, L and l the largest and the smallest eigenvalue of the Hessian that is not 0, m the momentum:

    rate = 2 (1 + m) / ((1 - dampening) (L + l)),    m = ((sqrt L - sqrt l) / (sqrt L + sqrt l))^2 where none is set

the best one for that momentum, and together the best heavy ball, which no first-order method beats by more than a
constant. Nesterov's best rate is searched for, and L1 takes ISTA's safe one, 1 / L. Mini-batches of B rows:

    rate = 1 / (L + 2 u max|z|^2 / (O B)),    z = [x, 1]

half of the rate below which the mean squared deviation surely shrinks with every batch, whichever rows there are; 1 / B
is the mean over an epoch's batches, of which the last may be small, and u how much more than the mean a row may weigh.
Then the rate falls by the factor an epoch that ``noise`` expects to be the fastest. Nothing is trained here.

Shapes: D = F + 1 parameters a target, O targets.

Source: Polyak 1964 (heavy ball); Nesterov 2004; Beck and Teboulle 2009 (ISTA); Needell, Srebro and Ward 2014 (the bound
for batches).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from linreg.config import TrainConfig
from linreg.least_squares.objective import Objective
from linreg.metrics import Float
from linreg.model import LinearModel
from linreg.moments.ranges import Ranges
from linreg.training.convergence import excess_by_epoch, excess_shares, first_epoch, minibatch_rate, stable_rate
from linreg.training.descent import first_rate
from linreg.training.goal import Goal
from linreg.training.noise import Noise, step_DO
from linreg.training.recurrence import factors_after

_RUN = 10**6  # epochs that are advised
WALKED = 20_000  # epochs that are looked at where there is no closed form
FALLS = (1.0, *(round(1 - x, 4) for x in np.geomspace(1e-3, 0.4, 19).tolist()))  # factors of the rate after an epoch


@dataclass(frozen=True)
class Rate:
    """The numbers in place of ``auto``.

    Args:
        config: with them.
        words: what they are and why, in a line.
        epochs: until the goal is reached, at most (of mini-batches: expected); None where it is out of reach, or
            further than was looked.
        goal: what is to be reached.
        obstacle: why it is not reached within ``train.epochs``, and what to do, in words; empty where it is.
        remedies: what would reach it, beside another trainer.
    """

    config: TrainConfig
    words: str
    epochs: int | None
    goal: Goal
    obstacle: str = ""
    remedies: tuple[str, ...] = ()


def automatic(
    objective: Objective, config: TrainConfig, start: LinearModel | None, ranges: Ranges | None, *, in_rows: bool
) -> Rate:
    """The best rate for a config on a record.

    Args:
        config: whose ``learning_rate`` is ``auto``.
        start: the model that ``train.warm_start`` names.
        ranges: of the columns, features first; None: not known, and mini-batches go by an estimate.
        in_rows: the trainer walks the rows, in the config's dtype; False: it is ``gram``, in float64.
    """
    goal = Goal.of(objective, config)
    if 0 < config.batch_size < objective.moments.rows:
        return _mini_batches(objective, config, start, ranges, goal)
    return _full_batch(objective, config, start, goal, in_rows=in_rows)


def _full_batch(
    objective: Objective, config: TrainConfig, start: LinearModel | None, goal: Goal, *, in_rows: bool
) -> Rate:
    numbers = _fastest(objective, config)
    resolved = replace(config, **numbers)
    columns = "scaled" if config.standardize else "raw"
    condition = f"condition number {_condition(objective):.3g} of the {columns} columns"
    digits = 4 if resolved.momentum < 0.999 else 10
    momentum = f", momentum {resolved.momentum:.{digits}g}" if resolved.momentum else ""
    why = "the safe rate of proximal descent" if config.l1 else f"the fastest by the eigenvalues ({condition})"
    words = f"learning rate {resolved.learning_rate:.4g}{momentum}: {why}"
    epochs = _epochs_to(objective, resolved, start, goal)
    if in_rows and _coarse(objective, resolved, goal):
        obstacle = f"{config.dtype} does not hold the parameters {goal.words}"
        return Rate(resolved, words, None, goal, obstacle, _finer(config))
    if epochs is not None and epochs <= config.epochs:
        return Rate(resolved, f"{words}; {goal.words} by epoch {epochs:,}", epochs, goal)
    if epochs is not None:
        needed = f"it would take {epochs:,} epochs to come {goal.words} ({condition})"
    elif config.l1 or config.schedule != "constant":
        needed = f"{min(config.epochs, WALKED):,} epochs do not come {goal.words} ({condition})"
    else:
        needed = f"no number of epochs comes {goal.words} ({condition})"
    remedies = [f"train.epochs = {epochs}"] if epochs and epochs <= _RUN else []
    remedies += [] if config.standardize else ["train.standardize = true"]
    return Rate(resolved, words, epochs, goal, f"{needed}, and train.epochs is {config.epochs:,}", tuple(remedies))


def _condition(objective: Objective) -> float:
    value_D = objective.eigenvalues_D
    return float(value_D[0] / value_D[value_D > 0][-1])


def _fastest(objective: Objective, config: TrainConfig) -> dict[str, Any]:
    """The full-batch rate, and the momentum where none is set that the config could take."""
    top, low = float(objective.eigenvalues_D[0]), float(objective.eigenvalues_D[objective.eigenvalues_D > 0][-1])
    if config.l1:
        return {"learning_rate": 1 / top}
    momentum = config.momentum
    if not momentum and not config.dampening and not config.patience:
        momentum = min(((top**0.5 - low**0.5) / (top**0.5 + low**0.5)) ** 2, 1 - 1e-9)
        momentum = momentum if momentum > 1e-6 else 0.0  # rounding of equal eigenvalues
    chosen = replace(config, momentum=momentum)
    limit = stable_rate(objective, chosen)
    if config.nesterov:
        rate_R = limit * np.linspace(0, 1, 2001)[1:-1]
        return {"learning_rate": float(rate_R[_radius(rate_R, top, low, momentum).argmin()])}
    # at most a millionth below the limit: there the smallest direction, not the rate, is what rounding decides
    return {"learning_rate": limit * min(top / (top + low), 1 - 1e-6), "momentum": momentum}


def _radius(rate_R: Float, top: float, low: float, momentum: float) -> Float:
    """What an epoch of Nesterov's shrinks the slowest direction by in the end, at each rate."""
    h_R2 = 1 - rate_R[:, None] * np.array([top, low])
    root_R2 = np.sqrt(((1 + momentum) * h_R2) ** 2 - 4 * momentum * h_R2 + 0j)
    ends = np.abs([(1 + momentum) * h_R2 + root_R2, (1 + momentum) * h_R2 - root_R2]) / 2
    return np.asarray(ends.max(axis=(0, 2)))


def _epochs_to(objective: Objective, config: TrainConfig, start: LinearModel | None, goal: Goal) -> int | None:
    """Full-batch epochs until the goal is reached, to within a swing; None where that is further than was looked."""
    if config.l1 or config.schedule != "constant":
        most = min(config.epochs, WALKED)
        limit = float(goal.limit_O[0]) if goal.summed else float(goal.limit_O.min())
        ahead = zip(range(most + 1), excess_by_epoch(objective, config, start), strict=False)
        return next((epoch for epoch, excess in ahead if excess <= limit), None)
    share_DO = excess_shares(objective, config, start)
    factors = factors_after(objective.eigenvalues_D, config)
    return first_epoch(lambda epochs: float(goal.share(factors(epochs) ** 2 @ share_DO)), 0.99)


def _coarse(objective: Objective, config: TrainConfig, goal: Goal) -> bool:
    """Whether steps that are rounded away stop a full-batch descent before its goal."""
    value_D = objective.eigenvalues_D
    push_D = first_rate(config) / (1 - config.momentum) * value_D
    stuck_DO = 3 * step_DO(objective, config) / np.where(value_D > 0, push_D, np.inf)[:, None] ** 2
    return bool(goal.share(0.5 * value_D @ stuck_DO) > 1)


def _finer(config: TrainConfig) -> tuple[str, ...]:
    return ('train.dtype = "float64"',) if config.dtype == "float32" else ()


def _mini_batches(
    objective: Objective, config: TrainConfig, start: LinearModel | None, ranges: Ranges | None, goal: Goal
) -> Rate:
    rate, why = _batch_rate(objective, config, ranges)
    resolved = replace(config, learning_rate=rate)
    noise, value_D = Noise.of(objective, resolved, goal, start), objective.eigenvalues_D
    falls = FALLS if config.schedule == "constant" else (1.0,)
    most = min(config.epochs, WALKED)
    epochs, fall = noise.soonest(value_D, resolved, goal, falls, most)
    if config.schedule == "constant" and fall < 1:
        resolved = replace(resolved, schedule="step", step_size=1, gamma=fall)
    falling = f", times {fall:.4g} after every epoch" if fall < 1 else ""
    words = f"learning rate {rate:.3g}{falling}: {why}"
    if epochs is not None and (config.shuffle or noise.variance_O.max() * len(value_D) < 1):
        return Rate(resolved, f"{words}; {goal.words} expected by epoch {epochs:,}", epochs, goal)
    obstacle, remedies = _batch_obstacle(noise, value_D, resolved, goal, most)
    return Rate(resolved, words, None, goal, obstacle, remedies)


def _batch_rate(objective: Objective, config: TrainConfig, ranges: Ranges | None) -> tuple[float, str]:
    """The first rate of mini-batches, and why it is that one."""
    moments, size = objective.moments, config.batch_size
    slowed = (1 - config.momentum) / (1 - config.dampening if config.momentum else 1.0)
    if ranges is None:
        return slowed * minibatch_rate(objective, size) / 2, f"half of what batches of {size:,} are estimated to bear"
    uneven = 1.0
    if moments.square_weight != moments.weight or moments.rows != moments.weight:
        uneven = moments.square_weight**0.5 * moments.rows / moments.weight
    largest = largest_square(objective, ranges)
    full, left = divmod(moments.rows, size)
    inverse = (full / size + (1 / left if left else 0.0)) / (full + (left > 0))  # of the batches' sizes, on average
    top = float(objective.eigenvalues_D[0]) + 2 * uneven * largest * inverse / len(moments.targets)
    return slowed / top, f"half of what batches of {size:,} surely bear (no row's |z|^2 is above {largest:.3g})"


def largest_square(objective: Objective, ranges: Ranges) -> float:
    """A number that ``|[z, 1]|^2`` of no row exceeds, z its features in the trained coordinates.

    Of a category it is that of the level farthest out, of any other column that of the farther end of its range.
    """
    f = len(objective.moments.features)
    mean_F, varies_F = objective.moments.mean_P[:f], objective.moments.spread_P[:f] > 0
    ends_2F = np.where(varies_F, np.stack([ranges.low_P[:f], ranges.high_P[:f]]), mean_F)
    square_F = (np.abs((ends_2F - objective.centre_F) / objective.scale_F).max(axis=0)) ** 2
    off_F, on_F = (((at - objective.centre_F) / objective.scale_F) ** 2 for at in (0.0, 1.0))
    for indicators in map(list, ranges.categories):
        square_F[indicators] = off_F[indicators]
        square_F[indicators[0]] += max((on_F - off_F)[indicators].max(), 0.0)
    return float(1 + square_F.sum())


def _batch_obstacle(
    noise: Noise, value_D: Float, config: TrainConfig, goal: Goal, most: int
) -> tuple[str, tuple[str, ...]]:
    """Why mini-batches do not come near enough, and what would let them."""
    size = config.batch_size
    if not config.shuffle:
        return "rows that are always walked in one order leave an error that is not known", ("train.shuffle = true",)
    plain = replace(config, schedule="constant", eta_min=0.0)

    def reached(other: Noise) -> bool:
        return other.soonest(value_D, plain, goal, FALLS, most)[0] is not None

    exact, even = replace(noise, rounding_DO=0 * noise.rounding_DO), replace(noise, uneven=0.0)
    coarse, left = config.dtype == "float32", round(noise.batches % 1 * size)
    rounded, uneven = coarse and reached(exact), left > 0 and reached(even)
    if coarse and left and not (rounded or uneven):
        rounded = uneven = reached(replace(exact, uneven=0.0))
    causes, remedies = [], []
    if rounded:
        causes.append("their steps are rounded to float32")
        remedies.append('train.dtype = "float64"')
    if uneven:
        rows = "1 row, which counts" if left == 1 else f"{left} rows, which count"
        causes.append(f"the last batch of an epoch is of {rows} {size / left:.3g} times")
        remedies.append(f"train.batch_size = {_even_size(round(noise.batches * size), size)}")
    if not causes:
        causes, remedies = [f"{config.epochs:,} epochs are too few"], ["more of train.epochs", "train.batch_size = 0"]
    return f"batches of {size:,} do not come {goal.words}: {' and '.join(causes)}", tuple(remedies)


def _even_size(rows: int, size: int) -> int:
    """The batch size up to half as large or small whose last batch is as full as can be; the nearest of equals."""

    def uneven(other: int) -> float:
        share = rows % other / other or 1.0
        return (1 - share) ** 2 / share

    return min(range(max(size // 2, 1), min(2 * size, rows) + 1), key=lambda other: (uneven(other), abs(other - size)))
