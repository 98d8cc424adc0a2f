"""A few rows of a batch as one value, held in registers.

A value of `Rows` has a number for each of 1, 2, 4 or 8 rows; of one row it is a plain float. The
arithmetic of the cell takes it as it takes any vector (`rnn.gates`), and each lane does what a
float would do, so the bits do not depend on how many rows a thread has.

All functions here are intrinsics. `like` is any value with as many rows as the result shall have.
Rows in memory are `stride` elements apart; where there are only `n` of them, the rest is neither
read, which gives 0, nor written. Indices and strides are unsigned 32-bit numbers, `first` an
unsigned 64-bit one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from llvmlite import ir
from numba.cuda import cgutils, types
from numba.cuda.extending import register_model
from numba.extending import models

from streamrnn.kernels.cuda.code.words import intrinsic
from streamrnn.kernels.rnn.simd import Vector, define_operators, ir_type

I32, I64, FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()
_FOUR = ir.VectorType(FLOAT, 4)


class Rows(Vector):
    """The Numba type of a float32 of each of some rows."""

    def __init__(self, n_rows: int) -> None:
        self.element, self.lanes = types.float32, n_rows
        types.Type.__init__(self, name=f"rows({n_rows})")


@cast(Callable[..., Any], register_model(Rows))
class _RowsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Rows) -> None:
        super().__init__(manager, kind, ir_type(kind))  # type: ignore[no-untyped-call]


#: By the number of rows.
KINDS: dict[int, Any] = {1: types.float32} | {n: Rows(n) for n in (2, 4, 8)}
_VECTORS = [kind for kind in KINDS.values() if isinstance(kind, Rows)]


define_operators(_VECTORS)


def n_lanes(kind: Any) -> int:
    """Return how many rows a value of a type has."""
    return kind.lanes if isinstance(kind, Rows) else 1


def split(builder: Any, kind: Any, value: Any) -> list[Any]:
    """Return the numbers of the rows."""
    if not isinstance(kind, Rows):
        return [value]
    return [builder.extract_element(value, I32(r)) for r in range(kind.lanes)]


def joined(builder: Any, kind: Any, parts: list[Any]) -> Any:
    """Return the value of the numbers of its rows."""
    if not isinstance(kind, Rows):
        return parts[0]
    value = ir.Constant(ir_type(kind), ir.Undefined)
    for r, part in enumerate(parts):
        value = builder.insert_element(value, part, I32(r))
    return value


def wide(builder: Any, number: Any) -> Any:
    """Return an unsigned number in 64 bits."""
    return number if number.type.width == 64 else builder.zext(number, I64)


def places_of(builder: Any, pointer: Any, first: Any, stride: Any, lanes: int) -> list[Any]:
    """Return each row's place, one from the other: offsets would all be kept in registers."""
    step = wide(builder, stride)
    places = [builder.gep(pointer, [wide(builder, first)])]
    while len(places) < lanes:
        places.append(builder.gep(places[-1], [step]))
    return places


def if_given(builder: Any, given: Any, load: Callable[[], list[Any]]) -> list[Any]:
    """Return the numbers that `load` gives, or zeros."""
    before = builder.block
    with builder.if_then(given, likely=True):
        numbers, inside = load(), builder.block
    parts = []
    for number in numbers:
        part = builder.phi(FLOAT)
        part.add_incoming(ir.Constant(FLOAT, 0.0), before)
        part.add_incoming(number, inside)
        parts.append(part)
    return parts


def is_given(builder: Any, r: int, n: Any) -> Any:
    """Return whether row r is one of n."""
    return builder.icmp_unsigned("<", I32(r), n)


def load_one(builder: Any, place: Any) -> list[Any]:
    """Load a number."""
    return [builder.load(place)]


def load_four(builder: Any, place: Any) -> list[Any]:
    """Load four numbers at once."""
    value = builder.load(builder.bitcast(place, _FOUR.as_pointer()))
    value.align = 16
    return [builder.extract_element(value, I32(g)) for g in range(4)]


@intrinsic
def zeros(typing_context: Any, n_rows: Any) -> Any:
    """Return zeros of so many rows, a constant."""
    if not isinstance(n_rows, types.IntegerLiteral):
        return None
    kind = KINDS[n_rows.literal_value]

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        return ir.Constant(ir_type(kind), 0.0 if n_rows.literal_value == 1 else None)

    return kind(n_rows), codegen


@intrinsic
def load_rows(typing_context: Any, like: Any, a: Any, at: Any) -> Any:
    """Return the rows' numbers that begin at ``a[at]``, next to one another and aligned so."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        _, pointer, index = arguments
        place = builder.gep(pointer, [wide(builder, index)])
        value = builder.load(builder.bitcast(place, ir_type(like).as_pointer()))
        value.align = min(16, 4 * n_lanes(like))
        return value

    return like(like, a, at), codegen


@intrinsic
def store_rows(typing_context: Any, a: Any, at: Any, value: Any) -> Any:
    """Write the rows' numbers to ``a[at]`` and behind it, aligned to as many."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        pointer, index, numbers = arguments
        place = builder.gep(pointer, [wide(builder, index)])
        place = builder.bitcast(place, ir_type(value).as_pointer())
        builder.store(numbers, place).align = min(16, 4 * n_lanes(value))
        return context.get_dummy_value()

    return types.void(a, at, value), codegen


@intrinsic
def gather_rows(typing_context: Any, like: Any, a: Any, first: Any, stride: Any, n: Any) -> Any:
    """Return ``a[first + row * stride]`` of each row."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        _, pointer, begin, step, given = arguments
        parts = []
        for r, place in enumerate(places_of(builder, pointer, begin, step, n_lanes(like))):
            there = is_given(builder, r, given)
            parts += if_given(builder, there, partial(load_one, builder, place))
        return joined(builder, like, parts)

    return like(like, a, first, types.uint32, types.uint32), codegen


@intrinsic
def scatter_rows(typing_context: Any, a: Any, first: Any, stride: Any, n: Any, value: Any) -> Any:
    """Write each given row's number to ``a[first + row * stride]``."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        pointer, begin, step, given, numbers = arguments
        places = places_of(builder, pointer, begin, step, n_lanes(value))
        for r, part in enumerate(split(builder, value, numbers)):
            with builder.if_then(is_given(builder, r, given), likely=True):
                builder.store(part, places[r])
        return context.get_dummy_value()

    return types.void(a, first, types.uint32, types.uint32, value), codegen


@intrinsic
def gather_gates(typing_context: Any, like: Any, a: Any, first: Any, stride: Any, n: Any) -> Any:
    """Return the four numbers that begin at ``a[first + row * stride]`` of each row."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        _, pointer, begin, step, given = arguments
        fours = []
        for r, place in enumerate(places_of(builder, pointer, begin, step, n_lanes(like))):
            there = is_given(builder, r, given)
            fours.append(if_given(builder, there, partial(load_four, builder, place)))
        gates = [joined(builder, like, [four[g] for four in fours]) for g in range(4)]
        return cgutils.pack_array(builder, gates)

    return types.UniTuple(like, 4)(like, a, first, types.uint32, types.uint32), codegen


@intrinsic
def scatter_gates(
    typing_context: Any, a: Any, first: Any, stride: Any, n: Any,
    v0: Any, v1: Any, v2: Any, v3: Any,
) -> Any:  # fmt: skip
    """Write four numbers of each given row to ``a[first + row * stride]`` and behind it."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        pointer, begin, step, given, *values = arguments
        lanes = n_lanes(v0)
        places = places_of(builder, pointer, begin, step, lanes)
        parts = [split(builder, v0, value) for value in values]
        for r in range(lanes):
            four = joined_four(builder, [part[r] for part in parts])
            with builder.if_then(is_given(builder, r, given), likely=True):
                builder.store(four, builder.bitcast(places[r], _FOUR.as_pointer())).align = 16
        return context.get_dummy_value()

    return types.void(a, first, types.uint32, types.uint32, v0, v0, v0, v0), codegen


def joined_four(builder: Any, parts: list[Any]) -> Any:
    """Return four numbers as LLVM's vector."""
    value = ir.Constant(_FOUR, ir.Undefined)
    for g, part in enumerate(parts):
        value = builder.insert_element(value, part, I32(g))
    return value


@intrinsic
def store_turned(
    typing_context: Any, a: Any, first: Any, step: Any, n_in: Any, n_rows: Any, value: Any
) -> Any:
    """Write element ``e = first + lane * step`` of a block of rows of `n_in` to its turned place.

    That is ``a[(e % n_in) * n_rows + e // n_in]``; elements behind the last row are not written.
    """

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        pointer, begin, apart, width, rows, numbers = arguments
        n_elements = builder.mul(width, rows)
        for s, part in enumerate(split(builder, value, numbers)):
            element = builder.add(begin, builder.mul(I32(s), apart))
            with builder.if_then(builder.icmp_unsigned("<", element, n_elements)):
                row = builder.udiv(element, width)
                k = builder.sub(element, builder.mul(row, width))
                at = builder.add(builder.mul(k, rows), row)
                builder.store(part, builder.gep(pointer, [builder.zext(at, I64)]))
        return context.get_dummy_value()

    word = types.uint32
    return types.void(a, word, word, word, word, value), codegen
