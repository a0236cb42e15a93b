"""A run's steps, one after the other, without Prefect: for what the steps decide, many times faster than flows."""

import subprocess
import sys
from types import SimpleNamespace

from flows.results.run_log import log_model, log_training
from flows.steps.evaluate import evaluate
from flows.steps.ingest import ingest, training_config
from flows.steps.register import Registered, register
from flows.steps.run_input import RunInput
from flows.tracking.run import TrackedRun
from flows.tracking.stores.store import Store
from linreg.config import Config
from linreg.training.fit import fit
from linreg.training.plan import plan


def train(store: Store, config: Config) -> SimpleNamespace:
    """A run, up to its registration."""
    run_input = ingest(config, store)
    assert isinstance(run_input, RunInput)
    run = TrackedRun.start(store, experiment=config.experiment, name="a run", tags={})
    train_config = training_config(config, run_input)
    known = {"moments": run_input.moments, "validation": run_input.validation, "start": run_input.start}
    fitted = fit(run_input.dataset.train, train_config, **known)
    log_training(run, fitted, run_input)
    expected = plan(run_input.moments, train_config, run_input.start)
    evaluation = evaluate(fitted, expected, run_input, config.data)
    logged = log_model(run, run_input, fitted, evaluation)
    parts = {"config": config, "run_input": run_input, "fitted": fitted, "evaluation": evaluation}
    return SimpleNamespace(**parts, run=run, logged=logged)


def register_run(training: SimpleNamespace) -> Registered:
    """What the gate says of a run."""
    return register(**vars(training), flow_run_id=None)


def answer_elsewhere(folder: str, code: str) -> None:
    """Run code on ``model``, loaded by MLflow where neither this package nor formulaic can be imported."""
    absent = "import sys; sys.modules['linreg'] = sys.modules['flows'] = sys.modules['formulaic'] = None\n"
    load = "import mlflow, pandas; model = mlflow.pyfunc.load_model(sys.argv[1])\n"
    subprocess.run([sys.executable, "-c", absent + load + code, folder], check=True, capture_output=True)
