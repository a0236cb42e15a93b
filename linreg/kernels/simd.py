"""Vectors of a fixed number of lanes inside compiled loops: what is summed with what is written out.

    vector = lanes(numba.float32, 16)
    load, fma, everywhere = vector.load, vector.fma, vector.everywhere

    @compiled
    def dot(a_N, b_N):
        s = vector.splat(0)  ...

A vector is an LLVM vector: one register where the machine has them that wide, several elsewhere, and the same bits
either way. ``fma`` rounds once on every machine. A stack is a handful of vectors under a constant index: the optimiser
unrolls the loops over it and keeps the vectors in registers. No index is checked and none counts from the end.

Numba takes these names as globals or closures of a compiled function.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import models, register_model

intrinsic: Any = numba.extending.intrinsic  # its own types count the compiler's argument among the caller's

_I32 = ir.IntType(32)
_LLVM = {types.float32: ir.FloatType(), types.float64: ir.DoubleType(), types.uint32: _I32}
_STACK = 144  # vectors a stack can hold at most


class Vector(types.Type):
    """The type of a vector."""

    def __init__(self, scalar: Any, count: int) -> None:
        self.scalar, self.count = scalar, count
        super().__init__(name=f"Vector({scalar}, {count})")


class Stack(types.Type):
    """The type of a stack of vectors."""

    def __init__(self, vector: Vector) -> None:
        self.vector = vector
        super().__init__(name=f"Stack({vector})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, _llvm(vector))


@register_model(Stack)
class _StackModel(models.PrimitiveModel):
    def __init__(self, manager: Any, stack: Stack) -> None:
        super().__init__(manager, stack, _llvm(stack.vector).as_pointer())


@dataclass(frozen=True)
class Lanes:
    """The operations of one width; each is called inside compiled functions.

    Args:
        count: lanes of a vector.
        load: ``(array, i)`` its elements from i on.
        load_first: ``(array, i, n)`` the first n of them, 0 in the other lanes; no more is read.
        store: ``(array, i, v)``.
        splat: ``(scalar)`` in every lane.
        fma: ``(a, b, c)``: a b + c, rounded once.
        add, sub, mul, div: lane by lane.
        below: ``(v, n)``: v in the first n lanes, 0 in the others.
        total: ``(v)``: the sum of the lanes, halves added to halves.
        everywhere: ``(v)``: the same sum, in every lane.
        lane0: ``(v)``: its first lane.
        stack: ``()``: room for vectors; ``put(stack, i, v)``, ``get(stack, i)``.
    """

    count: int
    load: Any
    load_first: Any
    store: Any
    splat: Any
    fma: Any
    add: Any
    sub: Any
    mul: Any
    div: Any
    below: Any
    total: Any
    everywhere: Any
    lane0: Any
    stack: Any
    get: Any
    put: Any


@cache
def lanes(scalar: Any, count: int) -> Lanes:
    """The operations on vectors of ``count`` lanes of a numba scalar type."""
    vector = Vector(scalar, count)
    add, sub, mul, div = (_binary(vector, name) for name in ("fadd", "fsub", "fmul", "fdiv"))
    memory, sums, stacks = _memory(vector), _sums(vector), _stacks(vector)
    return Lanes(count, *memory, _fma(vector), add, sub, mul, div, _below(vector), *sums, *stacks)


@intrinsic
def at(_context: Any, array: Any, _index: Any) -> Any:
    """The element of a flat array at an index that is not negative."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_data_type(array.dtype)
        return builder.load(_address(context, builder, signature.args[0], args, kind))

    return array.dtype(array, types.intp), code


@intrinsic
def set_at(_context: Any, array: Any, _index: Any, _value: Any) -> Any:
    """Set the element of a flat array at an index that is not negative."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = context.get_data_type(array.dtype)
        builder.store(args[2], _address(context, builder, signature.args[0], args, kind))
        return context.get_dummy_value()

    return types.none(array, types.intp, array.dtype), code


@intrinsic
def fetch(_context: Any, array: Any, _index: Any) -> Any:
    """Ask for the cache line of an element that is read soon; nothing happens where there is none."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = ir.IntType(8)
        where = _address(context, builder, signature.args[0], args, byte)
        kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [where, _I32(0), _I32(2), _I32(1)])  # to read, into the second level, data
        return context.get_dummy_value()

    return types.none(array, types.intp), code


def _memory(vector: Vector) -> tuple[Any, Any, Any, Any]:
    kind, align = _llvm(vector), vector.scalar.bitwidth // 8

    @intrinsic
    def load(_context: Any, array: Any, _index: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            out = builder.load(_address(context, builder, signature.args[0], args, kind))
            out.align = align
            return out

        return vector(array, types.intp), code

    @intrinsic
    def store(_context: Any, array: Any, _index: Any, _value: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            builder.store(args[2], _address(context, builder, signature.args[0], args, kind)).align = align
            return context.get_dummy_value()

        return types.none(array, types.intp, vector), code

    @intrinsic
    def splat(_context: Any, _value: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return _splat(builder, args[0], kind)

        return vector(vector.scalar), code

    return load, _load_first(vector), store, splat


def _load_first(vector: Vector) -> Any:
    kind, bits = _llvm(vector), vector.scalar.bitwidth

    @intrinsic
    def load_first(_context: Any, array: Any, _index: Any, _n: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            where = _address(context, builder, signature.args[0], args, kind)
            keep = _first(builder, args[2], vector.count)
            function = ir.FunctionType(kind, [kind.as_pointer(), _I32, keep.type, kind])
            name = f"llvm.masked.load.v{vector.count}f{bits}.p0"
            call = cgutils.get_or_insert_function(builder.module, function, name)
            return builder.call(call, [where, _I32(bits // 8), keep, ir.Constant(kind, None)])

        return vector(array, types.intp, types.intp), code

    return load_first


def _binary(vector: Vector, name: str) -> Any:
    @intrinsic
    def operation(_context: Any, _a: Any, _b: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return getattr(builder, name)(*args)

        return vector(vector, vector), code

    return operation


def _fma(vector: Vector) -> Any:
    kind = _llvm(vector)
    name = f"llvm.fma.v{vector.count}f{vector.scalar.bitwidth}"

    @intrinsic
    def fma(_context: Any, _a: Any, _b: Any, _c: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
            return builder.call(function, args)

        return vector(vector, vector, vector), code

    return fma


def _below(vector: Vector) -> Any:
    kind = _llvm(vector)

    @intrinsic
    def below(_context: Any, _value: Any, _n: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            keep = _first(builder, args[1], vector.count)
            return builder.select(keep, args[0], ir.Constant(kind, None))

        return vector(vector, types.intp), code

    return below


def _sums(vector: Vector) -> tuple[Any, Any, Any]:
    @intrinsic
    def total(_context: Any, _value: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.extract_element(_halves(builder, args[0], vector.count), _I32(0))

        return vector.scalar(vector), code

    @intrinsic
    def everywhere(_context: Any, _value: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return _halves(builder, args[0], vector.count)

        return vector(vector), code

    @intrinsic
    def lane0(_context: Any, _value: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.extract_element(args[0], _I32(0))

        return vector.scalar(vector), code

    return total, everywhere, lane0


def _halves(builder: Any, value: Any, count: int) -> Any:
    """Every lane with the one half the count away, a quarter away, and so on: then each holds the sum of all."""
    kind, step = ir.VectorType(_I32, count), count // 2
    while step:
        other = builder.shuffle_vector(value, value, ir.Constant(kind, [i ^ step for i in range(count)]))
        value, step = builder.fadd(value, other), step // 2
    return value


def _stacks(vector: Vector) -> tuple[Any, Any, Any]:
    kind, stack_type = _llvm(vector), Stack(vector)

    @intrinsic
    def stack(_context: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
            return cgutils.alloca_once(builder, kind, size=ir.Constant(ir.IntType(64), _STACK))

        return stack_type(), code

    @intrinsic
    def get(_context: Any, _stack: Any, _index: Any) -> Any:
        def code(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.load(builder.gep(args[0], [args[1]]))

        return vector(stack_type, types.intp), code

    @intrinsic
    def put(_context: Any, _stack: Any, _index: Any, _value: Any) -> Any:
        def code(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            builder.store(args[2], builder.gep(args[0], [args[1]]))
            return context.get_dummy_value()

        return types.none(stack_type, types.intp, vector), code

    return stack, get, put


def _llvm(vector: Vector) -> Any:
    return ir.VectorType(_LLVM[vector.scalar], vector.count)


def _first(builder: Any, n: Any, count: int) -> Any:
    """A mask of the first n lanes."""
    kind = ir.VectorType(_I32, count)
    return builder.icmp_signed(
        "<", ir.Constant(kind, list(range(count))), _splat(builder, builder.trunc(n, _I32), kind)
    )


def _splat(builder: Any, value: Any, kind: Any) -> Any:
    undefined = ir.Constant(kind, ir.Undefined)
    vector = builder.insert_element(undefined, value, _I32(0))
    return builder.shuffle_vector(vector, undefined, ir.Constant(ir.VectorType(_I32, kind.count), None))


def _address(context: Any, builder: Any, array_type: Any, args: Any, kind: Any) -> Any:
    data = context.make_array(array_type)(context, builder, args[0]).data
    return builder.bitcast(builder.gep(data, [args[1]]), kind.as_pointer())
