"""The pipeline: Prefect flows, MLflow tracking, the command line.

Importing this package sets, in the environment, what the dependencies read when they are first imported: nothing is
sent out, no pickle is loaded, this machine's own servers are asked past any proxy. It has to happen before either of
them is first imported, and a scheduled worker imports this package by no other door. A value that the user has set
stands.
"""

import os

_DEFAULTS = {
    "DO_NOT_TRACK": "true",  # mlflow takes the word alone; "1" does nothing
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",  # a pickled model is refused
}

_LOOPBACK = "127.0.0.1,localhost,::1"  # what is on this machine is asked by no proxy's way

for _name, _value in _DEFAULTS.items():
    os.environ.setdefault(_name, _value)

_direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
if _LOOPBACK not in _direct and any(_name.lower().endswith("_proxy") for _name in os.environ):
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = f"{_direct},{_LOOPBACK}".lstrip(",")
