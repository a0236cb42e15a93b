"""What importing the library does: everything it needs and nothing else, in a process of its own."""

import json
import os
import subprocess
import sys

import pytest

from tests.support import processes

ALL = """
import importlib, pathlib, linreg
root = pathlib.Path(linreg.__file__).parent  # from the files: walking packages would import them
files = sorted(f.relative_to(root.parent).with_suffix("") for f in root.rglob("*.py"))
modules = [".".join(f.parts).removesuffix(".__init__") for f in files]
"""
WATCH = """
import json, sys, threading
seen = []
def hook(event, args):
    if event.startswith(("socket.", "subprocess.", "os.system", "os.fork", "os.posix_spawn", "os.mkdir", "os.remove")):
        seen.append(event)
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        seen.append(f"write {args[0]}")
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    done: subprocess.CompletedProcess[str] = processes.run([sys.executable, "-B", "-W", "error", "-c", code])
    assert done.returncode == 0, done.stderr
    return done


FIRST = """
import torch.utils.data, numpy, pandas, pyarrow.parquet, pyarrow.csv, pyarrow.dataset, scipy.linalg, scipy.special
import safetensors.numpy, xxhash, mmap, urllib.request
"""


def test_the_library_imports_by_itself_prints_nothing_opens_nothing_and_loads_matplotlib_for_plots_alone() -> None:
    """No socket, thread, process or file; where prefect and mlflow cannot be imported."""
    done = run(
        """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("prefect", "mlflow", "flows"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
"""
        + FIRST
        + WATCH
        + ALL
        + """
threads = threading.active_count()
sys.addaudithook(hook)
assert len(modules) > 15, modules
for plots in (False, True):
    for name in modules:
        if name.startswith("linreg.plots") == plots:
            importlib.import_module(name)
    assert ("matplotlib" in sys.modules) == plots
    if not plots:
        assert "scipy.stats" not in sys.modules
        loaded = [list(seen), threading.active_count() - threads]
assert "matplotlib.pyplot" not in sys.modules
try:
    import mlflow
except ImportError:
    print(json.dumps(loaded))
"""
    )
    assert json.loads(done.stdout) == [[], 0]
    assert done.stderr == ""


def test_records_their_optimum_and_scoring_need_no_torch() -> None:
    run(
        "import sys\nsys.modules['torch'] = None\n"
        + ALL
        + """
for name in modules:
    package = name.split(".")[1:2]
    scoring = {"model", "rows", "moments", "least_squares", "evaluation"}
    if name != "linreg.moments.on_device" and scoring & set(package):
        importlib.import_module(name)
from linreg.model import LinearModel
import numpy as np
assert LinearModel(np.ones((1, 2)), np.ones(1), np.zeros(2), ("a", "b"), ("y",)).predict([[1, 2]]).tolist() == [[4.0]]
"""
    )


def test_a_run_starts_before_anything_heavy_is_loaded_and_loads_no_more_than_it_needs() -> None:
    run(
        """
import sys
import flows.cli.main, flows.cli.run, flows.cli.sweep  # what starts the run's own Prefect server
assert not {"numpy", "torch", "mlflow", "prefect", "httpx", "pydantic"} & set(sys.modules)
import flows.pipeline
heavy = {"prefect.server", "prefect.runner", "prefect.testing", "scipy.stats", "matplotlib", "numba", "uvicorn"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({"http_proxy": "http://p:1"}, dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost,::1")),
        ({"https_proxy": "http://p:1", "NO_PROXY": "a, localhost"}, {"NO_PROXY": "a,localhost,127.0.0.1,::1"}),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "*"}, {"no_proxy": "*"}),
    ],
)
def test_this_machines_own_servers_are_asked_past_the_users_proxy(monkeypatch, before, after) -> None:
    import flows

    for name in [n for n in os.environ if n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    flows._pass_by_proxies()
    assert {n: os.environ.pop(n) for n in ("no_proxy", "NO_PROXY") if n in os.environ} == after
