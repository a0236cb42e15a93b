"""Who runs what: the tags by which MLflow's UI groups runs, and the name that a promotion is recorded under."""

import functools
import getpass
import os
import subprocess
import sys
from pathlib import Path


def origin(name: str) -> dict[str, str]:
    """Run name, program, user and commit, as MLflow's own tags."""
    tags = {
        "mlflow.runName": name,
        "mlflow.source.name": Path(sys.argv[0]).name or "python",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": user(),
    }
    revision = commit()
    return tags | ({"mlflow.source.git.commit": revision} if revision else {})


def user() -> str:
    """The name of whoever runs this; the number where a container's user has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


@functools.cache
def commit() -> str | None:
    """The commit of the checkout that this code is in; none where there is no checkout, or no git."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return process.stdout.strip() if process.returncode == 0 else None
