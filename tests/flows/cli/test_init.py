"""``linreg init``: from a table to a config that runs, through the command line."""

import json
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from linreg import config_file
from tests.support.command import document, error, linreg
from tests.support.files import write
from tests.support.processes import run

NEVER = {"matplotlib", "mlflow", "numba", "prefect", "scipy.stats", "sklearn", "torch"}
LOADED = """
import sys
from flows.cli.main import main
status = main()
print(*sorted(sys.modules), file=sys.stderr)
sys.exit(status)
"""


@pytest.fixture
def flats(work):  # noqa: ARG001 - the working directory
    """A table of flats in the working directory; its name."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"id": np.arange(7000, 7120), "area": rng.uniform(30, 200, 120).round(1)})
    frame["region"] = rng.choice(["north", "south"], 120)
    frame["price"] = (3000 * frame["area"] + 9000 * (frame["region"] == "north") + rng.normal(0, 9000, 120)).round()
    frame.loc[3, "area"] = np.nan
    frame["price usd"] = frame["price"] * 1.1
    return write("my flats.csv", frame)


def test_a_config_is_written_that_runs_as_it_stands(flats, prefect_api):  # noqa: ARG001 - the run finds the server
    page = linreg("init", flats, "--target", "price")
    assert (page.status, page.err) == (0, "")
    assert [line.split()[:2] for line in page.out.splitlines() if "left out" in line] == [["price", "usd"]]
    assert "linreg run my-flats.toml" in page.out.splitlines()[-1]
    ran = document("run", "my-flats.toml")
    assert (ran["status"], ran["model"]["name"], ran["data"]["rows"]) == ("completed", "my-flats", 119)


def test_the_document_is_the_config_and_every_column(flats):
    written = document("init", flats, "--target", "price", "-o", "other.toml")
    assert written["config"] == tomllib.loads(Path("other.toml").read_text())
    assert written["config"]["data"] == {
        "path": "my flats.csv",
        "targets": ["price"],
        "features": ["area"],
        "categorical": ["region"],
        "key": ["id"],
        "test_fraction": 0.2,
        "missing": "drop",
    }
    assert config_file.load("other.toml") == config_file.from_dict(written["config"])
    by_name = {column.pop("name"): column for column in written["columns"]}
    assert list(by_name) == ["id", "area", "region", "price", "price usd"]
    assert by_name["area"] == {
        "type": "number",
        "role": "feature",
        "why": "numbers; 1 row has no value",
        "missing": 1,
        "distinct": 116,
    }
    assert [column["role"] for column in by_name.values()] == ["key", "feature", "categorical", "target", "left out"]


def test_several_targets_are_named_at_once_or_one_by_one(flats):
    both = document("init", flats, "--target", "price", "area", "-o", "a.toml")
    assert both == document("init", flats, "--target", "price", "--target", "area", "-o", "b.toml")
    assert both["config"]["data"]["targets"] == ["price", "area"]


def test_without_a_target_the_columns_are_listed_and_nothing_is_written(flats):
    refused = linreg("init", flats)
    first, head, *lines = refused.err.splitlines()
    assert (refused.status, refused.out) == (2, "")
    assert first == "error: my flats.csv: name the column that is to be predicted: --target NAME"
    assert head.split() == ["column", "type", "missing", "distinct"]
    assert lines[1].split() == ["area", "number", "1", "116"]
    assert len(lines) == 5
    assert not list(Path().glob("*.toml"))


def test_a_config_that_is_there_is_never_overwritten(flats):
    Path("my-flats.toml").write_text("mine")
    assert "my-flats.toml is there already" in error("init", flats, "--target", "price")
    assert Path("my-flats.toml").read_text() == "mine"
    assert "cannot be written" in error("init", flats, "--target", "price", "-o", "nowhere/flats.toml")
    assert "did you mean 'price'" in error("init", flats, "--target", "prize", "-o", "x.toml")
    assert not Path("x.toml").exists()


def test_it_loads_no_more_than_it_needs(flats):
    command = ["init", flats, "--target", "price", "--json"]
    process = run([sys.executable, "-W", "error", "-c", LOADED, *command])
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout)
    assert set(process.stderr.split()) & NEVER == set()
