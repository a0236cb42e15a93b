"""What the eigenvalues say before the first epoch: the largest stable rate, the condition, how long it will take."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from linreg.config import TrainConfig
from linreg.least_squares.objective import Objective
from linreg.model import LinearModel
from linreg.moments.moments import Moments
from linreg.moments.ranges import Ranges
from linreg.threads import one_thread
from linreg.training.choose import choose
from linreg.training.convergence import (
    converges,
    excess_after,
    excess_by_epoch,
    first_epoch,
    minibatch_rate,
    stable_rate,
)
from linreg.training.descent import first_rate
from linreg.training.learning_rate import Rate, automatic
from linreg.training.prepare import refusal

SHARES = {"1%": 0.01, "0.1%": 0.001}
_WALKED = 50_000  # epochs that are walked where there is no closed form: a second or two


@dataclass(frozen=True)
class Plan:
    """What to expect of a config on its data.

    Args:
        largest_stable_learning_rate: of full batches, at the config's momentum.
        condition_number: of the Hessian, bias included; None where it is singular.
        optimum_loss: the smallest value the trained loss can take, in the targets' units squared.
        epochs_to: epochs until (loss - optimum) / optimum is at most the share; 0 of ``exact``; None where no number of
            epochs does it.
        best_learning_rate: the plain rate that shrinks the slowest direction fastest, ``2 / (largest + smallest)``.
        deficient: features that are constant or determine each other.
        warnings: the same in words, and what follows; part of ``advice``.
        advice: what to change, one line each.
        rate: what an ``auto`` rate comes to and why, or why there is none, in words; empty where one is named.
    """

    largest_stable_learning_rate: float
    condition_number: float | None
    optimum_loss: float
    epochs_to: dict[str, int | None]
    best_learning_rate: float
    deficient: tuple[str, ...]
    warnings: tuple[str, ...]
    advice: tuple[str, ...]
    rate: str = ""


def plan(moments: Moments, config: TrainConfig, start: LinearModel | None = None, ranges: Ranges | None = None) -> Plan:
    """Read the eigenvalues of the trained loss for this config.

    Args:
        start: the model that ``train.warm_start`` names.
        ranges: of the columns, features first, as ``fit`` takes them.

    >>> import linreg
    >>> columns = {"features": ("temp", "rainfall", "humidity"), "targets": ("apples", "oranges")}
    >>> rows = linreg.read_dataset(linreg.DataConfig(path="data/crops-15.csv", **columns)).train
    >>> moments = linreg.Moments.of(rows.blocks(), rows.features, rows.targets)
    >>> expected = linreg.plan(moments, linreg.TrainConfig(learning_rate=1e-5, standardize=False))
    >>> round(expected.optimum_loss, 4), expected.epochs_to["1%"]
    (0.9094, 17387479)
    """
    with one_thread():
        objective = Objective.trained(moments, config)
        rate = None
        if config.learning_rate == "auto" and config.trainer != "exact":
            walks = choose(config)[0].needs_rows
            rate = automatic(objective, config, start, ranges, in_rows=walks)
            config = rate.config
        epochs_to = dict(zip(SHARES, _epochs_to(objective, config, list(SHARES.values()), start), strict=True))
        warnings = _warnings(moments)
        words, advice = _on_rate(rate, config) if rate else ("", _advice(objective, config, epochs_to, start))
        return Plan(
            largest_stable_learning_rate=stable_rate(objective, config),
            condition_number=objective.condition_number,
            optimum_loss=objective.optimum_loss,
            epochs_to=epochs_to,
            best_learning_rate=best_rate(objective),
            deficient=moments.solve().deficient,
            warnings=tuple(warnings),
            advice=(*warnings, *advice),
            rate=words,
        )


def _on_rate(rate: Rate, config: TrainConfig) -> tuple[str, list[str]]:
    """What an ``auto`` rate comes to, in words, and what to change."""
    if not rate.obstacle or config.force or config.patience:
        return rate.words, []
    if config.trainer == "auto":
        return f"{rate.obstacle}: auto takes exact", []
    return rate.words, [refusal(rate, config.trainer)]


def best_rate(objective: Objective) -> float:
    """The plain rate with the smallest largest factor, over the directions that the data determine."""
    values = objective.eigenvalues_D
    return float(2 / (values[0] + values[values > 0][-1]))


def epochs_until(
    objective: Objective, config: TrainConfig, share: float, start: LinearModel | None = None
) -> int | None:
    """Full-batch epochs from the config's start until the excess is at most ``share`` of the optimum loss.

    0 of ``exact``, which is there at once. None where there is no such number: the rate diverges, the batches are
    small, the optimum loss is 0 (to the rounding of the targets), or a schedule ends before. With momentum the loss
    swings; the answer is then right to within a swing. With an L1 penalty there is no closed form, and none is given
    past ``_WALKED`` epochs.
    """
    return _epochs_to(objective, config, (share,), start)[0]


def _epochs_to(
    objective: Objective, config: TrainConfig, shares: Sequence[float], start: LinearModel | None
) -> list[int | None]:
    """``epochs_until`` for several shares: what has to be walked is walked once."""
    targets = [share * objective.optimum_loss for share in shares]
    mini = 0 < config.batch_size < objective.moments.rows
    never: list[int | None] = [None] * len(targets)
    if config.trainer == "exact":
        return [0] * len(targets)
    if mini or _is_zero(objective):
        return never
    if config.schedule != "constant":
        return _walked(objective, config, start, targets, config.epochs)
    if first_rate(config) >= stable_rate(objective, config):
        return never
    if config.l1:
        return _walked(objective, config, start, targets, max(_WALKED, config.epochs))
    excess = excess_after(objective, config, start)
    return [first_epoch(excess, target) for target in targets]


def _walked(
    objective: Objective, config: TrainConfig, start: LinearModel | None, targets: Sequence[float], most: int
) -> list[int | None]:
    """The first of at most ``most`` epochs at which the excess is at most each target."""
    epochs: list[int | None] = [None] * len(targets)
    with np.errstate(over="ignore", invalid="ignore"):
        for epoch, excess in zip(range(most + 1), excess_by_epoch(objective, config, start), strict=False):
            epochs = [epoch if e is None and excess <= t else e for e, t in zip(epochs, targets, strict=True)]
            if None not in epochs or not excess < math.inf:
                break
    return epochs


def _is_zero(objective: Objective) -> bool:
    """The optimum loss is no more than what rounding leaves of the targets."""
    moments, f = objective.moments, len(objective.moments.features)
    square = float((moments.spread_P[f:] ** 2 + moments.mean_P[f:] ** 2).mean())
    return objective.optimum_loss <= (64 * float(np.finfo(float).eps)) ** 2 * square


def _advice(
    objective: Objective, config: TrainConfig, epochs_to: dict[str, int | None], start: LinearModel | None
) -> list[str]:
    if config.trainer == "exact":
        return []
    lines: list[str] = []
    limit, rate = stable_rate(objective, config), first_rate(config)
    mini = 0 < config.batch_size < objective.moments.rows
    if mini:
        lines.append(
            f"batches of {config.batch_size} bear a learning rate up to about "
            f"{minibatch_rate(objective, config.batch_size):.3g} (an estimate); the epochs are not predicted for them"
        )
    elif rate >= limit and not converges(objective, config, start):
        lines.append(f"learning rate {rate:g} cannot converge: choose one below {limit:.4g}")
    needed = epochs_to["1%"]
    if needed is not None and needed > config.epochs:
        lines.append(
            f"within 1% of the optimum takes {needed:,} epochs at this rate; the config runs {config.epochs:,}"
        )
    elif needed is None and config.l1 and not mini and rate < limit and not _is_zero(objective):
        lines.append(f"within 1% of the optimum takes more than {max(_WALKED, config.epochs):,} epochs at this rate")
    elif needed is None and not mini and config.schedule != "constant" and not _is_zero(objective):
        lines.append(
            f"the schedule {config.schedule} does not come within 1% of the optimum in {config.epochs:,} epochs"
        )
    return lines + _faster(objective, config, needed, start)


def _warnings(moments: Moments) -> list[str]:
    """What is wrong with the columns, and what follows."""
    constant = [n for n, spread in zip(moments.features, moments.spread_P, strict=False) if spread == 0]
    tied = [n for n in moments.solve().deficient if n not in constant]
    lines = []
    if constant:
        lines.append(f"constant: {', '.join(constant)}; nothing can be learned from it beside the bias: leave it out")
    if tied:
        lines.append(
            f"{', '.join(tied)} determine each other: predictions and loss are not touched, but their coefficients are "
            "not unique; drop one of them"
        )
    return lines


def _faster(objective: Objective, config: TrainConfig, needed: int | None, start: LinearModel | None) -> list[str]:
    """The change of coordinates and rate that converges soonest, where it is worth it and no other model."""
    if config.standardize is False and objective.penalised:
        return []  # a penalty on scaled coefficients is another objective
    better = Objective.of(objective.moments, standardize=True, weight_decay=config.weight_decay, l1=config.l1)
    plain: dict[str, Any] = {
        "standardize": True,
        "momentum": 0.0,
        "nesterov": False,
        "batch_size": 0,
        "schedule": "constant",
    }
    changed = replace(config, **plain, eta_min=0.0, learning_rate=_two_digits(best_rate(better)))
    soon = epochs_until(better, changed, 0.01, start)
    if soon is None or (needed is not None and soon * 2 > needed):
        return []
    other = [f"--set train.{k}={str(v).lower()} " for k, v in plain.items() if getattr(config, k) != v]
    command = f"{''.join(other)}--set train.learning_rate={changed.learning_rate:g}"
    if soon > config.epochs:
        command += f" --set train.epochs={soon}"
    return [f"{command} comes within 1% of the optimum in {soon:,} epochs"]


def _two_digits(rate: float) -> float:
    """The rate with two digits, never rounded up: the best one may lie just below the largest stable one."""
    step = 10.0 ** (math.floor(math.log10(rate)) - 1)
    return float(f"{math.floor(rate / step) * step:.2g}")
