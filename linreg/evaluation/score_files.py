"""Predictions for data of any size: read, computed and written at once, in constant memory.

    score(model, "rows.parquet", Path("scored.parquet")).rows

For every row ``y = (x - mean) W' + b`` in float64, feature after feature, so that a row's prediction is the same to the
last bit wherever in a file it stands. With ``half_widths``, each prediction has the ends of its interval beside it.

Shapes: N rows of a batch, n rows of a block, F features, O targets.
"""

import fnmatch
import glob
import os
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from linreg.data_config import PREDICTIONS
from linreg.design import Design
from linreg.errors import UserError
from linreg.evaluation.predict import predict, with_inputs
from linreg.evaluation.scoring_faults import check_design, may_be_unscorable, refuse
from linreg.files import stream
from linreg.files.paths import Tell, open_system
from linreg.files.stream import Stream
from linreg.files.tables import CATEGORY
from linreg.files.writer import check_output, open_writer
from linreg.least_squares.inference import HalfWidths
from linreg.metrics import Float
from linreg.model import LinearModel
from linreg.rows.rows import block
from linreg.threads import one_thread, read_ahead, write_behind

_FACTOR_BLOCK = 4096  # rows that are multiplied by a triangular factor at a time


class Scored(NamedTuple):
    """What was written.

    Args:
        rows: how many.
        nulls: how many of them have no prediction, since a value is missing.
    """

    rows: int
    nulls: int


def score(
    model: LinearModel,
    path: str,
    output: Path,
    *,
    half_widths: HalfWidths | None = None,
    strict: bool = False,
    watch: Callable[[int | None], Callable[[int], object]] = lambda _total: lambda _rows: None,
    raw_files: bool = False,
    tell: Tell = warnings.warn,
) -> Scored:
    """Write the inputs of every row as they were read, ``predicted_TARGET``, and the interval if asked for.

    A row that lacks what the model does not fill has a null for a prediction; one that it fills, but for which an
    interval needs all values, a null for the ends of the interval.

    Args:
        model: as it was trained.
        path: a file, a glob, a folder or a URI.
        output: .csv, .parquet or .pq; replaced whole at the end.
        half_widths: of the model's intervals; then ``low_TARGET`` and ``high_TARGET`` stand after each prediction.
        strict: whether a row that lacks something stops instead.
        watch: is told how many rows there are (None: not known) and gives what is told how many more are done.
        raw_files, tell: as ``stream.find`` takes them.

    Raises:
        UserError: a file, a column, a value or the output is not as it must be; nothing is written then.
        ServerAway: a remote file system does not answer.

    >>> from pathlib import Path
    >>> import linreg
    >>> columns = {"features": ("temp", "rainfall", "humidity"), "targets": ("apples", "oranges")}
    >>> rows = linreg.read_dataset(linreg.DataConfig(path="data/crops-15.csv", **columns)).train
    >>> model = linreg.fit(rows, linreg.TrainConfig(trainer="exact")).model
    >>> linreg.score_files(model, "data/crops-15.csv", Path("predicted.csv"))
    Scored(rows=15, nulls=0)
    """
    check_output(output)
    design = model.design
    numbers, of = (design.numbers, design) if design else (model.features, Design({}))
    options: dict[str, Any] = {"raw_files": raw_files, "tell": tell}
    streams = stream.find(path, numbers, categories=of.categories, dates=of.dates, **options)
    _check_outside(path, streams, output)
    read = stream.common_schema(streams)
    schema = _output_schema(model, read, half_widths, strict=strict)
    advance = watch(_count_rows(streams))
    rows = nulls = 0
    scored = _score_batches(model, streams, half_widths, strict=strict)
    with open_writer(output, schema) as write, write_behind(write) as hand_over, one_thread(), closing(scored):
        for source, batch, added in scored:
            inputs = [c.cast(schema.field(n).type) for n, c in _inputs(model, stream.fitted(source, batch, read))]
            hand_over(pa.RecordBatch.from_arrays([*inputs, *added], schema=schema))
            advance(len(batch))
            rows += len(batch)
            nulls += added[0].null_count
    return Scored(rows, nulls)


def _inputs(model: LinearModel, batch: pa.RecordBatch) -> list[tuple[str, pa.Array]]:
    return [(name, batch.column(name)) for name in model.inputs]


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
    model: LinearModel, streams: Sequence[Stream], half_widths: HalfWidths | None, *, strict: bool
) -> Generator[tuple[Stream, pa.RecordBatch, list[pa.Array]], None, None]:
    """Each batch of each file, read ahead, and its new columns; a value that cannot be scored is refused."""
    remedy = _missing_remedy(model, half_widths) if strict else None
    for source in streams:
        with read_ahead(source.batches(threads=0)) as coming:
            for batch in coming:
                inputs = with_inputs(batch, model.design) if model.design else batch  # once for all that follows
                y_ON = predict(model, inputs)
                if may_be_unscorable(batch, y_ON, gaps=remedy is None):
                    refuse(source, batch, missing=remedy)
                if model.design:
                    check_design(source, inputs, model.design, strict=strict, missing=remedy)
                yield source, batch, _columns(model, y_ON, inputs, half_widths)


def _columns(
    model: LinearModel, y_ON: Float, inputs: pa.RecordBatch | pa.Table, half_widths: HalfWidths | None
) -> list[pa.Array]:
    """A prediction of N rows for each target, or three columns: the prediction and the ends of its interval."""
    if half_widths is None:
        return [_nullable(y_N) for y_N in y_ON]
    table = inputs if isinstance(inputs, pa.Table) else pa.Table.from_batches([inputs])
    starts = range(0, len(table), _FACTOR_BLOCK)
    blocks = (block(table.slice(s, _FACTOR_BLOCK), None, model.features, model.design) for s in starts)
    half_ON = np.concatenate([_half_widths(half_widths, x_nF) for x_nF in blocks]).T
    return [
        _nullable(c_N) for y_N, half_N in zip(y_ON, half_ON, strict=True) for c_N in (y_N, y_N - half_N, y_N + half_N)
    ]


def _half_widths(half_widths: HalfWidths, x_nF: Float) -> Float:
    """Those of rows; NaN for a row that lacks a value, or for which a formula has none."""
    gap_nF = ~np.isfinite(x_nF)
    gap_n1 = gap_nF.any(axis=1, keepdims=True)
    return np.where(gap_n1, np.nan, half_widths(np.where(gap_nF, 0.0, x_nF)))


def _nullable(y_N: Float) -> pa.Array:
    """The values, null where they are NaN."""
    return pa.array(y_N, from_pandas=bool(np.isnan(y_N).any()))


def _missing_remedy(model: LinearModel, half_widths: HalfWidths | None) -> str | None:
    """What to do about a missing value; None where the model fills it."""
    if model.fill_F is None:
        return 'fill it, or leave the row out (a model trained with data.missing = "mean" fills it)'
    return None if half_widths is None else "an interval needs all of a row's values: fill it, or ask for none"


def _output_schema(model: LinearModel, read: pa.Schema, half_widths: HalfWidths | None, *, strict: bool) -> pa.Schema:
    """What the output holds; what cannot be missing is declared so, which saves a quarter of writing Parquet."""
    kinds = PREDICTIONS[:1] if half_widths is None else PREDICTIONS
    gaps = not strict or _missing_remedy(model, half_widths) is None
    added = [f"{kind}_{target}" for target in model.targets for kind in kinds]
    twice = [name for name in added if name in model.inputs]
    if twice:
        raise UserError(
            f"the output would hold two columns '{twice[0]}', a feature and a prediction: "
            "train on a feature of another name"
        )
    types = {field.name: pa.string() if field.type == CATEGORY else field.type for field in read}
    inputs = [pa.field(name, types[name], nullable=gaps) for name in model.inputs]
    return pa.schema([*inputs, *(pa.field(name, pa.float64(), nullable=not strict) for name in added)])


def _count_rows(streams: Sequence[Stream]) -> int | None:
    known = [s.rows for s in streams if s.rows is not None]
    return sum(known) if len(known) == len(streams) else None
