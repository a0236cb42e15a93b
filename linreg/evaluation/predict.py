"""A model's predictions: of a batch as Arrow holds it, and of rows that are held."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linreg.design import Design
from linreg.files.tables import with_dates
from linreg.metrics import Float
from linreg.model import LinearModel
from linreg.rows.rows import RowNumbers, Rows, TableBlock, columns
from linreg.rows.terms import codes_of, levels_of, prepared
from linreg.threads import in_threads

_BLOCK = 32_768  # rows whose column, in float64, stays in the cache


_FEW = 1 << 23  # values of a few milliseconds: threads would spend as long waiting for each other


def predict(model: LinearModel, batch: pa.RecordBatch | pa.Table) -> Float:
    """The predictions of a batch that holds the model's inputs: float64 of shape (O, N).

    NaN where a number is missing that the model does not fill, or a level. One that it does not know is the base.
    """
    if model.design:
        return _predict_terms(model, model.design, with_inputs(batch, model.design), None, len(batch))
    return _predict_columns(model, [values(batch.column(name)) for name in model.features], len(batch))


def with_inputs(batch: pa.RecordBatch | pa.Table, design: Design) -> pa.Table:
    """A batch of a model's inputs, with its dates as numbers and what its formula computes, where it lacks them."""
    table = batch if isinstance(batch, pa.Table) else pa.Table.from_batches([batch])
    return prepared(with_dates(table, design.dates), design)


def predict_rows(model: LinearModel, rows: Rows) -> Float:
    """The predictions of rows that are held, float64 of shape (N, O): those of ``predict``, to the bit.

    Those of many rows are made on all cores.

    Raises:
        KeyError: a feature of the model is not held.

    >>> import linreg
    >>> columns = {"features": ("temp", "rainfall", "humidity"), "targets": ("apples", "oranges")}
    >>> rows = linreg.read_dataset(linreg.DataConfig(path="data/crops-15.csv", **columns)).train
    >>> model = linreg.fit(rows, linreg.TrainConfig(trainer="exact")).model
    >>> linreg.predict_rows(model, rows)[0].round(1).tolist()
    [57.3, 69.5]
    """
    if not rows.has(model.inputs):
        raise KeyError(next(name for name in model.inputs if not rows.has([name])))
    y_NO = np.empty((len(rows), len(model.targets)))

    def put(placed: tuple[int, TableBlock]) -> None:
        start, (table, numbers) = placed
        count = len(table) if numbers is None else len(numbers)
        if model.design:
            y_On = _predict_terms(model, model.design, table, numbers, count)
        else:
            y_On = _predict_columns(model, list(columns(table, numbers, model.features, rows.design)), count)
        y_NO[start : start + count] = y_On.T

    few = len(rows) * len(model.features) <= _FEW
    in_threads(put, rows.placed_blocks(), threads=1 if few else 0)
    return y_NO


def _predict_columns(model: LinearModel, x_FN: Sequence[npt.NDArray[Any]], count: int) -> Float:
    """The same from columns, NaN where a value is missing; float64 of shape (O, N)."""
    y_ON = np.repeat(model.bias_O[:, None], count, axis=1)
    if model.fill_F is not None:
        x_FN = [np.where(np.isnan(x), fill, x) for x, fill in zip(x_FN, model.fill_F, strict=True)]
    spare = np.empty((2, min(_BLOCK, count)))
    with np.errstate(all="ignore"):  # what is not finite is the caller's to judge
        for start in range(0, count, _BLOCK):
            _accumulate(model, [x[start : start + _BLOCK] for x in x_FN], y_ON[:, start : start + _BLOCK], spare)
    return y_ON


def _predict_terms(
    model: LinearModel, design: Design, table: pa.Table, numbers: RowNumbers | None, count: int
) -> Float:
    """The same from numbers and categories: of each category one look-up, however many levels it has."""
    table, terms = prepared(table, design), list(design.terms.values())
    single = [i for i, term in enumerate(terms) if not term.numbers and len(term.levels) == 1]
    others = [i for i in range(len(model.features)) if i not in set(single)]
    rest = replace(
        model,
        weight_OF=model.weight_OF[:, others],
        bias_O=model.bias_O - model.weight_OF[:, single] @ model.mean_F[single],
        mean_F=model.mean_F[others],
        features=tuple(model.features[i] for i in others),
        fill_F=None if model.fill_F is None else model.fill_F[others],
        design=None,
    )
    y_ON = _predict_columns(rest, list(columns(table, numbers, rest.features, design)), count)
    weights: dict[str, dict[str, Float]] = {column: {} for column in design.levels}
    for i in single:
        ((column, level),) = terms[i].levels
        weights[column][level] = model.weight_OF[:, i]
    nothing, missing = np.zeros(len(model.targets)), np.full(len(model.targets), np.nan)
    for column, of_level in weights.items():
        code_n = codes_of(table[column])
        code_n = code_n if numbers is None else code_n[numbers]
        weight_LO = np.array([*(of_level.get(level, nothing) for level in levels_of(table[column])), missing])
        y_ON += weight_LO[code_n].T  # a code of -1 is the last
    return np.where(np.isfinite(y_ON), y_ON, np.nan) if design.computed else y_ON  # some have no finite value


def _accumulate(model: LinearModel, x_Fn: Sequence[npt.NDArray[np.generic]], y_On: Float, spare: Float) -> None:
    """Add each feature's part of the predictions to ``y_On``; ``spare`` is written over."""
    z_n, other_n = spare[:, : y_On.shape[1]]
    term_n = z_n if len(y_On) == 1 else other_n
    for x_n, mean, weight_O in zip(x_Fn, model.mean_F, model.weight_OF.T, strict=True):
        z_n[:] = x_n  # widened by itself: faster than on the way
        z_n -= mean
        for y_n, weight in zip(y_On, weight_O, strict=True):
            y_n += np.multiply(z_n, weight, out=term_n)


def values(column: pa.Array) -> npt.NDArray[np.generic]:
    """The numbers as they are, without a copy where Arrow holds them that way; a null is NaN."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.float64())
    numbers: npt.NDArray[np.generic] = column.to_numpy(zero_copy_only=False)
    return numbers
