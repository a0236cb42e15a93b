"""The sweep's flow: ingest -> train -> rank -> evaluate -> register, by the chain that a run goes by, too.

    from flows.sweep_pipeline import run_sweep
    outcome = run_sweep(config, {"train.learning_rate": [0.1, 0.2]})

One reading of the data, many models, each in a nested run; the best one by rows that are no test rows is judged on the
test rows and goes through the gate, as a run's would.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from prefect import flow, get_run_logger

from flows import steps
from flows.orchestration.chain import chain, expectation, judge, parameters, run_name, run_tags
from flows.orchestration.schedule import one_at_a_time
from flows.orchestration.tasks import fail_with_message, run_and_unwrap, step, unwrap
from flows.progress import progress_of_many
from flows.results import pictures
from flows.results.outcome import Outcome
from flows.results.pictures import Pictures
from flows.results.sweep_log import NestedRuns, log_table
from flows.steps.drift import DriftReport
from flows.steps.rank import SweepInput
from flows.steps.run_input import RunInput
from flows.tracking.run import TrackedRun
from flows.tracking.sweeps import tag_of
from linreg.config import Config, EngineConfig, TrainConfig
from linreg.data_config import DataConfig
from linreg.errors import UserError
from linreg.judging_config import DriftConfig, GateConfig
from linreg.selection.fit_many import Result, fit_many
from linreg.selection.grid import Grid, members
from linreg.training.fit import Fit


@step(name="train")
def train(sweep: SweepInput, nested: NestedRuns) -> list[Result]:
    """Fit all models; each has its nested run as soon as it is done."""
    log = get_run_logger()
    configs = [steps.ingest.training_config(model.config, sweep) for model in sweep.models]
    with progress_of_many(len(configs), sum(config.epochs for config in configs), log.info) as on_epoch:
        results = fit_many(
            sweep.dataset.train,
            configs,
            moments=sweep.moments,
            validation=sweep.validation,
            start=sweep.start,
            ranges=sweep.ranges,
            on_epoch=on_epoch,
            on_result=nested.log,
        )
    for model, result in zip(sweep.models, results, strict=True):
        if isinstance(result, UserError):
            log.warning("%s failed: %s", model.label, result)
    log.info("trained %d of %d models", sum(isinstance(r, Fit) for r in results), len(results))
    return results


@step(name="rank")
def rank(sweep: SweepInput, results: Sequence[Result], nested: NestedRuns) -> int:
    """The best model's place, by the loss of each on rows that are no test rows."""
    losses = steps.rank.rank(sweep, results)
    try:
        best = steps.rank.best_of(losses)
    except UserError:
        nested.rank(losses, None)
        raise
    nested.rank(losses, best)
    get_run_logger().info("%s is the best by %s", sweep.models[best].label, sweep.ranked_on)
    return best


@flow(name="linreg-sweep", flow_run_name=partial(run_name, "sweep "), persist_result=False)
@fail_with_message
@one_at_a_time
def linreg_sweep_flow(
    model: str,
    data: DataConfig,
    grid: dict[str, list[Any]],
    experiment: str = "linreg",
    train: TrainConfig = TrainConfig(),  # noqa: B008 - frozen, and the form shows its values
    gate: GateConfig = GateConfig(),  # noqa: B008 - likewise
    drift: DriftConfig = DriftConfig(),  # noqa: B008 - likewise
    engine: EngineConfig = EngineConfig(),  # noqa: B008 - likewise
) -> Outcome:
    """Train many linear models on the data as they are now; judge and register the best of them."""
    config = Config(model=model, data=data, experiment=experiment, train=train, gate=gate, drift=drift, engine=engine)
    models = members(config, grid)
    return chain(config, partial(steps.rank.ingest, models), partial(_train_many, config), kind="sweep ")


def _train_many(
    config: Config, sweep: RunInput, parent: TrackedRun, report: DriftReport
) -> tuple[Outcome, Sequence[Pictures]]:
    """All models in nested runs of the sweep's own; the best of them judged as a run's model is."""
    assert isinstance(sweep, SweepInput)
    with NestedRuns(parent, sweep, run_tags(config)) as nested:
        results = unwrap(train(sweep, nested, return_state=True))
        best = unwrap(rank(sweep, results, nested, return_state=True))
        fitted, model, run, run_input = results[best], sweep.models[best], nested.runs[best], sweep.of(best)
        assert isinstance(fitted, Fit)
        chosen: dict[str, Any] = {"selected": sweep.selected, "tags": tag_of(sweep.sweep_key, parent.run_id)}
        expected = expectation(fitted.config, sweep)
        outcome, evaluation = judge(model.config, run_input, fitted, expected, run, report, **chosen)
        nested.judged(best, evaluation.metrics)
        rows = nested.rows
    outcome = replace(_of_best(outcome, sweep, best), runs=tuple(rows), ranked_on=sweep.ranked_on)
    log_table(parent, rows, sweep.ranked_on, best)
    parent.set_decision(outcome.decision, outcome.reason)
    parent.set_tags({"best_run_id": run.run_id})
    to_draw = pictures.of_run(run, run_input, fitted, evaluation), pictures.of_sweep(parent, sweep, results, rows, best)
    return outcome, to_draw


def _of_best(outcome: Outcome, sweep: SweepInput, best: int) -> Outcome:
    """What is to be said of the best model's outcome in a sweep."""
    if outcome.decision == "unchanged":  # no second version is made, no alias moves; this time the rows were read
        reason = f"the best model is version {outcome.version}, registered already from the same data and config"
        return replace(outcome, reason=reason, data=sweep.facts)
    advice = tuple(line for line in outcome.advice if not line.startswith("--set"))  # the grid has its own
    chosen = f"{sweep.selected or 'the only model'}: {sweep.models[best].label}"
    return replace(outcome, advice=advice, notes=(*outcome.notes, chosen))


def run_sweep(config: Config, grid: Grid) -> Outcome:
    """Run the sweep's flow once, here, and return what it came to.

    Args:
        config: of all the keys that are not swept.
        grid: the swept keys, each with its values.

    Raises:
        UserError: the grid, the data or the config are wrong, or all models failed.
        ServerAway: the tracking server or the Prefect server does not answer.
    """
    return run_and_unwrap(linreg_sweep_flow, parameters(config) | {"grid": {k: list(v) for k, v in grid.items()}})
