"""The flow: ingest -> train -> evaluate -> register, each a Prefect task, chained here and nowhere else; where there is
a champion, ``drift`` looks at the new files before anything is trained.

    from flows.pipeline import run_flow
    outcome = run_flow(config)

The flow's parameters are the config's sections, so Prefect's form shows them and refuses what is wrong before a run
begins. Tasks are thin: the work is in ``ingest``, ``linreg.fit``, ``evaluate`` and ``register``. A user's error ends a
task in a failed state that carries its line; it is not raised through Prefect, which would retry it and print
tracebacks.
"""

import time
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from logging import INFO, WARNING
from typing import Any

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from flows.orchestration import artifacts as announce
from flows.orchestration.tasks import called, flow_run_id, step, told, value
from flows.orchestration.turns import in_turn
from flows.progress import progress
from flows.results.outcome import Outcome, completed, notes, stopped, unchanged
from flows.results.run_log import log_drift, log_model, log_start, log_training
from flows.steps import drift as drifting
from flows.steps import evaluate as evaluating
from flows.steps import ingest as ingesting
from flows.steps import register as registering
from flows.steps.ingested import Ingested, Unchanged
from flows.tracking import registry
from flows.tracking.model_writer import LoggedModel
from flows.tracking.run import TrackedRun
from flows.tracking.store import Store, open_store
from linreg.config import Config, DataConfig, DriftConfig, EngineConfig, GateConfig, TrainConfig
from linreg.training.fit import Fit, fit
from linreg.training.plan import Plan, plan


@step(name="ingest")
def ingest(config: Config, store: Store) -> Ingested | Unchanged:
    """Files to rows and moments. Retried where the file system fails; never on the user's error."""
    log = get_run_logger()
    found = ingesting.ingest(config, store)
    if isinstance(found, Unchanged):
        log.info("the data and the config are those of version %s: nothing to do", found.version.version)
        return found
    data = found.dataset
    log.info("%d rows of %d files, %d read (digest %s)", data.rows, len(data.partitions), found.read, found.digest[:12])
    for line in notes(config, found):
        log.info(line)
    return found


@step(name="drift")
def drift(config: Config, found: Ingested, run: TrackedRun) -> drifting.Watched:
    """Compare the files that the champion did not learn from with those that it did, before anything is trained."""
    log, watched = get_run_logger(), drifting.compare(config.drift, found)
    for line in watched.notes:
        log.log(INFO if watched.verdict == "none" else WARNING, line)
    log_drift(run, watched)
    announce.drift(config.model, watched, run.run_id)
    return watched


@step(name="train")
def train(config: Config, found: Ingested, run: TrackedRun) -> tuple[Fit, Plan]:
    """Fit, with every epoch's loss in MLflow."""
    log = get_run_logger()
    start = found.warm.model if found.warm else None
    how = config.train if start else replace(config.train, warm_start="")
    expected = plan(found.moments, how, start)
    for line in expected.advice:
        log.log(WARNING if line in expected.warnings else INFO, "plan: %s", line)
    with progress(config.train.epochs, log.info) as on_epoch:
        fitted = fit(
            found.dataset.train,
            how,
            moments=found.moments,
            validation=found.validation,
            start=start,
            on_epoch=on_epoch,
        )
    log.info(
        "%s on %s (%s): loss %.6g after %d epochs, %.6g above the optimum; %s",
        fitted.trainer,
        fitted.device,
        fitted.why,
        fitted.train_loss[-1],
        fitted.epochs,
        fitted.excess_loss[-1],
        fitted.stopped,
    )
    log_training(run, fitted, found)
    return fitted, expected


@step(name="evaluate")
def evaluate(
    config: Config,
    found: Ingested,
    fitted: Fit,
    expected: Plan,
    run: TrackedRun,
    *,
    selected: str = "",
    watched: drifting.Watched = drifting.Watched(),  # noqa: B008 - frozen
) -> tuple[evaluating.Evaluation, LoggedModel]:
    """Judge the model beside the baselines; pictures, metrics and the model go to MLflow."""
    evaluation = evaluating.evaluate(fitted, expected, found, config.data, selected=selected)
    evaluation = replace(evaluation, metrics=evaluation.metrics | watched.metrics)
    m = evaluation.metrics
    run.set_tags({"judged_on": evaluation.judged_on})
    get_run_logger().info("rmse %.6g, R2 %.4f on %s", m["test_rmse"], m["test_r2"], evaluation.judged_on)
    return evaluation, log_model(run, config, found, fitted, evaluation)


@step(name="register")
def register(
    config: Config,
    found: Ingested,
    fitted: Fit,
    evaluation: evaluating.Evaluation,
    run: TrackedRun,
    logged: LoggedModel,
    tags: Mapping[str, str] | None = None,
) -> registering.Registered:
    """Ask the gate; register, and move the champion or leave it."""
    done = registering.register(
        config,
        found,
        fitted,
        evaluation,
        store=run.store,
        run=run,
        logged=logged,
        flow_run_id=flow_run_id(),
        tags=tags,
    )
    run.set_decision(done.verdict.decision, done.verdict.reason)
    get_run_logger().info("%s: %s", done.verdict.decision, done.verdict.reason)
    return done


def run_name(what: str = "") -> str:
    """The model and the date: what a row of Prefect's and MLflow's lists is recognised by."""
    return f"{flow_run.parameters.get('model', 'linreg')} {what}{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"


@flow(name="linreg", flow_run_name=run_name, persist_result=False, validate_parameters=True)
@told
@in_turn
def linreg_flow(
    model: str,
    data: DataConfig,
    experiment: str = "linreg",
    train: TrainConfig = TrainConfig(),  # noqa: B008 - frozen, and the form shows its values
    gate: GateConfig = GateConfig(),  # noqa: B008 - likewise
    drift: DriftConfig = DriftConfig(),  # noqa: B008 - likewise
    engine: EngineConfig = EngineConfig(),  # noqa: B008 - likewise
) -> Outcome:
    """Train, judge and register a linear model on the data as they are now."""
    config = Config(model=model, data=data, experiment=experiment, train=train, gate=gate, drift=drift, engine=engine)
    return _chain(config)


def _chain(config: Config) -> Outcome:
    began = time.monotonic()
    store = open_store(create=True)
    found = value(ingest(config, store, return_state=True))
    if isinstance(found, Unchanged):
        if registering.take_up(found.version, store):
            get_run_logger().warning(
                "version %s was registered and left without its alias: done now", found.version.version
            )
        registry.see_again(store, found.version, flow_run_id=flow_run_id())
        seconds = time.monotonic() - began
        found = replace(found, version=registry.lookup(store, found.version.ref))  # as it is now, aliases and all
        outcome = unchanged(config, found, flow_run_id=flow_run_id(), seconds=seconds)
        announce.summary(outcome, store)
        return outcome
    tags = {"flow_run_id": flow_run_id() or "", "flow_run_name": flow_run.name or "", "model": config.model}
    with TrackedRun.start(store, experiment=config.experiment, name=run_name(), tags=tags) as run:
        outcome = _tracked(config, found, run, began)
    announce.summary(outcome, store)
    return outcome


def _tracked(config: Config, found: Ingested, run: TrackedRun, began: float) -> Outcome:
    """The steps that an MLflow run holds."""
    log_start(run, config, found)
    watched = value(drift(config, found, run, return_state=True)) if found.champion else drifting.Watched()
    if watched.verdict == "stop":
        return replace(stop(config, found, watched, run), seconds=time.monotonic() - began)
    fitted, expected = value(train(config, found, run, return_state=True))
    evaluation, logged = value(evaluate(config, found, fitted, expected, run, watched=watched, return_state=True))
    done = value(register(config, found, fitted, evaluation, run, logged, return_state=True))
    version = done.version
    if version and done.verdict.decision == "unchanged":
        twin = Unchanged(version, found.digest, len(found.dataset.partitions))
        return unchanged(config, twin, flow_run_id=flow_run_id(), seconds=time.monotonic() - began)
    outcome = completed(config, found, fitted, evaluation, done, run_id=run.run_id, flow_run_id=flow_run_id())
    outcome = replace(outcome, advice=expected.advice, notes=(*outcome.notes, *watched.notes))
    return replace(outcome, seconds=time.monotonic() - began)


def stop(config: Config, found: Ingested, watched: drifting.Watched, run: TrackedRun) -> Outcome:
    """End a run before it trains."""
    get_run_logger().warning("refused: %s", watched.reason)
    run.set_decision("refused", watched.reason)
    run.log_metrics(watched.metrics)
    return stopped(config, found, watched, run_id=run.run_id, flow_run_id=flow_run_id())


def parameters(config: Config) -> dict[str, Any]:
    """The config as the flow's parameters."""
    return {f.name: getattr(config, f.name) for f in fields(config)}


def run_flow(config: Config) -> Outcome:
    """Run the flow once, here, and return what it came to.

    Raises:
        UserError: the data, the config or the rate are wrong.
        ServerAway: the tracking server or the Prefect server does not answer.
    """
    return called(linreg_flow, parameters(config))
