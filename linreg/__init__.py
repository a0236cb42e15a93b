"""Linear regression by gradient descent, exact about how good its answer is.

    >>> import linreg
    >>> columns = {"features": ("temp", "rainfall", "humidity"), "targets": ("apples", "oranges")}
    >>> rows = linreg.read_dataset(linreg.DataConfig(path="data/crops-15.csv", **columns)).train
    >>> fitted = linreg.fit(rows, linreg.TrainConfig(trainer="gram", learning_rate=0.3, epochs=200))
    >>> round(float(fitted.train_loss[-1]), 4)
    0.9094

Every name below is loaded when it is first asked for, so that a look-up loads neither torch nor pandas. Prefect and
MLflow are not imported at all: flows and tracking are the package ``flows``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linreg.config import Config, TrainConfig
    from linreg.config_file import load as load_config
    from linreg.data_config import DataConfig
    from linreg.drift.drift import drift as measure_drift
    from linreg.errors import UserError
    from linreg.evaluation.predict import predict_rows
    from linreg.evaluation.score_files import score as score_files
    from linreg.ingest.dataset import Dataset, read_dataset
    from linreg.least_squares.inference import infer, intervals
    from linreg.least_squares.objective import Objective
    from linreg.model import LinearModel
    from linreg.moments.moments import Moments
    from linreg.rows.rows import Rows
    from linreg.selection.fit_many import fit_many
    from linreg.selection.kfold import cross_validation as cross_validate
    from linreg.training.fit import fit
    from linreg.training.plan import plan

_HOME = {  # where each name is defined
    "Config": "linreg.config:Config",
    "DataConfig": "linreg.data_config:DataConfig",
    "Dataset": "linreg.ingest.dataset:Dataset",
    "LinearModel": "linreg.model:LinearModel",
    "Moments": "linreg.moments.moments:Moments",
    "Objective": "linreg.least_squares.objective:Objective",
    "Rows": "linreg.rows.rows:Rows",
    "TrainConfig": "linreg.config:TrainConfig",
    "UserError": "linreg.errors:UserError",
    "cross_validate": "linreg.selection.kfold:cross_validation",
    "fit": "linreg.training.fit:fit",
    "fit_many": "linreg.selection.fit_many:fit_many",
    "infer": "linreg.least_squares.inference:infer",
    "intervals": "linreg.least_squares.inference:intervals",
    "load_config": "linreg.config_file:load",
    "measure_drift": "linreg.drift.drift:drift",
    "plan": "linreg.training.plan:plan",
    "predict_rows": "linreg.evaluation.predict:predict_rows",
    "read_dataset": "linreg.ingest.dataset:read_dataset",
    "score_files": "linreg.evaluation.score_files:score",
}

__all__ = [
    "Config",
    "DataConfig",
    "Dataset",
    "LinearModel",
    "Moments",
    "Objective",
    "Rows",
    "TrainConfig",
    "UserError",
    "cross_validate",
    "fit",
    "fit_many",
    "infer",
    "intervals",
    "load_config",
    "measure_drift",
    "plan",
    "predict_rows",
    "read_dataset",
    "score_files",
]


def __getattr__(name: str) -> object:
    """Load a public name from where it is defined (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'linreg' has no attribute {name!r}: it has {', '.join(__all__)}")
    module, _, attribute = _HOME[name].partition(":")
    value = getattr(import_module(module), attribute)
    globals()[name] = value  # asked for once
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__
