"""Which rows of a batch a thread has: their states, whether they have ended, and their factors.

All functions here are intrinsics; see rows.py for what they have in common.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from llvmlite import ir
from numba.cuda import types

from streamrnn.kernels.cuda.code.rows import (
    FLOAT,
    I32,
    I64,
    if_given,
    is_given,
    joined,
    load_one,
    n_lanes,
    places_of,
    split,
)
from streamrnn.kernels.cuda.code.words import intrinsic


@intrinsic
def state_rows(
    typing_context: Any, like: Any, a: Any, at: Any, stride: Any, index: Any, row: Any, n: Any
) -> Any:
    """Return ``a[which * stride + at]`` of each row from `row` on.

    ``which`` is the row's number, or ``index[row]`` where `index`, a pointer to int32, is not 0.
    """

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        _, pointer, column, step, table, first, given = arguments

        def load(r: int) -> list[Any]:
            which = _looked_up(builder, table, builder.add(first, I32(r)))
            return [builder.load(_state_place(builder, pointer, which, step, column))]

        parts: list[Any] = []
        for r in range(n_lanes(like)):
            parts += if_given(builder, is_given(builder, r, given), partial(load, r))
        return joined(builder, like, parts)

    word = types.uint32
    return like(like, a, word, word, index, word, word), codegen


@intrinsic
def set_state_rows(
    typing_context: Any, a: Any, at: Any, stride: Any, index: Any, row: Any, n: Any, value: Any
) -> Any:
    """Write what `state_rows` reads, for the given rows."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        pointer, column, step, table, first, given, numbers = arguments
        for r, part in enumerate(split(builder, value, numbers)):
            with builder.if_then(is_given(builder, r, given), likely=True):
                which = _looked_up(builder, table, builder.add(first, I32(r)))
                builder.store(part, _state_place(builder, pointer, which, step, column))
        return context.get_dummy_value()

    word = types.uint32
    return types.void(a, word, word, index, word, word, value), codegen


def _looked_up(builder: Any, table: Any, row: Any) -> Any:
    """Return ``table[row]``, or the row itself where there is no table."""
    given = builder.icmp_unsigned("!=", builder.ptrtoint(table, I64), I64(0))
    before = builder.block
    with builder.if_then(given, likely=False):
        found = builder.load(builder.gep(table, [builder.zext(row, I64)]))
        inside = builder.block
    which = builder.phi(I32)
    which.add_incoming(row, before)
    which.add_incoming(found, inside)
    return which


def _state_place(builder: Any, pointer: Any, which: Any, stride: Any, column: Any) -> Any:
    at = builder.mul(builder.zext(which, I64), builder.zext(stride, I64))
    return builder.gep(pointer, [builder.add(at, builder.zext(column, I64))])


@intrinsic
def where_live(typing_context: Any, t: Any, ends: Any, row: Any, n: Any, new: Any, old: Any) -> Any:
    """Return `new` of each row that has not ended before step `t`, else `old`."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        step, table, first, given, after, before = arguments
        parts = []
        pairs = zip(split(builder, new, after), split(builder, new, before), strict=True)
        for r, (a, b) in enumerate(pairs):
            here = builder.block
            with builder.if_then(is_given(builder, r, given), likely=True):
                place = builder.gep(table, [builder.zext(builder.add(first, I32(r)), I64)])
                live = builder.icmp_signed("<", step, builder.load(place))
                chosen, inside = builder.select(live, a, b), builder.block
            part = builder.phi(FLOAT)
            part.add_incoming(b, here)
            part.add_incoming(chosen, inside)
            parts.append(part)
        return joined(builder, new, parts)

    return new(types.int32, ends, types.uint32, types.uint32, new, new), codegen


@intrinsic
def live_rows(
    typing_context: Any, like: Any, ends: Any, t_from: Any, row: Any, step: Any, n: Any,
    n_batch: Any,
) -> Any:  # fmt: skip
    """Return a bit for each of n rows of time and batch, `step` apart from `row` on, that is live.

    Row ``t * n_batch + b`` has ended if ``t + t_from >= ends[b]``. Without `ends` all live.
    """

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        _, table, begin, first, apart, given, modulus = arguments
        bits = I32(0)
        has_ends = builder.icmp_unsigned("!=", builder.ptrtoint(table, I64), I64(0))
        for r in range(n_lanes(like)):
            there = is_given(builder, r, given)
            before = builder.block
            with builder.if_then(builder.and_(has_ends, there)):
                flat = builder.add(first, builder.mul(I32(r), apart))
                t = builder.udiv(flat, modulus)
                which = builder.sub(flat, builder.mul(t, modulus))
                end = builder.load(builder.gep(table, [builder.zext(which, I64)]))
                live, inside = builder.icmp_signed("<", builder.add(t, begin), end), builder.block
            bit = builder.phi(ir.IntType(1))
            bit.add_incoming(there, before)
            bit.add_incoming(live, inside)
            bits = builder.or_(bits, builder.shl(builder.zext(bit, I32), I32(r)))
        return bits

    word = types.uint32
    return word(like, ends, types.int32, word, word, word, word), codegen


@intrinsic
def gather_some(typing_context: Any, like: Any, a: Any, first: Any, stride: Any, bits: Any) -> Any:
    """Return ``a[first + row * stride]`` of each row that has its bit, 0 of the others."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        _, pointer, begin, step, wanted = arguments
        parts = []
        for r, place in enumerate(places_of(builder, pointer, begin, step, n_lanes(like))):
            has_bit = builder.icmp_unsigned("!=", builder.and_(wanted, I32(1 << r)), I32(0))
            parts += if_given(builder, has_bit, partial(load_one, builder, place))
        return joined(builder, like, parts)

    return like(like, a, first, types.uint32, types.uint32), codegen


@intrinsic
def factors(
    typing_context: Any, like: Any, a: Any, column: Any, width: Any, row: Any, step: Any, n: Any,
    n_batch: Any,
) -> Any:  # fmt: skip
    """Return ``a[(row + lane * step) % n_batch, column]`` of each lane; `a` has `width` columns."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        _, pointer, j, n_columns, first, apart, given, modulus = arguments

        def load(r: int) -> list[Any]:
            which = builder.urem(builder.add(first, builder.mul(I32(r), apart)), modulus)
            return [builder.load(_state_place(builder, pointer, which, n_columns, j))]

        parts: list[Any] = []
        for r in range(n_lanes(like)):
            parts += if_given(builder, is_given(builder, r, given), partial(load, r))
        return joined(builder, like, parts)

    word = types.uint32
    return like(like, a, word, word, word, word, word, word), codegen


@intrinsic
def where_bits(typing_context: Any, value: Any, bits: Any) -> Any:
    """Return `value` of each row that has its bit, 0 of the others."""

    def codegen(context: Any, builder: Any, signature_: Any, arguments: Any) -> Any:
        numbers, wanted = arguments
        parts = []
        for r, part in enumerate(split(builder, value, numbers)):
            has_bit = builder.icmp_unsigned("!=", builder.and_(wanted, I32(1 << r)), I32(0))
            parts.append(builder.select(has_bit, part, ir.Constant(FLOAT, 0.0)))
        return joined(builder, value, parts)

    return value(value, types.uint32), codegen
