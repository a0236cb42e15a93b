"""A Parquet file to a fitted and tested model: ours, beside polars with scikit-learn, and Arrow's reading alone.

Ours does what the flow's steps ingest, train and evaluate do, but for MLflow: digest, checks, a split by hash, the
record, exact least squares, and all metrics on the test rows. The file is in the page cache.

Shapes: N rows, F features.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bench import data
from bench.data import Array
from bench.harness import Result, in_turn, less_is_better, load, peer, timed, without
from linreg.config import TrainConfig
from linreg.data_config import DataConfig
from linreg.evaluation.predict import predict_rows
from linreg.ingest.part import HELD_OUT
from linreg.ingest.records import record_dataset
from linreg.metrics import regression_metrics
from linreg.training.fit import fit

FEATURES, TARGETS = data.names(32)
TEST = 0.2
PEER, LIMIT = "polars + scikit-learn", "Arrow read_table"


@dataclass(frozen=True)
class Tested:
    """What comes out at the end: slopes (F,), R2 on the test rows, and how many those were."""

    weight_F: Array
    r2: float
    test_rows: int


def run(*, rows: int = 10_000_000, rounds: int = 5) -> list[Result]:
    """One result."""
    busy, polars, sklearn = load(), peer("polars"), peer("sklearn.linear_model")
    with tempfile.TemporaryDirectory(prefix="linreg-bench-") as folder:
        path = data.parquet(Path(folder) / "rows.parquet", rows, len(FEATURES))
        contenders: dict[str, Callable[[], Any]] = {"ours": partial(_ours, path)}
        if polars is not None and sklearn is not None:
            contenders[PEER] = partial(_peer, path, polars, sklearn)
            _check_the_same(contenders["ours"](), contenders[PEER](), rows)
        contenders[LIMIT] = partial(pq.read_table, path)
        measured = in_turn(timed(contenders), rounds)
        size = path.stat().st_size
    note = (
        f"{rows:,} rows x {len(FEATURES)} features, float32, {size / 1e6:.0f} MB of Parquet in the page cache; digest, "
        f"checks, split with {TEST:.0%} test rows, exact fit, metrics on the test rows; the peers split by a random "
        f"mask; slopes and R2 equal but for the split; medians of {rounds} taken in turn; {busy}"
        f"{without(**{'polars': polars, 'scikit-learn': sklearn})}"
    )
    return [less_is_better("file_to_model", "s", measured, {PEER: 6, LIMIT: 0.6}, note=note)]


def _ours(path: Path) -> Tested:
    config = DataConfig(path=str(path), features=FEATURES, targets=TARGETS, test_fraction=TEST)
    read = record_dataset(config, held=HELD_OUT)
    test = read.dataset.test
    fitted = fit(read.dataset.train, TrainConfig(trainer="exact"), moments=read.record.moments)
    metrics = regression_metrics(test.select(TARGETS), predict_rows(fitted.model, test), TARGETS)
    return Tested(fitted.model.weight_OF[0], metrics["test_r2"], len(test))


def _peer(path: Path, polars: Any, sklearn: Any) -> Tested:
    """What its users write, in the file's own float32, by the fastest way of those that were tried."""
    frame = polars.read_parquet(path)
    test_N = polars.Series(np.random.default_rng(0).random(len(frame)) < TEST)
    (x_NF, y_N), (x_test, y_test) = (_matrices(frame.filter(mask)) for mask in (~test_N, test_N))
    model = sklearn.LinearRegression().fit(x_NF, y_N)
    return Tested(model.coef_, model.score(x_test, y_test), len(y_test))


def _matrices(frame: Any) -> tuple[Array, Array]:
    """Column-major: half the time of rows, to make and to fit."""
    return frame.select(FEATURES).to_numpy(order="fortran"), frame[TARGETS[0]].to_numpy()


def _check_the_same(ours: Tested, theirs: Tested, rows: int) -> None:
    """The splits differ, so within eight standard errors: of a slope, of R2, of a count of test rows."""
    assert abs(ours.test_rows - theirs.test_rows) < 8 * np.sqrt(rows * TEST)
    np.testing.assert_allclose(ours.weight_F, theirs.weight_F, atol=8 / np.sqrt(rows * (1 - TEST)))
    np.testing.assert_allclose(ours.r2, theirs.r2, atol=8 / np.sqrt(rows * TEST))
