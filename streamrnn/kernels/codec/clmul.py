"""CRC-32 by carry-less multiplication.

16 bytes are a polynomial over GF(2), the lowest bit being the highest power. Folding multiplies
what was read so far by x**128 modulo the CRC's polynomial, and adds the next 16 bytes (Gopal et
al., "Fast CRC computation for generic polynomials using PCLMULQDQ", Intel, 2009).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import models, register_model

from streamrnn.kernels.codec.memory import Address, pointer, splat
from streamrnn.kernels.jit import intrinsic, kernel

_POLYNOMIAL = 0x104C11DB7
_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_WORDS = ir.VectorType(_I64, 2)
_BYTES = ir.VectorType(_I8, 16)
_QUARTERS = ir.VectorType(_I32, 4)
# Which halves of two blocks the instruction multiplies, and the index of a zero in `_picked`.
_LOW, _HIGH = 0x00, 0x11
_0 = 4


def _reflected(value: int, n_bits: int) -> int:
    """Return the lowest bits of a number in the opposite order."""
    return int(f"{value:0{n_bits}b}"[::-1], 2)


def _divided(value: int) -> tuple[int, int]:
    """Return quotient and remainder of a polynomial by the CRC's."""
    quotient = 0
    while value.bit_length() > 32:
        shift = value.bit_length() - 33
        value ^= _POLYNOMIAL << shift
        quotient |= 1 << shift
    return quotient, value


def _power(n: int) -> int:
    """Return the factor that multiplies by x**n; a product of reflected numbers is 1 bit short."""
    return _reflected(_divided(1 << (n - 1))[1], 64)


_FOLD = (_power(128 + 64), _power(128))
_TO_96, _TO_64 = _power(96), _power(64)
_RECIPROCAL = _reflected(_divided(1 << 64)[0], 33)
_DIVISOR = _reflected(_POLYNOMIAL, 33)


class _Block(types.Type):
    """The Numba type of 16 bytes in a vector register."""

    def __init__(self) -> None:
        super().__init__(name="codec.block")


_BLOCK = _Block()


@register_model(_Block)
class _BlockModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _WORDS)  # type: ignore[no-untyped-call]


def _multiply(builder: Any, a: Any, b: Any, halves: int = _LOW) -> Any:
    """Return the product, without carries, of the low or the high halves of two blocks."""
    kind = ir.FunctionType(_WORDS, [_WORDS, _WORDS, _I8])
    function: Any = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
        builder.module, kind, "llvm.x86.pclmulqdq"
    )
    return builder.call(function, [a, b, _I8(halves)])


def _constant(low: int, high: int = 0) -> Any:
    return ir.Constant(_WORDS, [low, high])


def _picked(builder: Any, block: Any, *indices: int) -> Any:
    """Return a block of four of the 32-bit quarters of another; index `_0` is a zero."""
    quarters, zeros = builder.bitcast(block, _QUARTERS), ir.Constant(_QUARTERS, None)
    picked = builder.shuffle_vector(quarters, zeros, ir.Constant(_QUARTERS, list(indices)))
    return builder.bitcast(picked, _WORDS)


@intrinsic
def _load(typing_context: Any, address: Any) -> Any:
    """Return 16 bytes as a block."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(pointer(builder, arguments[0], _WORDS), align=1)

    return _BLOCK(types.int64), codegen


@intrinsic
def _load_first(typing_context: Any, address: Any, start: Any) -> Any:
    """Return 16 bytes as a block: those before byte `start` as 0, the 4 from it on inverted."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where, first = arguments
        loaded = builder.load(pointer(builder, where, _BYTES), align=1)
        numbers = ir.Constant(_BYTES, list(range(16)))
        behind = builder.sub(numbers, splat(builder, builder.trunc(first, _I8), 16))
        zeros = ir.Constant(_BYTES, None)
        is_before = builder.icmp_signed("<", behind, zeros)
        is_inverted = builder.icmp_unsigned("<", behind, ir.Constant(_BYTES, [4] * 16))
        inverted = builder.xor(loaded, builder.sext(is_inverted, _BYTES))
        return builder.bitcast(builder.select(is_before, zeros, inverted), _WORDS)

    return _BLOCK(types.int64, types.int64), codegen


@intrinsic
def _fold(typing_context: Any, folded: Any, block: Any) -> Any:
    """Return `folded` times x**128, plus the next block."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        before, more = arguments
        factor = _constant(*_FOLD)
        low = _multiply(builder, before, factor)
        high = _multiply(builder, before, factor, _HIGH)
        return builder.xor(builder.xor(low, more), high)

    return _BLOCK(_BLOCK, _BLOCK), codegen


@intrinsic
def _remainder(typing_context: Any, folded: Any) -> Any:
    """Return the remainder of 16 bytes times x**32.

    Two multiplications leave 64 bits, and Barrett's two divide those: by the reciprocal for the
    quotient, which is taken off.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (a,) = arguments
        b = builder.xor(_multiply(builder, a, _constant(_TO_96)), _picked(builder, a, _0, 2, 3, _0))
        c = builder.xor(_multiply(builder, b, _constant(_TO_64)), b)  # 64 bits, in its upper half
        quotient = _multiply(builder, _picked(builder, c, 2, _0, _0, _0), _constant(_RECIPROCAL))
        low = _picked(builder, quotient, 0, _0, _0, _0)
        multiple = builder.bitcast(_multiply(builder, low, _constant(_DIVISOR)), _QUARTERS)
        rest = builder.bitcast(c, _QUARTERS)
        return builder.xor(
            builder.extract_element(multiple, _I32(1)), builder.extract_element(rest, _I32(3))
        )

    return types.uint32(_BLOCK), codegen


@kernel
def crc32_by_folding(data: Address, n: int) -> int:
    """Return the CRC-32 of `n` bytes, at least 4.

    Up to 15 bytes before `data` are read, and do not matter: zeros before the first byte change
    nothing, so the blocks are counted from the end.
    """
    first = n & 15
    if first > 0:
        first = 16 - first
    i = data - first
    stop = data + n
    folded = _load_first(i, first)
    i += 16
    if i < stop:
        folded = _fold(folded, _load_first(i, first - 16))
        i += 16
    while i < stop:
        folded = _fold(folded, _load(i))
        i += 16
    return int(_remainder(folded)) ^ 0xFFFFFFFF
