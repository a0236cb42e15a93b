"""How the next command is typed from here, for pages that name one."""

import os
import shutil
import sys
from pathlib import Path


def command() -> str:
    """How this very command is called from here: its name where the shell finds it, else its path."""
    if shutil.which("linreg"):
        return "linreg"
    beside = Path(sys.executable).with_name("linreg")
    return os.path.relpath(beside) if beside.exists() else "python -m flows.cli.main"
