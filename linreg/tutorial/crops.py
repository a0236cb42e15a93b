"""The tutorial's two tables, read from ``data/`` beside this package.

They are part of the repository, not of the installed package: from a wheel alone, read your own copy with
``linreg.read_dataset``.
"""

from pathlib import Path

from linreg.data_config import DataConfig
from linreg.ingest.dataset import read_dataset
from linreg.rows.rows import Rows

FEATURES, TARGETS = ("temp", "rainfall", "humidity"), ("apples", "oranges")
_FOLDER = Path(__file__).resolve().parents[2] / "data"


def first_table() -> Rows:
    """The 5 rows of the descent by hand. Raises ``UserError`` where ``data/crops.csv`` is not there."""
    return _table("crops.csv")


def second_table() -> Rows:
    """The 15 rows of the built-ins. Raises ``UserError`` where ``data/crops-15.csv`` is not there."""
    return _table("crops-15.csv")


def _table(name: str) -> Rows:
    return read_dataset(DataConfig(path=str(_FOLDER / name), features=FEATURES, targets=TARGETS)).train
