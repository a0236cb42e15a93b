"""The sweep's flow: ingest -> train -> rank -> evaluate -> register, with the steps of ``pipeline`` wherever they do.

    from flows.sweep_pipeline import run_sweep
    outcome = run_sweep(config, {"train.learning_rate": [0.1, 0.2]})

One reading of the data, many models; the best one by rows that are no test rows is judged on the test rows and goes
through the gate, as a run's would. What is particular to a sweep is in ``sweep`` and ``sweep_report``.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from logging import INFO, WARNING
from typing import Any

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from flows.orchestration import artifacts as announce
from flows.orchestration.tasks import called, flow_run_id, step, told, value
from flows.orchestration.turns import in_turn
from flows.pipeline import drift, evaluate, parameters, register, run_name, stop
from flows.progress import progress_of_many
from flows.results.outcome import Outcome, completed, notes, unchanged
from flows.results.sweep_log import Nest, log_sweep, log_table
from flows.results.sweep_outcome import SweepOutcome, rows_of
from flows.steps import rank as sweeping
from flows.steps import register as registering
from flows.steps.drift import Watched
from flows.steps.evaluate import Evaluation
from flows.steps.ingested import Unchanged
from flows.steps.rank import KnownSweep, SweepIngested
from flows.tracking import registry
from flows.tracking.run import TrackedRun
from flows.tracking.store import Store, open_store
from flows.tracking.sweeps import tag_of
from linreg.config import Config, DataConfig, DriftConfig, EngineConfig, GateConfig, TrainConfig
from linreg.errors import UserError
from linreg.selection.fit_many import Result, fit_many
from linreg.selection.grid import Grid, Member, members
from linreg.selection.ranking import Loss
from linreg.training.fit import Fit
from linreg.training.plan import Plan, plan


@step(name="ingest")
def ingest(models: Sequence[Member], store: Store) -> SweepIngested | KnownSweep:
    """Files to rows, moments and the folds' records, once for all models."""
    log = get_run_logger()
    found = sweeping.ingest(models, store)
    if isinstance(found, KnownSweep):
        log.info("version %s came of this very sweep of this very data: nothing to do", found.unchanged.version.version)
        return found
    data = found.found.dataset
    found_files = len(data.partitions), found.found.read
    log.info("%d rows of %d files, %d read (digest %s)", data.rows, *found_files, found.found.digest[:12])
    for line in notes(models[0].config, found.found):
        log.info(line)
    return found


@step(name="train")
def train(sweep: SweepIngested, nest: Nest) -> list[Result]:
    """Fit all models; each has its nested run as soon as it is done."""
    log, found = get_run_logger(), sweep.found
    start = found.warm.model if found.warm else None
    hows = [_how(model.config, start is not None) for model in sweep.models]
    with progress_of_many(len(hows), sum(how.epochs for how in hows), log.info) as on_epoch:
        results = fit_many(
            found.dataset.train,
            hows,
            moments=found.moments,
            validation=found.validation,
            start=start,
            on_epoch=on_epoch,
            on_result=nest.log,
        )
    for model, result in zip(sweep.models, results, strict=True):
        if isinstance(result, UserError):
            log.warning("%s failed: %s", model.label, result)
    log.info("trained %d of %d models", sum(isinstance(r, Fit) for r in results), len(results))
    return results


def _how(config: Config, warm: bool) -> TrainConfig:
    return config.train if warm else replace(config.train, warm_start="")


@step(name="rank")
def rank(sweep: SweepIngested, results: Sequence[Result], nest: Nest) -> tuple[list[Loss | UserError], int]:
    """The loss of each model on rows that are no test rows, and who is the best."""
    losses = sweeping.rank(sweep, results)
    try:
        best = sweeping.best_of(losses)
    except UserError:
        nest.rank(losses, None)
        raise
    nest.rank(losses, best)
    get_run_logger().info("%s is the best by %s", sweep.models[best].label, sweep.ranked_on)
    return losses, best


@flow(
    name="linreg-sweep",
    flow_run_name=partial(run_name, "sweep "),
    persist_result=False,
    validate_parameters=True,
)
@told
@in_turn
def linreg_sweep_flow(
    model: str,
    data: DataConfig,
    grid: dict[str, list[Any]],
    experiment: str = "linreg",
    train: TrainConfig = TrainConfig(),  # noqa: B008 - frozen, and the form shows its values
    gate: GateConfig = GateConfig(),  # noqa: B008 - likewise
    drift: DriftConfig = DriftConfig(),  # noqa: B008 - likewise
    engine: EngineConfig = EngineConfig(),  # noqa: B008 - likewise
) -> SweepOutcome:
    """Train many linear models on the data as they are now; judge and register the best of them."""
    config = Config(model=model, data=data, experiment=experiment, train=train, gate=gate, drift=drift, engine=engine)
    return _chain(config, grid, members(config, grid))


def _chain(config: Config, grid: Grid, models: tuple[Member, ...]) -> SweepOutcome:
    began = time.monotonic()
    store = open_store(create=True)
    found = value(ingest(models, store, return_state=True))
    if isinstance(found, KnownSweep):
        outcome = _unchanged(models, found, store, began)
        announce.summary(outcome, store)
        return outcome
    tags = {"flow_run_id": flow_run_id() or "", "flow_run_name": flow_run.name or "", "model": config.model}
    with TrackedRun.start(store, experiment=config.experiment, name=run_name("sweep "), tags=tags) as parent:
        log_sweep(parent, config, grid, found)
        with Nest(parent, found, tags) as nest:
            outcome = _tracked(found, parent, nest, began)
    announce.summary(outcome, store)
    return outcome


def _unchanged(models: Sequence[Member], found: KnownSweep, store: Store, began: float) -> SweepOutcome:
    """What the same sweep came to when it was made."""
    version = found.unchanged.version
    if registering.take_up(version, store):
        get_run_logger().warning("version %s was registered and left without its alias: done now", version.version)
    registry.see_again(store, version, flow_run_id=flow_run_id())
    now = replace(found.unchanged, version=registry.lookup(store, version.ref))  # aliases and all
    seconds = time.monotonic() - began
    outcome = unchanged(models[0].config, now, flow_run_id=flow_run_id(), seconds=seconds)
    reason = f"version {version.version} came of the same sweep of the same data"
    return SweepOutcome.of(replace(outcome, reason=reason), *rows_of(found.table))


def _tracked(sweep: SweepIngested, parent: TrackedRun, nest: Nest, began: float) -> SweepOutcome:
    """The steps that the sweep's MLflow run holds, the nested ones included."""
    config, found = sweep.models[0].config, sweep.found
    watched = value(drift(config, found, parent, return_state=True)) if found.champion else Watched()
    if watched.verdict == "stop":
        outcome = replace(stop(config, found, watched, parent), seconds=time.monotonic() - began)
        return SweepOutcome.of(outcome, (), sweep.ranked_on)
    results = value(train(sweep, nest, return_state=True))
    losses, best = value(rank(sweep, results, nest, return_state=True))
    fitted = results[best]
    assert isinstance(fitted, Fit)
    outcome, evaluation = _judged(sweep, best, fitted, watched, parent, nest)
    nest.judged(best, evaluation.metrics)
    rows = nest.rows(losses)
    log_table(parent, rows, sweep, results, best)
    parent.set_decision(outcome.decision, outcome.reason)
    parent.set_tags({"best_run_id": nest.runs[best].run_id})
    return SweepOutcome.of(replace(outcome, seconds=time.monotonic() - began), rows, sweep.ranked_on)


def _judged(
    sweep: SweepIngested, best: int, fitted: Fit, watched: Watched, parent: TrackedRun, nest: Nest
) -> tuple[Outcome, Evaluation]:
    """The best model through the steps of an ordinary run, in its nested run."""
    config, found, run = sweep.models[best].config, sweep.of(best), nest.runs[best]
    expected = _expected(fitted, sweep)
    steps: Mapping[str, Any] = {"return_state": True}
    judging = evaluate(config, found, fitted, expected, run, selected=sweep.selected, watched=watched, **steps)
    evaluation, logged = value(judging)
    tags = tag_of(sweep.key, parent.run_id)
    done = value(register(config, found, fitted, evaluation, run, logged, tags, **steps))
    version = done.version
    if version and done.verdict.decision == "unchanged":
        return _registered_before(sweep, best, version), evaluation
    outcome = completed(config, found, fitted, evaluation, done, run_id=run.run_id, flow_run_id=flow_run_id())
    advice = tuple(line for line in expected.advice if not line.startswith("--set"))  # the grid has its own
    chosen = f"{sweep.selected or 'the only model'}: {sweep.models[best].label}"
    return replace(outcome, advice=advice, notes=(*outcome.notes, *watched.notes, chosen)), evaluation


def _expected(fitted: Fit, sweep: SweepIngested) -> Plan:
    """What the eigenvalues say of the best model's training."""
    found, log = sweep.found, get_run_logger()
    expected = plan(found.moments, fitted.config, found.warm.model if found.warm else None)
    for line in expected.advice:
        log.log(WARNING if line in expected.warnings else INFO, "plan: %s", line)
    return expected


def _registered_before(sweep: SweepIngested, best: int, version: registry.Version) -> Outcome:
    """The best model is a registered version: no second one is made, no alias moves; this time the rows were read."""
    config, found = sweep.models[best].config, sweep.found
    twin = Unchanged(version, found.digest, len(found.dataset.partitions))
    outcome = unchanged(config, twin, flow_run_id=flow_run_id(), seconds=0.0)
    reason = f"the best model is version {version.version}, registered already from the same data and config"
    return replace(outcome, reason=reason, data=found.facts)


def run_sweep(config: Config, grid: Grid) -> SweepOutcome:
    """Run the sweep's flow once, here, and return what it came to.

    Args:
        config: of all the keys that are not swept.
        grid: the swept keys, each with its values.

    Raises:
        UserError: the grid, the data or the config are wrong, or all models failed.
        ServerAway: the tracking server or the Prefect server does not answer.
    """
    return called(linreg_sweep_flow, parameters(config) | {"grid": {k: list(v) for k, v in grid.items()}})
