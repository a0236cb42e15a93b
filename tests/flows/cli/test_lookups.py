"""A look-up loads what it needs: MLflow's client and, where it shows the numbers of a model, arrays; nothing else."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from flows.tracking import registry
from tests.support.processes import run
from tests.support.registered import config_of, keep

NEVER = {"matplotlib", "numba", "pandas", "prefect", "pyarrow", "scipy.stats", "sklearn", "torch"}
NO_ARRAYS = NEVER | {"numpy", "safetensors", "scipy"}
LOADED = """
import sys
from flows.cli.main import main
status = main()
print(*sorted(sys.modules), file=sys.stderr)
sys.exit(status)
"""


@pytest.fixture(scope="module", autouse=True)
def _versions(module_store):
    """The working directory has a store with two versions of m."""
    config = config_of(("a", "b"), ("y",), train={"trainer": "exact"})
    rng = np.random.default_rng(0)
    for day in ("1", "2"):
        keep(module_store, config, {day: rng.normal(size=(50, 3))})
    registry.promote(module_store, "m", 2, why="first")
    Path("rows.csv").write_text("a,b\n1,2\n")


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
def test_a_look_up_or_scoring_loads_nothing_that_it_does_not_use(command, left_out):
    process = run([sys.executable, "-W", "error", "-c", LOADED, *command, "--json"])
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout)
    (line,) = process.stderr.splitlines()
    modules = set(line.split())
    assert modules & left_out == set()
    assert "mlflow" in modules
