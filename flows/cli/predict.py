"""``linreg predict``: score a file with a registered version."""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from flows.tracking import registry
from flows.tracking.store import open_store
from linreg import source
from linreg.dataset import read_complete
from linreg.errors import UserError
from linreg.model import LinearModel

_WRITERS: dict[str, Callable[[pa.Table, str], None]] = {
    ".csv": lambda table, path: pacsv.write_csv(table, path),
    ".parquet": lambda table, path: pq.write_table(table, path),
    ".pq": lambda table, path: pq.write_table(table, path),
}


def predict(args: argparse.Namespace) -> tuple[object, str]:
    """Write the input's features and a column ``predicted_TARGET`` for each target."""
    output = Path(args.output)
    write = _writer(output)
    store = open_store(create=False)
    version = registry.lookup(store, args.ref)
    model = registry.load(store, version)
    table = _scored(model, args.input)
    _replace(output, lambda path: write(table, path))
    document = {
        "model": {"name": version.name, "version": version.version},
        "input": args.input,
        "output": args.output,
        "rows": len(table),
    }
    return document, f"{len(table):,} rows scored with {version.ref}: {args.output}"


def _writer(output: Path) -> Callable[[pa.Table, str], None]:
    writer = _WRITERS.get(output.suffix.lower())
    if writer is None:
        raise UserError(f"output {output} has no extension that says its format: end it in .csv, .parquet or .pq")
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise UserError(f"output {output} cannot be written: its folder must exist, and it must not be one")
    return writer


def _scored(model: LinearModel, path: str) -> pa.Table:
    """The rows in their order: features as they were read, then the predictions."""
    gaps = model.fill_F is not None
    partitions = source.find(path, asked="the INPUT path")
    tables = [read_complete(partition, model.features, gaps=gaps) for partition in partitions]
    features = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    predicted = model.predict_table(features)
    for target in model.targets:
        features = features.append_column(f"predicted_{target}", predicted[target])
    return features


def _replace(output: Path, write: Callable[[str], None]) -> None:
    """Write beside the output, then put it in place: a reader sees the old file or the new one, whole."""
    folder = output.absolute().parent
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{output.stem[:100]}-") as scratch:
            whole = Path(scratch) / output.name
            write(str(whole))
            os.replace(whole, output)
    except OSError as e:
        raise UserError(f"output {output} cannot be written ({e.strerror or e}): free or choose another place") from e
