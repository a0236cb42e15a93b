"""A night on which one file of 365 is new: the work on data of a run that knows the others, beside that of a full run.

Both find the files, read and record what they must, train 1000 epochs and judge the model on the test rows, as the
flow's steps do, but for MLflow and the pictures. The files are in the page cache; the known ones are known by a ledger
on disk, put back before each round.

Shapes: F features.
"""

import shutil
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import numpy.typing as npt

from bench import data
from bench.harness import Result, in_turn, less_is_better, load, seconds
from linreg import source
from linreg.config import DataConfig, TrainConfig
from linreg.fit import fit
from linreg.intake import HELD_OUT, take_in
from linreg.known_files import KnownFiles
from linreg.metrics import regression_metrics, squared_errors
from linreg.scoring import predict_rows

FEATURES, TARGETS = data.names(16)
FULL = "full run"


@dataclass(frozen=True)
class Night:
    """What a run came to: parameters (O, F), the mean loss on the test rows, and how many files it read."""

    weight_OF: npt.NDArray[np.float64]
    loss: float
    read: int


def run(*, rows: int = 1_000_000, files: int = 365, rounds: int = 7) -> list[Result]:
    """One result."""
    busy, each = load(), rows // files
    # the files are made just now, and their times tell any change all the same: nothing else writes them
    with tempfile.TemporaryDirectory(prefix="linreg-bench-") as folder, mock.patch.object(source, "_SETTLED", -1):
        nights, before, cache = (Path(folder) / name for name in ("nights", "before", "cache"))
        nights.mkdir()
        last = [data.parquet(nights / f"n{i:03d}.parquet", rows // files, len(FEATURES), seed=i) for i in range(files)][
            -1
        ]
        aside = last.rename(Path(folder) / last.name)
        _night(nights, before)  # all but the last are known
        aside.rename(last)
        _check_the_same(_again(nights, before, cache), _night(nights, None), files)
        measured = in_turn(
            {
                "ours": lambda: _timed(nights, before, cache),
                FULL: lambda: seconds(partial(_night, nights, None)),
            },
            rounds,
        )
    note = (
        f"{files} Parquet files of {each:,} rows x {len(FEATURES)} features, one of them new; digests, records, "
        f"1000 epochs of gram, metrics on 20% test rows; same bits; medians of {rounds} taken in turn; {busy}"
    )
    return [less_is_better("incremental", "s", measured, {FULL: 50}, note=note)]


def _timed(nights: Path, before: Path, cache: Path) -> tuple[float, ...]:
    _put_back(before, cache)
    return seconds(partial(_night, nights, cache))


def _again(nights: Path, before: Path, cache: Path) -> Night:
    _put_back(before, cache)
    return _night(nights, cache)


def _put_back(before: Path, cache: Path) -> None:
    shutil.rmtree(cache, ignore_errors=True)
    shutil.copytree(before, cache)


def _night(nights: Path, cache: Path | None) -> Night:
    """The work on data of one run."""
    config = DataConfig(path=str(nights), features=FEATURES, targets=TARGETS, test_fraction=0.2)
    known = KnownFiles.open(cache, config.path) if cache else None
    partitions = source.find(config.path, known=known.files if known else None)
    if known:
        known.save(partitions)
    found = take_in(config, partitions=partitions, held=HELD_OUT, cache=cache)
    model = fit(found.dataset.train, TrainConfig(trainer="gram"), moments=found.record.moments).model
    test = found.dataset.test
    y_NO, predicted_NO = test.select(TARGETS), predict_rows(model, test)
    regression_metrics(y_NO, predicted_NO, TARGETS)
    return Night(model.weight_OF, float(squared_errors(y_NO, predicted_NO).mean()), found.read)


def _check_the_same(ours: Night, full: Night, files: int) -> None:
    assert (ours.read, full.read) == (1, files)
    assert ours.weight_OF.tobytes() == full.weight_OF.tobytes()
    assert ours.loss == full.loss
