"""A night on which one file of 365 is new: the work on data of a run that knows the others, beside that of a full run.

Both find the files, read and record what they must, train and judge the model on the test rows, as the flow's steps do,
but for MLflow and the pictures: once with a trainer that needs records alone, 1000 epochs of it, once with one that
walks the rows, an epoch of batches. The files are in the page cache; the known ones are known by a ledger on disk, put
back before each round.

Shapes: F features.
"""

import shutil
import tempfile
from collections.abc import Collection
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
from linreg.intake import ALL, HELD_OUT, take_in
from linreg.known_files import KnownFiles
from linreg.metrics import regression_metrics, row_losses
from linreg.scoring import predict_rows

FEATURES, TARGETS = data.names(16)
FULL = "full run"


@dataclass(frozen=True)
class Case:
    """One way to train.

    Args:
        train: how.
        held: the roles whose rows it needs.
        target: how many times faster than a full run.
        what: in words.
    """

    train: TrainConfig
    held: Collection[int]
    target: float
    what: str


CASES = {
    "incremental": Case(TrainConfig(trainer="gram"), HELD_OUT, 50, "1000 epochs of gram"),
    "incremental, rows walked": Case(
        TrainConfig(trainer="fused", epochs=1, batch_size=64, learning_rate=1e-3),
        ALL,
        4,
        "an epoch of fused, batches of 64, shuffled",
    ),
}


@dataclass(frozen=True)
class Night:
    """What a run came to: parameters (O, F), the mean loss on the test rows, and how many files it read."""

    weight_OF: npt.NDArray[np.float64]
    loss: float
    read: int


def run(*, rows: int = 1_000_000, files: int = 365, rounds: int = 7) -> list[Result]:
    """A result for each case."""
    # the files are made just now, and their times tell any change all the same: nothing else writes them
    with tempfile.TemporaryDirectory(prefix="linreg-bench-") as folder, mock.patch.object(source, "_SETTLED", -1):
        nights = Path(folder) / "nights"
        nights.mkdir()
        for i in range(files):
            last = data.parquet(nights / f"n{i:03d}.parquet", rows // files, len(FEATURES), seed=i)
        return [_measured(name, case, nights, last, rows // files, rounds) for name, case in CASES.items()]


def _measured(name: str, case: Case, nights: Path, last: Path, each: int, rounds: int) -> Result:
    busy, files = load(), len(list(nights.iterdir()))
    before, cache = (nights.with_name(f"{kind}-{name}") for kind in ("before", "cache"))
    aside = last.rename(nights.with_name(last.name))
    _night(case, nights, before)  # all but the last are known
    aside.rename(last)
    _put_back(before, cache)
    _check_the_same(_night(case, nights, cache), _night(case, nights, None), files)
    measured = in_turn(
        {
            "ours": lambda: _timed(case, nights, before, cache),
            FULL: lambda: seconds(partial(_night, case, nights, None)),
        },
        rounds,
    )
    note = (
        f"{files} Parquet files of {each:,} rows x {len(FEATURES)} features, one of them new; digests, records, "
        f"{case.what}, metrics on 20% test rows; same bits; medians of {rounds} taken in turn; {busy}"
    )
    return less_is_better(name, "s", measured, {FULL: case.target}, note=note)


def _timed(case: Case, nights: Path, before: Path, cache: Path) -> tuple[float, ...]:
    _put_back(before, cache)
    return seconds(partial(_night, case, nights, cache))


def _put_back(before: Path, cache: Path) -> None:
    shutil.rmtree(cache, ignore_errors=True)
    shutil.copytree(before, cache)


def _night(case: Case, nights: Path, cache: Path | None) -> Night:
    """The work on data of one run."""
    config = DataConfig(path=str(nights), features=FEATURES, targets=TARGETS, test_fraction=0.2)
    known = KnownFiles.open(cache, config.path) if cache else None
    partitions = source.find(config.path, known=known.files if known else None)
    if known:
        known.save(partitions)
    found = take_in(config, partitions=partitions, held=case.held, cache=cache)
    model = fit(found.dataset.train, case.train, moments=found.record.moments).model
    test = found.dataset.test
    y_NO, predicted_NO = test.select(TARGETS), predict_rows(model, test)
    regression_metrics(y_NO, predicted_NO, TARGETS)
    return Night(model.weight_OF, float(row_losses(y_NO, predicted_NO).mean()), found.read)


def _check_the_same(ours: Night, full: Night, files: int) -> None:
    assert (ours.read, full.read) == (1, files)
    assert ours.weight_OF.tobytes() == full.weight_OF.tobytes()
    assert ours.loss == full.loss
