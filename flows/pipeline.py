"""The flow: ingest -> train -> evaluate -> register; the chain and its other tasks are ``flows.orchestration.chain``.

    from flows.pipeline import run_flow
    outcome = run_flow(config)

The flow's parameters are the config's sections, so Prefect's form shows them and refuses what is wrong before a run
begins.
"""

from collections.abc import Sequence
from functools import partial

from prefect import flow, get_run_logger

from flows import steps
from flows.orchestration.chain import chain, expectation, judge, parameters, run_name
from flows.orchestration.schedule import one_at_a_time
from flows.orchestration.tasks import fail_with_message, run_and_unwrap, step, unwrap
from flows.progress import progress
from flows.results import pictures
from flows.results.outcome import Outcome
from flows.results.pictures import Pictures
from flows.results.run_log import log_training
from flows.steps.drift import DriftReport
from flows.steps.run_input import RunInput
from flows.tracking.run import TrackedRun
from linreg.config import Config, EngineConfig, TrainConfig
from linreg.data_config import DataConfig
from linreg.judging_config import DriftConfig, GateConfig
from linreg.training.fit import Fit, fit
from linreg.training.plan import Plan


@step(name="train")
def train(config: Config, run_input: RunInput, run: TrackedRun) -> tuple[Fit, Plan]:
    """Fit, with every epoch's loss in MLflow."""
    log, train_config = get_run_logger(), steps.ingest.training_config(config, run_input)
    expected = expectation(train_config, run_input)
    with progress(config.train.epochs, log.info) as on_epoch:
        fitted = fit(
            run_input.dataset.train,
            train_config,
            moments=run_input.moments,
            validation=run_input.validation,
            start=run_input.start,
            ranges=run_input.ranges,
            on_epoch=on_epoch,
        )
    if fitted.rate:
        log.info("%s", fitted.rate)
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
    log_training(run, fitted, run_input)
    return fitted, expected


@flow(name="linreg", flow_run_name=run_name, persist_result=False)
@fail_with_message
@one_at_a_time
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
    return chain(config, partial(steps.ingest.ingest, config), partial(_train_one, config))


def _train_one(
    config: Config, run_input: RunInput, run: TrackedRun, report: DriftReport
) -> tuple[Outcome, Sequence[Pictures]]:
    fitted, expected = unwrap(train(config, run_input, run, return_state=True))
    outcome, evaluation = judge(config, run_input, fitted, expected, run, report)
    return outcome, [pictures.of_run(run, run_input, fitted, evaluation)]


def run_flow(config: Config) -> Outcome:
    """Run the flow once, here, and return what it came to.

    Raises:
        UserError: the data, the config or the rate are wrong.
        ServerAway: the tracking server or the Prefect server does not answer.
    """
    return run_and_unwrap(linreg_flow, parameters(config))
