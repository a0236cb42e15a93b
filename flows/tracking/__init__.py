"""What MLflow holds: the store, the tracked run, the registry, and the model directory that a version is.

The only package here that imports mlflow. Before it does, its chatter is switched off and its patience cut: by
default a server that is gone blocks a single call for four minutes. A value that the user has set stands.
"""

import os

_PATIENCE = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # nobody wants to read migrations
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # the run's own summary says where it is
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # twenty kilobytes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}

for _name, _value in _PATIENCE.items():
    os.environ.setdefault(_name, _value)
