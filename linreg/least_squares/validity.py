"""Why standard errors and intervals would not mean what they say, each reason in words and with what to do.

``record_reasons``: what the record and the model show by themselves; ``caller_reasons``: what only the caller knows.

Shapes: F features, O targets.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from linreg.config import TrainConfig
from linreg.errors import listed
from linreg.least_squares.standard_errors import distance
from linreg.metrics import Float
from linreg.model import LinearModel
from linreg.moments.moments import Moments

NEAR = 0.01  # standard errors that the parameters may be from the optimum: 1/200 of a 95% interval's half-width
NEARER = "more epochs, train.standardize = true or trainer = 'exact'"
REGULARISED = "regularised"
FILLED = "filled in as if measured"
_EPS = float(np.finfo(float).eps)


def caller_reasons(
    *,
    weight_decay: float = 0.0,
    l1: float = 0.0,
    filled: int = 0,
    warm_start: str = "",
    patience: int = 0,
    selected: str = "",
) -> tuple[str, ...]:
    """Word what the record cannot show; empty where nothing speaks against inference.

    Args:
        weight_decay, l1: the penalties.
        filled: missing values of the training rows that were filled in.
        warm_start: the version that training started from; empty: the seeded start.
        patience: epochs that training waited for the validation rows; 0: they did not stop it.
        selected: how the model or its columns were chosen among several, in words; empty: they were not.
    """
    reasons = []
    if weight_decay:
        reasons.append(
            f"{REGULARISED} (train.weight_decay = {weight_decay:g}): the penalty pulls the slopes to 0; set it to 0"
        )
    if l1:
        reasons.append(f"{REGULARISED} (train.l1 = {l1:g}): the penalty pulls slopes to 0 and drops some; set it to 0")
    if filled:
        values = "missing value was" if filled == 1 else "missing values were"
        reasons.append(f'{filled:,} {values} {FILLED}: set data.missing = "drop"')
    if warm_start:
        reasons.append(f"training started from {warm_start}, whose rows count too: train without train.warm_start")
    if patience:
        reasons.append(f"the validation rows chose when to stop (train.patience = {patience}): set it to 0")
    if selected:
        reasons.append(f"{selected}: fit the chosen model to rows that had no part in the choice")
    return tuple(reasons)


def selection_words(models: int, by: str) -> str:
    """How a model was chosen among several, for ``caller_reasons``; empty where there was one alone.

    Args:
        models: how many there were to choose among.
        by: what they were compared by, as in ``5-fold loss on 15 training rows``.
    """
    return f"chosen among {models:,} models by {by}" if models > 1 else ""


def remedy(config: TrainConfig, *, ran_all: bool = True) -> str:
    """What would bring the parameters of such a training nearer to the optimum, in words; only what is not so yet.

    Args:
        config: the training that was done.
        ran_all: it ran all its epochs; False: ``tolerance`` or ``patience`` ended it, and more epochs would not be run.
            Nor do they help where mini-batches go on at a constant rate. ``caller_reasons`` speaks of patience.
    """
    noisy = config.batch_size > 0 and config.schedule == "constant"
    remedies = [
        ("more epochs", config.trainer != "exact" and ran_all and not noisy),
        ("a smaller train.tolerance", config.tolerance not in ("auto", 0.0) and not ran_all and not config.patience),
        ("train.batch_size = 0", noisy),
        ("train.standardize = true", not config.standardize),
        ("trainer = 'exact'", config.trainer != "exact"),
    ]
    applying = [words for words, applies in remedies if applies]
    *first, last = applying or ["leave out columns that others nearly determine"]
    return f"{', '.join(first)} or {last}" if first else last


def record_reasons(
    model: LinearModel, moments: Moments, reasons: Sequence[str] = (), *, remedy: str = NEARER
) -> tuple[str, ...]:
    """What the record and the model show to be wrong; empty where inference is valid.

    Args:
        model: as it was trained.
        moments: the record of its training rows.
        reasons: the caller's; of a penalised model it is not said that it is away from the unpenalised optimum.
        remedy: what would bring the parameters nearer to the optimum, as ``remedy`` words it.
    """
    no_errors = optimum_reasons(moments)
    if no_errors or any(r.startswith(REGULARISED) for r in reasons):
        return no_errors
    return tuple(_far_parameters(model, moments, remedy))


def errors_from_optimum(model: LinearModel, moments: Moments, *, penalised: bool) -> float | None:
    """How many standard errors the parameters are from the optimum of the record; 0 where inference allows that many.

    None where it cannot be told: there are no standard errors, or a penalty moves the parameters on purpose.
    """
    if penalised or optimum_reasons(moments):
        return None
    errors = distance(model, moments)
    return 0.0 if errors <= NEAR else errors


def optimum_reasons(moments: Moments) -> tuple[str, ...]:
    """Why the least-squares optimum itself has no standard errors; empty where it has."""
    singular = (*_too_few(moments), *_deficient(moments))
    return singular or tuple(_exact_targets(moments))


def _too_few(moments: Moments) -> Iterable[str]:
    n, d = moments.rows, len(moments.features) + moments.intercept
    if n <= d:
        rows = "1 row is" if n == 1 else f"{n:,} rows are"
        yield f"{rows} too few for {d:,} parameters a target: more than {d:,} are needed, or fewer features"


def _deficient(moments: Moments) -> Iterable[str]:
    """The columns; not where the rank is as large as so few rows allow."""
    solution, f = moments.solve(), len(moments.features)
    spread_P = moments.equations.spread_P
    constant = [n for n, spread in zip(moments.features, spread_P, strict=False) if spread == 0]
    tied = [n for n in solution.deficient if n not in constant]
    if constant:
        yield f"{listed(constant)} {_is(constant)} constant: leave out what does not vary"
    if solution.rank < min(f - len(constant), moments.rows - moments.intercept):
        yield f"rank {solution.rank} of {f}: {listed(tied)} determine each other: leave out one of them"


def _exact_targets(moments: Moments) -> Iterable[str]:
    """Targets met to rounding, whose noise cannot be told."""
    f, is_exact_O = len(moments.features), exact_O(moments)
    constant = [t for t, spread in zip(moments.targets, moments.equations.spread_P[f:], strict=True) if spread == 0]
    names = [t for t, zero in zip(moments.targets, is_exact_O, strict=True) if zero and t not in constant]
    if constant:
        yield f"{listed(constant)} {_is(constant)} constant, so there is nothing to explain: leave out the target"
    if names:
        yield (
            f"the residuals of {listed(names)} are zero to rounding, so there is no noise to tell errors from: "
            "leave out the feature that holds the answer, or the target"
        )


def _rounding_O(moments: Moments) -> Float:
    """The residual sum of squares that rounding leaves of each target.

    Of the target it is what the factorisation leaves, of the terms that make it up what their own last digits do.
    """
    f, size_P = len(moments.features), np.hypot(moments.spread_P, moments.mean_P)
    weight_OF = np.abs(moments.solve().weight_OF)
    return np.asarray(moments.weight * (_EPS * (64 * size_P[f:] + 16 * weight_OF @ size_P[:f])) ** 2)


def allowed_O(moments: Moments) -> Float:
    """The residual sum of squares above the optimum's up to which a model counts as the optimum, a target; above 0.

    ``(NEAR s)^2``, so that no parameter is further than ``NEAR`` standard errors away; what rounding leaves where a
    target is met to rounding and has no s.
    """
    solution = moments.solve()
    near_O = NEAR**2 * solution.residual_O / max(moments.rows - solution.rank - moments.intercept, 1)
    return np.maximum(np.where(exact_O(moments), _rounding_O(moments), near_O), 1e-200)


def exact_O(moments: Moments) -> npt.NDArray[np.bool_]:
    """Which targets least squares meets to rounding."""
    return np.asarray(moments.solve().residual_O <= _rounding_O(moments))


def _far_parameters(model: LinearModel, moments: Moments, remedy: str) -> Iterable[str]:
    """Parameters that are not those of least squares."""
    errors = distance(model, moments)
    if not errors <= NEAR:
        yield f"the parameters are up to {errors:.2g} standard errors from the optimum ({NEAR:g} is allowed): {remedy}"


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
