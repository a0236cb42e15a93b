"""A chunk of rows out of columns in memory, as they lie there: in float64, shifted, weighted, column by column.

Shapes: N rows, P columns, K = 1 + P, M rows of a chunk. A chunk is flat, (K, M): the square roots of the weights, then
``sqrt(w) (z - shift)`` of every column; rows that are not there are 0.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types

from linreg.kernels.jit import inlined
from linreg.kernels.simd import Vector, at, intrinsic, lanes, set_at

LANES = 8  # of float64
CHUNK = 128  # rows, M: sixteen vectors, which registers hold

_wide, _narrow = lanes(numba.float64, LANES), Vector(numba.float32, LANES)
_load, _store, _splat, _sub, _mul, _below = _wide.load, _wide.store, _wide.splat, _wide.sub, _wide.mul, _wide.below


@intrinsic
def _doubles(_context: Any, _address: Any) -> Any:
    """Eight float64 at an address."""

    def code(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        kind = context.get_value_type(Vector(numba.float64, LANES))
        out = builder.load(builder.inttoptr(args[0], kind.as_pointer()))
        out.align = 8
        return out

    return Vector(numba.float64, LANES)(types.int64), code


@intrinsic
def _floats(_context: Any, _address: Any) -> Any:
    """Eight float32 at an address, as float64."""

    def code(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        kind = context.get_value_type(_narrow)
        out = builder.load(builder.inttoptr(args[0], kind.as_pointer()))
        out.align = 4
        return builder.fpext(out, context.get_value_type(Vector(numba.float64, LANES)))

    return Vector(numba.float64, LANES)(types.int64), code


@inlined
def chunk(out: Any, addresses: Any, single: Any, chosen: Any, shift: Any, root: Any, start: int, rows: int) -> None:
    """Fill ``out`` with up to M rows from ``start`` on.

    ``addresses`` are those of the columns' first values, ``single`` says which are float32, ``chosen`` which rows count
    (empty: all), ``root`` holds the square roots of their weights (empty: all 1). What is no whole vector is copied
    one by one: nothing behind a column is read.
    """
    aligned = 0 if chosen.size else rows // LANES * LANES
    for i in range(0, CHUNK, LANES):
        _store(out, i, _below(_splat(1.0), rows - i))
    for i in range(rows if root.size else 0):
        out[i] = root[start + i]
    for p in range(addresses.size):
        to, c, address = (p + 1) * CHUNK, _splat(shift[p]), addresses[p]
        if single[p]:
            for i in range(0, aligned, LANES):
                _store(out, to + i, _mul(_sub(_floats(address + (start + i) * 4), c), _load(out, i)))
            for i in range(aligned, rows):
                set_at(out, to + i, (_float_at(address + _row(chosen, start + i) * 4) - shift[p]) * at(out, i))
        else:
            for i in range(0, aligned, LANES):
                _store(out, to + i, _mul(_sub(_doubles(address + (start + i) * 8), c), _load(out, i)))
            for i in range(aligned, rows):
                set_at(out, to + i, (_double_at(address + _row(chosen, start + i) * 8) - shift[p]) * at(out, i))
        for i in range(rows, CHUNK):
            set_at(out, to + i, 0.0)


@inlined
def _row(chosen: Any, i: int) -> Any:
    return np.int64(at(chosen, i)) if chosen.size else i


@inlined
def _value(address: int, single: bool, i: int) -> Any:
    return _float_at(address + i * 4) if single else _double_at(address + i * 8)


@intrinsic
def _double_at(_context: Any, _address: Any) -> Any:
    def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], ir.DoubleType().as_pointer()))

    return types.float64(types.int64), code


@intrinsic
def _float_at(_context: Any, _address: Any) -> Any:
    def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        value = builder.load(builder.inttoptr(args[0], ir.FloatType().as_pointer()))
        return builder.fpext(value, ir.DoubleType())

    return types.float64(types.int64), code


@inlined
def means(addresses: Any, single: Any, chosen: Any, root: Any, sample: int, rows: int) -> Any:
    """The weighted means of the first rows, column by column: what all of them are shifted by.

    Of a sample, or of all rows where those of the sample weigh nothing.
    """
    count = sample
    weight = _weight(root, sample)
    if not weight > 0:
        count, weight = rows, _weight(root, rows)
    out = np.zeros(addresses.size)
    for p in range(addresses.size if weight > 0 else 0):
        total = 0.0
        for i in range(count):
            if not root.size or root[i] > 0:
                value = _value(addresses[p], single[p], _row(chosen, i))
                total += value * root[i] * root[i] if root.size else value
        out[p] = total / weight
    return out


@inlined
def _weight(root: Any, rows: int) -> float:
    """The weight of the first rows."""
    if not root.size:
        return float(rows)
    total = 0.0
    for i in range(rows):
        total += root[i] * root[i]
    return total
