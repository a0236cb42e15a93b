"""The chain of the flows, a run's and a sweep's: ingest -> (training) -> evaluate -> register, each a Prefect task.

    outcome = chain(config, partial(steps.ingest.ingest, config), train_and_judge)

A run is a sweep of one: what the two do not share is in ``flows.pipeline`` and ``flows.sweep_pipeline``, the reading
and the training that they hand to ``chain``. Where there is a champion, ``drift`` looks at the new files before
anything is trained. Tasks are thin: the work is in ``flows.steps``. A user's error ends a task in a failed state that
carries its line; it is not raised through Prefect, which would retry it and print tracebacks.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from logging import INFO, WARNING
from typing import Any

from prefect import get_run_logger
from prefect.logging import get_logger
from prefect.runtime import deployment, flow_run

from flows import steps
from flows.orchestration import artifacts
from flows.orchestration.tasks import flow_run_id, step, unwrap
from flows.results import pictures
from flows.results.outcome import Outcome, completed, notes, stopped, unchanged
from flows.results.pictures import Pictures
from flows.results.run_log import log_drift, log_model, log_start
from flows.steps.drift import DriftReport
from flows.steps.evaluate import Evaluation
from flows.steps.register import Registered
from flows.steps.run_input import RunInput, Unchanged
from flows.tracking import registry
from flows.tracking.model_writer import LoggedModel
from flows.tracking.run import TrackedRun
from flows.tracking.stores.store import Store, open_store
from linreg.config import Config, TrainConfig
from linreg.training.fit import Fit
from linreg.training.plan import Plan, plan

Read = Callable[[Store], RunInput | Unchanged]
Train = Callable[[RunInput, TrackedRun, DriftReport], tuple[Outcome, Sequence[Pictures]]]


def chain(config: Config, read: Read, train_and_judge: Train, *, kind: str = "") -> Outcome:
    """From the files to an outcome: the version that is registered already, or what an MLflow run came to.

    Args:
        read: the reading of the files.
        train_and_judge: what follows where the data did not drift too far.
        kind: what the run's name says beside the model's.
    """
    began = time.monotonic()
    store = open_store(create=True)
    run_input = unwrap(ingest(config, read, store, return_state=True))
    if isinstance(run_input, Unchanged):
        outcome = _see_again(config, run_input, store)
    else:
        with TrackedRun.start(store, experiment=config.experiment, name=run_name(kind), tags=run_tags(config)) as run:
            outcome, to_draw = _tracked(config, run_input, run, train_and_judge)
        pictures.draw(to_draw, get_logger("pictures").warning)  # the run is done, and so it stays
    seconds = time.monotonic() - began
    outcome = replace(outcome, experiment=config.experiment, flow_run_id=flow_run_id(), seconds=seconds)
    artifacts.summary(outcome, store)
    if deployment.id:  # its process ends with it, and one that is ending may upload no more
        pictures.wait()
    return outcome


def run_tags(config: Config) -> dict[str, str]:
    """What an MLflow run is found by, whatever comes of it."""
    return {"flow_run_id": flow_run_id() or "", "flow_run_name": flow_run.name or "", "model": config.model}


def _see_again(config: Config, unchanged_input: Unchanged, store: Store) -> Outcome:
    """What the registered version came to; where its run was cut off before the promotion, that is made up for."""
    version = unchanged_input.version
    if steps.register.take_up(version, store):
        get_run_logger().warning("version %s was registered and left without its alias: done now", version.version)
    registry.see_again(store, version, flow_run_id=flow_run_id())
    current = replace(unchanged_input, version=registry.lookup(store, version.ref))  # aliases and all
    return unchanged(config, current)


def _tracked(
    config: Config, run_input: RunInput, run: TrackedRun, train_and_judge: Train
) -> tuple[Outcome, Sequence[Pictures]]:
    """The steps that an MLflow run holds."""
    log_start(run, config, run_input)
    report = unwrap(drift(config, run_input, run, return_state=True)) if run_input.champion else DriftReport()
    if report.verdict != "stop":
        return train_and_judge(run_input, run, report)
    get_run_logger().warning("refused: %s", report.reason)
    run.set_decision("refused", report.reason)
    run.log_metrics(report.metrics)
    return stopped(config, run_input, report, run.run_id), []


def judge(
    config: Config,
    run_input: RunInput,
    fitted: Fit,
    expected: Plan,
    run: TrackedRun,
    report: DriftReport,
    *,
    selected: str = "",
    tags: Mapping[str, str] | None = None,
) -> tuple[Outcome, Evaluation]:
    """A trained model through the last two steps.

    Args:
        selected: how it was chosen among several, in words; empty: it was not.
        tags: further ones for its version.
    """
    trained = config, run_input, fitted
    judged = evaluate(*trained, expected, run, report, selected=selected, return_state=True)
    evaluation, logged = unwrap(judged)
    registered = unwrap(register(*trained, evaluation, run, logged, tags=tags, return_state=True))
    if registered.version and registered.verdict.decision == "unchanged":
        twin = Unchanged(registered.version, run_input.digest, len(run_input.dataset.partitions))
        return unchanged(config, twin), evaluation
    outcome = completed(*trained, evaluation, registered, run.run_id)
    return replace(outcome, advice=expected.advice, notes=(*outcome.notes, *report.notes)), evaluation


def expectation(config: TrainConfig, run_input: RunInput) -> Plan:
    """What the eigenvalues say of a training."""
    log, expected = get_run_logger(), plan(run_input.moments, config, run_input.start, run_input.ranges)
    for line in expected.advice:
        log.log(WARNING if line in expected.warnings else INFO, "plan: %s", line)
    return expected


@step(name="ingest")
def ingest(config: Config, read: Read, store: Store) -> RunInput | Unchanged:
    """Files to rows and moments. Retried where the file system fails; never on the user's error."""
    log = get_run_logger()
    run_input = read(store)
    if isinstance(run_input, Unchanged):
        for line in run_input.skipped:
            log.warning(line)
        swept = run_input.table is not None
        same = "%s came of this very sweep of this very data" if swept else "the data and the config are those of %s"
        log.info(f"{same}: nothing to do", f"version {run_input.version.version}")
        return run_input
    files = len(run_input.dataset.partitions), run_input.read
    log.info("%d rows of %d files, %d read (digest %s)", run_input.dataset.rows, *files, run_input.digest[:12])
    for line in notes(config, run_input):
        log.log(WARNING if line in run_input.skipped else INFO, line)
    return run_input


@step(name="drift")
def drift(config: Config, run_input: RunInput, run: TrackedRun) -> DriftReport:
    """Compare the files that the champion did not learn from with those that it did, before anything is trained."""
    log, report = get_run_logger(), steps.drift.compare(config.drift, run_input)
    for line in report.notes:
        log.log(INFO if report.verdict == "none" else WARNING, line)
    log_drift(run, report)
    artifacts.drift(config.model, report, run.run_id)
    return report


@step(name="evaluate")
def evaluate(
    config: Config,
    run_input: RunInput,
    fitted: Fit,
    expected: Plan,
    run: TrackedRun,
    report: DriftReport,
    *,
    selected: str,
) -> tuple[Evaluation, LoggedModel]:
    """Judge the model beside the baselines; metrics and the model go to MLflow."""
    evaluation = steps.evaluate.evaluate(fitted, expected, run_input, config.data, selected=selected)
    evaluation = replace(evaluation, metrics=evaluation.metrics | report.metrics)
    m = evaluation.metrics
    run.set_tags({"judged_on": evaluation.judged_on})
    get_run_logger().info("rmse %.6g, R2 %.4f on %s", m["test_rmse"], m["test_r2"], evaluation.judged_on)
    return evaluation, log_model(run, run_input, fitted, evaluation)


@step(name="register")
def register(
    config: Config,
    run_input: RunInput,
    fitted: Fit,
    evaluation: Evaluation,
    run: TrackedRun,
    logged: LoggedModel,
    *,
    tags: Mapping[str, str] | None,
) -> Registered:
    """Ask the gate; register, and move the champion or leave it."""
    trained = config, run_input, fitted, evaluation
    registered = steps.register.register(*trained, run=run, logged=logged, flow_run_id=flow_run_id(), tags=tags)
    verdict = registered.verdict
    run.set_decision(verdict.decision, verdict.reason)
    get_run_logger().info("%s: %s", verdict.decision, verdict.reason)
    return registered


def run_name(kind: str = "") -> str:
    """The model and the date: what a row of Prefect's and MLflow's lists is recognised by."""
    return f"{flow_run.parameters.get('model', 'linreg')} {kind}{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"


def parameters(config: Config) -> dict[str, Any]:
    """The config as the flow's parameters."""
    return {f.name: getattr(config, f.name) for f in fields(config)}
