"""What a run, or a sweep, writes down: params, curves, metrics and the model in MLflow; the summary in Prefect."""

import datetime
import json
from typing import Any

from flows.results.outcome import Outcome
from flows.steps.drift import DriftReport
from flows.steps.evaluate import Evaluation
from flows.steps.rank import SweepInput
from flows.steps.run_input import RunInput
from flows.tracking.model_reader import Contents
from flows.tracking.model_writer import EXAMPLE_ROWS, LoggedModel
from flows.tracking.names import cut
from flows.tracking.run import TrackedRun
from linreg.config import Config
from linreg.config_file import to_toml
from linreg.model import LinearModel
from linreg.training.fit import Fit


def log_start(run: TrackedRun, config: Config, run_input: RunInput) -> None:
    """The config, flat and whole, and the data by its digest; of a sweep the grid, its values in the params' places."""
    grid = run_input.grid if isinstance(run_input, SweepInput) else {}
    run.log_params(config.flat() | grid)
    run.log_text("config.toml", to_toml(config))
    columns = [*config.data.inputs, *config.data.targets]
    run.log_dataset(config.data.path, config.data.path, run_input.digest, run_input.dataset.rows, columns)
    if isinstance(run_input, SweepInput):
        run.log_text("grid.json", json.dumps(grid, indent=1, allow_nan=False))
        tags = {"models": len(run_input.models), "ranked_by": run_input.ranked_on, "sweep_key": run_input.sweep_key}
        run.set_tags(tags)


def log_drift(run: TrackedRun, report: DriftReport) -> None:
    """How far new files are from what the champion learned from: all of it, and the worst in tags and metrics."""
    lines = report.lines if report.drift else (report.why_not,)
    run.set_tags({"drift": report.verdict, "drift.why": cut("\n".join(lines))})
    if report.drift is None:
        return
    document = {"champion": report.version, "verdict": report.verdict, **report.drift.to_json()}
    for name in ("warn", "stop"):
        document[name] = [e.to_json() for e in getattr(report.judged, name)]
    run.log_text("drift.json", json.dumps(document, indent=1, allow_nan=False))
    run.log_metrics(report.metrics)


def log_training(run: TrackedRun, fitted: Fit, run_input: RunInput) -> None:
    """Every epoch's loss, and which trainer made them from what."""
    counts = {
        "dropped": run_input.dataset.dropped,
        "weightless": run_input.dataset.weightless,
        "filled": run_input.record.filled,
    }
    tags: dict[str, object] = {"trainer": fitted.trainer, "trainer.why": fitted.why, "device": fitted.device}
    tags |= {"learning_rate": fitted.rate} if fitted.rate else {}
    tags |= {"epochs": fitted.epochs, "stopped": fitted.stopped}
    tags |= {"start": f"warm, from {run_input.warm.version.ref}" if run_input.warm else "cold, seeded"}
    run.set_tags(tags | {f"rows.{name}": count for name, count in counts.items() if count})  # a transaction each call
    history = {"train_loss": fitted.train_loss, "excess_loss": fitted.excess_loss}
    run.log_history(history | ({"validation_loss": fitted.validation_loss} if fitted.validation_loss else {}))


def log_model(run: TrackedRun, run_input: RunInput, fitted: Fit, evaluation: Evaluation) -> LoggedModel:
    """The inference, the model, and the metrics at both the run and the model."""
    example = _filled(fitted.model, run_input.dataset.test.head(fitted.model.inputs, EXAMPLE_ROWS))
    metadata: dict[str, Any] = {
        "digest": run_input.digest,
        "content_key": run_input.content_key,
        "trainer": fitted.trainer,
    }
    inference = evaluation.inference
    run.log_text("inference.json", json.dumps(inference.to_json(), indent=1, allow_nan=False))
    run.set_tags({"inference": inference.inference})
    contents = Contents(fitted.model, run_input.moments, inference, run_input.test, run_input.lineage)
    logged = run.log_model(contents, example=example, metadata=metadata)
    curve_ends = ("train_loss", "excess_loss")  # logged already, for every epoch
    run.log_metrics({k: v for k, v in evaluation.metrics.items() if k not in curve_ends})
    run.log_metrics(evaluation.metrics, model_id=logged.model_id)
    return logged


def _filled(model: LinearModel, rows: list[list[Any]]) -> list[list[Any]]:
    """Rows of a model's inputs with what stands for a missing one: JSON has no NaN."""
    fill = {} if model.fill_F is None else dict(zip(model.features, model.fill_F.tolist(), strict=True))
    dates = model.design.dates if model.design else ()
    return [[_plain(x, fill.get(n), n in dates) for n, x in zip(model.inputs, row, strict=True)] for row in rows]


def _plain(value: Any, fill: Any, is_date: bool) -> Any:
    return fill if value is None else _date(value) if is_date else value


def _date(microseconds: float) -> str:
    """Microseconds since 1970 as they are written."""
    date = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=microseconds)
    return date.isoformat(" ", "seconds") if date.time() != datetime.time() else date.date().isoformat()


def markdown(outcome: Outcome, where: str) -> str:
    """The summary that Prefect's UI shows."""
    m = outcome.metrics
    rows = [f"| {name} | {m[name]:.6g} |" for name in sorted(m) if name.startswith("test_")]
    version = f"version {outcome.version}" if outcome.version else "nothing registered"
    judged = f"judged on {outcome.judged_on}" if outcome.judged_on else "not trained"
    return "\n".join(
        [
            f"# {outcome.model}: {outcome.decision}",
            f"{outcome.reason}.",
            "",
            f"{version}, trainer {outcome.trainer}, {outcome.data.get('train_rows')} training rows of digest "
            f"`{outcome.data.get('digest')}`, {judged}.",
            "",
            *[f"- {line}" for line in outcome.notes],
            "",
            "| metric | value |",
            "|---|---|",
            *rows,
            "",
            *[f"- {line}" for line in outcome.advice],
            "",
            _link(outcome, where),
        ]
    )


def _link(outcome: Outcome, where: str) -> str:
    """The MLflow run: an address where a server has one, else the command that opens the store."""
    if where.startswith("http"):
        return f"[MLflow run]({where.rstrip('/')}/#/runs/{outcome.run_id})"
    address = f"http://127.0.0.1:5000/#/runs/{outcome.run_id}"
    return f"MLflow run `{outcome.run_id}` in `{where}`: [open]({address}) after `linreg ui`"
