"""Data files of a test: written as their extension says, and read as the product reads them."""

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from linreg.files import partitions, stream

DAMAGE = {
    "a flipped bit": lambda b: b[:-5] + bytes([b[-5] ^ 1]) + b[-4:],
    "a flipped bit in front": lambda b: bytes([b[0] ^ 1]) + b[1:],
    "cut off": lambda b: b[: len(b) // 2],
    "empty": lambda b: b[:0],
    "longer": lambda b: b + b"x",
}


def write(path: str | Path, content: Any, **options: object) -> str:
    """Write text, bytes or a table (of columns, of pandas or Arrow), its folder made; the path.

    Args:
        options: of Parquet's writer.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str | bytes):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    elif path.suffix == ".csv":
        frame = content.to_pandas() if isinstance(content, pa.Table) else pd.DataFrame(content)
        frame.to_csv(path, index=False)
    else:
        pq.write_table(content if isinstance(content, pa.Table) else pa.table(content), path, **options)
    return str(path)


def later(path: str | Path) -> None:
    """As if some seconds had gone by before the file was written: a file system's clock may not have ticked."""
    seconds = os.stat(path).st_mtime + 5
    os.utime(path, (seconds, seconds))


def read(path: str | Path, *columns: str, **options: tuple[str, ...]) -> pa.Table:
    """The rows of the one file that a path means, by default of its columns ``a`` and ``y``."""
    (partition,) = partitions.find(str(path))
    return rows_of(partition, *columns, **options)


def rows_of(partition: partitions.Partition, *columns: str, **options: tuple[str, ...]) -> pa.Table:
    """The rows of a file that was found."""
    opened = stream.read(partition, columns or ("a", "y"), **options)
    return pa.Table.from_batches(opened.batches(threads=2), opened.schema)
