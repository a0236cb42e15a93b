"""The page of ``linreg plan``: the eigenvalues' numbers, the k-fold errors, the ridge path, and what follows.

It computes nothing but what is shown where.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from flows.cli.pages.columns import WIDTH, flowing, grid, page_width, plain, wrapped
from linreg.config import TrainConfig
from linreg.selection.kfold import CrossValidation
from linreg.selection.ridge_path import RidgePath
from linreg.training.plan import Plan

_MOST_ROWS = 9  # of the ridge path
_MOST_TARGETS = 6
_WIDTH = 25  # of the errors drawn as text


def page(plan: Plan, rows: int, config: TrainConfig, validated: CrossValidation | str) -> str:
    """The whole page; where validation was not possible, its reason stands in its place."""
    head = [*_plan(plan, rows, config), ""]
    if isinstance(validated, str):
        return "\n".join([*head, *_advice([*plan.advice, validated])])
    follows = _advice([*plan.advice, *validated.advice])
    return "\n".join([*head, *_errors(validated), "", *_path(validated), *(["", *follows] if follows else [])])


def _advice(lines: Sequence[str]) -> list[str]:
    return (
        ["What follows", *(f"  {plain(line)}" if "--set" in line else flowing(line, "    ") for line in lines)]
        if lines
        else []
    )


def _plan(plan: Plan, rows: int, config: TrainConfig) -> Iterable[str]:
    condition = "infinite: columns are constant or determine each other"
    if plan.condition_number is not None:
        condition = f"{plan.condition_number:.4g} of the {'scaled' if config.standardize else 'raw'} columns"
    none = "not predicted for mini-batches" if 0 < config.batch_size < rows else "never"
    at_once = ": exact is at the optimum at once" if config.trainer == "exact" else ""
    lines = [
        ("training rows", f"{rows:,}"),
        ("largest stable rate", f"{plan.largest_stable_learning_rate:.4g}{_own_rate(config)}"),
        *([("auto", plan.rate)] if plan.rate else []),
        ("condition number", condition),
        ("best possible loss", f"{plan.optimum_loss:.6g}"),
        *((f"epochs to {share}", none if n is None else f"{n:,}{at_once}") for share, n in plan.epochs_to.items()),
    ]
    return (flowing(text, " " * 22, first=f"{name:<22}") for name, text in lines)


def _own_rate(config: TrainConfig) -> str:
    if config.trainer == "exact":
        return " (exact takes no steps)"
    return "" if config.learning_rate == "auto" else f" (the config's: {config.learning_rate:g})"


def _errors(validated: CrossValidation) -> Iterable[str]:
    """The optimum's errors on rows it has seen and on rows it has not, beside the mean predictor's."""
    trained, mean, count = validated.trained, validated.mean, validated.folds
    targets = trained.targets[:_MOST_TARGETS] if len(trained.targets) > 1 else ()
    more = len(trained.targets) - _MOST_TARGETS
    yield f"Root mean squared error at the optimum{f' (the first {_MOST_TARGETS} targets)' if more > 0 else ''}"
    rows = [
        ("on its own rows", validated.in_sample_rmse, np.sqrt(validated.in_sample_O), None),
        (f"{count}-fold", trained.rmse, trained.rmse_O, trained.r2),
        ("  standard error", trained.rmse_standard_error, trained.rmse_standard_error_O, None),
        (f"the mean, {count}-fold", mean.rmse, mean.rmse_O, mean.r2),
    ]
    lines = []
    for name, error, error_O, r2 in rows:
        digits = 2 if "standard error" in name else 4
        cells = [f"{cell:.{digits}g}" for cell in [error, *error_O[: len(targets)]]]
        lines.append([name, *cells, "" if r2 is None else f"{r2:.4f}"])
    yield grid(["", "all", *targets, "R2"], lines, indent="  ", least=[22, *[12] * (len(targets) + 1), 10])


def _path(validated: CrossValidation) -> Iterable[str]:
    """The k-fold error along the weight decays, each with its standard error drawn around it."""
    path, own = validated.path, validated.path.index(validated.weight_decay)
    shown = shown_points(path, own)
    drawn = drawing(path.rmse_G[shown], path.rmse_standard_error_G[shown])
    marks = [(own, "this config"), (path.best, "best"), (path.within, "largest within one standard error of the best")]
    without = " (without L1)" if validated.l1 else ""
    has_room = page_width() >= WIDTH  # for what is drawn
    legend = " (o: the RMSE, dashes: one standard error each way)" if has_room else ""
    yield wrapped(f"{validated.folds}-fold error along the weight decays{without}{legend}", "  ", first="")
    head = ["weight decay", "degrees of freedom", "RMSE", "standard error", *([""] if has_room else []), ""]
    rows = []
    for g, line in zip(shown, drawn, strict=True):
        mark = ", ".join(words for point, words in marks if point == g)
        numbers = [f"{path.weight_decay_G[g]:.3g}", f"{path.degrees_G[g]:.2f}", f"{path.rmse_G[g]:.4g}"]
        rows.append([*numbers, f"{path.rmse_standard_error_G[g]:.2g}", *([line] if has_room else []), mark])
    yield grid(head, rows, indent="  ", least=[0, 0, 10])


def shown_points(path: RidgePath, own: int) -> list[int]:
    """At most nine grid points: the marked ones, and others spread over where the error is near its smallest."""
    marked = {0, own, path.best, path.within}
    limit = path.mse_G[path.best] + 4 * path.standard_error_G[path.best]
    near = np.flatnonzero(path.mse_G <= limit)
    low, high = max(int(near[0]) - 1, 0), min(int(near[-1]) + 2, len(path.mse_G))
    others = [g for g in range(low, high) if g not in marked]
    picked = np.linspace(0, len(others) - 1, min(len(others), _MOST_ROWS - len(marked))).round().astype(int)
    return sorted(marked | {others[i] for i in picked})


def drawing(centre: np.ndarray, error: np.ndarray) -> list[str]:
    """Each centre as an o between its standard errors as dashes, all on one scale."""
    if not np.isfinite(centre + error).all():  # squares beyond float64: nothing to draw to scale
        return [""] * len(centre)
    low, high = float((centre - error).min()), float((centre + error).max())
    scale = (_WIDTH - 1) / (high - low) if high > low else 0.0
    lines = []
    for c, e in zip(centre, error, strict=True):
        left, middle, right = (round((v - low) * scale) for v in (c - e, c, c + e))
        lines.append(f"{' ' * left}{'-' * (middle - left)}o{'-' * (right - middle)}".ljust(_WIDTH))
    return lines
