"""The third step: how good the model is, beside what anyone would compare it with.

The baselines: the mean of the training rows, exact least squares, and the champion. All are judged on the same rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from flows.steps.run_input import Champion, RunInput
from linreg.data_config import DataConfig
from linreg.design import Design
from linreg.errors import UserError, listed
from linreg.evaluation.predict import predict_rows
from linreg.least_squares import validity
from linreg.least_squares.inference import infer
from linreg.least_squares.objective import Objective
from linreg.least_squares.results import Inference
from linreg.metrics import Float, regression_metrics, squared_errors
from linreg.model import LinearModel
from linreg.rows.rows import Rows
from linreg.training.fit import Fit
from linreg.training.plan import Plan


@dataclass(frozen=True)
class Evaluation:
    """How good a model is.

    Args:
        metrics: everything that is logged as a final metric, by name; all finite.
        predicted_NO: of each judged row and target.
        losses_NO: their squared errors.
        judged_on: which rows, in words.
        inference: what the training rows say about the parameters.
    """

    metrics: dict[str, float]
    predicted_NO: Float
    losses_NO: Float
    judged_on: str
    inference: Inference


def evaluate(fitted: Fit, plan: Plan, run_input: RunInput, data: DataConfig, *, selected: str = "") -> Evaluation:
    """Judge the model on the test rows; on the training rows where none are held out.

    Args:
        fitted, plan: the training, and what was expected of it.
        run_input: the rows.
        data: how they were read and split.
        selected: how the model was chosen among several, in words; empty: it was not.
    """
    dataset, model = run_input.dataset, fitted.model
    rows = dataset.test
    y_NO = rows.select(rows.targets)
    predicted_NO, weight_N = predict_rows(model, rows), rows.weights()
    with np.errstate(over="ignore", invalid="ignore"):  # told below, in words
        metrics = _descent(fitted, plan) | regression_metrics(y_NO, predicted_NO, rows.targets, weight_N=weight_N)
        for name, baseline_NO in _baselines(fitted, run_input, y_NO, data).items():
            prefix = f"baseline.{name}.test_"
            metrics |= regression_metrics(y_NO, baseline_NO, rows.targets, prefix=prefix, weight_N=weight_N)
        if data.validation_fraction:
            metrics |= _validation(fitted, dataset.validation)
    _refuse_infinite(metrics)
    inference = _inference(fitted, run_input, selected)
    metrics |= inference.metrics()
    judged_on = f"{len(rows):,} test rows" if data.test_fraction else f"its {len(rows):,} training rows"
    return Evaluation(metrics, predicted_NO, squared_errors(y_NO, predicted_NO), judged_on, inference)


def _refuse_infinite(metrics: Mapping[str, float]) -> None:
    """A metric that is not finite falls out of every comparison; it is the rows that are to be mended."""
    bad = [name for name, value in metrics.items() if not np.isfinite(value)]
    if bad:
        raise UserError(
            f"metric {bad[0]} is {metrics[bad[0]]}: a judged row is too far from the training rows to be squared, or a "
            "target too small; correct or remove the row, or rescale the column"
        )


def _inference(fitted: Fit, run_input: RunInput, selected: str) -> Inference:
    """Standard errors and intervals, or why there are none; what the record cannot show is told from the config."""
    config = fitted.config
    reasons = validity.caller_reasons(
        weight_decay=config.weight_decay,
        l1=config.l1,
        filled=run_input.record.filled,
        warm_start=run_input.warm.version.ref if run_input.warm else "",
        patience=config.patience,
        selected=selected,
    )
    return infer(
        fitted.model,
        run_input.moments,
        reasons=reasons,
        remedy=validity.remedy(config, ran_all=fitted.epochs == config.epochs),
        partitions=run_input.record.partitions,
    )


def _validation(fitted: Fit, rows: Rows) -> dict[str, float]:
    y_NO, predicted_NO = rows.select(rows.targets), predict_rows(fitted.model, rows)
    return regression_metrics(y_NO, predicted_NO, rows.targets, prefix="validation_", weight_N=rows.weights())


def champion_losses(champion: Champion, run_input: RunInput, data: DataConfig) -> Float | str:
    """The champion's squared errors (N, O) on today's judged rows; or why it cannot be compared, in words."""
    rows, model = run_input.dataset.test, champion.model
    reason = _not_comparable(champion, run_input, data)
    if reason or model is None:
        return reason
    return squared_errors(rows.select(rows.targets), _predict(model, run_input))


def _not_comparable(champion: Champion, run_input: RunInput, data: DataConfig) -> str:
    """Why a champion cannot be judged on today's rows, in words; empty where it can."""
    rows, version, model = run_input.dataset.test, champion.version, champion.model
    if model is None:
        return f"version {version.version} cannot be read ({champion.fault})"
    today = split_of(data)
    if dict(version.split) != today:
        matters = "it may know today's test rows" if data.test_fraction else "the two had different training rows"
        return f"version {version.version} was split with {_differences(version.split, today)}: {matters}"
    if version.facts.get("saw_test_rows"):
        return f"version {version.version} may know today's test rows: {version.facts['saw_test_rows']}"
    if set(model.targets) != set(rows.targets):
        return f"version {version.version} predicts {', '.join(model.targets)}"
    if not rows.has(model.inputs):
        lacking = [name for name in model.inputs if not rows.has([name])]
        where = "which today's config does not name, or the data lack or have gaps in"
        return f"version {version.version} needs the columns {', '.join(lacking)}, {where}"
    if changed := [name for name in model.inputs if _kind(name, model.design) != _kind(name, rows.design)]:
        return f"version {version.version} does not take {listed(changed)} as today's config does (number or category)"
    if model.fill_F is None and not rows.complete(model.inputs):
        return f"version {version.version} takes no missing values, and today's rows have some"
    return ""


def _kind(name: str, design: Design | None) -> str:
    """What a column is taken for."""
    if design is None:
        return "number"
    return "category" if name in design.categories else "date" if name in design.dates else "number"


def split_of(data: DataConfig) -> dict[str, object]:
    """What decides which rows a model is judged on, as it is kept with a version.

    Where the training rows judge, what is held out of them for validation counts too: the optimum of fewer rows is
    better on just these, whatever it is worth.
    """
    split: dict[str, object] = {"seed": data.split_seed, "key": list(data.key), "fraction": data.test_fraction}
    judges = data.test_fraction == 0 and data.validation_fraction > 0
    return split | ({"validation": data.validation_fraction} if judges else {})


def saw_test_rows(run_input: RunInput, data: DataConfig) -> str:
    """Why the model's start may know today's test rows, in words; empty where it cannot."""
    warm = run_input.warm
    if warm is None or not data.test_fraction:
        return ""
    today = split_of(data)
    if dict(warm.version.split) != today:
        return f"it started from {warm.version.ref}, which was split with {_differences(warm.version.split, today)}"
    return str(warm.version.facts.get("saw_test_rows") or "")


_KEYS = {"fraction": "test_fraction", "seed": "split_seed", "key": "key", "validation": "validation_fraction"}


def _differences(split: Mapping[str, object], today: Mapping[str, object]) -> str:
    """In what a version's split differs from today's, and nothing else: ``data.split_seed 0, today's with 1``."""
    if not split:
        return "what is not on record"
    # where the test fractions differ, only one of the two may hold the validation fraction
    names = _KEYS if split.get("fraction") == today["fraction"] else [n for n in _KEYS if n != "validation"]
    differ = [name for name in names if split.get(name) != today.get(name)]
    return "; ".join(
        f"data.{_KEYS[name]} {_value(split.get(name))}, today's with {_value(today.get(name))}" for name in differ
    )


def _value(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else f"{value or 0}"


def _descent(fitted: Fit, plan: Plan) -> dict[str, float]:
    """How far the descent came, and how far it could."""
    out: dict[str, float | None] = {
        "train_loss": fitted.train_loss[-1],
        "excess_loss": fitted.excess_loss[-1],
        "optimum_loss": plan.optimum_loss,
        "largest_stable_learning_rate": plan.largest_stable_learning_rate,
        "condition_number": plan.condition_number,
        "epochs_to_1pct": plan.epochs_to["1%"],
        "excess_mse": fitted.excess_mse if fitted.objective.penalised else None,
    }
    return {name: float(value) for name, value in out.items() if value is not None}


def _baselines(fitted: Fit, run_input: RunInput, y_NO: Float, data: DataConfig) -> dict[str, Float]:
    exact = Objective.of(run_input.moments)
    mean_O = run_input.moments.mean_P[len(run_input.moments.features) :]
    model = exact.model(exact.optimum_DO)
    least_squares = replace(model, fill_F=fitted.model.fill_F, design=fitted.model.design)
    rows = run_input.dataset.test
    predictions = {"mean": np.broadcast_to(mean_O, y_NO.shape), "exact": predict_rows(least_squares, rows)}
    champion = run_input.champion
    if champion and champion.model and not _not_comparable(champion, run_input, data):
        predictions["champion"] = _predict(champion.model, run_input)
    return predictions


def _predict(model: LinearModel, run_input: RunInput) -> Float:
    """A model's predictions of the judged rows, its targets in today's order."""
    rows = run_input.dataset.test
    order = [model.targets.index(target) for target in rows.targets]
    return predict_rows(model, rows)[:, order]
