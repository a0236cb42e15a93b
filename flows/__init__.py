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

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _pass_by_proxies() -> None:
    """Have this machine's own servers asked directly, where the user has a proxy for the others."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return
    for name in [n for n in ("no_proxy", "NO_PROXY") if os.environ.get(n)] or ["no_proxy", "NO_PROXY"]:
        hosts = [host.strip() for host in os.environ.get(name, "").split(",") if host.strip()]
        if "*" not in hosts:
            os.environ[name] = ",".join(dict.fromkeys([*hosts, *_LOOPBACK]))


for _name, _value in _DEFAULTS.items():
    os.environ.setdefault(_name, _value)
if os.environ.get("PREFECT_API_URL") == "":  # names no server; prefect's events would take it for the address of one
    del os.environ["PREFECT_API_URL"]
_pass_by_proxies()
