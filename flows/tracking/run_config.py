"""With which config a registered version was made, as its MLflow run has it.

One call of the store a version; no artifact is fetched. A run may be deleted while its version stays: then nothing is
known.
"""

from mlflow.exceptions import MlflowException

from flows.tracking.names import plain, restored
from flows.tracking.stores.server import answering
from flows.tracking.stores.store import Store
from flows.tracking.version import Version
from linreg.config import Config
from linreg.data_config import DataConfig


def settings(store: Store, version: Version) -> dict[str, str] | None:
    """Every key of the config with its value as a person would write it: ``{"train.epochs": "1000"}``.

    A key that the release which made the version did not know has its default: that is what the release did. Of a value
    over 6,000 characters there is the head, and a digest.

    Returns:
        None where the version has no run, the run is gone, or it holds no config.
    """
    if version.run_id is None:
        return None
    try:
        with answering(store.uri):
            data = store.client.get_run(version.run_id).data
    except MlflowException as e:
        if e.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None
    return _defaults() | restored(data.params, data.tags) if data.params else None


def _defaults() -> dict[str, str]:
    """What stands for a key that is not there."""
    flat = Config(model="-", data=DataConfig(path="-", features=("x",), targets=("y",))).flat()
    required = ("model", "data.path", "data.features", "data.targets")
    return {name: plain(value) for name, value in flat.items() if name not in required}
