"""Rows that the cases measure on: made up in chunks from a fixed seed, in memory or as files. It times nothing.

Shapes: N rows, F features, O targets.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from linreg.rows.rows import Rows

CHUNK = 1 << 16  # rows made at a time: no float64 copy of the whole
Array = npt.NDArray[np.floating]


def arrays(
    n: int, features: int, targets: int = 1, *, dtype: npt.DTypeLike = np.float32, seed: int = 0
) -> tuple[Array, Array]:
    """``x_NF`` and ``y_NO``, C-contiguous: standard normal features, a linear model of them, noise of variance 1."""
    rng = np.random.default_rng(seed)
    weight_FO = np.random.default_rng(1234).normal(size=(features, targets))  # one model, whatever the seed of the rows
    x_NF, y_NO = np.empty((n, features), dtype), np.empty((n, targets), dtype)
    for start in range(0, n, CHUNK):
        x = rng.standard_normal((min(CHUNK, n - start), features))
        x_NF[start : start + CHUNK] = x
        y_NO[start : start + CHUNK] = x @ weight_FO + rng.standard_normal((len(x), targets))
    return x_NF, y_NO


def names(features: int, targets: int = 1) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns' names."""
    return tuple(f"x{i}" for i in range(features)), tuple(f"y{i}" for i in range(targets))


def table(x_NF: Array, y_NO: Array) -> pa.Table:
    """The rows as Arrow columns, each in one piece: what comes out of a file."""
    features, targets = names(x_NF.shape[1], y_NO.shape[1])
    columns = [np.ascontiguousarray(a[:, j]) for a in (x_NF, y_NO) for j in range(a.shape[1])]
    return pa.table(dict(zip((*features, *targets), columns, strict=True)))


def rows(x_NF: Array, y_NO: Array) -> Rows:
    """The rows as our records take them."""
    return Rows([table(x_NF, y_NO)], *names(x_NF.shape[1], y_NO.shape[1]))


def parquet(path: Path, n: int, features: int, targets: int = 1, *, seed: int = 0) -> Path:
    """A float32 Parquet file as pyarrow writes it by default, made a piece at a time."""
    with pq.ParquetWriter(path, table(*arrays(1, features, targets)).schema) as writer:
        for i, start in enumerate(range(0, n, 1 << 20)):
            writer.write_table(table(*arrays(min(1 << 20, n - start), features, targets, seed=seed + i)))
    return path


def csv(path: Path, n: int, features: int, targets: int = 1) -> Path:
    """A CSV file of numbers with four decimals, 7 bytes or so a cell."""
    x_NF, y_NO = arrays(n, features, targets, dtype=np.float64)
    pacsv.write_csv(table(x_NF.round(4), y_NO.round(4)), path, pacsv.WriteOptions(quoting_style="none"))
    return path
