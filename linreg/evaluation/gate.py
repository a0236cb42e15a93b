"""The gate: may a model be registered, and does it take the champion's place? It decides, and moves nothing.

Against the champion it takes the paired difference of the two models' losses on the same rows (``paired_test``) with
its 95% interval. ``gate.rule`` asks that the lower end be a gain (``better``), that the upper end be no loss
(``not_worse``), or nothing (``limits``). The loss is over all targets; where one gained and another lost, the reason
tells each. On training rows an interval would mean little: there the gain itself is both of its ends.

Shapes: N rows, O targets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from linreg.evaluation.paired_test import LossReduction, loss_reduction
from linreg.judging_config import GateConfig, GateRule
from linreg.metrics import Float

PLAINLY = 1e-6  # a smaller relative gain is rounding, and no gain
MOST_TARGETS = 6  # that a reason tells one by one; of more, the best and the worst


@dataclass(frozen=True)
class Verdict:
    """A decision and why, in one line.

    Args:
        surely_worse: the whole interval of the gain over the champion lies below 0; None where none was compared.
    """

    decision: Literal["promoted", "kept", "refused", "unchanged"]
    reason: str
    surely_worse: bool | None = None


def failed_limits(metrics: Mapping[str, float], gate: GateConfig) -> list[str]:
    """The limits that the test metrics miss, each in words; empty where the model may be registered."""
    failures = []
    for name, limit in gate.limits().items():
        bound, target = name.partition("_")[0], name.partition(".")[2]
        metric = f"test_{name.partition('_')[2]}"
        value = metrics[metric]
        meets = value <= limit if bound == "max" else value >= limit  # a NaN meets nothing
        if not meets:
            of = f" of {target}" if target else ""
            side = "above" if bound == "max" else "below"
            word = metric.partition("_")[2].partition(".")[0]
            failures.append(f"{word}{of} {value:.6g} is {side} gate.{name} {limit:g}")
    return failures


def against_champion(
    new_NO: Float,
    old_NO: Float,
    *,
    targets: Sequence[str],
    version: int,
    rule: GateRule = "better",
    margin: float = 0.0,
    held_out: bool = True,
    weight_N: Float | None = None,
    counts: Sequence[int] = (),
) -> Verdict:
    """Compare two models by their losses on the same rows.

    Args:
        new_NO, old_NO: squared error of each row and target under the new model and under the champion.
        targets: their names.
        version: the champion's, for the words.
        rule: which model takes over, as ``gate.rule`` has it.
        margin: of that rule, as a share of the champion's loss.
        held_out: the rows are test rows; False: both models were judged on training rows.
        weight_N: how much each row counts; None: all the same.
        counts: how many of the rows, in their order, each partition has.
    """
    new_NT, old_NT = (np.column_stack([x.mean(axis=1), x]) for x in (new_NO, old_NO))
    reduction = loss_reduction(new_NT, old_NT, weight_N=weight_N, counts=counts)
    low_T, high_T = (reduction.low_T, reduction.high_T) if held_out else (reduction.gain_T, reduction.gain_T)
    limit = max(margin, PLAINLY)
    takes_over = {"better": low_T[0] > limit, "not_worse": high_T[0] >= -limit, "limits": True}[rule]
    words = _took_over(reduction, version, held_out) if takes_over else _kept(reduction, version, held_out)
    tells = _says_something(reduction, held_out)
    words += f", margin {margin:.2%}" if tells and margin and held_out and rule != "limits" else ""
    words += f' (gate.rule = "{rule}")' if rule != "better" else ""
    words += _by_target(reduction, targets, held_out=held_out) if tells else ""
    return Verdict("promoted" if takes_over else "kept", words, surely_worse=bool(high_T[0] < -PLAINLY))


def _says_something(reduction: LossReduction, held_out: bool) -> bool:
    """Whether the rows can tell the models apart: enough of them, and a loss that can fall."""
    return bool(reduction.old_T[0] > 0) and not (held_out and reduction.effective < 2)


def _took_over(reduction: LossReduction, version: int, held_out: bool) -> str:
    return f"took over from version {version}: {_gain(reduction, held_out)}"


def _kept(reduction: LossReduction, version: int, held_out: bool) -> str:
    if reduction.old_T[0] == 0:
        return f"kept version {version}: its loss is 0 on these rows, nothing is better"
    if not _says_something(reduction, held_out):
        return f"kept version {version}: {_gain(reduction, held_out)}; more are needed"
    gain = _gain(reduction, held_out)
    return f"kept version {version}: the new one {'has' if 'times' in gain.partition(',')[0] else 'is'} {gain}"


def _gain(reduction: LossReduction, held_out: bool) -> str:
    """How much better or worse the new model is, and what that rests on."""
    if reduction.old_T[0] == 0:
        return f"{_percent(reduction.gain_T[0])}, the loss was 0 on these rows"
    if not _says_something(reduction, held_out):
        return _too_few(reduction)
    sample = _interval(reduction) if held_out else _on_training_rows(reduction)
    return f"{_percent(reduction.gain_T[0])}, {sample}"


def _on_training_rows(reduction: LossReduction) -> str:
    return f"judged on {reduction.rows:,} training rows (data.test_fraction = 0), no interval"


def _interval(reduction: LossReduction) -> str:
    """The interval of the gain over all targets, and what it rests on."""
    rows = f"{reduction.rows:,} test rows"
    sample = f"by {reduction.partitions} partitions of {rows}" if reduction.partitions else f"on {rows}"
    return f"95% interval {_between(reduction.gain_T[0], reduction.low_T[0], reduction.high_T[0])} {sample}"


def _too_few(reduction: LossReduction) -> str:
    if reduction.partitions:
        rows = f"{reduction.partitions} partitions with the weight of {reduction.effective:.2g} are"
    elif reduction.rows == 1:
        rows = "1 test row is"
    else:
        rows = f"{reduction.rows} test rows with the weight of {reduction.effective:.2g} are"
    return f"{rows} too few to tell"


def _by_target(reduction: LossReduction, targets: Sequence[str], *, held_out: bool) -> str:
    """Each target's gain, where they do not all go the same way; the largest gain first."""
    half_O = reduction.half_T[1:] if held_out else np.zeros(len(targets))
    gain_O = reduction.gain_T[1:]
    better, worse = gain_O - half_O > PLAINLY, gain_O + half_O < -PLAINLY
    if len(targets) < 2 or better.all() or worse.all() or not (np.abs(gain_O) > PLAINLY).any():
        return ""
    order = list(np.argsort(-gain_O))
    targets_shown = order if len(order) <= MOST_TARGETS else [order[0], order[-1]]
    sure_O = better | worse | (np.abs(gain_O) <= PLAINLY)
    words = (f"{targets[o]} {_percent(gain_O[o])}{'' if sure_O[o] else ' (may be chance)'}" for o in targets_shown)
    return "; " + ", ".join(words) + (f" ({len(order)} targets)" if len(targets_shown) < len(order) else "")


def unconverged(verdict: Verdict, *, rule: GateRule, version: int, errors: float, ref: str) -> Verdict:
    """The verdict, which says that the champion was trained less far than the new model, and what to do where it stays.

    Args:
        rule: that decided; under ``better`` a new model that took over needs no such words.
        version: the champion's.
        errors: how many standard errors that is from the optimum of its own data; the new model is at its own.
        ref: the new model's version, to be promoted by hand.
    """
    if verdict.decision == "promoted" and rule == "better":
        return verdict
    words = f"version {version} is {errors:.2g} standard errors from the optimum of its own data and the new one is not"
    if verdict.decision == "kept" and verdict.surely_worse is False:
        by_rule = 'gate.rule = "not_worse" lets such a model take over from the next version on'
        words += f": `linreg promote {ref}` puts it in use, and {by_rule}"
    return replace(verdict, reason=f"{verdict.reason}; {words}")


def _percent(gain: float) -> str:
    if abs(gain) <= PLAINLY:
        return "equally good"
    if gain == -np.inf:
        return "no longer without loss"
    if gain <= -1:  # twice the loss and more: nobody reads 9873.54%
        return f"{_times(gain)} times the loss"
    size = "less than 0.01%" if abs(gain) < 5e-5 else f"{abs(gain):.2%}"
    return f"{size} better" if gain > 0 else f"{size} worse"


def _between(gain: float, low: float, high: float) -> str:
    """The interval of the gain in the unit that ``_percent`` tells it in; times the loss rise where gains fall."""
    return f"{_times(high)} to {_times(low)}" if gain <= -1 else f"{low:.2%} to {high:.2%}"


def _times(gain: float) -> str:
    times = 1 - gain
    return f"{times:.3g}" if times < 1000 or times >= 1e6 else f"{times:,.0f}"
