"""Scoring 10,000,000 rows x 32 float32 features, Parquet to Parquet: beside pyfunc, polars, and Arrow's bare copy."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.harness import Result, in_turn, less_is_better, load, peer, seconds, without
from linreg.evaluation.score_files import score
from linreg.model import LinearModel

TARGET = {"pyfunc on pandas": 5, "polars": 0.9, "arrow copy": 0.67}
_CHUNK = 1 << 20  # rows that are made at a time, and a row group of the input
Contenders = dict[str, Callable[[Path], object]]


def run(*, rows: int = 10_000_000, features: int = 32, rounds: int = 5) -> list[Result]:
    busy = load()
    with tempfile.TemporaryDirectory(prefix="linreg-bench-") as name:
        folder = Path(name)
        model, source = _model(features), folder / "in.parquet"
        _write(source, rows, model.features)
        contenders = _contenders(model, source, folder)
        _check_the_same(contenders, model, source, folder)  # warms all of them, and the cache of files
        measured = in_turn({n: _timed(write, folder / "out.parquet") for n, write in contenders.items()}, rounds)
    note = (
        f"{rows:,} rows x {features} float32 features, one target, Parquet to Parquet (snappy), in this process with "
        f"the model loaded; pyfunc without signature, as the check of one takes each cell by itself; same numbers to "
        f"1e-12; medians of {rounds} taken in turn; {busy}{without(polars=peer('polars'))}"
    )
    return [less_is_better("predict", "s", measured, TARGET, note=note)]


def _model(features: int) -> LinearModel:
    rng = np.random.default_rng(1)
    names = tuple(f"x{i:02d}" for i in range(features))
    return LinearModel(rng.normal(size=(1, features)), np.array([3.0]), rng.normal(size=features), names, ("y",))


def _write(path: Path, rows: int, names: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(path, pa.schema([(n, pa.float32()) for n in names])) as writer:
        for start in range(0, rows, _CHUNK):
            n = min(_CHUNK, rows - start)
            writer.write_table(pa.table({c: rng.standard_normal(n, dtype=np.float32) for c in names}))


def _contenders(model: LinearModel, source: Path, folder: Path) -> Contenders:
    out: Contenders = {
        "ours": lambda output: score(model, str(source), output),
        "pyfunc on pandas": _pyfunc(model, source, folder / "model"),
    }
    if (polars := peer("polars")) is not None:
        out["polars"] = _polars(polars, model, source)
    return {**out, "arrow copy": lambda output: _copy(source, output)}


def _pyfunc(model: LinearModel, source: Path, folder: Path) -> Callable[[Path], object]:
    """What a user of MLflow writes; without the version's signature, which makes it a hundred times slower."""
    import mlflow
    import pandas as pd
    from mlflow.models import Model

    from flows.tracking import model_reader, model_writer

    model_writer.write(
        model_reader.Contents(model), folder, example=np.ones((2, len(model.features))).tolist(), metadata={}
    )
    meta = Model.load(str(folder))
    meta.signature = None
    meta.save(str(folder / "MLmodel"))
    loaded = mlflow.pyfunc.load_model(str(folder))

    def work(output: Path) -> None:
        frame = pd.read_parquet(source)
        frame["predicted_y"] = loaded.predict(frame)["y"]
        frame.to_parquet(output)

    return work


def _polars(pl: Any, model: LinearModel, source: Path) -> Callable[[Path], object]:
    """Its streaming engine; snappy is quicker than its default, and what the others write."""
    terms = [pl.col(n).cast(pl.Float64) * float(w) for n, w in zip(model.features, model.weight_OF[0], strict=True)]
    y = sum(terms[1:], terms[0]) + float(model.intercept_O[0])
    scored = pl.scan_parquet(source).with_columns(y.alias("predicted_y"))
    return lambda output: scored.sink_parquet(output, compression="snappy")


def _copy(source: Path, output: Path) -> None:
    """The limit: the same rows read and written, nothing computed."""
    file = pq.ParquetFile(source)
    with pq.ParquetWriter(output, file.schema_arrow, use_dictionary=False) as writer:
        for batch in file.iter_batches():
            writer.write_batch(batch)


def _check_the_same(contenders: Contenders, model: LinearModel, source: Path, folder: Path) -> None:
    x_NF = np.column_stack(next(pq.ParquetFile(source).iter_batches(1000)).columns)
    for name, work in contenders.items():
        output = folder / "checked.parquet"
        work(output)
        scored = next(pq.ParquetFile(output).iter_batches(1000))
        np.testing.assert_array_equal(np.column_stack(scored.columns[: len(model.features)]), x_NF, err_msg=name)
        if name != "arrow copy":
            np.testing.assert_allclose(scored["predicted_y"], model.predict(x_NF)[:, 0], rtol=1e-12, atol=1e-12)
        output.unlink()


def _timed(work: Callable[[Path], object], output: Path) -> Callable[[], tuple[float]]:
    def measure() -> tuple[float]:
        elapsed = seconds(lambda: work(output))
        output.unlink()
        return elapsed

    return measure
