"""Which pictures there are of a model and of a sweep, and what each is drawn from.

Importing this loads matplotlib: only the thread that draws does it (``pictures``).

Shapes: T recorded epochs, D = 1 + F parameters a target, N rows, F features, O targets.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from flows.results.sweep_table import Row
from flows.steps.evaluate import Evaluation
from flows.steps.rank import SweepInput
from flows.steps.run_input import RunInput
from linreg import plots
from linreg.least_squares.inference import intervals
from linreg.least_squares.objective import Objective
from linreg.least_squares.results import Coefficient
from linreg.selection.fit_many import Result
from linreg.training.fit import Fit

Figures = Mapping[str, Callable[[], bytes]]  # by the file's name, what draws it as a PNG


def of_model(run_input: RunInput, fitted: Fit, evaluation: Evaluation) -> Figures:
    """Those of a model that was trained and judged."""
    return {
        "loss.png": lambda: plots.png(_loss(fitted)),
        "predicted.png": lambda: plots.png(_predicted(run_input, fitted, evaluation)),
        "parabolas.png": lambda: plots.png(_parabolas(fitted)),
        "coefficients.png": lambda: plots.png(_coefficients(run_input, fitted, evaluation)),
    }


def of_sweep(sweep: SweepInput, results: Sequence[Result], rows: Sequence[Row], best: int) -> Figures:
    """That of a sweep."""
    return {"sweep.png": lambda: plots.png(_sweep(sweep, results, rows, best))}


def _loss(fitted: Fit) -> Figure:
    objective = fitted.objective
    losses = fitted.train_loss, objective.optimum_loss, fitted.validation_loss
    return plots.loss_curve(*losses, penalised=objective.penalised)


def _predicted(run_input: RunInput, fitted: Fit, evaluation: Evaluation) -> Figure:
    moments, rows, band_O = run_input.moments, run_input.dataset.test, None
    if evaluation.inference.valid:
        means_1F = moments.mean_P[None, : len(moments.features)]
        low_1O, high_1O = intervals(fitted.model, moments, means_1F, kind="prediction")
        band_O = (high_1O - low_1O)[0] / 2
    judged = rows.select(rows.targets), evaluation.predicted_NO, fitted.model.targets, evaluation.judged_on
    return plots.predicted_against_actual(*judged, band_O=band_O)


def _coefficients(run_input: RunInput, fitted: Fit, evaluation: Evaluation) -> Figure:
    model, inference = fitted.model, evaluation.inference
    spread_F, half_OF = run_input.moments.spread_P[: len(model.features)], None
    if inference.valid:
        half_OF = np.array([[_half(c) for c in t.coefficients.values()] for t in inference.targets.values()])
    effects = model.weight_OF, spread_F, model.features, model.targets
    return plots.coefficients(*effects, half_OF=half_OF, why_not=inference.inference)


def _half(coefficient: Coefficient) -> float:
    """Half the width of a coefficient's interval."""
    low, high = coefficient.errors.low, coefficient.errors.high
    return (high - low) / 2 if low is not None and high is not None else 0.0


def _parabolas(fitted: Fit) -> Figure:
    """The walk in the data's own units on the mean squared error, whatever was trained: the picture of the tutorial."""
    epochs, path_TDO = list(fitted.path), np.stack(list(fitted.path.values()))
    plain, moments = Objective.of(fitted.objective.moments), fitted.objective.moments
    own = slice(not moments.intercept, None)
    return plots.parabolas(
        path_TDO[:, own],
        epochs,
        curvature_D=plain.curvature_D[own],
        gradient_DO=plain.gradient(path_TDO[-1])[own],
        loss=plain.loss(path_TDO[-1]),
        features=moments.features,
        targets=moments.targets,
        penalised=fitted.objective.penalised,
    )


def _sweep(sweep: SweepInput, results: Sequence[Result], rows: Sequence[Row], best: int) -> Figure:
    validated = sweep.validation is not None
    return plots.sweep(
        [_curve(result, validated) for result in results],
        [row.loss for row in rows],
        [row.values for row in rows],
        best=best,
        ranked_by=sweep.ranked_by,
        curves_of="validation loss" if validated else "train loss",
        errors=[row.standard_error for row in rows],
    )


def _curve(result: Result, validated: bool) -> Sequence[float]:
    if not isinstance(result, Fit):
        return ()
    return result.validation_loss if validated else result.train_loss
