"""The first rows of a file of predictions: they fit the page, and what is left out is counted."""

from pathlib import Path

import pandas as pd
import pytest

from flows.cli.pages.columns import WIDTH
from flows.cli.pages.predict import MOST_ROWS, preview


def shown(path: Path, frame: pd.DataFrame) -> list[str]:
    """The preview of a frame that is written there."""
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    targets = [name.removeprefix("predicted_") for name in frame if name.startswith("predicted_")]
    return list(preview(path, [name for name in frame if "_" not in name], targets, len(frame)))


def scored(rows: int, features: int, targets: int) -> pd.DataFrame:
    columns = {f"feature{i}": [0.5 * r for r in range(rows)] for i in range(features)}
    return pd.DataFrame(columns | {f"predicted_y{o}": [100.0 * o + r for r in range(rows)] for o in range(targets)})


GAP = pd.DataFrame({"a": [None, 2.0], "predicted_y": [1.0, 3.0]})
TRUTH = pd.DataFrame({"open": [True, False], "predicted_y": [1.0, 3.0]})


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("frame", "lines"),
    [
        (scored(3, 1, 2), ["row feature0 y0 y1", "1 0 0 100", "2 0.5 1 101", "3 1 2 102"]),
        (GAP, ["row a y", "1 1", "2 2 3"]),
        (TRUTH, ["row open y", "1 true 1", "2 false 3"]),
    ],
)
def test_a_few_rows_are_all_shown_gaps_and_truth_values_too(tmp_path: Path, suffix: str, frame, lines) -> None:  # type: ignore[no-untyped-def]
    empty, text = shown(tmp_path / f"out{suffix}", frame)
    assert empty == ""
    assert [" ".join(line.split()) for line in text.splitlines()] == lines


def test_features_make_way_and_of_many_targets_those_that_fit_are_shown(tmp_path: Path) -> None:
    for features, targets in ((40, 2), (1, 40)):
        _, text, more = shown(tmp_path / "out.csv", scored(20, features, targets))
        head, *rows = text.splitlines()
        assert max(map(len, [head, *rows])) <= WIDTH
        assert head.split()[:2] == ["row", "y0"]
        assert (len(rows), more) == (MOST_ROWS, "and 15 more")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_no_rows_are_no_table(tmp_path: Path, suffix: str) -> None:
    assert shown(tmp_path / f"none{suffix}", scored(0, 1, 1)) == []


def test_categories_are_shown_as_their_text_stands(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("code,predicted_y\n01234,1.5\n,2.5\n")
    _, table = preview(path, ["code"], ["y"], 2, texts=["code"])
    assert [line.split() for line in table.splitlines()] == [["row", "code", "y"], ["1", "01234", "1.5"], ["2", "2.5"]]


def test_a_row_without_a_prediction_shows_none_of_its_interval(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("x,predicted_y,low_y,high_y\n1,1.5,1,2\n,,,\n2,2.5,,\n")
    _, table = preview(path, ["x"], ["y"], 3)
    rows = [["row", "x", "y"], ["1", "1", "1.5", "(1", "to", "2)"], ["2"], ["3", "2", "2.5"]]
    assert [line.split() for line in table.splitlines()] == rows
