"""A window over the files of a data set, and what the names of folders say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from linreg.config import DataConfig
from linreg.errors import UserError
from linreg.files import partitions as source
from linreg.files.paths import folder_columns
from linreg.ingest.dataset import load
from linreg.rows.rows import Rows


def night(path: Path, seed: int, rows: int = 50) -> None:
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(rng.normal(size=(rows, 2)), columns=["a", "y"])
    _ = frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)


def config(path: object, **changes: object) -> DataConfig:
    return DataConfig(path=str(path), features=("a",), targets=("y",), **changes)  # type: ignore[arg-type]


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """Files of 1, 2, 3, 10 and 12 November, two of the last one."""
    for i, day in enumerate(["01", "02", "03", "10", "12"]):
        night(tmp_path / f"day=2026-11-{day}" / "part.parquet", i)
    night(tmp_path / "day=2026-11-12" / "late.csv", 9)
    return tmp_path


def names(how: DataConfig) -> list[str]:
    return [p.name[:14] for p in load(how).partitions]


def test_the_last_files_by_name(days: Path) -> None:
    assert names(config(days, window=3)) == ["day=2026-11-10", "day=2026-11-12", "day=2026-11-12"]
    assert len(names(config(days, window=100))) == 6


def test_so_many_days_up_to_the_last_one(days: Path) -> None:
    last = ["day=2026-11-12"] * 2
    assert names(config(days, window=1, window_by="day")) == last
    assert names(config(days, window=2, window_by="day")) == last
    assert names(config(days, window=3, window_by="day")) == ["day=2026-11-10", *last]
    assert names(config(f"{days}/day=*/*.parquet", window=10, window_by="day"))[0] == "day=2026-11-03"
    assert len(names(config(days, window=10, window_by="day"))) == 4
    assert len(names(config(days, window=10**20, window_by="day"))) == 6  # back beyond the first date that there is


def test_a_file_outside_the_window_is_not_opened(days: Path) -> None:
    (days / "day=2026-11-01" / "part.parquet").write_bytes(b"nothing that could be read")
    assert len(names(config(days, window=5))) == 5
    with pytest.raises(UserError, match="is not Parquet"):
        load(config(days))


def test_a_file_in_no_such_folder_and_a_folder_that_names_no_date_are_told(days: Path) -> None:
    with pytest.raises(UserError, match="lies in no folder night=DATE"):
        load(config(days, window=3, window_by="night"))
    night(days / "day=soon" / "x.csv", 0)
    with pytest.raises(UserError, match="day=soon is no date"):
        load(config(days, window=3, window_by="day"))


def test_a_window_that_cannot_be_is_refused(days: Path) -> None:
    with pytest.raises(UserError, match=r"data\.window must be at least 0"):
        config(days, window=-1)
    with pytest.raises(UserError, match=r"data\.window does not say how many"):
        load(config(days, window_by="day"))


def test_folders_name_columns() -> None:
    assert folder_columns("a/day=2026-11-01/city=S%C3%A3o%20Paulo/part=1.csv") == {
        "day": "2026-11-01",
        "city": "São Paulo",
    }
    assert folder_columns("part.csv") == folder_columns("=x/y/part.csv") == {}


def test_a_folder_s_column_can_be_the_key_of_the_split(days: Path) -> None:
    """All rows of a day are on one side, and those of its other files too."""
    found = load(config(days, key=("day",), test_fraction=0.5, split_seed=1))
    train, test = (set(found_days(days, rows)) for rows in (found.train, found.test))
    assert train
    assert test
    assert not train & test
    assert train | test == {"01", "02", "03", "10", "12"}


def found_days(days: Path, rows: Rows) -> list[str]:
    """The day of each row, by its value."""
    day_of = {}
    for partition in source.find(str(days)):
        alone = load(config(days), partitions=[partition])
        day_of |= dict.fromkeys(alone.train.select(["a"])[:, 0].tolist(), partition.name[12:14])
    return [day_of[value] for value in rows.select(["a"])[:, 0].tolist()]
