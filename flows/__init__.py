"""The pipeline: Prefect flows, MLflow tracking, the command line.

Importing this package switches off, in the environment, what the dependencies would send out: it has to happen before
either of them is first imported, and a scheduled worker imports this package by no other door. A value that the user
has set stands.
"""

import os

_QUIET = {
    "DO_NOT_TRACK": "true",  # mlflow takes the word alone; "1" does nothing
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",  # a pickled model is refused
}

for _name, _value in _QUIET.items():
    os.environ.setdefault(_name, _value)
