"""What tensor-core kernels say to the device: products of small matrices, copies in the background.

Fragments are those of PTX ISA 9.0, chapter 9.7.15: a warp's lane is ``4 g + q``, g in 0..7 and
q in 0..3; a word holds two bfloat16, the lower index in the lower half. These need sm_80.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.cuda import cgutils, types

from streamrnn.kernels.cuda.code.words import intrinsic

_F32, _I32, _I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_SHARED = 3
_WORD: Any = types.uint32
_FLOAT: Any = types.float32


def _inline(
    builder: Any,
    kind: Any,
    text: str,
    constraints: str,
    arguments: list[Any],
    *,
    touches_memory: bool = False,
    together: bool = False,
) -> Any:
    """Add one PTX instruction.

    With `touches_memory` it keeps its place among loads and stores; what all lanes of a warp do
    `together` is not moved to where only some of them go.
    """
    function = ir.FunctionType(kind, [argument.type for argument in arguments])
    named = [constraints] if constraints else []
    named += ["~{memory}"] if touches_memory else []
    asm = ir.InlineAsm(function, text, ",".join(named), side_effect=touches_memory)
    return builder.call(asm, arguments, attrs=("convergent",) if together else ())


def _tuple(builder: Any, result: Any, n: int) -> Any:
    return cgutils.pack_array(builder, [builder.extract_value(result, k) for k in range(n)])


@intrinsic
def tanh_approx(typing_context: Any, z: Any) -> Any:
    """Return tanh(z) by the device's own instruction: off by at most 2**-10.987 of it."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _inline(builder, _F32, "tanh.approx.f32 $0, $1;", "=f,f", list(arguments))

    return _FLOAT(_FLOAT), codegen


@intrinsic
def pack_bf16(typing_context: Any, low: Any, high: Any) -> Any:
    """Return two numbers rounded to bfloat16 (to nearest, ties to even) in one word."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        text = "cvt.rn.bf16x2.f32 $0, $1, $2;"
        return _inline(builder, _I32, text, "=r,f,f", [arguments[1], arguments[0]])

    return _WORD(_FLOAT, _FLOAT), codegen


@intrinsic
def low_bf16(typing_context: Any, word: Any) -> Any:
    """Return the lower bfloat16 of a word."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(builder.shl(arguments[0], ir.Constant(_I32, 16)), _F32)

    return _FLOAT(_WORD), codegen


@intrinsic
def high_bf16(typing_context: Any, word: Any) -> Any:
    """Return the higher bfloat16 of a word."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        masked = builder.and_(arguments[0], ir.Constant(_I32, 0xFFFF0000))
        return builder.bitcast(masked, _F32)

    return _FLOAT(_WORD), codegen


@intrinsic
def multiply_add(
    typing_context: Any,
    a0: Any,
    a1: Any,
    a2: Any,
    a3: Any,
    b0: Any,
    b1: Any,
    d0: Any,
    d1: Any,
    d2: Any,
    d3: Any,
) -> Any:
    """Return ``D + A B`` for A (16, 16) and B (16, 8) of bfloat16, D (16, 8) of float32.

    Parameters
    ----------
    a0, a1, a2, a3 : uint32
        A's rows g, g + 8, g, g + 8; its columns 2 q and 2 q + 1, of the last two 8 behind.
    b0, b1 : uint32
        Column g of B; its rows 2 q and 2 q + 1, and 8 behind.
    d0, d1, d2, d3 : float32
        Rows g, g, g + 8, g + 8 of D; its columns 2 q, 2 q + 1, 2 q, 2 q + 1.
    """
    words, floats = [_WORD] * 6, [_FLOAT] * 4
    signature = types.UniTuple(_FLOAT, 4)(*words, *floats)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.LiteralStructType([_F32] * 4)
        text = (
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
            " {$0,$1,$2,$3}, {$4,$5,$6,$7}, {$8,$9}, {$10,$11,$12,$13};"
        )
        constraints = "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f"
        done = _inline(builder, kind, text, constraints, list(arguments), together=True)
        return _tuple(builder, done, 4)

    return signature, codegen


@intrinsic
def choose(typing_context: Any, is_first: Any, a: Any, b: Any) -> Any:
    """Return `a` or `b`, of which both are worked out: `if` would branch around one of them."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(*arguments)

    return a(types.boolean, a, a), codegen


@intrinsic
def shared_place(typing_context: Any, a: Any) -> Any:
    """Return where a pointer into shared memory points to, in bytes, as copies want to know it."""
    if not isinstance(a, types.CPointer):
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointee = arguments[0].type.pointee
        near = builder.addrspacecast(arguments[0], pointee.as_pointer(_SHARED))
        return builder.ptrtoint(near, _I32)

    return _WORD(a), codegen


@intrinsic
def store_shared(typing_context: Any, place: Any, word: Any) -> Any:
    """Write a word to shared memory."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], builder.inttoptr(arguments[0], _I32.as_pointer(_SHARED)))
        return context.get_dummy_value()

    return types.void(_WORD, _WORD), codegen


def _load_shared(n: int, number: Any, kind: Any) -> Callable[..., Any]:
    def load(typing_context: Any, place: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = ir.VectorType(kind, n).as_pointer(_SHARED)
            value = builder.load(builder.inttoptr(arguments[0], pointer))
            value.align = 4 * n
            return cgutils.pack_array(
                builder, [builder.extract_element(value, _I32(k)) for k in range(n)]
            )

        return types.UniTuple(number, n)(_WORD), codegen

    load.__doc__ = f"""Return {n} numbers of shared memory, at a multiple of {4 * n} bytes."""
    return intrinsic(load)


load_shared2 = _load_shared(2, _WORD, _I32)  # words
load_shared4 = _load_shared(4, _FLOAT, _F32)  # floats


@intrinsic
def load_matrices(typing_context: Any, place: Any) -> Any:
    """Return word q of row g of each of 4 matrices of 8 rows of 16 bytes in shared memory.

    Each lane gives the place of one row: lane ``8 m + r`` that of row r of matrix m.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.LiteralStructType([_I32] * 4)
        text = "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {$0,$1,$2,$3}, [$4];"
        done = _inline(
            builder, kind, text, "=r,=r,=r,=r,r", list(arguments),
            touches_memory=True, together=True,
        )  # fmt: skip
        return _tuple(builder, done, 4)

    return types.UniTuple(_WORD, 4)(_WORD), codegen


def _copy_behind(n_bytes: int, cache: str) -> Callable[..., Any]:
    def copy(typing_context: Any, place: Any, source: Any, at: Any) -> Any:
        if not isinstance(source, types.CPointer) or source.dtype.bitwidth != 32:
            return None

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            address = builder.ptrtoint(builder.gep(arguments[1], [arguments[2]]), _I64)
            text = f"cp.async.{cache}.shared.global [$0], [$1], {n_bytes};"
            operands = [arguments[0], address]
            _inline(builder, ir.VoidType(), text, "r,l", operands, touches_memory=True)
            return context.get_dummy_value()

        return types.void(_WORD, source, types.int64), codegen

    copy.__doc__ = f"""Start to copy {n_bytes} bytes from ``source[at]`` to shared memory.

    Both begin at a multiple of {n_bytes} bytes.
    """
    return intrinsic(copy)


start_copy = _copy_behind(4, "ca")
start_copy4 = _copy_behind(16, "cg")


@intrinsic
def close_copies(typing_context: Any) -> Any:
    """Make one group of the copies that this thread started since the last group."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        text = "cp.async.commit_group;"
        _inline(builder, ir.VoidType(), text, "", [], touches_memory=True)
        return context.get_dummy_value()

    return types.void(), codegen


def wait_for_copies(n_pending: int) -> Callable[..., Any]:
    """Return what waits until all groups but the last `n_pending` of this thread have arrived."""

    def wait(typing_context: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            text = f"cp.async.wait_group {n_pending};"
            _inline(builder, ir.VoidType(), text, "", [], touches_memory=True)
            return context.get_dummy_value()

        return types.void(), codegen

    return intrinsic(wait)


@intrinsic
def store2(typing_context: Any, a: Any, at: Any, v0: Any, v1: Any) -> Any:
    """Write two numbers of 4 bytes to ``a[at]`` and behind it, at a multiple of 8 bytes."""
    if not isinstance(a, types.CPointer) or a.dtype.bitwidth != 32:
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.gep(arguments[0], [arguments[1]])
        kind = ir.VectorType(place.type.pointee, 2)
        value = ir.Constant(kind, ir.Undefined)
        for n, part in enumerate(arguments[2:]):
            value = builder.insert_element(value, part, _I32(n))
        builder.store(value, builder.bitcast(place, kind.as_pointer())).align = 8
        return context.get_dummy_value()

    return types.void(a, types.int64, a.dtype, a.dtype), codegen


@intrinsic
def load2(typing_context: Any, a: Any, at: Any) -> Any:
    """Return ``a[at]`` and the element behind it, of 4 bytes; they begin at a multiple of 8."""
    if not isinstance(a, types.CPointer) or a.dtype.bitwidth != 32:
        return None

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.gep(arguments[0], [arguments[1]])
        kind = ir.VectorType(place.type.pointee, 2)
        value = builder.load(builder.bitcast(place, kind.as_pointer()))
        value.align = 8
        return cgutils.pack_array(
            builder, [builder.extract_element(value, _I32(n)) for n in range(2)]
        )

    return types.UniTuple(a.dtype, 2)(a, types.int64), codegen
