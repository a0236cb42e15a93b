"""The gate: may a model be registered, and does it take the champion's place? It decides, and moves nothing.

Against the champion it looks at the paired difference of the two models' losses row by row, on the same rows, and asks
that the lower bound of its 95% interval be a gain. On training rows an interval would mean little, so there plainly
better is better, and the reason says so.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student_t

from linreg.config import GateConfig

Float = npt.NDArray[np.float64]

PLAINLY = 1e-6  # a smaller relative gain is rounding, and no gain
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Verdict:
    """A decision and why, in one line."""

    decision: Literal["promoted", "kept", "refused", "unchanged"]
    reason: str


def failed_limits(metrics: Mapping[str, float], gate: GateConfig) -> list[str]:
    """The limits that the test metrics miss, each in words; empty where the model may be registered."""
    out = []
    for name, limit in gate.limits().items():
        bound, target = name.partition("_")[0], name.partition(".")[2]
        metric = f"test_{name.partition('_')[2]}"
        value = metrics[metric]
        meets = value <= limit if bound == "max" else value >= limit  # a NaN meets nothing
        if not meets:
            of = f" of {target}" if target else ""
            side = "above" if bound == "max" else "below"
            word = metric.partition("_")[2].partition(".")[0]
            out.append(f"{word}{of} {value:.6g} is {side} gate.{name} {limit:g}")
    return out


def against_champion(
    new_N: Float,
    old_N: Float,
    *,
    version: int,
    margin: float = 0.0,
    held_out: bool = True,
    weight_N: Float | None = None,
) -> Verdict:
    """Compare two models by their losses on the same rows.

    Args:
        new_N, old_N: mean squared error of each row under the new model and under the champion.
        version: the champion's, for the words.
        margin: the gain that has to be passed, as a share of the champion's loss.
        held_out: the rows are test rows; False: both models were judged on training rows.
        weight_N: how much each row counts; None: all the same.
    """
    w_N = np.ones(len(new_N)) if weight_N is None else weight_N / weight_N.max()  # squared below: no size matters
    old = float(np.average(old_N, weights=w_N))
    gain = float(np.average(old_N - new_N, weights=w_N))
    if old == 0:
        return Verdict("kept", f"kept version {version}: its loss is 0 on these rows, nothing is better")
    needed = max(margin, PLAINLY)
    if not held_out:
        verdict: Literal["promoted", "kept"] = "promoted" if gain / old > needed else "kept"
        words = f"{_percent(gain / old)}, judged on {len(new_N)} training rows (data.test_fraction = 0), no interval"
        return Verdict(verdict, f"{_opening(verdict, version)}: {words}")
    enough = _effective(w_N)
    if enough < 2:
        rows = (
            f"{len(new_N)} test row is"
            if len(new_N) == 1
            else f"{len(new_N)} test rows with the weight of {enough:.2g} are"
        )
        return Verdict("kept", f"kept version {version}: {rows} too few to tell; more are needed")
    half = _half_width(old_N - new_N, w_N)
    low, high = (gain - half) / old, (gain + half) / old
    verdict = "promoted" if low > needed else "kept"
    words = f"{_percent(gain / old)}, 95% interval {_between(gain / old, low, high)} on {len(new_N)} test rows"
    return Verdict(verdict, f"{_opening(verdict, version)}: {words}" + (f", margin {margin:.2%}" if margin else ""))


def _half_width(difference_N: Float, w_N: Float) -> float:
    """Half the t interval of a weighted mean; with equal weights the textbook's ``t s / sqrt(n)``.

    Source: Cochran 1977, Sampling Techniques, chapter 6 (the variance of a ratio of two sums).
    """
    away = w_N * (difference_N - np.average(difference_N, weights=w_N)) / w_N.sum()
    n = _effective(w_N)
    quantile = float(student_t.ppf((1 + CONFIDENCE) / 2, n - 1))
    return quantile * math.sqrt(float(away @ away) * n / (n - 1))


def _effective(w_N: Float) -> float:
    """How many equal rows say as much (Kish): N where all weigh the same, near 1 where one has all the weight."""
    return float(w_N.sum() ** 2 / (w_N @ w_N))


def _opening(verdict: str, version: int) -> str:
    return f"took over from version {version}" if verdict == "promoted" else f"kept version {version}"


def _percent(gain: float) -> str:
    if abs(gain) <= PLAINLY:
        return "equally good"
    if gain <= -1:  # twice the loss and more: nobody reads 9873.54%
        return f"{_times(gain)} times the loss"
    return f"{gain:.2%} better" if gain > 0 else f"{-gain:.2%} worse"


def _between(gain: float, low: float, high: float) -> str:
    """The interval of the gain in the unit that ``_percent`` tells it in; times the loss rise where gains fall."""
    return f"{_times(high)} to {_times(low)}" if gain <= -1 else f"{low:.2%} to {high:.2%}"


def _times(gain: float) -> str:
    times = 1 - gain
    return f"{times:.3g}" if times < 1000 or times >= 1e6 else f"{times:,.0f}"
