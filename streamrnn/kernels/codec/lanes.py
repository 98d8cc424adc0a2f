"""Sixteen samples, or the seq and time of sixteen frames, at once.

What is not meant of sixteen is written too: callers leave room, and overwrite it later.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from streamrnn.kernels.codec.memory import pointer, splat
from streamrnn.kernels.codec.slots import LANES
from streamrnn.kernels.jit import intrinsic

_I16, _I32, _I64, _F32 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
_WORDS = ir.VectorType(_I64, LANES)
_BITS = ir.VectorType(_I32, LANES)
_FLOATS = ir.VectorType(_F32, LANES)
_NUMBERS = list(range(LANES))
_EXPONENT = ir.Constant(_BITS, [0x7F800000] * LANES)


def _element(builder: Any, base: Any, index: Any, element: Any, vector: Any) -> Any:
    """Return a pointer to a vector that begins at element `index` behind the address `base`."""
    return builder.bitcast(
        builder.gep(pointer(builder, base, element), [index]), vector.as_pointer()
    )


def _scaler(element: Any) -> Any:
    """Return an intrinsic that scales raw samples of type `element`."""

    def scale(
        typing_context: Any, source: Any, scales: Any, offsets: Any, x: Any, i: Any, stop: Any
    ) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            source_, scales_, offsets_, x_, i_, stop_ = arguments
            raw = builder.load(pointer(builder, source_, ir.VectorType(element, LANES)), align=1)
            value = raw if element is _F32 else builder.sitofp(raw, _FLOATS)
            factor, centre = (
                builder.load(_element(builder, base, i_, _F32, _FLOATS), align=4)
                for base in (scales_, offsets_)
            )
            value = builder.fadd(builder.fmul(value, factor), centre)
            builder.store(value, _element(builder, x_, i_, _F32, _FLOATS), align=4)
            exponent = builder.and_(builder.bitcast(value, _BITS), _EXPONENT)
            left = splat(builder, builder.trunc(builder.sub(stop_, i_), _I32), LANES)
            is_bad = builder.and_(
                builder.icmp_unsigned("==", exponent, _EXPONENT),
                builder.icmp_signed("<", ir.Constant(_BITS, _NUMBERS), left),
            )
            return builder.zext(builder.bitcast(is_bad, ir.IntType(LANES)), _I64)

        return types.int64(*[types.int64] * 6), codegen

    return intrinsic(scale)


#: ``scale_integers(source, scales, offsets, x, i, stop)``: ``x[i:] = raw * scales + offsets``,
#: product and sum rounded separately, so that every machine gives the same bits; `raw` are the
#: int16 at `source`. The result is 0 if all of them before `stop` are finite.
scale_integers = _scaler(_I16)
#: The same of float32.
scale_floats = _scaler(_F32)


@intrinsic
def stamp(
    typing_context: Any,
    seqs: Any,
    times: Any,
    delays: Any,
    j: Any,
    first: Any,
    t_us: Any,
    last_t_us: Any,
) -> Any:
    """Write seq ``first + j`` and time ``t_us + delays[j]``, at least `last_t_us`, of 16 frames."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        seqs_, times_, delays_, j_, first_, t_us_, last_ = arguments
        n = builder.add(
            splat(builder, builder.add(first_, j_), LANES), ir.Constant(_WORDS, _NUMBERS)
        )
        builder.store(n, _element(builder, seqs_, j_, _I64, _WORDS), align=8)
        delay = builder.load(_element(builder, delays_, j_, _I64, _WORDS), align=8)
        time = builder.add(delay, splat(builder, t_us_, LANES))
        last = splat(builder, last_, LANES)
        time = builder.select(builder.icmp_signed(">", time, last), time, last)
        builder.store(time, _element(builder, times_, j_, _I64, _WORDS), align=8)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), codegen
