"""Memory by address: loads, stores and searches for the codec kernels.

Between kernels an array costs two atomic reference counts a call, which is more than a small packet
takes to decode, and its indices are checked for being negative. So the codec kernels pass plain
addresses; the classes in `packets` and `text` own the arrays behind them and keep them alive.

Nothing here checks a bound: callers keep `SLACK` bytes that may be touched behind the last one that
they mean. Words may be unaligned and are in the machine's order; all supported ones are
little-endian, as the wire is.
"""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as _numba_intrinsic

#: Where an array's data starts.
Address: TypeAlias = int
#: Bytes that may be touched behind the end of what is meant.
SLACK = 32

#: Numba's own annotations describe the compiled call wrongly.
intrinsic = cast(Any, _numba_intrinsic)

_I8 = ir.IntType(8)
_BYTES32 = ir.VectorType(_I8, 32)


def address_of(a: npt.NDArray[Any]) -> Address:
    """Return where the data of `a` starts; the caller keeps `a` alive."""
    if not (a.flags.c_contiguous and a.flags.writeable and a.flags.aligned):
        raise ValueError("a kernel's array must be C-contiguous and writable")
    return int(a.ctypes.data)


def _pointer(builder: Any, base: Any, index: Any, element: Any) -> Any:
    """Return a pointer to `element` at byte `index` behind the address `base`."""
    start = builder.inttoptr(base, _I8.as_pointer())
    return builder.bitcast(builder.gep(start, [index]), element.as_pointer())


def _loader(result: Any, element: Any) -> Any:
    """Return an intrinsic ``(base, byte_index) -> result``."""

    def load(typing_context: Any, base: Any, i: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            start, index = arguments
            return builder.load(_pointer(builder, start, index, element), align=1)

        return result(types.int64, types.int64), codegen

    return intrinsic(load)


def _storer(value_type: Any, element: Any) -> Any:
    """Return an intrinsic ``(base, byte_index, value)``."""

    def store(typing_context: Any, base: Any, i: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            start, index, what = arguments
            builder.store(what, _pointer(builder, start, index, element), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, value_type), codegen

    return intrinsic(store)


load_u8 = _loader(types.uint8, _I8)
load_i16 = _loader(types.int16, ir.IntType(16))
load_u32 = _loader(types.uint32, ir.IntType(32))
load_u64 = _loader(types.uint64, ir.IntType(64))
load_f32 = _loader(types.float32, ir.FloatType())
store_u8 = _storer(types.uint8, _I8)
store_f32 = _storer(types.float32, ir.FloatType())


def _matches32(typing_context: Any, base: Any, i: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start, index, byte = arguments
        loaded = builder.load(_pointer(builder, start, index, _BYTES32), align=1)
        nothing = ir.Constant(_BYTES32, ir.Undefined)
        one = builder.insert_element(nothing, byte, ir.Constant(ir.IntType(32), 0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), 32), None)
        wanted = builder.shuffle_vector(one, nothing, lanes)
        return builder.bitcast(builder.icmp_unsigned("==", loaded, wanted), ir.IntType(32))

    return types.uint32(types.int64, types.int64, types.uint8), codegen


def _copy32(typing_context: Any, target: Any, i: Any, source: Any, j: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        into, i_, out_of, j_ = arguments
        loaded = builder.load(_pointer(builder, out_of, j_, _BYTES32), align=1)
        builder.store(loaded, _pointer(builder, into, i_, _BYTES32), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), codegen


def _lowest_bit(typing_context: Any, mask: Any) -> Any:
    if mask not in (types.uint32, types.uint64):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        index = builder.cttz(arguments[0], cgutils.true_bit)
        return index if mask == types.uint64 else builder.zext(index, ir.IntType(64))

    return types.int64(mask), codegen


#: ``matches32(base, i, byte)``: a uint32 whose bit b is set where byte i + b equals `byte`.
matches32 = intrinsic(_matches32)
#: ``copy32(target, i, source, j)``: copy 32 bytes from `source` + j to `target` + i.
copy32 = intrinsic(_copy32)
#: ``lowest_bit(mask)``: index of the lowest set bit of a uint32 or uint64 that is not 0, as int64.
lowest_bit = intrinsic(_lowest_bit)


def _add(typing_context: Any, state: Any, slot: Any, n: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, slot_, more = arguments
        at = _slot(builder, base, slot_)
        builder.store(builder.add(builder.load(at), more), at)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


def _get(typing_context: Any, state: Any, slot: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_slot(builder, *arguments))

    return types.int64(types.int64, types.int64), codegen


def _put(typing_context: Any, state: Any, slot: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, slot_, what = arguments
        builder.store(what, _slot(builder, base, slot_))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


def _slot(builder: Any, base: Any, slot: Any) -> Any:
    """Return a pointer to the int64 number `slot` behind the address `base`."""
    word = ir.IntType(64)
    return builder.gep(builder.inttoptr(base, word.as_pointer()), [slot])


# Intrinsics, because a kernel would be compiled again for every constant slot.
#: ``get(state, slot)``: one int64 of an array of them.
get = intrinsic(_get)
#: ``put(state, slot, value)``: set it.
put = intrinsic(_put)
#: ``add(state, slot, n)``: add to it.
add = intrinsic(_add)
