"""What a reader of a run's result is told of its rows and its start."""

import shutil

import pytest

from flows.results.outcome import notes
from flows.steps.ingest import ingest
from linreg.config import TrainConfig
from tests.support.files import write
from tests.support.flows import noisy, noisy_config

WEIGHED = {"features": ("a",), "weight": "w"}
NOTES = {
    "one row of weight 0": (noisy_config("one.csv", **WEIGHED), "left out 1 row that weighs 0 (data.weight = w)"),
    "rows of weight 0": (noisy_config("two.csv", **WEIGHED), "left out 2 rows that weigh 0 (data.weight = w)"),
    "rows left out": (noisy_config("gaps.csv", missing="drop"), 'with missing values (data.missing = "drop")'),
    "values filled in": (
        noisy_config("gaps.csv", missing="mean"),
        "missing values of the training rows with the means of their columns",
    ),
    "test rows too": (
        noisy_config("gaps.csv", missing="mean", test_fraction=0.3),
        "missing values of the test rows with the same means",
    ),
    "nothing to start from": (
        noisy_config("one.csv", TrainConfig(trainer="gram", warm_start="noisy")),
        "cold start: noisy has no champion yet to start from",
    ),
    "a delivery that came twice": (
        noisy_config("twice", test_fraction=0.2),
        "a.csv and b.csv hold the same bytes: their rows count twice",
    ),
    "files without rows": (noisy_config("empties"), "no row in b.csv, c.csv"),
    "files of other kinds": (
        noisy_config("empties"),
        "empties: 1 file is of a kind that is not read (d.xlsx): save as CSV or Parquet, or move elsewhere",
    ),
    "too far from zero for float32": (noisy_config("far.csv"), "the version has no mlflow.pytorch form"),
}


@pytest.fixture
def store(folder, store):
    for name, weights in (("one", [0, 1]), ("two", [0, 1, 0])):
        frame = noisy(folder / "noisy.csv", 20).assign(w=[*weights, *[1] * (20 - len(weights))])
        frame.to_csv(f"{name}.csv", index=False)
    noisy(folder / "gaps.csv", gaps=True)
    frame.assign(a=frame["a"] + 1e6).to_csv("far.csv", index=False)
    (folder / "twice").mkdir()
    for name in "ab":
        shutil.copy("one.csv", f"twice/{name}.csv")
    for name, rows in (("a.csv", 20), ("b.csv", 0), ("c.csv", 0), ("d.xlsx", 0)):
        write(f"empties/{name}", frame[:rows].to_csv(index=False))
    return store


@pytest.mark.parametrize("case", NOTES)
def test_what_was_done_to_the_rows_is_told(store, case):
    config, words = NOTES[case]
    assert any(words in line for line in notes(config, ingest(config, store)))


def test_empty_files_are_no_copies_of_each_other(store):
    config = NOTES["files without rows"][0]
    assert not any("same bytes" in line for line in notes(config, ingest(config, store)))
