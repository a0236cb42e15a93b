"""A night on which one file of 365 is new: the work on data of a run that knows the others, beside that of a full run.

Both find the files, read and record what they must, train and judge the model on the test rows, as the flow's steps do,
but for MLflow and the pictures: once with a trainer that needs records alone, 1000 epochs of it, once with one that
walks the rows, an epoch of batches. The files are in the page cache; the known ones are known by a cache on disk, put
back before each round.

Shapes: F features.
"""

import shutil
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from unittest import mock

import numpy as np
import numpy.typing as npt

from bench import data
from bench.harness import Result, in_turn, less_is_better, load
from linreg.config import TrainConfig
from linreg.data_config import DataConfig
from linreg.evaluation.predict import predict_rows
from linreg.files import partitions as source
from linreg.ingest.digest_cache import KnownFiles
from linreg.ingest.part import ALL, HELD_OUT
from linreg.ingest.records import record_dataset
from linreg.metrics import regression_metrics, squared_errors
from linreg.training.fit import fit

FEATURES, TARGETS = data.names(16)
FULL = "full run"


@dataclass(frozen=True)
class Case:
    """One way to train.

    Args:
        train: how.
        held: the roles whose rows it needs.
        targets: how many times faster than a full run; the whole night, then reading alone, by what each is called.
        what: in words.
    """

    train: TrainConfig
    held: Collection[int]
    targets: dict[str, float]
    what: str


CASES = (
    Case(TrainConfig(trainer="gram", learning_rate=0.01), HELD_OUT, {"incremental": 25}, "1000 epochs of gram"),
    Case(  # converting the rows and training take as long in both
        TrainConfig(trainer="fused", epochs=1, batch_size=1024, learning_rate=1e-3),
        ALL,
        {"incremental, rows walked": 7, "incremental, rows read": 20},
        "an epoch of fused, batches of 1024, shuffled",
    ),
)


@dataclass(frozen=True)
class Night:
    """What a run came to: parameters (O, F), mean loss on the test rows, how many files it read, and for how long."""

    weight_OF: npt.NDArray[np.float64]
    loss: float
    read: int
    reading: float


def run(*, rows: int = 1_000_000, files: int = 365, rounds: int = 7) -> list[Result]:
    """A result for each case."""
    # the files are made just now, and their times tell any change all the same: nothing else writes them
    with tempfile.TemporaryDirectory(prefix="linreg-bench-") as folder, mock.patch.object(source, "_SETTLED", -1):
        nights = Path(folder) / "nights"
        nights.mkdir()
        for i in range(files):
            last = data.parquet(nights / f"n{i:03d}.parquet", rows // files, len(FEATURES), seed=i)
        return [result for case in CASES for result in _measured(case, nights, last, rows // files, rounds)]


def _measured(case: Case, nights: Path, last: Path, rows: int, rounds: int) -> list[Result]:
    busy, files = load(), len(list(nights.iterdir()))
    before, cache = (nights.with_name(f"{kind}-{case.train.trainer}") for kind in ("before", "cache"))
    aside = last.rename(nights.with_name(last.name))
    _night(case, nights, before)  # all but the last are known
    aside.rename(last)
    _put_back(before, cache)
    _check_the_same(_night(case, nights, cache), _night(case, nights, None), files)
    measured = in_turn(
        {
            "ours": lambda: _timed(case, nights, before, cache),
            FULL: lambda: _seconds(case, nights, None),
        },
        rounds,
    )
    note = (
        f"{files} Parquet files of {rows:,} rows x {len(FEATURES)} features, one of them new; digests, records, "
        f"{case.what}, metrics on 20% test rows; same bits; medians of {rounds} taken in turn; {busy}"
    )
    return [
        less_is_better(name, "s", measured, {FULL: target}, note=note, column=column)
        for column, (name, target) in enumerate(case.targets.items())
    ]


def _timed(case: Case, nights: Path, before: Path, cache: Path) -> tuple[float, ...]:
    _put_back(before, cache)
    return _seconds(case, nights, cache)


def _seconds(case: Case, nights: Path, cache: Path | None) -> tuple[float, ...]:
    """Of the whole night, and of reading alone."""
    began = perf_counter()
    night = _night(case, nights, cache)
    return perf_counter() - began, night.reading


def _put_back(before: Path, cache: Path) -> None:
    shutil.rmtree(cache, ignore_errors=True)
    shutil.copytree(before, cache)


def _night(case: Case, nights: Path, cache: Path | None) -> Night:
    """The work on data of one run."""
    config = DataConfig(path=str(nights), features=FEATURES, targets=TARGETS, test_fraction=0.2)
    began = perf_counter()
    known = KnownFiles.open(cache, config.path) if cache else None
    partitions = source.find(config.path, known=known.files if known else None)
    if known:
        known.save(partitions)
    dataset_read = record_dataset(config, partitions=partitions, held=case.held, cache=cache)
    reading = perf_counter() - began
    model = fit(dataset_read.dataset.train, case.train, moments=dataset_read.record.moments).model
    test = dataset_read.dataset.test
    y_NO, predicted_NO = test.select(TARGETS), predict_rows(model, test)
    regression_metrics(y_NO, predicted_NO, TARGETS)
    return Night(model.weight_OF, float(squared_errors(y_NO, predicted_NO).mean()), dataset_read.read, reading)


def _check_the_same(ours: Night, full: Night, files: int) -> None:
    assert (ours.read, full.read) == (1, files)
    assert ours.weight_OF.tobytes() == full.weight_OF.tobytes()
    assert ours.loss == full.loss
