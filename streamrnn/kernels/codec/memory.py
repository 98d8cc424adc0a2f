"""Memory by address: loads, stores, copies and searches for the codec kernels.

The codec kernels pass plain addresses; the classes in `columns` own the arrays behind
them and keep them alive.

Nothing here checks a bound: callers keep bytes that may be touched around those that they mean.
Words may be unaligned and are in the machine's order; all supported ones are little-endian, as the
wire is.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from llvmlite import ir
from numba import types
from numba.core import cgutils

from streamrnn.kernels.jit import intrinsic

#: Where an array's data starts.
Address: TypeAlias = int


_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_BYTES64 = ir.VectorType(_I8, 64)


def pointer(builder: Any, address: Any, element: Any) -> Any:
    """Return a pointer to `element`."""
    return builder.inttoptr(address, element.as_pointer())


def splat(builder: Any, value: Any, n: int) -> Any:
    """Return a vector of `n` times `value`."""
    nothing = ir.Constant(ir.VectorType(value.type, n), ir.Undefined)
    one = builder.insert_element(nothing, value, _I32(0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(_I32, n), None))


def _loader(result: Any, element: Any) -> Any:
    """Return an intrinsic ``(address) -> result``; what is narrower is taken as unsigned."""

    def load(typing_context: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            value = builder.load(pointer(builder, arguments[0], element), align=1)
            return builder.zext(value, _I64) if element.width < result.bitwidth else value

        return result(types.int64), codegen

    return intrinsic(load)


def _storer(value_type: Any, element: Any) -> Any:
    """Return an intrinsic ``(address, value)``."""

    def store(typing_context: Any, address: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.store(arguments[1], pointer(builder, arguments[0], element), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, value_type), codegen

    return intrinsic(store)


#: ``load_byte(address)`` and so on: what stands there, as int64 ...
load_byte = _loader(types.int64, _I8)
load_u32 = _loader(types.int64, _I32)
load_i64 = _loader(types.int64, _I64)
#: ... or as uint64.
load_u64 = _loader(types.uint64, _I64)
#: ``store_u8(address, value)`` and so on.
store_u8 = _storer(types.uint8, _I8)
store_f32 = _storer(types.float32, ir.FloatType())


def _matcher(n: int, matching: Any) -> Any:
    """Return an intrinsic ``(address, byte) -> mask`` over the `n` bytes at an address.

    `matching` gives LLVM's comparison of each byte.
    """
    bytes_ = ir.VectorType(_I8, n)

    def match(typing_context: Any, address: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            loaded = builder.load(pointer(builder, arguments[0], bytes_), align=1)
            wanted = splat(builder, builder.trunc(arguments[1], _I8), n)
            mask = builder.bitcast(matching(builder, loaded, wanted), ir.IntType(n))
            return builder.zext(mask, _I64) if n < 64 else mask

        return types.uint64(types.int64, types.int64), codegen

    return intrinsic(match)


def _is_equal(builder: Any, bytes_: Any, wanted: Any) -> Any:
    return builder.icmp_unsigned("==", bytes_, wanted)


def _is_among_ten(builder: Any, bytes_: Any, first: Any) -> Any:
    ten = ir.Constant(bytes_.type, [10] * bytes_.type.count)
    return builder.icmp_unsigned("<", builder.sub(bytes_, first), ten)


#: ``matches64(address, byte)``: a uint64 whose bit b is set where byte b equals `byte`.
matches64 = _matcher(64, _is_equal)
#: ``matches32(address, byte)``: the same of 32 bytes.
matches32 = _matcher(32, _is_equal)
#: ``ten_from32(address, byte)``: where it is `byte` or one of the nine above it.
ten_from32 = _matcher(32, _is_among_ten)


def _copy64(typing_context: Any, target: Any, source: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        into, out_of = (pointer(builder, a, _BYTES64) for a in arguments)
        builder.store(builder.load(out_of, align=1), into, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


def _copy(typing_context: Any, target: Any, source: Any, n: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        into, out_of = (pointer(builder, a, _I8) for a in arguments[:2])
        raw_memcpy: Any = cgutils.raw_memcpy
        raw_memcpy(builder, into, out_of, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


def _lowest_bit(typing_context: Any, mask: Any) -> Any:
    if mask != types.uint64:
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.int64(mask), codegen


#: ``copy64(target, source)``: copy 64 bytes.
copy64 = intrinsic(_copy64)
#: ``copy(target, source, n)``: copy exactly n bytes that do not overlap.
copy = intrinsic(_copy)
#: ``lowest_bit(mask)``: index of the lowest set bit of a uint64 that is not 0, as int64.
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
    return builder.gep(builder.inttoptr(base, _I64.as_pointer()), [slot])


# Intrinsics, because a kernel would be compiled again for every constant slot.
#: ``get(state, slot)``: one int64 of an array of them.
get = intrinsic(_get)
#: ``put(state, slot, value)``: set it.
put = intrinsic(_put)
#: ``add(state, slot, n)``: add to it.
add = intrinsic(_add)
