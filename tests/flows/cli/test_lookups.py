"""A look-up loads what it needs: MLflow's client and, where it shows the numbers of a model, arrays; nothing else."""

import json
import sys

import numpy as np
import pytest

from flows.tracking import registry
from tests.support.processes import run
from tests.support.registered import config_of, keep
from tests.support.tracked import new_store

NEVER = {"matplotlib", "numba", "pandas", "prefect", "pyarrow", "scipy.stats", "sklearn", "torch"}
NO_ARRAYS = NEVER | {"numpy", "safetensors", "scipy"}
LOADED = """
import sys
from flows.cli.main import main
status = main()
print(*sorted(sys.modules), file=sys.stderr)
sys.exit(status)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store with two versions of m."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("lookups"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        folder = tmp_path_factory.mktemp("lookups") / "work"
        store = new_store(folder)
        config = config_of(("a", "b"), ("y",), train={"trainer": "exact"})
        rng = np.random.default_rng(0)
        for day in ("1", "2"):
            keep(store, config, {day: rng.normal(size=(50, 3))})
        registry.promote(store, "m", 2, why="first")
        (folder / "rows.csv").write_text("a,b\n1,2\n")
    return folder


def loaded(folder, *command):
    """The document of a command in a process of its own, and the modules that it loaded."""
    done = run([sys.executable, "-W", "error", "-c", LOADED, *command, "--json"], cwd=folder)
    assert done.returncode == 0, done.stderr
    (modules,) = done.stderr.splitlines()
    return json.loads(done.stdout), set(modules.split())


@pytest.mark.parametrize(
    ("command", "left_out"),
    [
        (["models", "m"], NO_ARRAYS),
        pytest.param(["runs"], NO_ARRAYS, marks=pytest.mark.long),
        (["show", "m/1"], NEVER | {"scipy"}),
        (["diff", "m/1", "m"], NEVER | {"scipy.special", "scipy.optimize"}),
        pytest.param(["models", "m", "--rescore"], NEVER, marks=pytest.mark.long),
        pytest.param(["promote", "m/2"], NO_ARRAYS, marks=pytest.mark.long),
        (["predict", "m", "rows.csv", "-o", "out.csv"], NEVER - {"pandas", "pyarrow"}),  # pyarrow looks for pandas
    ],
)
def test_a_look_up_or_scoring_loads_nothing_that_it_does_not_use(folder, command, left_out):
    document, modules = loaded(folder, *command)
    assert document
    assert modules & left_out == set()
    assert "mlflow" in modules
