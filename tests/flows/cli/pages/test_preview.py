"""The first rows of a file of predictions: they fit the page, and what is left out is counted."""

from pathlib import Path

import pandas as pd
import pytest

from flows.cli.pages.columns import WIDTH
from flows.cli.pages.preview import MOST_ROWS, preview


def written(path: Path, rows: int, features: int, targets: int) -> list[str]:
    columns = {f"feature{i}": [0.5 * r for r in range(rows)] for i in range(features)}
    columns |= {f"predicted_target{o}": [100.0 * o + r for r in range(rows)] for o in range(targets)}
    frame = pd.DataFrame(columns)
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    names = [f"feature{i}" for i in range(features)], [f"target{o}" for o in range(targets)]
    return list(preview(path, *names, rows))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_few_rows_are_all_shown(tmp_path: Path, suffix: str) -> None:
    empty, text = written(tmp_path / f"out{suffix}", 3, 1, 2)
    assert empty == ""
    assert [line.split() for line in text.splitlines()] == [
        ["row", "feature0", "target0", "target1"],
        ["1", "0", "0", "100"],
        ["2", "0.5", "1", "101"],
        ["3", "1", "2", "102"],
    ]


def test_features_make_way_and_of_many_targets_those_that_fit_are_shown(tmp_path: Path) -> None:
    for features, targets in ((40, 2), (1, 40)):
        _, text, more = written(tmp_path / "out.csv", 20, features, targets)
        head, *rows = text.splitlines()
        assert max(map(len, [head, *rows])) <= WIDTH
        assert head.split()[:2] == ["row", "target0"]
        assert (len(rows), more) == (MOST_ROWS, "and 15 more")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_gap_stays_empty_and_no_rows_are_no_table(tmp_path: Path, suffix: str) -> None:
    assert written(tmp_path / f"none{suffix}", 0, 1, 1) == []
    path = tmp_path / f"gap{suffix}"
    frame = pd.DataFrame({"a": [None, 2.0], "predicted_y": [1.0, 3.0]})
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    _, text = preview(path, ["a"], ["y"], 2)
    assert [line.split() for line in text.splitlines()[1:]] == [["1", "1"], ["2", "2", "3"]]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_truth_values_are_shown_as_such(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    frame = pd.DataFrame({"open": [True, False], "predicted_y": [1.0, 3.0]})
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    _, text = preview(path, ["open"], ["y"], 2)
    assert [line.split() for line in text.splitlines()[1:]] == [["1", "true", "1"], ["2", "false", "3"]]
