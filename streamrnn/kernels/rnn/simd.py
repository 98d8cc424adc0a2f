"""A vector of floats as one Numba value, so that sums stay in registers.

Code over these values is written once for float32 and float64 and for any instruction set: LLVM
splits a vector that is wider than the machine's. The number of lanes never changes a result,
because each lane does what a scalar would do.

All functions here are intrinsics: they can be called in kernels only. `a` is a pointer to floats,
`at` an index into it; nothing checks bounds.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

from streamrnn.kernels.jit import intrinsic
from streamrnn.kernels.rnn.machine import TILE_ROWS, VECTOR_BYTES

_I32 = ir.IntType(32)


class Vector(types.Type):
    """The Numba type of `n_parts` vectors of floats of type `element`, worked on side by side."""

    def __init__(self, element: Any, n_parts: int = 1) -> None:
        self.element = element
        self.lanes = n_parts * 8 * VECTOR_BYTES // element.bitwidth
        super().__init__(name=f"vector({self.lanes} x {element})")


VECTORS = {element: Vector(element) for element in (types.float32, types.float64)}
#: Some vectors as one, so that the machine has several chains of operations to work on at once.
WIDE = {element: Vector(element, TILE_ROWS) for element in VECTORS}


def _ir_element(element: Any) -> Any:
    return ir.FloatType() if element.bitwidth == 32 else ir.DoubleType()


def ir_type(kind: Any) -> Any:
    """Return the LLVM type of a float or a vector."""
    if isinstance(kind, Vector):
        return ir.VectorType(_ir_element(kind.element), kind.lanes)
    return _ir_element(kind)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, ir_type(kind))  # type: ignore[no-untyped-call]


def element_of(kind: Any) -> Any:
    """Return the float type of a float or a vector type."""
    return kind.element if isinstance(kind, Vector) else kind


def _is_floats(a: Any) -> bool:
    return isinstance(a, types.CPointer) and a.dtype in VECTORS


def _pointer(builder: Any, arguments: Any) -> Any:
    return builder.gep(arguments[0], [arguments[1]])


def read(builder: Any, pointer: Any, kind: Any) -> Any:
    """Load a vector from a pointer to floats of any alignment."""
    value = builder.load(builder.bitcast(pointer, ir_type(kind).as_pointer()))
    value.align = kind.element.bitwidth // 8
    return value


def write(builder: Any, value: Any, pointer: Any, kind: Any) -> None:
    """Store a vector to a pointer to floats of any alignment."""
    place = builder.bitcast(pointer, ir_type(kind).as_pointer())
    builder.store(value, place).align = kind.element.bitwidth // 8


def part_pointer(builder: Any, first: Any, part: int, stride: Any, n: Any) -> Any:
    """Return ``first + min(part, n - 1) * stride``."""
    word = ir.IntType(64)
    if part == 0:
        return first
    last = builder.sub(n, word(1))
    which = builder.select(builder.icmp_signed("<", word(part), last), word(part), last)
    return builder.gep(first, [builder.mul(which, stride)])


def splat(builder: Any, value: Any, kind: Any) -> Any:
    """Return a vector of one float in every lane; a float as it is."""
    if not isinstance(kind, Vector):
        return value
    blank = ir.Constant(ir_type(kind), ir.Undefined)
    one = builder.insert_element(blank, value, _I32(0))
    return builder.shuffle_vector(one, blank, ir.Constant(ir.VectorType(_I32, kind.lanes), None))


@intrinsic
def lanes(typing_context: Any, a: Any) -> Any:
    """Return how many elements of `a` make one vector; a constant to the compiler."""
    if not _is_floats(a):
        return None

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        return context.get_constant(types.intp, VECTORS[a.dtype].lanes)

    return types.intp(a), codegen


@intrinsic
def offset(typing_context: Any, a: Any, at: Any) -> Any:
    """Return the pointer to ``a[at]``; `a` points to anything."""
    if not isinstance(a, types.CPointer):
        return None

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]])

    return a(a, types.intp), codegen


@intrinsic
def address_of(typing_context: Any, a: Any) -> Any:
    """Return where a pointer points to, as an int64."""
    if not isinstance(a, types.CPointer):
        return None

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        return builder.ptrtoint(arguments[0], ir.IntType(64))

    return types.int64(a), codegen


@intrinsic
def pointer_like(typing_context: Any, pattern: Any, address: Any) -> Any:
    """Return an address, an int64, as a pointer of the type of `pattern`."""
    if not isinstance(pattern, types.CPointer) or not isinstance(address, types.Integer):
        return None

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[1], context.get_value_type(pattern))

    return pattern(pattern, types.int64), codegen


@intrinsic
def words_at(typing_context: Any, address: Any) -> Any:
    """Return an address, an int64, as a pointer to unsigned 32-bit words."""
    if not isinstance(address, types.Integer):
        return None
    pointer: Any = types.CPointer(types.uint32)  # type: ignore[no-untyped-call]

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(pointer))

    return pointer(types.int64), codegen


@intrinsic
def load(typing_context: Any, a: Any, at: Any) -> Any:
    """Return the vector that starts at ``a[at]``."""
    if not _is_floats(a):
        return None
    kind = VECTORS[a.dtype]

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        return read(builder, _pointer(builder, arguments), kind)

    return kind(a, types.intp), codegen


@intrinsic
def store(typing_context: Any, a: Any, at: Any, value: Any) -> Any:
    """Write a vector to ``a[at]`` and the elements behind it."""
    if not _is_floats(a) or value != VECTORS[a.dtype]:
        return None

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        place = _pointer(builder, arguments)
        write(builder, arguments[2], place, value)
        return context.get_dummy_value()

    return types.void(a, types.intp, value), codegen


@intrinsic
def load_wide(typing_context: Any, a: Any, stride: Any, n: Any) -> Any:
    """Return a wide vector of `n` vectors, `stride` elements apart from `a` on.

    Where `n` is less than `TILE_ROWS`, the last one stands for the rest; n > 0.
    """
    if not (isinstance(a, types.CPointer) and a.dtype in WIDE):
        return None
    wide, part = WIDE[a.dtype], VECTORS[a.dtype]

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        first, step, count = arguments
        parts = [
            read(builder, part_pointer(builder, first, j, step, count), part)
            for j in range(TILE_ROWS)
        ]
        while len(parts) > 1:
            both = ir.VectorType(_I32, 2 * parts[0].type.count)
            mask = ir.Constant(both, list(range(both.count)))
            parts = [
                builder.shuffle_vector(low, high, mask)
                for low, high in zip(parts[::2], parts[1::2], strict=True)
            ]
        return parts[0]

    return wide(a, types.int64, types.int64), codegen


@intrinsic
def store_wide(typing_context: Any, a: Any, stride: Any, n: Any, value: Any) -> Any:
    """Write `n` vectors of a wide one, `stride` elements apart from `a` on.

    What `load_wide` read in place of missing vectors must have had the same fate as the last one:
    the last place is written again with the same numbers.
    """
    if not (isinstance(a, types.CPointer) and value in WIDE.values()):
        return None
    part = VECTORS[a.dtype]

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        first, step, count, wide = arguments
        for j in range(TILE_ROWS):
            lanes_of_part = range(j * part.lanes, (j + 1) * part.lanes)
            mask = ir.Constant(ir.VectorType(_I32, part.lanes), list(lanes_of_part))
            one = builder.shuffle_vector(wide, wide, mask)
            write(builder, one, part_pointer(builder, first, j, step, count), part)
        return context.get_dummy_value()

    return types.void(a, types.int64, types.int64, value), codegen


@intrinsic
def broadcast(typing_context: Any, a: Any, at: Any) -> Any:
    """Return a vector with ``a[at]`` in every lane."""
    if not _is_floats(a):
        return None
    kind = VECTORS[a.dtype]

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        return splat(builder, builder.load(_pointer(builder, arguments)), kind)

    return kind(a, types.intp), codegen


@intrinsic
def prefetch(typing_context: Any, a: Any, at: Any) -> Any:
    """Have ``a[at]`` brought into the cache; it may lie anywhere, even outside of all memory."""
    if not isinstance(a, types.CPointer):
        return None

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        place = builder.bitcast(
            builder.gep(arguments[0], [arguments[1]]), ir.IntType(8).as_pointer()
        )
        kind = ir.FunctionType(ir.VoidType(), [place.type, _I32, _I32, _I32])
        declare: Any = cgutils.get_or_insert_function
        # For reading, to stay in every cache, data.
        builder.call(
            declare(builder.module, kind, "llvm.prefetch.p0"), [place, _I32(0), _I32(3), _I32(1)]
        )
        return context.get_dummy_value()

    return types.void(a, types.int64), codegen


@intrinsic
def zeros(typing_context: Any, a: Any) -> Any:
    """Return a vector of zeros of the dtype of array `a`."""
    if not _is_floats(a):
        return None
    kind = VECTORS[a.dtype]

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        return ir.Constant(ir_type(kind), None)

    return kind(a), codegen


@intrinsic
def like(typing_context: Any, pattern: Any, value: Any) -> Any:
    """Return the number `value` in the type of `pattern`, a float or a vector."""
    element = element_of(pattern)
    if element not in VECTORS or not isinstance(value, types.Number):
        return None

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        number = context.cast(builder, arguments[1], signature_.args[1], element)
        return splat(builder, number, pattern)

    return pattern(pattern, value), codegen


@intrinsic
def clamp(typing_context: Any, x: Any, low: Any, high: Any) -> Any:
    """Return `x` held between `low` and `high`; NaN stays NaN."""
    if element_of(x) not in VECTORS or not (x == low == high):
        return None

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        value, bottom, top = arguments
        value = builder.select(builder.fcmp_ordered(">", value, top), top, value)
        return builder.select(builder.fcmp_ordered("<", value, bottom), bottom, value)

    return x(x, low, high), codegen


@intrinsic
def power_of_two(typing_context: Any, shifted: Any) -> Any:
    """Return ``2 ** n`` where `shifted` is ``n + bias + 1.5 * 2 ** m``, m the mantissa's bits.

    The bias is the exponent's, 127 or 1023. In that sum ``n + bias`` stands in the lowest bits;
    they are moved into the place of the exponent. Unlike a conversion to an integer this is defined
    for NaN: it gives some float.
    """
    element = element_of(shifted)
    if element not in VECTORS:
        return None
    mantissa = 23 if element.bitwidth == 32 else 52

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        word = ir.IntType(element.bitwidth)
        is_vector = isinstance(shifted, Vector)
        kind = ir.VectorType(word, shifted.lanes) if is_vector else word
        places = ir.Constant(kind, [mantissa] * shifted.lanes if is_vector else mantissa)
        bits = builder.shl(builder.bitcast(arguments[0], kind), places)
        return builder.bitcast(bits, ir_type(shifted))

    return shifted(shifted), codegen


_signature, _infer_global, _lower_builtin = (
    cast(Callable[..., Any], f) for f in (signature, infer_global, lower_builtin)
)


def define_operators(kinds: list[Any]) -> None:
    """Give kinds of vectors Python's ``+ - * /``, lane by lane."""
    for function, instruction in (
        (operator.add, "fadd"),
        (operator.sub, "fsub"),
        (operator.mul, "fmul"),
        (operator.truediv, "fdiv"),
    ):
        _define_operator(function, instruction, kinds)


def _define_operator(function: Callable[..., Any], instruction: str, kinds: list[Any]) -> None:
    class Template(ConcreteTemplate):
        cases = [_signature(kind, kind, kind) for kind in kinds]  # noqa: RUF012

    def lower(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        return getattr(builder, instruction)(*arguments)

    _infer_global(function)(Template)
    for kind in kinds:
        _lower_builtin(function, kind, kind)(lower)


define_operators([*VECTORS.values(), *WIDE.values()])
