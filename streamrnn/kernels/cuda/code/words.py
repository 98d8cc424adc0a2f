"""What kernels say to the device beside plain arithmetic: shared memory, and 16 bytes at once.

A pointer is typed and generic; the compiler finds out which memory it points to. Indices are
unsigned 32-bit numbers or 64-bit numbers: Numba would look whether a signed one is negative only
for arrays, and pointers are not. Nothing checks bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba.cuda import cgutils, types
from numba.cuda.extending import intrinsic as _intrinsic

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_SHARED = 3
_FLOATS: Any = types.CPointer(types.float32)


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that is lowered to LLVM instructions; it can be called in kernels only."""
    return cast(Callable[..., Any], _intrinsic(function))


def _place(builder: Any, pointer: Any, index: Any) -> Any:
    wide = index if index.type.width == 64 else builder.zext(index, _I64)
    return builder.gep(pointer, [wide])


@intrinsic
def shared_floats(typing_context: Any) -> Any:
    """Return the block's dynamic shared memory, as a pointer to float32; it begins at 16 bytes."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        name, kind = "dynamic_shared", ir.ArrayType(ir.FloatType(), 0)
        module = builder.module
        if name in module.globals:
            memory = module.get_global(name)
        else:
            memory = ir.GlobalVariable(module, kind, name, addrspace=_SHARED)
            memory.linkage, memory.align = "external", 16
        generic = builder.addrspacecast(memory, kind.as_pointer(), "generic")
        return builder.bitcast(generic, ir.FloatType().as_pointer())

    return _FLOATS(), codegen


@intrinsic
def load4(typing_context: Any, a: Any, at: Any) -> Any:
    """Return ``a[at]`` and the three elements behind it; they begin at a multiple of 16 bytes."""
    if not isinstance(a, types.CPointer) or a.dtype.bitwidth != 32:
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(builder, *arguments)
        kind = ir.VectorType(place.type.pointee, 4)
        value = builder.load(builder.bitcast(place, kind.as_pointer()))
        value.align = 16
        return cgutils.pack_array(
            builder, [builder.extract_element(value, _I32(n)) for n in range(4)]
        )

    return types.UniTuple(a.dtype, 4)(a, at), codegen


@intrinsic
def store4(typing_context: Any, a: Any, at: Any, v0: Any, v1: Any, v2: Any, v3: Any) -> Any:
    """Write four numbers to ``a[at]`` and behind it, which begin at a multiple of 16 bytes."""
    if not isinstance(a, types.CPointer) or a.dtype.bitwidth != 32:
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(builder, *arguments[:2])
        kind = ir.VectorType(place.type.pointee, 4)
        value = ir.Constant(kind, ir.Undefined)
        for n, part in enumerate(arguments[2:]):
            value = builder.insert_element(value, part, _I32(n))
        builder.store(value, builder.bitcast(place, kind.as_pointer())).align = 16
        return context.get_dummy_value()

    number = a.dtype
    return types.void(a, at, number, number, number, number), codegen


@intrinsic
def offset(typing_context: Any, a: Any, at: Any) -> Any:
    """Return the pointer to ``a[at]``."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _place(builder, *arguments)

    return a(a, at), codegen


@intrinsic
def is_there(typing_context: Any, a: Any) -> Any:
    """Return whether a pointer is not 0."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.icmp_unsigned("!=", builder.ptrtoint(arguments[0], _I64), _I64(0))

    return types.boolean(a), codegen


@intrinsic
def barrier(typing_context: Any, which: Any, n_threads: Any) -> Any:
    """Wait for `n_threads`, whole warps, at barrier `which` of the block's 16."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_I32, _I32])
        wait = ir.InlineAsm(kind, "bar.sync $0, $1;", "r,r,~{memory}", side_effect=True)
        builder.call(wait, arguments, attrs=("convergent",))
        return context.get_dummy_value()

    return types.void(types.uint32, types.uint32), codegen


@intrinsic
def fresh(typing_context: Any, number: Any) -> Any:
    """Return an unsigned 32-bit number of which the compiler knows nothing.

    What is computed from it is computed where it stands: not before the loop, to be kept in a
    register all the while.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_I32, [_I32])
        copy = ir.InlineAsm(kind, "mov.b32 $0, $1;", "=r,r", side_effect=True)
        return builder.call(copy, arguments)

    return types.uint32(types.uint32), codegen


@intrinsic
def copy_fours(typing_context: Any, to: Any, source: Any, first: Any, step: Any, n: Any) -> Any:
    """Copy 8 pieces of four numbers, every so many from `first` on, of n; all are read at once.

    Both begin at a multiple of 16 bytes. Pieces from n on are left out.
    """
    if not isinstance(to, types.CPointer) or to != source or to.dtype.bitwidth != 32:
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, origin, begin, apart, count = arguments
        pieces, kind = [], ir.VectorType(target.type.pointee, 4)
        for number in range(8):
            piece = builder.add(begin, builder.mul(_I32(number), apart))
            is_there = builder.icmp_unsigned("<", piece, count)
            before = builder.block
            at = builder.shl(builder.zext(piece, _I64), _I64(2))
            with builder.if_then(is_there, likely=True):
                place = builder.gep(origin, [at])
                value = builder.load(builder.bitcast(place, kind.as_pointer()))
                value.align = 16
                inside = builder.block
            either = builder.phi(kind)
            either.add_incoming(ir.Constant(kind, None), before)
            either.add_incoming(value, inside)
            pieces.append((is_there, at, either))
        for is_there, at, value in pieces:
            with builder.if_then(is_there, likely=True):
                place = builder.gep(target, [at])
                builder.store(value, builder.bitcast(place, kind.as_pointer())).align = 16
        return context.get_dummy_value()

    word = types.uint32
    return types.void(to, source, word, word, word), codegen
