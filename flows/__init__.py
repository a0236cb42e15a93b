"""The pipeline: Prefect flows, MLflow tracking, the command line.

Importing this package sets, in the environment, what the dependencies read when they are first imported: nothing is
sent out, no pickle is loaded, a busy machine is waited for. It has to happen before either of them is first imported,
and a scheduled worker imports this package by no other door. A value that the user has set stands.
"""

import os

_DEFAULTS = {
    "DO_NOT_TRACK": "true",  # mlflow takes the word alone; "1" does nothing
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # 20 are too few on a busy machine
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",  # a pickled model is refused
}

for _name, _value in _DEFAULTS.items():
    os.environ.setdefault(_name, _value)
