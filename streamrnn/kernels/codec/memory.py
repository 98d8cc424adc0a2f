"""Loads, stores and searches that a plain loop cannot say: unaligned words and 32 bytes at once.

None of them checks a bound: callers keep `SLACK` readable (and, for `copy32`, writable) bytes
behind the last one that they mean. Words are read in the machine's order; all supported ones are
little-endian, as the wire is.
"""

from __future__ import annotations

from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _numba_intrinsic

#: Bytes that may be touched behind the end of what is meant.
SLACK = 32

#: Numba's own annotations describe the compiled call wrongly.
intrinsic = cast(Any, _numba_intrinsic)

_BYTES32 = ir.VectorType(ir.IntType(8), 32)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any, element: Any) -> Any:
    """Return a pointer to `element` at byte `index` of a uint8 array."""
    data = context.make_array(kind)(context, builder, value=array).data
    at = builder.gep(builder.bitcast(data, ir.IntType(8).as_pointer()), [index])
    return builder.bitcast(at, element.as_pointer())


def _is_bytes(kind: Any) -> bool:
    return isinstance(kind, types.Array) and kind.dtype == types.uint8 and kind.ndim == 1


def _loader(result: Any, element: Any) -> Any:
    """Return an intrinsic ``(bytes, index) -> result`` that reads `element` unaligned."""

    def load(typing_context: Any, a: Any, i: Any) -> Any:
        if not _is_bytes(a):
            return None

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array, index = arguments
            at = _pointer(context, builder, signature.args[0], array, index, element)
            return builder.load(at, align=1)

        return result(a, types.int64), codegen

    return intrinsic(load)


load_u8 = _loader(types.uint8, ir.IntType(8))
load_i16 = _loader(types.int16, ir.IntType(16))
load_u32 = _loader(types.uint32, ir.IntType(32))
load_u64 = _loader(types.uint64, ir.IntType(64))
load_f32 = _loader(types.float32, ir.FloatType())


def _zeros32(typing_context: Any, a: Any, i: Any) -> Any:
    if not _is_bytes(a):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index = arguments
        at = _pointer(context, builder, signature.args[0], array, index, _BYTES32)
        none = ir.Constant(_BYTES32, None)
        is_zero = builder.icmp_unsigned("==", builder.load(at, align=1), none)
        return builder.bitcast(is_zero, ir.IntType(32))

    return types.uint32(a, types.int64), codegen


def _copy32(typing_context: Any, target: Any, i: Any, source: Any, j: Any) -> Any:
    if not _is_bytes(target) or not _is_bytes(source):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        into, i_, out_of, j_ = arguments
        source_at = _pointer(context, builder, signature.args[2], out_of, j_, _BYTES32)
        target_at = _pointer(context, builder, signature.args[0], into, i_, _BYTES32)
        builder.store(builder.load(source_at, align=1), target_at, align=1)
        return context.get_dummy_value()

    return types.void(target, types.int64, source, types.int64), codegen


def _lowest_bit(typing_context: Any, mask: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        index = builder.cttz(arguments[0], cgutils.true_bit)
        return builder.zext(index, ir.IntType(64))

    return types.int64(types.uint32), codegen


#: ``zeros32(a, i)``: a uint32 whose bit b is set where ``a[i + b] == 0``.
zeros32 = intrinsic(_zeros32)
#: ``copy32(target, i, source, j)``: copy ``source[j : j + 32]`` to ``target[i : i + 32]``.
copy32 = intrinsic(_copy32)
#: ``lowest_bit(mask)``: index of the lowest set bit of a uint32 that is not 0, as int64.
lowest_bit = intrinsic(_lowest_bit)
