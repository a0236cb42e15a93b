"""Files to rows: ours, with every check and the digest, beside polars to the same layout and Arrow's bare decoding.

Three ways: Parquet to row-major float32 tensors, Parquet to columns, CSV to columns. The files are in the page cache.

Shapes: N rows, F features, O targets.
"""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import torch

from bench import data
from bench.data import Array
from bench.harness import Result, in_turn, less_is_better, load, peer, timed, without
from linreg.data_config import DataConfig
from linreg.files import partitions as source
from linreg.ingest.dataset import read_dataset
from linreg.rows.rows import Rows

SHAPE = 3, 2  # features, targets
FEATURES, TARGETS = data.names(*SHAPE)
COLUMNS = (*FEATURES, *TARGETS)
POLARS, DECODE = "polars", "Arrow decode"
Work = dict[str, Callable[[], Any]]


def run(*, rows: int = 4_000_000, rounds: int = 9) -> list[Result]:
    """A result a layout."""
    polars = peer("polars")
    with tempfile.TemporaryDirectory(prefix="linreg-bench-") as folder:
        parquet = data.parquet(Path(folder) / "rows.parquet", rows, *SHAPE)
        csv = data.csv(Path(folder) / "rows.csv", rows, *SHAPE)
        return [
            _measure("Parquet to row-major", parquet, row_major(parquet, polars), 1.0, rounds),
            _measure("Parquet to columns", parquet, columns(parquet, polars), 0.7, rounds),
            _measure("CSV to columns", csv, columns(csv, polars), 0.8, rounds),
        ]


def row_major(path: Path, polars: Any) -> Work:
    """Features and targets as arrays of float32, (N, F) and (N, O), C-contiguous."""
    out: Work = {"ours": lambda: tuple(t.numpy() for t in _load(path).tensors(torch.float32))}
    if polars is not None:
        out[POLARS] = lambda: _matrices(polars.read_parquet(path))
    return out | {DECODE: partial(_decode, path)}


def columns(path: Path, polars: Any) -> Work:
    """Columns as they come: of Arrow, of polars; float32 from Parquet, float64 from CSV."""
    out: Work = {"ours": lambda: _load(path)}
    if polars is not None:
        out[POLARS] = partial(polars.read_csv if path.suffix == ".csv" else polars.read_parquet, path)
    return out | {DECODE: partial(_decode, path)}


def _load(path: Path) -> Rows:
    return read_dataset(DataConfig(path=str(path), features=FEATURES, targets=TARGETS)).train


def _matrices(frame: Any) -> tuple[Array, Array]:
    return tuple(frame.select(names).to_numpy(order="c") for names in (FEATURES, TARGETS))


def _decode(path: Path) -> Any:
    """The floor: Arrow alone, no digest and no check."""
    return pacsv.read_csv(path) if path.suffix == ".csv" else pq.read_table(path)


def _measure(name: str, path: Path, contenders: Work, target: float, rounds: int) -> Result:
    busy = load()
    _check_the_same(contenders)
    digest = partial(source.find, str(path))
    measured = in_turn(timed(contenders | {"digest": digest}), rounds)
    hashed, ours = (float(np.median(measured[k])) for k in ("digest", "ours"))
    del measured["digest"]  # a part of ours, and nobody's measure
    note = (
        f"a file of {path.stat().st_size / 1e6:.0f} MB in the page cache, {len(COLUMNS)} columns; ours holds all "
        f"checks and the digest: to hash the file once is {hashed / ours:.0%} of it; same values; {os.cpu_count()} "
        f"threads for all; medians of {rounds} taken in turn; {busy}{without(polars=peer('polars'))}"
    )
    return less_is_better(f"ingest {name}", "s", measured, {POLARS: target}, note=note)


def _check_the_same(contenders: Work) -> None:
    """All hold the same numbers, to the bit; matrices in the same layout and dtype too."""
    first, *others = (_values(work()) for name, work in contenders.items() if name != DECODE)
    for other in others:
        for a, b in zip(first, other, strict=True):
            np.testing.assert_array_equal(a, b)
            assert (a.dtype, a.flags.c_contiguous) == (b.dtype, b.flags.c_contiguous)


def _values(result: Any) -> list[Array]:
    """The matrices, or the columns in float64, which holds the narrower ones to the bit."""
    if isinstance(result, tuple):
        return list(result)
    if isinstance(result, Rows):
        return [result.select([name])[:, 0] for name in COLUMNS]
    return [result[name].to_numpy().astype(np.float64) for name in COLUMNS]
