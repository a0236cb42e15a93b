"""How near mini-batches will come to the optimum, from the record alone: their noise, and what rounding adds.

In a direction of the Hessian's eigenvalue l an epoch of M batches at rate r shrinks the deviation by exp(-a), with
a = M r l. An epoch takes every row once, so the noise of its batches adds up to zero, and what is left is that of a
Brownian bridge that the descent forgets as it goes: in units of the least-squares estimate's own variance,

    variance <- exp(-2a) variance + a^2 ((1 - exp(-2a)) / 2a - ((1 - exp(-a)) / a)^2) + a^2 u / M.

At a constant rate it settles at about a / 2 where a is large and at a^3 / 24 where it is small; at a rate that falls by
a factor q an epoch, at that of a = 1 - q, in every direction alike. The last term is that of a last batch which has but
a share p of the rows of the others, so that each of its rows counts 1 / p times: u = (1 - p)^2 / p. What the model is
away from the optimum counts as noise, too: both terms grow by the excess loss over the variance of the residuals. Steps
that are rounded to float32 add their own, and rows that are shuffled in blocks (``rows.batches``) a mean that is not 0.

Shapes: G falls of the rate, F features, O targets, D = F + 1.

Source: Robbins and Monro 1951; Bach and Moulines 2013 (constant rates for least squares); Ge, Kakade, Kidambi and
Netrapalli 2019 (geometric decay); Gurbuzbalaban, Ozdaglar and Parrilo 2021 (random reshuffling). The recursion is
worked out in docs/training.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from linreg.config import TrainConfig
from linreg.least_squares.objective import Objective
from linreg.metrics import Float
from linreg.model import LinearModel
from linreg.rows.batches import block_rows, mixes
from linreg.training.convergence import excess_shares
from linreg.training.descent import rate_of
from linreg.training.goal import Goal

_LOST = 1e100  # of what a goal allows: noise that feeds on itself has no end
SURE = 3.1  # normal quantile of one in a thousand: the noise may be so much larger than its mean


@dataclass(frozen=True)
class Noise:
    """What moves a descent of mini-batches, each in shares of what its goal allows.

    Args:
        start_DO: the start's distance.
        variance_O: of the least-squares estimate along one direction.
        rounding_DO: of the rounding of one step.
        rows: their number, or the sum of their weights.
        batches: M, a whole number or not.
        uneven: u, of the last batch.
        blocks: the mean over the noise, of rows that are shuffled in blocks.
        spread: how much larger than its mean the noise may be.
    """

    start_DO: Float
    variance_O: Float
    rounding_DO: Float
    rows: float
    batches: float
    uneven: float
    blocks: float
    spread: float

    @classmethod
    def of(cls, objective: Objective, config: TrainConfig, goal: Goal, start: LinearModel | None) -> "Noise":
        """Of a config's batches on the recorded rows."""
        moments, value_D, solution = objective.moments, objective.eigenvalues_D, objective.moments.solve()
        variance_O = objective.unit * solution.residual_O / max(moments.rows - solution.rank - moments.intercept, 1)
        share = (moments.rows % config.batch_size) / config.batch_size or 1.0
        return cls(
            excess_shares(objective, config, start) / goal.limit_O,
            variance_O / goal.limit_O,
            0.5 * value_D[:, None] * step_DO(objective, config) / goal.limit_O,
            moments.weight,
            moments.rows / config.batch_size,
            (1 - share) ** 2 / share,
            _block_mean(moments.rows, config.batch_size, len(value_D)),
            _quantile(int((value_D > 0).sum())),
        )

    def soonest(
        self, value_D: Float, config: TrainConfig, goal: Goal, falls: Sequence[float], most: int
    ) -> tuple[int | None, float]:
        """The epochs until the goal is reached, and the factor by which the rate falls after every epoch to do so.

        Args:
            config: the first rate; its schedule goes on beside the fall.
            falls: the factors to choose from.
            most: epochs that are looked at. Where they do not do, it is None, and the factor that comes nearest.
        """
        fall_G = np.array(falls)
        push = (1 - config.dampening if config.momentum else 1.0) / (1 - config.momentum)
        kept_GD = np.ones((len(falls), len(value_D)))
        rounding_GD, mean_GD, share_G = 0 * kept_GD, 0 * kept_GD, fall_G
        noise_GDO, excess_GO = np.zeros((*kept_GD.shape, len(self.variance_O))), kept_GD**2 @ self.start_DO
        for epoch in range(most + 1):
            if epoch:
                rate_G = push * rate_of(config, epoch) * fall_G ** (epoch - 1)
                a_GD = -self.batches * np.log1p(-np.minimum(rate_G[:, None] * value_D, 0.999))
                shrink_GD, lost_GD = np.exp(-a_GD), _lost(a_GD)
                kept_GD = kept_GD * shrink_GD
                source_GDO = after_epoch(0.0, a_GD, batches=self.batches, uneven=self.uneven)[:, :, None]
                source_GDO = source_GDO * (self.variance_O + excess_GO / self.rows)[:, None, :]
                noise_GDO = noise_GDO * shrink_GD[:, :, None] ** 2 + source_GDO
                mean_GD = mean_GD * shrink_GD + self.blocks * a_GD * np.sqrt(_bridge(a_GD))
                rounding_GD = rounding_GD * shrink_GD**2 + self.batches * lost_GD
            random_GO = noise_GDO.sum(axis=1) + rounding_GD @ self.rounding_DO
            random_GO += (mean_GD**2).sum(axis=1)[:, None] * self.variance_O
            excess_GO = np.fmin(kept_GD**2 @ self.start_DO + self.spread * random_GO, _LOST)
            share_G = excess_GO.sum(axis=1) if goal.summed else excess_GO.max(axis=1)
            if share_G.min() <= 1:
                return epoch, falls[int(share_G.argmin())]
        return None, falls[int(share_G.argmin())]


def after_epoch(variance: Float | float, a: Float, *, batches: float, uneven: float) -> Float:
    """The recursion above: the noise's variance one epoch later."""
    return np.asarray(variance * np.exp(-2 * a) + a**2 * (_bridge(a) + uneven / batches))


def step_DO(objective: Objective, config: TrainConfig) -> Float:
    """The variance of one step's rounding at the optimum, along the Hessian's eigenvectors."""
    ulp_DO = np.spacing(np.abs(objective.optimum_DO).astype(config.dtype)).astype(np.float64)
    return np.asarray(objective.basis_DD.T**2 @ ulp_DO**2 / 12)


def _lost(a: Float) -> Float:
    """``(1 - exp(-2a)) / 2a``: what is left of a unit of noise a step, on average over the epoch."""
    return np.asarray(np.where(a > 1e-9, -np.expm1(-2 * a) / np.maximum(2 * a, 1e-300), 1.0))


def _bridge(a: Float) -> Float:
    """The variance of what is left of a Brownian bridge's steps; a^2 / 12 where a is small."""
    mean = -np.expm1(-a) / np.maximum(a, 1e-300)
    return np.where(a < 0.01, a**2 / 12, _lost(a) - mean**2)


def _block_mean(rows: int, batch_size: int, directions: int) -> float:
    """What blocks of rows that stay together leave, epoch after epoch: the mean over the deviation of one's noise.

    Averaged over the orders of the blocks it is ``-1/2 sum_k H_k g_k``, with the Hessian and the gradient of each.
    """
    return (3.0 * directions * block_rows(batch_size)) ** 0.5 / rows if mixes(rows, batch_size) else 0.0


def _quantile(directions: int) -> float:
    """A chi-squared variable's quantile over its mean (Wilson and Hilferty 1931)."""
    part = 2 / (9 * directions)
    return float((1 - part + SURE * part**0.5) ** 3)
