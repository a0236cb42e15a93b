"""A category of many levels beside columns of numbers: the pass over the file, and from the file to a fitted model.

The pass is measured against the same one without the category; the whole against what the peers' users write, a
one-hot encoding into a sparse matrix (scikit-learn) or a categorical block (glum). The file is in the page cache.

Shapes: N rows, F features, L levels.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench import data
from bench.data import Array
from bench.harness import Result, in_turn, less_is_better, load, peer, timed, without
from linreg.config import TrainConfig
from linreg.data_config import DataConfig
from linreg.ingest.records import RecordedDataset, record_dataset
from linreg.training.fit import fit

FEATURES, TARGETS = data.names(8)
CATEGORY = "store"
WITHOUT, SKLEARN, GLUM = "without the category", "OneHotEncoder + LinearRegression", "glum"


def run(*, rows: int = 4_000_000, levels: int = 1000, rounds: int = 5) -> list[Result]:
    """Two results: the pass, and from the file to the model."""
    busy, sklearn, glum = load(), peer("sklearn"), peer("glum")
    with tempfile.TemporaryDirectory(prefix="linreg-bench-") as folder:
        path = _written(Path(folder) / "rows.parquet", rows, levels)
        passes = {"ours": partial(_recorded, path, (CATEGORY,)), WITHOUT: partial(_recorded, path, ())}
        fits: dict[str, Callable[[], Array]] = {"ours": partial(_ours, path)}
        if sklearn is not None:
            fits[SKLEARN] = partial(_sklearn, path)
        if glum is not None:
            fits[GLUM] = partial(_glum, path, glum)
        slopes = {name: fitted() for name, fitted in fits.items()}
        for name, slopes_F in slopes.items():
            np.testing.assert_allclose(slopes_F, slopes["ours"], rtol=1e-3, err_msg=name)
        taken, fitted = in_turn(timed(passes), rounds), in_turn(timed(fits), rounds)
    table = f"{rows:,} rows x {len(FEATURES)} features, float64, and a category of {levels:,} levels, as Parquet"
    note = f"{table}; digest, checks and the record; medians of {rounds} taken in turn; {busy}"
    whole = (
        f"{table}; to the exact fit; slopes equal to 1e-3, as far as the peers' solvers go; medians of {rounds} taken "
        f"in turn; {busy}{without(**{'scikit-learn': sklearn, 'glum': glum})}"
    )
    return [
        less_is_better("categorical, a pass", "s", taken, {WITHOUT: 0.5}, note=note),
        less_is_better("categorical, file to model", "s", fitted, {SKLEARN: 10, GLUM: 10}, note=whole),
    ]


def _written(path: Path, n: int, levels: int) -> Path:
    """Rows of which the level moves the target."""
    x_NF, y_NO = data.arrays(n, len(FEATURES), dtype=np.float64)
    code_N = np.random.default_rng(1).integers(0, levels, n, dtype=np.int32)
    effect_L = np.random.default_rng(2).normal(size=levels)
    names = pa.array([f"store {i:04d}" for i in range(levels)])
    rows = data.table(x_NF, y_NO + effect_L[code_N, None])
    pq.write_table(rows.append_column(CATEGORY, pa.DictionaryArray.from_arrays(code_N, names)), path)
    return path


def _recorded(path: Path, categorical: tuple[str, ...]) -> RecordedDataset:
    config = DataConfig(path=str(path), features=FEATURES, categorical=categorical, targets=TARGETS)
    return record_dataset(config, held=())


def _ours(path: Path) -> Array:
    recorded = _recorded(path, (CATEGORY,))
    fitted = fit(recorded.dataset.train, TrainConfig(trainer="exact"), moments=recorded.record.moments)
    return fitted.model.weight_OF[0, : len(FEATURES)]


def _sklearn(path: Path) -> Array:
    """Sparse indicators beside the numbers, as its column transformer makes them."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    frame = pq.read_table(path).to_pandas()
    encoded = make_column_transformer(
        (OneHotEncoder(drop="first"), [CATEGORY]), ("passthrough", list(FEATURES)), sparse_threshold=1.0
    )
    model = make_pipeline(encoded, LinearRegression(tol=1e-10)).fit(frame[[*FEATURES, CATEGORY]], frame[TARGETS[0]])
    slopes: Array = model[-1].coef_[-len(FEATURES) :]
    return slopes


def _glum(path: Path, glum: Any) -> Array:
    """A categorical column of pandas, which glum keeps as codes."""
    frame = pq.read_table(path).to_pandas()
    model = glum.GeneralizedLinearRegressor(family="normal", alpha=0, drop_first=True)
    model.fit(frame[[*FEATURES, CATEGORY]], frame[TARGETS[0]])
    slopes: Array = model.coef_[: len(FEATURES)]
    return slopes
