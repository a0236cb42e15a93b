"""Predictions for data of any size: read, computed and written at once, in constant memory.

    score(model, "rows.parquet", Path("scored.parquet"))            # how many rows there were

For every row ``y = (x - mean) W' + b`` in float64, feature after feature, so that a row's prediction is the same to the
last bit wherever in a file it stands. With ``half_widths``, each prediction has the ends of its interval beside it.

Shapes: N rows of a batch, n rows of a block, F features, O targets.
"""

import fnmatch
import glob
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa

from linreg.config import PREDICTIONS
from linreg.errors import UserError
from linreg.evaluation.predict import predict, values
from linreg.evaluation.scoring_faults import may_be_unscorable, refuse
from linreg.files import stream
from linreg.files.paths import open_system
from linreg.files.stream import Stream
from linreg.files.writer import check_output, open_writer
from linreg.least_squares.inference import HalfWidths
from linreg.metrics import Float
from linreg.model import LinearModel
from linreg.threads import one_thread, read_ahead, write_behind

_FACTOR_BLOCK = 4096  # rows that are multiplied by a triangular factor at a time


def score(
    model: LinearModel,
    path: str,
    output: Path,
    *,
    half_widths: HalfWidths | None = None,
    watch: Callable[[int | None], Callable[[int], object]] = lambda _total: lambda _rows: None,
) -> int:
    """Write the features of every row as they were read, ``predicted_TARGET``, and the interval if asked for.

    Args:
        model: as it was trained.
        path: a file, a glob, a folder or a URI.
        output: .csv, .parquet or .pq; replaced whole at the end.
        half_widths: of the model's intervals; then ``low_TARGET`` and ``high_TARGET`` stand after each prediction.
        watch: is told how many rows there are (None: not known) and gives what is told how many more are done.

    Returns:
        the number of rows.

    Raises:
        UserError: a file, a column, a value or the output is not as it must be; nothing is written then.
        ServerAway: a remote file system does not answer.

    >>> from pathlib import Path
    >>> import linreg
    >>> columns = {"features": ("temp", "rainfall", "humidity"), "targets": ("apples", "oranges")}
    >>> rows = linreg.read_dataset(linreg.DataConfig(path="data/crops-15.csv", **columns)).train
    >>> model = linreg.fit(rows, linreg.TrainConfig(trainer="exact")).model
    >>> linreg.score_files(model, "data/crops-15.csv", Path("predicted.csv"))  # how many rows were written
    15
    """
    check_output(output)
    streams = stream.find(path, model.features)
    _check_outside(path, streams, output)
    features = stream.common_schema(streams)
    schema = _output_schema(model, features, half_widths)
    advance = watch(_count_rows(streams))
    rows = 0
    scored = _score_batches(model, streams, half_widths)
    with open_writer(output, schema) as write, write_behind(write) as hand_over, one_thread(), closing(scored):
        for source, batch, added in scored:
            read = stream.fitted(source, batch, features).columns
            hand_over(pa.RecordBatch.from_arrays([*read, *added], schema=schema))
            advance(len(batch))
            rows += len(batch)
    return rows


def _check_outside(path: str, streams: Sequence[Stream], output: Path) -> None:
    """Refuse an output that is the input, which keeps columns the output lacks, or that the next run would score."""
    inputs = [local for s in streams if (local := _local_path(s.file.path))]
    if output.exists() and any(os.path.samefile(output, file) for file in inputs):
        lost = "its other columns, such as targets and keys, would be lost"
        raise UserError(f"output {output} is the same file as the input, and {lost}: write it elsewhere")
    name, parent = output.name, os.path.realpath(output.parent)
    places = {Path(parent, name), Path(os.path.realpath(output))}  # of a link, and of what it points to
    root = _local_path(path) or ""
    if glob.has_magic(root) and not os.path.lexists(root):
        among = any(_matches(place, root) for place in places)
    else:
        folders = [root, *map(os.path.dirname, inputs)] if os.path.isdir(root) else []  # some lie behind links
        among = any(place.is_relative_to(os.path.realpath(folder)) for place in places for folder in folders)
    if among:
        what = f"output {output} lies among the files of {path}"
        raise UserError(f"{what}, so that the next run would score it too: write it elsewhere")


def _local_path(path: str) -> str | None:
    """The path on this machine; None of what lies elsewhere."""
    if "://" not in path:
        return os.path.expanduser(path)
    return open_system(path)[1] if path.startswith("file:") else None


def _matches(place: Path, pattern: str) -> bool:
    """Whether a glob would find a file of that name in that folder, which need not be there yet."""
    folder, name = os.path.split(pattern)
    parents = [os.path.realpath(parent) for parent in glob.glob(folder or os.curdir, recursive=True)]
    if name == "**":
        return any(place.is_relative_to(parent) for parent in parents)
    return str(place.parent) in parents and fnmatch.fnmatch(place.name, name)


def _score_batches(
    model: LinearModel, streams: Sequence[Stream], half_widths: HalfWidths | None
) -> Generator[tuple[Stream, pa.RecordBatch, list[pa.Array]], None, None]:
    """Each batch of each file, read ahead, and its new columns; a value that cannot be scored is refused."""
    missing = _missing_remedy(model, half_widths)
    for source in streams:
        with read_ahead(source.batches(model.features, threads=0)) as coming:
            for batch in coming:
                y_ON = predict(model, batch)
                if may_be_unscorable(batch, y_ON, gaps=missing is None):
                    refuse(source, batch, missing=missing)
                yield source, batch, _columns(y_ON, batch, half_widths)


def _columns(y_ON: Float, batch: pa.RecordBatch, half_widths: HalfWidths | None) -> list[pa.Array]:
    """A prediction of N rows for each target, or three columns: the prediction and the ends of its interval."""
    if half_widths is None:
        return [pa.array(y_N) for y_N in y_ON]
    x_FN = [values(column) for column in batch.columns]
    starts = range(0, len(batch), _FACTOR_BLOCK)
    blocks = (np.column_stack([x[s : s + _FACTOR_BLOCK] for x in x_FN]).astype(np.float64) for s in starts)
    half_ON = np.concatenate([half_widths(x_nF) for x_nF in blocks]).T
    return [
        pa.array(c_N) for y_N, half_N in zip(y_ON, half_ON, strict=True) for c_N in (y_N, y_N - half_N, y_N + half_N)
    ]


def _missing_remedy(model: LinearModel, half_widths: HalfWidths | None) -> str | None:
    """What to do about a missing value; None where the model fills it."""
    if model.fill_F is None:
        return 'fill it, or leave the row out (a model trained with data.missing = "mean" fills it)'
    return None if half_widths is None else "an interval needs all of a row's values: fill it, or ask for none"


def _output_schema(model: LinearModel, features: pa.Schema, half_widths: HalfWidths | None) -> pa.Schema:
    """What the output holds; what cannot be missing is declared so, which saves a quarter of writing Parquet."""
    kinds = PREDICTIONS[:1] if half_widths is None else PREDICTIONS
    gaps = _missing_remedy(model, half_widths) is None
    added = [f"{kind}_{target}" for target in model.targets for kind in kinds]
    twice = [name for name in added if name in features.names]
    if twice:
        raise UserError(
            f"the output would hold two columns '{twice[0]}', a feature and a prediction: "
            "train on a feature of another name"
        )
    read = [field.with_nullable(gaps) for field in features]
    return pa.schema([*read, *(pa.field(name, pa.float64(), nullable=False) for name in added)])


def _count_rows(streams: Sequence[Stream]) -> int | None:
    known = [s.rows for s in streams if s.rows is not None]
    return sum(known) if len(known) == len(streams) else None
